"""Networks of the user's own: checked before training, trained, and continued bit for bit."""

import copy
import sys

import pytest
import torch
from command import one_error_line, run_train
from examples import my_nets
from results import same
from small_trainings import check_resuming
from torch import nn

from vae.config import ConfigError
from vae.model.check import check_networks
from vae.model.heads import BernoulliHead
from vae.model.vae import VAE

IMAGE, LATENTS = (1, 28, 28), 3
X = torch.rand(4, *IMAGE, generator=torch.Generator().manual_seed(0))


def own_vae(image=IMAGE, latent_dim=LATENTS, head=None, width=16, **_):
    encoder, decoder = my_nets.encoder(image, latent_dim, width), my_nets.decoder(image, latent_dim, width)
    return VAE(encoder, decoder, head or BernoulliHead(), latent_dim)


class Raising(nn.Flatten):
    def forward(self, x):
        raise KeyError(f"no such\nlayer for {len(x)} images")


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)).detach()


def flat(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def not_finite():
    network = flat(784, 6)
    nn.init.constant_(network[1].bias, torch.nan)
    return network


ENCODER = r"^model.encoder must return numbers of shape \(4, 6\) for an input of shape \(4, 1, 28, 28\), got "
DECODER = r"^model.decoder must return numbers of shape \(4, 1, 28, 28\) for an input of shape \(4, 3\), got "


@pytest.mark.parametrize(
    ("part", "network", "message"),
    [
        ("encoder", flat(784, 3), ENCODER + r"shape \(4, 3\). Change its last layer$"),
        ("encoder", nn.Identity(), ENCODER + r"shape \(4, 1, 28, 28\)"),
        ("encoder", nn.LSTM(28, 6), ENCODER + "(tuple|ValueError: LSTM|RuntimeError)"),
        (
            "encoder",
            flat(20, 6),
            ENCODER + r"RuntimeError: mat1 and mat2 .* \(linear.py, line \d+\). Change its layers$",
        ),
        (
            "encoder",
            Raising(),
            ENCODER + r"KeyError: .no such\\nlayer for 4 images. \(test_own_networks.py, line \d+\)",
        ),
        ("encoder", not_finite(), "^model.encoder must return finite numbers, got 24 of 24 that are not. Check"),
        (
            "encoder",
            Detached(784, 6),
            "^model.encoder must use .*, got no gradient for 2, weight among them. Use them",
        ),
        ("decoder", flat(3, 784), DECODER + r"shape \(4, 784\). Change its last layer$"),
        ("decoder", flat(6, 784), DECODER + "RuntimeError: mat1 and mat2"),
    ],
)
def test_a_wrong_network_is_refused_in_one_line(part, network, message):
    vae = own_vae()
    setattr(vae, part, network)
    with pytest.raises(ConfigError, match=message) as refused:
        check_networks(vae, X)
    assert "\n" not in str(refused.value)


def test_the_check_changes_neither_the_model_nor_torchs_generator():
    vae = own_vae()
    before, state = copy.deepcopy(vae.state_dict()), torch.get_rng_state()
    check_networks(vae, X)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(vae.state_dict(), before)
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_frozen_parameters_and_networks_without_any_are_accepted():
    vae = own_vae()
    vae.encoder = flat(784, 6).requires_grad_(False)
    vae.decoder = nn.Sequential(nn.Unflatten(1, (1, 3, 1)), nn.Upsample((28, 28)))
    check_networks(vae, X)


def test_a_decoder_without_an_output_layer_starts_as_it_is():
    vae = own_vae()
    before = copy.deepcopy(vae.state_dict())
    vae.start_at(torch.full(IMAGE, 0.3), torch.full(IMAGE, 0.1))
    assert same(vae.state_dict(), before)


def test_a_network_with_dropout_and_batch_norm_continues_bit_for_bit(begin, tmp_path, splits):
    check_resuming(begin, tmp_path, splits, 3, make=own_vae)


NETWORKS = ("model=custom", "model.encoder=examples.my_nets:encoder", "model.decoder=examples.my_nets:decoder")


def test_own_networks_train_and_continue_from_the_command_line(few_images, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "tests:" + ":".join(sys.path))
    done = run_train(*few_images, *NETWORKS, "epochs=1", "model.latent_dim=3", directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    done = run_train(f"resume={tmp_path / 'run'}", "epochs=2", *NETWORKS[1:])
    assert done.returncode == 0, done.stderr
    assert "continued at step 10" in done.stdout + done.stderr


def test_a_wrong_network_ends_the_command_with_one_line(few_images, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "tests:" + ":".join(sys.path))
    done = run_train(*few_images, *NETWORKS, "model.encoder=examples.my_nets:decoder", directory=tmp_path / "run")
    assert done.returncode == 1
    assert "model.encoder must return numbers of shape (8, 20)" in one_error_line(done)
