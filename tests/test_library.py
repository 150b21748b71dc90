"""beta-vae as a library: what an import costs, what it offers, and a model trained in ten lines."""

import json
import subprocess
import sys

import pytest
import torch

import vae

APPLICATION = {"hydra", "omegaconf", "tensorboard", "matplotlib", "torchvision"}


LOADED = """
import json, sys, vae
dir(vae)
before = [*sys.modules]
for name in vae.__all__: getattr(vae, name)
print(json.dumps([before, [*sys.modules]]))
"""


def test_importing_vae_does_not_load_torch_and_using_every_name_does_not_load_the_application():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    imported, used = map(set, json.loads(done.stdout))
    assert imported.isdisjoint({"torch", "numpy", *APPLICATION})
    assert "torch" in used
    assert used.isdisjoint(APPLICATION)


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
