"""A training epoch of MNIST beside those of others: same images, network, batch size and optimiser."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from torch import Tensor

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rivals import RIVALS, loops_of_rivals
from benchmarks.rows import Absent, Row, Target
from benchmarks.turns import Seconds, ratio, take_turns
from benchmarks.tutorial import TutorialLoop
from vae.build import read_data

TUTORIAL = "tutorial"
FP32 = "this project, fp32"
DRAWN = "this project, fp32, pixels drawn anew"
BF16 = "this project, bf16"
COMPILED = "this project, bf16, compiled"


def rows(plan: Plan) -> list[Row | Absent]:
    """Seconds, losses and speed-ups, and a line for each rival that is absent.

    Compiling, seconds once a run, happens in the rehearsal, which is not counted.
    """
    config = ours.configured(ours.GREY)
    splits = ours.first_images(read_data(config), plan.images)
    grey: Tensor = splits.train.pixels.index_select(0, splits.train.labels.new_tensor(range(len(splits.train))))
    with ours.Runs() as started:
        rivals, absent = loops_of_rivals(grey.float() / 255, started.folder)
        runs = {
            FP32: started.start(config, splits),
            DRAWN: started.of_words(["data.validation_size=0", "device=cpu"], plan.images),
            BF16: started.of_words([*ours.GREY, "precision=bf16"], plan.images),
            COMPILED: started.of_words([*ours.GREY, "precision=bf16", "compile=true"], plan.images),
        }
        tutorial = TutorialLoop(Path(config.data.root).expanduser(), plan.images)
        epochs: dict[str, Callable[[], float]] = {TUTORIAL: tutorial.epoch}
        epochs |= {name: loop.epoch for name, loop in rivals.items()}
        epochs |= {name: partial(ours.epoch, run) for name, run in runs.items()}
        losses: dict[str, float] = {}
        turns = {name: noted(losses, name, epoch) for name, epoch in epochs.items()}
        seconds = take_turns(turns, plan.rounds)
    return [*compared(seconds, losses, plan.images, 1 + plan.rounds), *absent]


def noted(losses: dict[str, float], name: str, epoch: Callable[[], float]) -> Callable[[], None]:
    """The epoch, its mean loss kept."""

    def turn() -> None:
        losses[name] = epoch()

    return turn


def compared(seconds: dict[str, Seconds], losses: dict[str, float], images: int, epochs: int) -> list[Row]:
    """Seconds of an epoch with the loss each loop has come to, and our speed-ups over each of the others."""
    measured = [
        Row(f"epoch of {images} images, {name}", median(taken), "s", note=f"loss {losses[name]:.2f} after {epochs}")
        for name, taken in seconds.items()
    ]
    targets = {TUTORIAL: Target(2.0, 2.6)} | {rival.name: rival.target for rival in RIVALS}
    faster = [
        ratio(f"epoch, fp32: times as fast as {name}", seconds[name], seconds[FP32], target)
        for name, target in targets.items()
        if name in seconds
    ]
    return [
        *measured,
        *faster,
        *(
            ratio(f"epoch, {how}: times as fast as the tutorial", seconds[TUTORIAL], seconds[name], Target(3.0, 4.5))
            for how, name in (("bf16", BF16), ("bf16, compiled", COMPILED))
        ),
        ratio("epoch, pixels drawn anew: times as fast as the tutorial", seconds[TUTORIAL], seconds[DRAWN]),
    ]
