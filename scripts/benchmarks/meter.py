"""Run a command and print, as JSON, its exit code, its seconds and its peak memory: `python meter.py COMMAND...`.

A process of its own, and a small one, because on Linux a process is charged with the memory of the one that starts it:
a child of the benchmark, which holds gigabytes by then, would never seem to take less.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time

MAXRSS_BYTES = 1 if platform.system() == "Darwin" else 1024  # the unit of ru_maxrss


def main() -> None:
    """Run, wait, print. What the command prints is thrown away, but for the errors of one that fails."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode != 0:
            errors.seek(0)
            sys.stderr.write(errors.read().decode(errors="replace"))
    print(json.dumps({"code": process.returncode, "seconds": seconds, "bytes": usage.ru_maxrss * MAXRSS_BYTES}))


if __name__ == "__main__":
    main()
