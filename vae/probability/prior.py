"""The prior p(z) = N(0, I) over the latents: its log-density and its samples."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

LN_2PI = math.log(2 * math.pi)


def log_prior(z: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
    """ln p(z), summed over the latents, in nats."""
    return -0.5 * (z.square() + LN_2PI).sum(-1)


def standard_normal(shape: Sequence[int], generator: torch.Generator, device: torch.device | None = None) -> Tensor:
    """Independent samples of N(0, 1): z from the prior, or the noise of a posterior's sample.

    Args:
        shape: of the result.
        generator: the source of randomness.
        device: of the result; the generator's by default.
    """
    return torch.randn(shape, generator=generator, device=device or generator.device)
