"""The standard streams and the signals of a program. Imported first, so it imports nothing that takes long."""

import os
import signal
import sys
from types import FrameType

from vae.run.signals import SIGNALS


def prepare() -> None:
    """Make the streams safe to write to, and make a signal during the imports end the process with one line.

    No character and no closed stream causes an error. Once there is a run, `vae.run.signals` handles the signals.
    """
    for descriptor in range(3):  # if one is closed, a file opened later would get its number, and C's output
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
    for number in SIGNALS:
        signal.signal(number, end_at_once)


def end_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Print one line and end the process with the exit code of the signal."""
    try:
        os.write(2, b"stop   at once, by signal %d\n" % number)
    finally:
        os._exit(128 + number)


def one_line(text: str) -> str:
    """The text without line breaks and control characters. Very long words are cut."""
    words = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split())).split(" ")
    return " ".join(word if len(word) <= 300 else f"{word[:120]}…" for word in words).rstrip(".")


def say(text: str) -> None:
    """Print a line. If stdout cannot be written, as after `| head -1`, all further output is discarded."""
    try:
        print(text, flush=True)
    except OSError:
        discard()


def flush() -> None:
    """Flush stdout. If it cannot be written, the output is discarded."""
    try:
        sys.stdout.flush()
    except OSError:
        discard()


def discard() -> None:
    """Discard everything that is printed to stdout from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
