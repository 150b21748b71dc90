"""The distributions of a VAE: the posterior q(z|x), and the likelihoods p(x|z). Log-densities are in nats.

Sampling, density and KL all use the same bounded log-variance. Otherwise distortion + rate would not be a bound on
-ln p(x).
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from vae.probability.divergences import kl_to_standard_normal
from vae.probability.finite import all_inside, refuse_nan
from vae.probability.prior import LN_2PI

NEGLIGIBLE = -80.0  # its exponential is lost when added to 1, in float32 and float64, and is not denormal


def log_sum_exp(log_densities: Float[Tensor, "*shape"], dim: int) -> Tensor:
    """`torch.logsumexp` without denormal intermediate results, with which a CPU computes slowly.

    Example:
        >>> log_sum_exp(torch.tensor([-100.0, -100.0, -900.0]), 0)
        tensor(-99.3069)
    """
    largest = log_densities.detach().amax(dim, keepdim=True)
    return (log_densities - largest).clamp(min=NEGLIGIBLE).exp().sum(dim).log() + largest.squeeze(dim)


class LogvarBounds(NamedTuple):
    """The interval of ln(sigma^2). By default sigma lies between 0.0067 and 148."""

    low: float = -10.0
    high: float = 10.0


class _Bound(torch.autograd.Function):
    """`clamp` in the forward pass. In the backward pass, values outside the bounds get a gradient that leads back.

    Outside, the gradient of the loss is replaced by that of (|d| + d^2 / 2) / batch, where d is the distance to the
    bounds. The gradient of `clamp` is zero there, so nothing would bring a log-variance back. The gradient of the KL
    at the bound is too large: at logvar = 10 it is e^10 / 2, which dominates Adam's moments for thousands of steps.
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
        reach = ctx.high - ctx.low  # the limit of d: the gradient stays finite
        rows = logvar.shape[0] if logvar.ndim > 0 else 1
        pull = (beyond.sign() + beyond.clamp(-reach, reach)) / rows
        return torch.where(beyond == 0, gradient, pull), None, None


def bound_logvar(logvar: Float[Tensor, "*shape"], bounds: LogvarBounds = LogvarBounds()) -> Float[Tensor, "*shape"]:
    """`logvar` clamped to `bounds`. Values outside get a gradient that leads back inside.

    Raises:
        NonFiniteError: `logvar` holds NaN.

    Example:
        >>> bound_logvar(torch.tensor([-50.0, 1.0, 50.0]))
        tensor([-10.,   1.,  10.])
    """
    if all_inside(logvar, *bounds):  # the usual case, where the clamp changes nothing
        return logvar
    refuse_nan("logvar", logvar)
    bounded: Tensor = _Bound.apply(logvar, bounds.low, bounds.high)
    return bounded


class DiagonalNormal:
    """N(mean, diag(exp(logvar))) over the last axis, with the log-variance bounded.

    Args:
        mean: of each latent.
        logvar: the natural logarithm of each variance, unbounded, as the encoder returns it.
        bounds: of the log-variance. The attribute `logvar` lies between them.

    Raises:
        NonFiniteError: `mean` or `logvar` holds NaN.
    """

    def __init__(
        self,
        mean: Float[Tensor, "*batch latent"],
        logvar: Float[Tensor, "*batch latent"],
        bounds: LogvarBounds = LogvarBounds(),
    ) -> None:
        refuse_nan("mean", mean)
        self.mean = mean
        self.unbounded_logvar = logvar
        self.logvar = bound_logvar(logvar, bounds)
        self.bounds = bounds

    def rsample(self, noise: Float[Tensor, "*samples latent"]) -> Float[Tensor, "*samples latent"]:
        """The reparametrised sample mean + sigma * noise (Kingma & Welling, 2014, Section 2.4).

        Args:
            noise: standard normal, of the mean's shape or with sample axes in front.
        """
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def log_prob(self, z: Float[Tensor, "*samples latent"]) -> Float[Tensor, "*samples"]:
        """ln q(z), summed over the latents, in nats."""
        squares = (z - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + LN_2PI).sum(-1)

    def kl_to_standard(self) -> Float[Tensor, "*batch latent"]:
        """KL(q || N(0, I)) of each latent, in nats."""
        return kl_to_standard_normal(self.mean, self.logvar)

    def saturated(self) -> Bool[Tensor, "*batch latent"]:
        """Whether the encoder returned a log-variance at a bound or beyond it."""
        return (self.logvar <= self.bounds.low) | (self.logvar >= self.bounds.high)


class FullNormal:
    """N(mean, scale scale^T) over the last axis.

    Args:
        mean: of each latent.
        scale: a triangular factor of the covariance of each image, with a positive diagonal.
    """

    def __init__(self, mean: Float[Tensor, "batch latent"], scale: Float[Tensor, "batch latent latent"]) -> None:
        self.mean = mean
        self.scale = scale
        # In float64 on the CPU, because some devices have neither float64 nor this function.
        self._inverse = torch.linalg.inv(scale.cpu().double()).to(scale)

    def rsample(self, noise: Float[Tensor, "*samples batch latent"]) -> Float[Tensor, "*samples batch latent"]:
        """The sample mean + scale @ noise.

        Args:
            noise: standard normal, of the mean's shape or with sample axes in front.
        """
        return self.mean + torch.einsum("bij,...bj->...bi", self.scale, noise)

    def log_prob(self, z: Float[Tensor, "*samples batch latent"]) -> Float[Tensor, "*samples batch"]:
        """ln q(z), summed over the latents, in nats."""
        noise = torch.einsum("bij,...bj->...bi", self._inverse, z - self.mean)
        log_determinant = self.scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.square() + LN_2PI).sum(-1) - log_determinant


class _BernoulliLogProb(torch.autograd.Function):
    """The sum over pixels of x * logits - softplus(logits). The gradient with respect to the logits is x - p.

    It is faster on a CPU than `binary_cross_entropy_with_logits`, which is not vectorised. With p = sigmoid(a),
    softplus(a) = relu(a) - ln max(p, 1 - p), and the gradient needs p as well. The logarithm is the slowest part, so
    it is computed once for the product of up to 112 factors. Each factor is at least 1/2, so no product is denormal in
    float32.
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
    """Independent pixels that are 0 or 1. For grey x in [0, 1], `log_prob` is the negative cross-entropy.

    Args:
        logits: ln(p / (1 - p)) of each pixel.
    """

    def __init__(self, logits: Float[Tensor, "batch *pixels"]) -> None:
        self.logits = logits

    @property
    def mean(self) -> Float[Tensor, "batch *pixels"]:
        """The probability of a 1."""
        return self.logits.sigmoid()

    def log_prob(self, x: Float[Tensor, "batch *pixels"]) -> Float[Tensor, " batch"]:
        """ln p(x|z), summed over the pixels, in nats. Differentiable in the logits, not in `x`."""
        log_prob: Tensor = _BernoulliLogProb.apply(self.logits, x)
        return log_prob


class Gaussian:
    """Independent real pixels with the given means, and one variance exp(logvar) for all or one for each.

    The logarithm of a density can be positive, so a distortion can be negative.

    Args:
        mean: of each pixel.
        logvar: the log-variance of all pixels, or of each, in nats.
    """

    def __init__(
        self, mean: Float[Tensor, "batch *pixels"], logvar: Float[Tensor, ""] | Float[Tensor, "*pixels"]
    ) -> None:
        self.mean = mean
        self.logvar = logvar

    def log_prob(self, x: Float[Tensor, "batch *pixels"]) -> Float[Tensor, " batch"]:
        """ln p(x|z), summed over the pixels, in nats."""
        squares = (x - self.mean).flatten(1).square()
        logvar = self.logvar.flatten()  # of all pixels, or of each
        return -0.5 * (squares * torch.exp(-logvar) + logvar + LN_2PI).sum(1)


Likelihood = Bernoulli | Gaussian
