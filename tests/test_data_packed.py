import numpy as np
import pytest
import torch

from vae.data.images import ImageSet
from vae.data.packed import PackedPixels, pack

SHAPES = [(1, 8, 8), (1, 5, 3), (3, 4, 4)]  # whole bytes, and not


def both(image: tuple[int, int, int], count: int = 300) -> tuple[ImageSet, ImageSet]:
    """The same images, packed and plain."""
    white = np.random.default_rng(0).random((count, *image)) < 0.3
    packed = PackedPixels(torch.from_numpy(pack(white.astype(np.uint8))), image)
    labels = torch.arange(count)
    plain = torch.from_numpy(255 * white.astype(np.uint8))
    return ImageSet(packed, labels, redrawn=False), ImageSet(plain, labels, redrawn=False)


@pytest.mark.parametrize("image", SHAPES)
def test_packed_images_are_the_plain_ones_in_every_way(image):
    packed, plain = both(image)
    generator = torch.Generator()
    index = torch.randperm(300)[:50]
    assert torch.equal(packed.batch(index, generator), plain.batch(index, generator))
    assert torch.equal(packed.mean(), plain.mean())
    assert torch.equal(packed.variance(), plain.variance())
    assert len(packed) == len(plain)
    assert packed.shape == plain.shape == image
    few = packed.first(7), plain.first(7)
    assert len(few[0]) == 7
    assert torch.equal(few[0].batch(torch.arange(7), generator), few[1].batch(torch.arange(7), generator))
    assert packed.to("meta").device.type == "meta"


def test_a_pixel_takes_a_bit():
    packed, plain = both((1, 8, 8))
    assert isinstance(packed.pixels, PackedPixels)
    assert packed.pixels.bits.nbytes * 8 == plain.pixels.numel()
