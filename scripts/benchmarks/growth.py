"""How the time of an image changes when there are more images."""

from dataclasses import replace
from functools import partial
from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.turns import ratio, take_turns
from vae.app.data import build_data
from vae.data import Splits

COPIES = 4


def rows(plan: Plan) -> list[Row]:
    """The time of an image with the data once and four times over, and their ratio."""
    grey = ours.configured(ours.GREY)
    with ours.Runs() as started:
        runs = {copies: started.start(grey, copied(plan.images, copies)) for copies in (1, COPIES)}
        epochs = take_turns({str(copies): partial(ours.epoch, run) for copies, run in runs.items()}, plan.rounds)
        once, often = ([1e6 * s / len(runs[n].splits.train) for s in epochs[str(n)]] for n in (1, COPIES))
    return [
        Row("time of an image, 1x the data", median(once), "us"),
        Row(f"time of an image, {COPIES}x the data", median(often), "us"),
        ratio(f"time of an image: {COPIES}x the data over 1x the data", often, once, at_most=1.05),
    ]


def copied(images: int, copies: int) -> Splits:
    """Splits whose training images are the first `images`, repeated `copies` times."""
    splits = ours.first_images(build_data(ours.configured(ours.GREY)).read(), images)
    numbers = splits.train.labels.new_tensor(range(len(splits.train))).repeat(copies)
    pixels = splits.train.pixels.index_select(0, numbers)
    return replace(splits, train=replace(splits.train, pixels=pixels, labels=splits.train.labels[numbers]))
