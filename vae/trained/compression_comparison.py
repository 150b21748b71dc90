"""The same binary images by usual formats, to compare: gzip, PNG and lossless WebP, each by its best settings."""

import gzip
import io
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

LARGEST_WEBP_SIDE = 16383  # pixels, by the format


class Size(NamedTuple):
    """The bytes that all images take in a format."""

    name: str
    bytes: int


def usual_sizes(x: Tensor) -> list[Size]:
    """The sizes of binary images by other formats.

    gzip has level 9 and takes the smaller of bits and bytes. A PNG has a bit for each grey pixel. Pictures are encoded
    one by one, and all in one picture, in the smaller of a square and a column. WebP has method 6 and quality 100.

    Args:
        x: (images, channels, height, width), 0 or 1. Unless there are three channels, each is a picture of its own.
    """
    pixels = x.bool().numpy()
    pictures = pixels.transpose(0, 2, 3, 1) if x.shape[1] == 3 else pixels.reshape(-1, *x.shape[2:], 1)
    pictures = 255 * pictures.astype(np.uint8)
    columns = (math.ceil(math.sqrt(len(pictures))), 1)
    tiled = [_tiled(pictures, count) for count in columns]
    for_webp = [picture for picture in tiled if max(picture.shape) <= LARGEST_WEBP_SIDE]
    sizes = [
        Size("gzip", min(_gzip(np.packbits(pixels)), _gzip(pixels))),
        Size("PNG, all in one", min(map(_png, tiled))),
        Size("PNG, one by one", sum(map(_png, pictures))),
    ]
    if for_webp:
        sizes.append(Size("WebP, all in one", min(map(_webp, for_webp))))
    return [*sizes, Size("WebP, one by one", sum(map(_webp, pictures)))]


def _tiled(pictures: UInt8[np.ndarray, "images height width channels"], columns: int) -> np.ndarray:
    """One picture of all, row by row. The rest of the last row is black."""
    images, height, width, channels = pictures.shape
    rows = -(-images // columns)
    padded = np.zeros((rows * columns, height, width, channels), np.uint8)
    padded[:images] = pictures
    grid = padded.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels) if pixels.shape[2] == 3 else Image.fromarray(pixels[..., 0])


def _gzip(array: np.ndarray) -> int:
    return len(gzip.compress(array.tobytes(), 9, mtime=0))


def _png(pixels: np.ndarray) -> int:
    picture, file = _picture(pixels), io.BytesIO()
    (picture if pixels.shape[2] == 3 else picture.convert("1")).save(file, "PNG", optimize=True)
    return file.tell()


def _webp(pixels: np.ndarray) -> int:
    file = io.BytesIO()
    _picture(pixels).save(file, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return file.tell()
