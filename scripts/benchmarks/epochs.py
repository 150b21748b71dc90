"""A training epoch of MNIST beside those of others: same images, network, batch size and optimiser.

Each loop has a process of its own, and they take turns: what one project imports is no weight on another's steps. The
others' processes are as their users have them. What ours prepares, that denormals are flushed, that freed memory is
kept and who makes the products, is also lent to each of the others in a second process: how much of a ratio is due to
it is seen from the two.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from torch import Tensor, arange

from benchmarks import ours
from benchmarks.apart import Apart, Epoch, Loop
from benchmarks.plan import Plan
from benchmarks.rivals import RIVALS, Rival, load_loop, why_absent
from benchmarks.rows import Absent, Row, Target
from benchmarks.turns import Seconds, ratio, take_turns
from benchmarks.tutorial import TutorialLoop
from vae.app.data import build_data
from vae.training.hardware import prepare_torch

TUTORIAL = "tutorial"
LENT = ", lent our settings"  # of the process
FP32 = "this project, fp32"
GRAPH = "this project, fp32, compiled"
DRAWN = "this project, fp32, pixels drawn anew"
BF16 = "this project, bf16"
BF16_GRAPH = "this project, bf16, compiled"
IN_BF16 = {BF16: "bf16", BF16_GRAPH: "bf16, compiled"}
WORDS: Mapping[str, Sequence[str]] = {
    FP32: ours.GREY,
    GRAPH: [*ours.GREY, "compile=true"],
    DRAWN: ["data.validation_size=0", "device=cpu"],
    BF16: [*ours.GREY, "precision=bf16"],
    BF16_GRAPH: [*ours.GREY, "precision=bf16", "compile=true"],
}


def rows(plan: Plan) -> list[Row | Absent]:
    """Seconds, losses and speed-ups, and a line for each rival that is absent.

    Compiling, seconds once a run, happens in the rehearsal, which is not counted.
    """
    absent = {rival.name: why_absent(rival) for rival in RIVALS}
    others: dict[str, Loop] = {TUTORIAL: partial(of_tutorial, plan.images)}
    others |= {rival.name: partial(of_rival, rival, plan.images) for rival in RIVALS if absent[rival.name] is None}
    lent = {f"{name}{LENT}": partial(prepared, loop) for name, loop in others.items()}
    lacking = ours.without_bf16()
    chosen = {name: words for name, words in WORDS.items() if name not in IN_BF16 or not lacking}
    own = {name: partial(prepared, partial(of_ours, words, plan.images)) for name, words in chosen.items()}
    # What is held against all others has its turn amid them.
    loops = others | {name: own[name] for name in (FP32, GRAPH)} | lent | own
    losses: dict[str, float] = {}
    with ExitStack() as stack:
        epochs = {name: stack.enter_context(Apart(loop)) for name, loop in loops.items()}
        for name in loops:
            try:
                epochs[name].ready()
                epochs[name]()  # the rehearsal
            except RuntimeError as error:
                if name.removesuffix(LENT) not in absent:
                    raise
                # Whatever a foreign package may raise beside a newer torch than it knows.
                absent[name] = f"{name}: it is installed, but does not train: {' '.join(str(error).split())[:200]}"
                del epochs[name]
        turns = {name: partial(note, losses, name, epoch) for name, epoch in epochs.items()}
        seconds = take_turns(turns, plan.rounds, rehearsals=0)
    measured = compared(seconds, losses, plan.images, 1 + plan.rounds)
    return [*measured, *lacking, *(Absent(line) for line in absent.values() if line is not None)]


@contextmanager
def prepared(loop: Loop) -> Iterator[Epoch]:
    """The same loop in a process that is prepared as every run of this project is."""
    prepare_torch(ours.configured(["device=cpu"]))
    with loop() as epoch:
        yield epoch


@contextmanager
def of_tutorial(images: int) -> Iterator[Epoch]:
    """The loop of tutorials."""
    root = Path(ours.configured(ours.GREY).data.root).expanduser()
    yield TutorialLoop(root, images).epoch


@contextmanager
def of_rival(rival: Rival, images: int) -> Iterator[Epoch]:
    """The loop of another project."""
    train = build_data(ours.configured(ours.GREY)).read().train.first(images)
    grey: Tensor = train.pixels.index_select(0, arange(len(train)))
    with TemporaryDirectory() as folder:
        yield load_loop(rival, grey.float() / 255, Path(folder)).epoch


@contextmanager
def of_ours(words: Sequence[str], images: int) -> Iterator[Epoch]:
    """The loop of `python train.py WORDS`."""
    with ours.Runs() as started:
        yield partial(ours.epoch, started.of_words(words, images))


def note(losses: dict[str, float], name: str, epoch: Epoch) -> None:
    """Take the epoch and keep its mean loss."""
    losses[name] = epoch()


def compared(seconds: dict[str, Seconds], losses: dict[str, float], images: int, epochs: int) -> list[Row]:
    """Seconds of an epoch with the loss each loop has come to, and our speed-ups over each of the others."""
    measured = [
        Row(f"epoch of {images} images, {name}", median(taken), "s", note=f"loss {losses[name]:.2f} after {epochs}")
        for name, taken in seconds.items()
    ]
    targets = {TUTORIAL: Target(2.0, 2.6)} | {rival.name: rival.target for rival in RIVALS}
    faster = [
        ratio(f"epoch, {what}: times as fast as {name}{how}", seconds[name + how], seconds[run], target)
        for what, run, how in (("fp32", FP32, ""), ("fp32", FP32, LENT), ("fp32, compiled", GRAPH, ""))
        for name, target in targets.items()
        if name + how in seconds
    ]
    return [
        *measured,
        *faster,
        *(
            ratio(f"epoch, {how}: times as fast as the tutorial", seconds[TUTORIAL], seconds[name], Target(3.0, 4.5))
            for name, how in IN_BF16.items()
            if name in seconds
        ),
        ratio("epoch, pixels drawn anew: times as fast as the tutorial", seconds[TUTORIAL], seconds[DRAWN]),
    ]
