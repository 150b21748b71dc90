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

    No further training begins then. If none runs, `SystemExit` is raised in the main thread.

    Args:
        starter: of the process of the sweep.

    Attributes:
        asked: the first signal that was received. None without one.
        errors: what ended a thread that trains members. There is one at most for each thread.
        running: those that train at this moment.
    """

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        self.asked: int | None = None
        self.errors: list[BaseException] = []
        self.running: set[Trainer] = set()

    @property
    def are_over(self) -> bool:
        """Whether no further training may begin: a signal was received, or there is an error."""
        return self.asked is not None or bool(self.errors)

    def stop_if_asked(self) -> None:
        """End this thread if a signal was received.

        Raises:
            SystemExit: its code is 128 + the number of the signal, as in shells.
        """
        if self.asked is not None:
            raise SystemExit(128 + self.asked)

    @contextmanager
    def trainer(self) -> Iterator["Trainer"]:
        """A process for one training after another, which ends with the block.

        The thread that enters the block must train in it, too: Linux ends a process with the thread that started it.
        """
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
        # Set before `running` is read: a training is added there before it reads `asked`.
        self.asked = self.asked or number
        running = list(self.running)
        for trainer in running:
            trainer.prepared.stop(number)
        if not running:
            self.stop_if_asked()


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
        """Train to the end, or until a signal asks it to stop.

        Args:
            words: as after `python train.py`.
            environment: variables that only this training gets.
            quiet: discard what it prints, besides what it writes to stderr.

        Returns:
            The exit code of the training, as in shells: 128 + number after a signal.

        Raises:
            ChildProcessError: no process could be started.
            SystemExit: a signal was received before the training began.
        """
        self.trainings.running.add(self)
        try:
            self.trainings.stop_if_asked()
            self.prepared.train(words, environment, quiet=quiet)
            while (code := self.prepared.wait(timeout_seconds=1.0)) is None:
                pass
        except ChildProcessError:
            self.trainings.stop_if_asked()
            raise
        finally:
            self.trainings.running.discard(self)
        return code if code >= 0 else 128 - code
