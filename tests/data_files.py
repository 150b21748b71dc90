"""Files with the structure of a data set, and a source that takes them for a mirror's."""

import gzip
import os
import struct
import sys
from pathlib import Path

import pytest
from vae.data.checks import SHAPES

from vae.config import Dataset
from vae.data import FILES, ensure_files, fetch


def header(*lengths: int) -> bytes:
    return struct.pack(f">I{len(lengths)}I", 0x800 + len(lengths), *lengths)


def write_good(folder: Path) -> None:
    """Four files with the structure of KMNIST, and the .gz that torchvision leaves beside them."""
    for file, shape in SHAPES.items():
        labels = bytes(i % 10 for i in range(shape[0]))
        data = header(*shape) + (labels if len(shape) == 1 else bytes(shape[0] * 28 * 28))
        (folder / file).write_bytes(data)
        (folder / f"{file}.gz").write_bytes(gzip.compress(data, 1))


def filled(folder: Path, source: Path) -> Path:
    folder.mkdir(parents=True)
    for file in FILES:
        (folder / file).symlink_to(source / file)
    return folder


def ensure(folder: Path, *, download: bool = False, timeout_seconds: float = 20.0) -> Path:
    name = Dataset(folder.parent.name)
    return ensure_files(name, folder.parents[1], download=download, timeout_seconds=timeout_seconds)


def state(root: Path) -> dict[str, tuple[int, ...]]:
    """Every file below `root`, locks excepted, with what changes when it is written, replaced or touched."""
    paths = [root, *(path for path in root.rglob("*") if path.name != ".lock")]
    found = [(path, path.lstat()) for path in paths if path.is_symlink() or not path.is_dir()]
    return {str(path): (s.st_ino, s.st_size, s.st_mtime_ns, s.st_mode) for path, s in found}


def mirror(monkeypatch: pytest.MonkeyPatch, source: Path, *, log: Path | None = None, seconds: float = 0.0) -> None:
    """Torchvision's mirrors are replaced by a process that hands over `source` after `seconds`."""
    program = (
        "import os, sys, time; source, scratch, log, seconds = sys.argv[1:];"
        "open(log, 'a').write('asked\\n'); time.sleep(float(seconds));"
        "os.mkdir(scratch + '/KMNIST'); os.symlink(source, scratch + '/KMNIST/raw')"
    )

    def command(_name, scratch, _seconds):
        return [sys.executable, "-ISc", program, str(source), str(scratch), str(log or os.devnull), str(seconds)]

    monkeypatch.setattr(fetch, "mirrors_command", command)
