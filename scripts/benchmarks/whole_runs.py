"""The time of whole processes, their peak memory, and the time to their first step."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.ours import GREY, configured
from benchmarks.plan import Plan
from benchmarks.processes import Finished, python, run_to_end, seconds_to_text
from benchmarks.rows import Row
from benchmarks.turns import ratio

PROMISED_EPOCHS = 10  # the floor does not hold for shorter processes, which mostly start and end
FIRST_STEP = '"train/loss"'  # in metrics.jsonl


def tutorial_command(epochs: int) -> list[str]:
    """The loop of tutorials as a process."""
    root = Path(configured(GREY).data.root).expanduser()
    return python("scripts/benchmarks/tutorial.py", str(root), "--epochs", str(epochs))


def our_command(directory: Path, *words: str) -> list[str]:
    """A run in `directory`."""
    return python("train.py", *GREY, f"hydra.run.dir='{directory}'", *words)


def rows_of_whole_runs(plan: Plan) -> list[Row]:
    """Training with evaluation, figures and TensorBoard, beside the tutorial with its test loss each epoch."""
    epochs = plan.process_epochs
    finished: dict[str, list[Finished]] = {"tutorial": [], "this project": []}
    for _ in range(plan.processes):
        with TemporaryDirectory() as folder:
            finished["tutorial"].append(run_to_end(tutorial_command(epochs)))
            finished["this project"].append(run_to_end(our_command(Path(folder) / "run", f"epochs={epochs}")))
    seconds = {name: [each.seconds for each in those] for name, those in finished.items()}
    limit = 2.0 if epochs >= PROMISED_EPOCHS else None
    return [
        *(Row(f"process of {epochs} epochs, {name}", median(taken), "s") for name, taken in seconds.items()),
        ratio(f"process of {epochs} epochs: times as fast as the tutorial", *seconds.values(), at_least=limit),
        *(
            Row(f"peak memory of the process, {name}", max(each.peak_bytes for each in those) / 1e9, "GB")
            for name, those in finished.items()
        ),
    ]


def rows_of_first_steps(plan: Plan) -> list[Row]:
    """From the start of the process until the first step is made and its loss written."""
    seconds: dict[str, list[float]] = {"tutorial": [], "this project": []}
    words = ("tracking.log_every_steps=1", "epochs=1")
    for _ in range(plan.processes):
        with TemporaryDirectory() as name:
            printed, run = Path(name) / "printed", Path(name) / "run"
            seconds["tutorial"].append(seconds_to_text(tutorial_command(1), printed, "step", printed=True))
            metrics = run / "metrics.jsonl"
            seconds["this project"].append(seconds_to_text(our_command(run, *words), metrics, FIRST_STEP))
    return [
        *(Row(f"time to the first step, {name}", median(taken), "s") for name, taken in seconds.items()),
        ratio("time to the first step: times as fast as the tutorial", *seconds.values()),
    ]
