"""A training loop in a process of its own, where the packages of another project cannot slow it.

To import disent, and what it needs, makes every step of every loop in the same process a tenth longer.
"""

import multiprocessing
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection

Epoch = Callable[[], float]  # every image once; their mean loss, in nats
Loop = Callable[[], AbstractContextManager[Epoch]]


class Apart(AbstractContextManager["Apart"]):
    """An epoch that is taken in a process of its own, which ends with the block.

    Args:
        loop: what holds the loop there and gives its epoch: a function of a module, or a `partial` of one.
    """

    def __init__(self, loop: Loop) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(loop, other), daemon=True)
        self.process.start()
        other.close()  # or the end of the process would not be seen here

    def ready(self) -> None:
        """Wait until the first epoch can begin.

        Raises:
            RuntimeError: there is no loop; the text is what it failed with.
        """
        self._answer()

    def __call__(self) -> float:
        """One more epoch. The mean loss of its images, in nats.

        Raises:
            RuntimeError: it failed; the text is what it failed with.
        """
        with suppress(OSError):  # of a process that has ended: it is told below
            self.connection.send(None)
        return self._answer()

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.connection.close()
        self.process.join()

    def _answer(self) -> float:
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise RuntimeError(f"its process ended with code {self.process.exitcode}") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return float(answer)


def serve(loop: Loop, connection: Connection) -> None:
    """Take an epoch whenever asked, until nobody can ask."""
    try:
        with loop() as epoch:
            connection.send(0.0)
            while asked(connection):
                connection.send(epoch())
    except Exception as error:
        with suppress(OSError):  # nobody listens any more
            connection.send("".join(traceback.format_exception_only(error)).strip())


def asked(connection: Connection) -> bool:
    """Wait to be asked; False if the other end is closed."""
    try:
        connection.recv()
    except (EOFError, OSError):
        return False
    return True
