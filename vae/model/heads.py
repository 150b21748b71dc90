"""From the numbers of a decoder to the likelihood p(x|z)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.probability.distributions import Bernoulli, Gaussian, Likelihood, LogvarBounds, bound_logvar, logvar_of


class BernoulliHead(nn.Module):
    """Reads the decoder's numbers as logits."""

    def forward(self, output: Float[Tensor, "batch *pixels"]) -> Likelihood:
        """p(x|z)."""
        return Bernoulli(output)

    @torch.no_grad()
    def start_at(self, mean: Float[Tensor, " outputs"], variance: float) -> Tensor:  # noqa: ARG002
        """The bias under which a decoder that ignores z gives pixels of this mean.

        A pixel that is never lit has a logit of -inf: an epsilon of 0.001 keeps it finite, as in Burda et al. (2016).
        """
        return torch.logit(mean, eps=1e-3)


class GaussianHead(nn.Module):
    """Reads the decoder's numbers as means; one variance for all pixels.

    The learned variance is that of Rybkin, Daniilidis & Levine (2021), "Simple and Effective VAE Training with
    Calibrated Decoders".

    Args:
        variance: of every pixel; where it is learned, what it starts from.
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

    @torch.no_grad()
    def start_at(self, mean: Float[Tensor, " outputs"], variance: float) -> Tensor:
        """The bias under which a decoder that ignores z gives pixels of this mean; a learned variance starts there."""
        if self.learned:
            self.logvar.fill_(logvar_of(variance))
        return mean
