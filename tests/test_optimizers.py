"""The optimizers are torch's, with all of their state from the start."""

import pytest
import torch
from torch import nn

from vae.objectives.optimizers import adagrad, adam, load_moments, moments

PAIRS = {
    "adam": (
        lambda parameters: adam(parameters, 1e-3, betas=(0.5, 0.9), epsilon=1e-4),
        lambda parameters: torch.optim.Adam(parameters, 1e-3, betas=(0.5, 0.9), eps=1e-4),
    ),
    "adagrad": (
        lambda parameters: adagrad(parameters, 1e-2),
        lambda parameters: torch.optim.Adagrad(parameters, 1e-2),
    ),
}
pairs = pytest.mark.parametrize(("make", "of_torch"), PAIRS.values(), ids=PAIRS)


def network():
    """A network in which not every parameter is used in every step."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(12, 5)).to(memory_format=torch.channels_last)
    layers.register_parameter("sometimes", nn.Parameter(torch.ones(())))
    return layers


def walk(layers, optimizer, steps):
    for step in steps:
        x = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        out = layers(x) * layers.sometimes if step % 2 else layers(x)
        out.square().sum().backward()
        optimizer.step()


@pairs
def test_the_steps_are_torchs(make, of_torch):
    ours, theirs = network(), network()
    walk(ours, make(ours.parameters()), range(6))
    walk(theirs, of_torch(theirs.parameters()), range(6))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pairs
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_steps_continue_bit_for_bit_from_the_moments(make, of_torch, steps):  # noqa: ARG001
    whole, parted = network(), network()
    walk(whole, make(whole.parameters()), range(6))
    before = make(parted.parameters())
    walk(parted, before, range(steps))
    after = make(parted.parameters())
    load_moments(after, moments(before))
    walk(parted, after, range(steps, 6))
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), parted.parameters(), strict=True))


@pairs
def test_the_moments_have_one_layout_at_every_step_and_making_them_moves_nothing(make, of_torch):  # noqa: ARG001
    layers = network()
    before = [p.detach().clone() for p in layers.parameters()]
    optimizer = make(layers.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, layers.parameters(), strict=True))
    assert all(p.grad is None for p in layers.parameters())
    fresh = moments(optimizer)["state"]
    assert all(float(state["step"]) == 0 for state in fresh.values())
    shapes = {(i, name): numbers.shape for i, state in fresh.items() for name, numbers in state.items()}
    walk(layers, optimizer, range(3))
    walked = moments(optimizer)["state"]
    assert shapes == {(i, name): numbers.shape for i, state in walked.items() for name, numbers in state.items()}


def test_a_checkpoint_does_not_change_the_settings():
    layers = network()
    optimizer = adam(layers.parameters(), 1e-3)
    load_moments(optimizer, moments(adam(layers.parameters(), 0.5, betas=(0.1, 0.2))))
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (1e-3, (0.9, 0.999))
