"""One picture file -> its pixels as a viewer shows them: upright, opaque, 8 bits, grey or sRGB.

Pillow decodes the file. Orientation, transparency, 16 bits and colour profiles, which it leaves to its caller, are
handled here. A PNG's own gamma and chromaticities are not applied.

Two kinds of damage are not noticed, because Pillow does not report them: changed data inside a JPEG, and values above
the maximum in a PGM or PPM file.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vae.config import Background
from vae.data.files import DataError, read_bytes, reason

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")  # no others: for EPS, Pillow would start a program

GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # one channel with more than 8 bits
PROFILES_OF = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # the colour space of a profile that fits the mode
PNG_DEPTH, PNG_COLOUR_TYPE = 24, 25  # the positions of these bytes (PNG specification, 11.2.2 IHDR)
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x y dx dy
TWELVE_BITS, SIXTEEN_BITS = 4_095, 65_535  # the largest values

# Tags of TIFF 6.0, sections 8 and 19. ImageDepth is an extension by SGI.
ORIENTATION = 274
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
IMAGE_DEPTH = 32_997
WHITE_IS_ZERO, IN_PLANES = 0, 2  # values of PHOTOMETRIC and PLANAR
UNSIGNED, SIGNED, FLOATS = 1, 2, 3  # values of SAMPLE_FORMAT
TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # channels of each PHOTOMETRIC, without extra ones
TIFF_GREYS = {UNSIGNED: (1, 2, 4, 8, 16, 32), SIGNED: (16, 32), FLOATS: (32,)}  # bits of one channel that are read


@dataclass(frozen=True)
class DecodedPicture:
    """A picture that has been read.

    Attributes:
        pixels: one channel if the three are equal in every pixel.
        stored_grey: whether the file has no colour channels.
        stated: remarks for the log on what was done to the pixels.
        warned: warnings for the log.
    """

    pixels: UInt8[np.ndarray, "channels height width"]
    stored_grey: bool
    stated: tuple[str, ...]
    warned: tuple[str, ...]


def read_picture(file: Path, background: Background) -> DecodedPicture:
    """The picture in a file.

    Args:
        file: a file in one of FORMATS, whatever its suffix is.
        background: the colour behind transparent pixels.

    Raises:
        DataError: the file is not regular, or is not a picture that can be read without loss or doubt.
    """
    data = read_bytes(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # they are about this code, not about the picture
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                pixels, grey, stated, warned = decode(opened, data, background)
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises many types for a damaged file
            wrong = reason(error) if str(error) else "it is damaged"
            if isinstance(error, UnidentifiedImageError):
                wrong = f"Pillow cannot read it as any of {', '.join(FORMATS)}"
            raise DataError(f"{file} must be a picture: {wrong}. Remove or replace it") from None
    warned += [f"are not as Pillow expects ({' '.join(str(w.message).split())[:200]})" for w in caught]
    return DecodedPicture(channels_first(pixels), grey, tuple(stated), tuple(dict.fromkeys(warned)))


def decode(
    opened: Image.Image, data: bytes, background: Background
) -> tuple[UInt8[np.ndarray, "height width *channels"], bool, list[str], list[str]]:
    """The pixels, whether the file has no colour channels, the remarks and the warnings.

    Raises:
        ValueError: the picture has several frames or an unusual layout, or is damaged.
        Exception: Pillow raises many types for a damaged file.
    """
    stated: list[str] = []
    warned: list[str] = []
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # the first frame of an MPO is the photograph
        raise ValueError(f"it has {frames} frames, and must have one")
    tags: Mapping[int, Any] = getattr(opened, "tag_v2", {})
    if opened.format == "TIFF":
        check_tags(tags, warned)
    else:  # a TIFF is loaded below: newer versions of Pillow turn it and remove its orientation
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
        colour = shades(picture, stated, warned, inverted=inverted)
        key = picture.info.get("transparency")
        alpha = None if key is None else np.where(np.asarray(picture) == key, 0, 255).astype(np.uint8)
        return composite(colour, alpha, background, stated), True, stated, warned
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
    return composite(colour, alpha, background, stated), stored_grey, stated, warned


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
    picture: Image.Image, stated: list[str], warned: list[str], *, inverted: bool
) -> UInt8[np.ndarray, "height width"]:
    """The grey values of a picture in one of WIDE_MODES: whole numbers from 0 to 65 535, or floats from 0 to 1.

    If `inverted`, 0 is white.
    """
    values = np.asarray(picture).astype(np.float64)
    low, high = values.min(), values.max()
    if picture.mode == "F":
        if not (low >= 0 and high <= 1):  # NaN, too
            raise ValueError(f"floats must lie in [0, 1], these go from {low:g} to {high:g}")
    else:
        if low < 0 or high > SIXTEEN_BITS:
            raise ValueError(f"whole numbers must lie in [0, {SIXTEEN_BITS}], these go from {low:.0f} to {high:.0f}")
        if high <= TWELVE_BITS:
            warned.append(
                f"have 16 bits and no value above {TWELVE_BITS}: they are dark, because nothing is stretched"
            )
        stated.append("have 16 bits, scaled to 8 (v / 257)")
        values /= SIXTEEN_BITS
    return np.rint(255 * (1 - values if inverted else values)).astype(np.uint8)


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
    background: Background,
    stated: list[str],
) -> UInt8[np.ndarray, "height width *channels"]:
    """The pixels over the background: alpha * colour + (1 - alpha) * background, rounded."""
    if alpha is None or alpha.min() == 255:
        return colour
    stated.append(f"have transparent pixels, composited on {background.value} (data.background)")
    opaque = alpha.astype(np.uint32).reshape(alpha.shape + (1,) * (colour.ndim - 2))
    behind = 255 if background is Background.white else 0
    return np.asarray((opaque * colour + (255 - opaque) * behind + 127) // 255, dtype=np.uint8)


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
