"""A training step beside the machine's limit, and what drawing the pixels costs of it.

The share of the limit depends on where the machine's two cores are: with each round goes how far apart they were.
"""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import ours
from benchmarks.handover import there_and_back
from benchmarks.limits import gemm_rate, step_flops
from benchmarks.plan import Plan
from benchmarks.rows import Absent, Row, Target
from benchmarks.turns import seconds_of, take_turns
from vae.data.images import epoch_order, sample_bernoulli_fast
from vae.training import loop as training

IMAGES = 12_800  # enough that a batch is not in the cache
SHARE = Target(55.0, 70.0)
COMPILED = ("compile=true",)


def rows(plan: Plan, compiled: Sequence[str] = COMPILED) -> list[Row | Absent]:
    """The fraction of the GEMM limit in fp32, also compiled, and in bf16, and the share of dynamic binarisation.

    Args:
        plan: how much is measured.
        compiled: the words by which a run is compiled, tens of seconds.
    """
    with ours.Runs() as started:
        grey = started.of_words(ours.GREY, IMAGES)
        flops = step_flops(grey)
        graph = started.of_words([*ours.GREY, *compiled], IMAGES)
        drawn = started.of_words(["device=cpu"], IMAGES)
        return [
            *beside_the_limit(grey, flops, torch.float32, "fp32", SHARE, plan),
            *beside_the_limit(graph, flops, torch.float32, "fp32, compiled", SHARE, plan)[1:],
            *without_the_rest(grey, flops, plan),
            *in_bf16(started, flops, plan),
            share_of_drawing(drawn, plan),
        ]


def in_bf16(started: ours.Runs, flops: int, plan: Plan) -> list[Row] | list[Absent]:
    """The same in bf16, where that is not emulated."""
    lacking = ours.without_bf16()
    if lacking:
        return lacking
    run = started.of_words([*ours.GREY, "precision=bf16"], IMAGES)
    return beside_the_limit(run, flops, torch.bfloat16, "bf16", None, plan)


def beside_the_limit(
    run: training.Training, flops: int, dtype: torch.dtype, how: str, target: Target | None, plan: Plan
) -> list[Row]:
    """The time that the step's matrix products would take at the peak rate, as a share of the step's time."""
    burst = steps(run, plan.steps)
    burst()
    rates, ways, times = [], [], []
    for _ in range(plan.rounds):
        rates.append(gemm_rate(dtype))
        ways.append(there_and_back())
        times.append(seconds_of(burst) / plan.steps)
    fractions = [100 * flops / rate / taken for rate, taken in zip(rates, times, strict=True)]
    return [
        Row(f"GEMM peak, {how}", median(rates) / 1e9, "GFLOP/s", note=f"best {max(rates) / 1e9:.4g}"),
        Row(f"train step of {run.options.batch_size} images, {how}", 1e3 * median(times), "ms"),
        Row(
            f"train step, {how}: share of the GEMM limit",
            median(fractions),
            "%",
            target,
            f"{extremes(fractions, ways)}, {flops / 1e6:.4g} MFLOP a step",
        ),
    ]


def without_the_rest(run: training.Training, flops: int, plan: Plan) -> list[Row]:
    """What share of the limit a step could reach if it were its matrix products alone, or these and Adam."""
    products = products_of(run)
    adam = run.state.optimizer.step
    parts: dict[str, Sequence[Callable[[], object]]] = {
        "products alone": products,
        "products and Adam": [*products, adam],
    }
    found = []
    for name, calls in parts.items():
        burst = partial(repeat, calls, plan.steps)
        burst()
        ways, fractions = [], []
        for _ in range(plan.rounds):
            rate = gemm_rate(torch.float32)
            ways.append(there_and_back())
            fractions.append(100 * flops / rate / (seconds_of(burst) / plan.steps))
        note = extremes(fractions, ways)
        found.append(Row(f"its {name}, repeated: share of the GEMM limit", median(fractions), "%", note=note))
    return found


def extremes(values: Sequence[float], ways: Sequence[float]) -> str:
    """The lowest and the highest round, with a byte's way from core to core and back (in seconds) before each.

    Example:
        >>> extremes([50.2, 31.9, 32.5], [301e-9, 552e-9, 538e-9])
        'rounds 31.9 (552 ns) to 50.2 (301 ns)'
    """
    rounds = sorted(zip(values, ways, strict=True))
    low, high = (f"{value:.3g} ({1e9 * way:.0f} ns)" for value, way in (rounds[0], rounds[-1]))
    return f"rounds {low} to {high}"


def repeat(calls: Sequence[Callable[[], object]], times: int) -> None:
    """Make the calls, one after another, so many times; what autograd would record of them is not."""
    with torch.no_grad():
        for _ in range(times):
            for call in calls:
                call()


class Products(TorchDispatchMode):
    """Keeps the matrix products that are made, to be made again."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Callable[[], object]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make the call; keep it if it is a product."""
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.calls.append(partial(func, *args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def products_of(run: training.Training) -> list[Callable[[], object]]:
    """The matrix products of one step, forward and backward. The step is really taken."""
    x = run.splits.train.batch(torch.arange(run.options.batch_size), run.state.generator)
    with Products() as products:
        training.train_step(run.state, x, run.objective, run.options)
    calls: list[Callable[[], object]] = products.calls
    return calls


def steps(run: training.Training, number: int) -> Callable[[], None]:
    """A burst of steps as the loop takes them: the batch is taken from the images, in random order, and trained on."""
    order = epoch_order(len(run.splits.train), seed=0, epoch=0)
    batches = order[: len(order) // run.options.batch_size * run.options.batch_size].split(run.options.batch_size)

    def burst() -> None:
        run.state.vae.train()
        for step in range(number):
            x = run.splits.train.batch(batches[step % len(batches)], run.state.generator)
            training.train_step(run.state, x, run.objective, run.options)

    return burst


def share_of_drawing(run: training.Training, plan: Plan) -> Row:
    """The time that the draws of a batch take, as a share of a step's with them."""
    pixels = run.splits.train.pixels.index_select(0, torch.arange(run.options.batch_size))

    def draws() -> None:
        for _ in range(plan.steps):
            sample_bernoulli_fast(pixels, run.state.generator)

    seconds = take_turns({"draws": draws, "steps": steps(run, plan.steps)}, plan.rounds)
    shares = [100 * a / b for a, b in zip(seconds["draws"], seconds["steps"], strict=True)]
    return Row(
        "dynamic binarisation: share of the train step",
        median(shares),
        "%",
        Target(8.0, 3.0, at_most=True),
        f"rounds {min(shares):.3g} to {max(shares):.3g}",
    )
