"""A multi-rate run: its curve, and the plain model that is loaded for each beta."""

import json

import numpy as np
import pytest
import torch
from command import run

import vae
from vae.config import ConfigError
from vae.report import read_members, settings
from vae.report.plots import curve_of, rate_distortion


@pytest.fixture(scope="module")
def summary(multi_rate):
    return json.loads((multi_rate / "summary.json").read_text())


@pytest.fixture(scope="module")
def digits(few_images):
    word = next(word for word in few_images if word.startswith("data.path="))
    return np.load(word.removeprefix("data.path="))["images"][:50]


def test_the_curve_goes_through_the_numbers_of_the_run(summary):
    betas = [point["beta"] for point in summary["curve"]]
    assert (betas[0], betas[-1]) == (0.1, 10.0)
    assert {1.0, 2.0, 4.0, 8.0} <= set(betas)
    (own,) = [point for point in summary["curve"] if point["beta"] == 2]
    assert own["rate"] == pytest.approx(summary["test"]["rate"], rel=1e-6)
    assert own["distortion"] == pytest.approx(summary["test"]["distortion"], rel=1e-6)
    assert summary["test"]["loss_weight"] == 2


def test_a_model_is_loaded_for_each_beta_of_the_range(multi_rate, summary, digits):
    own, one, other = (vae.load(multi_rate, device="cpu", beta=beta) for beta in (None, 2.0, 0.1))
    assert torch.equal(own.encode(digits).mean, one.encode(digits).mean)
    assert own.score(digits).rate.mean() < other.score(digits).rate.mean()
    assert (own.description.beta, other.description.beta) == (2.0, 0.1)
    assert own.description.rate_per_latent == summary["test"]["rate_per_latent"]
    assert other.description.rate_per_latent is None
    with pytest.raises(ConfigError, match=r"run: beta must be from 0.1 to 10, the range of the training, got 11"):
        vae.load(multi_rate, beta=11.0)


def test_an_export_has_the_plain_model_of_one_beta(multi_rate, digits, tmp_path):
    done = run("-m", "vae", "export", str(multi_rate), "--beta", "0.5", "--to", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    exported, loaded = vae.load(tmp_path / "model", device="cpu"), vae.load(multi_rate, device="cpu", beta=0.5)
    assert torch.equal(exported.encode(digits).mean, loaded.encode(digits).mean)
    assert exported.description.beta == 0.5
    card = (tmp_path / "model" / "README.md").read_text()
    assert "tested at β = 2. It has no test numbers of the model for β = 0.5." in card
    with pytest.raises(ConfigError, match=r"an exported folder has the model of one beta, got beta=2. Leave it out"):
        vae.load(tmp_path / "model", beta=2.0)


def test_a_run_of_one_beta_has_no_model_for_others(few_run):
    with pytest.raises(ConfigError, match=r"has the model of one beta, got beta=2. Leave it out, or train objective="):
        vae.load(few_run, beta=2.0)


def test_the_report_draws_the_curve(multi_rate, summary):
    (member,) = members = read_members(multi_rate)
    assert len(curve_of(member)) == len(summary["curve"])
    assert "stroke-dasharray" in rate_distortion(settings(members))
