"""Which files of a folder are pictures, and what their labels are."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

from vae.data.files import DataError
from vae.data.picture_files import picture_files


def touched(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_pictures_of_one_folder_have_no_labels(tmp_path):
    found = picture_files(touched(tmp_path, "b.png", "a.JPG", "c.webp", "factors.csv"))
    assert found.names() == ("a.JPG", "b.png", "c.webp")
    assert (found.labels, found.label_names, found.skipped) == (None, None, Counter())


def test_class_folders_are_labels_in_the_order_of_their_names_at_any_depth(tmp_path):
    found = picture_files(touched(tmp_path, "dog/a.png", "cat/z.png", "cat/old/2019/b.png", "Zebra/a.png"))
    assert found.names() == ("Zebra/a.png", "cat/old/2019/b.png", "cat/z.png", "dog/a.png")
    assert found.label_names == ("Zebra", "cat", "dog")
    assert found.labels.tolist() == [0, 1, 1, 2]


letters = st.text("abAB 1ü-", min_size=1, max_size=3)


@settings(max_examples=25)
@given(st.sets(st.tuples(letters, letters), min_size=1, max_size=8))
def test_the_labels_are_those_of_torchvision(tmp_path_factory, places):
    folder = touched(tmp_path_factory.mktemp("f"), *(f"{first}/{last}.png" for first, last in places))
    theirs = ImageFolder(folder)
    ours = picture_files(folder)
    assert list(ours.label_names) == theirs.classes
    assert dict(zip(map(str, ours.files), ours.labels.tolist(), strict=True)) == dict(theirs.samples)


def test_pictures_beside_class_folders_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"in the folder itself, or in class folders, got a\.png and cat/old/b\.png\. M"
    ):
        picture_files(touched(tmp_path, "a.png", "cat/old/b.png"))


def test_what_is_left_out_is_counted_by_kind(tmp_path):
    touched(tmp_path, "cat/a.png", "cat/notes.txt", "cat/factors.csv", "README", "x.avif", "cat/y.avif", ".DS_Store")
    touched(tmp_path, "cat/.hidden.png", "__MACOSX/cat/._a.png", "empty/x.TXT", ".git/b.png", "._c.png")
    found = picture_files(tmp_path)
    assert found.names() == ("cat/a.png",)
    assert found.label_names == ("cat",)
    assert found.skipped == {
        ".avif": 2,
        ".txt": 2,
        ".csv": 1,
        "file without a suffix": 1,
        "folder without pictures": 2,
        "hidden picture": 1,
    }


def test_links_to_folders_are_followed_and_a_loop_is_refused(tmp_path):
    touched(tmp_path / "elsewhere", "a.png")
    folder = touched(tmp_path / "f", "cat/b.png")
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    (folder / "same dog").symlink_to(tmp_path / "elsewhere")
    assert picture_files(folder).names() == ("cat/b.png", "dog/a.png", "same dog/a.png")
    (folder / "cat" / "all").symlink_to(folder)
    with pytest.raises(DataError, match=r"f/cat/all is a link to a folder that holds it\. Remove the link"):
        picture_files(folder)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    touched(tmp_path, "cat/a.png", "dog/b.png")
    (tmp_path / "dog").chmod(0)
    try:
        with pytest.raises(DataError, match=r"dog cannot be read: Permission denied\. Allow it"):
            picture_files(tmp_path)
    finally:
        (tmp_path / "dog").chmod(0o700)


def test_names_of_any_bytes_are_read(tmp_path):
    touched(tmp_path, b"\xff\xfe/a\nb.png", "ü ☃/\u202e.png".encode(), b"$'\"{}=,/x.png")
    found = picture_files(tmp_path)
    assert {os.fsencode(name) for name in found.label_names} == {b"\xff\xfe", "ü ☃".encode(), b"$'\"{}=,"}
    assert [os.fsencode(name).split(b"/")[0] for name in found.names()] == [
        os.fsencode(found.label_names[label]) for label in found.labels
    ]
    assert found.labels.dtype == np.int64
