"""Which files of a folder are pictures, and their labels."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from vae.data.files import DataError, reason
from vae.data.pictures import SUFFIXES

FACTORS = "factors.csv"


@dataclass(frozen=True)
class PictureFiles:
    """The pictures of a folder.

    Attributes:
        folder: where they are.
        files: in the order of their paths.
        labels: the number of the class folder of each picture. None if the pictures lie in the folder itself.
        label_names: the names of the class folders, sorted.
        skipped: how many files and folders of each kind are left out.
    """

    folder: Path
    files: tuple[Path, ...]
    labels: Int64[np.ndarray, " pictures"] | None
    label_names: tuple[str, ...] | None
    skipped: Counter[str]

    def classes(self) -> list[str] | None:
        """The name of the class folder of each picture. None if the pictures lie in the folder itself."""
        if self.labels is None or self.label_names is None:
            return None
        return [self.label_names[label] for label in self.labels]

    def names(self) -> tuple[str, ...]:
        """The path of each picture in the folder, with `/`."""
        return tuple(file.relative_to(self.folder).as_posix() for file in self.files)


def picture_files(folder: Path) -> PictureFiles:
    """The pictures in a folder, or in class folders: `folder/class/**/picture`, as torchvision's ImageFolder.

    A class folder without a picture is none. Links to folders are followed. Hidden files and folders are left out,
    and only hidden pictures are counted. So is `factors.csv` in the folder itself.

    Raises:
        DataError: the folder cannot be read, holds itself by a link, or has pictures both beside and in class folders.
    """
    skipped = Counter[str]()
    files = sorted(found_in(folder, folder, (), skipped))
    places = [file.relative_to(folder).parts for file in files]
    beside = next((parts for parts in places if len(parts) == 1), None)
    inside = next((parts for parts in places if len(parts) > 1), None)
    if beside and inside:
        raise DataError(
            f"{folder}: pictures must lie in the folder itself, or in class folders, got {beside[0]} and "
            f"{'/'.join(inside)}. Move them, or name another folder"
        )
    if inside is None:
        return PictureFiles(folder, tuple(files), None, None, skipped)
    names, labels = np.unique(np.array([parts[0] for parts in places], dtype=object), return_inverse=True)
    return PictureFiles(folder, tuple(files), labels.astype(np.int64), tuple(names.tolist()), skipped)


def found_in(folder: Path, top: Path, above: tuple[tuple[int, int], ...], skipped: Counter[str]) -> list[Path]:
    """The pictures in a folder and below it, unsorted. Others are counted in `skipped`.

    Args:
        folder: where to look.
        top: the folder of the data.
        above: the device and inode of each folder on the way from `top`.
        skipped: how many files and folders of each kind are left out.
    """
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise DataError(f"{folder} is a link to a folder that holds it. Remove the link")
        with os.scandir(folder) as entries:
            listed = [(Path(entry.path), entry.is_dir()) for entry in entries]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {reason(error)}. Allow it, or move it away") from None
    files: list[Path] = []
    for path, is_folder in listed:
        suffix = path.suffix.lower()
        if path.name.startswith("."):
            # Names that begin with ._ are notes of macOS about another file.
            if suffix in SUFFIXES and not is_folder and not path.name.startswith("._"):
                skipped["hidden picture"] += 1
        elif is_folder:
            below = found_in(path, top, (*above, here), skipped)
            if folder == top and not below:
                skipped["folder without pictures"] += 1
            files += below
        elif suffix in SUFFIXES:
            files.append(path)
        elif folder != top or path.name != FACTORS:
            skipped[suffix or "file without a suffix"] += 1
    return files
