"""Decoded pictures that are kept in a file."""

import logging
import multiprocessing
import os
import re
from pathlib import Path

import numpy as np
import pytest
from data_files import images_config
from filelock import FileLock
from PIL import Image

from vae.config.data import Background, Colour, Resize
from vae.data import ImagesData
from vae.data.files import DataError
from vae.data.folder import Cache, checksum_of, read_folder
from vae.data.picture_cache import Pictures, cache_of, cached, read_cache, write_cache
from vae.data.pictures import PictureOptions

SMALL = PictureOptions(size=(4, 6))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Pictures that give remarks of each level; so few are not kept, unless it is said."""
    monkeypatch.setattr("vae.data.folder.LEAST_BYTES", 0)
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 4), dtype=np.uint8)
    (tmp_path / "f").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "f" / f"{number}.png")
    frames = [Image.fromarray(image[..., :3]) for image in images]
    frames[0].save(tmp_path / "f" / "6.webp", save_all=True, append_images=frames[1:])
    return tmp_path / "f"


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock")


def never(*_: object) -> None:
    pytest.fail("it was decoded")


def test_a_second_read_decodes_nothing_and_gives_and_says_the_same(folder, tmp_path, monkeypatch, caplog):
    cache = Cache(tmp_path / "root", True)
    said = []
    with caplog.at_level(logging.INFO):
        images = []
        for _ in range(3):
            caplog.clear()
            images.append(read_folder(folder, SMALL, cache).images)
            said.append([(r.levelname, r.getMessage()) for r in caplog.records if "are kept" not in r.getMessage()])
            monkeypatch.setattr("vae.data.folder.decode_picture", never)
    assert images[0].shape == (7, 3, 4, 6)
    assert (images[1] == images[0]).all()
    assert said[1] == said[2] == said[0]
    assert {level for level, _ in said[0]} == {"INFO", "WARNING"}
    assert (read_folder(folder, SMALL, Cache(tmp_path / "root", False)).images == images[0]).all()
    images[1][:] = 0  # what is read may be changed, and the file is not
    assert (read_folder(folder, SMALL, cache).images == images[0]).all()


def test_every_option_name_and_content_has_its_own_cache_file(folder, tmp_path):
    cache, seen = Cache(tmp_path / "root", True), set()

    def new_file(options: PictureOptions = SMALL) -> bool:
        read_folder(folder, options, cache)
        now = set(files_of(cache.root))
        is_new = len(now - seen) == 1
        seen.update(now)
        return is_new

    assert new_file()
    assert not new_file()
    for changed in (
        {"size": (4, 5)},
        {"resize": Resize.crop},
        {"background": Background.white},
        {"colour": Colour.grey},
    ):
        assert new_file(PictureOptions(**{"size": (4, 6), **changed}))
    status = (folder / "3.png").stat()
    data = (folder / "3.png").read_bytes()
    Image.fromarray(255 - np.asarray(Image.open(folder / "3.png"))).save(folder / "3.png", compress_level=0)
    assert new_file()
    (folder / "3.png").write_bytes(data)
    assert not new_file()
    (folder / "3.png").write_bytes(
        (folder / "4.png").read_bytes()
    )  # with the times of the file before, as some programs set them
    os.utime(folder / "3.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert new_file()
    (folder / "3.png").rename(folder / "3a.png")
    assert new_file()
    rows = [f"{file.name},{number}\n" for number, file in enumerate(folder.iterdir())]
    (folder / "factors.csv").write_text("".join(["file,k\n", *rows]))
    assert not new_file()


def test_few_bytes_of_pictures_are_not_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("vae.data.folder.LEAST_BYTES", 10**6)
    read_folder(folder, SMALL, Cache(tmp_path / "root", True))
    assert not (tmp_path / "root").exists()


def test_a_damaged_cache_file_is_noticed_and_made_again(tmp_path, caplog):
    pictures = Pictures(np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2), ((20, "ü"), (30, "\udcff")))
    path = tmp_path / "p" / "images"
    assert cached(path, lambda: pictures, may_write=True) is pictures
    good = path.read_bytes()
    for at in range(0, 8 * len(good), 7):
        path.write_bytes(good[: at // 8] + bytes([good[at // 8] ^ 1 << at % 8]) + good[at // 8 + 1 :])
        assert read_cache(path) is None
    for wrong in (b"", good[:-1], good + b"\0", good[: len(good) // 2], b"\n" * 99, good.replace(b"3", b"4", 1)):
        path.write_bytes(wrong)
        caplog.clear()
        assert cached(path, lambda: pictures, may_write=True) is pictures
        assert re.search(r"images is damaged: the pictures are decoded again", caplog.text)
        read = cached(path, never, may_write=True)
        assert (read.images == pictures.images).all()
        assert read.remarks == pictures.remarks


@pytest.mark.parametrize("place", ["a file", "a full disk", "/proc/nothing"])
def test_a_cache_that_cannot_be_written_is_said_and_the_pictures_are_read(
    place, folder, tmp_path, monkeypatch, caplog
):
    root = tmp_path / "root"
    if place == "a file":
        root.touch()
    elif place == "a full disk":

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("vae.data.picture_cache.write_whole", full)
    else:
        root = Path(place)
    assert read_folder(folder, SMALL, Cache(root, True)).images.shape == (7, 3, 4, 6)
    (line,) = (text for text in caplog.messages if "not kept" in text)
    assert re.match(r"warning: the decoded pictures are not kept: .*\. Set data\.root to another folder$", line)


def test_a_pipe_in_the_place_of_the_cache_file_blocks_nothing(tmp_path):
    path = tmp_path / "p" / "images"
    path.parent.mkdir()
    os.mkfifo(path)
    pictures = Pictures(np.zeros((1, 1, 2, 2), dtype=np.uint8), ())
    assert cached(path, lambda: pictures, may_write=True) is pictures
    assert read_cache(path).images.shape == (1, 1, 2, 2)


def decode_in_a_process(root: Path, answers: "multiprocessing.Queue[bool]") -> None:
    logging.disable()
    path = cache_of(root, "0", SMALL)
    decoded = []

    def decode() -> Pictures:
        decoded.append(True)
        return Pictures(np.zeros((1, 1, 2, 2), dtype=np.uint8), ())

    cached(path, decode, may_write=True)
    answers.put(bool(decoded))


def test_one_of_several_processes_decodes_and_the_others_wait_for_it(tmp_path):
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    path = cache_of(tmp_path, "0", SMALL)
    path.parent.mkdir(parents=True)
    with FileLock(path.parent / ".lock"):
        processes = [fork.Process(target=decode_in_a_process, args=(tmp_path, answers)) for _ in range(3)]
        for process in processes:
            process.start()
    assert sorted(answers.get(timeout=30) for _ in processes) == [False, False, True]
    for process in processes:
        process.join(30)


def test_a_file_that_changes_between_its_checksum_and_its_decoding_is_refused(folder, monkeypatch):
    monkeypatch.setattr("vae.data.folder.checksum_of", lambda file: checksum_of(file)[::-1])
    with pytest.raises(DataError, match=r"0\.png was changed while it was read\. Start again"):
        read_folder(folder, SMALL, None)


def test_the_checksum_of_the_data_is_that_of_what_was_read(folder, tmp_path):
    config = images_config(folder, root=str(tmp_path / "root"), side=8, colour=Colour.rgb)
    data = ImagesData(config)
    data.read()
    before = data.checksums()
    assert before == ImagesData(config).checksums()
    (folder / "3.png").write_bytes((folder / "4.png").read_bytes())
    assert data.checksums() == before
    assert ImagesData(config).checksums() != before


def test_a_cache_file_that_was_written_is_read_without_a_second_copy_in_the_memory(tmp_path):
    pictures = Pictures(np.zeros((64, 3, 64, 64), dtype=np.uint8), ())
    path = tmp_path / "images"
    write_cache(path, pictures)
    images = read_cache(path).images
    while images.base is not None and not isinstance(images, np.memmap):
        images = images.base
    assert isinstance(images, np.memmap)
