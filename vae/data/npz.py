"""The arrays of an .npz, read without unpickling."""

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from vae.data.files import DataError, reason


def read_npz(path: Path, wanted: Collection[str]) -> dict[str, np.ndarray | None]:
    """The arrays of an .npz by name. Only those that are wanted are read, the others are None.

    Raises:
        DataError: the file cannot be read.
        Exception: it is damaged or not an .npz. zipfile, zlib and numpy raise many types.
    """
    try:
        with path.open("rb") as opened:  # is_zipfile would hide why a path cannot be opened
            if opened.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("it is a single array, an .npy")
            if not zipfile.is_zipfile(opened):
                raise ValueError("it is no archive")
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            archive.open(entry).close()  # which compares the name with the one in the table of contents
            if entry.comment:  # numpy writes none: after a wrong length, an entry is taken for a comment
                raise ValueError("its table of contents is damaged")
        members = archive.namelist()
        names = [member.removesuffix(".npy") for member in members]
        if len(set(names)) < len(names):
            raise ValueError("two of its arrays have one name")
        found = [name for name in wanted if f"{name}.npy" in members]
        return dict.fromkeys(names) | {name: read_array(archive, name) for name in found}


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The array with that name.

    Raises:
        KeyError: there is none.
        MemoryError: its header says that it is larger than the memory.
        Exception: it is damaged, holds Python objects, or has another size than it says.
    """
    with archive.open(f"{name}.npy") as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # at the end, zipfile also compares its checksum
            raise ValueError(f"{name} is longer than it says")
    return array
