"""Posteriors fitted to a fixed decoder, image by image, so that a bound on ln p(x) is equally tight for every beta.

The importance-weighted bound is loose where its samples come from a poor approximation of p(z|x). An encoder
approximates it with independent latents, and with one network for all images (Cremer, Li & Duvenaud, 2018, "Inference
Suboptimality in Variational Autoencoders"). If it was trained at another beta than 1, its variances are wrong as well.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vae.measures.bound import PIXELS_AT_ONCE
from vae.model.vae import VAE
from vae.probability.distributions import Bernoulli, FullNormal, Likelihood
from vae.probability.prior import log_prior

STEPS = 3
FRACTIONS = (0.0, 0.25, 0.5, 1.0)  # of a step, which are compared
NARROWEST = 1e-2  # standard deviation at the start: a smaller change of z may be lost in rounding errors
PREFERENCE = 0.02  # nats by which a part of the step must be better than the whole step
SHARPNESS = 1_000.0  # per nat: two points that differ by less than about 0.001 nats are averaged
RIDGE = 1e-6  # of the largest precision, added to all: the rounding errors of float32


@torch.no_grad()
def refitted_posterior(vae: VAE, x: Float[Tensor, "batch channels height width"], steps: int = STEPS) -> FullNormal:
    r"""A normal approximation of p(z|x) with a full covariance. It begins at the encoder's q(z|x), whatever its beta.

    Each step replaces the decoder by a linear function of z. The posterior of this linear model is known exactly:

    .. math:: \Sigma^{-1} = I + J^T D J, \quad
        \Delta\mu = \Sigma \, (J^T r - \mu)

    Here r is the derivative of ln p(x|z) with respect to the decoder's outputs, and D its Fisher information. J is the
    Jacobian of the decoder, by differences over one standard deviation of the present approximation, so that any
    decoder will do. The mean moves by the whole step or by a part of it, whichever has the higher p(x, z).

    For a linear decoder with a Gaussian likelihood one step gives the exact posterior. Park, Kim & Kim (2019),
    "Variational Laplace Autoencoders", use the same approximation in training.

    The result depends on `x` and the decoder alone. It has no noise, changes nothing in `vae`, and does not depend on
    the other images of the batch. Each step decodes 2 * latents + 4 times.

    Args:
        vae: the model, in evaluation mode.
        x: images with pixels in [0, 1].
        steps: their number; 0 gives the encoder's posterior with its standard deviations between 0.01 and 1.
    """
    images = max(1, PIXELS_AT_ONCE // ((2 * vae.latent_dim + 1) * x[0].numel()))
    fitted = [refitted_few(vae, few, steps) for few in x.split(images)]
    return FullNormal(torch.cat([q.mean for q in fitted]), torch.cat([q.scale for q in fitted]))


def refitted_few(vae: VAE, x: Float[Tensor, "batch channels height width"], steps: int) -> FullNormal:
    """`refitted_posterior` of images that are decoded together."""
    start = vae.encode(x)
    mean = start.mean
    # The posterior of a standard normal prior is seldom wider than the prior.
    scale = torch.diag_embed(torch.exp(0.5 * start.logvar).clamp(NARROWEST, 1.0))
    for _ in range(steps):
        slope, precision = linearised(vae, x, mean, scale)
        # On the CPU, because some devices have no float64 or no Cholesky decomposition.
        slope, precision, scale64 = slope.cpu().double(), precision.cpu().double(), scale.cpu().double()
        precision = precision + scale64.mT @ scale64
        slope = slope - (scale64.mT @ mean.cpu().double()[..., None])[..., 0]
        # A decoder that overflows gives no slope. Its image keeps the mean and the scale that it has.
        finite = slope.isfinite().all(1) & precision.isfinite().flatten(1).all(1)
        eye = torch.eye(vae.latent_dim, dtype=torch.float64)
        precision = torch.where(finite[:, None, None], precision, eye)
        slope = torch.where(finite[:, None], slope, 0.0)
        ridge = RIDGE * precision.diagonal(dim1=1, dim2=2).amax(1)
        factor = torch.linalg.cholesky(precision + ridge[:, None, None] * eye)
        step = scale64 @ torch.cholesky_solve(slope[..., None], factor)
        mean = moved(vae, x, mean, step[..., 0].to(mean))
        scale = torch.linalg.solve_triangular(factor.mT, scale64, upper=True, left=False).to(scale)
    return FullNormal(mean, scale)


def linearised(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    mean: Float[Tensor, "batch latent"],
    scale: Float[Tensor, "batch latent latent"],
) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent latent"]]:
    """J^T r and J^T D J with respect to u, where z = mean + scale @ u, at u = 0."""
    batch, latents = mean.shape
    moves = scale.mT  # row i is the move along u_i
    points = torch.cat([mean[:, None] + moves, mean[:, None] - moves, mean[:, None]], 1)
    decoded = outputs(vae.decode(points.flatten(0, 1))).reshape(batch, 2 * latents + 1, -1)
    jacobian = (decoded[:, :latents] - decoded[:, latents:-1]) / 2  # (batch, latent, pixels)
    residual, information = derivatives(vae.decode(mean), x)
    slope = (jacobian @ residual[..., None])[..., 0]
    return slope, (jacobian * information[:, None]) @ jacobian.mT


def outputs(likelihood: Likelihood) -> Float[Tensor, "batch *pixels"]:
    """The decoder's outputs: logits or means."""
    return likelihood.logits if isinstance(likelihood, Bernoulli) else likelihood.mean


def derivatives(
    likelihood: Likelihood, x: Float[Tensor, "batch *pixels"]
) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch outputs"]]:
    """The derivative of ln p(x|z) with respect to the decoder's outputs, and its Fisher information."""
    residual = (x - likelihood.mean).flatten(1)
    if isinstance(likelihood, Bernoulli):
        probability = likelihood.mean.flatten(1)
        return residual, probability * (1 - probability)
    precision = torch.exp(-likelihood.logvar.flatten()).expand_as(residual)
    return residual * precision, precision


def moved(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    mean: Float[Tensor, "batch latent"],
    step: Float[Tensor, "batch latent"],
) -> Float[Tensor, "batch latent"]:
    """The mean after the part of the step with the highest p(x, z).

    Points that are equally good are averaged, so that a rounding error does not decide between them.
    """
    fractions = torch.tensor(FRACTIONS).to(mean)[:, None]
    points = mean + fractions[..., None] * step
    log_joint = vae.log_likelihood(x, points) + log_prior(points) + PREFERENCE * fractions
    weights = torch.softmax(SHARPNESS * log_joint.nan_to_num(nan=-torch.inf), 0)
    return torch.where(weights.isfinite().all(0)[:, None], (weights[..., None] * points).sum(0), mean)
