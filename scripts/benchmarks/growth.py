"""How the time of an image grows with the size of the batch, of the data, of the latents and of the images."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.turns import ratio, take_turns
from vae.app.data import build_data
from vae.data import Splits
from vae.training.loop import Training

BATCH_SIZES = (32, 128, 512, 2048)
IMAGES = 12_800  # of an epoch, where the number of images is not what grows
COPIES = (1, 2, 4)
LATENTS = (2, 20, 200)
SIDES = (14, 28, 56)


def rows(plan: Plan) -> list[Row]:
    """The time of an image, and the growth from the first of each series to the others."""
    grey = ours.configured(ours.GREY)
    few = min(plan.images, IMAGES)
    with ours.Runs() as started:
        data = {f"{copies}x the data": started.start(grey, copied(plan.images, copies)) for copies in COPIES}
        batches = {f"batch of {n}": started.of_words([*ours.GREY, f"batch_size={n}"], few) for n in BATCH_SIZES}
        latents = {f"{n} latents": started.of_words([*ours.GREY, f"model.latent_dim={n}"], few) for n in LATENTS}
        drawn = {
            f"{side}x{side} pixels": started.start(grey, ours.random_binary(plan.drawn_images, side)) for side in SIDES
        }
        return [
            *series(data, plan.rounds, limit_of_last=1.05),
            *(row for runs in (batches, latents, drawn) for row in series(runs, plan.rounds)),
        ]


def copied(images: int, copies: int) -> Splits:
    """The first training images, several times over."""
    splits = ours.first_images(build_data(ours.configured(ours.GREY)).read(), images)
    numbers = splits.train.labels.new_tensor(range(len(splits.train))).repeat(copies)
    pixels = splits.train.pixels.index_select(0, numbers)
    return replace(splits, train=replace(splits.train, pixels=pixels, labels=splits.train.labels[numbers]))


def series(runs: Mapping[str, Training], rounds: int, limit_of_last: float | None = None) -> list[Row]:
    """Microseconds an image of each run, and the ratios to the first."""
    epochs = take_turns({name: partial(ours.epoch, run) for name, run in runs.items()}, rounds)
    each = {
        name: [1e6 * seconds / len(runs[name].splits.train) for seconds in taken] for name, taken in epochs.items()
    }
    first, *others = each
    name_of_limit = others[-1] if limit_of_last else None
    return [
        *(Row(f"time of an image, {name}", median(taken), "us") for name, taken in each.items()),
        *(
            ratio(
                f"time of an image: {name} over {first}",
                each[name],
                each[first],
                at_most=limit_of_last if name == name_of_limit else None,
            )
            for name in others
        ),
    ]
