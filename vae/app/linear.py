"""What the linear theory says of a run: for its log and `summary.json`, and for `beta-vae predict` and `choose`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vae.app.data import build_data
from vae.app.likelihood import refuse_unfit
from vae.config import Config, ConfigError, GaussianConfig, Variances
from vae.config.building import option_of
from vae.config.objective import BetaConfig
from vae.data.images import ImageSet
from vae.measures.linear_vae import (
    LinearPrediction,
    Spectrum,
    collapse_thresholds,
    learned_variance,
    linear_numbers,
    predict_linear,
)
from vae.measures.spectrum import spectrum_of
from vae.training.hardware import choose_library


def refuse_unpredictable(config: Config) -> None:
    """Refuse a run whose optimum the linear theory does not know.

    Raises:
        ConfigError: the likelihood is not Gaussian with one variance, or the loss is not distortion + beta * rate.
    """
    likelihood = config.likelihood
    if not isinstance(likelihood, GaussianConfig):
        raise ConfigError(
            "the linear theory needs a Gaussian likelihood, got bernoulli. "
            "Add likelihood=gaussian, and data.binarisation=none for grey pixels"
        )
    if likelihood.variances is Variances.each:
        raise ConfigError(
            "the linear theory needs one variance for all pixels or columns, got likelihood.variances=each. "
            "Add likelihood=gaussian or likelihood=gaussian_learned"
        )
    if not isinstance(config.objective, BetaConfig):
        raise ConfigError(
            f"the linear theory needs objective=beta, got {option_of('objective', config.objective)}. "
            "Add objective=beta"
        )
    if not final_beta(config) > 0:
        raise ConfigError("the linear theory needs a beta above 0 at the end of training, got 0. Set beta")


def spectrum_of_data(configs: Sequence[Config], *, exact: bool = False) -> tuple[str, Spectrum]:
    """The description of the data, and the spectrum of its training images for all these configurations.

    Raises:
        ConfigError: the images are too many or too few for so many latents, or the likelihood does not fit them.
        DataError: the data cannot be read.
    """
    if configs[0].threads is not None:
        torch.set_num_threads(configs[0].threads)
    choose_library(torch.device("cpu"))
    data = build_data(configs[0])
    splits = data.read()
    for config in configs:
        refuse_unfit(config, splits)
    try:
        found = spectrum_of(splits.train, max(config.model.latent_dim for config in configs), exact=exact)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return data.describe(), found


def final_beta(config: Config) -> float:
    """The weight of the rate at the end of its schedule."""
    factors = config.objective.factors if isinstance(config.objective, BetaConfig) else None
    return config.beta * (1 if factors is None else factors[-1])


def predicted(config: Config, spectrum: Spectrum) -> LinearPrediction:
    """The optimum of the linear model with the run's latents. A learned variance stays inside its bounds.

    Raises:
        ConfigError: see `refuse_unpredictable`.
    """
    refuse_unpredictable(config)
    beta, latents = final_beta(config), config.model.latent_dim
    return predict_linear(spectrum, beta, latents, variance_of(config, spectrum))


def variance_of(config: Config, spectrum: Spectrum) -> float:
    """The variance of the likelihood at the optimum. A learned one that would leave its bounds is at the bound."""
    assert isinstance(config.likelihood, GaussianConfig)
    if not config.likelihood.learned:
        return config.likelihood.variance
    low, high = math.exp(config.logvar_min), math.exp(config.logvar_max)
    try:
        found = learned_variance(spectrum, final_beta(config), config.model.latent_dim)
    except ValueError:  # it falls to 0
        return low
    return min(max(found, low), high)  # the loss has one minimum, so this is the least within the bounds


def thresholds(config: Config, spectrum: Spectrum) -> list[float]:
    """The beta from which on each latent is inactive, falling. A learned variance is taken to be inside its bounds."""
    assert isinstance(config.likelihood, GaussianConfig)
    fixed = None if config.likelihood.learned else config.likelihood.variance
    return [float(beta) for beta in collapse_thresholds(spectrum, config.model.latent_dim, fixed)]


def notes_on(config: Config, prediction: LinearPrediction) -> list[str]:
    """Where the bounds of log-variances keep a training from the prediction."""
    assert isinstance(config.likelihood, GaussianConfig)
    notes = []
    narrowest = -2 * float(prediction.rates.max())  # the log-variance of the posterior with the highest rate
    if narrowest < config.logvar_min:
        notes.append(
            f"a posterior has the log-variance {narrowest:.2f}, which training cannot reach: "
            f"logvar_min={config.logvar_min:g}"
        )
    if config.likelihood.learned and not config.logvar_min < math.log(prediction.variance) < config.logvar_max:
        notes.append("the learned variance is at its bound, logvar_min or logvar_max")
    return notes


def linear_baseline(config: Config, images: ImageSet) -> tuple[list[str], Mapping[str, Any] | None]:
    """The prediction for a run as lines for its log, and as `summary.json` holds it.

    It takes about a second. If the theory does not apply, there are no lines, and None.

    Args:
        config: of the run.
        images: of the training.
    """
    try:
        refuse_unpredictable(config)
    except ConfigError:
        return [], None
    try:
        spectrum = spectrum_of(images, config.model.latent_dim)
    except ValueError as error:
        return [f"no prediction: {error}"], None
    assert isinstance(config.likelihood, GaussianConfig)
    prediction = predicted(config, spectrum)
    first = thresholds(config, spectrum)[0]
    lines = [
        f"models reach the loss {prediction.loss:.2f} at best: distortion {prediction.distortion:.2f}, rate "
        f"{prediction.rate:.2f}, {prediction.active} of {len(prediction.rates)} latents active",
        f"with the variance {prediction.variance:.4g}; no latent is active from beta {first:.4g} on "
        f"(Lucas et al., 2019; spectrum of {spectrum.source})",
    ]
    return lines + notes_on(config, prediction), linear_numbers(
        spectrum, prediction, learned=config.likelihood.learned
    )
