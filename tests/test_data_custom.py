"""Images that a function of the user's own reads: what it may return, what is said of mistakes, and whole runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command import QUIET, ROOT, SMALL, one_error_line

from vae.app.data import build_reader
from vae.config import Binarisation, CustomDataConfig
from vae.config.preparation import ImagePreparation, plain_preparation, preparation_of
from vae.data import CustomData, DataError

BYTES = np.random.default_rng(0).integers(0, 256, (12, 4, 5), dtype=np.uint8)
FLOATS = (BYTES / 255).astype(np.float32)
COLOURS = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
HUE = np.arange(12) % 3
EXAMPLE = Path(__file__).parent / "examples" / "my_data.py"


def data_of(returned: object, path: Path, binarisation: Binarisation = Binarisation.none, **options) -> CustomData:
    """Data whose reader returns this, with two images for validation and three for the test."""
    config = CustomDataConfig("my_data:read", str(path), options, 2, 3, binarisation)
    return CustomData(config, lambda *_: returned)


def pixels_of(data: CustomData) -> np.ndarray:
    """All the images that were read, in a sorted order of their pixels."""
    parts = data.read().sets
    pixels = np.concatenate([part.pixels.numpy() for part in parts])
    return pixels[np.lexsort(pixels.reshape(len(pixels), -1).T)]


# ------------------------------------------------------------------------------------------------ what may be returned


@pytest.mark.parametrize(
    ("images", "same"),
    [
        (BYTES, BYTES[:, None]),
        (list(BYTES), BYTES[:, None]),
        (BYTES / 255, FLOATS[:, None]),
        (torch.from_numpy(BYTES / 255).requires_grad_(), FLOATS[:, None]),
        (1e3 * FLOATS - 7, 1e3 * FLOATS[:, None] - 7),
        (BYTES > 127, 255 * (BYTES > 127).astype(np.uint8)[:, None]),
        (BYTES[..., None], BYTES[:, None]),
        (BYTES[:, None], BYTES[:, None]),
        (COLOURS, COLOURS.transpose(0, 3, 1, 2)),
        (COLOURS.transpose(0, 3, 1, 2) / 255, (COLOURS / 255).astype(np.float32).transpose(0, 3, 1, 2)),
    ],
)
def test_images_of_every_kind_are_read(tmp_path, images, same):
    assert (pixels_of(data_of(images, tmp_path)) == pixels_of(data_of(same, tmp_path))).all()
    assert len(data_of(images, tmp_path).read().train) == 12 - 2 - 3


@pytest.mark.parametrize("binarisation", Binarisation)
def test_they_are_binarised_as_asked(tmp_path, binarisation):
    splits = data_of(BYTES, tmp_path, binarisation).read()
    assert splits.train.redrawn == (binarisation is Binarisation.dynamic)
    assert (set(splits.test.pixels.unique().tolist()) == {0, 255}) == (binarisation is not Binarisation.none)


@pytest.mark.parametrize("binarisation", [Binarisation.dynamic, Binarisation.static])
def test_floats_are_rounded_to_bytes_to_be_binarised_or_refused(tmp_path, binarisation, caplog):
    caplog.set_level("INFO")
    splits = data_of(FLOATS, tmp_path, binarisation).read()
    bytes_ = data_of(BYTES, tmp_path, binarisation).read()
    for ours, theirs in zip(splits.sets, bytes_.sets, strict=True):
        assert torch.equal(ours.pixels, theirs.pixels)
    assert splits.preparation.binarised
    assert "rounded to a multiple of 1/255" in caplog.text
    with pytest.raises(
        DataError, match=r"needs grey values in \[0, 1\], got 0 to 2\. Divide .*data\.binarisation=none"
    ):
        data_of(2 * FLOATS / FLOATS.max(), tmp_path, binarisation).read()


def test_the_preparation_says_in_which_unit_the_values_are(tmp_path):
    unit = data_of(FLOATS, tmp_path).read().preparation
    assert unit == data_of(BYTES, tmp_path).read().preparation == ImagePreparation((1, 4, 5))
    own = data_of(FLOATS / FLOATS.max() * 8 - 3, tmp_path).read().preparation
    assert own == ImagePreparation((1, 4, 5), unit_interval=False, shown=(-3.0, 5.0))
    assert preparation_of(plain_preparation(own)) == own


@pytest.mark.parametrize(
    "values", [HUE, torch.from_numpy(HUE), HUE.tolist(), HUE * 0.5, [["red", "sea", "tan"][k] for k in HUE]]
)
def test_factors_go_with_their_images(tmp_path, values):
    images = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None], (12, 4, 4))
    train = data_of((images, {"hue": values, "site": ["here"] * 12}), tmp_path).read().train
    assert train.factors.names == ("hue",)
    assert (train.factors.levels[:, 0] == HUE[train.pixels[:, 0, 0, 0]]).all()
    assert (train.labels.numpy() == train.factors.levels[:, 0]).all()


def test_the_function_gets_the_path_and_the_options(tmp_path):
    config = CustomDataConfig("my_data:read", str(tmp_path), {"scale": 2}, 2, 3, Binarisation.none)
    asked = []
    data = CustomData(config, lambda path, options: asked.append((path, options)) or BYTES)
    data.read()
    assert asked == [(tmp_path, {"scale": 2})]
    assert data.describe() == f"{tmp_path} by my_data:read, scale 2, binarisation none"


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("images", r"images must be numbers of shape .*, got <U6"),
        ([[1, 2], [3]], "images must be an array, got list: "),
        (
            BYTES.astype(int),
            r"integers of int64 need .*, these go from 0 to 255\. Convert them with astype\('uint8'\)$",
        ),
        (BYTES.astype(np.uint16) * 16, r"integers of uint16 need .* from 0 to 4080\. Divide them: images / 4095$"),
        (np.where(BYTES[3, 0, 0] == BYTES, np.nan, FLOATS), r"values must be finite, image \d has NaN or infinity"),
        (np.where(BYTES == 7, 1e39, BYTES / 255), r"values must fit in 32 bits, these go from 0 to 1e\+39\. Divide"),
        (BYTES[:5], r"data\.validation_size \+ data\.test_size must be below 5"),
        ((BYTES, {}, 1), "must return images, or images and factors, got a tuple of 3"),
        ((BYTES, BYTES), "factors must be a mapping from names to values, got ndarray"),
        ((BYTES, {3: HUE}), "factors must be a mapping from names to values, got dict"),
        (
            (BYTES, {"hue": HUE[:-1]}),
            r"the factor hue must have one value for each image, the shape \(12,\), got \(11,\)",
        ),
        ((BYTES, {"hue": HUE[:, None]}), r"the factor hue must have one value for each image, .*, got \(12, 1\)"),
        ((BYTES, {"hue": [{}] * 12}), "the factor hue must have finite numbers or words only, got object"),
    ],
)
def test_what_is_no_such_thing_is_refused_in_one_line(tmp_path, returned, said):
    with pytest.raises(DataError, match=said) as caught:
        data_of(returned, tmp_path).read()
    text = str(caught.value)
    assert "data.target=my_data:read" in text or "data.validation_size" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return path / 2", r"TypeError: unsupported operand .* \(my_mistakes\.py, line 2\)"),
        ("raise ValueError('a\\nb')", r"ValueError: a b \(my_mistakes\.py, line 2\)"),
        ("import no_such_module", r"ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_an_exception_of_the_function_is_one_line_that_names_it(tmp_path, monkeypatch, body, said):
    (tmp_path / "my_mistakes.py").write_text(f"def read(path):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_mistakes", raising=False)
    match = rf"data\.target=my_mistakes:read must read data\.path={tmp_path}, it raised {said}"
    with pytest.raises(DataError, match=match) as caught:
        build_reader("my_mistakes:read")(tmp_path, {})
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DataError, match=r"it raised TypeError: read\(\) got an unexpected keyword argument 'size'"):
        build_reader("my_mistakes:read")(tmp_path, {"size": 3})


# ------------------------------------------------------------------------------------------------ checksums


def checksums(returned: object, path: Path) -> dict[str, str]:
    data = data_of(returned, path)
    data.read()
    return data.checksums()


def test_the_checksums_tell_other_files_and_other_images(tmp_path):
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "a").write_bytes(b"a")
    seen = [checksums(BYTES, folder)]
    assert list(seen[0]) == ["data", "the images of my_data:read"]
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert list(checksums(BYTES, moved).values()) == list(seen[0].values())
    hues = [HUE, HUE[::-1], np.exp(HUE)]  # the last are in the same order
    for returned in (255 - BYTES, BYTES.reshape(12, 5, 4), *((BYTES, {"hue": hue}) for hue in hues)):
        seen.append(checksums(returned, folder))
        assert seen[-1]["data"] == seen[0]["data"]
    (folder / "more" / "a").rename(folder / "more" / "b")
    seen.append(checksums(BYTES, folder))
    assert seen[-1]["the images of my_data:read"] == seen[0]["the images of my_data:read"]
    assert len({tuple(found.values()) for found in seen}) == len(seen)
    (folder / "file").write_bytes(b"b")
    assert list(checksums(BYTES, folder / "file")) == ["file", "the images of my_data:read"]


def test_a_path_without_files_cannot_be_known_again(tmp_path):
    with pytest.raises(DataError, match=r"data\.path must be a file or a folder, got .*/none, which is missing"):
        checksums(BYTES, tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe must be a regular file, is a pipe"):
        checksums(BYTES, tmp_path)


# ------------------------------------------------------------------------------------------------ whole runs


def start(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A script of the checkout, started in the folder where `my_data.py` is."""
    command = [sys.executable, str(ROOT / script), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_example_trains_and_the_run_is_continued_only_with_the_same_images(tmp_path):
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "shapes").mkdir()
    for number in range(60):
        file = tmp_path / "shapes" / f"{('round', 'square')[number % 2]}_{number // 2}.npy"
        np.save(file, np.random.default_rng(number).random((20, 18)))
    named = "data.target=my_data:read"
    words = ("data=custom", named, "data.path=shapes", "data.options.size=16", "hydra.run.dir=run")
    sizes = ("data.validation_size=10", "data.test_size=10", *QUIET, "batch_size=20")
    done = start(tmp_path, "train.py", *words, *sizes, *SMALL)
    assert done.returncode == 0, done.stderr
    line = f"data   {tmp_path}/shapes by my_data:read, size 16, binarisation none; 40 / 10 / 10 images"
    assert line in done.stdout + done.stderr
    assert "of 1x16x16" in done.stdout + done.stderr
    assert "disentanglement" in json.loads((tmp_path / "run/summary.json").read_text())

    (tmp_path / "shapes").rename(tmp_path / "moved")
    done = start(tmp_path, "train.py", "resume=run", named, "data.path=moved", "epochs=3")
    assert done.returncode == 0, done.stdout + done.stderr
    done = start(tmp_path, "scripts/evaluate.py", "run", named)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agrees with" in done.stderr

    reader = tmp_path / "my_data.py"
    reader.write_text(reader.read_text().replace("return images, ", "return 1 - images, "))
    done = start(tmp_path, "train.py", "resume=run", named, "epochs=4")
    assert done.returncode == 4
    assert "but the images of my_data:read is not what it was" in one_error_line(done)


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 25
