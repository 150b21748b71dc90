"""Images in an .npz, with what is known of them, or in an .npy."""

import logging
from pathlib import Path

import numpy as np

from vae.config import Colour
from vae.data.arrays import as_classes, as_images, factors_of_table, in_colour
from vae.data.files import DataError, reason, single_line
from vae.data.npz import MAGIC, read_npy, read_npz
from vae.data.pictures import SUFFIXES
from vae.data.splits import ImageArrays

log = logging.getLogger(__name__)

ARRAYS = ("images", "labels", "label_names", "factors", "factor_names")  # in an .npz


def read_archive(path: Path, colour: Colour, levels: tuple[float, float] | None = None) -> ImageArrays:
    """The images of an .npz or an .npy. Nothing is unpickled.

    An .npz holds `images` (n, h, w), (n, h, w, c) or (n, c, h, w), and where they are known `labels` (n,),
    `label_names` (classes,), `factors` (n, k) and `factor_names` (k,). An .npy holds the images alone.

    Args:
        path: of the file.
        colour: how many channels the images get.
        levels: the stored values that become 0 and 1, for images of more than 8 bits.

    Raises:
        DataError: the file is damaged, or an array has a wrong form.
        PermissionError: the file may not be read.
    """
    arrays = read_arrays(path)
    given = arrays.get("images")
    if given is None:
        holds = ", ".join(arrays)[:200] or "none"
        raise DataError(
            f"{path} must hold an array `images`, it holds {holds}. Write it with numpy.savez(file, images=array)"
        )
    others = ", ".join(name for name, array in arrays.items() if array is None)[:200]
    if others:
        log.warning(single_line(f"warning: {path}: ignored {others}; the arrays read are {', '.join(ARRAYS)}"))
    images = as_images(given, path, levels, has_range=True)
    factors = factors_of_table(arrays.get("factors"), arrays.get("factor_names"), len(images), path)
    labels, names = as_classes(arrays.get("labels"), arrays.get("label_names"), len(images), path)
    return ImageArrays(in_colour(images, colour), factors, labels, names)


def read_arrays(path: Path) -> dict[str, np.ndarray | None]:
    """The arrays of the file by name. None stands for an array that is not read.

    Raises:
        DataError: the file is damaged.
        PermissionError: the file may not be read.
    """
    kind = "npz of plain arrays"
    try:
        with path.open("rb") as file:
            is_npy = file.read(len(MAGIC)) == MAGIC
        if is_npy or path.suffix == ".npy":
            kind = "npy of one plain array"
            return {"images": read_npy(path)}
        return read_npz(path, ARRAYS)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged file
        picture = path.suffix.lower() in SUFFIXES
        again = "save(file, array)" if "npy" in kind else "savez(file, images=array)"
        fix = "Give the folder of the pictures" if picture else f"Write it anew with numpy.{again}"
        raise DataError(f"{path} must be an .{kind}: {reason(error)}. {fix}") from None
