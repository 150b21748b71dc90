"""What a run is: dataclasses without defaults, the range of every value, and one-line errors.

Types and ranges are here. Values are in `configs/*.yaml` only, so a value that is missing there is an error. Neither
torch nor Hydra is imported, so an error in the configuration is reported at once.
"""

from vae.config.building import flat, known_keys, near, plain, typed, unknown_key
from vae.config.data import (
    Background,
    Binarisation,
    Colour,
    CustomDataConfig,
    DataConfig,
    Dataset,
    DspritesConfig,
    ImagesConfig,
    MnistConfig,
    Resize,
    SpritesConfig,
    TableConfig,
)
from vae.config.model import (
    Activation,
    BernoulliConfig,
    ConvConfig,
    GaussianConfig,
    LikelihoodConfig,
    LinearConfig,
    LocatelloConfig,
    MLPConfig,
    Start,
    Variances,
)
from vae.config.rules import ConfigError
from vae.config.run import Between, Config, Device, Optimizer, Precision
from vae.config.words import written

__all__ = [
    "Activation",
    "Background",
    "BernoulliConfig",
    "Between",
    "Binarisation",
    "Colour",
    "Config",
    "ConfigError",
    "ConvConfig",
    "CustomDataConfig",
    "DataConfig",
    "Dataset",
    "Device",
    "DspritesConfig",
    "GaussianConfig",
    "ImagesConfig",
    "LikelihoodConfig",
    "LinearConfig",
    "LocatelloConfig",
    "MLPConfig",
    "MnistConfig",
    "Optimizer",
    "Precision",
    "Resize",
    "SpritesConfig",
    "Start",
    "TableConfig",
    "Variances",
    "flat",
    "known_keys",
    "near",
    "plain",
    "typed",
    "unknown_key",
    "written",
]
