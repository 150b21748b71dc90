"""The distributions of a VAE: the posterior q(z|x), and the likelihoods p(x|z). Log-densities are in nats.

Here, and only here, the log-variance is bounded. The sampler, the density and the KL all read the bounded one: if they
did not agree, distortion + rate would bound nothing.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from vae.probability.divergences import KLTerms, kl_to_standard_normal, kl_to_standard_normal_terms
from vae.probability.finite import all_inside, refuse_nan

LN_2PI = math.log(2 * math.pi)
NEGLIGIBLE = -80.0  # e to this adds nothing to 1, in float32 or float64, and is still a normal number


def log_sum_exp(log_densities: Float[Tensor, "*shape"], dim: int) -> Tensor:
    """`torch.logsumexp` of log-densities, of which most are tiny beside the largest; that is finite.

    Thirty times faster there: `exp` of what it rounds to zero takes 5 ns on a CPU, of anything else 0.15 ns.

    Example:
        >>> log_sum_exp(torch.tensor([-100.0, -100.0, -900.0]), 0)
        tensor(-99.3069)
    """
    largest = log_densities.detach().amax(dim, keepdim=True)
    return (log_densities - largest).clamp(min=NEGLIGIBLE).exp().sum(dim).log() + largest.squeeze(dim)


class LogvarBounds(NamedTuple):
    """The interval of ln(sigma^2). The default lets sigma lie between 0.0067 and 148."""

    low: float = -10.0
    high: float = 10.0


class _Bound(torch.autograd.Function):
    """`clamp` with a gradient that leads back inside from anywhere outside.

    `clamp` alone has no gradient outside, so the KL cannot pull back a posterior that was once thrown there. Its
    gradient at the bound will not do instead: at logvar = 10 it is e^10 / 2, which fills Adam's moments for
    thousands of steps, at -10 it is 1/2. Outside, this one is that of (|d| + d^2 / 2) / batch, with d the distance
    to the interval, whatever the loss says.
    """

    @staticmethod
    def forward(ctx: Any, logvar: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(logvar)
        ctx.low, ctx.high = low, high
        return logvar.clamp(low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (logvar,) = ctx.saved_tensors
        beyond = logvar - logvar.clamp(ctx.low, ctx.high)
        reach = ctx.high - ctx.low  # farther away the pull grows no more, so that it stays finite
        rows = logvar.shape[0] if logvar.ndim > 0 else 1
        pull = (beyond.sign() + beyond.clamp(-reach, reach)) / rows
        return torch.where(beyond == 0, gradient, pull), None, None


def bound_logvar(logvar: Float[Tensor, "*shape"], bounds: LogvarBounds = LogvarBounds()) -> Float[Tensor, "*shape"]:
    """`logvar` clamped to `bounds`, with a gradient that leads back inside from anywhere.

    Raises:
        NonFiniteError: `logvar` holds NaN, which a clamp would let through.

    Example:
        >>> bound_logvar(torch.tensor([-50.0, 1.0, 50.0]))
        tensor([-10.,   1.,  10.])
    """
    if all_inside(logvar, *bounds):  # mostly: what cannot be looked at takes the long way, which gives the same
        return logvar
    refuse_nan("logvar", logvar)
    bounded: Tensor = _Bound.apply(logvar, bounds.low, bounds.high)
    return bounded


def logvar_of(variance: float, epsilon: float = 1e-8) -> float:
    """ln(variance + epsilon): the log-variance of a variance that may be zero, as that of constant images is."""
    return math.log(variance + epsilon)


class DiagonalNormal:
    """N(mean, diag(exp(logvar))) over the last axis, with the log-variance bounded.

    Args:
        mean: of each latent.
        logvar: the natural logarithm of each variance, as the encoder gives it, unbounded.
        bounds: of the log-variance.

    Raises:
        NonFiniteError: `mean` or `logvar` holds NaN.
    """

    mean: Float[Tensor, "*batch latent"]
    logvar: Float[Tensor, "*batch latent"]  # bounded

    def __init__(
        self,
        mean: Float[Tensor, "*batch latent"],
        logvar: Float[Tensor, "*batch latent"],
        bounds: LogvarBounds = LogvarBounds(),
    ) -> None:
        refuse_nan("mean", mean)
        self.mean = mean
        self.logvar = bound_logvar(logvar, bounds)
        self.bounds = bounds

    def rsample(self, noise: Float[Tensor, "*samples latent"]) -> Float[Tensor, "*samples latent"]:
        """The sample mean + sigma * noise, through which gradients flow (Kingma & Welling, 2014, Section 2.4).

        Args:
            noise: standard normal, of the mean's shape or with more axes in front.
        """
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "*samples"]:
        """ln q(z), summed over the latents, in nats."""
        squares = (z - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + LN_2PI).sum(-1)

    def kl_to_standard(self) -> Float[Tensor, "*batch latent"]:
        """KL(q || N(0, I)) of each latent, in nats."""
        return kl_to_standard_normal(self.mean, self.logvar)

    def kl_terms(self) -> KLTerms:
        """The three terms of `kl_to_standard`, in nats."""
        return kl_to_standard_normal_terms(self.mean, self.logvar)

    def saturated(self) -> Bool[Tensor, "*batch latent"]:
        """Where the log-variance sits on a bound, so that the encoder asked for it or for more."""
        return (self.logvar <= self.bounds.low) | (self.logvar >= self.bounds.high)


class _BernoulliLogProb(torch.autograd.Function):
    """The sum over pixels of x * logits - softplus(logits), with the gradient written down: x - sigmoid(logits).

    torch's softplus and binary_cross_entropy_with_logits are scalar code on a CPU and would take a seventh of a
    training step; relu(a) - ln max(p, 1 - p) with p = sigmoid(a) is the same function out of vectorised pieces, and p
    is needed for the gradient anyway. Numbers from 1/2 to 1 can be multiplied before the logarithm is taken, which is
    the dearest piece: the product of up to 112, four rows of MNIST, is 2^-112 at least, no denormal in float32.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        p = logits.sigmoid()
        ctx.save_for_backward(x - p)
        larger = torch.maximum(p, 1 - p).flatten(1)
        products: Tensor = larger.unflatten(1, (-1, math.gcd(larger.shape[1], 112))).prod(2)
        return products.log_().sum(1) - logits.relu().addcmul_(x, logits, value=-1).flatten(1).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (residual,) = ctx.saved_tensors
        return residual * gradient.view(-1, *[1] * (residual.ndim - 1)), None


class Bernoulli:
    """Independent pixels that are 0 or 1, given by their logits. Grey x in [0, 1] is accepted, as a cross-entropy.

    Args:
        logits: ln(p / (1 - p)) of each pixel; the first axis is the image.
    """

    def __init__(self, logits: Float[Tensor, "batch *pixels"]) -> None:
        self.logits = logits

    @property
    def mean(self) -> Float[Tensor, "batch *pixels"]:
        """The probability of a 1."""
        return self.logits.sigmoid()

    def log_prob(self, x: Float[Tensor, "batch *pixels"]) -> Float[Tensor, " batch"]:
        """ln p(x|z), summed over the pixels, in nats. Gradients reach the logits, not `x`."""
        log_prob: Tensor = _BernoulliLogProb.apply(self.logits, x)
        return log_prob


class Gaussian:
    """Independent real pixels around `mean`, all with the variance exp(logvar).

    A density: its logarithm can be positive, and a distortion below zero is no error.

    Args:
        mean: of each pixel; the first axis is the image.
        logvar: one log-variance for all pixels.
    """

    def __init__(self, mean: Float[Tensor, "batch *pixels"], logvar: Float[Tensor, ""]) -> None:
        self.mean = mean
        self.logvar = logvar

    def log_prob(self, x: Float[Tensor, "batch *pixels"]) -> Float[Tensor, " batch"]:
        """ln p(x|z), summed over the pixels, in nats."""
        squares = (x - self.mean).flatten(1).square()
        return -0.5 * (squares * torch.exp(-self.logvar) + self.logvar + LN_2PI).sum(1)


Likelihood = Bernoulli | Gaussian
