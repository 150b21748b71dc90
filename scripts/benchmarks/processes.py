"""A process from its start to its end: how long it takes, and how much memory at most."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ours import ROOT

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Finished:
    """What a process took.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: of resident memory, of the process or of its largest child.
    """

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
    metered = python("scripts/benchmarks/meter.py", *command)
    printed = subprocess.run(metered, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(printed)
    if found["code"] != 0:
        raise subprocess.CalledProcessError(found["code"], list(command))
    return Finished(found["seconds"], found["bytes"])


def seconds_to_line(command: Sequence[str]) -> float:
    """The seconds from a process's start to the first line that it prints. It is ended there.

    Raises:
        RuntimeError: it ends without one.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        process.kill()
    if not line:
        raise RuntimeError(f"{' '.join(command)} printed nothing")
    return seconds


def seconds_to_text(command: Sequence[str], file: Path, text: str) -> float:
    """The seconds from a process's start to the moment when `file` holds `text`. It is ended there.

    Raises:
        RuntimeError: it ends, or five minutes pass, without.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while time.perf_counter() - started < PATIENCE_SECONDS and process.poll() is None:
                if file.exists() and text in file.read_text(encoding="utf-8"):
                    return time.perf_counter() - started
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
    raise RuntimeError(f"{' '.join(command)} never wrote {text}")
