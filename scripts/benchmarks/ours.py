"""This project's training as a run does it, without the command line: what the benchmarks time."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.processes import ROOT
from benchmarks.rows import Absent
from vae.app.build import build_objective, build_options, build_vae, new_state
from vae.app.command_line import compose
from vae.app.data import build_data
from vae.config import Config
from vae.data import Splits
from vae.run.progress import Progress
from vae.run.tracking import Tracker
from vae.training import loop as training
from vae.training.hardware import emulates_bf16, prepare_torch
from vae.training.state import means

GREY = ("experiment=pytorch_example", "device=cpu")  # the pixels that tutorials and the other projects train on


def without_bf16() -> list[Absent]:
    """A line in place of the rows in bf16, on a CPU without instructions for it."""
    line = "bf16 is left out: this CPU has no instructions for it"
    return [Absent(line)] if emulates_bf16(torch.device("cpu")) else []


def configured(words: Sequence[str]) -> Config:
    """The configuration of `python train.py WORDS`."""
    return compose(list(words), ROOT / "configs")


def first_images(splits: Splits, images: int) -> Splits:
    """The same splits with at most so many training images."""
    return replace(splits, train=splits.train.first(images))


class Runs(ExitStack):
    """Runs at step 0, in folders that are removed when the block ends."""

    def start(self, config: Config, splits: Splits) -> training.Training:
        """A run on these images, its numbers logged as in any run."""
        directory = Path(self.enter_context(TemporaryDirectory()))
        device = prepare_torch(config)
        vae = build_vae(config, splits.train.shape)
        vae.start_at(splits.train.mean(), splits.train.variance())
        objective = build_objective(config, len(splits.train), device)
        tracker = Tracker(directory, 0, tensorboard=config.tracking.tensorboard)
        self.callback(tracker.close)
        return training.Training(
            state=new_state(config, vae, device, objective),
            splits=splits,
            objective=objective,
            options=build_options(config, len(splits.train)),
            tracker=tracker,
            progress=Progress(1, 0, shown=False),
            directory=directory,
        )

    def of_words(self, words: Sequence[str], images: int | None = None) -> training.Training:
        """The run of `python train.py WORDS`, on its first training images or on all."""
        config = configured(words)
        splits = build_data(config).read()
        return self.start(config, splits if images is None else first_images(splits, images))


def epoch(run: training.Training) -> float:
    """Train one more epoch. Returns the mean loss of its images, in nats."""
    training.train_epoch(run)
    return means(run.state.epoch_sums, run.loss_weight)["objective"]
