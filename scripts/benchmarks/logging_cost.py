"""What TensorBoard, metrics.jsonl and the figures cost of the default run."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row, Target
from vae import monitoring, training
from vae.tracking import Tracker

PROMISED_EPOCHS = 25  # the default
LOGGING: tuple[tuple[Any, str], ...] = (
    (training, "log_interval"),
    (monitoring, "report_numbers"),
    (monitoring, "decompose"),
    (monitoring, "draw"),
    (monitoring, "report_decomposition"),
    (monitoring, "show_pictures"),
    (monitoring, "show_rates"),
    (monitoring, "show_embedding"),
    (Tracker, "scalars"),
    (Tracker, "flush"),
)


class Stopwatch:
    """The seconds spent in the functions it wraps; one that another of them calls is not counted twice."""

    def __init__(self) -> None:
        self.seconds = 0.0
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
                    self.seconds += time.perf_counter() - started

        return wrapper


@contextmanager
def logging_timed() -> Iterator[Stopwatch]:
    """A stopwatch on everything that logs."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name in LOGGING:
            stack.enter_context(patch.object(owner, name, watch.timed(getattr(owner, name))))
        yield watch


def rows(plan: Plan) -> list[Row]:
    """Seconds of training, of logging, and the share."""
    epochs = plan.logged_epochs
    with ours.Runs() as started:
        run = started.of_words(["device=cpu", f"epochs={epochs}"], plan.images)
        with logging_timed() as watch:
            training.fit(run)
    share = 100 * watch.seconds / run.state.seconds
    # Pictures are drawn at epochs 1, 10, 100 and the last: a short run has a large share, which was never promised.
    target = Target(3.0, 1.0, at_most=True) if epochs >= PROMISED_EPOCHS else None
    return [
        Row(f"training of {epochs} epochs", run.state.seconds, "s"),
        Row("logging: share of the training time", share, "%", target),
    ]
