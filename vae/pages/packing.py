"""Numbers as text in few characters: weights as whole numbers, compressed, seven bits a character."""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

ESCAPED = (0, 13, 60)  # NUL, carriage return and <: HTML would replace them, or end the text


def byte_planes(numbers: Int32[np.ndarray, "..."], planes: int) -> bytes:
    """Whole numbers as bytes: the highest byte of all, then the next. High bytes are alike, and can be compressed.

    Args:
        numbers: from -2^(8 planes - 1) to 2^(8 planes - 1) - 1.
        planes: how many bytes a number has.

    Example:
        >>> byte_planes(np.array([1, -2], dtype=np.int32), 2).hex()
        '807f01fe'
    """
    offset = numbers.ravel().astype(np.int64) + 2 ** (8 * planes - 1)
    return b"".join(((offset >> (8 * plane)) & 255).astype(np.uint8).tobytes() for plane in reversed(range(planes)))


def planes_for(numbers: Int32[np.ndarray, "..."]) -> int:
    """How many bytes such whole numbers need: 1, 2, 3 or 4."""
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    return next(planes for planes in (1, 2, 3, 4) if max(-low, high + 1) <= 2 ** (8 * planes - 1))


def compressed(parts: Sequence[bytes]) -> bytes:
    """The parts one after another, in zlib's format."""
    return zlib.compress(b"".join(parts), 9)


def as_text(content: bytes) -> str:
    """Bytes as text for an element `script`: each character holds seven bits, its code modulo 128.

    The three characters that HTML would change are written as their code + 128. In UTF-8 a byte takes 1.17 bytes of
    the file, where base64 takes 1.33.

    Example:
        >>> [ord(character) for character in as_text(bytes([0, 255]))]
        [128, 63, 96]
    """
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    rows = np.pad(bits, (0, -len(bits) % 7)).reshape(-1, 7)
    codes = rows @ (1 << np.arange(6, -1, -1)).astype(np.uint32)
    codes[np.isin(codes, ESCAPED)] += 128
    return codes.astype("<u4").tobytes().decode("utf-32-le")
