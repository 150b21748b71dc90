"""The configuration of the images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vae.config.rules import ConfigError, between


class Binarisation(StrEnum):
    """How grey pixels become the 0 and 1 of a Bernoulli likelihood."""

    dynamic = "dynamic"  # training pixels are drawn again in every batch, validation and test pixels once
    static = "static"  # every pixel is drawn once
    none = "none"  # grey values are kept: the loss is no Bernoulli bound, but many tutorials train on them


class Background(StrEnum):
    """The colour behind the transparent pixels of a picture."""

    black = "black"
    white = "white"


class Colour(StrEnum):
    """How many channels the user's own images get."""

    auto = "auto"  # one if all pictures are grey, three if all are in colour; a mixture is refused
    grey = "grey"  # one channel, the luma
    rgb = "rgb"  # three channels


class Resize(StrEnum):
    """How a picture is brought to a given height and width."""

    fit = "fit"  # the whole picture, with the background beside it
    crop = "crop"  # the middle of the picture
    stretch = "stretch"  # the whole picture, with other proportions


class Dataset(StrEnum):
    """The data sets, by torchvision's names."""

    MNIST = "MNIST"
    FashionMNIST = "FashionMNIST"
    KMNIST = "KMNIST"


@dataclass
class MnistConfig:
    """MNIST, FashionMNIST or KMNIST."""

    name: Dataset
    root: str
    download: bool
    timeout_seconds: float = field(metadata=between(0, 3_600, above=True))
    validation_size: int = field(metadata=between(0, 50_000))
    binarisation: Binarisation


@dataclass
class SpritesConfig:
    """The images of dSprites, drawn from their formula with this side in pixels and these numbers of levels."""

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
    """The user's own images. Pictures are resized to a square of `side` or to the height and width `size`, in pixels.

    `range` holds the stored values that become 0 and 1, where there are more than 8 bits.
    """

    path: str
    root: str
    side: int | None = field(metadata=between(1, 4_096))
    size: list[int] | None = field(metadata=between(1, 4_096))
    resize: Resize
    range: list[float] | None
    validation_size: int | float = field(metadata=between(0, 10_000_000))
    test_size: int | float = field(metadata=between(0, 10_000_000, above=True))
    binarisation: Binarisation
    background: Background
    colour: Colour


@dataclass
class CustomDataConfig:
    """Images that are read by the user's own function. `target` names it as `module:name`."""

    target: str
    path: str
    options: dict[str, Any]
    validation_size: int | float = field(metadata=between(0, 10_000_000))
    test_size: int | float = field(metadata=between(0, 10_000_000, above=True))
    binarisation: Binarisation


@dataclass
class TableConfig:
    """The user's own table of numbers. `label` is a column that is not modelled, and `drop` are columns left out."""

    path: str
    label: str | None
    drop: list[str]
    validation_size: int | float = field(metadata=between(0, 10_000_000))
    test_size: int | float = field(metadata=between(0, 10_000_000, above=True))


DataConfig = MnistConfig | SpritesConfig | DspritesConfig | ImagesConfig | TableConfig | CustomDataConfig

LARGEST_GRID_BYTES = 1_000_000_000  # of packed sprites: more than twice the size of the published grid


def check_places(data: Mapping[str, Any]) -> None:
    """Refuse an empty path, which would mean the working directory.

    Raises:
        ConfigError: `path` or `root` is empty.
    """
    for key in ("path", "root"):
        if key in data and not str(data[key]).strip():
            raise ConfigError(f"data.{key} must be given, got an empty text. Set data.{key}=<path>")


def check_sizes(data: Any) -> None:
    """Refuse a number of validation or test images that is neither a share below 1 nor a whole number.

    Raises:
        ConfigError: names the key and the value.
    """
    for key in ("validation_size", "test_size"):
        size = getattr(data, key, 0)  # MNIST has a test set of its own
        if size > 1 and size != int(size):
            raise ConfigError(
                f"data.{key} must be a share of the images below 1, or a whole number of them, got {size:g}. Round it"
            )


def check_pictures(data: ImagesConfig) -> None:
    """Refuse two sizes of pictures, a size that is no height and width, and a range that does not rise.

    Raises:
        ConfigError: the values are refused.
    """
    if data.side is not None and data.size is not None:
        raise ConfigError(
            f"data.side and data.size exclude each other, got {data.side} and {data.size}. Leave one out"
        )
    if data.size is not None and len(data.size) != 2:
        raise ConfigError(f"data.size must be a height and a width, got {data.size}. Write data.size=[48,64]")
    low, high = data.range if data.range is not None and len(data.range) == 2 else (0, 0)
    if data.range is not None and not (low < high and math.isfinite(high - low)):
        raise ConfigError(
            f"data.range must be two numbers that rise, got {data.range}. "
            "Write the stored values of black and white: data.range=[0,4095]"
        )


def check_grid(data: SpritesConfig) -> None:
    """Refuse a grid of a single image, and a grid that is too large.

    Raises:
        ConfigError: the grid is refused.
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
