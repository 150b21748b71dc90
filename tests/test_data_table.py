"""What people write into factors.csv, and into the arrays of factors and labels of an .npz."""

import logging
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae.config import Binarisation, Colour
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.own import read_own
from vae.data.pictures import PictureOptions
from vae.data.splits import random_splits
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.sap import sap_continuous

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)


def folder_with(path: Path, table: str | bytes) -> Path:
    """Six pictures, 0.png … 5.png, and this table."""
    path.mkdir(exist_ok=True)
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(path / f"{number}.png")
    (path / "factors.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    return path


def column(path: Path, *cells: str) -> Factors:
    """The factors of a table with one column."""
    rows = [f"{number}.png,{cell}" for number, cell in enumerate(cells)]
    factors = read_own(folder_with(path, "\n".join(["file,hue", *rows, ""]))).factors
    assert factors is not None
    return factors


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (("10", "9", "100", "0", "20", "9"), [2, 1, 4, 0, 3, 1]),
        (("1", "1.0", "1e0", "+1", "01", "2"), [0, 0, 0, 0, 0, 1]),
        (("-10", "-9", ".5", "5.", "5e-1", "0"), [0, 1, 3, 4, 3, 2]),
        (("9007199254740993", "9007199254740992", "0", "0", "0", "0"), [2, 1, 0, 0, 0, 0]),
        (("0.1", "0.10", "0.2", "-0", "0", "0.0"), [1, 1, 2, 0, 0, 0]),
        (("true", "False", "TRUE", "false", "True", "FALSE"), [1, 0, 1, 0, 1, 0]),
        ((" 7", "7 ", "\t7", "8", '" 8"', "8"), [0, 0, 0, 1, 1, 1]),
        (("red", "blue", "red ", " green", "red", "red"), [2, 0, 2, 1, 2, 2]),
        (("3d", "10d", "3d", "3d", "3d", "3d"), [1, 0, 1, 1, 1, 1]),
        (("ä", "ö", "☃", "ä", "ä", "ä"), [0, 1, 2, 0, 0, 0]),
        (("\u00e9", "e\u0301", "x", "x", "x", "x"), [1, 1, 0, 0, 0, 0]),
    ],
)
def test_the_levels_of_a_column_are_in_the_order_of_its_values(tmp_path, cells, levels):
    assert column(tmp_path / "f", *cells).levels[:, 0].tolist() == levels


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("1", "2", "  ", "3", "4", "5"), r"the factor hue must have a value for every image, 2\.png has none"),
        *(
            (("a", "b", word, "b", "a", "a"), rf"have a value for every image, 2\.png has {re.escape(word)}\. Fill")
            for word in ("NA", "n/a", "#N/A", "Null", "none", "-", "?", "NaN", "-inf")
        ),
        (
            ('"1,000,000"', "20", "300", "3", "4", "5"),
            r"must have no commas in numbers, got 1,000,000\. Write decimal",
        ),
        (('"1,5"', "2", "3", "3", "4", "5"), r"must have no commas in numbers, got 1,5\. Write decimal points"),
        (("1", "x" * 5_000, "3", "3", "4", "5"), r"not both, got 1 and x{60}…\. Write"),
        (("true", "0", "1", "1", "1", "1"), r"must have numbers or words, not both, got 0 and true"),
        (("1", "2", "1e9999", "3", "4", "5"), r"must have numbers or words, not both, got 1 and 1e9999"),
        (("1", "−2", "3", "3", "4", "5"), r"must have numbers or words, not both, got 1 and −2"),
        (("7", "7.0", "7", "7", "7", "7"), r"a factor must vary, and none of hue does"),
    ],
)
def test_a_column_that_may_mean_two_things_is_refused_in_one_line(tmp_path, cells, said):
    with pytest.raises(DataError, match=rf"factors\.csv: .*{said}") as caught:
        column(tmp_path / "f", *cells)
    assert len(str(caught.value).splitlines()) == 1


ROWS = "".join(f"{k}.png,{k % 2},{k // 2}\n" for k in range(6))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file;hue;size\n" + ROWS.replace(",", ";"), "got file;hue;size and 6 rows. Separate columns by commas"),
        ("file,hue, hue\n" + ROWS, "have a different name for every column, two are named hue"),
        ("file,file,hue\n" + ROWS, "have a different name for every column, two are named file"),
        ("file,hue,\n" + ROWS, "have a different name for every column, one has none"),
        ("file,hue,size\n" + ROWS + " 3.png ,1,1\n", r"have one row for a picture, 3\.png has two"),
        ("name,hue,size\n" + ROWS, r"one of them `file`, .* got name \| hue \| size and 6 rows"),
        ("file,hue,size\n", r"got file \| hue \| size and 0 rows"),
        ("file,hue,size\n" + ROWS.replace("2.png,0,1", "2.png,0"), "as many values .* the row 2.png,0 has 2"),
        ("file,hue,size\n" + ROWS.replace("2.png,0,1", '2.png,"0,1'), "be a table in CSV: .*Close every quote"),
        ("file,hue,size\n" + ROWS.replace("2.png,0,1", "2.png,0," + 200_000 * "x"), "a table in CSV: field larger"),
        ("file,hue,size\n" + ROWS.replace("2.png", "y" * 5_000), r"without a picture is y{60}…\. Add"),
        ("file,hue,size\n" + ROWS.replace("2.png,0,1\n", ""), r"2\.png has none\. Add it; write the names with"),
        (("file,hue,size\n" + ROWS).encode("utf-16"), "be a table in CSV, in UTF-8"),
    ],
)
def test_a_table_that_may_mean_two_things_is_refused_in_one_line(tmp_path, table, said):
    with pytest.raises(DataError, match=rf"factors\.csv must .*{said}") as caught:
        read_own(folder_with(tmp_path / "f", table))
    assert len(str(caught.value).splitlines()) == 1
    assert ("UTF-8" in str(caught.value)) == ("UTF-8" in said)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_pictures_are_compared_in_one_form_of_unicode(tmp_path, form):
    for number, name in enumerate(("é", "ö")):
        Image.fromarray(IMAGES[number]).save(tmp_path / f"{unicodedata.normalize(form, name)}.png")
    (tmp_path / "factors.csv").write_text("file,hue\n\u00e9.png,1\no\u0308.png,2\n")
    factors = read_own(tmp_path).factors
    assert sorted(factors.levels[:, 0].tolist()) == [0, 1]


@pytest.mark.parametrize("cell", ["5%", "'10'", "+.5px", "2020-01-02", "−5", "١"])
def test_words_that_begin_as_numbers_do_are_said_to_be_sorted_as_words(tmp_path, caplog, cell):
    assert column(tmp_path / "f", "a", "b", cell, "a", "a", "a").sizes == (3,)
    assert f"the factor hue is sorted as words, because {cell} is no number. Write numbers without" in caplog.text
    caplog.clear()
    column(tmp_path / "f", "a", "b", "x5", "a", "a", "a")
    assert "sorted as words" not in caplog.text


def test_a_table_without_factors_says_so(tmp_path):
    with pytest.raises(DataError, match=r"factors\.csv: there are no factors\. Add a column for each"):
        read_own(folder_with(tmp_path / "f", "file\n" + "".join(f"{k}.png\n" for k in range(6))))
    with pytest.raises(DataError, match=r"own\.npz: there are no factors"):
        read_own(archive(tmp_path, factors=np.zeros((6, 0))))


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbffile,hue,size\n" + ROWS.encode(),
        "file,hue,size\r\n" + ROWS.replace("\n", "\r\n"),
        " file , hue , size \n" + ROWS.replace(",", " , "),
        "file,hue,size\n\n" + ROWS + ",,\n\n",
        "hue,file,size\n" + "".join(f"{k % 2},{k}.png,{k // 2}\n" for k in range(6)),
        '"file","hue","size"\n' + "".join(f'"{k}.png","{k % 2}","{k // 2}"\n' for k in reversed(range(6))),
    ],
)
def test_a_table_as_spreadsheets_and_people_write_it_is_read(tmp_path, table):
    factors = read_own(folder_with(tmp_path / "f", table)).factors
    assert factors.names == ("hue", "size")
    assert factors.levels.tolist() == [[k % 2, k // 2] for k in range(6)]


def test_rows_of_missing_pictures_are_counted_and_constant_factors_named(tmp_path, caplog):
    rows = "".join(f"{k}.png,{k % 2},same\n" for k in range(9))
    with caplog.at_level(logging.INFO):
        read_own(folder_with(tmp_path / "f", "file,hue,site\n" + rows))
    assert "rows without a picture: 3, first 6.png" in caplog.text
    assert "left out constant factors: site" in caplog.text


@pytest.mark.parametrize("kind", ["table", "text in an array"])
def test_perfect_codes_of_a_numeric_factor_are_scored_as_perfect(tmp_path, kind):
    """As text, 0, 10, 20, ..., 110 would be the levels 0, 1, 4, ...: the score was .538."""
    generator = np.random.default_rng(0)
    values = generator.integers(0, 12, (400, 2)) * 10
    if kind == "table":
        (tmp_path / "f").mkdir()
        for number in range(400):
            Image.fromarray(IMAGES[0]).save(tmp_path / "f" / f"{number:03d}.png")
        rows = [f"{number:03d}.png,{x},{y}" for number, (x, y) in enumerate(values)]
        (tmp_path / "f" / "factors.csv").write_text("\n".join(["file,x,y", *rows]))
        factors = read_own(tmp_path / "f").factors
    else:
        np.savez(tmp_path / "f.npz", images=IMAGES[:1].repeat(400, axis=0), factors=values.astype(str))
        factors = read_own(tmp_path / "f.npz").factors
    assert (factors.levels == values // 10).all()
    score = sap_continuous(Representation(values / 10.0, factors), Sizes(), generator).score
    assert score == pytest.approx(0.997, abs=0.01)


# ------------------------------------------------------------------------------------------------ arrays


def archive(path: Path, **arrays: object) -> Path:
    np.savez(path / "own.npz", **({"images": IMAGES} | arrays))
    return path / "own.npz"


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([True, False, True, False, True, True]), [1, 0, 1, 0, 1, 1]),
        (np.array([0.5, 0.25, 0.5, 1.5, -1.0, 0.5]), [2, 1, 2, 3, 0, 2]),
        (np.array([10, 9, 100, 0, 20, 9], dtype=np.uint64), [2, 1, 4, 0, 3, 1]),
        (np.array(["10", "9", "100", "0", "20", "9"]), [2, 1, 4, 0, 3, 1]),
        (np.array([b"10", b"9", b"100", b"0", b"20", b"9"]), [2, 1, 4, 0, 3, 1]),
        (np.array(["b", "a", "b", "b", "b", "b"]), [1, 0, 1, 1, 1, 1]),
    ],
)
def test_factors_of_an_array_are_numbers_or_words(tmp_path, values, levels):
    factors = read_own(archive(tmp_path, factors=values[:, None])).factors
    assert factors.levels[:, 0].tolist() == levels


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        (np.arange(6) * 1j, "the factor factor_0 must have finite numbers or words only, got complex128"),
        (np.arange(6).astype("M8[s]"), r"the factor factor_0 must .*, got datetime64\[s\]"),
        (np.zeros(6, dtype=[("a", "i4"), ("b", "f4")]), r"the factor factor_0 must .*, got \[\('a', '<i4'\)"),
        (np.array([b"\xff\xfe"] * 6), "the factor factor_0 must be text in UTF-8"),
        (np.array(["1", "", "2", "3", "4", "5"]), "must have a value for every image, 1 has none"),
        (np.array([1, np.inf, 2, 3, 4, 5]), "must have finite numbers"),
    ],
)
def test_factors_that_are_neither_are_refused_by_name(tmp_path, factors, said):
    with pytest.raises(DataError, match=said) as caught:
        read_own(archive(tmp_path, factors=factors[:, None]))
    assert "own.npz" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([1, 2], "factor_names must be text, got int64"),
        (["a", "a "], "factor_names must be 2 different names"),
        (["a", ""], "factor_names must be 2 different names"),
        ([["a", "b"]], "factor_names must be 2 different names"),
    ],
)
def test_names_of_factors_that_do_not_name_them_are_refused(tmp_path, names, said):
    path = archive(tmp_path, factors=np.arange(12).reshape(6, 2), factor_names=np.array(names))
    with pytest.raises(DataError, match=said):
        read_own(path)


def test_names_without_factors_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"factor_names need an array `factors` of shape \(6, factors\)"):
        read_own(archive(tmp_path, factor_names=["hue"]))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_])
def test_labels_are_those_of_the_image_sets(tmp_path, kind):
    labels = np.array([0, 1, 0, 1, 1, 0]).astype(kind)
    own = read_own(archive(tmp_path, labels=labels, factors=np.arange(6)[:, None]))
    splits = random_splits(own, 2, 2, Binarisation.none)
    for part in (splits.train, splits.validation, splits.test):
        images = [IMAGES.tolist().index(image[0].tolist()) for image in part.pixels]
        assert part.labels.tolist() == labels[images].astype(int).tolist()
    assert splits.train.factors.names == ("factor_0",)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(5), r"labels must be whole numbers or words of shape \(6,\), got int64 \(5,\)"),
        (np.arange(6.0), r"got float64 \(6,\)\. Convert them with astype\(int\)"),
        (np.arange(6) - 1, r"labels must not be negative, got -1\. Number them with numpy\.unique\("),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, said):
    with pytest.raises(DataError, match=said):
        read_own(archive(tmp_path, labels=labels))


@pytest.mark.parametrize("largest", [0, 1, 2])
@pytest.mark.parametrize("kind", ["array", "folder"])
def test_images_that_are_nearly_black_are_warned_of(tmp_path, caplog, kind, largest):
    images = (IMAGES > 127).astype(np.uint8) * largest
    if kind == "folder":
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / f"{number}.png")
    read_own(tmp_path if kind == "folder" else archive(tmp_path, images=images))
    said = {
        0: "images are 0 everywhere: black",
        1: "images are 0 and 1 of 255: nearly black; convert them with astype(bool) if 1 is",
    }
    assert ("black" in caplog.text) == (largest < 2)
    assert said.get(largest, "") in caplog.text


def test_flat_factors_and_images_with_alpha_are_told_how_to_mend_them(tmp_path):
    with pytest.raises(DataError, match=r"got \(6,\)\. .* a single factor as factors\[:, None\]"):
        read_own(archive(tmp_path, factors=np.arange(6)))
    for shape in ((6, 9, 9, 4), (6, 4, 9, 9)):
        with pytest.raises(DataError, match=r"1 or 3 channels, .*\. Composite an alpha channel"):
            read_own(archive(tmp_path, images=np.zeros(shape, dtype=np.uint8)))


def test_other_arrays_are_named_as_ignored(tmp_path, caplog):
    read_own(archive(tmp_path, targets=np.arange(6), masks=IMAGES))
    assert (
        "ignored targets, masks; the arrays read are images, labels, label_names, factors, factor_names" in caplog.text
    )


@pytest.mark.parametrize("shape", [(6, 3, 3, 3), (6, 1, 5, 3)])
def test_an_array_whose_channels_may_be_first_or_last_is_refused(tmp_path, shape):
    with pytest.raises(DataError, match=r"own\.npz: images of shape .* may have their channels first or last"):
        read_own(archive(tmp_path, images=np.zeros(shape, dtype=np.uint8)))


def test_an_array_without_a_name_is_told_how_to_get_one(tmp_path):
    np.savez(tmp_path / "own.npz", IMAGES)
    with pytest.raises(DataError, match=r"must hold an array `images`, it holds arr_0\. Write it with numpy\.savez"):
        read_own(tmp_path / "own.npz")


def test_the_colour_that_is_asked_for_is_that_of_an_array(tmp_path):
    colour = np.random.default_rng(1).integers(0, 256, (600, 3, 4, 5), dtype=np.uint8)
    (tmp_path / "colour").mkdir()
    path = archive(tmp_path / "colour", images=colour)
    assert (read_own(path).images == colour).all()
    assert (read_own(path, PictureOptions(colour=Colour.rgb)).images == colour).all()
    for image, grey in zip(colour, read_own(path, PictureOptions(colour=Colour.grey)).images, strict=True):
        assert (grey[0] == np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))).all()
    path = archive(tmp_path)
    assert (read_own(path, PictureOptions(colour=Colour.grey)).images == IMAGES[:, None]).all()
    assert (read_own(path, PictureOptions(colour=Colour.rgb)).images == IMAGES[:, None].repeat(3, axis=1)).all()
