"""beta-vae as a library: what an import costs, what it offers, and a model trained in ten lines."""

import json
import subprocess
import sys

import pytest
import torch

import vae

APPLICATION = {"hydra", "omegaconf", "tensorboard", "matplotlib", "torchvision"}


def modules_after(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([name for name in sys.modules if '.' not in name]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_vae_loads_neither_torch_nor_the_application():
    loaded = modules_after("import vae; dir(vae)")
    assert "vae" in loaded
    assert loaded.isdisjoint({"torch", "numpy", *APPLICATION})


def test_using_every_name_loads_torch_but_nothing_of_the_application():
    loaded = modules_after("import vae\nfor name in vae.__all__: getattr(vae, name)")
    assert "torch" in loaded
    assert loaded.isdisjoint(APPLICATION)


@pytest.mark.parametrize("name", vae.__all__)
def test_every_name_is_there_and_is_called_so(name):
    assert getattr(vae, name).__name__ == name
    assert name in dir(vae)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match=r"module 'vae' has no attribute 'VEA'. It has .*\bVAE\b"):
        vae.VEA  # noqa: B018


def test_ten_lines_train_a_model(tiny_images):
    torch.manual_seed(0)
    x = tiny_images.pixels[:100] / 255
    model = vae.mlp_vae(image=(1, 28, 28), latent_dim=5, hidden=(64,))
    objective = vae.BetaObjective(vae.LinearWarmup(4.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for step in range(20):
        loss = objective(vae.elbo_terms(model, x, torch.randn(len(x), 5)), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
