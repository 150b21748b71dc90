"""Home directories, locks that are waited for, and folders that cannot be written."""

import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from data_files import ensure, images_config
from filelock import FileLock
from PIL import Image

from vae.config import (
    Binarisation,
    CustomDataConfig,
    DataConfig,
    Dataset,
    DspritesConfig,
    ImagesConfig,
    MnistConfig,
    SpritesConfig,
    TableConfig,
)
from vae.data import CustomData, Data, DataError, DspritesData, ImagesData, MnistData, SpritesData, TableData
from vae.data.files import kind_of, locked, read_bytes, single_line
from vae.data.sprites import Grid, cache_of, load_sprites

GRID = Grid(16, (3, 2, 4, 3, 3))
GREY = Binarisation.none


def data_at(place: str, kind: type[DataConfig]) -> Data:
    """Data of each kind, small ones, at a place."""
    custom = CustomDataConfig("a:b", place, {}, 1, 1, GREY)
    return {
        MnistConfig: MnistData(MnistConfig(Dataset.KMNIST, place, True, 1.0, 10, GREY)),
        SpritesConfig: SpritesData(SpritesConfig(place, 16, *GRID.sizes, 10, 10)),
        DspritesConfig: DspritesData(DspritesConfig(place, True, 1.0, 10, 10)),
        ImagesConfig: ImagesData(images_config(place)),
        TableConfig: TableData(TableConfig(place, None, [], 0, 1)),
        CustomDataConfig: CustomData(custom, lambda path, _: np.load(path)["images"]),
    }[kind]


def test_a_tilde_is_the_home_directory_wherever_a_path_is_read(tmp_path, monkeypatch, kmnist_folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "own.npz", images=np.zeros((3, 4, 4), dtype=np.uint8))
    (tmp_path / "pictures").mkdir()
    for name in "abc":
        Image.new("L", (4, 4)).save(tmp_path / "pictures" / f"{name}.png")
    for kind in (ImagesConfig, CustomDataConfig):
        data = data_at("~/own.npz", kind)
        assert data.read().train.shape == (1, 4, 4)
        assert next(iter(data.checksums())) == "own.npz"
    assert list(data_at("~/pictures", ImagesConfig).checksums()) == ["pictures"]
    assert len(data_at("~/cache", SpritesConfig).read().train) == len(GRID)
    assert cache_of(GRID, tmp_path / "cache").is_file()
    assert len(data_at(f"~/{kmnist_folder.parents[1].name}", MnistConfig).read().train) == 59_990
    with pytest.raises(DataError, match=f"{tmp_path}/own.npz must have the layout of dSprites"):
        data_at("~/own.npz", DspritesConfig).read()


@pytest.mark.parametrize("kind", DataConfig.__args__)
@pytest.mark.parametrize("method", ["read", "checksums"])
def test_the_home_of_nobody_is_one_line(kind, method):
    data = data_at("~nobody-of-that-name/x", kind)
    with pytest.raises(
        DataError, match=r"data\.(path|root) must be a path, got ~nobody-of-that-name/x: Could not determine home"
    ):
        getattr(data, method)()


def test_a_folder_without_a_name_has_a_checksum_with_one(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert data_at(".", ImagesConfig).checksums() == data_at(str(tmp_path), ImagesConfig).checksums()


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


def test_a_lock_that_is_waited_for_is_logged_with_the_file_it_is_for(tmp_path, caplog):
    thread = held_for(tmp_path / ".lock", 0.5)
    with locked(tmp_path / "file", "Do this"):
        thread.join()
    assert f"waiting for another process that is writing {tmp_path}/file" in caplog.text


def test_the_wait_ends_when_it_is_said_to(tmp_path, caplog):
    thread = held_for(tmp_path / ".lock", 1.0)
    with (
        pytest.raises(DataError, match=r"The file lock .* could not be acquired.*\. Do this$"),
        locked(tmp_path / "file", "Do this", 0.2),
    ):
        pass
    thread.join()
    assert "waiting up to 0.2 s for another process" in caplog.text


def test_sprites_that_are_whole_need_no_lock(tmp_path, caplog):
    good = load_sprites(GRID, tmp_path)
    thread = held_for(tmp_path / "sprites/.lock", 5.0)
    assert (load_sprites(GRID, tmp_path).bits == good.bits).all()
    assert thread.is_alive()
    assert "waiting" not in caplog.text


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_is_whole_is_read_from_a_folder_that_cannot_be_written(kmnist_folder):
    root = kmnist_folder.parents[1]
    for file in kmnist_folder.iterdir():  # links to files that nobody else may reach
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)
    load_sprites(GRID, root)
    (root / "sprites/.lock").unlink(missing_ok=True)
    folders = [root, root / "sprites", kmnist_folder.parent, kmnist_folder]
    for folder in folders:
        folder.chmod(0o555)
    above = [path for path in root.parents if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 1]
    modes = [path.stat().st_mode for path in above]
    for path in above:
        path.chmod(path.stat().st_mode | 0o111)
    processes = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[object] = processes.Queue()

    def run() -> None:
        if os.getuid() == 0:
            os.setgid(65534), os.setuid(65534)  # to root nothing is read-only
        results.put(len(load_sprites(GRID, root)))
        results.put(ensure(kmnist_folder, download=True).name)
        try:
            load_sprites(Grid(17, GRID.sizes), root)
        except DataError as error:
            results.put(str(error))

    process = processes.Process(target=run)
    try:
        process.start()
        assert results.get(timeout=60) == len(GRID)
        assert results.get(timeout=60) == "raw"
        said = "sprites must be a folder that can be written: Permission denied. Set data.root to another"
        assert said in results.get(timeout=60)
    finally:
        process.join()
        for path, mode in zip(above, modes, strict=True):
            path.chmod(mode)
        for folder in folders:
            folder.chmod(0o755)


# ------------------------------------------------------------------------------------------------ words


def test_no_text_breaks_its_line_or_the_terminal():
    text = single_line("a\nb\r\nc\x1b[2J\u2028d\udcffe\tü☃")
    assert text == r"a b c\x1b[2J d\udcffe\tü☃"
    text.encode()


def test_what_is_no_regular_file_is_called_by_its_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing").symlink_to(tmp_path / "none")
    assert kind_of(tmp_path / "pipe") == "a pipe, a socket or a device"
    assert kind_of(tmp_path) == "a directory"
    assert kind_of(tmp_path / "none") == "missing"
    assert kind_of(tmp_path / "nothing") == f"a broken link to {tmp_path}/none"
    with pytest.raises(DataError, match="none is missing"):
        read_bytes(tmp_path / "none")


def test_a_named_pipe_in_the_place_of_the_sprites_is_replaced(tmp_path):
    (tmp_path / "sprites").mkdir()
    os.mkfifo(cache_of(GRID, tmp_path))
    load_sprites(GRID, tmp_path)
    assert cache_of(GRID, tmp_path).is_file()
