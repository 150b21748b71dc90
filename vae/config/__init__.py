"""What a run is: dataclasses without defaults, the range of every value, and one-line errors.

Types and ranges live here, values live in `configs/*.yaml` and nowhere else: a value that a YAML file forgets is an
error, not a silent default. Neither torch nor Hydra is imported, so a wrong option is answered at once.
"""

from vae.config.building import flat, known_keys, near, option_types, plain, typed, unknown_key, written
from vae.config.data import (
    Background,
    Binarisation,
    Colour,
    DataConfig,
    Dataset,
    DspritesConfig,
    ImagesConfig,
    SpritesConfig,
    check_places,
)
from vae.config.model import (
    Activation,
    BernoulliConfig,
    ConvConfig,
    GaussianConfig,
    LikelihoodConfig,
    LocatelloConfig,
    MLPConfig,
    ModelConfig,
    Start,
)
from vae.config.rules import Choice, ConfigError, between, check_points, must_be, rule
from vae.config.run import Between, Config, Device, Optimizer, Precision, TrackingConfig

__all__ = [
    "Activation",
    "Background",
    "BernoulliConfig",
    "Between",
    "Binarisation",
    "Choice",
    "Colour",
    "Config",
    "ConfigError",
    "ConvConfig",
    "DataConfig",
    "Dataset",
    "Device",
    "DspritesConfig",
    "GaussianConfig",
    "ImagesConfig",
    "LikelihoodConfig",
    "LocatelloConfig",
    "MLPConfig",
    "ModelConfig",
    "Optimizer",
    "Precision",
    "SpritesConfig",
    "Start",
    "TrackingConfig",
    "between",
    "check_places",
    "check_points",
    "flat",
    "known_keys",
    "must_be",
    "near",
    "option_types",
    "plain",
    "rule",
    "typed",
    "unknown_key",
    "written",
]
