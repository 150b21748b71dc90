"""This project's training, as a run has it, without the banner: what the rows time."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.rows import Absent
from vae.app.build import build_objective, build_options, build_vae, new_state
from vae.app.command_line import compose
from vae.app.data import build_data
from vae.config import Config
from vae.data import ImageSet, Splits
from vae.data.packed import PackedPixels, pack
from vae.run.progress import Progress
from vae.run.tracking import Tracker
from vae.training import loop as training
from vae.training.hardware import emulates_bf16, prepare_torch
from vae.training.state import means

ROOT = Path(__file__).resolve().parents[2]
GREY = ("experiment=pytorch_example", "device=cpu")  # the pixels that tutorials and the other projects train on


def without_bf16() -> list[Absent]:
    """The line in place of what is measured in bf16, on a CPU where that would take several times as long as fp32."""
    line = "bf16 is left out: this CPU is not made for it"
    return [Absent(line)] if emulates_bf16(torch.device("cpu")) else []


def configured(words: Sequence[str]) -> Config:
    """The configuration that `python train.py WORDS` has."""
    return compose(list(words), ROOT / "configs")


def first_images(splits: Splits, images: int) -> Splits:
    """The same splits with no more than so many training images."""
    return replace(splits, train=splits.train.first(images))


class Runs(AbstractContextManager["Runs"]):
    """Runs at step 0, as many as are asked for, in a folder that is removed when the block ends.

    Attributes:
        folder: of the runs.
    """

    def __enter__(self) -> "Runs":
        """Make the folder."""
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.started = 0
        return self

    def __exit__(self, *_: object) -> None:
        """Close what the runs write into, and remove it."""
        self.stack.close()

    def start(self, config: Config, splits: Splits) -> training.Training:
        """A run on these images, its numbers logged as in any run."""
        directory = self.folder / f"run{self.started}"
        directory.mkdir()
        self.started += 1
        device = prepare_torch(config)
        vae = build_vae(config, splits.train.shape)
        vae.start_at(splits.train.mean(), splits.train.variance())
        objective = build_objective(config, len(splits.train), device)
        tracker = Tracker(directory, 0, tensorboard=config.tracking.tensorboard)
        self.stack.callback(tracker.close)
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
        """The run of `python train.py WORDS`, on the first so many training images of its data, or on all."""
        config = configured(words)
        splits = build_data(config).read()
        return self.start(config, splits if images is None else first_images(splits, images))


def epoch(run: training.Training) -> float:
    """One more epoch. The mean loss of its images, in nats."""
    training.train_epoch(run)
    return means(run.state.epoch_sums, run.loss_weight)["objective"]


def random_binary(images: int, side: int) -> Splits:
    """Images of side x side pixels, packed as sprites are, of which one in twenty is lit. For training only."""
    pixels = np.random.default_rng(0).random((images, 1, side, side), dtype=np.float32) < 0.05
    packed = PackedPixels(torch.from_numpy(pack(pixels.view(np.uint8))), (1, side, side))
    drawn = ImageSet(packed, torch.zeros(images, dtype=torch.long), redrawn=False)
    return Splits(drawn, drawn.first(0), drawn)
