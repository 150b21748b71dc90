"""Whether a likelihood fits the images: what is refused, and what the log says."""

import math

from vae.config import BernoulliConfig, Config, ConfigError, CustomDataConfig, GaussianConfig, ImagesConfig, Variances
from vae.config.preparation import ImagePreparation
from vae.data.images import Splits

USUAL_DEVIATIONS = (0.01, 30.0)  # in which initial weights and Adam's step sizes are of the right order


def refuse_unfit(config: Config, splits: Splits) -> None:
    """Refuse pixels that the likelihood has no density for, or none that its bounds allow.

    Raises:
        ConfigError: the rule, what was given, the fix.
    """
    preparation = splits.preparation
    if isinstance(config.likelihood, BernoulliConfig) and isinstance(preparation, ImagePreparation):
        black, white = preparation.shown
        if not preparation.unit_interval:
            raise ConfigError(
                f"likelihood=bernoulli needs pixels from 0 to 1, these go from {black:g} to {white:g}. "
                f"Use likelihood=gaussian_learned, or {scaling(config, preparation)}"
            )
    if isinstance(config.likelihood, GaussianConfig) and config.likelihood.learned:
        variance = float(splits.train.variance().mean())
        low, high = (math.exp(bound) for bound in (config.logvar_min, config.logvar_max))
        if variance > 0 and not low <= variance <= high:
            raise ConfigError(
                f"a learned variance must lie from {low:.3g} to {high:.3g} (logvar_min, logvar_max), "
                f"that of the images is {variance:.3g}. Divide them by {math.sqrt(variance):.3g}"
            )


def likelihood_lines(config: Config, splits: Splits) -> list[str]:
    """What the user should know of the likelihood of these images, one line each."""
    likelihood, train, preparation = config.likelihood, splits.train, splits.preparation
    lines = []
    if isinstance(config.data, ImagesConfig | CustomDataConfig) and isinstance(likelihood, GaussianConfig):
        lines.append(f"have a Gaussian likelihood {variance_in_words(likelihood)}; bernoulli is for pixels 0 or 1")
    if isinstance(preparation, ImagePreparation) and not preparation.unit_interval:
        black, white = preparation.shown
        lines.append(f"go from {black:g} to {white:g} and are kept so; figures show these two as black and white")
        deviation = math.sqrt(float(train.variance().mean()))
        if deviation > 0 and not USUAL_DEVIATIONS[0] <= deviation <= USUAL_DEVIATIONS[1]:
            lines.append(
                f"warning: their standard deviation is {deviation:.3g}. Networks learn best near 1: "
                f"{scaling(config, preparation)}"
            )
    if isinstance(preparation, ImagePreparation) and preparation.unit_interval:
        binary = train.is_binary
        if isinstance(likelihood, BernoulliConfig) and not binary:
            lines.append(
                "are grey, so a Bernoulli likelihood is a cross-entropy, and the loss no bound on -ln p(x); "
                "likelihood=gaussian_learned or data.binarisation=dynamic gives one"
            )
        if isinstance(likelihood, GaussianConfig) and binary:
            lines.append("are all 0 or 1: likelihood=bernoulli fits them better")
    return lines


def variance_in_words(likelihood: GaussianConfig, one: str = "pixel") -> str:
    """The variance of a Gaussian likelihood, as in "with a learned variance of each pixel"."""
    if not likelihood.learned:
        return f"with the variance {likelihood.variance:g}"
    each = f" of each {one}" if likelihood.variances is Variances.each else ""
    return f"with a learned variance{each}"


def scaling(config: Config, preparation: ImagePreparation) -> str:
    """How values in another unit can be brought to [0, 1]."""
    black, white = preparation.shown
    if isinstance(config.data, ImagesConfig):
        return f"set data.range=[{black:g},{white:g}], which become 0 and 1"
    moved = f"images {'-' if black > 0 else '+'} {abs(black):g}"
    return f"bring them to [0, 1], as ({moved}) / {white - black:g} does"
