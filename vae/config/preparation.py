"""How pictures, arrays and rows become the x of a model. It is stored with a run, and repeated for new inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vae.config.building import plain, section_of
from vae.config.data import Background, Colour, Resize
from vae.config.rules import ConfigError


@dataclass(frozen=True)
class ImagePreparation:
    """How images became x.

    Attributes:
        image: (channels, height, width) of x.
        binarised: whether x is 0 or 1, drawn with P(x = 1) = grey value.
        unit_interval: whether the grey values lie in [0, 1]. Bytes then stand for byte / 255. If False, images are
            floats in a unit of their own.
        levels: the stored values that became 0 and 1, for more than 8 bits. None: those of the file's type.
        shown: the values of x that figures show as black and white. (0, 1) if `unit_interval`.
        resize: how a picture of another size was brought to this one. None: such a picture is refused.
        background: the colour behind transparent pixels.
        colour: `grey` makes colours grey. Otherwise a picture in colour is refused by a model with one channel.
    """

    image: tuple[int, int, int]
    binarised: bool = False
    unit_interval: bool = True
    levels: tuple[float, float] | None = None
    shown: tuple[float, float] = (0.0, 1.0)
    resize: Resize | None = None
    background: Background = Background.black
    colour: Colour = Colour.auto


@dataclass(frozen=True)
class TablePreparation:
    """How the rows of a table became x, of shape (1, 1, columns): each column has mean 0 and standard deviation 1.

    Attributes:
        columns: their names.
        mean: of each column over the training rows, in its own unit.
        deviation: the standard deviation of each column over the training rows, in its own unit.
        label: the column with the label of each row, which is no part of x. None if there was none.
    """

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    label: str | None

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of x."""
        return 1, 1, len(self.columns)


Preparation = ImagePreparation | TablePreparation
KINDS: Mapping[str, type] = {"images": ImagePreparation, "table": TablePreparation}


def plain_preparation(preparation: Preparation) -> dict[str, Any]:
    """The preparation as plain data for YAML and JSON, from which `preparation_of` makes an equal one."""
    kind = next(name for name, known in KINDS.items() if isinstance(preparation, known))
    return {"kind": kind, **plain(preparation)}


def preparation_of(tree: Any) -> Preparation:
    """The preparation that plain data describe.

    Raises:
        ConfigError: they describe none.
    """
    if not isinstance(tree, Mapping) or tree.get("kind") not in KINDS:
        raise ConfigError(f"preparation.kind must be one of {', '.join(KINDS)}, got {tree}")
    values = {key: value for key, value in tree.items() if key != "kind"}
    built: Preparation = section_of(KINDS[tree["kind"]], values, "preparation")
    sizes = {len(built.columns), len(built.mean), len(built.deviation)} if isinstance(built, TablePreparation) else {1}
    if min(built.image) < 1 or len(built.image) != 3 or len(sizes) > 1:
        raise ConfigError(f"preparation must describe one shape of x, got {tree}")
    return built
