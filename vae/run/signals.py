"""A signal becomes a wish that the training loop reads between two steps, or ends at once what can be done again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

# The last is what schedulers of clusters send before they take the machine away; Windows has none.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class StopNow(SystemExit):
    """A signal came while `StopRequest.at_once` was in force.

    No `Exception`, and a kind of exit: no library shall swallow it, not even tqdm's handler of log records, which
    lets nothing else pass.
    """


class StopRequest:
    """Within `with`, SIGINT, SIGTERM and SIGUSR1 ask the run to save and stop; a second one ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal that came
        self.waits = True  # for whoever reads it

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it; 0 if none came."""
        return 0 if self.number is None else 128 + self.number

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, a signal does not wait: for what takes long and can be done again, and is no half-written file.

        Raises:
            StopNow: a signal came, or had come before.
        """
        self.waits = False
        try:
            if self():
                raise StopNow(self.exit_code)
            yield
        finally:
            self.waits = True

    def __enter__(self) -> "StopRequest":
        # Python lets only the main thread listen; elsewhere the run cannot be asked, and signals end it.
        heard = SIGNALS if threading.current_thread() is threading.main_thread() else ()
        self.previous = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self():
            raise SystemExit(128 + number)
        self.number = number
        if not self.waits:
            raise StopNow(self.exit_code)
