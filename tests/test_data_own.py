import json
import os
import random
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from command import QUIET, SMALL, run_train
from data_files import checksums_of, images_config
from PIL import Image

from vae.config import Binarisation
from vae.data import ImagesData
from vae.data.dsprites import read_dsprites
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.own import read_own
from vae.data.splits import ImageArrays, random_splits


def colours(count: int = 24) -> np.ndarray:
    """(count, 28, 28, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)


def folder_of(path: Path, images: np.ndarray) -> Path:
    path.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number:03d}.png")
    return path


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (colours(), (24, 3, 28, 28)),
        (colours().transpose(0, 3, 1, 2), (24, 3, 28, 28)),
        (colours()[..., 0], (24, 1, 28, 28)),
        (colours()[..., :1], (24, 1, 28, 28)),
    ],
)
def test_every_order_of_axes_is_read(tmp_path, images, shape):
    np.savez(tmp_path / "own.npz", images=images)
    own = read_own(tmp_path / "own.npz")
    read = own.images
    assert read.shape == shape
    assert own.factors is None
    assert own.labels is None
    expected = images.reshape(24, 28, 28, -1).transpose(0, 3, 1, 2) if images.shape[1] != 3 else images
    assert (read == expected).all()


def test_factors_of_an_archive(tmp_path):
    factors = np.column_stack([np.arange(24) % 3, np.zeros(24), np.arange(24) // 12])
    np.savez(tmp_path / "own.npz", images=colours(), factors=factors, factor_names=["hue", "constant", "size"])
    read = read_own(tmp_path / "own.npz").factors
    assert read.names == ("hue", "size")
    assert read.levels.tolist() == [[k % 3, k // 12] for k in range(24)]


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    folder = folder_of(tmp_path / "pictures", colours())
    rows = [f"{k:03d}.png,{'red' if k % 2 else 'blue'},{k // 8}" for k in reversed(range(24))]
    (folder / "factors.csv").write_text("\n".join(["file,hue,size", *rows]))
    (folder / "notes.txt").write_text("not a picture")
    own = read_own(folder)
    images, factors = own.images, own.factors
    assert (images == colours().transpose(0, 3, 1, 2)).all()
    assert factors.names == ("hue", "size")
    assert factors.levels[:3].tolist() == [[0, 0], [1, 0], [0, 0]]
    before = checksums_of(folder)
    (folder / "factors.csv").write_text("\n".join(["file,hue,size", *rows[:-1], "000.png,green,0"]))
    assert checksums_of(folder) != before


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": colours().reshape(24, -1)}, r"images must be numbers of shape .*, got uint8 \(24, 2352\)"),
        ({"images": np.array([{}, {}])}, "must be an .npz of plain arrays: Object arrays cannot be loaded"),
        (
            {"images": colours(), "factors": np.arange(23)[:, None]},
            r"must have the shape \(24, factors\), got \(23, 1\)",
        ),
    ],
)
def test_a_wrong_archive_is_one_line(tmp_path, arrays, said):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=rf"own\.npz.*{said}") as caught:
        read_own(tmp_path / "own.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PK\3\4", bytes(1000)])
def test_a_file_that_is_no_archive_is_one_line(tmp_path, data):
    (tmp_path / "own.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"own\.npz must be an \.npz of plain arrays") as caught:
        read_own(tmp_path / "own.npz")
    assert "\n" not in str(caught.value)


def test_a_single_picture_is_told_to_be_given_as_its_folder(tmp_path):
    folder = folder_of(tmp_path / "pictures", colours(1))
    with pytest.raises(DataError, match=r"000\.png must be an \.npz .*\. Give the folder of the pictures"):
        read_own(folder / "000.png")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("read", [read_own, read_dsprites])
def test_an_archive_that_may_not_be_read_says_so(tmp_path, read):
    np.savez(tmp_path / "own.npz", images=colours())
    (tmp_path / "own.npz").chmod(0)
    with pytest.raises(DataError, match=r"own\.npz cannot be read: Permission denied"):
        read(tmp_path / "own.npz")


def test_pictures_of_several_sizes_are_refused(tmp_path):
    folder = folder_of(tmp_path / "pictures", colours())
    Image.fromarray(colours()[0, :20]).save(folder / "007.png")
    with pytest.raises(
        DataError,
        match=r"must have the same height x width, 000\.png is 28x28, 007\.png is 20x28\. Set data\.side=64 or ",
    ):
        read_own(folder)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="must hold pictures"):
        read_own(tmp_path)
    with pytest.raises(
        DataError, match=r"must be an \.npz, an \.npy or a folder of pictures, got .*/none, which is none"
    ):
        read_own(tmp_path / "none")


def test_the_parts_are_disjoint_and_the_same_for_every_run():
    images = np.arange(24, dtype=np.uint8)[:, None, None, None].repeat(2, axis=2).repeat(2, axis=3)
    factors = Factors.of({"hue": np.arange(24) % 3})
    own = ImageArrays(images, factors)
    splits = random_splits(own, 5, 6, Binarisation.none)
    parts = [part.pixels[:, 0, 0, 0].tolist() for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [13, 5, 6]
    assert sorted(chain(*parts)) == list(range(24))
    assert parts == [part.pixels[:, 0, 0, 0].tolist() for part in random_splits(own, 5, 6, Binarisation.none).sets]
    assert splits.train.labels.tolist() == [k % 3 for k in parts[0]]
    assert splits.train.factors.levels[:, 0].tolist() == [k % 3 for k in parts[0]]
    with pytest.raises(DataError, match="must be below 24, the number of images, got 20 \\+ 4"):
        random_splits(own, 20, 4, Binarisation.none)


def test_a_colour_model_is_trained(tmp_path):
    np.savez(tmp_path / "own.npz", images=colours(200))
    words = ("data=images", f"data.path={tmp_path}/own.npz", "data.validation_size=20", "data.test_size=20")
    model = ("model=conv", "model.channels=4", "model.width=8", "epochs=1", "batch_size=40")
    done = run_train(*words, *model, "data.binarisation=dynamic", "likelihood=bernoulli", directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    # Noise: what a colour pixel costs cannot be much below one fair coin.
    assert summary["test"]["distortion"] == pytest.approx(3 * 28 * 28 * np.log(2), rel=0.05)


def test_the_run_says_what_it_does_with_the_pictures(tmp_path):
    alpha = np.concatenate([colours(60)[:, :8, :8], colours(60)[:, 8:16, 8:16, :1]], axis=3)
    folder = folder_of(tmp_path / "pictures", alpha)
    (folder / "notes.txt").touch()
    words = ("data=images", f"data.path={folder}", "data.background=white", "data.colour=grey", "epochs=1", *SMALL[1:])
    sizes = ("data.validation_size=10", "data.test_size=10", *QUIET)
    done = run_train(*words, *sizes, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert f"warning: {folder}: found 60 pictures, skipped 1 .txt\n" in said
    assert f"{folder}: 60 of 60 pictures have transparent pixels, composited on white (data.background); first" in said
    assert f"data   {folder}, binarisation none, background white, colour grey; 40 / 10 / 10 images" in said
    assert "of 1x8x8" in said


def test_arrays_take_a_range_and_no_size(tmp_path):
    np.savez(tmp_path / "own.npz", images=np.arange(10 * 4 * 4, dtype=np.uint16).reshape(10, 4, 4))
    splits = ImagesData(images_config(tmp_path / "own.npz", range=[0.0, 320.0])).read()
    assert splits.preparation.levels == (0.0, 320.0)
    assert max(float(part.pixels.max()) for part in splits.sets) == pytest.approx(159 / 320)
    for size in ({"side": 8}, {"size": [8, 9]}):
        with pytest.raises(
            DataError, match=r"data\.side and data\.size are for a folder of pictures, got .*own\.npz\. Le"
        ):
            ImagesData(images_config(tmp_path / "own.npz", **size)).read()


def test_what_is_done_with_the_pixels_is_described():
    usual = "pictures, binarisation none, background black, colour auto"
    assert ImagesData(images_config("pictures")).describe() == usual
    described = ImagesData(images_config("pictures", size=[48, 64], range=[0.0, 4095.0])).describe()
    assert described == usual.replace(",", ", resized to 48x64 (fit),", 1) + ", data.range=[0,4095]"


def test_a_named_pipe_as_a_picture_ends_the_run_at_once_with_code_4(tmp_path):
    folder = folder_of(tmp_path / "pictures", colours())
    os.mkfifo(folder / "024.png")
    done = run_train("data=images", f"data.path={folder}", *SMALL, directory=tmp_path / "run", timeout=60)
    assert done.returncode == 4
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line == f"error: {folder}/024.png must be a regular file, is a pipe, a socket or a device"


# --------------------------------------------------------------------------------------------- mutations


def spoilt(data: bytes, moments: random.Random) -> bytes:
    """Data after a fault of a disk, a copy or a download."""
    at, size = moments.randrange(len(data)), moments.choice([1, 1, 4, 64, 512])
    return {
        "flip": lambda: data[:at] + bytes([data[at] ^ 1 << moments.randrange(8)]) + data[at + 1 :],
        "cut": lambda: data[:at],
        "lose": lambda: data[:at] + data[at + size :],
        "zero": lambda: data[:at] + bytes(len(data[at : at + size])) + data[at + size :],
        "repeat": lambda: data[: at + size] + data[at:],
        "insert": lambda: data[:at] + moments.randbytes(size) + data[at:],
    }[moments.choice(["flip", "flip", "cut", "lose", "zero", "repeat", "insert"])]()


def refusals(read, target, contents, *, factors_too=True):
    """What is said of these contents of a file; where one is taken, it must give what the good file gave."""
    good = read_own(read)
    images, factors = good.images, good.factors
    refused = []
    for content in contents:
        target.write_bytes(content)
        try:
            own = read_own(read)
        except DataError as error:
            refused.append(str(error))
            continue
        assert np.array_equal(own.images, images)
        if factors_too:
            assert (own.factors.names, own.factors.levels.tolist()) == (factors.names, factors.levels.tolist())
    assert all(len(text.splitlines()) == 1 for text in refused)
    return refused


@pytest.mark.parametrize("kind", ["savez", "savez_compressed", "png", "csv"])
def test_of_a_hundred_mutations_none_gives_other_images_and_each_error_is_one_line(kind, tmp_path):
    folder = tmp_path / "data"

    images = colours()[:6, :9, :9]
    factors = np.arange(12).reshape(6, 2) % 3
    if kind.startswith("savez"):
        folder.mkdir()
        target = read = folder / "own.npz"
        getattr(np, kind)(target, images=images, factors=factors, factor_names=np.array(["shape", "scale"]))
    else:
        folder_of(folder, images)
        rows = [f"{number:03d}.png,{a},{b}" for number, (a, b) in enumerate(factors)]
        (folder / "factors.csv").write_text("\n".join(["file,shape,scale", *rows, ""]))
        read, target = folder, folder / ("003.png" if kind == "png" else "factors.csv")
    good, moments = target.read_bytes(), random.Random(0)
    contents = [spoilt(good, moments) for _ in range(100)]
    assert len(refusals(read, target, contents, factors_too=kind != "csv")) > 50  # a text has no checksum


def test_no_flipped_bit_of_an_archive_gives_other_data(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, images=colours()[:2, :4, :4], factors=np.arange(2)[:, None], factor_names=["hue"])
    good = path.read_bytes()
    table = 8 * good.index(b"PK\1\2")
    bits = [*range(0, table, 31), *range(table, 8 * len(good))]  # the table of contents has no checksum
    flipped = (good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :] for bit in bits)
    assert len(refusals(path, path, flipped)) > len(bits) // 2
