"""Images and batches: the laws of drawing, orders that depend on (seed, epoch) only, and the real MNIST."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from command import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from vae.config import Binarisation, Dataset, MnistConfig
from vae.data import DataError, ImageSet, MnistData, epoch_order
from vae.data.images import SUMMED_AT_ONCE, sample_bernoulli, sample_bernoulli_fast


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_grey(redrawn: bool, copies: int = 1) -> ImageSet:
    """Images of 16 x 16 that hold each of the 256 grey values once."""
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(copies, 1, 1, 1)
    return ImageSet(pixels=pixels, labels=torch.zeros(copies, dtype=torch.int64), redrawn=redrawn)


@pytest.fixture(scope="module")
def grey(mnist_root):
    return splits_of(mnist_root, Binarisation.none)


@pytest.fixture(scope="module")
def dynamic(mnist_root):
    return splits_of(mnist_root, Binarisation.dynamic)


@pytest.fixture(scope="module")
def static(mnist_root):
    return splits_of(mnist_root, Binarisation.static)


def splits_of(root, binarisation, validation_size=10_000):
    return MnistData(MnistConfig(Dataset.MNIST, str(root), False, 1.0, validation_size, binarisation)).read()


# Drawing


def test_the_mean_of_the_draws_is_the_pixel():
    draws = 40_000
    images = every_grey(redrawn=True, copies=draws)
    mean = images.batch(torch.arange(draws), seeded(0)).double().mean(0).flatten()
    p = torch.arange(256, dtype=torch.float64) / 255
    # Four standard errors: the chance that one of 254 leaves them is 1.6 %, and the seed is fixed.
    assert ((mean - p).abs() <= 4 * (p * (1 - p) / draws).sqrt()).all()


@pytest.mark.parametrize(("device", "how"), [("cpu", sample_bernoulli_fast), ("mps", sample_bernoulli)])
def test_a_device_without_64_random_bits_takes_the_exact_draws(monkeypatch, device, how):
    images, index = every_grey(redrawn=True, copies=3), torch.arange(3)
    monkeypatch.setattr(ImageSet, "device", property(lambda _: torch.device(device)))
    assert torch.equal(images.batch(index, seeded(0)), how(images.pixels, seeded(0)).float())


@pytest.mark.parametrize("how", [sample_bernoulli, sample_bernoulli_fast])
def test_black_is_never_drawn_and_white_always(how):
    pixels = torch.tensor([0, 255], dtype=torch.uint8).repeat(500_000, 1)
    assert how(pixels, seeded(0)).sum(0).tolist() == [0, 500_000]


def test_all_16_bits_of_a_pixel_decide(monkeypatch):
    """Every number of 16 bits once: a pixel is drawn as often as its share of them says, to one in 65 536."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda words, *_, **__: words.copy_(every))
    for pixel in range(256):
        share = sample_bernoulli_fast(torch.full((2**16,), pixel, dtype=torch.uint8), seeded(0)).double().mean().item()
        assert abs(share - pixel / 255) < 2**-16
        assert (share == pixel / 255) == (pixel in (0, 255))


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_any_number_of_pixels_is_redrawn(count):
    x = sample_bernoulli_fast(torch.full((count, 1), 128, dtype=torch.uint8), seeded(0))
    assert x.shape == (count, 1)
    assert x.dtype == torch.float32
    assert set(x.unique().tolist()) <= {0.0, 1.0}


def test_draws_differ_between_batches_and_repeat_with_the_seed():
    images = every_grey(redrawn=True, copies=8)
    index, generator = torch.arange(8), seeded(3)
    first, second = images.batch(index, generator), images.batch(index, generator)
    assert not torch.equal(first, second)
    assert torch.equal(images.batch(index, seeded(3)), first)


@pytest.mark.parametrize("how", [sample_bernoulli, sample_bernoulli_fast])
def test_the_draws_of_two_pixels_are_uncorrelated(how):
    pixels = torch.full((100_000, 6), 128, dtype=torch.uint8)  # four of six come from one number of 64 bits
    correlations = torch.corrcoef(how(pixels, seeded(0)).double().T) - torch.eye(6)
    assert correlations.abs().max().item() < 4.5 / math.sqrt(100_000)


# Batches


def test_a_grey_batch_is_the_pixels_over_255_and_leaves_the_generator_alone(tiny_images):
    generator, index = seeded(0), torch.tensor([5, 0, 5])
    before = generator.get_state()
    batch = tiny_images.batch(index, generator)
    assert batch.dtype == torch.float32
    assert torch.equal(batch, tiny_images.pixels[index].float() / 255)
    assert torch.equal(generator.get_state(), before)


@given(order=st.permutations(range(12)))
@settings(max_examples=20)
def test_an_image_in_a_batch_does_not_depend_on_the_order(tiny_images, order):
    index = torch.tensor(order)
    whole = tiny_images.batch(torch.arange(12), seeded(0))
    assert torch.equal(tiny_images.batch(index, seeded(0)), whole[index])


def test_a_batch_does_not_change_the_images(tiny_images):
    before = tiny_images.pixels.clone()
    for images in (tiny_images, replace(tiny_images, redrawn=True)):
        images.batch(torch.arange(9), seeded(0)).fill_(7)
    assert torch.equal(tiny_images.pixels, before)


def test_an_image_set_knows_its_size_and_gives_its_first_images(tiny_images):
    assert len(tiny_images) == 256
    assert tiny_images.shape == (1, 28, 28)
    assert len(tiny_images.first(1_000)) == 256
    few = replace(tiny_images, redrawn=True).first(3)
    assert torch.equal(few.pixels, tiny_images.pixels[:3])
    assert torch.equal(few.labels, tiny_images.labels[:3])
    assert few.redrawn


def test_an_image_set_moves_with_its_labels(tiny_images):
    moved = tiny_images.to("meta")
    assert moved.pixels.device.type == moved.labels.device.type == "meta"
    assert moved.redrawn == tiny_images.redrawn


# Mean and variance


@pytest.mark.parametrize("n", [1, SUMMED_AT_ONCE - 1, SUMMED_AT_ONCE, 2 * SUMMED_AT_ONCE + 1])
def test_mean_and_variance_are_those_of_the_float_images(n):
    pixels = torch.randint(0, 256, (n, 2, 3, 5), dtype=torch.uint8, generator=seeded(n))
    images = ImageSet(pixels=pixels, labels=torch.zeros(n, dtype=torch.int64), redrawn=False)
    x = pixels.double() / 255
    torch.testing.assert_close(images.mean().double(), x.mean(0), rtol=1e-6, atol=0)
    assert images.variance().mean().item() == pytest.approx(x.var(0, correction=0).mean().item(), rel=1e-6)


@pytest.mark.parametrize("n", [1, SUMMED_AT_ONCE + 3])
def test_floats_are_x_as_they_are_and_their_mean_and_variance_are_exact(n):
    pixels = 1e4 + torch.randn(n, 2, 3, 5, generator=seeded(n))
    images = ImageSet(pixels, torch.zeros(n, dtype=torch.int64), redrawn=False)
    index = torch.arange(n).flip(0)
    assert torch.equal(images.batch(index, seeded(0)), pixels.flip(0))
    x = pixels.double()
    torch.testing.assert_close(images.mean().double(), x.mean(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(images.variance().double(), x.var(0, correction=0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("redrawn", [False, True])
def test_the_variance_is_one_of_each_pixel(redrawn):
    pixels = torch.randint(0, 256, (400, 1, 2, 3), dtype=torch.uint8, generator=seeded(0))
    images = ImageSet(pixels, torch.zeros(400, dtype=torch.int64), redrawn=redrawn)
    x = pixels.double() / 255
    of_each = x.mean(0) * (1 - x.mean(0)) if redrawn else x.var(0, correction=0)
    torch.testing.assert_close(images.variance().double(), of_each, rtol=1e-6, atol=0)


def test_the_mean_of_many_images_needs_the_memory_of_a_few():
    script = (
        "import resource, torch\n"
        "from vae.training.hardware import keep_freed_memory\n"
        "from vae.data.images import ImageSet\n"
        "from vae.data.packed import PackedPixels\n"
        "keep_freed_memory()\n"
        "bits = torch.zeros(50_000, 512, dtype=torch.uint8)\n"
        "images = ImageSet(PackedPixels(bits, (1, 64, 64)), torch.zeros(50_000, dtype=torch.int64), redrawn=False)\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "images.first(2_000).mean(); before = peak(); images.mean(); images.variance(); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert int(done.stdout) < 20_000  # KB; a result of each of 200 chunks kept apart: 500 000


def test_a_variance_keeps_its_digits_where_a_mean_is_large():
    pixels = torch.full((60_000, 1, 1, 1), 255, dtype=torch.uint8)
    pixels[0] = 254
    images = ImageSet(pixels=pixels, labels=torch.zeros(60_000, dtype=torch.int64), redrawn=False)
    p = 1 / 60_000
    assert images.variance().mean().item() == pytest.approx(p * (1 - p) / 255**2, rel=1e-6)


def test_the_variance_of_a_redrawn_set_is_that_of_its_draws():
    images = every_grey(redrawn=True, copies=5_000)
    x = images.batch(torch.arange(5_000), seeded(0)).double()
    assert x.var(0).mean().item() == pytest.approx(images.variance().mean().item(), abs=1e-3)
    p = torch.arange(256, dtype=torch.float64) / 255
    torch.testing.assert_close(images.mean().flatten().double(), p, rtol=1e-6, atol=0)
    assert images.variance().mean().item() == pytest.approx((p * (1 - p)).mean().item(), rel=1e-6)


# Orders


@given(length=st.integers(0, 300), seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 10**6))
def test_an_order_is_a_permutation_and_a_function_of_seed_and_epoch(length, seed, epoch):
    order = epoch_order(length, seed, epoch)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(length))
    torch.rand(3)  # the global generator has no part in it
    assert torch.equal(epoch_order(length, seed, epoch), order)


def test_orders_of_other_seeds_and_epochs_differ():
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(30) for epoch in range(30)}
    assert len(orders) == 900
    # Seeds that a generator of 32 bits could confuse.
    assert not torch.equal(epoch_order(50, 0, 1), epoch_order(50, 1, 0))
    assert not torch.equal(epoch_order(50, 1, 0), epoch_order(50, 2, 0))


# Real MNIST


def test_mnist_is_the_mnist_of_the_papers(grey):
    train_labels = torch.cat([grey.train.labels, grey.validation.labels])
    assert train_labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert grey.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert grey.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = torch.cat([grey.train.pixels, grey.validation.pixels])
    whole = ImageSet(pixels=pixels, labels=train_labels, redrawn=False)
    # The mean 0.1307 and deviation 0.3081 that every tutorial normalises by.
    mean = whole.mean()
    assert mean.mean().item() == pytest.approx(0.1307, abs=5e-5)
    over_all = whole.variance().mean().item() + mean.var(correction=0).item()
    assert math.sqrt(over_all) == pytest.approx(0.3081, abs=5e-5)


def test_the_splits_have_their_sizes_and_validation_is_the_end_of_training(mnist_root, grey):
    assert [len(s) for s in (grey.train, grey.validation, grey.test)] == [50_000, 10_000, 10_000]
    whole = splits_of(mnist_root, Binarisation.none, validation_size=0)
    assert [len(s) for s in (whole.train, whole.validation, whole.test)] == [60_000, 0, 10_000]
    assert torch.equal(whole.train.pixels[50_000:], grey.validation.pixels)
    assert torch.equal(whole.train.labels[50_000:], grey.validation.labels)
    assert torch.equal(whole.train.pixels[:50_000], grey.train.pixels)
    assert whole.train.labels.dtype == torch.int64


def test_dynamic_draws_training_anew_and_the_rest_once(dynamic, grey):
    assert dynamic.train.redrawn
    assert torch.equal(dynamic.train.pixels, grey.train.pixels)
    for images in (dynamic.validation, dynamic.test):
        assert not images.redrawn
        assert images.pixels.unique().tolist() == [0, 255]
    batch = dynamic.train.batch(torch.arange(100), seeded(0))
    assert batch.unique().tolist() == [0.0, 1.0]


def test_the_drawn_test_images_are_draws_of_the_grey_ones(dynamic, grey):
    p = grey.test.pixels.double() / 255
    standard_error = (p * (1 - p)).sum().sqrt()
    assert abs((dynamic.test.pixels.double() / 255 - p).sum()) < 4 * standard_error
    assert (dynamic.test.pixels[grey.test.pixels == 0] == 0).all()
    assert (dynamic.test.pixels[grey.test.pixels == 255] == 255).all()


def test_all_runs_are_tested_on_the_same_images(mnist_root, dynamic, static):
    assert torch.equal(static.test.pixels, dynamic.test.pixels)
    assert torch.equal(static.validation.pixels, dynamic.validation.pixels)
    torch.manual_seed(12345)
    other = splits_of(mnist_root, Binarisation.dynamic, validation_size=0)
    assert torch.equal(other.test.pixels, dynamic.test.pixels)


def test_static_draws_training_once(static):
    assert not static.train.redrawn
    assert static.train.first(1_000).pixels.unique().tolist() == [0, 255]


@pytest.mark.parametrize("validation_size", [60_000])
def test_validation_must_leave_training_images(mnist_root, validation_size):
    with pytest.raises(DataError, match=f"validation_size must be below 60000, .* got {validation_size}"):
        splits_of(mnist_root, Binarisation.none, validation_size)
