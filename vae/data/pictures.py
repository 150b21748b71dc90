"""One picture file -> its pixels as a viewer shows them: upright, opaque, 8 bits, grey or sRGB, in a given size.

The steps are: decode, turn, scale to 8 bits, convert to sRGB, composite on the background, resize.

Pillow decodes the file. Orientation, transparency, 16 bits and colour profiles, which it leaves to its caller, are
handled here. A PNG's own gamma and chromaticities are not applied.

Two kinds of damage are not noticed, because Pillow does not report them: changed data inside a JPEG, and values above
the maximum in a PGM or PPM file.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from vae.config.data import Background, Colour, Resize
from vae.data.files import DataError, reason
from vae.data.resizing import draft_scale, resized

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")  # no others: for EPS, Pillow would start a program

GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # one channel with more than 8 bits
PROFILES_OF = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # the colour space of a profile that fits the mode
PNG_DEPTH, PNG_COLOUR_TYPE = 24, 25  # the positions of these bytes (PNG specification, 11.2.2 IHDR)
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x y dx dy
SIXTEEN_BITS = 65_535  # the largest value

# Tags of TIFF 6.0, sections 8 and 19. ImageDepth is an extension by SGI.
ORIENTATION = 274
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
IMAGE_DEPTH = 32_997
WHITE_IS_ZERO, IN_PLANES = 0, 2  # values of PHOTOMETRIC and PLANAR
UNSIGNED, SIGNED, FLOATS = 1, 2, 3  # values of SAMPLE_FORMAT
TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # channels of each PHOTOMETRIC, without extra ones
TIFF_GREYS = {UNSIGNED: (1, 2, 4, 8, 16, 32), SIGNED: (16, 32), FLOATS: (32,)}  # bits of one channel that are read


@dataclass(frozen=True)
class PictureOptions:
    """What pictures become.

    Attributes:
        background: the colour behind transparent pixels, and beside pictures that are fitted.
        colour: how many channels the pictures of a folder get.
        size: the height and width. None: those of the file.
        resize: how a picture is brought to `size`.
        levels: the stored values that become 0 and 1, of grey pictures with more than 8 bits. None: 0 and the largest
            value of the file's type. With levels, other pictures are refused.
    """

    background: Background = Background.black
    colour: Colour = Colour.auto
    size: tuple[int, int] | None = None
    resize: Resize = Resize.fit
    levels: tuple[float, float] | None = None

    @property
    def behind(self) -> int:
        """The shade of the background, from 0 to 255."""
        return 255 if self.background is Background.white else 0


@dataclass
class Remarks:
    """What is to be said of a picture.

    Attributes:
        stated: what was done to the pixels.
        warned: warnings.
        used: the least and the largest stored value, and the largest of the file's type; of more than 8 bits only.
        clamped: the number of pixels whose stored values were outside `PictureOptions.levels`.
    """

    stated: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    used: tuple[float, float, float] | None = None
    clamped: int = 0


@dataclass(frozen=True)
class DecodedPicture:
    """A picture that has been read.

    Attributes:
        pixels: one channel if the three are equal in every pixel.
        stored_grey: whether the file has no colour channels.
        remarks: for the log.
    """

    pixels: UInt8[np.ndarray, "channels height width"]
    stored_grey: bool
    remarks: Remarks


def decode_picture(data: bytes, options: PictureOptions, name: object) -> DecodedPicture:
    """The picture in the bytes of a file. Several threads may decode pictures.

    Args:
        data: the content of a file in one of FORMATS, whatever its suffix is.
        options: what the picture becomes.
        name: of the picture, for the errors.

    Raises:
        DataError: it is not a picture that can be read without loss or doubt.
    """
    remarks = Remarks()
    with caught_warnings() as caught:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                decoded, grey = decode(opened, data, options, remarks)
        except (MemoryError, DataError):
            raise
        except Exception as error:  # Pillow raises many types for a damaged file
            wrong = reason(error) if str(error) else "it is damaged"
            if isinstance(error, UnidentifiedImageError):
                wrong = f"Pillow cannot read it as any of {', '.join(FORMATS)}" if data else "it is empty"
            raise DataError(f"{name} must be a picture: {wrong}. Remove or replace it") from None
    if options.levels is not None and remarks.used is None:
        raise DataError(
            f"{name} has 8 bits or colours, but {shown_range(*options.levels)} is for grey pictures of more bits. "
            "Remove the picture, or leave data.range out"
        )
    remarks.warned += [f"are not as Pillow expects ({' '.join(text.split())[:200]})" for text in caught]
    remarks.warned = list(dict.fromkeys(remarks.warned))
    pixels = channels_first(decoded)
    if options.size is not None:
        pixels = resized(pixels, options.size, options.resize, options.behind)
    return DecodedPicture(pixels, grey, remarks)


class ThreadWarnings:
    """Python's warnings, by thread: `warnings.catch_warnings` alone gives those of all threads to one of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.own = threading.local()
        self.filters = warnings.catch_warnings()

    def begin(self) -> list[str]:
        """Collect the warnings of this thread in the list that is returned."""
        self.own.texts = []
        with self.lock:
            self.threads += 1
            if self.threads == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("always")
                warnings.simplefilter("ignore", DeprecationWarning)  # they are about this code, not about the picture
                shown = warnings.showwarning

                def showwarning(message: Warning | str, *others: Any, **more: Any) -> None:
                    texts = getattr(self.own, "texts", None)
                    if texts is None:
                        shown(message, *others, **more)
                    else:
                        texts.append(str(message))

                warnings.showwarning = showwarning
        texts: list[str] = self.own.texts
        return texts

    def end(self) -> None:
        """Collect no more in this thread."""
        self.own.texts = None
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                self.filters.__exit__(None, None, None)


THREAD_WARNINGS = ThreadWarnings()


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """The texts of the warnings of this thread, without those about deprecated code."""
    texts = THREAD_WARNINGS.begin()
    try:
        yield texts
    finally:
        THREAD_WARNINGS.end()


def decode(
    opened: Image.Image, data: bytes, options: PictureOptions, remarks: Remarks
) -> tuple[UInt8[np.ndarray, "height width *channels"], bool]:
    """The pixels, and whether the file has no colour channels. A large JPEG may be decoded in a smaller size.

    Raises:
        DataError: `options.levels` are given, and the picture has 8 bits.
        ValueError: the picture has an unusual layout, or is damaged.
        Exception: Pillow raises many types for a damaged file.
    """
    stated, warned = remarks.stated, remarks.warned
    if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":  # the first frame of an MPO is the photograph
        warned.append("have several frames: the first is read")
    tags: Mapping[int, Any] = getattr(opened, "tag_v2", {})
    white = white_of_header(opened)
    if options.levels is not None and white is not None:
        raise ValueError(f"its header says that {white} is white, so that becomes 1. Leave data.range out for it")
    if opened.format == "TIFF":
        check_tags(tags, warned)
    else:  # a TIFF is loaded below: newer versions of Pillow turn it and remove its orientation
        if options.size is not None:
            drafted(opened, options.size)
        opened.load()
    orientation = orientation_of(opened, warned)
    opened.load()
    if opened.format == "PNG":
        refuse_missing_rows(data)
    if opened.mode == "P":
        refuse_indices_beyond_palette(opened)
    profile = opened.info.get("icc_profile")
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    picture = opened
    if orientation in range(2, 9):
        picture = ImageOps.exif_transpose(opened)
        stated.append("were turned upright, as their EXIF orientation says")
    if picture.mode in WIDE_MODES:
        if profile:
            warned.append("have a colour profile that is ignored, because they have more than 8 bits")
        colour = shades(picture, options.levels, remarks, inverted=inverted)
        if white is not None:
            remarks.used = None
        key = picture.info.get("transparency")
        alpha = None if key is None else np.where(np.asarray(picture) == key, 0, 255).astype(np.uint8)
        return composite(colour, alpha, options, stated), True
    stored_grey = picture.mode in GREY_MODES or (opened.format == "PNG" and data[PNG_COLOUR_TYPE] in (0, 4))
    alpha = None
    if picture.has_transparency_data:
        if opened.format == "PNG":
            scale_transparent_colour(picture, data[PNG_DEPTH])
        picture = picture.convert("LA" if picture.mode in GREY_MODES else "RGBA")
        alpha = np.asarray(picture.getchannel("A"))
    if picture.mode in GREY_MODES:
        picture = picture.convert("L")
    elif picture.mode != "CMYK":
        picture = picture.convert("RGB")
    if profile:
        picture = in_srgb(picture, profile, stated, warned)
    colour = np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)
    return composite(colour, alpha, options, stated), stored_grey


def drafted(opened: Image.Image, size: tuple[int, int]) -> None:
    """Let a JPEG that is much larger than it will be shown be decoded in a smaller size."""
    if opened.format in ("JPEG", "MPO"):
        turned = orientation_of(opened, []) in range(5, 9)
        scale = draft_scale((opened.height, opened.width), (size[1], size[0]) if turned else size)
        opened.draft(None, (opened.width // scale, opened.height // scale))


def orientation_of(opened: Image.Image, warned: list[str]) -> int:
    """The orientation (TIFF 6.0, tag 274): 1 is upright, 2 to 8 are turned or mirrored, other values are ignored."""
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    except Exception as error:  # Pillow raises many types for a damaged block
        warned.append(f"have EXIF data that cannot be read ({reason(error)}): they are not turned")
        return 1
    return orientation if isinstance(orientation, int) else 1


def check_tags(tags: Mapping[int, Any], warned: list[str]) -> None:
    """Refuse a TIFF with a layout that Pillow reads wrongly, or that is not tested."""
    bits = tags.get(BITS_PER_SAMPLE, (1,))
    formats = tags.get(SAMPLE_FORMAT, (UNSIGNED,))
    samples, extra = tags.get(SAMPLES_PER_PIXEL, 1), tags.get(EXTRA_SAMPLES, ())
    colours = TIFF_COLOURS.get(tags.get(PHOTOMETRIC, 0))
    depth = tags.get(IMAGE_DEPTH, 1)
    if depth != 1:
        raise ValueError(f"it has {depth} frames (ImageDepth), and must have one")
    known = TIFF_GREYS if samples == 1 else {UNSIGNED: (8, 16)}
    if len(set(bits)) > 1 or len(set(formats)) > 1 or bits[0] not in known.get(formats[0], ()):
        kind = {UNSIGNED: "unsigned", SIGNED: "signed", FLOATS: "float"}.get(formats[0], "unknown")
        raise ValueError(
            f"channels of {', '.join(map(str, bits))} bits, {kind}, are not supported; "
            "save it with 8 or 16 bits, unsigned"
        )
    if tags.get(PLANAR, 1) == IN_PLANES and samples > 1 and bits[0] == 16:
        raise ValueError(
            "16 bits in planes (PlanarConfiguration 2) are not supported; save it as contiguous, or as PNG"
        )
    if extra == (0,) and colours == 3 and samples == 4:
        warned.append("have a fourth channel that is not marked as alpha: it is left out")
    elif colours is None or samples != colours + len(extra) or extra not in ((), (1,), (2,)):
        raise ValueError(
            f"it has {samples} channels, and some have no known meaning (ExtraSamples); "
            "save it as grey or RGB, with one alpha channel or none"
        )


def white_of_header(opened: Image.Image) -> int | None:
    """The value of white that a PGM with more than 8 bits states, if it is not 65 535. Pillow scales by it."""
    arguments = opened.tile[0][3] if opened.format == "PPM" and isinstance(opened, ImageFile.ImageFile) else None
    white = arguments[1] if isinstance(arguments, tuple) else None
    return white if isinstance(white, int) and 255 < white < SIXTEEN_BITS else None


def refuse_missing_rows(data: bytes) -> None:
    """Refuse a PNG whose compressed data end before the last row: Pillow would leave the missing rows black.

    The data are decompressed a second time, and only counted.
    """
    if data[12:16] != b"IHDR":
        raise ValueError("its header does not come first")
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    bits, needed = depth * PNG_CHANNELS[colour_type], 0
    for x, y, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        needed += rows * (1 + -(-columns * bits // 8)) if columns else 0  # each row has a byte for its filter
    parts, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + size])
        elif parts:
            break  # Pillow ignores later IDAT chunks
        at += 12 + size
    found = len(zlib.decompressobj().decompress(b"".join(parts), needed))
    if found < needed:
        raise ValueError(f"it is cut short: its pixels take {needed} bytes, it holds {found}")


def refuse_indices_beyond_palette(picture: Image.Image) -> None:
    """Refuse a picture with pixels that are not in its palette: Pillow would make them black."""
    colours, largest = len(picture.getpalette() or ()) // 3, int(np.asarray(picture).max())
    if largest >= colours:
        raise ValueError(f"its palette has {colours} colours, and a pixel the colour of index {largest}")


def shades(
    picture: Image.Image, levels: tuple[float, float] | None, remarks: Remarks, *, inverted: bool
) -> UInt8[np.ndarray, "height width"]:
    """The grey values of a picture in one of WIDE_MODES: whole numbers from 0 to 65 535, or floats from 0 to 1.

    With `levels`, the stored values may be any, and those outside are clamped. If `inverted`, 0 is white.
    """
    values = np.asarray(picture).astype(np.float64)
    low, high, largest = float(values.min()), float(values.max()), 1.0 if picture.mode == "F" else float(SIXTEEN_BITS)
    finite = bool(np.isfinite([low, high]).all())
    if levels is not None:
        if not finite:
            raise ValueError(f"its values must be finite, these go from {low:g} to {high:g}")
        remarks.clamped = int(((values < levels[0]) | (values > levels[1])).sum())
        remarks.stated.append(f"have more than 8 bits, scaled to 8 from {shown_range(*levels)}")
        values = ((values - levels[0]) / (levels[1] - levels[0])).clip(0, 1)
    elif not (low >= 0 and high <= largest):  # NaN, too
        kind = "floats" if picture.mode == "F" else "whole numbers"
        fix = f". {shown_range(low, high)} scales them" if finite and low < high else ""
        raise ValueError(f"{kind} must lie in [0, {largest:.0f}], these go from {low:.10g} to {high:.10g}{fix}")
    else:
        if largest > 1:
            remarks.stated.append("have 16 bits, scaled to 8 (v / 257)")
        values /= largest
    remarks.used = low, high, largest
    return np.rint(255 * (1 - values if inverted else values)).astype(np.uint8)


def shown_range(low: float, high: float) -> str:
    """The option with these levels, as it is written on a command line."""
    return f"data.range=[{low:.10g},{high:.10g}]"


def scale_transparent_colour(picture: Image.Image, depth: int) -> None:
    """Scale the transparent colour of a PNG to 8 bits, because Pillow keeps the depth of the file."""
    key = picture.info.get("transparency")
    if picture.mode == "L" and isinstance(key, int) and depth in (2, 4):
        picture.info["transparency"] = key * 255 // (2**depth - 1)
    if picture.mode == "RGB" and depth == 16:
        raise ValueError("a transparent colour of 16 bits is not supported; save it with an alpha channel")


def in_srgb(picture: Image.Image, profile: bytes, stated: list[str], warned: list[str]) -> Image.Image:
    """The picture, of mode L, RGB or CMYK, converted from its colour profile to sRGB. A grey picture stays grey."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        space = source.profile.xcolor_space.strip()
        if space != PROFILES_OF[picture.mode]:
            warned.append(f"have a colour profile that is ignored: it is for {space}, they are {picture.mode}")
            return picture
        screen = ImageCms.createProfile("sRGB")
        exact = ImageCms.Flags.NOOPTIMIZE  # without it, dark greys can be wrong by ten shades
        converted = ImageCms.profileToProfile(picture, source, screen, outputMode="RGB", flags=exact)
        assert converted is not None  # it would be None with inPlace=True
    except (OSError, ImageCms.PyCMSError, ImportError) as error:
        warned.append(f"have a colour profile that cannot be used ({reason(error)}): they are read as sRGB")
        return picture
    stated.append("were converted from their colour profile to sRGB")
    grey = picture.mode == "L" or (picture.mode == "RGB" and is_grey(np.asarray(picture)))
    return converted.convert("L") if grey else converted


def composite(
    colour: UInt8[np.ndarray, "height width *channels"],
    alpha: UInt8[np.ndarray, "height width"] | None,
    options: PictureOptions,
    stated: list[str],
) -> UInt8[np.ndarray, "height width *channels"]:
    """The pixels over the background: alpha * colour + (1 - alpha) * background, rounded."""
    if alpha is None or alpha.min() == 255:
        return colour
    stated.append(f"have transparent pixels, composited on {options.background.value} (data.background)")
    opaque = alpha.astype(np.uint32).reshape(alpha.shape + (1,) * (colour.ndim - 2))
    return np.asarray((opaque * colour + (255 - opaque) * options.behind + 127) // 255, dtype=np.uint8)


def is_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
    """Whether the three channels are equal in every pixel."""
    return bool((pixels == pixels[..., :1]).all())


def channels_first(
    pixels: UInt8[np.ndarray, "height width *channels"],
) -> UInt8[np.ndarray, "channels height width"]:
    """The pixels with channels first. There is one channel if the three are equal."""
    if pixels.ndim == 2:
        return pixels[None]
    if is_grey(pixels):
        return np.ascontiguousarray(pixels[None, ..., 0])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def luma(pixels: UInt8[np.ndarray, "channels height width"]) -> UInt8[np.ndarray, "1 height width"]:
    """The luma of an RGB image: .299 R + .587 G + .114 B (ITU-R BT.601). A grey image is returned as it is."""
    if len(pixels) == 1:
        return pixels
    return np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"))[None]
