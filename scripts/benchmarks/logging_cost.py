"""The share of the default run's time for TensorBoard, metrics.jsonl and figures, and for checkpoints."""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from vae.figures import plots  # noqa: F401 - a run loads matplotlib before its first step
from vae.run.tracking import Tracker
from vae.training import loop as training
from vae.training import monitoring

PROMISED_EPOCHS = 25  # the default; the floor holds only for it, as figures take a larger share of shorter runs
Functions = Sequence[tuple[Any, str]]
LOGGING: Functions = [
    *((monitoring, name) for name, _ in inspect.getmembers(monitoring, inspect.isfunction)),
    (training, "log_interval"),
    (Tracker, "scalars"),
    (Tracker, "flush"),
]
SAVING: Functions = [(training, "save_checkpoint")]


class Stopwatch:
    """The seconds spent in the functions that it wraps. A call inside another call is not counted again."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.running = False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function so that its calls are timed."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            if self.running:
                return function(*arguments, **named)
            started = time.perf_counter()
            self.running = True
            try:
                return function(*arguments, **named)
            finally:
                self.running = False
                self.calls += 1
                self.seconds += time.perf_counter() - started

        return wrapper


@contextmanager
def timed(functions: Functions) -> Iterator[Stopwatch]:
    """Replace these functions by timed ones inside the block."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(patch.object(owner, name, watch.timed(getattr(owner, name))))
        yield watch


def rows(plan: Plan) -> list[Row]:
    """Seconds of training, the share of logging, and the share of a checkpoint.

    Checkpoints are written more often than by default, so that there are many to average. The time of the additional
    ones is not counted as training.
    """
    epochs = plan.logged_epochs
    with ours.Runs() as started:
        often = "tracking.save_every_steps=100"
        run = started.of_words(["device=cpu", f"epochs={epochs}", often], plan.images)
        with timed(LOGGING) as logged, timed(SAVING) as saved:
            training.fit(run)
            logged.timed(log_end)(run)
    per_save = saved.seconds / saved.calls
    seconds = run.state.seconds - per_save * (saved.calls - epochs)  # those at an epoch's end are not in it
    every = ours.configured(["device=cpu"]).tracking.save_every_steps or 1
    share = 100 * per_save / (every * seconds / run.state.step)
    note = f"{1e3 * per_save:.3g} ms, mean of {saved.calls}"
    limit = 3.0 if epochs >= PROMISED_EPOCHS else None
    return [
        Row(f"training of {epochs} epochs", seconds, "s"),
        Row("logging: share of the training time", 100 * logged.seconds / seconds, "%", at_most=limit),
        Row(f"a checkpoint every {every} steps, of their time", share, "%", at_most=1.0, note=note),
    ]


def log_end(run: training.Training) -> None:
    """Log what a run logs at its end, except the numbers of its test."""
    end = monitoring.prepare_end(run.tracker, run.state.vae, run.watched[1], None, (), run.splits.preparation)
    run.tracker.begin_conclusion(run.state.step)
    monitoring.show_end(run.tracker, end, run.state.step)
    run.tracker.flush()
