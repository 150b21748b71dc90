"""From the output of a decoder to the likelihood p(x|z)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.probability.distributions import Bernoulli, Gaussian, Likelihood, LogvarBounds, bound_logvar, logvar_of


class BernoulliHead(nn.Module):
    """Takes the decoder's output as logits."""

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Bernoulli(output)

    def output_of(self, mean: Float[Tensor, " outputs"]) -> Float[Tensor, " outputs"]:
        """The output of a decoder for these means. An epsilon of 0.001 keeps it finite, as in Burda et al. (2016)."""
        return torch.logit(mean, eps=1e-3)

    def start_at(self, variance: float) -> None:
        """Nothing: the variance follows from the mean."""


class GaussianHead(nn.Module):
    """Takes the decoder's output as means. All pixels have one variance.

    Rybkin, Daniilidis & Levine (2021), "Simple and Effective VAE Training with Calibrated Decoders", learn it.

    Args:
        variance: of every pixel; the initial one if it is learned.
        learned: train the variance with the networks.
        bounds: of the log-variance.
    """

    logvar: Tensor

    def __init__(self, variance: float, learned: bool, bounds: LogvarBounds = LogvarBounds()) -> None:
        super().__init__()
        start = torch.tensor(logvar_of(variance, epsilon=0.0))
        self.learned = learned
        self.bounds = bounds
        if learned:
            self.logvar = nn.Parameter(start)
        else:
            self.register_buffer("logvar", start)

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Gaussian(output, bound_logvar(self.logvar, self.bounds))

    def output_of(self, mean: Float[Tensor, " outputs"]) -> Float[Tensor, " outputs"]:
        """The output of a decoder for these means."""
        return mean

    @torch.no_grad()
    def start_at(self, variance: float) -> None:
        """Set a learned variance to this one. A fixed variance is left as it is."""
        if self.learned:
            self.logvar.fill_(logvar_of(variance))
