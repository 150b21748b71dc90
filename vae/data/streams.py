"""Arrays that are read a chunk at a time, from an .npy or an .npz that may be larger than the memory."""

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from vae.data.files import DataError, kind_of, reason
from vae.data.npz import read_array


@dataclass(frozen=True)
class Stream:
    """An array of which a chunk is in the memory at a time.

    Attributes:
        shape: of the whole array.
        dtype: of its values.
        chunks: called with a number of rows, it yields the array's rows in their order, so many at a time. It raises
            `DataError` if the file is damaged.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: Callable[[int], Iterator[np.ndarray]]


def in_memory(array: np.ndarray) -> Stream:
    """The rows of an array that is in the memory, or mapped into it."""

    def chunks(size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(array), size):
            yield array[start : start + size]

    return Stream(array.shape, array.dtype, chunks)


def read_npy(path: Path) -> Stream:
    """The array of an .npy. It is read as a stream, and never mapped: mapped pages would count as memory.

    Raises:
        DataError: the file is no .npy, is cut short, or holds Python objects, which are never unpickled.
    """
    with _one_line(path, None):
        return _stream(path, None)


def read_npz(path: Path, name: str) -> Stream:
    """The array of an .npz with this name, which is decompressed while it is read.

    Raises:
        DataError: the file is no .npz, has no such array, is cut short, or holds Python objects.
    """
    with _one_line(path, name):
        with zipfile.ZipFile(path) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
        if name not in names:
            raise DataError(
                f"{path} must hold an array `{name}`, it holds {', '.join(names)[:200] or 'none'}. "
                f"Write it with numpy.savez(file, {name}=array)"
            )
        return _stream(path, name)


def _stream(path: Path, name: str | None) -> Stream:
    """The array of an .npy, or the array `name` of an .npz."""
    with _opened(path, name) as (file, length):
        shape, by_columns, dtype = _header(file, length)
    if not by_columns:
        return Stream(shape, dtype, lambda size: _chunks(path, name, shape, dtype, size))
    if name is None:  # its rows are spread over the whole file
        return in_memory(np.load(path, mmap_mode="r", allow_pickle=False))
    with zipfile.ZipFile(path) as archive:
        return in_memory(read_array(archive, name))


def _header(file: BufferedIOBase, length: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape, whether the columns come first, and the type. The file is then at its first value."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError("columns with names of their own are not supported")
    shape, by_columns, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    needed = file.tell() + math.prod(shape) * dtype.itemsize
    if needed != length:
        raise ValueError(f"its header promises {needed} bytes, it has {length}")
    return shape, by_columns and len(shape) > 1, dtype


def _chunks(path: Path, name: str | None, shape: tuple[int, ...], dtype: np.dtype, size: int) -> Iterator[np.ndarray]:
    """The rows of an array, `size` at a time."""
    with _one_line(path, name), _opened(path, name) as (file, length):
        if _header(file, length)[::2] != (shape, dtype):
            raise ValueError("it has changed while it was read")
        for start in range(0, shape[0], size):
            rows = min(size, shape[0] - start)
            values = rows * math.prod(shape[1:])
            read = file.read(values * dtype.itemsize)
            if len(read) < values * dtype.itemsize:
                raise ValueError("it is cut short")
            chunk = np.frombuffer(read, dtype).reshape(rows, *shape[1:])
            yield chunk.astype(dtype.newbyteorder("="), copy=False)
        file.read(1)  # at the end, zipfile compares its checksum


@contextmanager
def _opened(path: Path, name: str | None) -> Iterator[tuple[BufferedIOBase, int]]:
    """The file of an .npy, or of an array in an .npz, and its length in bytes."""
    if name is None:
        with path.open("rb") as plain:
            yield plain, path.stat().st_size
    else:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            yield cast(BufferedIOBase, member), archive.getinfo(f"{name}.npy").file_size


@contextmanager
def _one_line(path: Path, name: str | None) -> Iterator[None]:
    """Turn what zipfile, zlib and numpy raise for a damaged file into a `DataError`."""
    rule, call = "an .npy of a plain array", "numpy.save(file, array)"
    if name is not None:
        rule, call = "an .npz of plain arrays", f"numpy.savez(file, {name}=array)"
    if not path.is_file():
        raise DataError(f"{path} must be {rule}, it is {kind_of(path)}. Name another")
    try:
        yield
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}. Name another") from None
    except Exception as error:  # they raise many types
        raise DataError(f"{path} must be {rule}: {reason(error)}. Write it anew with {call}") from None
