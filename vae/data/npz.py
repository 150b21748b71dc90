"""The arrays of an .npz or an .npy, read without unpickling."""

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

MAGIC = b"\x93NUMPY"  # the first bytes of an .npy


def read_npz(path: Path, wanted: Collection[str]) -> dict[str, np.ndarray | None]:
    """The arrays of an .npz by name. An array that is not wanted is not read, and None stands for it.

    Raises:
        Exception: the file is damaged or not an .npz. zipfile, zlib and numpy raise many types.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            archive.open(entry).close()  # compares the name with the one in the table of contents
            if entry.comment:  # numpy writes none: after a wrong length, an entry is taken for a comment
                raise ValueError("its table of contents is damaged")
        members = archive.namelist()
        names = [member.removesuffix(".npy") for member in members]
        if len(set(names)) < len(names):
            raise ValueError("two of its arrays have the same name")
        found = [name for name in wanted if f"{name}.npy" in members]
        return dict.fromkeys(names) | {name: read_array(archive, name) for name in found}


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array with that name.

    Raises:
        KeyError: there is no such array.
        MemoryError: its header gives a size larger than the memory.
        Exception: it is damaged, holds Python objects, or has another size than its header says.
    """
    with archive.open(f"{name}.npy") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # at the end, zipfile also compares its checksum
            raise ValueError(f"{name} is longer than its header says")
    return array


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy.

    Raises:
        MemoryError: its header gives a size larger than the memory.
        Exception: it is damaged, holds Python objects, or has another size than its header says.
    """
    with path.open("rb") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError("it is longer than its header says")
    return array
