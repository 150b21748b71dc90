"""The published dSprites file: an .npz, read without unpickling and packed as it is read."""

import shutil
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from vae.data.archives import UNREADABLE, read_array, read_header
from vae.data.factors import Factors
from vae.data.files import DataError, expanded, kind_of, locked, reason
from vae.data.packed import PackedPixels, pack

URL = "https://github.com/google-deepmind/dsprites-dataset/raw/master/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
NAMES = ("color", "shape", "scale", "orientation", "x", "y")  # the columns of latents_classes
CHUNK_IMAGES = 8_192  # unpacked at a time


def ensure_dsprites(path: Path, *, download: bool, timeout_seconds: float) -> Path:
    """The file, downloaded if it is not there.

    Raises:
        DataError: it cannot be had.
    """
    path = expanded(path, "data.path")
    fix = f"Put {FILE} there, or name it with data.path"
    try:
        if path.is_file():
            return path
        if (kind := kind_of(path)) != "missing":
            raise DataError(f"data=dsprites needs {path}, which is {kind}. {fix}")
    except OSError as error:
        raise DataError(f"data=dsprites needs {path}, which cannot be read: {reason(error)}. {fix}") from error
    if not download:
        raise DataError(f"data=dsprites needs {path}, which is no file. {fix}, or set data.download=true")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / ".lock", path, 2 * timeout_seconds):
            if not path.is_file():  # another process may have been here while we waited
                fetch(path, timeout_seconds)
    except (OSError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be downloaded: {reason(error)}. {fix}") from error
    return path


def fetch(path: Path, timeout_seconds: float) -> None:
    """Download the file, whole or not at all.

    Raises:
        OSError: the server cannot be reached, is too slow, or gives no archive.
    """
    deadline = time.monotonic() + timeout_seconds
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as scratch:
        part = Path(scratch) / "part"
        with urllib.request.urlopen(URL, timeout=timeout_seconds) as answer, part.open("wb") as file:
            while block := answer.read(1 << 16):
                file.write(block)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {timeout_seconds:g} s")
        if not zipfile.is_zipfile(part):
            raise OSError("what the server gave is no .npz")
        shutil.move(part, path)


def read_dsprites(path: Path) -> tuple[PackedPixels, Factors]:
    """The images and the factors of a file in the layout of dSprites; `metadata`, a pickle, is never touched.

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
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    except UNREADABLE as error:
        raise DataError(f"{must}: {reason(error)}. Replace it") from None
    if classes.shape != (len(pixels), len(NAMES)) or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            f"{must}, latents_classes of shape {(len(pixels), len(NAMES))} and whole numbers, "
            f"got {classes.shape} {classes.dtype}. Replace it"
        )
    factors = Factors.of({name: classes[:, k] for k, name in enumerate(NAMES)})
    if not factors.names:
        raise DataError(f"{must}, whose factors vary; here every image has the same. Replace it")
    return pixels, factors


def read_pixels(archive: zipfile.ZipFile, must: str) -> PackedPixels:
    """The images, a chunk at a time: the whole set is never unpacked."""
    header = read_header(archive, "imgs")
    shape = header.shape
    if len(shape) != 3 or 0 in shape or header.fortran or header.dtype != np.uint8:
        raise DataError(
            f"{must}, imgs of shape (images, height, width) and uint8, got {shape} {header.dtype}. Replace it"
        )
    with archive.open("imgs.npy") as file:
        file.read(header.size)
        images, height, width = shape
        chunks = []
        for start in range(0, images, CHUNK_IMAGES):
            count = min(CHUNK_IMAGES, images - start)
            chunks.append(pack(read_chunk(file.read, (count, 1, height, width), must)))
        if file.read(1):  # also has the archive compare its checksum
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
