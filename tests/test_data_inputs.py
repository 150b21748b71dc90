import io
import os
import tracemalloc
import zipfile
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import torch
from data_files import images_config
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from vae.config import Background, Binarisation, Colour, Resize, TableConfig
from vae.config.preparation import ImagePreparation, TablePreparation
from vae.data import DataError, ImagesData, TableData
from vae.data.images import sample_bernoulli
from vae.data.inputs import inputs_of
from vae.data.splits import SEED, split_indices

GREY = ImagePreparation((1, 4, 5))
COLOURS = ImagePreparation((3, 4, 5))
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5), dtype=np.uint8)


def x_of(given, preparation=GREY, size=3, **options):
    return torch.cat(list(inputs_of(given, preparation, **options).batches(size)))


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def pictures(folder, images, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{k:02d}.png", **options)
    return folder


FORMS = {
    "array": lambda _, images: images,
    "tensor": lambda _, images: torch.from_numpy(images),
    "list": lambda _, images: list(images),
    "channels first": lambda _, images: images[:, None],
    "channels last": lambda _, images: images[..., None],
    "fractions": lambda _, images: images / 255,
    "fractions of 32 bits": lambda _, images: torch.from_numpy(images).float() / 255,
    "npy": lambda path, images: (np.save(path / "a.npy", images), path / "a.npy")[1],
    "npy by columns": lambda path, images: (np.save(path / "a.npy", np.asfortranarray(images)), path / "a.npy")[1],
    "npy of big-endian fractions": lambda path, images: (
        np.save(path / "a.npy", (images / 255).astype(">f4")),
        str(path / "a.npy"),
    )[1],
    "npz": lambda path, images: saved(path / "a.npz", images=images),
    "npz, compressed": lambda path, images: (
        np.savez_compressed(path / "a.npz", images=images),
        path / "a.npz",
    )[1],
    "npz by columns": lambda path, images: saved(path / "a.npz", images=np.asfortranarray(images)),
    "folder": lambda path, images: pictures(path / "all", images),
    "list of paths": lambda path, images: sorted(pictures(path / "all", images).iterdir()),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_every_form_become_the_same_x(form, tmp_path):
    x = x_of(FORMS[form](tmp_path, IMAGES))
    assert x.dtype == torch.float32
    assert torch.equal(x, torch.from_numpy(IMAGES)[:, None].float() / 255) or form.startswith(("frac", "npy of"))
    torch.testing.assert_close(x, torch.from_numpy(IMAGES)[:, None].float() / 255, rtol=0, atol=1e-7)


@settings(deadline=None, max_examples=20)
@hypothesis.given(count=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 9))
def test_binary_pixels_are_drawn_as_in_training_whatever_the_batches_are(count, size, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 4, 5), dtype=np.uint8)
    drawn = sample_bernoulli(torch.from_numpy(pixels), torch.Generator().manual_seed(SEED))
    inputs = inputs_of(pixels, replace(GREY, binarised=True))
    for _ in range(2):  # each call begins anew
        assert torch.equal(torch.cat(list(inputs.batches(size)))[:, 0], drawn.float())


def test_fractions_are_rounded_to_bytes_before_binary_pixels_are_drawn():
    binarised = replace(GREY, binarised=True)
    assert torch.equal(x_of(IMAGES / 255, binarised), x_of(IMAGES, binarised))


def test_booleans_are_black_and_white():
    assert torch.equal(x_of(IMAGES > 99)[:, 0], torch.from_numpy(IMAGES > 99).float())
    assert torch.equal(x_of(IMAGES > 99, replace(GREY, binarised=True)), x_of(IMAGES > 99))


def test_floats_in_a_unit_of_their_own_stay_as_they_are():
    values = np.random.default_rng(0).normal(1e3, 1e5, (6, 4, 5))
    assert torch.equal(x_of(values, replace(GREY, unit_interval=False))[:, 0], torch.from_numpy(values).float())


def test_floats_of_16_bits_stay_as_they_are():
    half = (100 * IMAGES.astype(np.float16) / 255 - 50)[:, None]
    x = x_of(half, replace(GREY, unit_interval=False, shown=(-50.0, 50.0)))
    assert torch.equal(x, torch.from_numpy(half).float())


def test_values_of_more_bits_are_scaled_by_the_levels_of_training():
    values = np.array([0, 100, 1000, 4095, 2047]).astype(np.uint16).repeat(4).reshape(1, 5, 4).transpose(0, 2, 1)
    x = x_of(values, replace(GREY, levels=(0.0, 4095.0)))
    torch.testing.assert_close(x[0, 0, 0], torch.tensor([0, 100, 1000, 4095, 2047]) / 4095)
    with pytest.raises(DataError, match=r"must lie in \[0, 4000\], got 4095 in image 0"):
        x_of(values, replace(GREY, levels=(0.0, 4000.0)))
    with pytest.raises(DataError, match="trained on values from 0 to 4095, got uint8"):
        x_of(IMAGES, replace(GREY, levels=(0.0, 4095.0)))


def test_fractions_are_warned_of_where_the_model_takes_stored_values(caplog):
    wide = replace(GREY, levels=(0.0, 4095.0))
    inputs_of(IMAGES.astype(np.uint16), wide)
    inputs_of(IMAGES / 255, replace(GREY, levels=(0.0, 2.0)))
    assert caplog.text == ""
    inputs_of(IMAGES / 255, wide)
    assert "the input: images are nearly black, with values from 0 to 0.976471 of 0 to 4095. If" in caplog.text


def test_grey_images_are_repeated_for_a_model_of_colours(tmp_path):
    for given in (IMAGES, IMAGES[:, None], pictures(tmp_path / "grey", IMAGES)):
        x = x_of(given, COLOURS)
        assert x.shape == (7, 3, 4, 5)
        assert torch.equal(x[:, :1].expand_as(x), x)


def test_colours_become_grey_only_for_a_model_that_was_trained_so(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    folder = pictures(tmp_path / "colours", colours)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colours])
    grey = replace(GREY, colour=Colour.grey)
    for given in (colours, colours.transpose(0, 3, 1, 2), folder):
        assert torch.equal(x_of(given, grey)[:, 0], torch.from_numpy(expected).float() / 255)
        with pytest.raises(DataError, match=r"the model takes grey images, .* in colour|must be grey, .* in colour"):
            x_of(given)
    torch.testing.assert_close(x_of(colours / 255, grey), x_of(colours, grey), rtol=0, atol=1 / 255)


def test_one_image_needs_no_axis_for_the_images():
    colour = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    assert torch.equal(x_of(IMAGES[0]), x_of(IMAGES[:1]))
    assert torch.equal(x_of(IMAGES[:1]), x_of(IMAGES[:1, None]))
    assert torch.equal(x_of(colour.transpose(1, 2, 0), COLOURS), x_of(colour[None], COLOURS))
    with pytest.raises(DataError, match=r"may mean 3 grey images or one image of 3 channels\. Give the shape"):
        x_of(colour, COLOURS)


def test_names_and_labels_are_those_of_the_files(tmp_path):
    inputs = inputs_of(pictures(tmp_path / "all", IMAGES[:2]), GREY)
    assert (inputs.count, list(inputs.names), inputs.labels) == (2, ["00.png", "01.png"], None)
    inputs = inputs_of(saved(tmp_path / "a.npz", images=IMAGES[:3], labels=np.array([3, 1, 3])), GREY)
    assert (inputs.count, list(inputs.names), inputs.labels) == (3, [0, 1, 2], ["3", "1", "3"])
    named = saved(tmp_path / "b.npz", images=IMAGES[:2], labels=np.array([1, 0]), label_names=np.array(["cat", "dog"]))
    assert inputs_of(named, GREY).labels == ["dog", "cat"]
    words = saved(tmp_path / "c.npz", images=IMAGES[:2], labels=np.array(["b", "a"]))
    assert inputs_of(words, GREY).labels == ["b", "a"]


def test_the_progress_counts_every_input(tmp_path):
    for given in (IMAGES, pictures(tmp_path / "all", IMAGES)):
        read = []
        for _ in inputs_of(given, GREY).batches(3, read.append):
            pass
        assert sum(read) == 7


def test_a_picture_of_another_size_is_brought_to_the_models_only_if_that_is_chosen(tmp_path):
    file = tmp_path / "large.png"
    Image.fromarray(np.full((8, 10), 200, dtype=np.uint8)).save(file)
    with pytest.raises(DataError, match=r"4x5.*8x10.*--resize fit, crop or stretch"):
        x_of(file)
    for resize in Resize:
        assert torch.equal(x_of(file, resize=resize), torch.full((1, 1, 4, 5), 200 / 255))


def test_transparent_pixels_are_drawn_on_the_background_of_training(tmp_path):
    Image.new("LA", (5, 4), (100, 0)).save(tmp_path / "clear.png")
    assert x_of(tmp_path / "clear.png", replace(GREY, background=Background.white)).min() == 1
    assert x_of(tmp_path / "clear.png").max() == 0


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (IMAGES.astype(int), r"must be uint8, bool or floats in \[0, 1\], got int64. Convert them: images.astype"),
        (IMAGES[:, :3], r"must have the shape \(n, 4, 5\), .* got \(7, 3, 5\). Scale or crop them"),
        (IMAGES[:0], r"there must be an image, got the shape \(0, 4, 5\)"),
        (np.full((2, 4, 5), np.nan), "pixels must be finite, got nan in image 0"),
        (
            np.where(np.arange(7)[:, None, None] == 5, np.inf, IMAGES / 255),
            "pixels must be finite, got inf in image 5",
        ),
        (IMAGES.astype(float), r"pixels must lie in \[0, 1\], got \d+ in image 0. Clamp, scale or remove it"),
        (-(IMAGES / 255), r"pixels must lie in \[0, 1\], got -0"),
        (IMAGES.astype(complex), "an array or tensor of numbers, got ndarray of complex128"),
        (np.array([[object()]]), "an array or tensor of numbers, got ndarray of object"),
        (None, "must be a path, or an array or tensor of numbers, got NoneType"),
        ([[1], [2, 3]], "the input must be an array, got list: .*inhomogeneous"),
        (3, r"got int64"),
        ([], r"must have the shape .* got \(0,\)"),
        ("nowhere", "a picture, a folder of pictures, an .npz or an .npy, got nowhere, which is missing"),
        (Image.new("P", (5, 4)), r"must be given as an array. Write numpy\.asarray\(image\.convert"),
        ([Image.new("P", (5, 4))], r"must be given as an array. Write numpy\.asarray\(image\.convert"),
        (np.zeros((7, 4, 5), "V3"), "numbers, got ndarray of"),
        (torch.zeros(2, 4, 5).to_sparse(), "must be a plain tensor: .*Convert it"),
        (torch.zeros(2, 4, 5, device="meta"), "must be a plain tensor: .*Convert it"),
    ],
    ids=range(19),
)
def test_what_does_not_fit_is_refused_in_one_line(given, line):
    with pytest.raises(DataError, match=line) as refused:
        x_of(given)
    assert "\n" not in str(refused.value)


def test_bytes_are_refused_by_a_model_of_floats_in_a_unit_of_their_own(tmp_path):
    own = replace(GREY, unit_interval=False)
    with pytest.raises(DataError, match="trained on floats in a unit of their own, got uint8"):
        x_of(IMAGES, own)
    with pytest.raises(DataError, match="is a picture, but the model was trained on other arrays"):
        x_of(pictures(tmp_path / "all", IMAGES), own)
    with pytest.raises(DataError, match="must be finite, got nan in image 2"):
        x_of(np.where(np.arange(7)[:, None, None] == 2, np.nan, IMAGES / 255), own)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])
    return path


def objects(path):
    np.save(path, np.array([{}, 1], dtype=object), allow_pickle=True)
    return path


def unlike_its_header(path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 4, 5)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
    return path


def with_wrong_bytes(path):
    np.savez(path, images=IMAGES)
    content = bytearray(path.read_bytes())
    content[content.index(IMAGES.tobytes()[:20])] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda p: cut(FORMS["npy"](p, IMAGES)), "must be an .npy .*promises 268 bytes, it has 248.*numpy.save"),
        (lambda p: cut(FORMS["npz"](p, IMAGES)), "must be an .npz of plain arrays.*numpy.savez"),
        (lambda p: objects(p / "a.npy"), "Python objects, which are never unpickled"),
        (lambda p: unlike_its_header(p / "a.npz"), "its header promises 20000000000128 bytes, it has 228"),
        (lambda p: with_wrong_bytes(p / "a.npz"), "Bad CRC-32"),
        (lambda p: saved(p / "a.npz", pixels=IMAGES), "must hold an array `images`, it holds pixels"),
        (lambda p: saved(p / "a.npz", images=np.array(["a"])), "must be numbers, got <U1"),
        (lambda p: saved(p / "a.npz", images=IMAGES, labels=np.zeros(3)), r"labels must be .*shape \(7,\)"),
        (lambda p: saved(p / "a.npz", images=IMAGES, labels=np.array([None] * 7)), "Object arrays cannot be loaded"),
        (
            lambda p: saved(p / "a.npz", images=IMAGES, labels=np.arange(7), label_names=np.array(["a"])),
            "label_names must be 7 different names or more",
        ),
        (lambda p: (p / "empty").mkdir() or p / "empty", r"must hold pictures .* it has none"),
        (lambda p: (p / "a.txt").write_text("") * 0 or p / "a.txt", "which is a .txt. Name another"),
        (lambda p: (p / "a.png").write_text("x") * 0 or p / "a.png", "a.png must be a picture"),
        (lambda p: os.mkfifo(p / "a.npy") or p / "a.npy", "which is a pipe"),
    ],
    ids=[
        "npy cut",
        "npz cut",
        "objects",
        "huge",
        "bytes",
        "name",
        "words",
        "labels",
        "objects as labels",
        "names",
        "folder",
        "txt",
        "png",
        "pipe",
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(made, line, tmp_path):
    with pytest.raises(DataError, match=line) as refused:
        x_of(made(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_damaged_picture_among_many_ends_the_reading(tmp_path):
    folder = pictures(tmp_path / "all", IMAGES)
    (folder / "03.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"03\.png must be a picture"):
        x_of(folder)


def test_bytes_of_0_and_1_are_warned_of(caplog):
    x_of((IMAGES > 99).astype(np.uint8))
    assert "images are 0 and 1 of 255: nearly black; convert them with astype(bool)" in caplog.text


ROWS = np.array([[70.0, 30.0], [80.0, 35.5], [65.0, 28.0]])
TABLE = TablePreparation(("mass", "age"), (70.0, 30.0), (10.0, 5.0), "site")
STANDARDISED = torch.tensor([[0.0, 0.0], [1.0, 1.1], [-0.5, -0.4]]).view(3, 1, 1, 2)


def written(path, text):
    path.write_text(text)
    return path


ROWS_IN_FILES = {
    "array": lambda _: ROWS,
    "tensor": lambda _: torch.from_numpy(ROWS),
    "lists": lambda _: ROWS.tolist(),
    "csv": lambda p: written(p / "a.csv", "age,site,note,mass\n30,b,x,70\n35.5,a,y,80\n28,b,z,65\n"),
    "semicolons": lambda p: str(written(p / "a.csv", "age;mass\n30;70\n35.5;80\n28;65\n")),
    "npz": lambda p: saved(p / "a.npz", table=ROWS[:, ::-1], columns=np.array(["age", "mass"])),
}


def test_columns_that_are_ignored_are_said_once(tmp_path, caplog):
    caplog.set_level("INFO")
    inputs = inputs_of(ROWS_IN_FILES["csv"](tmp_path), TABLE)
    assert [len(list(inputs.batches(size))) for size in (1, 2)] == [3, 2]
    assert caplog.text.count("ignored the columns") == 1


@pytest.mark.parametrize("form", ROWS_IN_FILES)
def test_rows_in_every_form_become_the_same_x(form, tmp_path):
    inputs = inputs_of(ROWS_IN_FILES[form](tmp_path), TABLE)
    for size in (2, 100):
        torch.testing.assert_close(torch.cat(list(inputs.batches(size))), STANDARDISED)
    assert (inputs.count, list(inputs.names)) == (3, [0, 1, 2])
    assert inputs.labels == (["b", "a", "b"] if form == "csv" else None)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (ROWS[:, :1], r"must have the 2 columns of the model, mass, age, got the shape \(3, 1\)"),
        (np.full((2, 2), np.nan), "the column mass must have a number in every row, row 0 has nan"),
        ("mass\n1\n", "must have the columns of the model, it lacks age"),
        ("mass,age\n1,2\n3,x\n", "the column age must hold numbers, line 3 has x"),
        ("mass,age\n", "must have a row below the names of its columns"),
    ],
    ids=range(5),
)
def test_rows_that_do_not_fit_are_refused_in_one_line(given, line, tmp_path):
    with pytest.raises(DataError, match=line):
        x_of(written(tmp_path / "a.csv", given) if isinstance(given, str) else given, TABLE)


def grey_of(rng, kind, scale):
    return rng.integers(0, scale, (12, 9, 7)).astype(kind)


def wide_pictures(folder, rng):
    folder.mkdir()
    for k, image in enumerate(grey_of(rng, np.uint16, 4096)):
        Image.fromarray(image).save(folder / f"{k:02d}.tif")


def mixed_pictures(folder, rng):
    """Class folders with pictures of several sizes, transparent, turned or in colour."""
    turned = Image.Exif()
    turned[274] = 6
    for k in range(12):
        (folder / f"class {k % 2}").mkdir(parents=True, exist_ok=True)
        shape = (8 + k, 20 - k, 4 if k % 3 else 3)
        image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        image.save(folder / f"class {k % 2}" / f"{k:02d}.{'png' if k % 3 else 'jpg'}", exif=turned)


ARRAYS = {
    "bytes": (lambda r: grey_of(r, np.uint8, 256), {}),
    "bytes, binarised": (lambda r: grey_of(r, np.uint8, 256), {"binarisation": Binarisation.dynamic}),
    "booleans, binarised": (lambda r: grey_of(r, bool, 2), {"binarisation": Binarisation.static}),
    "fractions": (lambda r: r.uniform(size=(12, 9, 7)), {}),
    "fractions, binarised": (lambda r: r.uniform(size=(12, 9, 7, 1)), {"binarisation": Binarisation.dynamic}),
    "a unit of their own": (lambda r: r.normal(5, 100, (12, 9, 7)).astype(np.float32), {}),
    "more bits": (lambda r: grey_of(r, np.uint16, 4096), {"range": [0.0, 4095.0]}),
    "floats with a range": (lambda r: r.uniform(-3, 3, (12, 9, 7)), {"range": [-3.0, 3.0]}),
    "colours, last": (lambda r: r.integers(0, 256, (12, 9, 7, 3), dtype=np.uint8), {}),
    "colours to grey": (lambda r: r.integers(0, 256, (12, 3, 9, 7), dtype=np.uint8), {"colour": Colour.grey}),
    "fractions to grey": (lambda r: r.uniform(size=(12, 3, 9, 7)), {"colour": Colour.grey}),
    "grey to colours": (lambda r: grey_of(r, np.uint8, 256), {"colour": Colour.rgb}),
}


def x_of_test(splits):
    return splits.test.batch(torch.arange(len(splits.test)), torch.Generator())


@pytest.mark.parametrize("kind", ARRAYS)
def test_the_test_images_of_an_array_become_the_x_of_the_run(kind, tmp_path):
    make, changed = ARRAYS[kind]
    images = make(np.random.default_rng(0))
    path = saved(tmp_path / "all.npz", images=images)
    splits = ImagesData(images_config(path, test_size=5, **changed)).read()
    test = images[split_indices(12, None, 1, 5)[2]]
    for same in (test, saved(tmp_path / "test.npz", images=test)):
        assert torch.equal(x_of(same, splits.preparation), x_of_test(splits))


PICTURES = {
    "16 bits": (wide_pictures, {}),
    "16 bits with a range": (wide_pictures, {"range": [100.0, 4000.0]}),
    "fit": (mixed_pictures, {"size": [10, 13], "colour": Colour.rgb, "background": Background.white}),
    "crop": (mixed_pictures, {"side": 8, "resize": Resize.crop, "colour": Colour.rgb}),
    "stretch to grey": (mixed_pictures, {"side": 9, "resize": Resize.stretch, "colour": Colour.grey}),
    "binarised": (mixed_pictures, {"side": 9, "colour": Colour.grey, "binarisation": Binarisation.static}),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_test_pictures_of_a_folder_become_the_x_of_the_run(kind, tmp_path):
    make, changed = PICTURES[kind]
    make(tmp_path / "all", np.random.default_rng(0))
    splits = ImagesData(images_config(tmp_path / "all", test_size=5, **changed)).read()
    files = [tmp_path / "all" / name for name in splits.test.names]
    assert torch.equal(x_of(files, splits.preparation), x_of_test(splits))
    for file in files:
        (tmp_path / "test" / file.relative_to(tmp_path / "all")).parent.mkdir(parents=True, exist_ok=True)
        file.rename(tmp_path / "test" / file.relative_to(tmp_path / "all"))
    inputs = inputs_of(tmp_path / "test", splits.preparation)
    assert list(inputs.names) == sorted(splits.test.names)
    if splits.label_names is not None:
        assert inputs.labels == [name.partition("/")[0] for name in inputs.names]
    if not splits.preparation.binarised:
        again = torch.cat(list(inputs.batches(2)))
        assert torch.equal(again, x_of_test(splits)[np.argsort(splits.test.names)])


def test_the_test_rows_of_a_table_become_the_x_of_the_run(tmp_path):
    rows = np.random.default_rng(0).normal(50, 7, (20, 3))
    lines = [",".join(map(repr, row)) + f",{'ab'[k % 2]}" for k, row in enumerate(rows.tolist())]
    path = written(tmp_path / "all.csv", "\n".join(["x,y,z,site", *lines]) + "\n")
    splits = TableData(TableConfig(str(path), "site", [], 1, 5)).read()
    test = split_indices(20, np.arange(20) % 2, 1, 5)[2]
    named = written(tmp_path / "test.csv", "\n".join(["x,y,z,site", *(lines[k] for k in test)]) + "\n")
    for same in (rows[test], named):
        assert torch.equal(x_of(same, splits.preparation), x_of_test(splits))
    assert inputs_of(named, splits.preparation).labels == ["ab"[k % 2] for k in test]


def test_a_masked_value_and_an_empty_path_are_refused():
    with pytest.raises(DataError, match=r"^the input.* must have a value everywhere, got a masked array"):
        inputs_of(np.ma.masked_equal(IMAGES, IMAGES.max()), GREY)
    assert torch.equal(x_of(np.ma.masked_equal(IMAGES, 255), GREY), x_of(IMAGES, GREY))
    with pytest.raises(DataError, match=r"^the input must be named, got an empty path\. Write \. for"):
        inputs_of("", GREY)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_the_memory_of_many_images_is_that_of_a_batch(tmp_path, kind):
    many = np.zeros((30_000, 20, 20), dtype=np.uint8)  # 12 MB
    many[:, 0] = 255
    path = tmp_path / f"many.{kind}"
    np.savez(path, images=many) if kind == "npz" else np.save(path, many)
    inputs = inputs_of(path, ImagePreparation((1, 20, 20)))
    tracemalloc.start()
    try:
        assert sum(len(x) for x in inputs.batches(100)) == len(many)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # bytes
    finally:
        tracemalloc.stop()
