"""The user's own metrics, as in `metrics=[my_metrics:score]`."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from vae.config import ConfigError
from vae.data.images import ImageSet
from vae.disentanglement import names
from vae.measures.evaluation import encode_posteriors
from vae.model.vae import VAE

log = logging.getLogger(__name__)

# score(posterior means, level of each factor or None if unknown) -> numbers by name
Metric = Callable[[Float[np.ndarray, "images latents"], Int[np.ndarray, "images factors"] | None], Mapping[str, float]]

# Names that a user's metric may not have, because a table of the report has columns of these names: the scores' and
# the following.
TEST_NUMBERS = {
    "images",
    "distortion",
    "rate",
    "elbo",
    "loss",
    "loss_weight",
    "importance_weighted_bound",
    "refitted_bound",
    "baseline_distortion",
    "active_units",
    "active_units_by_rate",
    "active_units_by_posterior_variance",
    "effective_latents",
    "participation_ratio",
    "saturated_fraction",
    "aggregate_posterior_kl",
    "gaussian_total_correlation",
    "mutual_information",
    "mutual_information_shuffled",
    "information_ceiling",
    "total_correlation",
    "total_correlation_shuffled",
    "dimension_wise_kl",
    "decomposition_residual",
    "rate_per_latent",
    "label_information_per_latent",
}
OTHER_COLUMNS = {"beta", "epochs", "loss_change_per_epoch", "member", "nll", "nll_fall_from_half", "seconds", "seed"}
OTHER_COLUMNS |= {"setting", "status", "udr", "unfinished"}
RESERVED = names.ALL | TEST_NUMBERS | OTHER_COLUMNS


def own_numbers(metrics: Sequence[Metric], vae: VAE, images: ImageSet) -> dict[str, float]:
    """The numbers of all metrics on the posterior means of `images`, by name.

    A metric that raises ConfigError is left out with a warning, and so is a number that is not finite. A run whose
    training is complete does not fail because of them.
    """
    if not metrics:
        return {}
    codes = encode_posteriors(vae, images)[0].numpy()
    levels = None if images.factors is None else images.factors.levels.astype(np.int64)
    found: dict[str, float] = {}
    for metric in metrics:
        try:
            found |= metric(codes.copy(), None if levels is None else levels.copy())
        except ConfigError as error:
            log.warning(f"warning: {error}. Its numbers are left out")
    bad = [name for name, value in found.items() if not math.isfinite(value)]
    if bad:
        log.warning(f"warning: metrics: {', '.join(bad)} is not finite, and is left out")
    return {name: value for name, value in found.items() if name not in bad}
