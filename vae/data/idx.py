"""IDX, the format of MNIST: a magic number, the length of each axis, then one byte a pixel or label.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "File formats".
"""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vae.data.files import DataError, read_bytes

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTES = b"\x00\x00\x08"
MOST_AXES = 8


def read_idx(path: Path) -> UInt8[Tensor, "..."]:
    """The array in an IDX file of unsigned bytes, as a tensor with memory of its own.

    Raises:
        DataError: the file cannot be read, or its header or its size is wrong.
    """
    data = read_bytes(path)
    shape = idx_shape(data, path)
    array = np.frombuffer(data, dtype=np.uint8, offset=_header_bytes(len(shape)))
    return torch.from_numpy(array.reshape(shape).copy())


def idx_shape(data: bytes, source: object) -> tuple[int, ...]:
    """The lengths of the axes, checked against the number of bytes. `source` is named in the error.

    Raises:
        DataError: `data` is not a whole IDX file of unsigned bytes, or goes on after its end.

    Example:
        >>> idx_shape(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "two labels")
        (2,)
    """
    if data.startswith(GZIP_MAGIC):
        raise DataError(f"{source} must be a decompressed IDX file, is gzip. Name it .gz")
    if data[:3] != UNSIGNED_BYTES or not 1 <= int.from_bytes(data[3:4]) <= MOST_AXES:
        start = data[:4].hex(" ") or "nothing"
        raise DataError(
            f"{source} must be an IDX file, which starts with 00 00 08 and 1 to {MOST_AXES} axes, "
            f"starts with {start}. Replace it"
        )
    axes = data[3]
    header = _header_bytes(axes)
    if len(data) < header:
        raise DataError(f"{source} must have an IDX header of {header} bytes, ends after {len(data)}. Replace it")
    shape = struct.unpack(f">{axes}I", data[4:header])
    # No axis of length 0: then the product below bounds every length, and the array can exist.
    if 0 in shape or len(data) != header + math.prod(shape):
        lengths = "x".join(map(str, shape))
        raise DataError(
            f"{source} must hold the {lengths} bytes that its IDX header says, holds {len(data) - header}. Replace it"
        )
    return shape


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX file that holds `array`, of unsigned bytes.

    Example:
        >>> idx_bytes(np.array([7, 9], dtype=np.uint8)).hex(" ")
        '00 00 08 01 00 00 00 02 07 09'
    """
    header = UNSIGNED_BYTES + struct.pack(f">B{array.ndim}I", array.ndim, *array.shape)
    return header + array.tobytes()


def _header_bytes(axes: int) -> int:
    return 4 + 4 * axes
