"""The explorer as a file: which images and numbers it carries, how large it is, and what it refuses."""

import re

import numpy as np
import pytest
import torch
from configured import record_of
from hypothesis import given
from hypothesis import strategies as st
from page_bytes import carried, carried_bytes
from torch import Tensor

from vae.config import ConfigError
from vae.config.preparation import ImagePreparation, TablePreparation
from vae.data import ImageSet
from vae.data.factors import Factors
from vae.data.mnist import read_idx
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE
from vae.pages import ExploredModel, beta_of, explorer, explorer_page
from vae.pages.explorer import WALL_IMAGES, drawn, pixel_bytes, stored_images, unusual, wall_of

SHAPE = (1, 6, 5)
LARGEST = 1_500_000  # bytes of a page of one run with the default settings


def images_of(pixels: Tensor, labels: list[int] | None = None, **more: object) -> ImageSet:
    known = torch.arange(len(pixels)) % 3 if labels is None else torch.tensor(labels)
    return ImageSet(pixels, known, redrawn=False, **more)


def bytes_images(count: int = 12) -> ImageSet:
    pixels = torch.randint(0, 256, (count, *SHAPE), generator=torch.Generator().manual_seed(0))
    return images_of(pixels.byte())


def model(shape: tuple[int, int, int] = SHAPE, **options: object) -> VAE:
    torch.manual_seed(0)
    return mlp_vae(shape, 3, (8,), **options).eval()


def page_of(images: ImageSet, *models: ExploredModel, **options: object) -> str:
    preparation = options.pop("preparation", ImagePreparation(images.shape, binarised=images.redrawn))
    return explorer_page(
        models or [ExploredModel("one", model(images.shape), 1.0, {})], images, preparation, title="t", **options
    )


def stored_values(page: str) -> np.ndarray:
    """The images of a page as its script reads them."""
    data = carried(page, "explorer")
    content, shape = carried_bytes(page, "images"), (data["images"]["count"], *data["shape"])
    match data["images"]["format"]:
        case "bits":
            values = np.unpackbits(np.frombuffer(content, np.uint8))[: np.prod(shape)].astype(np.float32)
        case "bytes":
            values = np.frombuffer(content, np.uint8).astype(np.float32) / np.float32(255)
        case "floats":
            values = np.frombuffer(content, "<f4")
    return values.reshape(shape)


@pytest.mark.parametrize("form", ["bits", "bytes", "floats"])
def test_images_are_stored_without_loss(form):
    images = bytes_images()
    preparation = ImagePreparation(SHAPE)
    if form == "bits":
        images, preparation = (
            ImageSet(images.pixels, images.labels, redrawn=True),
            ImagePreparation(SHAPE, binarised=True),
        )
    if form == "floats":
        images = images_of(torch.randn(12, *SHAPE, generator=torch.Generator().manual_seed(0)))
        preparation = ImagePreparation(SHAPE, unit_interval=False, shown=(-3.0, 3.0))
    vae = model(head=GaussianHead(1.0, learned=False)) if form == "floats" else model()
    page = page_of(images, ExploredModel("one", vae, 1.0, {}), preparation=preparation)
    assert carried(page, "explorer")["images"]["format"] == form
    assert np.array_equal(stored_values(page), drawn(images, wall_of(images)).numpy())


@given(st.lists(st.sampled_from([0, 1, 254, 255]), min_size=1, max_size=30))
def test_bytes_are_bits_only_if_all_are_black_or_white(values):
    x = (torch.tensor(values).float() / 255)[:, None, None, None]
    form, content = pixel_bytes(x)
    assert form == ("bits" if set(values) <= {0, 255} else "bytes")
    if form == "bytes":
        assert list(content) == values


@given(st.lists(st.integers(0, 150), min_size=1, max_size=400), st.integers(1, 150))
def test_the_wall_has_equal_shares_of_the_labels(labels, kinds):
    images = images_of(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), [label % kinds for label in labels])
    wall = wall_of(images)
    assert len(wall) == min(WALL_IMAGES, len(labels))
    chosen = images.labels[wall]
    assert chosen.tolist() == sorted(chosen.tolist())
    counts = {k: int((chosen == k).sum()) for k in images.labels.unique().tolist()}
    for k, count in counts.items():
        have = (images.labels == k).nonzero()[:, 0]
        assert wall[chosen == k].tolist() == have[:count].tolist()  # its first ones
        assert count == len(have) or count >= max(counts.values()) - 1


def test_large_images_are_fewer(monkeypatch):
    x = torch.rand(20, *SHAPE)
    monkeypatch.setattr(explorer, "IMAGE_BYTES", 1_000)
    kept, form, content = stored_images(x)
    assert form == "floats"
    assert len(content) <= 1_000
    assert 5 < len(kept) < 20
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept[-1] > 14  # evenly spaced
    monkeypatch.setattr(explorer, "IMAGE_BYTES", 1)
    assert len(stored_images(x)[0]) == 1


def test_unusual_images_are_noise_swapped_and_shifted():
    x = torch.rand(5, 1, 8, 8).round()
    found = unusual(x, ImagePreparation((1, 8, 8), binarised=True))
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert found[-10:-5].equal(1 - x)
    assert found[-5:].equal(x.roll((2, 2), (2, 3)))
    grey = unusual(x * 4 - 2, ImagePreparation((1, 8, 8), unit_interval=False, shown=(-2.0, 2.0)))
    assert grey[-10:-5].equal(2 - x * 4)
    assert grey[:-10].min() >= -2
    assert grey[:-10].max() <= 2


def test_labels_factors_and_numbers_are_carried():
    images = bytes_images()
    factors = Factors.of({"size": np.arange(12) % 4, "word": ["a", "b"] * 6})
    images = ImageSet(images.pixels, images.labels, redrawn=False, factors=factors)
    told = {"factors": ["size", "word"], "matrices": {"mutual_information": [[0.1, 0.2]] * 3, "other": [[1.0]]}}
    test = {"rate_per_latent": [1.0, 2.0, 3.0], "elbo": -5.0, "distortion": 4.0, "rate": 1.0, "images": 12}
    page = page_of(images, ExploredModel("one", model(), 4.0, test, told), label_names=["x", "y", "z"])
    data = carried(page, "explorer")
    assert data["labelNames"] == ["x", "y", "z"]
    assert data["images"]["labels"] == [0] * 4 + [1] * 4 + [2] * 4
    shown = [(factor["name"], factor["ordered"], max(factor["values"])) for factor in data["map"]["factors"]]
    assert shown == [("size", True, 3), ("word", False, 1)]
    (one,) = data["models"]
    assert (one["beta"], one["latents"], one["ratePerLatent"]) == (4.0, 3, [1.0, 2.0, 3.0])
    assert one["test"] == {"elbo": -5.0, "distortion": 4.0, "rate": 1.0}
    assert one["factors"] == {"names": ["size", "word"], "matrix": [[0.1, 0.2]] * 3}
    assert all(0 < error < 1e-3 for error in one["errors"])


def test_labels_are_named_after_a_factor_only_if_they_are_its_levels():
    images = bytes_images()  # of labels 0, 1, 2
    for levels, name in ((np.arange(12) % 3, "size"), (np.arange(12) % 4, None)):
        known = ImageSet(images.pixels, images.labels, redrawn=False, factors=Factors.of({"size": levels}))
        assert carried(page_of(known), "explorer")["labelFactor"] == name
    assert carried(page_of(images), "explorer")["labelFactor"] is None


def test_images_without_labels_have_none_on_the_page():
    images = images_of(bytes_images().pixels, [0] * 12)
    assert carried(page_of(images), "explorer")["images"]["labels"] is None


def test_the_map_shows_training_images_where_their_factors_are_known():
    images = bytes_images()
    train = bytes_images(20)
    train = ImageSet(train.pixels, train.labels, redrawn=False, factors=Factors.of({"size": np.arange(20) % 2}))
    data = carried(page_of(images, train=train), "explorer")
    assert data["map"]["count"] == 20
    assert len(data["map"]["factors"][0]["values"]) == 20
    assert carried(page_of(images, train=bytes_images(20)), "explorer")["map"]["count"] == 12


def test_the_page_is_the_same_each_time():
    assert page_of(bytes_images()) == page_of(bytes_images())


def test_markup_in_names_ends_no_element():
    hostile = "</script><script>alert(1)</script><!--"
    page = page_of(bytes_images(), ExploredModel(hostile, model(), 1.0, {}), label_names=[hostile] * 3)
    assert carried(page, "explorer")["models"][0]["name"] == hostile
    assert hostile not in page
    assert len(re.findall("<script", page)) == 4


def test_a_table_is_refused():
    table = TablePreparation(("a",), (0.0,), (1.0,), None)
    with pytest.raises(ConfigError, match="shows images, got a table"):
        page_of(bytes_images(), preparation=table)


def test_two_channels_are_refused():
    images = images_of(torch.zeros(4, 2, 6, 5, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="shows images of 1 or 3 channels, got 2"):
        page_of(images)


def test_a_model_with_too_many_parameters_is_refused(monkeypatch):
    monkeypatch.setattr(explorer, "MOST_PARAMETERS", 500)
    with pytest.raises(ConfigError, match=r"up to 500 parameters, got \d+ in large\. Use traverse"):
        page_of(bytes_images(), ExploredModel("large", model(), 1.0, {}))


def test_images_that_are_too_large_are_refused():
    with pytest.raises(
        ConfigError, match=r"images of up to 49,152 values, as 3x128x128 have, got 49,408\. Use traverse"
    ):
        page_of(images_of(torch.zeros(3, 1, 193, 256, dtype=torch.uint8)))


def test_a_matrix_that_is_damaged_is_left_out():
    told = {"factors": ["size"], "matrices": {"mutual_information": [[0.1], [float("nan")], [0.2]]}}
    (one,) = carried(page_of(bytes_images(), ExploredModel("one", model(), 1.0, {}, told)), "explorer")["models"]
    assert one["factors"] is None


def test_the_page_knows_which_models_minimised_its_loss():
    models = [ExploredModel("one", model(), 6.0, {}, minimised=False), ExploredModel("two", model(), 4.0, {})]
    data = carried(page_of(bytes_images(), *models), "explorer")
    assert [(one["beta"], one["minimised"]) for one in data["models"]] == [(6.0, False), (4.0, True)]


@pytest.mark.parametrize(
    ("objective", "weight", "expected"),
    [
        ("beta", 6.0, (6.0, True)),
        ("beta", 4.5, (6.0, False)),  # the warm-up has not ended
        ("multi_rate", 6.0, (6.0, True)),
        ("target_rate", 3.5, (3.5, True)),  # it has found this beta
        ("target_distortion", 3.5, (3.5, True)),
        ("total_correlation", 1.0, (6.0, False)),
        ("factor", 6.0, (6.0, False)),
        ("free_bits", 6.0, (6.0, False)),
    ],
)
def test_a_run_is_known_by_its_beta_and_by_whether_it_minimised_distortion_and_beta_times_rate(
    objective, weight, expected
):
    own = {} if objective in ("target_rate", "target_distortion") else {"beta": 6.0}
    assert beta_of(record_of({"objective": objective}, **own).config, weight) == expected


def test_large_numbers_are_rounded_relative_to_their_size():
    values = 5000 * torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0)) - 2000
    vae = mlp_vae(SHAPE, 3, (8,), head=GaussianHead(1.0, learned=False)).eval()
    preparation = ImagePreparation(SHAPE, unit_interval=False, shown=(-2000.0, 3000.0))
    page = page_of(images_of(values.float()), ExploredModel("one", vae, 1.0, {}), preparation=preparation)
    (one,) = carried(page, "explorer")["models"]
    assert all(layer.get("planes", 1) <= 4 for layer in one["encoder"])
    assert max(one["errors"]) < 1e-3


def test_an_unknown_layer_is_refused():
    vae = model()
    vae.encoder.append(torch.nn.Dropout())
    with pytest.raises(ConfigError, match="got Dropout in the encoder"):
        page_of(bytes_images(), ExploredModel("one", vae, 1.0, {}))


def test_a_network_that_computes_more_than_its_layers_is_refused():
    class Doubled(torch.nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    vae = model()
    vae.encoder = Doubled(*vae.encoder)
    with pytest.raises(ConfigError, match="must compute what torch does"):
        page_of(bytes_images(), ExploredModel("one", vae, 1.0, {}))


def test_a_page_of_the_default_model_of_mnist_is_small(mnist_root):
    """784-400-20, after 40 steps at three times the default rate."""
    pixels = read_idx(mnist_root / "MNIST/raw/t10k-images-idx3-ubyte")[:2_000].unsqueeze(1)
    labels = read_idx(mnist_root / "MNIST/raw/t10k-labels-idx1-ubyte")[:2_000].long()
    images = ImageSet(pixels, labels, redrawn=True)
    vae = mlp_vae(images.shape, 20, (400,))
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for index in torch.randint(0, 2_000, (40, 128), generator=generator):
        x = images.batch(index, generator)
        posterior = vae.encode(x)
        z = posterior.rsample(torch.randn(posterior.mean.shape, generator=generator))
        optimizer.zero_grad()
        (posterior.kl_to_standard().sum(1) - vae.decode(z).log_prob(x)).mean().backward()
        optimizer.step()
    page = page_of(images, ExploredModel("mnist", vae.eval(), 1.0, {})).encode()
    assert 600_000 < len(page) < LARGEST
