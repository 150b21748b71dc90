"""Signals that ask a run to stop. After each step the training loop checks for one, saves and stops."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Schedulers of clusters send SIGUSR1 or SIGUSR2 before they end a job. Windows does not have them.
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
# Slurm signals all processes of a job, and that of a sweep passes the signal on: within this time both are one.
ONE_REQUEST_SECONDS = 2.0


class StopNow(SystemExit):
    """A signal was received inside `StopRequest.at_once`.

    It is a `SystemExit`, as libraries catch other exceptions. One is tqdm's handler of log records.
    """


class StopRequest:
    """Inside its `with` block, a signal of `SIGNALS` sets a flag. Another one, two seconds later, raises `SystemExit`.

    Attributes:
        number: the first signal that was received, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._raises = False
        self._since = 0.0

    def __call__(self) -> bool:
        """Whether a signal was received."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 + the number of the signal, as in shells. 0 without a signal."""
        return 0 if self.number is None else 128 + self.number

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside its `with` block a signal raises `StopNow`. For long work that can be repeated.

        Raises:
            StopNow: a signal was received, inside the block or before it.
        """
        self._raises = True
        try:
            if self():
                raise StopNow(self.exit_code)
            yield
        finally:
            self._raises = False

    def __enter__(self) -> "StopRequest":
        # Python allows signal handlers in the main thread only. In other threads, signals keep their usual effect.
        handled = SIGNALS if threading.current_thread() is threading.main_thread() else ()
        self.previous = {number: signal.signal(number, self._note) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self():
            if time.monotonic() - self._since < ONE_REQUEST_SECONDS:
                return
            raise SystemExit(128 + number)
        self.number, self._since = number, time.monotonic()
        if self._raises:
            raise StopNow(self.exit_code)
