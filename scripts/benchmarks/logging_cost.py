"""What TensorBoard, metrics.jsonl and the figures cost of the default run, and what its checkpoints do."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row, Target
from vae.figures import plots  # noqa: F401 - a run loads matplotlib before its first step
from vae.run.tracking import Tracker
from vae.training import loop as training
from vae.training import monitoring

PROMISED_EPOCHS = 25  # the default
Functions = Sequence[tuple[Any, str]]
LOGGING: Functions = (
    (training, "log_interval"),
    (monitoring, "report_numbers"),
    (monitoring, "decompose"),
    (monitoring, "draw"),
    (monitoring, "report_decomposition"),
    (monitoring, "show_pictures"),
    (Tracker, "scalars"),
    (Tracker, "flush"),
)
SAVING: Functions = ((training, "save"),)


class Stopwatch:
    """The seconds spent in the functions it wraps; one that another of them calls is not counted twice."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.depth = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time taken."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            self.depth += 1
            try:
                return function(*arguments, **named)
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.calls += 1
                    self.seconds += time.perf_counter() - started

        return wrapper


@contextmanager
def timed(functions: Functions) -> Iterator[Stopwatch]:
    """A stopwatch on these functions."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(patch.object(owner, name, watch.timed(getattr(owner, name))))
        yield watch


def report_end(run: training.Training) -> None:
    """What a run shows when it ends, besides the numbers of its test."""
    end = monitoring.prepare_end(run.tracker, run.state.vae, run.watched[1], None, ())
    run.tracker.begin_conclusion(run.state.step)
    monitoring.show_end(run.tracker, end, run.state.step)
    run.tracker.flush()


def rows(plan: Plan) -> list[Row]:
    """Seconds of training, the share of logging, and what saves are of the steps after which one is due.

    The default is one every 500 steps of an epoch, of which MNIST has 430. Here saves are made more often, so that
    there are many to take the mean of, and what they take is not counted as training.
    """
    epochs = plan.logged_epochs
    with ours.Runs() as started:
        often = "tracking.save_every_steps=100"
        run = started.of_words(["device=cpu", f"epochs={epochs}", often], plan.images)
        gc.freeze()  # as a run does
        with timed(LOGGING) as logged, timed(SAVING) as saved:
            training.fit(run)
            logged.timed(report_end)(run)
    per_save = saved.seconds / saved.calls
    seconds = run.state.seconds - per_save * (saved.calls - epochs)  # those at an epoch's end are not in it
    share = 100 * logged.seconds / seconds
    every = ours.configured(["device=cpu"]).tracking.save_every_steps
    assert every is not None
    # Pictures are drawn at epochs 10, 100 and the last: a short run has a large share, which was never promised.
    target = Target(3.0, 1.0, at_most=True) if epochs >= PROMISED_EPOCHS else None
    return [
        Row(f"training of {epochs} epochs", seconds, "s"),
        Row("logging: share of the training time", share, "%", target),
        Row(
            f"a checkpoint every {every} steps, of their time",
            100 * per_save / (every * seconds / run.state.step),
            "%",
            Target(1.0, 1.0, at_most=True),
            f"{1e3 * per_save:.3g} ms, mean of {saved.calls}",
        ),
    ]
