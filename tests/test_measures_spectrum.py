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
