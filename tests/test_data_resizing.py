"""One picture to a given height and width."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vae.config.data import Resize
from vae.data.files import DataError
from vae.data.pictures import PictureOptions, decode_picture
from vae.data.resizing import draft_scale, resized

sides = st.integers(1, 24)
channels = st.sampled_from([1, 3])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@given(channels, sides, sides, st.sampled_from(Resize))
def test_a_picture_that_has_the_size_stays_as_it_is(c, height, width, how):
    pixels = noise(c, height, width)
    assert resized(pixels, (height, width), how, 0) is pixels


@given(channels, sides, sides, sides, sides, st.sampled_from(Resize), st.integers(0, 255))
def test_a_constant_picture_stays_constant_and_every_size_is_reached(c, h, w, height, width, how, shade):
    pixels = np.full((c, h, w), shade, dtype=np.uint8)
    new = resized(pixels, (height, width), how, shade)
    assert new.shape == (c, height, width)
    assert new.dtype == np.uint8
    assert (new == shade).all()


@given(channels, sides, sides, sides, sides, st.sampled_from([Resize.crop, Resize.stretch]))
def test_no_value_is_above_or_below_those_of_the_picture(c, h, w, height, width, how):
    pixels = noise(c, h, w) // 2 + 50
    new = resized(pixels, (height, width), how, 0)
    assert pixels.min() <= new.min()
    assert new.max() <= pixels.max()


@given(sides, sides, sides, sides, st.sampled_from([0, 255]))
def test_fit_shows_the_whole_picture_in_its_proportions_in_the_middle_of_the_background(h, w, height, width, behind):
    new = resized(np.full((1, h, w), 100, dtype=np.uint8), (height, width), Resize.fit, behind)[0]
    rows, columns = (new == 100).any(axis=1), (new == 100).any(axis=0)
    shown = rows.sum(), columns.sum()
    scale = min(height / h, width / w)
    assert shown == pytest.approx((max(h * scale, 1), max(w * scale, 1)), abs=0.5)
    assert shown[0] == height or shown[1] == width
    assert (new[rows][:, columns] == 100).all()
    assert (new == behind).sum() == new.size - shown[0] * shown[1]
    for line in (rows, columns):
        before, after = line.argmax(), line[::-1].argmax()
        assert 0 <= after - before <= 1


@given(sides, sides, sides, sides)
def test_crop_without_scaling_is_the_middle_bit_for_bit(height, width, more_above, more_beside):
    h, w = height + (more_above if more_above % 2 else 0), width + (0 if more_above % 2 else more_beside)
    pixels = noise(3, h, w)
    top, left = (h - height) // 2, (w - width) // 2
    new = resized(pixels, (height, width), Resize.crop, 0)
    assert (new == pixels[:, top : top + height, left : left + width]).all()


def test_stretch_and_fit_agree_where_the_proportions_do_and_crop_too():
    pixels = noise(3, 24, 36)
    fitted, cropped, stretched = (resized(pixels, (8, 12), how, 0) for how in Resize)
    assert (stretched == fitted).all()
    assert (stretched == cropped).all()


def test_fine_patterns_are_averaged_and_not_aliased():
    board = (255 * (np.indices((64, 64)).sum(axis=0) % 2)).astype(np.uint8)[None]
    new = resized(board, (8, 8), Resize.stretch, 0)
    assert abs(new.astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 500), (3, 500, 1)])
@pytest.mark.parametrize("how", Resize)
def test_a_line_of_pixels_is_resized(shape, how):
    new = resized(np.full(shape, 200, dtype=np.uint8), (16, 16), how, 0)
    assert new.shape == (shape[0], 16, 16)
    assert (new == 200).sum() == (shape[0] * 16 if how is Resize.fit else new.size)


# ------------------------------------------------------------------------------------------------ JPEG


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A soft picture with edges, as photographs have them."""
    soft = Image.fromarray(noise(5, 7, 3)).resize((width, height), Image.Resampling.BICUBIC)
    soft.paste((250, 20, 20), (width // 3, height // 4, width // 2, height // 2))
    return soft.convert(mode)


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from([(600, 400), (604, 404), (603, 401)]),
    st.sampled_from([(16, 16), (8, 24), (30, 10)]),
    st.sampled_from(Resize),
    st.sampled_from([1, 3, 6, 8]),
)
def test_a_large_jpeg_is_decoded_in_a_smaller_size_and_looks_the_same(old, size, how, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    image = photograph(*old)
    data = jpeg(image, exif=exif)
    whole = decode_picture(data, PictureOptions(), "p").pixels  # in its own size
    direct = resized(whole, size, how, 0)
    drafted = decode_picture(data, PictureOptions(size=size, resize=how), "p").pixels
    difference = abs(direct.astype(int) - drafted)
    assert direct.shape == drafted.shape
    assert difference.mean() < 0.6
    assert difference.max() < 8  # on the edges of the patch


def test_the_photograph_of_several_in_a_file_is_the_one_that_is_resized():
    file = io.BytesIO()
    image = photograph(640, 480)
    image.save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (640, 480))], quality=95)
    small = PictureOptions(size=(16, 16))
    one = decode_picture(jpeg(image), small, "p").pixels
    assert abs(decode_picture(file.getvalue(), small, "p").pixels.astype(int) - one).max() <= 2


@given(st.tuples(st.integers(1, 5_000), st.integers(1, 5_000)), st.tuples(sides, sides))
def test_the_smaller_size_has_whole_blocks_and_is_three_times_the_new_one(old, size):
    scale = draft_scale(old, size)
    assert scale in (1, 2, 4, 8)
    assert (old[0] % scale, old[1] % scale) == (0, 0)
    assert scale == 1 or (old[0] / scale >= 3 * size[0] and old[1] / scale >= 3 * size[1])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_is_cut_short_is_refused_in_a_smaller_size_too(mode):
    data = jpeg(photograph(600, 400, mode))
    small = PictureOptions(size=(8, 8))
    assert decode_picture(data, small, "p").pixels.shape == (1 if mode == "L" else 3, 8, 8)
    with pytest.raises(DataError, match=r"p must be a picture: .*truncated.*\. Remove or replace it"):
        decode_picture(data[: len(data) // 2], small, "p")
