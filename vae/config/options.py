"""What can be chosen for each group of the configuration, and the dataclass that holds an option's keys."""

from collections.abc import Mapping

from vae.config.data import CustomDataConfig, DataConfig, DspritesConfig, ImagesConfig, SpritesConfig
from vae.config.model import BernoulliConfig, ConvConfig, CustomModelConfig, GaussianConfig, LocatelloConfig, MLPConfig
from vae.config.objective import (
    BetaConfig,
    CapacityConfig,
    CustomObjectiveConfig,
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
        "custom": CustomDataConfig,
    },
    "model": {"mlp": MLPConfig, "conv": ConvConfig, "locatello": LocatelloConfig, "custom": CustomModelConfig},
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
        "custom": CustomObjectiveConfig,
    },
}

# The keys whose values name code of the user's own, as `module:name`. What they name is imported only if the person
# who gives the command names it: a run's directory never decides what is imported.
FOREIGN = ("objective.target", "model.encoder", "model.decoder", "data.target", "metrics")

# What a continued run may change: how long, where and how visibly it trains, but not what it computes. A section's
# name stands for all its keys.
FREE = frozenset({"epochs", "early_stopping_epochs", "resume", "device", "threads", "compile", "disentanglement"})
FREE |= {"metrics", "tracking", "data.root", "data.download", "data.timeout_seconds"}
