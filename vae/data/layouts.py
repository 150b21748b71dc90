"""Which axes of an array are those of a model's images: they may be first or last, or left out."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vae.config import Colour
from vae.config.preparation import ImagePreparation
from vae.data.files import DataError
from vae.data.streams import Stream, in_memory


class Layout(NamedTuple):
    """A meaning of an array's axes: its name, whether it is of one image, its channels, and how they come first."""

    name: str
    is_one: bool
    channels: int
    arranged: Callable[[np.ndarray], np.ndarray]


def as_model_images(stream: Stream, preparation: ImagePreparation, source: object) -> Stream:
    """The rows of a stream as images (n, channels, height, width) of the model's height and width.

    Their channels are those of the model, or can become them: one for a model of colours, or three for a model of
    grey images that was trained on colours.

    Args:
        stream: of any shape that fits the model's images in only one way.
        preparation: of the model.
        source: the file or argument, which errors name.

    Raises:
        DataError: the shape fits in no way, or in several.
    """
    image = preparation.image
    found = [layout for layout in layouts_of(stream.shape, image) if _fits(layout.channels, preparation)]
    if not found:
        raise DataError(f"{source}: {_refusal(stream.shape, preparation)}")
    if len(found) > 1 and any(layout.channels > 1 for layout in found):
        raise DataError(
            f"{source}: the shape {stream.shape} may mean {' or '.join(layout.name for layout in found)}. "
            f"Give the shape (n, {found[-1].channels}, {image[1]}, {image[2]})"
        )
    layout = found[0]
    if layout.is_one:
        stream = in_memory(np.concatenate(list(stream.chunks(max(1, stream.shape[0]))))[None])
    if stream.shape[0] == 0:
        raise DataError(f"{source}: there must be an image, got the shape {stream.shape}. Give one or more")
    shape = (stream.shape[0], layout.channels, *image[1:])
    given = stream.chunks
    return replace(stream, shape=shape, chunks=lambda size: map(layout.arranged, given(size)))


def layouts_of(shape: tuple[int, ...], image: tuple[int, int, int]) -> list[Layout]:
    """The meanings of a shape with which images have the height and width of `image`."""
    _, height, width = image
    found = []
    match shape:
        case (h, w) if (h, w) == (height, width):
            found = [Layout("one grey image", True, 1, lambda rows: rows[:, None])]
        case (a, b, c):
            if (b, c) == (height, width):
                found.append(Layout(f"{a} grey images", False, 1, lambda rows: rows[:, None]))
                found.append(Layout(f"one image of {a} channels", True, a, lambda rows: rows))
            if (a, b) == (height, width):
                found.append(Layout(f"one image of {c} channels", True, c, lambda rows: rows.transpose(0, 3, 1, 2)))
        case (_, a, b, c):
            if (b, c) == (height, width):
                found.append(Layout(f"{a} channels, first", False, a, lambda rows: rows))
            if (a, b) == (height, width):
                found.append(Layout(f"{c} channels, last", False, c, lambda rows: rows.transpose(0, 3, 1, 2)))
    return found


def _fits(channels: int, preparation: ImagePreparation) -> bool:
    wanted = preparation.image[0]
    becomes_grey = channels == 3 and wanted == 1 and preparation.colour is Colour.grey
    return channels == wanted or (channels == 1 and wanted == 3) or becomes_grey


def _refusal(shape: tuple[int, ...], preparation: ImagePreparation) -> str:
    channels, height, width = preparation.image
    if any(layout.channels == 3 for layout in layouts_of(shape, preparation.image)) and channels == 1:
        return f"the model takes grey images, got images in colour, of shape {shape}. Convert them to grey"
    plain = f"(n, {height}, {width}), " if channels in (1, 3) else ""
    return (
        f"images must have the shape {plain}(n, {channels}, {height}, {width}) or (n, {height}, {width}, {channels}), "
        f"got {shape}. Scale or crop them"
    )
