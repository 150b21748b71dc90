"""A run on images with known factors, by the real command line: its scores, where they are, and the same again.

It has a metric of the user's own, the example of README.md.
"""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import made_once
from PIL import Image

import evaluate
from vae.app.verbs.evaluate import compare

GRID = ["data.shapes=2", "data.scales=2", "data.orientations=1", "data.positions_x=6", "data.positions_y=6"]
SMALL = [*GRID, "data.side=16", "data.validation_size=10", "data.test_size=50", "model.hidden=[32]", "epochs=2"]


EXAMPLES = str(Path(__file__).parent / "examples")


@pytest.fixture(scope="module")
def sprites_run(shared):
    words = (
        "data=sprites",
        f"data.root={shared}/sprites/root",
        *SMALL,
        "model.latent_dim=3",
        "batch_size=16",
        "beta=2",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", EXAMPLES, prepend=os.pathsep)
        return made_once(shared / "sprites" / "run", (*words, "metrics=[my_metrics:score]"))


def summary(directory):
    return json.loads((directory / "summary.json").read_text())


def test_the_summary_holds_every_score_and_the_matrices_they_come_from(sprites_run):
    found = summary(sprites_run)["disentanglement"]
    assert found["factors"] == ["shape", "scale", "x", "y"]  # one orientation is no factor
    numbers = found["numbers"]
    of_means = {name for name in numbers if not name.endswith(("_sampled", "_shuffled"))}
    assert {"mig", "mig_chen", "dci_disentanglement", "sap", "factor_vae_score", "beta_vae_score"} <= of_means
    assert {name for name in numbers if name.endswith("_sampled")} == {f"{n}_sampled" for n in of_means - {"mig_chen"}}
    assert {name for name in numbers if name.endswith("_shuffled")} == {f"{name}_shuffled" for name in of_means}
    assert all(np.isfinite(value) for value in numbers.values())
    assert not set(numbers) & set(summary(sprites_run)["test"])  # one row of a table holds both
    assert all(np.shape(matrix) == (3, 4) for matrix in found["matrices"].values())
    assert found["left_out"] == {}
    log = (sprites_run / "train.log").read_text()
    assert re.search(r"scores MIG 0\.\d{3} \(chance 0\.\d{3}\), DCI .*, of posterior means\n", log)
    assert re.search(r" [0-3] of 3 latents have a rate above 0\.01 nats\n", log)
    assert found["collapsed"] == {
        "beta_vae_score": 0.25,
        "dci_informativeness": pytest.approx(1 / 3),
        "explicitness": 0.5,
    }
    assert "scores of disentanglement: 4 factors, less than a minute of a core; disentanglement=false leaves" in log


def test_the_scores_are_logged_and_the_matrices_drawn(sprites_run):
    lines = [json.loads(line) for line in (sprites_run / "metrics.jsonl").read_text().splitlines()]
    logged = {name: value for line in lines for name, value in line.items()}
    for name, value in summary(sprites_run)["disentanglement"]["numbers"].items():
        assert logged[f"disentanglement/{name}"] == value
    (own,) = summary(sprites_run)["metrics"].items()
    assert own == ("linear_r2", logged["metrics/linear_r2"])
    assert 0 < own[1] < 1
    assert f"own    linear_r2 {own[1]:.4g}" in (sprites_run / "train.log").read_text()
    with Image.open(sprites_run / "figures/factors.png") as picture:
        assert picture.width > 600


def test_the_codes_are_those_of_the_test_images(sprites_run):
    with np.load(sprites_run / "codes.npz", allow_pickle=False) as codes:
        mean, logvar = codes["mean"], codes["logvar"]
    assert mean.shape == logvar.shape == (50, 3)
    rate = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0)
    np.testing.assert_allclose(rate, summary(sprites_run)["test"]["rate_per_latent"], rtol=1e-4, atol=1e-6)


def test_evaluate_finds_the_same_scores_and_adds_those_that_lack(tmp_path, sprites_run, called, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    before = summary(sprites_run)
    copy = tmp_path / "run"
    shutil.copytree(sprites_run, copy)
    (copy / "summary.json").write_text(json.dumps({k: v for k, v in before.items() if k != "disentanglement"}))
    done = called(evaluate, str(copy), "metrics=[my_metrics:score]")
    assert done.returncode == 0, done.stderr
    assert "added the scores" in done.stderr
    assert summary(copy) == before
    assert json.loads(done.stdout)["disentanglement"] == before["disentanglement"]
    assert json.loads(done.stdout)["metrics"] == before["metrics"]


@pytest.mark.parametrize(("kind", "name"), [("test", "rate"), ("disentanglement", "mig"), ("metrics", "linear_r2")])
def test_evaluate_notices_a_number_that_is_not_the_models(sprites_run, capsys, kind, name):
    found = {k: summary(sprites_run)[k] for k in ("test", "disentanglement", "metrics")}
    assert compare(*found.values(), sprites_run / "summary.json") == 0
    (found[kind]["numbers"] if kind == "disentanglement" else found[kind])[name] += 0.1
    assert compare(*found.values(), sprites_run / "summary.json") == 1
    assert f"differs from {sprites_run / 'summary.json'} in {name}" in capsys.readouterr().err
