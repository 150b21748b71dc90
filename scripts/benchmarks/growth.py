"""How the time of an image grows with the size of the batch, of the data, of the latents and of the images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row, Target
from benchmarks.turns import ratio, take_turns
from vae import training
from vae.build import read_data
from vae.data import Splits

BATCH_SIZES = (32, 128, 512, 2048)
COPIES = (1, 2, 4)
LATENTS = (2, 20, 200)
SIDES = (14, 28, 56)


def rows(plan: Plan) -> list[Row]:
    """The time of an image, and the growth from the first of each series to the others."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        data = {
            f"{copies}x the data": ours.assemble(
                ours.configured(ours.GREY), copied(ours.GREY, plan.images, copies), folder / f"copies{copies}"
            )
            for copies in COPIES
        }
        batches = varied("batch of {}", "batch_size={}", BATCH_SIZES, plan, folder)
        latents = varied("{} latents", "model.latent_dim={}", LATENTS, plan, folder)
        drawn = {
            f"{side}x{side} pixels": ours.assemble(
                ours.configured(ours.GREY), ours.random_binary(plan.drawn_images, side), folder / f"side{side}"
            )
            for side in SIDES
        }
        return [
            *series(data, plan.rounds, Target(1.05, 1.0, at_most=True)),
            *series(batches, plan.rounds),
            *series(latents, plan.rounds),
            *series(drawn, plan.rounds),
        ]


def copied(words: tuple[str, ...], images: int, copies: int) -> Splits:
    """The first so many training images, several times over."""
    splits = ours.first_images(read_data(ours.configured(words)), images)
    numbers = splits.train.labels.new_tensor(range(len(splits.train))).repeat(copies)
    pixels = splits.train.pixels.index_select(0, numbers)
    return replace(splits, train=replace(splits.train, pixels=pixels, labels=splits.train.labels[numbers]))


def varied(
    title: str, word: str, values: tuple[int, ...], plan: Plan, folder: Path
) -> Mapping[str, training.Training]:
    """Runs that differ in one value."""
    return {
        title.format(value): ours.trained_on(
            [*ours.GREY, word.format(value)], min(plan.images, 12_800), folder / word.format(value)
        )
        for value in values
    }


def series(runs: Mapping[str, training.Training], rounds: int, of_last: Target | None = None) -> list[Row]:
    """Microseconds an image of each run, and the ratios to the first; `of_last` is the target of the last one's."""
    turns = {name: lambda run=run: ours.epoch(run) for name, run in runs.items()}
    images = {name: len(run.splits.train) for name, run in runs.items()}
    each = {
        name: [1e6 * seconds / images[name] for seconds in taken] for name, taken in take_turns(turns, rounds).items()
    }
    first, *others = each
    return [
        *(Row(f"time of an image, {name}", median(taken), "us") for name, taken in each.items()),
        *(
            ratio(
                f"time of an image: {name} over {first}",
                each[name],
                each[first],
                of_last if name == others[-1] else None,
            )
            for name in others
        ),
    ]
