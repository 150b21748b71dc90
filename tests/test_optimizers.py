"""The optimisers take torch's own steps, bit for bit, without what comes with its classes."""

import copy

import pytest
import torch
from command import run
from torch import nn

from vae.objectives.optimizers import Adagrad, Adam

PAIRS = {
    "adam": (
        lambda parameters: Adam(parameters, 1e-3, betas=(0.5, 0.9), epsilon=1e-4),
        lambda parameters: torch.optim.Adam(parameters, 1e-3, betas=(0.5, 0.9), eps=1e-4, fused=True),
    ),
    "adagrad": (
        lambda parameters: Adagrad(parameters, 1e-2),
        lambda parameters: torch.optim.Adagrad(parameters, 1e-2, fused=True),
    ),
}


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


def equal(some, others):
    return all(torch.equal(a, b) for a, b in zip(some.parameters(), others.parameters(), strict=True))


@pytest.mark.parametrize(("make", "of_torch"), PAIRS.values(), ids=PAIRS)
def test_the_steps_are_torchs_bit_for_bit(make, of_torch):
    ours, theirs = network(), network()
    walk(ours, make(ours.parameters()), range(6))
    walk(theirs, of_torch(theirs.parameters()), range(6))
    assert equal(ours, theirs)
    assert not equal(ours, network())


@pytest.mark.parametrize("kept_by", ["us", "torch"])
@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize(("make", "of_torch"), PAIRS.values(), ids=PAIRS)
def test_steps_go_on_from_a_state_that_was_kept_by_us_or_by_torch(make, of_torch, steps, kept_by):
    whole, parted = network(), network()
    walk(whole, make(whole.parameters()), range(6))
    before = (make if kept_by == "us" else of_torch)(parted.parameters())
    walk(parted, before, range(steps))
    kept = copy.deepcopy(before.state_dict())
    after = make(parted.parameters())
    after.load_state_dict(kept)
    walk(parted, after, range(steps, 6))
    assert equal(whole, parted)


def test_a_learning_rate_that_is_set_counts_from_the_next_step():
    ours, theirs = network(), network()
    adam, of_torch = Adam(ours.parameters(), 1e-3), torch.optim.Adam(theirs.parameters(), 1e-3, fused=True)
    for step in range(4):
        adam.learning_rate = of_torch.param_groups[0]["lr"] = 0.1 / (1 + step)
        walk(ours, adam, [step])
        walk(theirs, of_torch, [step])
    assert equal(ours, theirs)


def test_a_step_without_gradients_changes_nothing():
    layers = network()
    Adam(layers.parameters(), 1e-3).step()
    assert equal(layers, network())


def test_the_state_of_another_optimiser_is_refused():
    layers = network()
    with pytest.raises(KeyError, match="sum"):
        Adam(layers.parameters(), 1e-3).load_state_dict(Adagrad(layers.parameters(), 1e-3).state_dict())


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_a_run_that_compiles_nothing_does_not_load_the_compiler(tmp_path, few_images, optimizer):
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('loaded:', 'torch' in sys.modules, 'torch._dynamo' in sys.modules))\n"
        "sys.argv[0] = 'train.py'\n"
        "runpy.run_path('train.py', run_name='__main__')"
    )
    done = run("-c", code, *few_images, f"optimizer={optimizer}", f"hydra.run.dir='{tmp_path}/run'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded: True False\n")
