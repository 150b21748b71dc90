"""Reading IDX: what was written is read, and nothing else is."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from vae.data.idx import idx_bytes, idx_shape

from vae.data import FILES, DataError, read_idx

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=8, max_side=5))
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file"


@given(array=ARRAYS)
def test_what_was_written_is_read(place, array):
    place.write_bytes(idx_bytes(array))
    tensor = read_idx(place)
    assert tensor.dtype == torch.uint8
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_the_tensor_can_be_written_and_the_file_does_not_change(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(LABELS)
    tensor = read_idx(path)
    tensor.fill_(9)
    assert path.read_bytes() == LABELS
    assert read_idx(path).tolist() == [5, 0, 4]


@given(array=ARRAYS, cut=st.integers(1, 10**6))
def test_a_truncated_file_is_refused_wherever_it_ends(array, cut):
    data = idx_bytes(array)
    with pytest.raises(DataError, match="it must"):
        idx_shape(data[: -min(cut, len(data))], "it")


@given(array=ARRAYS, tail=st.binary(min_size=1, max_size=9))
def test_trailing_bytes_are_refused(array, tail):
    with pytest.raises(DataError, match="it must hold"):
        idx_shape(idx_bytes(array) + tail, "it")


@given(data=st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda tail: b"\0\0\x08" + tail)))
def test_any_bytes_are_read_whole_or_refused(place, data):
    place.write_bytes(data)
    try:
        tensor = read_idx(place)
    except DataError:
        return
    assert idx_bytes(tensor.numpy()) == data


def header(*lengths: int) -> bytes:
    return struct.pack(f">I{len(lengths)}I", 0x800 + len(lengths), *lengths)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with nothing"),
        (b"\0", "starts with 00\\. "),
        (b"\x1f\x8b\x08\x00", "must be a decompressed IDX file, is gzip"),
        (b"<html>not found</html>", "starts with 3c 68 74 6d"),
        (b"\0\0\x0d\x01" + bytes(8), "starts with 00 00 0d 01"),  # floats
        (b"\0\0\x08\x00", "1 to 8 axes, starts with 00 00 08 00"),
        (b"\0\0\x08\x09" + bytes(99), "1 to 8 axes, starts with 00 00 08 09"),
        (b"\x08\x00\x00\x01" + bytes(4), "starts with 08 00 00 01"),  # little-endian
        (header(3, 2, 2)[:9], "header of 16 bytes, ends after 9"),
        (header(3) + bytes(2), "hold the 3 bytes that its IDX header says, holds 2"),
        (header(3) + bytes(4), "hold the 3 bytes that its IDX header says, holds 4"),
        (header(2, 3) + bytes(5), "hold the 2x3 bytes"),
        (header(0), "hold the 0 bytes"),
        (header(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), "holds 0"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "holds 0"),
    ],
)
def test_a_wrong_file_is_refused_with_what_it_is(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path):
    pipe, loop, broken = tmp_path / "pipe", tmp_path / "loop", tmp_path / "broken"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    broken.symlink_to(tmp_path / "nothing")
    for path in (tmp_path, pipe, loop, broken):
        with pytest.raises(DataError, match=f"{path} must be a regular file"):
            read_idx(path)
    with pytest.raises(DataError, match="nothing is missing"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_idx(tmp_path / ("x" * 300))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that no one can read, root included")
def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    unreadable = tmp_path / "unreadable"
    unreadable.symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match="cannot be read: Input/output error"):
        read_idx(unreadable)


def test_an_error_is_one_line_whatever_the_path():
    assert str(DataError("a\nb\r\nc\u2028d")) == "a b c d"


def test_the_real_files_have_their_shapes(mnist_root):
    folder = mnist_root / "MNIST" / "raw"
    shapes = [tuple(read_idx(folder / file).shape) for file in FILES]
    assert shapes == [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)]
