"""Files with the structure of a data set, and servers that give them, or something else."""

import functools
import gzip
import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision import datasets

from vae.config import Background, Binarisation, Colour, Dataset, ImagesConfig
from vae.config.data import Resize
from vae.data import ImagesData
from vae.data.mnist import FILE_SHAPES, FILES, ensure_files, idx_header


def write_good(folder: Path) -> None:
    """Four files with the structure of KMNIST, and the .gz that torchvision leaves beside them."""
    for file, shape in FILE_SHAPES.items():
        labels = bytes(i % 10 for i in range(shape[0]))
        data = idx_header(shape) + (labels if len(shape) == 1 else bytes(shape[0] * 28 * 28))
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


def checksums_of(path: Path) -> dict[str, str]:
    """Of the user's own images at a path."""
    return ImagesData(images_config(path)).checksums()


def images_config(path: Path | str, **changed: object) -> ImagesConfig:
    """Of the user's own images at a path, one of them for validation and one for the test, but for what is changed."""
    usual = ImagesConfig(
        path=str(path),
        root="/cache-that-nobody-has",
        side=None,
        size=None,
        resize=Resize.fit,
        range=None,
        validation_size=1,
        test_size=1,
        binarisation=Binarisation.none,
        background=Background.black,
        colour=Colour.auto,
    )
    return replace(usual, **changed)


def state(root: Path) -> dict[str, tuple[int, ...]]:
    """Every file below `root`, locks excepted, with what changes when it is written, replaced or touched."""
    paths = [root, *(path for path in root.rglob("*") if path.name != ".lock")]
    found = [(path, path.lstat()) for path in paths if path.is_symlink() or not path.is_dir()]
    return {str(path): (s.st_ino, s.st_size, s.st_mtime_ns, s.st_mode) for path, s in found}


def only_mirror(monkeypatch: pytest.MonkeyPatch, address: str, name: Dataset, archives: Path | None = None) -> None:
    """One address is the only mirror of a data set. It is to give the .gz files that lie in `archives`."""
    kind = getattr(datasets, name.value)
    monkeypatch.setattr(kind, "mirrors", [address])
    if archives is not None:
        md5s = {file: hashlib.md5((archives / file).read_bytes()).hexdigest() for file, _ in kind.resources}
        monkeypatch.setattr(kind, "resources", list(md5s.items()))


@contextmanager
def serving(folder: Path, seconds: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that gives the files in a folder, each after some seconds; and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            time.sleep(seconds)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
