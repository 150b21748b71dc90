"""The explorer's numbers in a real browser beside torch's: the KL of every latent, every pixel, and the distortion."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from explorers import (
    PROMISED,
    PROMISED_DISTORTION,
    barely_trained,
    canvas_of,
    complaints,
    differences,
    explore,
    random_images,
    state_of,
    written,
)
from torch import nn

from vae.config.preparation import ImagePreparation
from vae.data import ImageSet
from vae.model.burgess import conv_vae
from vae.model.heads import GaussianHead
from vae.model.linear import linear_vae
from vae.model.locatello import locatello_vae
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.pages import ExploredModel, explorer
from vae.pages.explorer import drawn
from vae.probability.distributions import LogvarBounds

MNIST, DSPRITES, COLOURS = (1, 28, 28), (1, 64, 64), (3, 32, 32)


class Kind(NamedTuple):
    """A kind of model and data.

    Attributes:
        shape: of an image.
        model: makes one with five latents.
        form: of the pixels: `bits`, `bytes` or `floats`.
        images: how many there are.
    """

    shape: tuple[int, int, int]
    model: Callable[[tuple[int, int, int]], VAE]
    form: str = "bytes"
    images: int = 12


def gaussian(*, learned: bool = False, shape: tuple[int, ...] = ()) -> GaussianHead:
    return GaussianHead(0.05, learned, shape=shape)


KINDS = {
    "mlp": Kind(MNIST, lambda shape: mlp_vae(shape, 5, (32,)), "bits"),
    "mlp with two hidden layers": Kind(MNIST, lambda shape: mlp_vae(shape, 5, (32, 16), nn.Tanh)),
    "mlp with other activations in the decoder": Kind(
        MNIST, lambda shape: mlp_vae(shape, 5, (24,), nn.SiLU, decoder_hidden=(16, 24), decoder_activation=nn.GELU)
    ),
    "mlp without hidden layers": Kind(MNIST, lambda shape: mlp_vae(shape, 5, ())),
    "mlp with close bounds of logvar": Kind(
        MNIST, lambda shape: mlp_vae(shape, 5, (32,), bounds=LogvarBounds(-0.1, 0.1))
    ),
    "linear": Kind(MNIST, lambda shape: linear_vae(shape, 5, gaussian())),
    "linear, Bernoulli": Kind(MNIST, lambda shape: linear_vae(shape, 5), "bits"),
    "conv": Kind(MNIST, lambda shape: conv_vae(shape, 5, 8, 32)),
    "conv with GELU": Kind(MNIST, lambda shape: conv_vae(shape, 5, 8, 32, nn.GELU, gaussian()), "floats"),
    "conv of 64x64": Kind(DSPRITES, lambda shape: conv_vae(shape, 5, 8, 32), "bits", 6),
    "conv of another shape": Kind((1, 12, 40), lambda shape: conv_vae(shape, 5, 8, 32, nn.SiLU)),
    "locatello": Kind(DSPRITES, lambda shape: locatello_vae(shape, 5), "bits", 6),
    "mlp in colours": Kind((3, 16, 20), lambda shape: mlp_vae(shape, 5, (32,))),
    "mlp in colours with a variance of each pixel": Kind(
        (3, 16, 20), lambda shape: mlp_vae(shape, 5, (32,), nn.SiLU, gaussian(learned=True, shape=shape)), "floats"
    ),
    "conv in colours": Kind(COLOURS, lambda shape: conv_vae(shape, 5, 8, 32)),
    "conv in colours, Gaussian": Kind(COLOURS, lambda shape: conv_vae(shape, 5, 8, 32, head=gaussian(learned=True))),
}


def made(kind: Kind) -> tuple[VAE, ImageSet, ImagePreparation]:
    """The model after three steps, its images, and how they became x."""
    images = random_images(kind.shape, kind.images, redrawn=kind.form == "bits")
    shown = (0.0, 1.0)
    if kind.form == "floats":
        images, shown = ImageSet(images.grey(torch.arange(len(images))) * 3 - 1.3, images.labels, False), (-1.3, 1.7)
    preparation = ImagePreparation(
        kind.shape, binarised=images.redrawn, unit_interval=kind.form != "floats", shown=shown
    )
    torch.manual_seed(0)
    return barely_trained(kind.model(kind.shape), drawn(images, torch.arange(len(images)))), images, preparation


@pytest.mark.parametrize("name", KINDS)
def test_the_page_computes_what_torch_does(browser, tmp_path, monkeypatch, name):
    if KINDS[name].shape == DSPRITES:
        for number in ("CHECKED_DRAWS", "UNUSUAL_IMAGES"):
            monkeypatch.setattr(explorer, number, 40)  # of images of 64x64, more take seconds
    vae, images, preparation = made(KINDS[name])
    page = written(tmp_path, [ExploredModel(name, vae, 1.0, {})], images, preparation=preparation)
    explore(browser, page)
    assert browser.execute_script("return window.explorer.data.images.format") == KINDS[name].form
    black, white = preparation.shown
    found = differences(browser, vae, images, unit=white - black)
    assert found.kl < PROMISED
    assert found.pixels < PROMISED
    assert found.distortion < PROMISED_DISTORTION
    # The picture shows the means, and the image is shown as it is.
    mean = np.array(
        browser.execute_script(
            "const { models, pixels, state } = window.explorer; return Array.from(pixels(models[0], state.z))"
        )
    )
    for values, canvas in ((mean, "#decoded"), (state_of(browser)["x"], "#original")):
        channels = values.reshape(kind_shape := KINDS[name].shape)
        expected = np.rint(((channels - black) * (255 / (white - black))).clip(0, 255)).astype(int)
        seen = canvas_of(browser, canvas).transpose(2, 0, 1)
        assert np.abs(seen - np.broadcast_to(expected, (3, *kind_shape[1:]))).max() == 0
    assert complaints(browser, page) == []


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_a_wrong_weight_would_be_noticed(browser, tmp_path, name):
    vae, images, preparation = made(KINDS[name])
    explore(browser, written(tmp_path, [ExploredModel(name, vae, 1.0, {})], images, preparation=preparation))
    wrong = (  # the weights of one output, by 0.02
        "const layer = window.explorer.models[0][arguments[0]].findLast((l) => l.weight); "
        "for (let i = 0; i < layer.inputs; i++) layer.weight[i] += 0.02"
    )
    browser.execute_script(wrong, "encoder")
    found = differences(browser, vae, images)
    assert found.kl > PROMISED
    assert found.pixels < PROMISED
    browser.execute_script(wrong, "decoder")
    found = differences(browser, vae, images)
    assert found.pixels > PROMISED
