"""A training loop in a process of its own, so that the imports of one project cannot slow the loop of another."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, suppress
from multiprocessing import get_context

Epoch = Callable[[], float]  # trains on every image once; returns their mean loss in nats
Loop = Callable[[], AbstractContextManager[Epoch]]

_running = ExitStack()  # used in the other process: closes the loop
_epochs: list[Epoch] = []


class Apart(AbstractContextManager["Apart"]):
    """A training loop in another process, which ends with the `with` block. Calling it trains an epoch.

    Args:
        loop: opens the loop in that process. It must be a function of a module, or a `partial` of one.
    """

    def __init__(self, loop: Loop) -> None:
        self.executor = ProcessPoolExecutor(1, get_context("spawn"))
        self.opened = self.executor.submit(_open, loop)

    def __call__(self) -> float:
        """Train one more epoch. Returns the mean loss of its images, in nats.

        Raises:
            Exception: the error with which opening the loop or training the epoch failed.
        """
        self.opened.result()
        return self.executor.submit(_train).result()

    def __exit__(self, *_: object) -> None:
        """Close the loop and end the process."""
        with suppress(BrokenProcessPool):  # the process ended before
            self.executor.submit(_running.close)
        self.executor.shutdown()


def _open(loop: Loop) -> None:
    _epochs.append(_running.enter_context(loop()))


def _train() -> float:
    return _epochs[0]()
