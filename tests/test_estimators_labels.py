"""What latents know of labels, where it was put there by hand."""

import math

import pytest
import torch

from vae.measures import label_information
from vae.probability.divergences import entropy


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Labels


def test_what_a_latent_knows_of_the_label():
    n = 20_000
    labels = torch.randint(10, (n,), generator=seeded(0))
    independent = torch.randn(n, generator=seeded(1))
    mean = torch.stack([independent, labels.float(), (labels % 2).float(), torch.full((n,), 5.0)], 1)
    shares = torch.bincount(labels).double() / n
    parity = torch.stack([shares[::2].sum(), shares[1::2].sum()])
    information = label_information(mean, labels)
    bias = 19 * 9 / (2 * n)
    assert 0 <= information[0] < 2 * bias
    assert information[1].item() == pytest.approx(entropy(shares).item(), rel=1e-6)
    assert information[2].item() == pytest.approx(entropy(parity).item(), rel=1e-6)
    assert information[3].item() == pytest.approx(0.0, abs=1e-12)


def test_information_and_memory_depend_on_how_many_labels_there_are_and_not_on_their_size():
    labels = torch.randint(10, (2_000,), generator=seeded(0))
    mean = torch.stack([torch.randn(2_000, generator=seeded(1)), labels.float()], 1)
    large = 1_900_000_000 + 5_000_000 * labels  # counted up to the largest, they would take 600 GB
    assert label_information(mean, large).equal(label_information(mean, labels))


def test_information_does_not_see_the_unit_of_a_latent():
    labels = torch.randint(4, (2_000,), generator=seeded(0))
    mean = (labels + torch.randn(2_000, generator=seeded(1)))[:, None].double()
    straight = label_information(mean, labels)
    torch.testing.assert_close(label_information(1e-3 * mean, labels), straight, rtol=1e-2, atol=0)
    assert 0.1 < straight.item() < math.log(4)
