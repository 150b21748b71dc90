"""What TensorBoard shows of a run: numbers after each evaluation, figures after some epochs and at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae.config.preparation import ImagePreparation, Preparation, TablePreparation
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
TRAIN_KL = "z/train_kl/"
TOTALS = {"train/rate": "rate", "train/capacity": "capacity C"}
MATRICES = {
    "mutual_information": "mutual information, nats",
    "dci_importance": "importance (DCI)",
    "factor_vae_votes": "votes (FactorVAE)",
}
HISTOGRAM_IMAGES = 500  # ten thousand values at 20 latents
PROJECTED_IMAGES = 500
SCATTER_IMAGES = 1_000
RECONSTRUCTED = 30
DECOMPOSED_DENSITIES = 50_000_000  # an eighth of the final decomposition's: 250 samples at 20 latents
PICTURE_SEED = 1


def report_numbers(tracker: Tracker, split: str, encoding: Encoding, weight: float, step: int) -> None:
    """Log the scalars and histograms of an evaluation, and an alarm if all latents have collapsed.

    Args:
        tracker: of the run.
        split: the name of the images, the first part of each tag.
        encoding: of the images.
        weight: the weight of the rate in the loss.
        step: the number of steps trained.
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
        alarm = (
            f"**All latents have collapsed**: the rate is {numbers['rate']:.4f} nats and no latent's KL is above "
            f"0.01 nats, so the decoder ignores z. The weight of the rate is {weight:g}; lower beta, or warm it up: "
            "`beta_warmup_steps=5000`."
        )
        tracker.text("alarm", alarm, step)


def decompose(encoding: Encoding) -> dict[str, float]:
    """The parts of the rate in nats, from fewer samples than at the end: accurate to a few tenths of a nat."""
    return decomposition_numbers(encoding, DECOMPOSED_DENSITIES)


def show_pictures(tracker: Tracker, pictures: Mapping[str, figures.ImageBytes], step: int) -> None:
    """Log pictures by name."""
    for name, picture in pictures.items():
        tracker.picture(name, picture, step)


@torch.inference_mode()
def draw_figures(
    vae: VAE,
    images: ImageSet,
    encoding: Encoding,
    weight: float,
    preparation: Preparation,
    run: str = "latents",
    label_names: Sequence[str] | None = None,
) -> Mapping[str, figures.ImageBytes]:
    """The figures of an epoch by name, for a model in evaluation mode. Draws from a generator of its own.

    Args:
        vae: the model.
        images: the first ones are reconstructed.
        encoding: of the images.
        weight: the weight of the rate in the loss.
        preparation: of the images, which says which values are black and white; or of the rows of a table.
        run: the name of the run, for the title of the traversals.
        label_names: of the labels, where they have names.
    """
    from vae.figures import plots  # imports matplotlib, which is needed only here

    vae.eval()
    device = images.device
    generator = torch.Generator(device).manual_seed(PICTURE_SEED)
    few = images.first(SCATTER_IMAGES if isinstance(preparation, TablePreparation) else RECONSTRUCTED)
    x = few.batch(torch.arange(len(few), device=device), generator)
    posterior = vae.encode(x)
    means = vae.decode(posterior.mean).mean
    if isinstance(preparation, TablePreparation):
        from vae.figures import tables  # imports matplotlib

        pictures = {"reconstructions": tables.reconstructed_columns(x, means, preparation)}
    else:
        from_prior, shown = standard_normal((100, vae.latent_dim), generator), preparation.shown
        pictures = {
            "reconstructions": figures.reconstructions(x.cpu(), means.cpu(), shown),
            "samples": figures.samples(vae, from_prior, shown=shown),
        }
        if vae.latent_dim == 2:
            pictures["manifold"] = figures.manifold(vae, device, shown=shown)
    rates, order = encoding.rate_per_latent, encoding.by_rate
    title = f"{run}: weight of the rate {weight:g}, latents by rate in nats"
    pictures |= {
        "traversals": draw_traversals(vae, posterior.mean[0], rates, preparation, title=title),
        "rate_per_latent": plots.rate_spectrum(rates, order),
        "correlation": plots.correlation_matrix(correlation(encoding), order),
    }
    if vae.latent_dim >= 2:
        plane = (0, 1) if vae.latent_dim == 2 else (order[0], order[1])
        part = slice(SCATTER_IMAGES)
        has_labels = label_names is not None or bool(encoding.labels.any())  # without them, every label is 0
        labels = encoding.labels[part] if has_labels else None
        pictures["latent_scatter"] = plots.scatter(encoding.mean[part], labels, plane, label_names)
    return pictures


def draw_traversals(
    vae: VAE,
    z: Float[Tensor, " latent"],
    rate_per_latent: Float[Tensor, " latent"],
    preparation: Preparation,
    rows: int = 10,
    reach: float = 3.0,
    title: str = "",
) -> figures.ImageBytes:
    """Latent traversals: images in a grid, or a line for each column of a table.

    `vae.figures.images.traversals` and `vae.figures.tables.column_traversals` describe the arguments.
    """
    if isinstance(preparation, ImagePreparation):
        return figures.traversals(
            vae, z, rate_per_latent, rows=rows, reach=reach, title=title, shown=preparation.shown
        )
    from vae.figures import tables  # imports matplotlib

    return tables.column_traversals(vae, z, rate_per_latent, preparation, rows, reach, title)


@dataclass(frozen=True)
class End:
    """What is shown at the end of a run only, besides numbers."""

    pictures: Mapping[str, figures.ImageBytes]  # by name
    images: ImageSet  # in the projector
    shown: tuple[float, float] | None  # the values of x that are black and white. None: x are rows of a table
    points: Float[Tensor, "images latent"]  # their posterior means


def prepare_end(
    tracker: Tracker,
    vae: VAE,
    images: ImageSet,
    found: Mapping[str, Any] | None,
    rate_per_latent: Sequence[float],
    preparation: Preparation,
    curve: Sequence[Mapping[str, float]] = (),
) -> End | None:
    """Draw and encode, which takes some seconds, but write nothing. None if no pictures are written.

    Args:
        tracker: of the run.
        vae: the trained model.
        images: the first ones are shown in the projector.
        found: what `disentanglement_numbers` returned, if the factors are known.
        rate_per_latent: in nats. The latents beside the factors are sorted by it.
        preparation: of the images, which says which values are black and white.
        curve: what `rate_distortion_curve` returned, of a multi-rate model.
    """
    if not tracker.takes_pictures:
        return None
    few = images.first(PROJECTED_IMAGES)
    pictures = tracker.drawn(lambda: draw_last_figures(tracker, found, rate_per_latent, curve))
    shown = preparation.shown if isinstance(preparation, ImagePreparation) else None
    return End(pictures, few, shown, encode_posteriors(vae, few)[0])


def show_end(tracker: Tracker, end: End | None, step: int) -> None:
    """Log the last pictures, and the posterior means for TensorBoard's projector. None: there are none."""
    if end is None:
        return
    show_pictures(tracker, end.pictures, step)
    thumbnails = None
    if end.shown is not None:
        grey = end.images.grey(torch.arange(len(end.images), device=end.images.device)).cpu()
        thumbnails = figures.in_unit_interval(grey, end.shown).clamp(0, 1)
    tracker.embedding(end.points, end.images.labels.tolist(), thumbnails)


def draw_last_figures(
    tracker: Tracker,
    found: Mapping[str, Any] | None,
    rate_per_latent: Sequence[float],
    curve: Sequence[Mapping[str, float]] = (),
) -> dict[str, figures.ImageBytes]:
    """The figures of the end of a run, by name.

    They show the rate of each latent during training, as it was logged, which latent represents which factor, and the
    rate-distortion curve of a multi-rate model.
    """
    from vae.figures import plots  # imports matplotlib

    pictures: dict[str, figures.ImageBytes] = {}

    curves = tracker.history(lambda tag: tag in TOTALS or tag.startswith(TRAIN_KL))
    latents = {tag.removeprefix(TRAIN_KL): curve for tag, curve in curves.items() if tag.startswith(TRAIN_KL)}
    totals = {title: curves[tag] for tag, title in TOTALS.items() if tag in curves}
    if any(len(curve) > 1 for curve in latents.values()):  # one point makes no curve
        pictures["rates_in_training"] = plots.rates_over_steps(latents, totals)
    if found is not None:
        order = sorted(range(len(rate_per_latent)), key=lambda latent: -rate_per_latent[latent])
        drawn = {title: found["matrices"][name] for name, title in MATRICES.items()}
        pictures["factors"] = plots.factor_matrices(drawn, found["factors"], order)
    if curve:
        pictures["rate_distortion"] = plots.rate_distortion(curve)
    return pictures
