"""Whole processes: from `python train.py` to the final numbers, to the first step, and how much memory that takes."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.ours import GREY, configured
from benchmarks.plan import Plan
from benchmarks.processes import Finished, python, run_to_end, seconds_to_line, seconds_to_text
from benchmarks.rows import Row, Target
from benchmarks.turns import ratio

PROMISED_EPOCHS = 10  # fewer are mostly start and end
FIRST_STEP = '"train/loss"'  # in metrics.jsonl, which is written line by line


def tutorial_command(epochs: int) -> list[str]:
    """The tutorial's loop as a process, its denormals left as torch leaves them."""
    root = Path(configured(GREY).data.root).expanduser()
    return python("scripts/benchmarks/tutorial.py", str(root), "--epochs", str(epochs))


def our_command(directory: Path, *words: str) -> list[str]:
    """A run in `directory`."""
    return python("train.py", *GREY, f"hydra.run.dir='{directory}'", *words)


def rows_of_whole_runs(plan: Plan) -> list[Row]:
    """Training with evaluation, figures and TensorBoard, against the tutorial with its test loss each epoch."""
    epochs = plan.process_epochs
    ours: list[Finished] = []
    tutorials: list[Finished] = []
    for turn in range(plan.processes):
        with TemporaryDirectory() as folder:
            tutorials.append(run_to_end(tutorial_command(epochs)))
            ours.append(run_to_end(our_command(Path(folder) / f"run{turn}", f"epochs={epochs}")))
    target = Target(2.0, 2.7) if epochs >= PROMISED_EPOCHS else None
    of_tutorial, of_ours = ([one.seconds for one in each] for each in (tutorials, ours))
    return [
        Row(f"process of {epochs} epochs, tutorial with test losses", median(of_tutorial), "s"),
        Row(f"process of {epochs} epochs, this project with all it leaves", median(of_ours), "s"),
        ratio(f"process of {epochs} epochs: times as fast as the tutorial", of_tutorial, of_ours, target),
        Row("peak memory of the tutorial's process", max(one.peak_bytes for one in tutorials) / 1e9, "GB"),
        Row("peak memory of this project's process", max(one.peak_bytes for one in ours) / 1e9, "GB"),
    ]


def rows_of_first_steps(plan: Plan) -> list[Row]:
    """From the start of the process until the first step is taken and its loss written."""
    ours, tutorials = [], []
    for turn in range(plan.processes):
        with TemporaryDirectory() as name:
            run = Path(name) / f"run{turn}"
            tutorials.append(seconds_to_line(tutorial_command(1)))
            words = ("tracking.log_every_steps=1", "epochs=1")
            ours.append(seconds_to_text(our_command(run, *words), run / "metrics.jsonl", FIRST_STEP))
    return [
        Row("time to the first step, tutorial", median(tutorials), "s"),
        Row("time to the first step, this project", median(ours), "s"),
        ratio("time to the first step: times as fast as the tutorial", tutorials, ours),
    ]
