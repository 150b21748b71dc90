"""The published dSprites file, an .npz. It is read without unpickling, and packed while it is read."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vae.config import DspritesConfig
from vae.data.download import download
from vae.data.factors import Factors
from vae.data.files import DataError, expanded, kind_of, locked, read_bytes, reason, sha256_of, write_whole
from vae.data.images import Splits
from vae.data.npz import read_array
from vae.data.packed import PackedPixels, pack
from vae.data.splits import grid_splits

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
URL = f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}"
CLASS_COLUMNS = ("color", "shape", "scale", "orientation", "x", "y")  # of the array latents_classes
CHUNK = 8_192  # images


@dataclass(frozen=True)
class DspritesData:
    """The published file of dSprites."""

    config: DspritesConfig

    def read(self) -> Splits:
        """All images as the training set; the other sets are drawn from it. A missing file is downloaded."""
        config, path = self.config, expanded(self.config.path, "data.path")
        ensure_dsprites(path, may_download=config.download, timeout_seconds=config.timeout_seconds)
        return grid_splits(*read_dsprites(path), config.validation_size, config.test_size)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the file, by its name."""
        path = expanded(self.config.path, "data.path")
        return {path.name: sha256_of(read_bytes(path))}

    def describe(self) -> str:
        """The path of the file."""
        return f"dSprites from {self.config.path}"


def ensure_dsprites(path: Path, *, may_download: bool, timeout_seconds: float) -> None:
    """Download the file if it is missing.

    Raises:
        DataError: it is missing and cannot be downloaded, or something else is there.
    """
    fix = f"Put {FILE} there, or name it with data.path"
    try:
        if path.is_file():
            return
        kind = kind_of(path)
    except OSError as error:
        raise DataError(f"data=dsprites needs {path}, which cannot be read: {reason(error)}. {fix}") from error
    if kind != "missing":
        raise DataError(f"data=dsprites needs {path}, which is {kind}. {fix}")
    if not may_download:
        raise DataError(f"data=dsprites needs {path}, which is missing. {fix}, or set data.download=true")
    with locked(path, fix, 2 * timeout_seconds):
        if path.is_file():  # another process has downloaded it while this one waited
            return
        try:
            content = download(URL, timeout_seconds)
        except DataError as error:
            raise DataError(f"{path} cannot be downloaded: {error}. {fix}") from error
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise DataError(f"{path} cannot be downloaded: what the server gave is no .npz. {fix}")
        write_whole(path, content)


def read_dsprites(path: Path) -> tuple[PackedPixels, Factors]:
    """The images and the factors of a file in the layout of dSprites. Its `metadata`, a pickle, is never read.

    Raises:
        DataError: the file is damaged or has another layout.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pixels = read_pixels(archive)
            classes = read_array(archive, "latents_classes")
        if classes.shape != (len(pixels), len(CLASS_COLUMNS)) or classes.dtype.kind not in "iu":
            shape = (len(pixels), len(CLASS_COLUMNS))
            raise ValueError(f"latents_classes must be integers of shape {shape}, got {classes.shape} {classes.dtype}")
        factors = Factors.of({name: classes[:, k] for k, name in enumerate(CLASS_COLUMNS)})
        if not factors.names:
            raise ValueError("its factors must vary, they are constant")
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged archive
        raise DataError(f"{path} must have the layout of dSprites: {reason(error)}. Replace it") from None
    return pixels, factors


def read_pixels(archive: zipfile.ZipFile) -> PackedPixels:
    """The images. They are read in chunks, because the whole set takes 3 GB unpacked.

    Raises:
        ValueError: they have another type or shape, or a pixel is neither 0 nor 1.
        Exception: the archive is damaged.
    """
    with archive.open("imgs.npy") as file:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if len(shape) != 3 or 0 in shape or fortran or dtype != np.uint8:
            raise ValueError(f"imgs must be uint8 of shape (images, height, width), got {dtype} {shape}")
        images, height, width = shape
        chunks = []
        for start in range(0, images, CHUNK):
            count = min(CHUNK, images - start)
            pixels = np.frombuffer(file.read(count * height * width), dtype=np.uint8)
            if len(pixels) < count * height * width:
                raise ValueError("imgs ends too early")
            if pixels.max() > 1:
                raise ValueError(f"its pixels must be 0 or 1, got {pixels.max()}")
            chunks.append(pack(pixels.reshape(count, 1, height, width)))
        if file.read(1):  # at the end, zipfile also compares its checksum
            raise ValueError("imgs is longer than its header says")
    return PackedPixels(torch.from_numpy(np.concatenate(chunks)), (1, height, width))
