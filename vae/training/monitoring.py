"""What a run shows of itself: numbers each epoch, pictures as training slows down, everything at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae.data.images import ImageSet
from vae.figures import images as figures
from vae.measures.evaluation import (
    Encoding,
    correlation,
    decomposition_numbers,
    elbo_numbers,
    encode_posteriors,
    latent_numbers,
    per_latent,
    weighed,
)
from vae.model.vae import VAE
from vae.probability.prior import standard_normal
from vae.run.tracking import Tracker

CHARTS = {
    "kl": "KL of each latent, nats",
    "train_kl": "KL of each latent in training, nats",
    "kl_variance_term": "variance term of the KL, nats",
    "kl_mean_term": "mean term of the KL, nats",
    "kl_logvar_term": "log-variance term of the KL, nats",
    "variance_of_posterior_mean": "variance of the posterior mean",
    "mean_posterior_variance": "mean posterior variance",
    "mean_of_posterior_mean": "mean of the posterior mean",
}
TERMS = ("elbo", "distortion", "rate", "loss")
HISTOGRAM_IMAGES = 500  # of the images, whose latents make the histograms: ten thousand values at 20 latents
PROJECTED_IMAGES = 500
SCATTER_IMAGES = 1_000
RECONSTRUCTED = 30
DECOMPOSED_DENSITIES = 50_000_000  # an eighth of the final decomposition's: 250 samples at 20 latents
PICTURE_SEED = 1


def report_numbers(tracker: Tracker, split: str, encoding: Encoding, weight: float, step: int) -> None:
    """The scalars and histograms of an epoch.

    Args:
        tracker: where they go.
        split: the name of the images, which begins the tags.
        encoding: of those images.
        weight: of the rate in the loss: the objective's at the last step made.
        step: steps trained so far.
    """
    numbers = elbo_numbers(encoding)
    numbers |= weighed(numbers, weight) | latent_numbers(encoding)
    tracker.scalars({f"{split}/{name}": value for name, value in numbers.items()}, step)
    tracker.latents(per_latent(encoding), step)
    few = slice(HISTOGRAM_IMAGES)
    tracker.histograms(
        {
            "posterior/mean": encoding.mean[few],
            "posterior/logvar": encoding.logvar[few],
            "posterior/z": encoding.z[few],
            "posterior/kl": encoding.rate[few],
        },
        step,
    )
    if numbers["active_units_by_rate"] == 0:
        tracker.text("alarm", collapse_alarm(weight, numbers["rate"]), step)


def decompose(encoding: Encoding) -> dict[str, float]:
    """What the rate is made of, from fewer samples than at the end: good to a few tenths of a nat."""
    return decomposition_numbers(encoding, DECOMPOSED_DENSITIES)


def report_decomposition(tracker: Tracker, split: str, parts: Mapping[str, float], step: int) -> None:
    """What `decompose` found of the images of that name."""
    tracker.scalars({f"{split}/{name}": value for name, value in parts.items()}, step)


def collapse_alarm(weight: float, rate: float) -> str:
    """What to say when no latent carries information."""
    return (
        f"**All latents have collapsed**: the rate is {rate:.4f} nats and no latent's KL is above 0.01 nats, so the "
        f"decoder ignores z. The weight of the rate is {weight:g}; lower beta, or warm it up: "
        "`beta_warmup_steps=5000`."
    )


def show_pictures(tracker: Tracker, pictures: Mapping[str, figures.ImageBytes], step: int) -> None:
    """What `draw_figures` drew."""
    for name, picture in pictures.items():
        tracker.picture(name, picture, step)


@torch.inference_mode()
def draw_figures(
    vae: VAE, images: ImageSet, encoding: Encoding, weight: float, run: str = "latents"
) -> Mapping[str, figures.ImageBytes]:
    """All figures by name."""
    from vae.figures import plots  # not loaded where nothing is drawn

    vae.eval()
    device = images.device
    generator = torch.Generator(device).manual_seed(PICTURE_SEED)
    few = images.first(RECONSTRUCTED)
    x = few.batch(torch.arange(len(few), device=device), generator)
    posterior = vae.encode(x)
    from_prior = standard_normal((100, vae.latent_dim), generator)
    order = encoding.by_rate
    pictures = {
        "reconstructions": figures.reconstructions(x.cpu(), vae.decode(posterior.mean).mean.cpu()),
        "samples": figures.samples(vae, from_prior),
        "traversals": figures.traversals(
            vae,
            posterior.mean[0],
            encoding.rate_per_latent,
            title=f"{run}: weight of the rate {weight:g}, latents by rate in nats",
        ),
        "rate_per_latent": plots.rate_spectrum(encoding.rate_per_latent, order),
        "correlation": plots.correlation_matrix(correlation(encoding), order),
    }
    if vae.latent_dim >= 2:
        plane = (0, 1) if vae.latent_dim == 2 else (order[0], order[1])
        part = slice(SCATTER_IMAGES)
        pictures["latent_scatter"] = plots.scatter(encoding.mean[part], encoding.labels[part], plane)
    if vae.latent_dim == 2:
        pictures["manifold"] = figures.manifold(vae, device)
    return pictures


TRAIN_KL = "z/train_kl/"
TOTALS = {"train/rate": "rate", "train/capacity": "capacity C"}

MATRICES = {
    "mutual_information": "mutual information, nats",
    "dci_importance": "importance (DCI)",
    "factor_vae_votes": "votes (FactorVAE)",
}


@dataclass(frozen=True)
class End:
    """What only the end of a run shows, besides numbers."""

    pictures: Mapping[str, figures.ImageBytes]  # by name
    images: ImageSet  # of the projector
    points: Float[Tensor, "images latent"]  # their posterior means


def prepare_end(
    tracker: Tracker, vae: VAE, images: ImageSet, found: Mapping[str, Any] | None, rate_per_latent: Sequence[float]
) -> End:
    """Draw and encode, which takes a while, but write nothing.

    Args:
        tracker: knows what was logged so far.
        vae: as trained.
        images: of which the first are shown in the projector.
        found: by `disentanglement_numbers`, where the factors are known.
        rate_per_latent: in nats; the order of latents beside factors.
    """
    few = images.first(PROJECTED_IMAGES)
    pictures = tracker.drawn(lambda: draw_last_figures(tracker, found, rate_per_latent))
    return End(pictures, few, encode_posteriors(vae, few)[0])


def show_end(tracker: Tracker, end: End, step: int) -> None:
    """The last pictures, and the projector's points."""
    show_pictures(tracker, end.pictures, step)
    show_embedding(tracker, end.images, end.points)


def draw_last_figures(
    tracker: Tracker, found: Mapping[str, Any] | None, rate_per_latent: Sequence[float]
) -> dict[str, figures.ImageBytes]:
    """The figures that only the end of a run has, by name, if there is something to see in them.

    How the rate of each latent grew in training, from all that was logged; and which latent knows which factor, from
    what `disentanglement_numbers` found, latents in the order of their rate.
    """
    pictures: dict[str, figures.ImageBytes] = {}
    if not tracker.takes_pictures:
        return pictures
    from vae.figures import plots

    curves = tracker.history(lambda tag: tag in TOTALS or tag.startswith(TRAIN_KL))
    latents = {tag.removeprefix(TRAIN_KL): curve for tag, curve in curves.items() if tag.startswith(TRAIN_KL)}
    totals = {title: curves[tag] for tag, title in TOTALS.items() if tag in curves}
    if any(len(curve) > 1 for curve in latents.values()):  # of one point there is nothing to see
        pictures["rates_in_training"] = plots.rates_over_steps(latents, totals)
    if found is not None:
        order = sorted(range(len(rate_per_latent)), key=lambda latent: -rate_per_latent[latent])
        drawn = {title: found["matrices"][name] for name, title in MATRICES.items()}
        pictures["factors"] = plots.factor_matrices(drawn, found["factors"], order)
    return pictures


def show_embedding(tracker: Tracker, images: ImageSet, mean: Float[Tensor, "images latent"]) -> None:
    """The posterior means of these few images for TensorBoard's projector."""
    thumbnails = images.pixels.index_select(0, torch.arange(len(images), device=images.device)).cpu() / 255
    tracker.embedding(mean, images.labels.tolist(), thumbnails)
