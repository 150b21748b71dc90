"""A signal becomes a wish that the training loop reads between two steps."""

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within `with`, SIGINT and SIGTERM ask the run to save and stop; a second one ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal that came

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it; 0 if none came."""
        return 0 if self.number is None else 128 + self.number

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
