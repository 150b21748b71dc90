"""All numbers of a model on a set of images. They use a generator of their own, so they never change training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vae.data.images import ImageSet
from vae.measures.activity import (
    active_by_posterior_variance,
    active_by_rate,
    active_by_variance,
    baseline_distortion,
    effective_latents,
    gaussian_baseline,
    participation_ratio,
)
from vae.measures.bound import importance_weighted_bound
from vae.measures.decomposition import decompose_rate, shuffled
from vae.measures.information import label_information
from vae.measures.moments import aggregate_kl, aggregate_posterior, gaussian_total_correlation
from vae.measures.refitting import refitted_posterior
from vae.model.heads import GaussianHead
from vae.model.vae import VAE
from vae.objectives import elbo_terms
from vae.probability.divergences import kl_to_standard_normal_terms
from vae.probability.prior import standard_normal

EVALUATION_SEED = 20140414  # the same noise in all runs makes their numbers comparable
BATCH = 1_000  # images at a time
REFITTED_IMAGES = 500  # as many as take about as long as the bound with the encoder's posteriors
DENSITIES = 400_000_000  # 2 000 samples of 10 000 images with 20 latents


@dataclass(frozen=True)
class Encoding:
    """One forward pass of every image of a set, on the CPU. Distortion and rate are in nats."""

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
        return self.rate.double().mean(0).to(self.rate)  # the sum may overflow float32

    @property
    def by_rate(self) -> list[int]:
        """The latents, the one with the highest rate first."""
        order: list[int] = self.rate_per_latent.argsort(descending=True).tolist()
        return order


def in_batches(vae: VAE, images: ImageSet) -> Iterator[tuple[Tensor, Tensor, torch.Generator]]:
    """The index and the pixels of each batch, and the generator of all. Sets `vae` to evaluation mode."""
    vae.eval()
    generator = torch.Generator(images.device).manual_seed(EVALUATION_SEED)
    for index in torch.arange(len(images), device=images.device).split(BATCH):
        yield index, images.batch(index, generator), generator


@torch.inference_mode()
def encode_images(vae: VAE, images: ImageSet) -> Encoding:
    """The posterior of every image, one sample of it, and the distortion and rate. Sets `vae` to evaluation mode."""
    batches = []
    for index, x, generator in in_batches(vae, images):
        terms = elbo_terms(vae, x, standard_normal((len(x), vae.latent_dim), generator))
        q = terms.posterior
        row = (terms.distortion, terms.rate, q.mean, q.logvar, terms.z, q.saturated(), images.labels[index])
        batches.append([tensor.cpu() for tensor in row])
    return Encoding(*(torch.cat(column) for column in zip(*batches, strict=True)))


@torch.inference_mode()
def encode_posteriors(
    vae: VAE, images: ImageSet
) -> tuple[Float[Tensor, "images latent"], Float[Tensor, "images latent"]]:
    """Mean and log-variance of every image's posterior, on the CPU. Sets `vae` to evaluation mode."""
    posteriors = [vae.encode(x) for _, x, _ in in_batches(vae, images)]
    return torch.cat([p.mean.cpu() for p in posteriors]), torch.cat([p.logvar.cpu() for p in posteriors])


def elbo_numbers(encoding: Encoding) -> dict[str, float]:
    """Distortion, rate and ELBO, means over the images in nats."""
    # In float64, because a float32 mean over ten thousand images loses digits.
    distortion = float(encoding.distortion.double().mean())
    rate = float(encoding.rate.double().sum(1).mean())
    return {"distortion": distortion, "rate": rate, "elbo": -(distortion + rate)}


def rate_numbers(encoding: Encoding) -> dict[str, Any]:
    """Distortion, rate and ELBO, and the `rate_per_latent`, as `final_numbers` has them."""
    return {**elbo_numbers(encoding), "rate_per_latent": encoding.rate_per_latent.tolist()}


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
    """The KL of the aggregate posterior to the prior and its total correlation, as a Gaussian, in nats."""
    mean, covariance = aggregate_posterior(encoding.mean, encoding.logvar)
    return {
        "aggregate_posterior_kl": aggregate_kl(mean, covariance),
        "gaussian_total_correlation": gaussian_total_correlation(covariance),
    }


def decomposition_numbers(encoding: Encoding, densities: int = DENSITIES) -> dict[str, float]:
    """The parts of the rate by `decompose_rate`, in nats, and the same of `shuffled` posteriors.

    `decomposition_residual` is the rate minus the three parts, the Monte Carlo error. `information_ceiling` is ln of
    the number of images. `RateDecomposition` says how to read the parts.

    Args:
        encoding: of all images that make up q(z).
        densities: the largest samples x images x latents, which determines the number of samples.
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
    """The loss distortion + weight * rate in nats, and the weight."""
    return {"loss": numbers["distortion"] + weight * numbers["rate"], "loss_weight": weight}


def final_numbers(vae: VAE, images: ImageSet, train_mean: Tensor, weight: float) -> dict[str, Any]:
    """All numbers of a trained model on a set of images, as `summary.json` holds them.

    Args:
        vae: the model.
        images: usually the test set.
        train_mean: (channels, height, width), the mean training image.
        weight: of the rate in the loss, at the last training step.
    """
    encoding = encode_images(vae, images)
    numbers = elbo_numbers(encoding)
    return {
        "images": len(images),
        **numbers,
        **weighed(numbers, weight),
        "importance_weighted_bound": tight_bound(vae, images),
        "refitted_bound": tight_bound(vae, images, limit=REFITTED_IMAGES, refit=True),
        "baseline_distortion": baseline(vae, images, train_mean.cpu()),
        **latent_numbers(encoding),
        **aggregate_numbers(encoding),
        **decomposition_numbers(encoding),
        "rate_per_latent": encoding.rate_per_latent.tolist(),
        "label_information_per_latent": label_information(encoding.mean, encoding.labels).tolist(),
    }


def baseline(vae: VAE, images: ImageSet, train_mean: Tensor) -> float:
    """The distortion in nats if the decoder gives the mean training image for every image."""
    head, mean = vae.head, images.mean().cpu()
    if isinstance(head, GaussianHead):
        fixed = None if head.learned else head.logvar.cpu()
        each = head.logvar.ndim > 0
        return gaussian_baseline(mean, images.variance().cpu(), train_mean, fixed, each, head.bounds)
    return baseline_distortion(mean, train_mean)


def tight_bound(
    vae: VAE, images: ImageSet, limit: int = 1_000, samples: int = 100, *, refit: bool = False
) -> dict[str, int | float]:
    """The importance-weighted bound in nats, averaged over the first `limit` images. Its negative bounds the NLL.

    `rise_from_half` is the bound minus the mean bound of the two halves of the samples: how much the bound still rises
    when the number of samples doubles. It is absent if `samples` is odd.

    Args:
        vae: the model.
        images: usually the test set.
        limit: the largest number of images.
        samples: for each image.
        refit: draw the samples from `refitted_posterior` in place of the encoder's posterior. The bound is then about
            equally tight whatever the beta of the training.
    """
    few = images.first(limit)
    parts = [samples] if samples % 2 else [samples // 2] * 2
    batches = []
    for _, x, generator in in_batches(vae, few):
        proposal = refitted_posterior(vae, x) if refit else None
        of_parts = [importance_weighted_bound(vae, x, part, generator, proposal).cpu() for part in parts]
        batches.append(torch.stack(of_parts))
    bounds = torch.cat(batches, 1).double()  # (parts, images)
    bound = float((bounds.logsumexp(0) - math.log(len(parts))).mean())
    rise = {"rise_from_half": bound - float(bounds.mean())} if len(parts) == 2 else {}
    return {"images": len(few), "samples": samples, "bound": bound, **rise}
