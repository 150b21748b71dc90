"""Whether a likelihood fits the images: the default of own data, what is refused, and what is said."""

import math
import re

import numpy as np
import pytest
import torch
from command import ROOT
from configured import record_of
from torch.distributions import Normal

from vae.app.command_line.composition import Composer, parse_override
from vae.app.likelihood import likelihood_lines, refuse_unfit
from vae.config import Binarisation, Config, ConfigError, GaussianConfig, Variances
from vae.data.images import ImageSet, Splits
from vae.data.packed import PackedPixels, pack
from vae.data.splits import ImageArrays, random_splits
from vae.model.heads import GaussianHead

GREY = np.random.default_rng(0).random((20, 1, 3, 4), dtype=np.float32)
BYTES = (255 * GREY).astype(np.uint8)
BINARY = (GREY > 0.5).astype(np.uint8) * np.uint8(255)
OWN = {"path": "/x", "target": "my_data:read"}


def configured(likelihood: str, data: str = "images", **changed) -> Config:
    given = {key: OWN[key] for key in {"images": ["path"], "custom": ["path", "target"]}.get(data, [])}
    return record_of({"likelihood": likelihood, "data": data}, data={**given, **changed}).config


def splits_of(images: np.ndarray, binarisation: Binarisation = Binarisation.none) -> Splits:
    return random_splits(ImageArrays(images), 0.2, 0.2, binarisation)


# ------------------------------------------------------------------------------------------------ the default


@pytest.mark.parametrize("data", ["images", "custom"])
@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], "gaussian_learned"),
        (["likelihood=bernoulli"], "bernoulli"),
        (["likelihood=gaussian"], "gaussian"),
        (["experiment=mine"], "gaussian_columns"),
        (["experiment=mine", "likelihood=bernoulli"], "bernoulli"),
    ],
)
def test_own_data_choose_a_gaussian_unless_an_experiment_or_the_command_line_does(tmp_path, data, words, chosen):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(
        f"# @package _global_\ndefaults:\n  - override /data: {data}\n  - override /likelihood: gaussian_columns\n"
    )
    given = [f"data={data}", "data.path=x", *(["data.target=a:b"] if data == "custom" else [])]
    composer = Composer(ROOT / "configs", [f"hydra.searchpath=[file://{tmp_path}]"])
    for order in ([*given, *words], [*words, *given]):
        record = composer.composed([parse_override(word) for word in order]).record
        assert record.choices["likelihood"] == chosen
        assert isinstance(record.config.likelihood, GaussianConfig) == (chosen != "bernoulli")


@pytest.mark.parametrize("data", ["mnist", "sprites", "dsprites", "kmnist"])
def test_other_data_keep_bernoulli(data):
    record = Composer(ROOT / "configs").composed([parse_override(f"data={data}")]).record
    assert record.choices["likelihood"] == "bernoulli"


def test_variances_of_each_must_be_learned():
    with pytest.raises(ConfigError, match=r"variances=each needs learned variances, .*Add likelihood\.learned=true"):
        record_of({"likelihood": "gaussian"}, likelihood={"variances": "each"}, data={"binarisation": "none"})
    assert configured("gaussian_columns").likelihood == GaussianConfig(1.0, True, Variances.each)


@pytest.mark.parametrize(("key", "size"), [("validation_size", 1.5), ("test_size", 10.25)])
def test_sizes_are_shares_or_whole_numbers(key, size):
    with pytest.raises(ConfigError, match=rf"data\.{key} must be a share of the images below 1, .*got {size}\. Round"):
        configured("bernoulli", **{key: size})
    assert getattr(configured("bernoulli", **{key: 10.0}).data, key) == 10


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("data", "fix"), [("images", r"data\.range=\[-1,5\]"), ("custom", r"\(images \+ 1\) / 6")])
def test_a_bernoulli_likelihood_of_another_unit_is_refused_with_the_fix(data, fix):
    other = GREY.copy()
    other[0, 0, 0, :2] = -1, 5
    with pytest.raises(ConfigError, match=rf"these go from -1 to 5\. Use likelihood=gaussian_learned, or .*{fix}"):
        refuse_unfit(configured("bernoulli", data), splits_of(other))
    refuse_unfit(configured("gaussian_learned", data), splits_of(other))
    refuse_unfit(configured("bernoulli", data), splits_of(GREY))


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_a_variance_that_cannot_be_learned_is_refused(unit):
    splits = splits_of(unit * GREY)
    with pytest.raises(ConfigError, match=r"must lie from 4\.54e-05 to 2\.2e\+04 .*\. Divide them by "):
        refuse_unfit(configured("gaussian_learned"), splits)
    refuse_unfit(configured("gaussian"), splits)


# ------------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("likelihood", "images", "said"),
    [
        ("bernoulli", BYTES, [r"are grey, so a Bernoulli likelihood is a cross-entropy, and the loss no bound"]),
        ("bernoulli", GREY, [r"are grey, so a Bernoulli"]),
        ("bernoulli", BINARY, []),
        ("gaussian_learned", BYTES, [r"have a Gaussian likelihood with a learned variance; "]),
        ("gaussian", GREY, [r"have a Gaussian likelihood with the variance 0\.05; "]),
        (
            "gaussian_columns",
            BINARY,
            [r"learned variance of each pixel; ", r"are all 0 or 1: likelihood=bernoulli"],
        ),
        (
            "gaussian_learned",
            4 * GREY,
            [r"have a Gaussian", r"go from \S+ to \S+ and are kept so; figures show"],
        ),
        (
            "gaussian_learned",
            200 * GREY,
            [
                r"have a Gaussian",
                r"go from ",
                r"^warning: their standard deviation is .*data\.range=\[.*\], which",
            ],
        ),
    ],
)
def test_the_lines_fit_the_images(likelihood, images, said):
    lines = likelihood_lines(configured(likelihood), splits_of(images))
    assert len(lines) == len(said)
    for line, pattern in zip(lines, said, strict=True):
        assert re.search(pattern, line), line
        assert len(line.splitlines()) == 1


def test_drawn_and_packed_images_are_binary():
    assert splits_of(BYTES, Binarisation.dynamic).train.is_binary
    assert splits_of(BYTES, Binarisation.static).train.is_binary
    assert not splits_of(BYTES).train.is_binary
    packed = PackedPixels(torch.from_numpy(pack(BINARY)), (1, 3, 4))
    assert ImageSet(packed, torch.zeros(20, dtype=torch.int64), redrawn=False).is_binary


@pytest.mark.parametrize("variance", [1e-6, 1e6])
def test_a_fixed_variance_is_used_as_it_is_and_not_bounded(variance):
    x = torch.full((2, 3), 1e-3)
    oracle = Normal(torch.zeros(2, 3), math.sqrt(variance)).log_prob(x).sum(1)
    torch.testing.assert_close(GaussianHead(variance, learned=False)(torch.zeros(2, 3)).log_prob(x), oracle)
