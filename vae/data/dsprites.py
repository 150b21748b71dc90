"""The published dSprites file: an .npz, read without unpickling and packed as it is read."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from vae.config import DspritesConfig
from vae.data.download import download
from vae.data.factors import Factors
from vae.data.files import (
    DataError,
    expanded,
    kind_of,
    locked,
    read_bytes,
    reason,
    sha256_of,
    write_whole,
)
from vae.data.images import Splits
from vae.data.npz import read_array
from vae.data.packed import PackedPixels, pack
from vae.data.splits import grid_splits

URL = "https://github.com/google-deepmind/dsprites-dataset/raw/master/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
CLASS_COLUMNS = ("color", "shape", "scale", "orientation", "x", "y")  # of latents_classes
UNPACKED_AT_ONCE = 8_192  # images


@dataclass(frozen=True)
class DspritesData:
    """The published file of dSprites."""

    config: DspritesConfig

    def read(self) -> Splits:
        """All images to train on; validation and test are draws from them. The file is downloaded if it is missing."""
        config, path = self.config, expanded(self.config.path, "data.path")
        ensure_dsprites(path, may_download=config.download, timeout_seconds=config.timeout_seconds)
        return grid_splits(*read_dsprites(path), config.validation_size, config.test_size)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the file."""
        path = expanded(self.config.path, "data.path")
        return {path.name: sha256_of(read_bytes(path))}

    def describe(self) -> str:
        """The file."""
        return f"dSprites from {self.config.path}"


def ensure_dsprites(path: Path, *, may_download: bool, timeout_seconds: float) -> None:
    """Download the file if it is not there.

    Raises:
        DataError: it cannot be had.
    """
    fix = f"Put {FILE} there, or name it with data.path"
    try:
        if path.is_file():
            return
        if (kind := kind_of(path)) != "missing":
            raise DataError(f"data=dsprites needs {path}, which is {kind}. {fix}")
    except OSError as error:
        raise DataError(f"data=dsprites needs {path}, which cannot be read: {reason(error)}. {fix}") from error
    if not may_download:
        raise DataError(f"data=dsprites needs {path}, which is no file. {fix}, or set data.download=true")
    with locked(path, fix, 2 * timeout_seconds):
        if path.is_file():  # another process may have downloaded it while this one waited
            return
        try:
            content = download(URL, timeout_seconds)
        except DataError as error:
            raise DataError(f"{path} cannot be downloaded: {error}. {fix}") from error
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise DataError(f"{path} cannot be downloaded: what the server gave is no .npz. {fix}")
        write_whole(path, content)


def read_dsprites(path: Path) -> tuple[PackedPixels, Factors]:
    """The images and the factors of a file in the layout of dSprites; `metadata`, a pickle, is never read.

    Raises:
        DataError: the file is damaged or has another layout.
    """
    must = f"{path} must have the layout of dSprites"
    try:
        with zipfile.ZipFile(path) as archive:
            pixels = read_pixels(archive, must)
            classes = read_array(archive, "latents_classes")
    except KeyError as error:
        raise DataError(f"{must}, it has no {str(error).split()[3].strip(chr(39))}. Replace it") from None
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged archive
        raise DataError(f"{must}: {reason(error)}. Replace it") from None
    if classes.shape != (len(pixels), len(CLASS_COLUMNS)) or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            f"{must}, latents_classes of shape {(len(pixels), len(CLASS_COLUMNS))} and whole numbers, "
            f"got {classes.shape} {classes.dtype}. Replace it"
        )
    factors = Factors.of({name: classes[:, k] for k, name in enumerate(CLASS_COLUMNS)})
    if not factors.names:
        raise DataError(f"{must}, whose factors vary; here every image has the same. Replace it")
    return pixels, factors


def read_pixels(archive: zipfile.ZipFile, must: str) -> PackedPixels:
    """The images, a chunk at a time: the whole set is never unpacked.

    Raises:
        DataError: they have another type or shape, or a pixel is neither 0 nor 1.
        Exception: the archive is damaged.
    """
    with archive.open("imgs.npy") as file:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"imgs has an .npy format of version {version}, not (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if len(shape) != 3 or 0 in shape or fortran or dtype != np.uint8:
            raise DataError(
                f"{must}, imgs of shape (images, height, width) and uint8, got {shape} {dtype}. Replace it"
            )
        images, height, width = shape
        chunks = []
        for start in range(0, images, UNPACKED_AT_ONCE):
            count = min(UNPACKED_AT_ONCE, images - start)
            chunks.append(pack(read_chunk(file.read, (count, 1, height, width), must)))
        if file.read(1):  # at the end, zipfile also compares its checksum
            raise DataError(f"{must}, imgs is longer than it says. Replace it")
    return PackedPixels(torch.from_numpy(np.concatenate(chunks)), (1, height, width))


def read_chunk(
    read: Callable[[int], bytes], shape: tuple[int, int, int, int], must: str
) -> UInt8[np.ndarray, "images 1 height width"]:
    """The next images that `read` gives, all of whose pixels are 0 or 1."""
    size = int(np.prod(shape))
    data = read(size)
    if len(data) < size:
        raise DataError(f"{must}, imgs ends too early. Replace it")
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(shape)
    if pixels.max() > 1:
        raise DataError(f"{must}, pixels of 0 or 1, got {pixels.max()}. Replace it")
    return pixels
