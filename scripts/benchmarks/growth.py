"""How the time of an image grows with the size of the batch, of the data, of the latents and of the images."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row, Target
from benchmarks.turns import ratio, take_turns
from vae.app.data import build_data
from vae.data import Splits
from vae.training import loop as training

BATCH_SIZES = (32, 128, 512, 2048)
IMAGES = 12_800  # of an epoch, where the number of images is not what grows
COPIES = (1, 2, 4)
LATENTS = (2, 20, 200)
SIDES = (14, 28, 56)


def rows(plan: Plan) -> list[Row]:
    """The time of an image, and the growth from the first of each series to the others."""
    grey = ours.configured(ours.GREY)
    with ours.Runs() as started:
        data = {
            f"{copies}x the data": started.start(grey, copied(ours.GREY, plan.images, copies)) for copies in COPIES
        }
        batches = {f"batch of {size}": varied(started, f"batch_size={size}", plan) for size in BATCH_SIZES}
        latents = {f"{number} latents": varied(started, f"model.latent_dim={number}", plan) for number in LATENTS}
        drawn = {
            f"{side}x{side} pixels": started.start(grey, ours.random_binary(plan.drawn_images, side)) for side in SIDES
        }
        return [
            *series(data, plan.rounds, Target(1.05, 1.0, at_most=True)),
            *series(batches, plan.rounds),
            *series(latents, plan.rounds),
            *series(drawn, plan.rounds),
        ]


def copied(words: tuple[str, ...], images: int, copies: int) -> Splits:
    """The first so many training images, several times over."""
    splits = ours.first_images(build_data(ours.configured(words)).read(), images)
    numbers = splits.train.labels.new_tensor(range(len(splits.train))).repeat(copies)
    pixels = splits.train.pixels.index_select(0, numbers)
    return replace(splits, train=replace(splits.train, pixels=pixels, labels=splits.train.labels[numbers]))


def varied(started: ours.Runs, word: str, plan: Plan) -> training.Training:
    """A run that differs from the others in one value."""
    return started.of_words([*ours.GREY, word], min(plan.images, IMAGES))


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
