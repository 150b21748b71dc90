"""The streams and signals of a program, before anything that takes long is imported."""

import os
import signal
import sys
from types import FrameType

WAITING = ("SIGINT", "SIGTERM", "SIGUSR1")  # Windows has no SIGUSR1


def prepare() -> None:
    """Have output never fail on a character or a closed stream, and have an early signal end the process in one line.

    Python would show a traceback of whatever was being imported. `vae.run.signals` listens as soon as there is a run.
    """
    for descriptor in range(3):  # a file that is opened later would become the stream, and C libraries write into it
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")
    for signal_name in WAITING:
        if hasattr(signal, signal_name):
            signal.signal(getattr(signal, signal_name), end_at_once)


def end_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """End the process with the code of the signal."""
    try:
        os.write(2, b"stop   at once, by signal %d\n" % number)
    finally:
        os._exit(128 + number)


def say(text: str) -> None:
    """Print a line. Where it cannot be written, as `| head -1` has it, the rest is printed nowhere: it is no error."""
    try:
        print(text, flush=True)
    except OSError:
        discard()


def flush() -> None:
    """Write out what was printed, as far as somebody reads it."""
    try:
        sys.stdout.flush()
    except OSError:
        discard()


def discard() -> None:
    """Send what is printed from now on nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
