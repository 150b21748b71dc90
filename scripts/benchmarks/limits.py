"""What the machine itself can do, and how many operations a training step needs of it."""

import time
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from vae.training import loop as training

SIDES = (768, 1024, 1536)  # of the square matrices: large enough for any cache, small enough to be repeated
REPETITIONS = 8


def gemm_rate(dtype: torch.dtype, sides: Sequence[int] = SIDES, repetitions: int = REPETITIONS) -> float:
    """The peak rate of products of square matrices, in FLOP/s: the best of all sizes and repetitions."""
    best = 0.0
    for side in sides:
        a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        out = torch.empty_like(a)
        torch.mm(a, b, out=out)
        for _ in range(repetitions):
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best


def step_flops(run: training.Training) -> int:
    """The operations in the matrix products (and convolutions) of one training step, forward and backward.

    A product of (m, k) and (k, n) counts as 2 m k n. The step is really taken.
    """
    index = torch.arange(run.options.batch_size)
    x = run.splits.train.batch(index, run.state.generator)
    with FlopCounterMode(display=False) as counter:
        training.train_step(run.state, x, run.objective, run.options)
    return int(counter.get_total_flops())
