"""Bins, and what latents know of labels where it was put there by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from vae.measures.information import CODE_BINS, equal_width_bins, label_information


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Bins


def test_bins_are_those_of_a_histogram():
    values = torch.randn(1_000, 3, generator=seeded(0), dtype=torch.float64) * torch.tensor([1.0, 1e-6, 1e6])
    for column, value in zip(equal_width_bins(values).T, values.T, strict=True):
        assert column.bincount(minlength=CODE_BINS).tolist() == np.histogram(value, CODE_BINS)[0].tolist()


@pytest.mark.parametrize("value", [0.0, 0.3, -7.7])
def test_a_constant_latent_is_in_one_bin(value):
    assert len(equal_width_bins(torch.full((50, 1), value)).unique()) == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_latent_that_varies_in_its_last_digit_is_binned(kind):
    code = torch.from_numpy(np.where(np.arange(20) % 2 == 0, np.nextafter(kind(0.3), kind(1)), kind(0.3)))[:, None]
    assert set(equal_width_bins(code).flatten().tolist()) <= set(range(CODE_BINS))
    assert label_information(code, torch.arange(20) % 2).item() == pytest.approx(math.log(2))


# Labels


def test_information_is_that_of_scikit_learn():
    n = 5_000
    labels = torch.randint(10, (n,), generator=seeded(0))
    noise = torch.randn(n, generator=seeded(1))
    mean = torch.stack(
        [noise, labels.float(), (labels % 2).float(), labels + noise, torch.full((n,), 5.0)], 1
    ).double()
    information = label_information(mean, labels)
    expected = [mutual_info_score(labels.numpy(), column.numpy()) for column in equal_width_bins(mean).T]
    assert information.tolist() == pytest.approx(expected, abs=1e-12)
    assert 0 <= information[0] < 2 * 19 * 9 / (2 * n)  # the bias of an independent latent
    assert information[1].item() == pytest.approx(math.log(10), abs=0.01)
    assert information[2].item() == pytest.approx(math.log(2), abs=0.01)
    assert information[4] == 0


def test_information_and_memory_depend_on_how_many_labels_there_are_and_not_on_their_size():
    labels = torch.randint(10, (2_000,), generator=seeded(0))
    mean = torch.stack([torch.randn(2_000, generator=seeded(1)), labels.float()], 1)
    large = 1_900_000_000 + 5_000_000 * labels  # counted up to the largest, they would take 600 GB
    assert label_information(mean, large).equal(label_information(mean, labels))


def test_information_does_not_depend_on_the_unit_of_a_latent():
    labels = torch.randint(4, (2_000,), generator=seeded(0))
    mean = (labels + torch.randn(2_000, generator=seeded(1)))[:, None].double()
    straight = label_information(mean, labels)
    torch.testing.assert_close(label_information(1e-3 * mean, labels), straight, rtol=1e-2, atol=0)
    assert 0.1 < straight.item() < math.log(4)
