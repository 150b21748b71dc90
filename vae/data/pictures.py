"""One picture file -> its pixels as a person sees them: grey or of three colours, upright, opaque, of 8 bits, in sRGB.

Pillow decodes. What it leaves to its caller is done here: orientation, transparency, 16 bits, colour profiles. The
gamma and chromaticities that a PNG may hold without a colour profile are not applied. The functions that check a
picture raise `ValueError`, and `read_picture` makes it a `DataError` that names the file.

Two kinds of damage are not found, because Pillow does not report them: the data of a JPEG may be corrupt, or cut and
then closed by an end marker, and a PGM or PPM may hold values above the maximum in its header.
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
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")  # no others: EPS, say, would start a program

GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # of one channel with more than 8 bits
PROFILES_OF = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # the colour spaces of the profiles that fit a mode
PNG_DEPTH, PNG_COLOUR_TYPE = 24, 25  # where these bytes are (PNG specification, 11.2.2 IHDR)
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x y dx dy
INFLATED_MOST = 2**20  # bytes at a time
ORIENTATION = 274
TWELVE_BITS, SIXTEEN_BITS = 4_095, 65_535

# Tags of TIFF 6.0, section 8 and 19; ImageDepth is SGI's.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL, PLANAR, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 277, 284, 338, 339
IMAGE_DEPTH = 32_997
WHITE_IS_ZERO, IN_PLANES = 0, 2  # values of PHOTOMETRIC and PLANAR
UNSIGNED, SIGNED, FLOATS = 1, 2, 3  # values of SAMPLE_FORMAT
TIFF_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # channels of each PHOTOMETRIC, without extra ones
TIFF_GREYS = {UNSIGNED: (1, 2, 4, 8, 12, 16, 32), SIGNED: (16, 32), FLOATS: (32,)}  # bits of one channel


@dataclass(frozen=True)
class DecodedPicture:
    """A picture that has been read.

    Attributes:
        pixels: one channel where the three are equal in every pixel.
        stored_grey: the file has no colour channels.
        stated: what was done to the pixels, for the log.
        warned: what the owner may not expect, for the log.
    """

    pixels: UInt8[np.ndarray, "channels height width"]
    stored_grey: bool
    stated: tuple[str, ...]
    warned: tuple[str, ...]


def read_picture(file: Path, background: Background) -> DecodedPicture:
    """The picture in a file.

    Args:
        file: in one of FORMATS, whatever its name says.
        background: what lies behind transparent pixels.

    Raises:
        DataError: it is no regular file or no picture, has several frames, or has values that are no shades.
    """
    data = read_bytes(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # of this code, not of the picture
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                pixels, grey, stated, warned = decode(opened, data, background)
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises many types for a damaged file
            said = reason(error) if str(error) else "it is damaged"
            if isinstance(error, UnidentifiedImageError):
                said = f"Pillow can read it as none of {', '.join(FORMATS)}"
            raise DataError(f"{file} must be a picture: {said}. Remove or replace it") from None
    warned += [f"are not as Pillow expects ({' '.join(str(w.message).split())[:200]})" for w in caught]
    return DecodedPicture(channels_in_front(pixels), grey, tuple(dict.fromkeys(stated)), tuple(dict.fromkeys(warned)))


def decode(
    opened: Image.Image, data: bytes, background: Background
) -> tuple[UInt8[np.ndarray, "height width *channels"], bool, list[str], list[str]]:
    """The pixels, whether they are stored without colour, what is stated and what is warned of.

    Raises:
        ValueError: there are several frames, or values that are no shades. Pillow raises others, too.
    """
    stated: list[str] = []
    warned: list[str] = []
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # the first of an MPO is the photograph, the others belong to it
        raise ValueError(f"it has {frames} frames, and must have one")
    tags: Mapping[int, Any] = getattr(opened, "tag_v2", {})
    if opened.format == "TIFF":
        check_tags(tags, warned)
    else:  # newer versions of Pillow turn a TIFF when they load it, so its orientation is read before
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
    if picture.mode in WIDE_MODES or picture.mode == "F":
        if profile:
            warned.append("have a colour profile that is ignored, because it is not of 8 bits")
        bits = max(tags.get(BITS_PER_SAMPLE, (16,)))
        unsigned = bits == 32 and UNSIGNED in tags.get(SAMPLE_FORMAT, (UNSIGNED,))
        full = TWELVE_BITS if bits == 12 else SIXTEEN_BITS
        colour = shades(picture, full, warned, inverted=inverted, unsigned=unsigned)
        if picture.mode != "F":
            stated.append(f"have {bits} bits, scaled to 8 (v * 255 / {full})")
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
    """The orientation (TIFF 6.0, tag 274): 1 is upright, 2 to 8 are turned or mirrored, others have no meaning."""
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    except Exception as error:  # Pillow raises many types for a damaged block
        warned.append(f"have EXIF data that cannot be read ({reason(error)}), and are taken as upright")
        return 1
    return orientation if isinstance(orientation, int) else 1


def check_tags(tags: Mapping[int, Any], warned: list[str]) -> None:
    """Refuse a TIFF of a layout that Pillow reads wrongly, or that was not verified."""
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
            f"channels of {', '.join(map(str, bits))} bits, {kind}, are not read; save it with 8 bits, unsigned"
        )
    if tags.get(PLANAR, 1) == IN_PLANES and samples > 1 and bits[0] == 16:
        raise ValueError(
            "16 bits in one plane a channel (PlanarConfiguration 2) are not read; save it as contiguous, or as PNG"
        )
    if extra == (0,) and colours == 3 and samples == 4:
        warned.append("have a fourth channel that is not said to be alpha, and is left out")
    elif colours is None or samples != colours + len(extra) or extra not in ((), (1,), (2,)):
        raise ValueError(
            f"it has {samples} channels, of which the meaning of some is unknown (ExtraSamples); "
            "save it as grey or RGB, with one alpha channel or none"
        )


def refuse_missing_rows(data: bytes) -> None:
    """Refuse a PNG whose compressed data end before its last row: Pillow leaves the rest black.

    The data are decompressed a second time, a chunk at a time, and only counted.
    """
    if data[12:16] != b"IHDR":
        raise ValueError("its header does not come first")
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    bits, needed = depth * PNG_CHANNELS[colour_type], 0
    for x, y, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        needed += rows * (1 + -(-columns * bits // 8)) if columns else 0  # each row has a byte for its filter
    stream, found, at = zlib.decompressobj(), 0, 8
    while at < len(data) and found < needed:
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            rest, part = data[at + 8 : at + 8 + size], b"first"
            while part and found < needed:
                part = stream.decompress(rest, min(INFLATED_MOST, needed - found))
                rest = stream.unconsumed_tail
                found += len(part)
        elif found:
            break  # Pillow reads no later ones
        at += 12 + size
    if found < needed:
        raise ValueError(f"it is cut short: its pixels take {needed} bytes, it holds {found}")


def refuse_indices_beyond_palette(picture: Image.Image) -> None:
    """Refuse a picture with pixels whose colour its palette does not have: Pillow makes them black."""
    colours, largest = len(picture.getpalette() or ()) // 3, int(np.asarray(picture).max())
    if largest >= colours:
        raise ValueError(f"its palette has {colours} colours, and a pixel the colour of index {largest}")


def shades(
    picture: Image.Image, full: int, warned: list[str], *, inverted: bool, unsigned: bool
) -> UInt8[np.ndarray, "height width"]:
    """The grey values of a picture of 12 or 16 bits, of whole numbers from 0 to 65 535, or of floats from 0 to 1.

    Args:
        picture: of one channel with more than 8 bits.
        full: the whole number that is white.
        warned: what the owner may not expect is appended.
        inverted: 0 is white.
        unsigned: the file holds unsigned numbers of 32 bits, which Pillow reads as signed ones.
    """
    values = np.asarray(picture)
    if unsigned:
        values = values.view(np.uint32)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F":
        if not (low >= 0 and high <= 1):  # NaN, too
            raise ValueError(f"floats must lie in [0, 1], these go from {low:g} to {high:g}")
        light = values.astype(np.float64)
        return np.rint(255 * (1 - light if inverted else light)).astype(np.uint8)
    if low < 0 or high > full:
        raise ValueError(f"whole numbers must lie in [0, {full}], these go from {low:.0f} to {high:.0f}")
    if full == SIXTEEN_BITS and high <= TWELVE_BITS:
        warned.append(f"have 16 bits and no value above {TWELVE_BITS}: they are dark, because nothing is stretched")
    wide = values.astype(np.uint32)
    return (((full - wide if inverted else wide) * 255 + full // 2) // full).astype(np.uint8)


def scale_transparent_colour(picture: Image.Image, depth: int) -> None:
    """Scale the transparent colour of a PNG to 8 bits: Pillow leaves it at the file's own depth."""
    key = picture.info.get("transparency")
    if picture.mode == "L" and isinstance(key, int) and depth in (2, 4):
        picture.info["transparency"] = key * 255 // (2**depth - 1)
    if picture.mode == "RGB" and depth == 16:
        raise ValueError("one transparent colour among colours of 16 bits is not read; save it with an alpha channel")


def in_srgb(picture: Image.Image, profile: bytes, stated: list[str], warned: list[str]) -> Image.Image:
    """The picture, L, RGB or CMYK, from the colours of its profile to those of a screen. Greys stay grey."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        space = source.profile.xcolor_space.strip()
        if space != PROFILES_OF[picture.mode]:
            warned.append(f"have a colour profile that is ignored: it is for {space}, they are {picture.mode}")
            return picture
        screen = ImageCms.createProfile("sRGB")
        exact = ImageCms.Flags.NOOPTIMIZE  # without it dark greys may be off by ten shades
        converted = ImageCms.profileToProfile(picture, source, screen, outputMode="RGB", flags=exact)
        assert converted is not None  # it is only where the picture is changed in place
    except (OSError, ImageCms.PyCMSError, ImportError) as error:
        warned.append(f"have a colour profile that cannot be used ({reason(error)}), and are taken as sRGB")
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
    over: UInt8[np.ndarray, "height width *channels"] = (
        (opaque * colour + (255 - opaque) * behind + 127) // 255
    ).astype(np.uint8)
    return over


def is_grey(pixels: UInt8[np.ndarray, "height width 3"]) -> bool:
    """Whether the three channels are equal in every pixel."""
    return bool((pixels == pixels[..., :1]).all())


def channels_in_front(
    pixels: UInt8[np.ndarray, "height width *channels"],
) -> UInt8[np.ndarray, "channels height width"]:
    """The axes in order, and one channel where the three are equal."""
    if pixels.ndim == 2:
        return pixels[None]
    if is_grey(pixels):
        return np.ascontiguousarray(pixels[None, ..., 0])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def luma(pixels: UInt8[np.ndarray, "*images channels height width"]) -> UInt8[np.ndarray, "*images 1 height width"]:
    """The grey of three channels, as Pillow has it: .299 R + .587 G + .114 B (ITU-R BT.601). One channel stays."""
    if pixels.shape[-3] == 1:
        return pixels
    red, green, blue = (pixels[..., channel : channel + 1, :, :].astype(np.uint32) for channel in range(3))
    grey: UInt8[np.ndarray, "*images 1 height width"] = (
        (19_595 * red + 38_470 * green + 7_471 * blue + 2**15) >> 16
    ).astype(np.uint8)
    return grey
