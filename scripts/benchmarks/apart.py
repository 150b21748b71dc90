"""A training loop in a process of its own, so that the imports of one project cannot slow the loop of another."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, suppress
from multiprocessing import get_context

Epoch = Callable[[], float]  # every image once; returns their mean loss, in nats
Loop = Callable[[], AbstractContextManager[Epoch]]

_running = ExitStack()  # in the other process: the loop that is open there
_epochs: list[Epoch] = []


class Apart(AbstractContextManager["Apart"]):
    """An epoch that is trained in another process, which ends with the block.

    Args:
        loop: opens the loop there and gives its epoch: a function of a module, or a `partial` of one.
    """

    def __init__(self, loop: Loop) -> None:
        self.executor = ProcessPoolExecutor(1, get_context("spawn"))
        self.opened = self.executor.submit(_open, loop)

    def __call__(self) -> float:
        """Train one more epoch. Returns the mean loss of its images, in nats.

        Raises:
            Exception: what opening the loop or training the epoch raised there.
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
