"""What a trained model needs besides its weights: its networks, its likelihood, and how inputs are prepared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from vae.config import ConfigError, LikelihoodConfig
from vae.config.building import option_of, plain, section_of
from vae.config.model import ModelConfig
from vae.config.options import OPTIONS
from vae.config.preparation import Preparation, plain_preparation, preparation_of
from vae.model.build import Network, build_vae
from vae.model.vae import VAE
from vae.probability.distributions import LogvarBounds
from vae.run.record import Record

FORMAT = "beta-vae"
VERSION = 1


@dataclass(frozen=True)
class Description:
    """A model without its weights.

    Attributes:
        model: the networks.
        likelihood: of the pixels or columns.
        bounds: of the posterior's log-variance.
        preparation: how inputs become x.
        beta: the weight of the rate that the run was configured with.
        rate_per_latent: the mean rate of each latent on the test images, in nats. None if the run has not ended.
    """

    model: ModelConfig
    likelihood: LikelihoodConfig
    bounds: LogvarBounds
    preparation: Preparation
    beta: float
    rate_per_latent: Sequence[float] | None

    def build(self, encoder: Network | None = None, decoder: Network | None = None) -> VAE:
        """The model with new weights. `build_vae` describes the arguments and the errors."""
        image = self.preparation.image
        return build_vae(self.model, self.likelihood, self.bounds, image, encoder, decoder)

    def plain(self) -> dict[str, Any]:
        """The description as plain data for JSON, from which `description_of` makes an equal one."""
        rates = self.rate_per_latent
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {"name": option_of("model", self.model), **plain(self.model)},
            "likelihood": {"name": option_of("likelihood", self.likelihood), **plain(self.likelihood)},
            "logvar_min": self.bounds.low,
            "logvar_max": self.bounds.high,
            "preparation": plain_preparation(self.preparation),
            "beta": self.beta,
            "rate_per_latent": None if rates is None else list(rates),
        }


def description_of_record(record: Record, rate_per_latent: Sequence[float] | None) -> Description:
    """The description of a run's model.

    Raises:
        ConfigError: the run has not read its images yet, or was made before the preparation was stored.
    """
    config = record.config
    if record.preparation is None:
        raise ConfigError("the run does not say how its images were prepared. Resume it, or train it again")
    bounds = LogvarBounds(config.logvar_min, config.logvar_max)
    return Description(
        config.model, config.likelihood, bounds, record.preparation, float(config.beta), rate_per_latent
    )


def description_of(tree: Any) -> Description:
    """The description that plain data hold.

    Raises:
        ConfigError: they hold none, or one of a later version.
    """
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        raise ConfigError("it must be the description of a model of beta-vae")
    if tree.get("version") != VERSION:
        raise ConfigError(
            f"its version must be {VERSION}, got {tree.get('version')}. Use the version that exported it"
        )
    numbers = section_of(_Numbers, {f.name: tree[f.name] for f in fields(_Numbers) if f.name in tree}, "model")
    return Description(
        _option("model", tree.get("model")),
        _option("likelihood", tree.get("likelihood")),
        LogvarBounds(numbers.logvar_min, numbers.logvar_max),
        preparation_of(tree.get("preparation")),
        numbers.beta,
        numbers.rate_per_latent,
    )


@dataclass(frozen=True)
class _Numbers:
    logvar_min: float
    logvar_max: float
    beta: float
    rate_per_latent: list[float] | None


def _option(group: str, tree: Any) -> Any:
    if not isinstance(tree, Mapping) or tree.get("name") not in OPTIONS[group]:
        raise ConfigError(f"{group}.name must be one of {', '.join(OPTIONS[group])}, got {tree}")
    return section_of(OPTIONS[group][tree["name"]], {k: v for k, v in tree.items() if k != "name"}, group)
