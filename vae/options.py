"""What can be chosen for each group of the configuration, and the dataclass that holds an option's keys."""

from collections.abc import Mapping

from vae.config import (
    BernoulliConfig,
    ConvConfig,
    DataConfig,
    DspritesConfig,
    GaussianConfig,
    ImagesConfig,
    LocatelloConfig,
    MLPConfig,
    SpritesConfig,
)
from vae.objective_config import (
    BetaConfig,
    CapacityConfig,
    DipConfig,
    FactorConfig,
    FreeBitsConfig,
    ImportanceWeightedConfig,
    TargetRateConfig,
    TotalCorrelationConfig,
)

OPTIONS: Mapping[str, Mapping[str, type]] = {
    "data": {
        "mnist": DataConfig,
        "fashion_mnist": DataConfig,
        "kmnist": DataConfig,
        "sprites": SpritesConfig,
        "sprites32": SpritesConfig,
        "dsprites": DspritesConfig,
        "images": ImagesConfig,
    },
    "model": {"mlp": MLPConfig, "conv": ConvConfig, "locatello": LocatelloConfig},
    "likelihood": {"bernoulli": BernoulliConfig, "gaussian": GaussianConfig},
    "objective": {
        "beta": BetaConfig,
        "capacity": CapacityConfig,
        "dip": DipConfig,
        "factor": FactorConfig,
        "free_bits": FreeBitsConfig,
        "importance_weighted": ImportanceWeightedConfig,
        "target_rate": TargetRateConfig,
        "total_correlation": TotalCorrelationConfig,
    },
}
