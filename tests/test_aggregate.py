"""The density of the aggregate posterior from a minibatch, against the mixture it estimates."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae.objectives.aggregate import minibatch_log_densities


def posteriors(images, latent, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean, logvar, noise = torch.randn(3, images, latent, generator=generator, dtype=torch.float64)
    return mean + torch.exp(0.5 * logvar) * noise, mean, logvar


def test_weighted_sampling_of_the_whole_set_is_the_mixture_but_for_the_known_size():
    z, mean, logvar = posteriors(40, 3)
    joint, product = minibatch_log_densities(z, mean, logvar, dataset_size=1000, stratified=False)
    uniform = Categorical(torch.ones(40, dtype=torch.float64))
    marginals = [
        MixtureSameFamily(uniform, Normal(mean[:, j], (0.5 * logvar[:, j]).exp())).log_prob(z[:, j]) for j in range(3)
    ]
    torch.testing.assert_close(product, sum(marginals) - 3 * math.log(1000))
    each = Normal(mean, (0.5 * logvar).exp()).log_prob(z[:, None]).sum(2)
    torch.testing.assert_close(joint, each.logsumexp(1) - math.log(40 * 1000))


@pytest.mark.parametrize(("batch", "size"), [(1, 7), (2, 2), (2, 50), (5, 5), (8, 60_000)])
def test_the_weights_of_stratified_sampling_sum_to_1(batch, size):
    _, mean, logvar = posteriors(batch, 2)
    z = torch.randn(batch, 2, dtype=torch.float64)
    same = (
        torch.zeros_like(mean),
        torch.zeros_like(logvar),
    )  # then every image has the same density, whatever its weight
    joint, product = minibatch_log_densities(z, *same, size, stratified=True)
    expected = Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(joint, expected)
    torch.testing.assert_close(product, expected)


def test_stratified_weights_are_those_of_the_paper():
    # Posteriors so far apart that each z meets one of them alone: its density there times that image's weight.
    mean = torch.tensor([[0.0], [1e3], [2e3], [3e3]], dtype=torch.float64)
    weights = torch.stack(
        [
            minibatch_log_densities(mean.roll(-shift, 0), mean, torch.zeros_like(mean), 10, stratified=True)[0].exp()
            * math.sqrt(2 * math.pi)
            for shift in range(4)
        ]
    )
    # z number i is the mean of image i + shift: its own, then the one that stands for the others, then the rest.
    expected = torch.tensor([1 / 10, (10 - 3) / (10 * 3), 1 / 3, 1 / 3], dtype=torch.float64)
    torch.testing.assert_close(weights, expected[:, None].expand(4, 4))


def test_stratified_sampling_is_unbiased_for_the_density_of_the_whole_set():
    z, mean, logvar = posteriors(30, 2, seed=3)
    density = Normal(mean, (0.5 * logvar).exp()).log_prob(z[0]).sum(1).exp().mean()
    generator = torch.Generator().manual_seed(0)
    estimates = []
    for _ in range(4000):
        index = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(29, generator=generator)[:5]])
        joint, _ = minibatch_log_densities(z[index], mean[index], logvar[index], 30, stratified=True)
        estimates.append(joint[0].exp())
    found = torch.stack(estimates)
    assert abs(found.mean() - density) < 4 * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize("stratified", [False, True])
def test_one_latent_has_no_product_to_differ_from(stratified):
    joint, product = minibatch_log_densities(*posteriors(9, 1), 100, stratified)
    torch.testing.assert_close(joint, product)


@pytest.mark.parametrize("stratified", [False, True])
def test_the_gradients_are_those_of_finite_differences(stratified):
    inputs = [tensor.requires_grad_() for tensor in posteriors(4, 2)]
    assert torch.autograd.gradcheck(lambda *given: minibatch_log_densities(*given, 20, stratified), inputs)
