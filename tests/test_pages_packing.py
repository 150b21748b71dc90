"""Packing: the bytes and numbers that a page stores as text come back as its scripts read them."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vae.pages.packing import as_text, byte_planes, compressed, planes_for


def bytes_of(text: str) -> bytes:
    """As the page reads it: seven bits of each character, and what is left of the last byte is dropped."""
    bits = "".join(f"{ord(character) & 127:07b}" for character in text)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))


def numbers_of(content: bytes, planes: int) -> np.ndarray:
    """As the page reads them: the highest byte of all, then the next; zero lies in the middle."""
    rows = np.frombuffer(content, np.uint8).reshape(planes, -1).astype(np.int64)
    return sum(row * 256 ** (planes - 1 - plane) for plane, row in enumerate(rows)) - 2 ** (8 * planes - 1)


@given(st.binary(max_size=200))
def test_bytes_come_back_from_text(content):
    assert bytes_of(as_text(content)) == content


@given(st.binary(max_size=200))
def test_text_has_no_character_that_html_would_change(content):
    text = as_text(content)
    assert not set("\0\r<") & set(text)
    assert all(ord(character) < 256 for character in text)
    assert text.encode().decode() == text


@given(st.integers(0, 127))
def test_every_seven_bits_can_be_written(code):
    """Each alone, at the start of a byte, with those that HTML would change among them."""
    content = bytes([code << 1])
    assert bytes_of(as_text(content)) == content


def test_text_is_smaller_than_base64():
    content = np.random.default_rng(0).bytes(70_000)
    assert len(as_text(content).encode()) < 1.18 * len(content)


@given(arrays.arrays(np.int32, st.integers(0, 40), elements=st.integers(-(2**31), 2**31 - 1)))
def test_whole_numbers_come_back_from_as_few_planes_as_they_need(numbers):
    planes = planes_for(numbers)
    content = byte_planes(numbers, planes)
    assert len(content) == planes * numbers.size
    assert numbers_of(content, planes).tolist() == numbers.tolist()
    if planes > 1:
        fewer = 2 ** (8 * (planes - 1) - 1)
        assert numbers.min() < -fewer or numbers.max() > fewer - 1


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_the_ends_of_each_range_come_back(planes):
    ends = np.array([-(2 ** (8 * planes - 1)), 0, 2 ** (8 * planes - 1) - 1], dtype=np.int32)
    assert planes_for(ends) == planes
    assert numbers_of(byte_planes(ends, planes), planes).tolist() == ends.tolist()


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_parts_are_compressed_one_after_another(parts):
    assert zlib.decompress(compressed(parts)) == b"".join(parts)
