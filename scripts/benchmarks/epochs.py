"""A training epoch of MNIST beside that of other projects, with the same images, network, batch size and optimizer.

Each loop has a process of its own, and they take turns. The others train with the default settings of a process, and
again with ours: denormals flushed to zero, freed memory kept, and the same library for matrix multiplications.
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
from benchmarks.rivals import RIVALS, TUTORIAL, Rival, load_loop
from benchmarks.rows import Absent, Row
from benchmarks.turns import Seconds, ratio, take_turns
from vae.app.data import build_data
from vae.training.hardware import prepare_torch

LENT = ", lent our settings"
FP32 = "this project, fp32"
COMPILED = "this project, fp32, compiled"
DRAWN = "this project, fp32, pixels drawn anew"
BF16 = "this project, bf16"
BF16_COMPILED = "this project, bf16, compiled"
WORDS: Mapping[str, Sequence[str]] = {
    FP32: ours.GREY,
    COMPILED: [*ours.GREY, "compile=true"],
    DRAWN: ["data.validation_size=0", "device=cpu"],
    BF16: [*ours.GREY, "precision=bf16"],
    BF16_COMPILED: [*ours.GREY, "precision=bf16", "compile=true"],
}


def rows(plan: Plan, rivals: Sequence[Rival] = RIVALS, own: Mapping[str, Sequence[str]] = WORDS) -> list[Row | Absent]:
    """Seconds, losses and ratios, and a line for each rival that is not installed or does not train.

    The first epoch of each loop, with its compiling, is not counted.
    """
    lacking = ours.without_bf16()
    chosen = {name: words for name, words in own.items() if not (lacking and name in (BF16, BF16_COMPILED))}
    others: dict[str, Loop] = {
        rival.name: partial(rival_loop, rival, plan.images) for rival in rivals if rival.installed
    }
    lent: dict[str, Loop] = {f"{name}{LENT}": partial(prepared, loop) for name, loop in others.items()}
    loops = others | {name: partial(prepared, partial(own_loop, words, plan.images)) for name, words in chosen.items()}
    absent = [f"{rival.name} is not installed: pip install '.[bench]'" for rival in rivals if not rival.installed]
    losses: dict[str, float] = {}
    with ExitStack() as stack:
        epochs = {name: stack.enter_context(Apart(loop)) for name, loop in (loops | lent).items()}
        for name in list(epochs):
            try:
                epochs[name]()  # the rehearsal
            except Exception as error:
                if name in chosen:
                    raise
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                absent.append(f"{name}: it is installed, but does not train: {reason}")
                del epochs[name]
        turns = {name: partial(train_and_note, losses, name, epoch) for name, epoch in epochs.items()}
        seconds = take_turns(turns, plan.rounds, rehearsals=0)
    measured = [
        Row(f"epoch of {plan.images} images, {name}", median(taken), "s", note=f"loss {losses[name]:.2f}")
        for name, taken in seconds.items()
    ]
    return [*measured, *ratios(seconds, rivals), *lacking, *map(Absent, absent)]


def train_and_note(losses: dict[str, float], name: str, epoch: Epoch) -> None:
    """Train an epoch and store its mean loss in `losses`."""
    losses[name] = epoch()


@contextmanager
def prepared(loop: Loop) -> Iterator[Epoch]:
    """Open `loop` with the process settings of our runs."""
    prepare_torch(ours.configured(["device=cpu"]))
    with loop() as epoch:
        yield epoch


@contextmanager
def rival_loop(rival: Rival, images: int) -> Iterator[Epoch]:
    """The loop of a rival."""
    config = ours.configured(ours.GREY)
    train = build_data(config).read().train.first(images)
    grey: Tensor = train.pixels.index_select(0, arange(len(train)))
    with TemporaryDirectory() as folder:
        yield load_loop(rival, grey.float() / 255, Path(config.data.root).expanduser(), Path(folder)).epoch


@contextmanager
def own_loop(words: Sequence[str], images: int) -> Iterator[Epoch]:
    """The loop of `python train.py WORDS`."""
    with ours.Runs() as started:
        yield partial(ours.epoch, started.of_words(words, images))


def ratios(seconds: Mapping[str, Seconds], rivals: Sequence[Rival] = RIVALS) -> list[Row]:
    """How many times as fast our epochs are as those of the others."""
    pairs = [(FP32, rival.name, rival.at_least) for rival in rivals]
    pairs += [(FP32, f"{rival.name}{LENT}", rival.at_least) for rival in rivals]
    pairs += [(COMPILED, rival.name, rival.compiled_at_least) for rival in rivals]
    pairs += [(run, TUTORIAL.name, 3.0) for run in (BF16, BF16_COMPILED)]
    limits: list[tuple[str, str, float | None]] = [*pairs, (DRAWN, TUTORIAL.name, None)]
    return [
        ratio(f"epoch, {run}: times as fast as {other}", seconds[other], seconds[run], at_least=limit)
        for run, other, limit in limits
        if run in seconds and other in seconds
    ]
