"""Images in an .npz or an .npy: every type of number, what is refused and how to mend it, and classes by name."""

import json
import math
import re

import numpy as np
import pytest
from command import QUIET, one_error_line
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.config import Colour
from vae.data.archive import read_archive
from vae.data.arrays import as_x
from vae.data.files import DataError

BYTES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
FLOATS = np.random.default_rng(1).random((6, 4, 5), dtype=np.float32)
TWELVE_BITS = np.random.default_rng(2).integers(0, 4096, (6, 4, 5), dtype=np.uint16)
TWELVE_BITS[3, 0, 0] = 4080


def read(folder, images, kind="npz", levels=None, colour=Colour.auto, **others):
    path = folder / f"own.{kind}"
    if kind == "npz":
        np.savez(path, images=images, **others)
    else:
        np.save(path, images)
    return read_archive(path, colour, levels)


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize(
    ("images", "x"),
    [
        (BYTES, BYTES),
        (BYTES > 127, np.where(BYTES > 127, 255, 0).astype(np.uint8)),
        (FLOATS, FLOATS),
        (FLOATS.astype(np.float64), FLOATS),
        (FLOATS.astype(np.float16), FLOATS.astype(np.float16).astype(np.float32)),
        (1e6 * FLOATS - 5e5, (1e6 * FLOATS - 5e5).astype(np.float32)),
        (np.asfortranarray(FLOATS).astype(">f4"), FLOATS),
    ],
)
def test_every_type_of_number_becomes_bytes_or_the_same_floats(tmp_path, kind, images, x):
    own = read(tmp_path, images, kind).images
    assert own.dtype == x.dtype
    assert own.dtype.isnative
    assert own.flags.c_contiguous
    assert np.array_equal(own, x[:, None])


@pytest.mark.parametrize("layout", [lambda a: a, lambda a: a[..., None], lambda a: a[:, None]])
def test_floats_have_every_order_of_axes(tmp_path, layout):
    assert np.array_equal(read(tmp_path, layout(FLOATS)).images, FLOATS[:, None])
    colour = np.random.default_rng(3).random((6, 7, 5, 3), dtype=np.float32)
    for given_ in (colour, colour.transpose(0, 3, 1, 2)):
        assert np.array_equal(read(tmp_path, given_).images, colour.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("levels", [(0.0, 4095.0), (-100.0, 5000.0)])
@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_range_brings_stored_values_to_the_unit_interval(tmp_path, levels, kind):
    own = read(tmp_path, TWELVE_BITS.astype(kind), levels=levels)
    expected = (TWELVE_BITS - levels[0]) / (levels[1] - levels[0])
    assert np.array_equal(own.images[:, 0], expected.astype(np.float32))
    assert own.preparation.unit_interval


@pytest.mark.parametrize(
    ("images", "levels", "said"),
    [
        (
            TWELVE_BITS,
            None,
            r"integers of uint16 need the values of black and white, .*\. Set data\.range=\[0,4095\], or ",
        ),
        (BYTES.astype(np.int64), None, r"data\.range=\[0,255\], or convert them with astype\('uint8'\)$"),
        (
            TWELVE_BITS.astype(np.int32) - 500,
            None,
            r"Set data\.range=\[-\d+,\d+\], or divide them: \(images \+ \d+\) / ",
        ),
        (
            TWELVE_BITS,
            (0.0, 4000.0),
            r"must lie in data\.range=\[0,4000\], .*\. Set data\.range=\[0,4\d\d\d\], or clip",
        ),
        (BYTES, (0.0, 100.0), r"data\.range is for more than 8 bits, got uint8\. Leave it out$"),
        (BYTES > 3, (0.0, 1.0), r"data\.range is for more than 8 bits, got bool\. Leave it out$"),
        (np.where(FLOATS[2, 1, 1] == FLOATS, np.inf, FLOATS), None, r"values must be finite, image 2 has NaN or inf"),
        (np.where(FLOATS[4, 1, 1] == FLOATS, np.nan, FLOATS), (0.0, 1.0), r"values must be finite, image 4 has NaN"),
        (FLOATS.astype(np.float64) * 1e300, None, r"values must fit in 32 bits, .*Divide them$"),
        (
            FLOATS.astype(complex),
            None,
            r"images must be numbers of shape .*, got complex128 .*\. Convert them$",
        ),
        (BYTES.astype(str), None, r"images must be numbers of shape .*, got <U3 \(6, 4, 5\)\. Convert them$"),
    ],
)
def test_what_would_be_a_guess_is_refused_with_the_fix(tmp_path, images, levels, said):
    with pytest.raises(DataError, match=rf"own\.npz: .*{said}") as caught:
        read(tmp_path, images, levels=levels)
    assert len(str(caught.value).splitlines()) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.uint64, np.float32, np.float64]),
    st.lists(st.integers(0, 255), min_size=1, max_size=9),
)
def test_a_range_keeps_order_and_ends(kind, numbers):
    values = np.array([0, 255, *numbers], dtype=kind)
    x = as_x(values, "a file") if kind == np.uint8 else as_x(values, "a file", (0.0, 255.0))
    x = x / 255 if x.dtype == np.uint8 else x
    assert x[0] == 0
    assert x[1] == 1
    assert (np.argsort(values, kind="stable") == np.argsort(x, kind="stable")).all()


def test_images_that_are_all_the_same_are_said(tmp_path, caplog):
    read(tmp_path, np.full((6, 4, 5), 0.5))
    assert "own.npz: all pixels have the same value, 0.5" in caplog.text


def test_grey_floats_are_the_luma_of_colours(tmp_path):
    colour = np.random.default_rng(3).random((6, 3, 8, 5), dtype=np.float32)
    grey = read(tmp_path, colour, colour=Colour.grey).images
    assert grey.dtype == np.float32
    assert np.allclose(grey[:, 0], 0.299 * colour[:, 0] + 0.587 * colour[:, 1] + 0.114 * colour[:, 2], atol=1e-6)
    assert np.array_equal(read(tmp_path, FLOATS, colour=Colour.rgb).images, FLOATS[:, None].repeat(3, axis=1))


# ------------------------------------------------------------------------------------------------ .npy


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\1\0v\0{'descr'"])
def test_a_damaged_npy_is_one_line(tmp_path, data):
    (tmp_path / "own.npy").write_bytes(data)
    with pytest.raises(DataError, match=r"own\.npy must be an \.npy of one plain array: .*numpy\.save\(") as caught:
        read_archive(tmp_path / "own.npy", Colour.auto)
    assert len(str(caught.value).splitlines()) == 1


def test_an_npy_that_is_cut_too_long_or_of_objects_is_refused(tmp_path):
    path = tmp_path / "own.npy"
    np.save(path, BYTES)
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"\0"):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"must be an \.npy of one plain array: "):
            read_archive(path, Colour.auto)
    np.save(path, np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"must be an \.npy of one plain array: Object arrays cannot be loaded"):
        read_archive(path, Colour.auto)


# ------------------------------------------------------------------------------------------------ classes


def test_labels_may_be_words(tmp_path):
    own = read(tmp_path, BYTES, labels=np.array(["dog", "cat", "dog", "eel", "cat", "cat"]))
    assert own.labels.tolist() == [1, 0, 1, 2, 0, 0]
    assert own.label_names == ("cat", "dog", "eel")


def test_numbers_may_have_names(tmp_path):
    own = read(
        tmp_path, BYTES, labels=np.array([1, 0, 1, 2, 0, 0]), label_names=np.array(["cat", "dog", "eel", "fox"])
    )
    assert own.labels.tolist() == [1, 0, 1, 2, 0, 0]
    assert own.label_names == ("cat", "dog", "eel", "fox")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"label_names": np.array(["cat"])}, r"label_names need an array `labels` of shape \(6,\)\. Add it"),
        (
            {"labels": np.arange(6), "label_names": np.array(["a", "b"])},
            r"label_names must be 6 different names or more, one for each label from 0, got a, b",
        ),
        ({"labels": np.zeros(6, int), "label_names": np.array(["a", "a"])}, r"must be 1 different names or more"),
        (
            {"labels": np.array(list("aabbcc")), "label_names": np.array(["a"])},
            r"label_names are for labels that are numbers, these are words\. Leave one out",
        ),
        ({"labels": np.array(list("aab"))}, r"labels must be whole numbers or words of shape \(6,\), got <U1 \(3,\)"),
    ],
)
def test_wrong_classes_are_one_line(tmp_path, others, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, BYTES, **others)


# ------------------------------------------------------------------------------------------------ whole runs


def test_40_rectangles_of_floats_are_trained_and_trained_further(tmp_path, trained):
    images = 8 * np.random.default_rng(0).random((40, 9, 14)) - 3
    np.savez(tmp_path / "own.npz", images=images, labels=np.array(["cat", "dog", "eel", "fox"] * 10))
    words = ("data=images", f"data.path={tmp_path}/own.npz", "model=conv", "model.channels=4", "model.width=8")
    small = ("epochs=1", "model.latent_dim=2", *QUIET, "threads=1")
    done = trained(*words, *small, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "32 / 4 / 4 images (train / validation / test) of 1x9x14" in done.stdout
    assert "gaussian (with a learned variance) likelihood" in done.stdout
    assert re.search(r"^pixels go from -\S+ to 4\S+ and are kept so", done.stdout, flags=re.MULTILINE)
    test = json.loads((tmp_path / "run/summary.json").read_text())["test"]
    assert test["images"] == 4
    assert all(math.isfinite(value) for value in test.values() if isinstance(value, float))
    # Of such noise the density around the mean image is known: uniform, of the width 8.
    assert test["baseline_distortion"] == pytest.approx(9 * 14 * 0.5 * (math.log(2 * math.pi * 64 / 12) + 1), rel=0.05)
    with np.load(tmp_path / "run/codes.npz") as codes:
        assert sorted(codes["labels"].tolist()) == [0, 1, 2, 3]
    more = trained(f"resume={tmp_path}/run", "epochs=2")
    assert more.returncode == 0, more.stderr
    assert "continued at step 1" in more.stdout
    other = trained("data=images", f"data.path={tmp_path}/own.npz", "likelihood=bernoulli", directory=tmp_path / "b")
    assert other.returncode == 1
    assert one_error_line(other).startswith("error: likelihood=bernoulli needs pixels from 0 to 1, these go from -")
