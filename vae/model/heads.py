"""From the output of a decoder to the likelihood p(x|z)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.probability.distributions import Bernoulli, Gaussian, Likelihood, LogvarBounds, bound_logvar


class BernoulliHead(nn.Module):
    """The decoder's output as logits."""

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Bernoulli(output)

    def output_of(self, mean: Float[Tensor, " outputs"]) -> Float[Tensor, " outputs"]:
        """The logits of these means, clamped to [0.001, 0.999] as in Burda et al. (2016)."""
        return torch.logit(mean, eps=1e-3)

    def start_at(self, variance: Float[Tensor, "channels height width"]) -> None:
        """Nothing: the variance follows from the mean."""


class GaussianHead(nn.Module):
    """The decoder's output as means. All pixels have the same variance, or each pixel has one of its own.

    A learned variance is that of Rybkin, Daniilidis & Levine (2021), "Simple and Effective VAE Training with
    Calibrated Decoders".

    Args:
        variance: of every pixel; the initial one if it is learned.
        learned: whether the variance is trained.
        bounds: of a learned log-variance.
        shape: () for one variance; (channels, height, width) for one of each pixel.
    """

    logvar: Tensor

    def __init__(
        self, variance: float, learned: bool, bounds: LogvarBounds = LogvarBounds(), shape: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        start = torch.full(shape, math.log(variance))
        self.learned = learned
        self.bounds = bounds
        if learned:
            self.logvar = nn.Parameter(start)
        else:
            self.register_buffer("logvar", start)

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Gaussian(output, bound_logvar(self.logvar, self.bounds) if self.learned else self.logvar)

    def output_of(self, mean: Float[Tensor, " outputs"]) -> Float[Tensor, " outputs"]:
        """The means themselves."""
        return mean

    @torch.no_grad()
    def start_at(self, variance: Float[Tensor, "channels height width"]) -> None:
        """Set a learned variance, to the mean over the pixels if they share one. A fixed one is not changed."""
        if not self.learned:
            return
        if self.logvar.ndim == 0:
            self.logvar.fill_(math.log(float(variance.mean()) + 1e-8))  # the variance of constant images is zero
        else:
            self.logvar.copy_(variance.log().clamp(*self.bounds))
