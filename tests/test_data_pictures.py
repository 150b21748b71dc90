"""What becomes of one picture file, and of a folder of them."""

import io
import logging
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from data_files import checksums_of, images_config
from PIL import Image, ImageCms

from vae.config import Background, Colour
from vae.config.data import Resize
from vae.config.preparation import ImagePreparation, plain_preparation, preparation_of
from vae.data import ImagesData
from vae.data.files import DataError, read_bytes
from vae.data.folder import read_prepared
from vae.data.own import read_own
from vae.data.pictures import DecodedPicture, PictureOptions, decode_picture

RAMP = np.arange(65_536, dtype=np.uint16).reshape(256, 256)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: np.ndarray, width: int, depth: int, colour_type: int, extra: bytes = b"") -> bytes:
    """A PNG by its specification: `rows` holds the bytes of each row."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(data: bytes, width: int, height: int, **tags: tuple[int, ...]) -> bytes:
    """An uncompressed TIFF by its specification, in one strip; `tags` are named t<number>."""
    numbers = {256: (width,), 257: (height,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (height,)}
    numbers |= {279: (len(data),)} | {int(name[1:]): values for name, values in tags.items()} | {273: (0,)}
    far, entries = b"", b""
    at = 8 + 2 + 12 * len(numbers) + 4
    numbers[273] = (at + sum(4 * len(values) for values in numbers.values() if len(values) > 1),)
    for tag, values in sorted(numbers.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack("<I", at + len(far))
        far += packed if len(values) > 1 else b""
        entries += struct.pack("<HHI", tag, 4, len(values)) + place
    return b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + bytes(4) + far + data


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read_picture(path: Path, options: PictureOptions) -> DecodedPicture:
    return decode_picture(read_bytes(path), options, path)


def read(path: Path, data: bytes, background: Background = Background.black) -> np.ndarray:
    path.write_bytes(data)
    return read_picture(path, PictureOptions(background)).pixels


def refusal(path: Path, data: bytes, match: str) -> None:
    path.write_bytes(data)
    with pytest.raises(DataError, match=match) as caught:
        read_picture(path, PictureOptions())
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def folder_of(path: Path, **images: np.ndarray) -> Path:
    path.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(path / f"{name}.png")
    return path


# ------------------------------------------------------------------------------------------------ 16 bits and floats


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_by_257(tmp_path, kind):
    pixels = read(tmp_path / "ramp", saved(Image.fromarray(RAMP), kind))
    assert (pixels[0] == np.rint(RAMP / 257)).all()
    assert len(np.unique(pixels)) == 256
    assert pixels.mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2"), ("I", "<i4")])
def test_every_mode_of_sixteen_bits_gives_the_same(tmp_path, mode, order):
    image = Image.frombytes(mode, (256, 256), RAMP.astype(order).tobytes())
    assert (read(tmp_path / "ramp.tif", saved(image, "TIFF"))[0] == np.rint(RAMP / 257)).all()


def test_twelve_bits_in_sixteen_are_not_stretched_and_the_option_that_does_so_is_said(tmp_path, caplog):
    (tmp_path / "dark.png").write_bytes(saved(Image.fromarray(RAMP // 16), "PNG"))
    (tmp_path / "darker.png").write_bytes(saved(Image.fromarray(RAMP // 32), "PNG"))
    images = read_own(tmp_path).images
    assert (images[0, 0] == np.rint((RAMP // 16) / 257)).all()
    assert images.max() == 16
    assert "2 of 2 pictures use only the values 0 to 4095 of 0 to 65535, and are not stretched" in caplog.text
    assert "Set data.range=[0,4095] to see more of them" in caplog.text
    caplog.clear()
    stretched = read_own(tmp_path, PictureOptions(levels=(0.0, 4095.0))).images
    assert (stretched[0, 0] == np.rint((RAMP // 16) / 4095 * 255)).all()
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_the_values_of_the_range_become_black_and_white_and_those_outside_are_clamped(tmp_path, kind):
    values = np.linspace(0, 5_000, 256).astype(np.uint16).reshape(16, 16)
    (tmp_path / "p").write_bytes(saved(Image.fromarray(values), kind))
    picture = read_picture(tmp_path / "p", PictureOptions(levels=(1000.0, 4095.0)))
    assert (picture.pixels[0] == np.rint(255 * ((values - 1000.0) / 3095).clip(0, 1))).all()
    assert picture.remarks.clamped == ((values < 1000) | (values > 4095)).sum()
    assert picture.remarks.stated == ["have more than 8 bits, scaled to 8 from data.range=[1000,4095]"]


@pytest.mark.parametrize("order", ["<i4", "<f4"])
def test_a_range_takes_whole_numbers_and_floats_of_any_size(tmp_path, order):
    values = np.linspace(-2_000, 100_000, 64).astype(order).reshape(8, 8)
    data = saved(Image.fromarray(values), "TIFF")
    refusal(tmp_path / "p.tif", data, r"these go from -2000 to 100000\. data\.range=\[-2000,100000\] scales them")
    pixels = read_picture(tmp_path / "p.tif", PictureOptions(levels=(-2000.0, 100_000.0))).pixels
    assert (pixels[0] == np.rint((values.astype(float) + 2000) / 102_000 * 255)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_range_takes_no_value_that_is_not_finite(tmp_path, value):
    values = np.full((8, 8), 0.5, dtype=np.float32)
    values[3, 3] = value
    (tmp_path / "f.tif").write_bytes(saved(Image.fromarray(values), "TIFF"))
    with pytest.raises(DataError, match=r"f\.tif must be a picture: its values must be finite, these go from"):
        read_picture(tmp_path / "f.tif", PictureOptions(levels=(0.0, 2.0)))


def test_a_range_is_refused_for_pictures_without_stored_values_of_more_than_8_bits(tmp_path):
    wide = RAMP.repeat(3, axis=1).astype(">u2")
    pgm = b"P5 4 4 4095\n" + np.arange(16, dtype=">u2").tobytes()
    for data, match in (
        (saved(Image.fromarray(noise(8, 8)), "PNG"), r"has 8 bits or colours, but data\.range=\[0,4095\] is for grey"),
        (png(wide, 256, 16, 2), r"has 8 bits or colours, but data\.range"),
        (pgm, r"its header says that 4095 is white, so that becomes 1\. Leave data\.range out"),
    ):
        (tmp_path / "p").write_bytes(data)
        with pytest.raises(DataError, match=match):
            read_picture(tmp_path / "p", PictureOptions(levels=(0.0, 4095.0)))
    assert read(tmp_path / "p", pgm)[0].ravel().tolist() == np.rint(np.arange(16) / 4095 * 255).tolist()


def test_clamped_values_are_counted_and_a_range_that_is_used_is_no_reason_for_a_warning(tmp_path, caplog):
    for name, top in (("a", 100), ("b", 300), ("c", 400)):
        Image.fromarray(np.array([[0, top]], dtype=np.uint16)).save(tmp_path / f"{name}.png")
    read_own(tmp_path, PictureOptions(levels=(0.0, 200.0)))
    assert "2 of 3 pictures have values outside data.range=[0,200], clamped: 2 pixels; first b.png" in caplog.text
    caplog.clear()
    Image.fromarray(np.array([[0, 20_000]], dtype=np.uint16)).save(tmp_path / "a.png")
    read_own(tmp_path)
    assert caplog.text == ""


def test_a_tiff_whose_zero_is_white_is_read_as_it_looks(tmp_path):
    data = saved(Image.fromarray(RAMP), "TIFF", tiffinfo={262: 0})  # Pillow writes these values as they are
    assert (read(tmp_path / "ramp.tif", data)[0] == np.rint((65_535 - RAMP.astype(int)) / 257)).all()
    light = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    data = saved(Image.fromarray(light), "TIFF", tiffinfo={262: 0})
    assert (read(tmp_path / "f.tif", data)[0] == np.rint(255 * (1 - light.astype(float)))).all()


def test_colours_of_sixteen_bits_keep_their_upper_eight(tmp_path):
    rows = RAMP.repeat(3, axis=1).astype(">u2")
    rows[:, 1::3] = RAMP.T
    pixels = read(tmp_path / "colour.png", png(rows, 256, 16, 2))
    assert (pixels == np.stack([RAMP, RAMP.T, RAMP]) // 256).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bits_with_alpha_are_composited(tmp_path, channels):
    values = np.zeros((4, 4, channels), dtype=">u2")
    values[..., -1] = 65_535
    values[0, :, -1] = 0
    data = png(values.reshape(4, -1), 4, 16, {2: 4, 4: 6}[channels])
    assert (read(tmp_path / "a.png", data, Background.white)[:, 0] == 255).all()
    assert (read(tmp_path / "a.png", data, Background.white)[:, 1:] == 0).all()


def test_floats_in_the_unit_interval_are_scaled_and_rounded(tmp_path):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = read(tmp_path / "f.tif", saved(Image.fromarray(values), "TIFF"))
    assert (pixels[0] == np.rint(255 * values.astype(float))).all()


@pytest.mark.parametrize("value", [1.5, -0.1, 255.0, np.nan, np.inf])
def test_floats_beyond_it_are_refused(tmp_path, value):
    values = np.full((8, 8), 0.5, dtype=np.float32)
    values[3, 3] = value
    refusal(tmp_path / "f.tif", saved(Image.fromarray(values), "TIFF"), r"floats must lie in \[0, 1\], these go from")


@pytest.mark.parametrize("value", [-1, 65_536, 2**31 - 1])
def test_whole_numbers_beyond_sixteen_bits_are_refused(tmp_path, value):
    values = np.zeros((8, 8), dtype=np.int32)
    values[3, 3] = value
    data = saved(Image.fromarray(values), "TIFF")
    refusal(tmp_path / "i.tif", data, r"whole numbers must lie in \[0, 65535\], these go from")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fourth_channel_of_no_known_meaning_is_left_out_and_that_is_said(tmp_path, bits):
    values = noise(8, 8, 4).astype(f"<u{bits // 8}") * (2**bits // 255)
    data = tiff(values.tobytes(), 8, 8, t258=(bits,) * 4, t262=(2,), t277=(4,), t338=(0,))
    (tmp_path / "p.tif").write_bytes(data)
    picture = read_picture(tmp_path / "p.tif", PictureOptions())
    assert (picture.pixels == noise(8, 8, 4)[..., :3].transpose(2, 0, 1)).all()
    assert tuple(picture.remarks.warned) == ("have a fourth channel that is not marked as alpha: it is left out",)


@pytest.mark.parametrize(
    ("sample_bytes", "tags", "match"),
    [
        (6, {"t258": (16,) * 3, "t262": (2,), "t277": (3,), "t284": (2,)}, r"Planar.* 2\).*; save it as contiguous"),
        (8, {"t258": (16,) * 4, "t262": (2,), "t277": (4,), "t284": (2,), "t338": (2,)}, r"save it as contiguous"),
        (1, {"t339": (2,)}, "channels of 8 bits, signed, are not supported; save it with 8 or 16 bits"),
        (2, {"t258": (12,)}, "channels of 12 bits, unsigned, are not supported; save it with 8 or 16 bits"),
        (1, {"t32997": (4,)}, r"it has 4 frames \(ImageDepth\), and must have one"),
        (2, {"t258": (8, 8), "t277": (2,), "t338": (0,)}, r"2 channels, and some have no known meaning"),
        (4, {"t258": (8,) * 4, "t262": (2,), "t277": (4,)}, r"4 channels, and some have no known meaning"),
        (4, {"t258": (32,)}, r"whole numbers must lie in \[0, 65535\], these go from"),
    ],
)
def test_a_layout_of_a_tiff_that_would_be_read_wrongly_is_refused(tmp_path, sample_bytes, tags, match):
    refusal(tmp_path / "p.tif", tiff(b"\xf0" * (64 * sample_bytes), 8, 8, **tags), match)


# ------------------------------------------------------------------------------------------------ transparency


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
@pytest.mark.parametrize("background", Background)
def test_a_shape_that_is_in_alpha_alone_is_seen(tmp_path, mode, background):
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[2:5, 3:6] = 255
    shade = 0 if background is Background.white else 255
    image = Image.new("RGBA", (8, 8), (shade, shade, shade, 0))
    image.putalpha(Image.fromarray(alpha))
    path = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    image.convert(mode).save(path)
    picture = read_picture(path, PictureOptions(background))
    assert (picture.pixels[0] == np.where(alpha == 255, shade, 255 - shade)).all()
    assert tuple(picture.remarks.stated) == (
        f"have transparent pixels, composited on {background.value} (data.background)",
    )


@pytest.mark.parametrize(("background", "behind"), [(Background.black, 0), (Background.white, 255)])
def test_what_is_transparent_does_not_show_its_colour(tmp_path, background, behind):
    image = np.array([[[255, 0, 255, 0], [255, 0, 255, 255], [200, 100, 50, 128]]], dtype=np.uint8)
    pixels = read(tmp_path / "magenta.png", saved(Image.fromarray(image), "PNG"), background)
    half = np.rint((128 * np.array([200, 100, 50]) + 127 * behind) / 255)
    assert pixels[:, 0].T.tolist() == [[behind] * 3, [255, 0, 255], half.tolist()]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_entry_is_composited(tmp_path, kind):
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 255, 10, 20, 30, 40, 50, 60, 7, 7, 8])
    image.putdata([0, 1, 2, 3])
    pixels = read(tmp_path / "p", saved(image, kind, transparency=0), Background.white)
    assert pixels[:, 0].T.tolist() == [[255, 255, 255], [10, 20, 30], [40, 50, 60], [7, 7, 8]]


@pytest.mark.parametrize("depth", [1, 4, 8, 16])
def test_the_transparent_shade_of_a_grey_png_is_found_at_every_depth(tmp_path, depth):
    count = min(2**depth, 8)
    values = np.arange(8) % count
    if depth == 16:
        row = values.astype(">u2").view(np.uint8)
    else:
        row = np.packbits(np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, -depth:])
    data = png(row[None], 8, depth, 0, chunk(b"tRNS", struct.pack(">H", 1)))
    pixels = read(tmp_path / "t.png", data, Background.white)[0, 0]
    assert pixels.tolist() == [255 if v == 1 else round(255 * int(v) / (2**depth - 1)) for v in values]


def test_the_transparent_colour_of_a_png_is_found_and_at_sixteen_bits_refused(tmp_path):
    image = np.array([[[1, 2, 3], [3, 2, 1]]], dtype=np.uint8)
    data = saved(Image.fromarray(image), "PNG", transparency=(1, 2, 3))
    assert read(tmp_path / "t.png", data, Background.white)[:, 0].T.tolist() == [[255] * 3, [3, 2, 1]]
    wide = png(RAMP[:1, :6].astype(">u2"), 2, 16, 2, chunk(b"tRNS", struct.pack(">HHH", 0, 1, 2)))
    refusal(tmp_path / "t.png", wide, "a transparent colour of 16 bits is not supported")


# ------------------------------------------------------------------------------------------------ orientation

SEEN = {  # where the rows and columns of the stored picture are, seen by a person (TIFF 6.0, tag 274)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("grey", [True, False])
def test_a_picture_is_turned_as_a_person_sees_it(tmp_path, kind, orientation, grey):
    stored = np.kron(noise(2, 3, 3), np.ones((8, 8, 1), dtype=np.uint8))
    stored = stored[..., 0] if grey else stored
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    (tmp_path / "p").write_bytes(saved(Image.fromarray(stored), kind, exif=exif, **options))
    picture = read_picture(tmp_path / "p", PictureOptions())
    expected = SEEN[orientation](stored)
    expected = expected[None] if grey else expected.transpose(2, 0, 1)
    turned = ("were turned upright, as their EXIF orientation says",)
    assert tuple(picture.remarks.stated) == (turned if orientation > 1 else ())
    assert picture.pixels.shape == expected.shape
    assert abs(picture.pixels.astype(int) - expected).max() <= (3 if kind == "JPEG" else 0)


def test_sixteen_bits_are_turned_too(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    stored = RAMP[:20, :30] * 100
    pixels = read(tmp_path / "p.png", saved(Image.fromarray(stored), "PNG", exif=exif))
    assert (pixels[0] == np.rint(SEEN[6](stored) / 257)).all()


def test_damaged_exif_data_are_said_and_end_nothing(tmp_path):
    image = Image.fromarray(noise(8, 8))
    for exif in (b"Exif\0\0II*\0\x08\0\0\0\x05", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3"):
        (tmp_path / "p.png").write_bytes(saved(image, "PNG", exif=exif))
        picture = read_picture(tmp_path / "p.png", PictureOptions())
        assert (picture.pixels[0] == np.asarray(image)).all()
        assert len(picture.remarks.warned) == 1


# ------------------------------------------------------------------------------------------------ colour


def profile(space: bytes, tags: dict[bytes, bytes], description: str) -> bytes:
    """An ICC profile of version 2 (ICC.1:2001-04, section 6)."""
    text = description.encode() + b"\0"
    named = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    d50 = xyz(0.9642, 1, 0.8249)
    whole = {b"desc": named, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": d50, **tags}
    table, body, at = b"", b"", 128 + 4 + 12 * len(whole)
    for name, data in whole.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += padded
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ", bytes(12), b"acsp")
    head += bytes(28) + d50[8:20]
    return head + bytes(128 - len(head)) + struct.pack(">I", len(whole)) + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


SRGB_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
LINEAR = profile(
    b"RGB ",
    {k: xyz(*v) for k, v in SRGB_PRIMARIES.items()} | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(1)),
    "linear light",
)
GREY_LINEAR = profile(b"GRAY", {b"kTRC": gamma(1)}, "linear grey")


def encoded(linear: np.ndarray) -> np.ndarray:
    """sRGB values from linear light in [0, 1] (IEC 61966-2-1)."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_colour_profile_is_applied(tmp_path, kind):
    image = noise(8, 8, 3)
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "p").write_bytes(saved(Image.fromarray(image), kind, icc_profile=LINEAR, **options))
    picture = read_picture(tmp_path / "p", PictureOptions())
    assert abs(picture.pixels.transpose(1, 2, 0) - encoded(image / 255)).max() < 2.5
    assert tuple(picture.remarks.stated) == ("were converted from their colour profile to sRGB",)


@pytest.mark.parametrize("stored", ["L", "RGB", "P", "RGBA"])
def test_grey_stays_grey_under_a_profile(tmp_path, stored):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(grey).convert(stored)
    data = saved(image, "PNG", icc_profile=GREY_LINEAR if stored == "L" else LINEAR)
    pixels = read(tmp_path / "p.png", data)
    assert pixels.shape == (1, 16, 16)
    assert abs(pixels[0] - encoded(grey / 255)).max() < 2.5


def test_srgb_changes_nothing_and_a_profile_that_does_not_fit_is_said(tmp_path):
    image = noise(8, 8, 3)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc, said in ((srgb, None), (b"garbage", "cannot be used"), (GREY_LINEAR, "it is for GRAY, they are RGB")):
        (tmp_path / "p.png").write_bytes(saved(Image.fromarray(image), "PNG", icc_profile=icc))
        picture = read_picture(tmp_path / "p.png", PictureOptions())
        assert (picture.pixels == image.transpose(2, 0, 1)).all()
        assert picture.remarks.stated == []
        assert [said in text for text in picture.remarks.warned] == ([] if said is None else [True])


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_of_a_jpeg_is_read_as_adobe_writes_it(tmp_path, adobe):
    ink = np.zeros((16, 64, 4), dtype=np.uint8)
    for k in range(4):
        ink[:, 16 * k : 16 * (k + 1), k] = 255
    data = saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=100)
    at = data.index(b"\xff\xee")  # the segment of Adobe
    if not adobe:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    pixels = read(tmp_path / "ink.jpg", data)[:, 8, 8::16]
    assert abs(pixels.T.astype(int) - [[0, 255, 255], [255, 0, 255], [255, 255, 0], [0, 0, 0]]).max() <= 2


def test_cmyk_ycbcr_and_lab_of_a_tiff_are_seen_in_colour(tmp_path):
    image = Image.fromarray(np.kron(noise(2, 2, 3), np.ones((8, 8, 1), dtype=np.uint8)))
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    for other in (image.convert("CMYK"), image.convert("YCbCr"), lab):
        pixels = read(tmp_path / "p.tif", saved(other, "TIFF"))
        assert abs(pixels.transpose(1, 2, 0).astype(int) - np.asarray(image)).max() <= 4, other.mode


def test_one_bit_is_black_and_white(tmp_path):
    image = Image.fromarray(noise(8, 8) > 127)
    for kind in ("PNG", "BMP", "TIFF", "GIF", "PPM"):
        pixels = read(tmp_path / "p", saved(image, kind))
        assert (pixels[0] == 255 * np.asarray(image)).all(), kind


# ------------------------------------------------------------------------------------------------ refused in one line


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_read_and_that_is_said(tmp_path, kind):
    frames = [Image.fromarray(noise(8, 8) // (k + 1)) for k in range(3)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "a").write_bytes(saved(frames[0], kind, save_all=True, append_images=frames[1:], **lossless))
    picture = read_picture(tmp_path / "a", PictureOptions())
    assert (picture.pixels == noise(8, 8)[None]).all()
    assert picture.remarks.warned == ["have several frames: the first is read"]


def test_the_photograph_of_a_jpeg_with_several_pictures_is_read(tmp_path):
    image = Image.fromarray(noise(8, 8, 3))
    data = saved(image, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert (read(tmp_path / "a.jpg", data) == read(tmp_path / "b.jpg", saved(image, "JPEG"))).all()


FORMATS = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {}),
    "lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "ppm": ("PPM", {}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path, kind):
    name, options = FORMATS[kind]
    data = saved(Image.fromarray(noise(12, 12, 3)), name, **options)
    good = read(tmp_path / "p", data)
    said: list[str] = []
    for end in range(0, len(data), 7):
        (tmp_path / "p").write_bytes(data[:end])
        try:
            picture = read_picture(tmp_path / "p", PictureOptions())
        except DataError as error:
            said.append(str(error))
        else:  # only what comes after the pixels is missing
            assert end > len(data) - 300
            assert (picture.pixels == good).all()
    assert said
    assert all(len(text.splitlines()) == 1 and str(tmp_path / "p") in text for text in said)


@pytest.mark.parametrize(("interlaced", "needed"), [(False, 8 * 25), (True, 15 + 8 * 24)])
@pytest.mark.parametrize("rows", [0, 4, 7])
def test_a_png_whose_data_end_before_the_last_row_is_refused(tmp_path, interlaced, needed, rows):
    data = png(noise(rows, 24), 8, 8, 2)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, interlaced)
    data = data.replace(data[8:33], chunk(b"IHDR", header))
    # Pillow itself sees only a row that ends in its middle.
    match = rf"cut short: its pixels take {needed} bytes, it holds {25 * rows}|is truncated|unrecognized data"
    refusal(tmp_path / "p.png", data, match)


@pytest.mark.parametrize(("width", "height"), [(2, 5), (5, 2), (9, 9), (33, 17)])
@pytest.mark.parametrize("depth", [1, 8])
def test_an_interlaced_png_is_whole_with_as_many_bytes_as_its_passes_take(tmp_path, width, height, depth):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lit = []  # every row of every pass: no filter, and all ones
    for x, y, dx, dy in passes:
        columns = len(range(x, width, dx))
        lit += len(range(y, height, dy)) * [b"\0" + b"\xff" * (-(-columns * depth // 8)) if columns else b""]
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 1))
    whole, cut = (
        head + chunk(b"IDAT", zlib.compress(part)) + chunk(b"IEND", b"")
        for part in (b"".join(lit), b"".join(lit[:-1]))
    )
    assert (read(tmp_path / "p.png", whole) == 255).all()
    total = sum(map(len, lit))
    refusal(tmp_path / "p.png", cut, rf"cut short: its pixels take {total} bytes, it holds {total - len(lit[-1])}")


def test_the_data_of_a_png_may_be_in_many_pieces_and_longer_than_a_chunk(tmp_path):
    image = np.kron(noise(8, 8), np.ones((200, 200), dtype=np.uint8))
    data = saved(Image.fromarray(image), "PNG")
    at = data.index(b"IDAT") - 4
    size = int.from_bytes(data[at : at + 4])
    stream = data[at + 8 : at + 8 + size]
    pieces = b"".join(chunk(b"IDAT", stream[k : k + 9]) for k in range(0, size, 9))
    assert (read(tmp_path / "p.png", data[:at] + pieces + chunk(b"IEND", b""))[0] == image).all()


@pytest.mark.parametrize(
    ("palette", "match"), [(2, "its palette has 2 colours, and a pixel .* index 3"), (0, "0 col")]
)
def test_a_pixel_beyond_the_palette_is_refused(tmp_path, palette, match):
    colours = chunk(b"PLTE", bytes(range(3 * palette))) if palette else b""
    data = png(np.array([[0, 1, 3]], dtype=np.uint8), 3, 8, 3, colours)
    refusal(tmp_path / "p.png", data, match)


def test_what_is_not_a_format_for_pictures_is_not_given_to_another_program(tmp_path):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"
    refusal(tmp_path / "p.png", postscript, "cannot read it as any of PNG, JPEG")


def test_a_vast_picture_is_one_line(tmp_path, monkeypatch):
    data = saved(Image.fromarray(noise(30, 30)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    (tmp_path / "p.png").write_bytes(data)
    (warned,) = read_picture(tmp_path / "p.png", PictureOptions()).remarks.warned
    assert "900 pixels" in warned
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    refusal(tmp_path / "p.png", data, "900 pixels")


@pytest.mark.parametrize("name", ["b.png", "factors.csv"])
def test_only_regular_files_are_opened(tmp_path, name):
    folder = folder_of(tmp_path / "f", a=noise(8, 8))
    os.mkfifo(folder / name)
    for reader in (read_own, checksums_of):
        with pytest.raises(DataError, match=f"{name} must be a regular file, is a pipe"):
            reader(folder)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read_is_named(tmp_path):
    folder = folder_of(tmp_path / "f", a=noise(8, 8))
    (folder / "a.png").chmod(0)
    with pytest.raises(DataError, match=r"a\.png cannot be read: Permission denied"):
        read_own(folder)


def test_the_warnings_of_a_picture_are_its_own_when_several_threads_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    for side in (10, 30):
        (tmp_path / f"{side}.png").write_bytes(saved(Image.fromarray(noise(side, side)), "PNG"))
    before = warnings.showwarning, list(warnings.filters)

    def warned(k: int) -> int:
        return len(read_picture(tmp_path / f"{30 if k % 3 else 10}.png", PictureOptions()).remarks.warned)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(warned, range(200))) == [int(k % 3 > 0) for k in range(200)]
    assert (warnings.showwarning, list(warnings.filters)) == before


# ------------------------------------------------------------------------------------------------ a folder of them


def test_class_folders_are_labels_and_every_image_knows_its_file_in_every_split(tmp_path):
    images, rows = noise(20, 8, 8), []
    for number, image in enumerate(images):
        place = tmp_path / "f" / ("dog/old" if number % 4 == 0 else "cat")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
        rows.append(f"{'dog/old/' if number % 4 == 0 else ''}{number}.png,{number // 2}\n")
    (tmp_path / "f" / "factors.csv").write_text("".join(["file,pair\n", *rows]))  # by path, or by the last part
    splits = ImagesData(images_config(tmp_path / "f", validation_size=4, test_size=6)).read()
    assert splits.label_names == ("cat", "dog")
    for part in (splits.train, splits.validation, splits.test):
        for pixels, label, name in zip(part.pixels, part.labels, part.names, strict=True):
            assert (pixels[0].numpy() == images[int(Path(name).stem)]).all()
            assert splits.label_names[label] == name.split("/")[0]
    numbers = [int(Path(name).stem) // 2 for name in splits.train.names]
    assert splits.train.factors.levels[:, 0].tolist() == np.unique(numbers, return_inverse=True)[1].tolist()


def test_a_row_that_may_be_of_two_pictures_is_refused(tmp_path):
    for place in ("cat", "dog"):
        (tmp_path / place).mkdir()
        Image.fromarray(noise(8, 8)).save(tmp_path / place / "1.png")
    (tmp_path / "factors.csv").write_text("file,k\n1.png,1\ndog/1.png,2\n")
    with pytest.raises(
        DataError, match=r"cat/1\.png has none; the first row without a picture is 1\.png\. .* as class/n"
    ):
        read_own(tmp_path)


CASES = [
    ({"side": 6}, {}),
    ({"size": [5, 9], "resize": Resize.crop, "background": Background.white}, {"background": Background.white}),
    ({"side": 6, "resize": Resize.stretch, "colour": Colour.grey}, {"colour": Colour.grey}),
    ({"side": 6, "colour": Colour.rgb}, {"colour": Colour.rgb}),
    ({}, {}),
]


@pytest.mark.parametrize(("changed", "known"), CASES)
def test_a_new_picture_is_prepared_as_those_of_the_training(tmp_path, changed, known):
    folder = folder_of(tmp_path / "f", **{f"p{k}": image for k, image in enumerate(noise(5, 7, 9, 4))})
    splits = ImagesData(images_config(folder, **changed)).read()
    preparation = splits.preparation
    assert preparation.resize == (changed.get("resize", Resize.fit) if changed.keys() & {"side", "size"} else None)
    assert {name: getattr(preparation, name) for name in known} == known
    assert preparation == preparation_of(plain_preparation(preparation))
    for pixels, name in zip(splits.train.pixels, splits.train.names, strict=True):
        assert (read_prepared(folder / name, preparation) == pixels.numpy()).all()


def test_a_new_picture_of_16_bits_is_scaled_by_the_range_of_the_training(tmp_path):
    for k in range(4):
        Image.fromarray(RAMP[16 * k : 16 * k + 8, :8] // 16).save(tmp_path / f"{k}.tif")
    splits = ImagesData(images_config(tmp_path, range=[0.0, 4095.0])).read()
    assert splits.preparation.levels == (0.0, 4095.0)
    for pixels, name in zip(splits.train.pixels, splits.train.names, strict=True):
        assert (read_prepared(tmp_path / name, splits.preparation) == pixels.numpy()).all()


@pytest.mark.parametrize(
    ("preparation", "image", "match"),
    [
        (
            ImagePreparation((1, 8, 8)),
            noise(8, 9),
            r"height x width of the model, 8x8, it is 8x9\. Scale it, or give --r",
        ),
        (ImagePreparation((1, 8, 8)), noise(8, 8, 3), r"must be grey, as the images of the model, it is in colour"),
        (ImagePreparation((4, 8, 8)), noise(8, 8), r"the model was trained on other arrays\. Give an array"),
        (ImagePreparation((1, 8, 8), unit_interval=False), noise(8, 8), r"trained on other arrays\. Give an array"),
        (
            ImagePreparation((1, 8, 8), levels=(0.0, 9.0)),
            noise(8, 8),
            r"has 8 bits or colours, but data\.range=\[0,9\]",
        ),
    ],
)
def test_a_new_picture_that_does_not_fit_the_model_is_refused(tmp_path, preparation, image, match):
    Image.fromarray(image).save(tmp_path / "p.png")
    with pytest.raises(DataError, match=rf"p\.png .*{match}"):
        read_prepared(tmp_path / "p.png", preparation)


def test_a_new_grey_picture_fits_a_model_of_colours(tmp_path):
    Image.fromarray(noise(8, 8)).save(tmp_path / "p.png")
    pixels = read_prepared(tmp_path / "p.png", ImagePreparation((3, 8, 8)))
    assert (pixels == noise(8, 8)).all()
    assert pixels.shape == (3, 8, 8)


def test_palettes_and_colours_that_are_grey_are_read_as_grey_among_grey_ones(tmp_path, caplog):
    grey = noise(3, 8, 8)
    folder = folder_of(tmp_path / "f", a=grey[0], b=grey[1][..., None].repeat(3, axis=2))
    Image.fromarray(grey[2]).convert("P").save(folder / "c.png")
    with caplog.at_level(logging.INFO):
        assert (read_own(folder).images == grey[:, None]).all()
    assert "2 of 3 pictures are stored in colour but are grey: read as grey" in caplog.text


def test_a_grey_photograph_among_colours_has_three_channels(tmp_path):
    grey, colour = noise(8, 8, 1).repeat(3, axis=2), noise(8, 8, 3)
    folder = folder_of(tmp_path / "f", a=grey, b=colour)
    assert (read_own(folder).images == np.stack([grey, colour]).transpose(0, 3, 1, 2)).all()


def test_grey_files_among_colours_are_refused_unless_it_is_said_what_is_meant(tmp_path):
    grey, colour = noise(8, 8), noise(8, 8, 3)
    folder = folder_of(tmp_path / "f", a=colour, b=grey)
    match = r"b\.png is 1x8x8 and a\.png 3x8x8\. Set data\.colour=rgb or data\.colour=grey"
    with pytest.raises(DataError, match=match):
        read_own(folder)
    rgb = read_own(folder, PictureOptions(colour=Colour.rgb)).images
    assert (rgb == np.stack([colour, grey[..., None].repeat(3, axis=2)]).transpose(0, 3, 1, 2)).all()
    lumas = [np.asarray(Image.fromarray(colour).convert("L")), grey]
    assert (read_own(folder, PictureOptions(colour=Colour.grey)).images == np.stack(lumas)[:, None]).all()


def test_what_was_skipped_is_counted_by_kind(tmp_path, caplog):
    folder = folder_of(tmp_path / "f", a=noise(8, 8))
    for name in ("x.txt", "y.TXT", "z.avif", "README", ".hidden", "factors.csv"):
        (folder / name).touch()
    (folder / "factors.csv").unlink()
    (folder / "more").mkdir()
    read_own(folder)
    said = "found 1 pictures, skipped 1 .avif, 2 .txt, 1 file without a suffix, 1 folder without pictures"
    assert said in caplog.text
    assert "hidden" not in caplog.text
    (folder / "a.png").unlink()
    with pytest.raises(DataError, match=r"must hold pictures .*, it has 1 \.avif, 2 \.txt, 1 file"):
        read_own(folder)


def test_gif_and_tiff_are_read_and_change_the_checksum(tmp_path):
    images = noise(4, 8, 8)
    for name, image in zip(("a.gif", "b.tif", "c.TIFF", "d.pgm"), images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    assert (read_own(tmp_path).images == images[:, None]).all()
    checksums = [checksums_of(tmp_path)]
    for name in ("a.gif", "b.tif", "c.TIFF"):
        Image.fromarray(images[3]).save(tmp_path / name)
        checksums.append(checksums_of(tmp_path))
    (tmp_path / "d.pgm").rename(tmp_path / "e.pgm")
    checksums.append(checksums_of(tmp_path))
    (tmp_path / "not-read.txt").touch()
    assert len({str(c) for c in checksums}) == 5
    assert checksums_of(tmp_path) == checksums[-1]


def test_what_was_done_with_the_pictures_is_stated_once_with_their_number(tmp_path, caplog):
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    folder = folder_of(tmp_path / "f", a=noise(8, 8, 4), b=noise(8, 8, 3), c=clear)
    with caplog.at_level(logging.INFO):
        read_own(folder, PictureOptions(Background.white))
    said = "2 of 3 pictures have transparent pixels, composited on white (data.background); first a.png"
    assert caplog.text.count("transparent") == caplog.text.count(said) == 1


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"a\nb.png", "\u202eü ☃.png".encode(), b"a=b,c'\"${x}.png"])
def test_odd_file_names_are_read_and_shown_in_one_line(tmp_path, name):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    file.write_bytes(saved(Image.fromarray(noise(8, 8)), "PNG"))
    assert (read_own(tmp_path).images == noise(8, 8)).all()
    checksums_of(tmp_path)
    file.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"\.png must be a picture") as caught:
        read_own(tmp_path)
    assert len(str(caught.value).encode().splitlines()) == 1
