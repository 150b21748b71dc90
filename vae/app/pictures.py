"""Images x, or what a model decodes, as PNG files."""

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vae.config.preparation import ImagePreparation
from vae.figures import images as figures

Images = Float[Tensor, "images channels height width"]

SHEET = 400  # the most images on one sheet
SMALL = 48  # pixels: smaller images are drawn twice as large on a sheet


def grey_values(x: Images, preparation: ImagePreparation) -> Images:
    """The images in [0, 1]: clamped, and scaled if the model was trained on values in another range."""
    return figures.in_unit_interval(x, preparation.shown).clamp(0, 1)


def save_picture(path: Path, image: Float[Tensor, "channels height width"], preparation: ImagePreparation) -> None:
    """Write one image, in grey or colour, as a PNG."""
    pixels = (grey_values(image[None], preparation)[0] * 255).round().byte().permute(1, 2, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.as_image(pixels).save(path, "png")


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
    shown = grey_values(images[:SHEET], preparation)
    columns = columns or math.ceil(math.sqrt(len(shown)))
    rows = in_rows(shown, columns)
    return as_png(figures.grid(rows, labels[: len(shown) : columns], title, scale_of(images)))


def pairs(x: Images, means: Images, preparation: ImagePreparation, columns: int = 10) -> bytes:
    """Rows of inputs, each with its reconstruction below it, as a PNG."""
    columns = min(columns, len(x))
    parts = [in_rows(grey_values(part, preparation), columns) for part in (x, means)]
    rows = torch.stack(parts, 1).flatten(0, 1)
    return as_png(figures.grid(rows, ["input", "output"] * len(parts[0]), scale=scale_of(x)))


def in_rows(images: Images, columns: int) -> Float[Tensor, "rows columns channels height width"]:
    """The images in rows. The last row is filled with white."""
    missing = -len(images) % columns
    white = torch.ones(missing, *images.shape[1:])
    return torch.cat([images, white]).view(-1, columns, *images.shape[1:])


def scale_of(images: Images) -> int:
    """How many times as large the images are drawn."""
    return 2 if max(images.shape[-2:]) < SMALL else 1


def as_png(image: figures.ImageBytes) -> bytes:
    """The bytes of a PNG."""
    file = io.BytesIO()
    picture: Image.Image = figures.as_image(image)
    picture.save(file, "png")
    return file.getvalue()


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
