"""A training step beside the peak rate of matrix multiplications, and the share of it that draws pixels."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.turns import Seconds, ratio, seconds_of, take_turns
from vae.data.images import epoch_order, sample_bernoulli_fast
from vae.training import loop as training

IMAGES = 12_800  # more than the caches hold
COMPILED = ("compile=true",)
SIDES = (768, 1024, 1536)  # of the square matrices: larger than the caches, small enough to repeat
REPETITIONS = 8


def rows(plan: Plan, compiled: Sequence[str] = COMPILED) -> list[Row]:
    """The time of a step in fp32, without and with compiling, and the share of dynamic binarisation.

    Args:
        plan: how much is measured.
        compiled: the overrides that compile a run.
    """
    with ours.Runs() as started:
        flops = step_flops(started.of_words(ours.GREY, IMAGES))
        found: list[Row] = []
        for name, words in (("fp32", ()), ("fp32, compiled", compiled)):
            run = started.of_words([*ours.GREY, *words], IMAGES)
            found += beside_the_peak(name, steps(run, plan.steps), flops, plan)
        return [*found, share_of_drawing(started.of_words(["device=cpu"], IMAGES), plan)]


def beside_the_peak(name: str, burst: Callable[[], None], flops: int, plan: Plan) -> list[Row]:
    """The time of a step, and how much of it the step's matrix multiplications would take at the peak rate."""
    burst()  # fills caches, and compiles
    peaks: Seconds = []
    taken: Seconds = []
    for _ in range(plan.rounds):
        peaks.append(flops / matmul_rate())
        taken.append(seconds_of(burst) / plan.steps)
    return [
        Row(f"peak rate of matrix multiplications, {name}", flops / median(peaks) / 1e9, "GFLOP/s"),
        Row(f"train step, {name}", 1e3 * median(taken), "ms", note=f"{flops / 1e6:.4g} MFLOP"),
        ratio(f"train step, {name}: share of the peak rate", peaks, taken, percent=True),
    ]


def matmul_rate() -> float:
    """The rate of multiplying square matrices in FLOP/s: the best over all sizes and repetitions."""
    best = 0.0
    for side in SIDES:
        a, b = torch.randn(side, side), torch.randn(side, side)
        out = torch.empty_like(a)
        for _ in range(1 + REPETITIONS):
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best


def step_flops(run: training.Training) -> int:
    """The operations in the matrix multiplications of one training step, which it makes.

    A multiplication of (m, k) and (k, n) counts as 2 m k n.
    """
    with FlopCounterMode(display=False) as counter:
        steps(run, 1)()
    return int(counter.get_total_flops())


def steps(run: training.Training, number: int) -> Callable[[], None]:
    """A function that makes so many training steps, each on the next batch of a random order."""
    size = run.options.batch_size
    order = epoch_order(len(run.splits.train), seed=0, epoch=0)
    batches = order[: len(order) // size * size].split(size)

    def burst() -> None:
        run.state.vae.train()
        for step in range(number):
            x = run.splits.train.batch(batches[step % len(batches)], run.state.generator)
            training.train_step(run.state, x, run.objective, run.options)

    return burst


def share_of_drawing(run: training.Training, plan: Plan) -> Row:
    """The time of drawing a batch's pixels, as a share of a step's."""
    pixels = run.splits.train.pixels.index_select(0, torch.arange(run.options.batch_size))

    def draws() -> None:
        for _ in range(plan.steps):
            sample_bernoulli_fast(pixels, run.state.generator)

    seconds = take_turns({"draws": draws, "steps": steps(run, plan.steps)}, plan.rounds)
    name = "dynamic binarisation: share of the train step"
    return ratio(name, seconds["draws"], seconds["steps"], at_most=8.0, percent=True)
