"""A training step beside other work, with threads that always wait awake, as torch has them, and as a run waits."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from statistics import median

from benchmarks import ours, steps
from benchmarks.apart import Apart
from benchmarks.plan import Plan
from benchmarks.processes import python
from benchmarks.rows import Absent, Row
from benchmarks.turns import Seconds, ratio
from vae.training.cores import usable_cores
from vae.training.waiting import PERIOD_SECONDS, waiting_by_load

IMAGES = 12_800  # more than the caches hold
SECONDS = 2.0  # of training in each turn
SETTLING_SECONDS = 2.5 * PERIOD_SECONDS  # until a run knows that the load has changed
AWAKE, BY_LOAD = "threads always awake", "as a run waits"


def rows(plan: Plan, seconds: float = SECONDS, pause: float = SETTLING_SECONDS) -> list[Row | Absent]:
    """The time of a step on an idle machine, and beside processes that keep half of its cores busy, or all.

    Args:
        plan: how much is measured.
        seconds: of training in each turn.
        pause: before each turn, in seconds.
    """
    cores = usable_cores()
    if cores < 2:
        return [Absent("beside other work: there is one core, so no thread waits for another")]
    loads = {"idle": 0, f"beside {cores // 2} busy": cores // 2, f"beside {cores} busy": cores}
    taken: dict[tuple[str, str], Seconds] = {(name, load): [] for load in loads for name in (AWAKE, BY_LOAD)}
    with ExitStack() as stack:
        training = {
            name: stack.enter_context(Apart(partial(step_loop, cores, name == BY_LOAD, seconds, pause)))
            for name in (AWAKE, BY_LOAD)
        }
        for turn in range(1 + plan.rounds):
            for load, number in loads.items():
                with busy_processes(number):
                    for name in (AWAKE, BY_LOAD) if turn % 2 else (BY_LOAD, AWAKE):
                        found = training[name]()
                        if turn > 0:  # the first is a rehearsal
                            taken[name, load].append(found)
    return [*times(taken), *ratios(taken, list(loads))]


def times(taken: dict[tuple[str, str], Seconds]) -> list[Row]:
    """The medians over the turns, in milliseconds."""
    return [
        Row(f"train step, {load}, {name}", 1e3 * median(found), "ms", note=f"at most {1e3 * max(found):.4g}")
        for (name, load), found in taken.items()
    ]


def ratios(taken: dict[tuple[str, str], Seconds], loads: list[str]) -> list[Row]:
    """The price of waiting by the load on an idle machine, and how much longer a step takes beside other work."""
    idle, half, full = loads
    limits = {half: 2.5, full: 4.0}
    return [
        ratio("train step, idle: over threads always awake", taken[BY_LOAD, idle], taken[AWAKE, idle], at_most=1.05),
        *(
            ratio(
                f"train step, {load}, {name}: over idle",
                taken[name, load],
                taken[name, idle],
                at_most=limits[load] if name == BY_LOAD else None,
            )
            for load in (half, full)
            for name in (AWAKE, BY_LOAD)
        ),
    ]


@contextmanager
def step_loop(threads: int, by_load: bool, seconds: float, pause: float) -> Iterator[Callable[[], float]]:
    """Open a run of the default configuration. The function it gives trains for a while: the seconds of a step."""
    with ours.Runs() as started:
        run = started.of_words(["device=cpu", f"threads={threads}"], IMAGES)
        waiting: AbstractContextManager[None] = waiting_by_load(threads, None) if by_load else nullcontext()
        with waiting:
            yield partial(seconds_of_a_step, steps.steps(run, 1), seconds, pause)


def seconds_of_a_step(step: Callable[[], None], seconds: float, pause: float) -> float:
    """Make steps for so many seconds, after a pause. Returns the mean seconds of a step."""
    time.sleep(pause)
    made, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        step()
        made += 1
    return passed / made


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Processes that each keep a core busy while the block runs."""
    with ExitStack() as stack:
        for _ in range(number):
            process = stack.enter_context(subprocess.Popen(python("-c", "while True: pass")))
            stack.callback(process.kill)
        yield
