"""A model and a set of images -> numbers. Chance has a seed of its own here: evaluating never changes training."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vae.data.images import ImageSet
from vae.measures import (
    active_by_posterior_variance,
    active_by_rate,
    active_by_variance,
    aggregate_kl,
    aggregate_posterior,
    baseline_distortion,
    decompose_rate,
    effective_latents,
    gaussian_total_correlation,
    importance_weighted_bound,
    importance_weighted_halves,
    label_information,
    participation_ratio,
    shuffled,
)
from vae.model.vae import VAE
from vae.objectives import elbo_terms
from vae.probability.divergences import kl_to_standard_normal_terms
from vae.probability.prior import standard_normal

EVALUATION_SEED = 20140414  # one noise for every evaluation of every run, so that their numbers can be compared
BATCH = 1_000  # images at a time
DENSITIES = 400_000_000  # of a decomposition of the rate: 2 000 samples at 10 000 images and 20 latents


@dataclass(frozen=True)
class Encoding:
    """Every image of a set, once through the model, on the CPU. Nats."""

    distortion: Float[Tensor, " images"]
    rate: Float[Tensor, "images latent"]
    mean: Float[Tensor, "images latent"]
    logvar: Float[Tensor, "images latent"]
    z: Float[Tensor, "images latent"]
    saturated: Bool[Tensor, "images latent"]
    labels: Int64[Tensor, " images"]

    @property
    def rate_per_latent(self) -> Float[Tensor, " latent"]:
        """The mean rate of each latent, in nats."""
        return self.rate.double().mean(0).to(self.rate)  # a diverged model may need the range on the way

    @property
    def by_rate(self) -> list[int]:
        """The latents, the one with the highest rate first."""
        order: list[int] = self.rate_per_latent.argsort(descending=True).tolist()
        return order


@torch.inference_mode()
def encode_images(vae: VAE, images: ImageSet) -> Encoding:
    """One sample of the posterior of every image, with the terms it costs."""
    vae.eval()
    device = images.device
    generator = torch.Generator(device).manual_seed(EVALUATION_SEED)
    batches = []
    for index in torch.arange(len(images), device=device).split(BATCH):
        x = images.batch(index, generator)
        terms = elbo_terms(vae, x, standard_normal((len(x), vae.latent_dim), generator))
        q = terms.posterior
        row = (terms.distortion, terms.rate, q.mean, q.logvar, terms.z, q.saturated(), images.labels[index])
        batches.append([tensor.cpu() for tensor in row])
    return Encoding(*(torch.cat(column) for column in zip(*batches, strict=True)))


@torch.inference_mode()
def encode_posteriors(
    vae: VAE, images: ImageSet
) -> tuple[Float[Tensor, "images latent"], Float[Tensor, "images latent"]]:
    """Mean and log-variance of every image's posterior, on the CPU. Nothing is decoded."""
    vae.eval()
    generator = torch.Generator(images.device).manual_seed(EVALUATION_SEED)
    batches = []
    for index in torch.arange(len(images), device=images.device).split(BATCH):
        posterior = vae.encode(images.batch(index, generator))
        batches.append((posterior.mean.cpu(), posterior.logvar.cpu()))
    mean, logvar = zip(*batches, strict=True)
    return torch.cat(mean), torch.cat(logvar)


def elbo_numbers(encoding: Encoding) -> dict[str, float]:
    """Distortion, rate and ELBO, means over the images in nats."""
    # float64: a mean over ten thousand images would lose the digits that two runs are compared by.
    distortion = float(encoding.distortion.double().mean())
    rate = float(encoding.rate.double().sum(1).mean())
    return {"distortion": distortion, "rate": rate, "elbo": -(distortion + rate)}


def latent_numbers(encoding: Encoding) -> dict[str, float]:
    """How the latents are used: counts and fractions over the images."""
    return {
        "active_units": float(active_by_variance(encoding.mean).sum()),
        "active_units_by_rate": float(active_by_rate(encoding.rate).sum()),
        "active_units_by_posterior_variance": float(active_by_posterior_variance(encoding.logvar).sum()),
        "effective_latents": effective_latents(encoding.rate_per_latent),
        "participation_ratio": participation_ratio(encoding.mean),
        "saturated_fraction": float(encoding.saturated.float().mean()),
    }


def per_latent(encoding: Encoding) -> dict[str, Float[Tensor, " latent"]]:
    """Statistics of each latent over the images: its KL and the KL's three terms in nats, and its moments."""
    terms = kl_to_standard_normal_terms(encoding.mean, encoding.logvar)
    return {
        "kl": encoding.rate_per_latent,
        "kl_variance_term": terms.variance.mean(0),
        "kl_mean_term": terms.mean.mean(0),
        "kl_logvar_term": terms.logvar.mean(0),
        "mean_of_posterior_mean": encoding.mean.mean(0),
        "variance_of_posterior_mean": encoding.mean.var(0, unbiased=False),
        "mean_posterior_variance": encoding.logvar.exp().mean(0),
    }


def aggregate_numbers(encoding: Encoding) -> dict[str, float]:
    """How far the aggregate posterior lies from the prior, as a Gaussian, in nats."""
    mean, covariance = aggregate_posterior(encoding.mean, encoding.logvar)
    return {
        "aggregate_posterior_kl": aggregate_kl(mean, covariance),
        "gaussian_total_correlation": gaussian_total_correlation(covariance),
    }


def decomposition_numbers(encoding: Encoding, densities: int = DENSITIES) -> dict[str, float]:
    """What the rate is made of, in nats.

    `decomposition_residual` is the rate minus the three parts: Monte Carlo's error. The mutual information cannot
    exceed `information_ceiling`, ln of the number of images. Where it is within a nat of that, the total correlation
    takes up what the rate has above the ceiling, also of independent latents. So both are computed a second time, from
    as many samples, of the same posteriors with each latent `shuffled` over the images: `mutual_information_shuffled`
    and `total_correlation_shuffled`. A total correlation that is not above its shuffled value shows no dependence.

    Args:
        encoding: of the images, all of which make up q(z).
        densities: samples x images x latents at most, which decides how many of the images' samples are taken.
    """
    images, latents = encoding.mean.shape
    samples = min(images, max(1, densities // (images * latents)))
    parts = decompose_rate(encoding.mean, encoding.logvar, encoding.z, samples)
    generator = torch.Generator().manual_seed(EVALUATION_SEED)
    apart = decompose_rate(*shuffled(encoding.mean, encoding.logvar, encoding.z, generator), samples)
    return {
        "mutual_information": parts.mutual_information,
        "mutual_information_shuffled": apart.mutual_information,
        "information_ceiling": math.log(images),
        "total_correlation": parts.total_correlation,
        "total_correlation_shuffled": apart.total_correlation,
        "dimension_wise_kl": parts.dimension_wise_kl,
        "decomposition_residual": elbo_numbers(encoding)["rate"] - parts.sampled_rate,
    }


def correlation(encoding: Encoding) -> Float[Tensor, "latent latent"]:
    """The correlation matrix of the aggregate posterior q(z)."""
    _, covariance = aggregate_posterior(encoding.mean, encoding.logvar)
    scale = covariance.diagonal().rsqrt()
    return (covariance * scale[:, None] * scale).float()


def weighed(numbers: dict[str, float], weight: float) -> dict[str, float]:
    """The loss, distortion + weight * rate in nats, and that weight."""
    return {"loss": numbers["distortion"] + weight * numbers["rate"], "loss_weight": weight}


def final_numbers(vae: VAE, images: ImageSet, train_mean: Tensor, weight: float) -> dict[str, Any]:
    """All numbers of a trained model on a set of images, as `summary.json` holds them.

    Args:
        vae: the model.
        images: usually the test set.
        train_mean: (channels, height, width), the mean training image, which a decoder without latents would give.
        weight: of the rate in the loss: the objective's at the last step made.
    """
    encoding = encode_images(vae, images)
    numbers = elbo_numbers(encoding)
    return {
        "images": len(images),
        **numbers,
        **weighed(numbers, weight),
        "importance_weighted_bound": tight_bound(vae, images),
        "baseline_distortion": baseline_distortion(images.mean().cpu(), train_mean.cpu()),
        **latent_numbers(encoding),
        **aggregate_numbers(encoding),
        **decomposition_numbers(encoding),
        "rate_per_latent": encoding.rate_per_latent.tolist(),
        "label_information_per_latent": label_information(encoding.mean, encoding.labels).tolist(),
    }


def tight_bound(vae: VAE, images: ImageSet, limit: int = 1_000, samples: int = 100) -> dict[str, int | float]:
    """The importance-weighted bound over the first `limit` images, in nats; its negative bounds the NLL from above.

    `rise_from_half` is by how much it is above the mean of the bounds of the two halves of the samples; there is none
    of an odd number of samples. The bound of 5000 samples is higher than that of 100 by a few times this rise: on
    MNIST, after 25 epochs at beta 1, 2, 4 and 8, by 1.3, 1.3, 1.5 and 1.6 nats, which is 5.6, 4.0, 2.4 and 3.1 times
    as much. Memory is that of a batch, whatever `limit` and `samples` are.
    """
    vae.eval()
    device = images.device
    generator = torch.Generator(device).manual_seed(EVALUATION_SEED)
    few = images.first(limit)
    wholes, halves = [], []
    for index in torch.arange(len(few), device=device).split(BATCH):
        x = few.batch(index, generator)
        if samples % 2:
            wholes.append(importance_weighted_bound(vae, x, samples, generator).cpu().double())
            continue
        whole, half = importance_weighted_halves(vae, x, samples, generator)
        wholes.append(whole.cpu().double())
        halves.append(half.cpu().double())
    bound = float(torch.cat(wholes).mean())
    rise = {"rise_from_half": bound - float(torch.cat(halves).mean())} if halves else {}
    return {"images": len(few), "samples": samples, "bound": bound, **rise}
