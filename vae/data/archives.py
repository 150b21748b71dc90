"""The arrays of an .npz, read without unpickling, and refused before the memory is taken if they cannot be there."""

import os
import zipfile
import zlib
from dataclasses import dataclass
from math import prod

import numpy as np

# What a damaged archive is met with, by zipfile, zlib and numpy. RuntimeError: an entry that calls itself encrypted.
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    AttributeError,
    SyntaxError,
    OverflowError,
    MemoryError,
)

DEFLATED_MOST = 1_032  # bytes that one byte of a deflated stream can stand for (zlib's technical details)
SLACK = 2**16  # bytes, for the ends of a short stream


def array_names(archive: zipfile.ZipFile) -> list[str]:
    """The names of the entries as numpy has them: without `.npy`."""
    return [name.removesuffix(".npy") for name in archive.namelist()]


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array with that name.

    Raises:
        KeyError: there is none.
        one of UNREADABLE: it is damaged, holds Python objects, or cannot be as large as it says.
    """
    header = read_header(archive, name)
    needed = prod(header.shape) * header.dtype.itemsize
    if needed > (most := physical_memory()):
        raise ValueError(f"{name} holds {needed / 2**30:.1f} GiB, more than the memory's {most / 2**30:.1f} GiB")
    with archive.open(f"{name}.npy") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # also has the archive compare its checksum
            raise ValueError(f"{name} is longer than it says")
    return array


@dataclass(frozen=True)
class Header:
    """What an array says of itself, and the number of bytes in which it says so."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    size: int


def read_header(archive: zipfile.ZipFile, name: str) -> Header:
    """The header of the array with that name.

    Raises:
        KeyError: there is none.
        one of UNREADABLE: the array holds another number of bytes than it says, or more than the archive can.
    """
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version > (3, 0):
            raise ValueError(f"{name} has an .npy format of version {version}, later than (3, 0)")
        # 3.0 is 2.0 with names of fields in UTF-8 instead of Latin-1: where there are no fields the same is read.
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        size = file.tell()
    if version == (3, 0) and dtype.names:
        raise ValueError(f"{name} has fields with names")
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never unpickled")
    entry = archive.getinfo(f"{name}.npy")
    said, stored = prod(shape) * dtype.itemsize, entry.file_size - size
    if said != stored:
        raise ValueError(f"{name} says that it holds {said} bytes, and holds {stored}")
    packed = DEFLATED_MOST * entry.compress_size + SLACK
    if entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and entry.file_size > packed:
        raise ValueError(f"{name} says that it holds {said} bytes, which {entry.compress_size} packed ones cannot be")
    return Header(shape, fortran, dtype, size)


def physical_memory() -> int:
    """Of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
