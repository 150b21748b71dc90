"""The options of each group of the configuration, with the dataclass of each option's keys."""

from collections.abc import Mapping

from vae.config.data import (
    CustomDataConfig,
    DspritesConfig,
    ImagesConfig,
    MnistConfig,
    SpritesConfig,
    TableConfig,
)
from vae.config.model import (
    BernoulliConfig,
    ConvConfig,
    CustomModelConfig,
    GaussianConfig,
    LinearConfig,
    LocatelloConfig,
    MLPConfig,
)
from vae.config.objective import (
    BetaConfig,
    CapacityConfig,
    CustomObjectiveConfig,
    DipConfig,
    FactorConfig,
    FreeBitsConfig,
    ImportanceWeightedConfig,
    MultiRateConfig,
    TargetDistortionConfig,
    TargetRateConfig,
    TotalCorrelationConfig,
)

OPTIONS: Mapping[str, Mapping[str, type]] = {
    "data": {
        "mnist": MnistConfig,
        "fashion_mnist": MnistConfig,
        "kmnist": MnistConfig,
        "sprites": SpritesConfig,
        "sprites32": SpritesConfig,
        "dsprites": DspritesConfig,
        "images": ImagesConfig,
        "table": TableConfig,
        "custom": CustomDataConfig,
    },
    "model": {
        "mlp": MLPConfig,
        "conv": ConvConfig,
        "locatello": LocatelloConfig,
        "linear": LinearConfig,
        "custom": CustomModelConfig,
    },
    "likelihood": {
        "bernoulli": BernoulliConfig,
        "gaussian": GaussianConfig,
        "gaussian_learned": GaussianConfig,
        "gaussian_columns": GaussianConfig,
    },
    "objective": {
        "beta": BetaConfig,
        "capacity": CapacityConfig,
        "dip": DipConfig,
        "factor": FactorConfig,
        "free_bits": FreeBitsConfig,
        "importance_weighted": ImportanceWeightedConfig,
        "multi_rate": MultiRateConfig,
        "target_distortion": TargetDistortionConfig,
        "target_rate": TargetRateConfig,
        "total_correlation": TotalCorrelationConfig,
        "custom": CustomObjectiveConfig,
    },
}

# The keys whose values name the user's own code, as `module:name`. It is imported only if the command names it, never
# because a run's directory does.
FOREIGN = ("objective.target", "model.encoder", "model.decoder", "data.target", "metrics")

# The keys that a resumed run may change, as they do not change what a step computes. The name of a section stands for
# all its keys.
FREE = frozenset(
    {"epochs", "early_stopping_epochs", "resume", "sweep", "device", "threads", "compile", "disentanglement"}
)
FREE |= {"metrics", "tracking", "data.root", "data.download", "data.timeout_seconds"}
