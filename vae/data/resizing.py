"""One picture to a given height and width.

Pillow's bilinear filter is used. When a picture becomes smaller, its triangle covers all pixels that a new pixel
stands for, so fine patterns are averaged instead of aliased. It is the default of torchvision. Sharper filters, as
bicubic and Lanczos, draw bright and dark seams along edges; here no value is above or below those of the picture.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vae.config.data import Resize

FILTER = Image.Resampling.BILINEAR
DRAFT = 3  # a JPEG may be decoded at an eighth to a half of its size if that is still this many times the new size


def resized(
    pixels: UInt8[np.ndarray, "channels height width"], size: tuple[int, int], how: Resize, behind: int
) -> UInt8[np.ndarray, "channels new_height new_width"]:
    """The picture in a new height and width. A picture that has them already is returned as it is.

    Args:
        pixels: one or three channels.
        size: the new height and width.
        how: `fit` shows the whole picture in the middle, with `behind` beside it. `crop` shows the largest part in
            the middle that has the new proportions, in whole pixels. `stretch` changes the proportions.
        behind: the value beside a picture that is fitted, from 0 to 255.

    Example:
        >>> resized(np.full((1, 2, 4), 9, dtype=np.uint8), (2, 2), Resize.fit, 0).tolist()
        [[[9, 9], [0, 0]]]
        >>> resized(np.arange(8, dtype=np.uint8).reshape(1, 2, 4), (2, 2), Resize.crop, 0).tolist()
        [[[1, 2], [5, 6]]]
    """
    (old_height, old_width), (height, width) = pixels.shape[1:], size
    if (old_height, old_width) == (height, width):
        return pixels
    if how is Resize.crop:
        part_height = nearest(old_width * height, width, old_height)
        part_width = nearest(old_height * width, height, old_width)
        top, left = (old_height - part_height) // 2, (old_width - part_width) // 2
        pixels = pixels[:, top : top + part_height, left : left + part_width]
    if how is not Resize.fit:
        return scaled(pixels, height, width)
    part = scaled(
        pixels, nearest(old_height * width, old_width, height), nearest(old_width * height, old_height, width)
    )
    top, left = (height - part.shape[1]) // 2, (width - part.shape[2]) // 2
    canvas = np.full((len(pixels), height, width), behind, dtype=np.uint8)
    canvas[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    return canvas


def scaled(
    pixels: UInt8[np.ndarray, "channels height width"], height: int, width: int
) -> UInt8[np.ndarray, "channels new_height new_width"]:
    """The whole picture in a new height and width."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), FILTER) for plane in pixels]
    return np.stack([np.asarray(plane) for plane in planes])


def nearest(numerator: int, denominator: int, most: int) -> int:
    """The whole number nearest to a fraction, from 1 to `most`."""
    return min(max((2 * numerator + denominator) // (2 * denominator), 1), most)


def draft_size(old: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The least height and width at which a JPEG of the height and width `old` may be decoded, to be resized.

    A JPEG stores blocks of 8x8 pixels as frequencies. It is decoded ten times as fast if its blocks become 1x1, 2x2 or
    4x4. That is an average over pixels, as the filter makes it, and differs by single shades.
    """
    ratio = min(DRAFT * max(size[0] / old[0], size[1] / old[1]), 1.0)
    return int(np.ceil(old[0] * ratio)), int(np.ceil(old[1] * ratio))
