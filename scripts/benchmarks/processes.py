"""Time and peak memory of other processes.

This file is also a program: `python processes.py COMMAND...` prints both as JSON. Linux counts the memory of the
parent as the child's, and the benchmark's own memory is large. So this small program is the parent.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAXRSS_BYTES = 1 if platform.system() == "Darwin" else 1024  # the unit of ru_maxrss
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Finished:
    """Seconds from start to end, and the peak bytes of the process or of its largest child."""

    seconds: float
    peak_bytes: int


def python(*words: str) -> list[str]:
    """The command `python WORDS`."""
    return [sys.executable, *words]


def run_to_end(command: Sequence[str]) -> Finished:
    """Run from the top of the checkout.

    Raises:
        CalledProcessError: its exit code is not 0.
    """
    metered = subprocess.run(python(__file__, *command), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Finished(**json.loads(metered.stdout))


def seconds_to_text(command: Sequence[str], file: Path, text: str, *, printed: bool = False) -> float:
    """The seconds from a process's start until `file` holds `text`. The process is killed then.

    Args:
        command: the command to run.
        file: a file that the command writes.
        text: the text to wait for.
        printed: write the output of the command to `file`.

    Raises:
        RuntimeError: the process ends, or five minutes pass, without the text.
    """
    started = time.perf_counter()
    with (
        Path(file if printed else os.devnull).open("w") as stdout,
        subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.DEVNULL) as process,
    ):
        try:
            while time.perf_counter() - started < PATIENCE_SECONDS and process.poll() is None:
                if file.exists() and text in file.read_text(encoding="utf-8"):
                    return time.perf_counter() - started
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    raise RuntimeError(f"{' '.join(command)} never wrote {text}")


def main() -> int:
    """Run the command and print its time and memory. Returns its exit code."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_bytes": usage.ru_maxrss * MAXRSS_BYTES}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
