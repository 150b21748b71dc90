"""What a run is: dataclasses without defaults, the range of every value, and one-line errors.

Types and ranges live here, values live in `configs/*.yaml` and nowhere else: a value that a YAML file forgets is
an error, not a silent default. Neither torch nor Hydra is imported, so a wrong option is answered at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be run. Its text is one line: the rule, what was given, the fix."""


class Choice(Enum):
    """One of several words; in a text, as the name of a sweep's member is, it is that word."""

    def __str__(self) -> str:
        return str(self.value)


class Device(Choice):
    """Where the tensors live. `auto` takes CUDA, then MPS, then the CPU."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(Choice):
    """The number format of the networks' products; the rate, the likelihood and Adam are always fp32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Optimizer(Choice):
    """What takes the steps, with the paper's other constants."""

    adam = "adam"
    adagrad = "adagrad"


class Between(Choice):
    """What a schedule does between its points."""

    line = "line"  # goes straight from one to the next
    hold = "hold"  # stays at the one before


class Start(Choice):
    """The weights that training starts from."""

    torch = "torch"  # torch's own: a third as large as Glorot's, in variance, in a square layer; and random biases
    glorot = "glorot"  # Glorot & Bengio (2010), and no biases


class Binarisation(Choice):
    """How grey pixels become the 0 and 1 of a Bernoulli likelihood."""

    dynamic = "dynamic"  # training pixels are drawn anew at every use, validation and test once
    static = "static"  # every pixel is drawn once
    none = "none"  # grey values as they are: no Bernoulli bound, but what many tutorials train on


class Background(Choice):
    """What lies behind the transparent pixels of a picture."""

    black = "black"
    white = "white"


class Colour(Choice):
    """How many channels the user's own images have."""

    auto = "auto"  # one if every picture is grey, three if they are in colour, refused if both are stored
    grey = "grey"  # one, the luma
    rgb = "rgb"  # three


class Dataset(Choice):
    """The data sets, by torchvision's names."""

    MNIST = "MNIST"
    FashionMNIST = "FashionMNIST"
    KMNIST = "KMNIST"


class Activation(Choice):
    """The non-linearity between the layers."""

    relu = "relu"
    tanh = "tanh"
    silu = "silu"
    gelu = "gelu"


def between(low: int | float, high: int | float, *, above: bool = False) -> Mapping[str, Any]:
    """The metadata of a field whose value, or each of whose values, lies in [low, high], or (low, high] if above."""
    return {"low": low, "high": high, "above": above}


@dataclass
class MLPConfig:
    """Fully connected encoder, and its mirror as the decoder where no other is given."""

    latent_dim: int = field(metadata=between(1, 10_000))
    hidden: list[int] = field(metadata=between(1, 100_000))
    activation: Activation
    decoder_hidden: list[int] | None = field(metadata=between(1, 100_000))
    decoder_activation: Activation | None
    start: Start


@dataclass
class ConvConfig:
    """The convolutions of Burgess et al. (2018), with as many as the image's side takes."""

    latent_dim: int = field(metadata=between(1, 10_000))
    channels: int = field(metadata=between(1, 4_096))
    width: int = field(metadata=between(1, 100_000))
    activation: Activation


@dataclass
class LocatelloConfig:
    """The convolutions of Locatello et al. (2019)."""

    latent_dim: int = field(metadata=between(1, 10_000))


@dataclass
class BernoulliConfig:
    """Pixels are 0 or 1."""


@dataclass
class GaussianConfig:
    """Pixels are real numbers around the decoder's mean; one variance for all of them."""

    variance: float = field(metadata=between(1e-6, 1e6))
    learned: bool


LikelihoodConfig = BernoulliConfig | GaussianConfig
ModelConfig = MLPConfig | ConvConfig | LocatelloConfig


@dataclass
class DataConfig:
    """Which images, from where, split and binarised how."""

    name: Dataset
    root: str
    download: bool
    timeout_seconds: float = field(metadata=between(0, 3_600, above=True))
    validation_size: int = field(metadata=between(0, 50_000))
    binarisation: Binarisation


@dataclass
class SpritesConfig:
    """The images of dSprites, drawn from their formula: how large, and how many levels of each factor."""

    root: str
    side: int = field(metadata=between(16, 256))
    shapes: int = field(metadata=between(1, 3))
    scales: int = field(metadata=between(1, 64))
    orientations: int = field(metadata=between(1, 360))
    positions_x: int = field(metadata=between(1, 128))
    positions_y: int = field(metadata=between(1, 128))
    validation_size: int = field(metadata=between(0, 1_000_000))
    test_size: int = field(metadata=between(1, 1_000_000))


@dataclass
class DspritesConfig:
    """The published file of dSprites."""

    path: str
    download: bool
    timeout_seconds: float = field(metadata=between(0, 3_600, above=True))
    validation_size: int = field(metadata=between(0, 1_000_000))
    test_size: int = field(metadata=between(1, 1_000_000))


@dataclass
class ImagesConfig:
    """The user's own images."""

    path: str
    validation_size: int = field(metadata=between(0, 10_000_000))
    test_size: int = field(metadata=between(1, 10_000_000))
    binarisation: Binarisation
    background: Background
    colour: Colour


LARGEST_GRID_BYTES = 1_000_000_000  # of packed sprites: twice what the published grid takes


@dataclass
class TrackingConfig:
    """What is shown and written while a run goes on."""

    tensorboard: bool
    progress: bool
    log_every_steps: int = field(metadata=between(1, 10**9))
    save_every_steps: int | None = field(metadata=between(1, 10**9))
    save_every_seconds: float | None = field(metadata=between(0, 10**6))


@dataclass
class Config:
    """A whole run."""

    beta: float = field(metadata=between(0, 1e6))
    beta_warmup_steps: int = field(metadata=between(0, 10**9))
    seed: int = field(metadata=between(0, 2**31 - 1))
    epochs: int = field(metadata=between(1, 1_000_000))
    batch_size: int = field(metadata=between(1, 60_000))
    optimizer: Optimizer
    adam_epsilon: float = field(metadata=between(0, 1, above=True))
    learning_rate: float = field(metadata=between(0, 10, above=True))
    learning_rate_epochs: list[int] | None = field(metadata=between(0, 1_000_000))
    learning_rate_factors: list[float] | None = field(metadata=between(0, 1e6))
    learning_rate_between: Between
    gradient_norm_limit: float | None = field(metadata=between(0, 1e9, above=True))
    evaluate_every_epochs: int = field(metadata=between(1, 1_000_000))
    early_stopping_epochs: int | None = field(metadata=between(1, 1_000_000))
    logvar_min: float = field(metadata=between(-80, 80))
    logvar_max: float = field(metadata=between(-80, 80))
    device: Device
    threads: int | None = field(metadata=between(1, 1_024))
    precision: Precision
    compile: bool
    disentanglement: bool
    resume: str | None
    tracking: TrackingConfig
    data: Any  # DataConfig, SpritesConfig, DspritesConfig or ImagesConfig
    likelihood: Any  # BernoulliConfig or GaussianConfig
    model: Any  # MLPConfig, ConvConfig or LocatelloConfig
    objective: Any  # one of objective_config

    def __post_init__(self) -> None:
        """Refuse what no run could mean.

        Raises:
            ConfigError: a value outside its range, or two values that contradict each other.
        """
        check_ranges(self)
        if is_dataclass(self.data):  # Hydra's own composition has a dictionary here
            check_places(vars(self.data))
        if self.logvar_min >= self.logvar_max:
            raise ConfigError(
                f"logvar_min must be below logvar_max, got {self.logvar_min:g} and {self.logvar_max:g}. "
                "The defaults are -10 and 10"
            )
        check_points(
            *("learning_rate_epochs", self.learning_rate_epochs),
            *("learning_rate_factors", self.learning_rate_factors),
        )
        self.objective.check(self.beta, self.beta_warmup_steps)
        gaussian = isinstance(self.likelihood, GaussianConfig)
        drawn = isinstance(self.data, DataConfig | ImagesConfig) and self.data.binarisation is not Binarisation.none
        if gaussian and drawn:
            raise ConfigError(
                "likelihood=gaussian needs grey pixels, got "
                f"data.binarisation={self.data.binarisation.value}. Add data.binarisation=none"
            )
        if self.early_stopping_epochs is not None and self.data.validation_size == 0:
            raise ConfigError(
                "early_stopping_epochs needs validation images, got data.validation_size=0. "
                "Keep some, or set early_stopping_epochs=null"
            )
        if self.early_stopping_epochs is not None and self.early_stopping_epochs < self.evaluate_every_epochs:
            raise ConfigError(
                f"early_stopping_epochs must be {self.evaluate_every_epochs} or more with "
                f"evaluate_every_epochs={self.evaluate_every_epochs}, got {self.early_stopping_epochs}. Raise it"
            )
        if isinstance(self.data, SpritesConfig):
            check_grid(self.data)


def check_places(data: Mapping[str, Any]) -> None:
    """Refuse an empty place of data, which as a path would be the working directory.

    Raises:
        ConfigError: names the key.
    """
    for key in ("path", "root"):
        if key in data and not str(data[key]).strip():
            raise ConfigError(f"data.{key} must be given, got an empty text. Set data.{key}=<path>")


def check_points(key: str, places: list[int] | None, other: str, factors: list[float] | None) -> None:
    """Refuse a schedule whose points, `places` in steps or epochs and the factor at each, do not fit together.

    Raises:
        ConfigError: one line, with both keys.
    """
    if (places is None) != (factors is None) or (places and factors and len(places) != len(factors)):
        raise ConfigError(
            f"{key} and {other} must be as long as each other, got {places} and {factors}. Give both, or neither"
        )
    if places and any(later <= earlier for earlier, later in pairwise(places)):
        raise ConfigError(f"{key} must rise, got {places}. Sort them")


def check_grid(data: SpritesConfig) -> None:
    """Refuse sprites of which there is one only, or that no memory holds.

    Raises:
        ConfigError: names the sizes and the rule.
    """
    sizes = (data.shapes, data.scales, data.orientations, data.positions_x, data.positions_y)
    images = math.prod(sizes)
    size = images * -(-(data.side**2) // 8)
    shown = "x".join(map(str, sizes))
    if images == 1:
        raise ConfigError(f"data=sprites needs a factor with two levels or more, got {shown}. Raise one")
    if size > LARGEST_GRID_BYTES:
        raise ConfigError(
            f"data=sprites must fit in {LARGEST_GRID_BYTES / 1e9:g} GB of packed bits, got {shown} images of "
            f"{data.side}x{data.side}, {size / 1e9:.1f} GB. Lower data.side or a number of levels"
        )


def rule(kind: object, metadata: Mapping[str, Any]) -> str:
    """What a value must be, in words.

    Example:
        >>> rule(int, between(1, 10))
        'a whole number from 1 to 10'
        >>> rule(float, between(0, 1e6, above=True))
        'a number above 0 and up to 1000000'
        >>> rule(Precision, {})
        'one of fp32, bf16'
    """
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(member.name for member in kind)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    optional = getattr(kind, "__args__", ())
    if type(None) in optional:
        return rule(next(a for a in optional if a is not type(None)), metadata) + ", or null"
    if optional and getattr(kind, "__origin__", None) is list:
        return f"a list, each entry {rule(optional[0], metadata)}"
    noun = "a whole number" if kind is int else "a number"
    if not metadata:
        return noun
    low, high = (f"{metadata[k]:.10g}" for k in ("low", "high"))
    return f"{noun} above {low} and up to {high}" if metadata["above"] else f"{noun} from {low} to {high}"


def check_ranges(section: Any, prefix: str = "") -> None:
    """Refuse the first value below `section`, a dataclass, that lies outside its field's range.

    Raises:
        ConfigError: names the key, the range and the value.
    """
    for f in fields(section):
        value, key = getattr(section, f.name), prefix + f.name
        if is_dataclass(value):
            check_ranges(value, key + ".")
        elif f.metadata and not _inside(value, f.metadata):
            raise ConfigError(f"{key} must be {rule(f.type, f.metadata)}, got {value}")


def _inside(value: Any, metadata: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    if isinstance(value, list):
        numbers = all(isinstance(entry, int | float) for entry in value)  # OmegaConf lets [[1]] pass
        return len(value) > 0 and numbers and all(_inside(entry, metadata) for entry in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, high, above = metadata["low"], metadata["high"], metadata["above"]
    return bool(low < value <= high if above else low <= value <= high)
