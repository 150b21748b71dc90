"""Images x, or what a model decodes, as PNG files."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from vae.config.preparation import ImagePreparation
from vae.figures import images as figures

Images = Float[Tensor, "images channels height width"]

SHEET = 400  # the most images on one sheet
SMALL = 48  # pixels: smaller images are drawn twice as large on a sheet


def save_picture(path: Path, image: Float[Tensor, "channels height width"], preparation: ImagePreparation) -> None:
    """Write one image, in grey or colour, as a PNG. Values beyond black and white are clamped."""
    pixels = (figures.in_unit_interval(image, preparation.shown).clamp(0, 1) * 255).round().byte()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figures.as_png(pixels.permute(1, 2, 0)))


def sheet(
    images: Images,
    preparation: ImagePreparation,
    columns: int | None = None,
    labels: Sequence[str] = (),
    title: str = "",
) -> bytes:
    """At most SHEET images in rows, as a PNG.

    Args:
        images: of x, or what is decoded.
        preparation: of the model.
        columns: of the sheet. None: it is nearly square.
        labels: one for each image; those of the first in each row are shown.
        title: above the images.
    """
    images, shown = images[:SHEET], preparation.shown
    columns = columns or math.ceil(math.sqrt(len(images)))
    labels = labels[: len(images) : columns]
    return figures.as_png(
        figures.grid(figures.in_rows(images, columns, shown), labels, title, scale_of(images), shown)
    )


def pairs(x: Images, means: Images, preparation: ImagePreparation) -> bytes:
    """Rows of inputs, each with its reconstruction below it, as a PNG."""
    return figures.as_png(figures.reconstructions(x, means, preparation.shown, scale_of(x)))


def scale_of(images: Images) -> int:
    """How many times as large the images are drawn."""
    return 2 if max(images.shape[-2:]) < SMALL else 1


def file_names(names: Sequence[str]) -> list[str]:
    """A different name of a PNG for each input, below the folder that it is written to.

    cats/a.jpg becomes cats/a.png, or cats/a.jpg.png if that is taken. Of paths that lead elsewhere, the last part is
    used.

    Example:
        >>> file_names(["a.jpg", "a.png", "grid.bmp", "/home/me/a.jpg", "../a.jpg"])
        ['a.png', 'a.png.png', 'grid.bmp.png', 'a.jpg.png', 'a-2.png']
    """
    taken, found = {"grid.png"}, []
    for name in names:
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            path = Path(path.name)
        numbered = (path.with_name(f"{path.stem}-{number}.png") for number in itertools.count(2))
        wanted = (path.with_suffix(".png"), path.with_name(f"{path.name}.png"))
        free = next(text for text in map(str, itertools.chain(wanted, numbered)) if text.casefold() not in taken)
        taken.add(free.casefold())
        found.append(free)
    return found
