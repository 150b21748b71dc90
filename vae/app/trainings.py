"""The trainings of a sweep that run at this moment, and the signals that ask all of them to stop."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from vae.app.invocation import Starter
from vae.app.prepared import PreparedProcess
from vae.run.signals import SIGNALS


class Trainings:
    """Inside its `with` block, in the main thread, a signal of `SIGNALS` is passed on to every training that runs.

    No further training begins then. If none runs, `SystemExit` is raised.

    Args:
        starter: of the process of the sweep.

    Attributes:
        asked: the first signal that was received. None without one.
    """

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        self.asked: int | None = None
        self.running: set[Trainer] = set()

    @property
    def exit_code(self) -> int:
        """128 + the number of the signal, as in shells. 0 without a signal."""
        return 0 if self.asked is None else 128 + self.asked

    @property
    def have_stopped(self) -> bool:
        """Whether a signal was received, and no training runs any more."""
        return self.asked is not None and not self.running

    @contextmanager
    def trainer(self) -> Iterator["Trainer"]:
        """A process for one training after another. It ends with the block, which another thread may enter, too."""
        prepared = PreparedProcess(self.starter)
        try:
            yield Trainer(prepared, self)
        finally:
            prepared.close()

    def __enter__(self) -> "Trainings":
        self._previous = {number: signal.signal(number, self._pass_on) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.asked = self.asked or number  # before the look at what runs: a training looks here after it has begun
        running = list(self.running)
        for trainer in running:
            trainer.prepared.send_signal(number)
        if not running:
            raise SystemExit(self.exit_code)


class Trainer:
    """Trains one member after another, in processes that are forked from the same prepared one.

    Args:
        prepared: that process.
        trainings: of the sweep.
    """

    def __init__(self, prepared: PreparedProcess, trainings: Trainings) -> None:
        self.prepared = prepared
        self.trainings = trainings

    def train(self, words: Sequence[str], environment: Mapping[str, str], *, quiet: bool) -> int:
        """Train to the end. Returns the exit code of the training, as shells do: 128 + number after a signal.

        Args:
            words: as after `python train.py`.
            environment: variables that only this training gets.
            quiet: show its errors only.

        Raises:
            ChildProcessError: no process could be started.
            SystemExit: a signal came, and the training has ended.
        """
        self.trainings.running.add(self)
        try:
            self._stop_if_asked()
            self.prepared.train(words, environment, quiet=quiet)
            if self.trainings.asked is not None:  # before there was a process
                self.prepared.send_signal(self.trainings.asked)
            while (code := self.prepared.wait(timeout_seconds=1.0)) is None:
                pass
        finally:
            self.trainings.running.discard(self)
        self._stop_if_asked()
        return code if code >= 0 else 128 - code

    def _stop_if_asked(self) -> None:
        if self.trainings.asked is not None:
            raise SystemExit(self.trainings.exit_code)
