"""The spectrum of images: numpy's, of draws, and of a sample."""

import numpy as np
import pytest
import torch

from vae.data.images import ImageSet
from vae.measures import spectrum as module
from vae.measures.spectrum import spectrum_of


def image_set(images: int, side: int, redrawn: bool) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.randn(images, 3, generator=generator) @ torch.randn(3, side * side, generator=generator)
    noise = torch.randn(images, side * side, generator=generator)
    pixels = (255 * (low_rank + 0.3 * noise).sigmoid()).to(torch.uint8).view(images, 1, side, side)
    return ImageSet(pixels, torch.zeros(images, dtype=torch.long), redrawn)


def of_numpy(images: ImageSet, draws: int = 1) -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    x = torch.cat([images.batch(torch.arange(len(images)), generator) for _ in range(draws)]).flatten(1).double()
    return np.linalg.eigvalsh(np.cov(x.numpy().T, bias=True))[::-1]


def test_the_spectrum_is_that_of_numpys_covariance():
    images = image_set(300, 6, redrawn=False)
    found = spectrum_of(images, 4)
    expected = of_numpy(images)
    assert found.eigenvalues.numpy() == pytest.approx(expected, abs=1e-6)
    assert found.trace == pytest.approx(expected.sum(), rel=1e-5)
    assert found.dimensions == 36


def test_the_spectrum_of_redrawn_images_is_that_of_their_draws():
    images = image_set(400, 4, redrawn=True)
    found = spectrum_of(images, 4)
    expected = of_numpy(images, draws=200)
    assert found.eigenvalues.numpy() == pytest.approx(expected, rel=0.03)
    assert found.trace == pytest.approx(expected.sum(), rel=0.01)


def test_a_sample_of_all_images_has_the_largest_eigenvalues(monkeypatch):
    images = image_set(300, 8, redrawn=False)
    whole = spectrum_of(images, 5)
    monkeypatch.setattr(module, "WIDEST", 10)
    found = spectrum_of(images, 5)
    assert found.eigenvalues.numpy() == pytest.approx(whole.eigenvalues[:5].numpy(), rel=1e-3)
    assert found.trace == pytest.approx(whole.trace)


def test_the_same_images_have_the_same_spectrum_to_the_bit(monkeypatch):
    monkeypatch.setattr(module, "WIDEST", 10)
    images = image_set(200, 6, redrawn=False)
    assert torch.equal(spectrum_of(images, 3).eigenvalues, spectrum_of(images, 3).eigenvalues)


def test_floats_have_the_spectrum_of_the_bytes_they_are_far_from_zero_too():
    images = image_set(300, 6, redrawn=False)
    floats = ImageSet(images.pixels.float() / 255 + 10, images.labels, redrawn=False)
    found = spectrum_of(floats, 4).eigenvalues.numpy()
    assert found == pytest.approx(spectrum_of(images, 4).eigenvalues.numpy(), rel=1e-4, abs=1e-5)


def test_a_part_of_the_images_is_said_to_be_one_and_leaves_torchs_generator_alone(monkeypatch):
    images = image_set(3_000, 8, redrawn=False)
    whole = spectrum_of(images, 2)
    assert whole.source == "all 3 000 images"
    monkeypatch.setattr(module, "WIDEST", 10)
    monkeypatch.setattr(module, "SAMPLED_NUMBERS", 64 * 1_000)
    before = torch.get_rng_state()
    part = spectrum_of(images, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert part.source == "1 000 of 3 000 images"
    assert part.eigenvalues.numpy() == pytest.approx(whole.eigenvalues[:2].numpy(), rel=0.2)
    assert part.trace == pytest.approx(whole.trace)
    assert torch.equal(spectrum_of(images, 2, exact=True).eigenvalues, whole.eigenvalues)


def test_too_few_images_for_the_latents_and_too_many_for_all_are_refused(monkeypatch):
    monkeypatch.setattr(module, "WIDEST", 10)
    images = image_set(50, 4, redrawn=False)
    with pytest.raises(ValueError, match=r"^a sample of 50 images of 16 pixels is too small for 8 latents"):
        spectrum_of(images, 8)
    monkeypatch.setattr(module, "EXACT_PRODUCTS", 10)
    with pytest.raises(ValueError, match=r"^the covariance of 50 images of 16 pixels is too large"):
        spectrum_of(images, 8, exact=True)
