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
DRAFT = 3  # a JPEG may be decoded smaller if that is still this many times the new size


def resized(
    pixels: UInt8[np.ndarray, "channels height width"], size: tuple[int, int], how: Resize, behind: int
) -> UInt8[np.ndarray, "channels new_height new_width"]:
    """The picture in a new height and width. A picture that has them already is returned as it is.

    Args:
        pixels: one or three channels.
        size: the new height and width.
        how: `fit` shows the whole picture in the middle, with `behind` beside it. `crop` shows the largest part in
            the middle that has the new proportions. `stretch` changes the proportions.
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
    if how is Resize.stretch:
        return scaled(pixels, size, (0.0, 0.0, float(old_height), float(old_width)))
    if how is Resize.crop:
        if height <= old_height and width <= old_width and (height == old_height or width == old_width):
            top, left = (old_height - height) // 2, (old_width - width) // 2  # whole pixels: nothing is scaled
            return pixels[:, top : top + height, left : left + width]
        part_height, part_width = (
            min(old_height, old_width * height / width),
            min(old_width, old_height * width / height),
        )
        above, beside = (old_height - part_height) / 2, (old_width - part_width) / 2
        return scaled(pixels, size, (above, beside, above + part_height, beside + part_width))
    shown = nearest(old_height * width, old_width, height), nearest(old_width * height, old_height, width)
    top, left = (height - shown[0]) // 2, (width - shown[1]) // 2
    canvas = np.full((len(pixels), height, width), behind, dtype=np.uint8)
    part = scaled(pixels, shown, (0.0, 0.0, float(old_height), float(old_width)))
    canvas[:, top : top + shown[0], left : left + shown[1]] = part
    return canvas


def scaled(
    pixels: UInt8[np.ndarray, "channels height width"],
    size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> UInt8[np.ndarray, "channels new_height new_width"]:
    """A part of a picture in a new height and width. `box` holds its top, left, bottom and right."""
    top, left, bottom, right = box
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(size[::-1], FILTER, (left, top, right, bottom))
        for plane in pixels
    ]
    return np.stack([np.asarray(plane) for plane in planes])


def nearest(numerator: int, denominator: int, most: int) -> int:
    """The whole number nearest to a fraction, from 1 to `most`."""
    return min(max((2 * numerator + denominator) // (2 * denominator), 1), most)


def draft_scale(old: tuple[int, int], size: tuple[int, int]) -> int:
    """By how much a JPEG of the height and width `old` may be decoded smaller, before it is resized: 8, 4, 2 or 1.

    A JPEG stores blocks of 8x8 pixels as frequencies. It is decoded ten times as fast if its blocks become 1x1, 2x2 or
    4x4. These are averages over pixels, as the filter makes them, and a photograph differs by less than one shade in
    the mean. The blocks must fill the picture, because a part of a block would be shown as large as a whole one.

    Example:
        >>> [draft_scale((height, 4000), (64, 64)) for height in (3000, 300, 3001)]
        [8, 1, 1]
    """
    most = min(old[0] / size[0], old[1] / size[1]) / DRAFT
    return next((scale for scale in (8, 4, 2) if scale <= most and old[0] % scale == old[1] % scale == 0), 1)
