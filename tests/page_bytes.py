"""What a page carries, read as its scripts do."""

import json
import re
import zlib
from typing import Any

import numpy as np


def carried(page: str, name: str) -> Any:
    """The plain data with this id."""
    return json.loads(_content(page, name))


def carried_bytes(page: str, name: str) -> bytes:
    """The bytes with this id."""
    return zlib.decompress(bytes_of(_content(page, name)))


def _content(page: str, name: str) -> str:
    found = re.findall(f'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return found[0]


def bytes_of(text: str) -> bytes:
    """As the page reads it: seven bits of each character, and what is left of the last byte is dropped."""
    bits = "".join(f"{ord(character) & 127:07b}" for character in text)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))


def numbers_of(content: bytes, planes: int) -> np.ndarray:
    """As the page reads them: the highest byte of all, then the next; zero lies in the middle."""
    rows = np.frombuffer(content, np.uint8).reshape(planes, -1).astype(np.int64)
    return sum(row * 256 ** (planes - 1 - plane) for plane, row in enumerate(rows)) - 2 ** (8 * planes - 1)
