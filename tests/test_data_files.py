"""Home directories, locks that are waited for, and folders that cannot be written."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from data_files import ensure
from filelock import FileLock, Timeout
from PIL import Image
from vae.data.sources import ensure_files

from vae.config import Dataset
from vae.data.dsprites import ensure_dsprites
from vae.data.files import DataError, kind_of, locked, one_line, read_bytes
from vae.data.own import own_checksum, read_own
from vae.data.sprites import Grid, cache_of, load_sprites, sprites_checksum

GRID = Grid(16, (3, 2, 4, 3, 3))


def test_a_tilde_is_the_home_directory_wherever_a_path_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "own.npz", images=np.zeros((2, 4, 4), dtype=np.uint8))
    (tmp_path / "pictures").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "pictures" / "a.png")
    for path in (Path("~/own.npz"), Path("~/pictures")):
        assert read_own(path).images.shape[1:] == (1, 4, 4)
        assert list(own_checksum(path)) == [path.name]
    assert ensure_dsprites(Path("~/own.npz"), download=False, timeout_seconds=1.0) == tmp_path / "own.npz"
    load_sprites(GRID, Path("~/cache"))
    assert cache_of(GRID, tmp_path / "cache").is_file()
    assert sprites_checksum(GRID, Path("~/cache"))
    with pytest.raises(DataError, match=f"KMNIST needs .* in {tmp_path}/none/KMNIST/raw; missing: all"):
        ensure_files(Dataset.KMNIST, Path("~/none"), download=False, timeout_seconds=1.0)


@pytest.mark.parametrize(
    ("key", "reader"),
    [
        ("data.path", read_own),
        ("data.path", own_checksum),
        ("data.path", lambda path: ensure_dsprites(path, download=True, timeout_seconds=1.0)),
        ("data.root", lambda path: load_sprites(GRID, path)),
        ("data.root", lambda path: ensure_files(Dataset.KMNIST, path, download=True, timeout_seconds=1.0)),
    ],
)
def test_the_home_of_nobody_is_one_line(key, reader):
    with pytest.raises(
        DataError, match=rf"{key} must be a path, got ~nobody-of-that-name/x: Could not determine home"
    ):
        reader(Path("~nobody-of-that-name/x"))


def test_a_folder_without_a_name_has_a_checksum_with_one(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert own_checksum(Path(".")) == own_checksum(tmp_path)


# ------------------------------------------------------------------------------------------------ locks


def held_for(lock: Path, seconds: float) -> threading.Thread:
    """Another holder of the lock, which has it when this returns."""
    has_it = threading.Event()

    def hold() -> None:
        with FileLock(lock):
            has_it.set()
            threading.Event().wait(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait()
    return thread


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path, caplog):
    with locked(tmp_path / ".lock", tmp_path / "file"):
        pass
    with locked(tmp_path / ".lock", tmp_path / "file"):
        pass
    assert caplog.text == ""


def test_a_lock_that_is_waited_for_is_named_with_the_file_it_is_for(tmp_path, caplog):
    thread = held_for(tmp_path / ".lock", 0.5)
    with locked(tmp_path / ".lock", tmp_path / "file"):
        thread.join()
    assert f"waiting for another process that is writing {tmp_path}/file and holds {tmp_path}/.lock" in caplog.text


def test_the_wait_ends_when_it_is_said_to(tmp_path, caplog):
    thread = held_for(tmp_path / ".lock", 1.0)
    with pytest.raises(Timeout, match="lock"), locked(tmp_path / ".lock", tmp_path / "file", 0.2):
        pass
    thread.join()
    assert "waiting up to 0.2 s for another process" in caplog.text


def test_sprites_that_are_whole_need_no_lock(tmp_path, caplog):
    good = load_sprites(GRID, tmp_path)
    thread = held_for(tmp_path / "sprites/.lock", 5.0)
    assert (load_sprites(GRID, tmp_path).bits == good.bits).all()
    assert thread.is_alive()
    assert "waiting" not in caplog.text


def test_sprites_that_another_process_draws_are_waited_for_and_that_is_said(tmp_path, caplog):
    (tmp_path / "sprites").mkdir()
    thread = held_for(tmp_path / "sprites/.lock", 0.5)
    load_sprites(GRID, tmp_path)
    thread.join()
    assert f"waiting for another process that is writing {cache_of(GRID, tmp_path)}" in caplog.text


@pytest.mark.parametrize("download", [False, True])
def test_files_that_are_whole_need_no_lock(kmnist_folder, download):
    thread = held_for(kmnist_folder.parent / ".lock", 5.0)
    assert ensure(kmnist_folder, download=download) == kmnist_folder
    assert thread.is_alive()


def test_a_download_by_another_process_is_waited_for_and_that_is_said(tmp_path, caplog):
    thread = held_for(tmp_path / ".lock", 2.0)
    with pytest.raises(DataError, match=r"file\.npz cannot be downloaded: The file lock .* could not be acquired"):
        ensure_dsprites(tmp_path / "file.npz", download=True, timeout_seconds=0.2)
    thread.join()
    assert f"waiting up to 0.4 s for another process that is writing {tmp_path}/file.npz" in caplog.text


READ_ONLY = """
import os, sys
from pathlib import Path
from vae.config import Dataset
from vae.data.dsprites import ensure_dsprites
from vae.data.files import DataError
from vae.data.sources import ensure_files
from vae.data.sprites import Grid, load_sprites
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)  # to root nothing is read-only
root = Path(sys.argv[1])
grid = Grid(16, (3, 2, 4, 3, 3))
print(len(load_sprites(grid, root)), ensure_dsprites(root / "f.npz", download=True, timeout_seconds=1.0).name)
print(ensure_files(Dataset.KMNIST, root, download=True, timeout_seconds=1.0).name)
try:
    load_sprites(Grid(17, grid.sizes), root)
except DataError as error:
    print(error)
"""


def test_what_is_whole_is_read_from_a_folder_that_cannot_be_written(kmnist_folder):
    root = kmnist_folder.parents[1]
    for file in kmnist_folder.iterdir():  # links to files that nobody else may reach
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)
    load_sprites(GRID, root)
    (root / "f.npz").touch()
    (root / "sprites/.lock").unlink(missing_ok=True)
    folders = [root, root / "sprites", kmnist_folder.parent, kmnist_folder]
    for folder in folders:
        folder.chmod(0o555)
    above = [path for path in root.parents if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 1]
    modes = [path.stat().st_mode for path in above]
    for path in above:
        path.chmod(path.stat().st_mode | 0o111)
    try:
        command = [sys.executable, "-c", READ_ONLY, root]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    finally:
        for path, mode in zip(above, modes, strict=True):
            path.chmod(mode)
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert (first, second) == ("216 f.npz", "raw")
    assert "sprites must be a folder that can be written: Permission denied. Set data.root to another" in third


# ------------------------------------------------------------------------------------------------ words


def test_no_text_breaks_its_line_or_the_terminal():
    text = one_line("a\nb\r\nc\x1b[2J\u2028d\udcffe\tü☃")
    assert text == r"a b c\x1b[2J d\udcffe\tü☃"
    text.encode()


def test_what_is_no_regular_file_is_called_by_its_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing").symlink_to(tmp_path / "none")
    assert kind_of(tmp_path / "pipe") == "a named pipe"
    assert kind_of(tmp_path) == "a directory"
    assert kind_of(tmp_path / "none") == "missing"
    assert kind_of(tmp_path / "nothing") == f"a link to {tmp_path}/none: No such file or directory"
    with pytest.raises(DataError, match="none is missing"):
        read_bytes(tmp_path / "none")


def test_a_named_pipe_in_the_place_of_the_sprites_is_replaced(tmp_path):
    (tmp_path / "sprites").mkdir()
    os.mkfifo(cache_of(GRID, tmp_path))
    load_sprites(GRID, tmp_path)
    assert cache_of(GRID, tmp_path).is_file()
