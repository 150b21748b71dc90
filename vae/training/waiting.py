"""How the threads of a step wait for one another: awake on an idle machine, asleep beside other work.

A step is some hundred short operations. After each, the threads of GNU's OpenMP wait for the last of them in a loop,
for up to some milliseconds. That is the fastest way while each thread has a core. Beside another process, the thread
that the others wait for may have no core because they wait on it. A step can then take a hundred times as long.

OpenMP reads its variables only when it is loaded. But its threads take 100 turns of the loop, and then sleep, whenever
there are more of them than cores (GNU libgomp manual, GOMP_SPINCOUNT). So beside other work this module holds further
threads, which do nothing. As many threads compute as before, so every digit of the results stays the same.
"""

import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from vae.training.cores import Reading, Threads, allowed_cores, busy_with_others, read_load

MAPS = Path("/proc/self/maps")
SET_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
PERIOD_SECONDS = 0.3
BUSY, QUIET = 0.4, 0.2  # cores of other work, beyond those that no thread needs: from BUSY on sleep, below QUIET wake
ELEMENTS_A_THREAD = 32_768  # torch gives no thread fewer elements of a tensor


@contextmanager
def waiting_by_load(threads: int, busy: float | None, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """While the block runs, let the threads of torch wait asleep whenever other processes need their cores.

    Nothing is done if there is no second thread, if the user has said how threads wait, or if torch has
    another OpenMP than GNU's.

    Args:
        threads: that compute.
        busy: the cores that others keep busy, as known so far.
        environment: of the process. None for `os.environ`.
    """
    if not may_wait_by_load(threads, environment):
        yield
        return
    cores = len(allowed_cores())
    sleepers, ended = Sleepers(threads, cores), threading.Event()
    watching = threading.Thread(target=watch, args=(sleepers, cores - threads, busy, ended), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def may_wait_by_load(threads: int, environment: Mapping[str, str] | None = None) -> bool:
    """Whether `waiting_by_load` has something to do."""
    given = os.environ if environment is None else environment
    is_left_to_us = not any(name in given for name in SET_BY_USER)
    return 1 < threads <= len(allowed_cores()) and is_left_to_us and has_gnu_openmp()


def words_on_threads(threads: Threads, busy: float | None) -> str:
    """The threads of a run for its log, and whether they wait asleep.

    Args:
        threads: as chosen.
        busy: the cores that others keep busy. None if it is not known, or does not matter.
    """
    cores = len(allowed_cores())
    if (
        busy is None
        or not may_wait_by_load(threads.number)
        or not are_needed(busy, cores - threads.number, held=False)
    ):
        return str(threads)
    free = max(1, math.floor(cores - busy + 0.5))
    advice = f" (threads={free} may be faster)" if free < threads.number else ""
    return f"{threads}, which wait asleep as others use {busy:.1f} of {cores} cores{advice}"


def watch(sleepers: "Sleepers", spare: int, busy: float | None, ended: threading.Event) -> None:
    """Hold or release the sleepers by the load, until `ended` is set.

    Args:
        sleepers: to hold.
        spare: the cores that no thread needs.
        busy: the cores that others keep busy, as known so far.
        ended: by the caller.
    """
    before: Reading | None = read_load()
    with sleepers:
        while True:
            if busy is not None:
                sleepers.hold(are_needed(busy, spare, held=sleepers.held))
            if ended.wait(PERIOD_SECONDS):
                return
            now = read_load()
            busy, before = busy_with_others(before, now), now


def are_needed(busy: float, spare: int, *, held: bool) -> bool:
    """Whether other work needs cores of the threads, so that these had better wait asleep.

    Args:
        busy: the cores that others keep busy.
        spare: the cores that no thread needs.
        held: whether they wait asleep now. It takes more load to begin with it than to go on.

    Example:
        >>> [are_needed(busy, 0, held=held) for busy in (0.1, 0.3, 1.0) for held in (False, True)]
        [False, False, False, True, True, True]
    """
    return busy - spare > (QUIET if held else BUSY)


class Sleepers:
    """Further OpenMP threads that sleep: so many that with those that compute there are more threads than cores.

    Args:
        threads: that compute.
        cores: that the process may use.
    """

    def __init__(self, threads: int, cores: int) -> None:
        self.threads = threads
        # Each Python thread in which torch computes has OpenMP threads of its own. It is one of them itself.
        self.teams = (cores - threads) // (threads - 1) + 1
        self.release = threading.Event()
        self.sleeping: list[threading.Thread] = []

    @property
    def held(self) -> bool:
        """Whether they are there."""
        return bool(self.sleeping)

    def hold(self, wanted: bool) -> None:
        """Start them, or let them end, unless it is so already."""
        if wanted and not self.held:
            self.release = threading.Event()
            with suppress(RuntimeError):  # the system allows no more threads
                for _ in range(self.teams):
                    thread = threading.Thread(target=self._sleep, daemon=True)
                    thread.start()
                    self.sleeping.append(thread)
        elif self.held and not wanted:
            self.release.set()
            for thread in self.sleeping:
                thread.join()
            self.sleeping = []

    def _sleep(self) -> None:
        torch.ones(self.threads * ELEMENTS_A_THREAD)  # starts the OpenMP threads, which sleep from then on
        self.release.wait()

    def __enter__(self) -> "Sleepers":
        return self

    def __exit__(self, *_: object) -> None:
        self.hold(False)


def has_gnu_openmp() -> bool:
    """Whether GNU's OpenMP is loaded into this process."""
    try:
        return "libgomp" in MAPS.read_text()
    except OSError:
        return False
