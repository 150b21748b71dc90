"""Training on a table: against the distribution that the rows come from, and by the real command line."""

import json
import re

import numpy as np
import pytest
import torch
from command import ROOT, one_error_line, run_train

import evaluate
import traverse
from vae.app.command_line import checked
from vae.config import TableConfig
from vae.data import TableData
from vae.data.preparation import restored
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.objectives import elbo_terms
from vae.run import record

COLUMNS = ("age", "mass", "height", "score", "salary")
MEANS, UNITS = np.array([20.0, 70.0, 170.0, 0.0, 3e4]), np.array([1.0, 10.0, 100.0, 5.0, 1e4])
NOISE = 0.3


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a linear model with two latents, and the covariance that they are drawn with."""
    generator = np.random.default_rng(0)
    loadings = generator.normal(size=(2, 5))
    values = generator.normal(size=(count, 2)) @ loadings + NOISE * generator.normal(size=(count, 5))
    covariance = loadings.T @ loadings + NOISE**2 * np.eye(5)
    return MEANS + UNITS * values, UNITS[:, None] * covariance * UNITS


def write_table(path, count: int) -> None:
    values, _ = rows(count)
    sites = np.where(values[:, 1] > MEANS[1], "north", "south")
    lines = [",".join([*(f"{value:.7g}" for value in row), site]) for row, site in zip(values, sites, strict=True)]
    path.write_text("\n".join([",".join([*COLUMNS, "site"]), *lines, ""]))


def test_the_elbo_of_a_linear_gaussian_table_comes_close_to_the_log_density_and_never_above_it(tmp_path):
    values, covariance = rows(2_000)
    np.savez(tmp_path / "t.npz", table=values, columns=COLUMNS)
    splits = TableData(TableConfig(str(tmp_path / "t.npz"), None, [], 0, 500)).read()
    torch.manual_seed(0)
    vae = mlp_vae((1, 1, 5), 3, (16,), head=GaussianHead(1.0, learned=True, shape=(1, 1, 5)))
    optimizer = torch.optim.Adam(vae.parameters(), 2e-2)
    for _ in range(400):
        x = splits.train.pixels[torch.randint(len(splits.train), (200,))]
        terms = elbo_terms(vae, x, torch.randn(200, 3))
        optimizer.zero_grad()
        (terms.distortion + terms.rate.sum(1)).mean().backward()
        optimizer.step()
    preparation = splits.preparation
    test = restored(splits.test.pixels, preparation)
    truth = torch.distributions.MultivariateNormal(torch.tensor(MEANS), torch.tensor(covariance))
    # The density of standardised rows is that of the rows times the product of the deviations.
    exact = float(truth.log_prob(test).mean()) + float(np.log(preparation.deviation).sum())
    encoding = encode_images(vae, splits.test)
    assert exact - 0.5 < elbo_numbers(encoding)["elbo"] < exact + 0.1
    with torch.no_grad():
        means = restored(vae.decode(encoding.mean).mean, preparation)
    errors = (means - test).square().mean(0).sqrt().numpy() / (NOISE * UNITS)
    assert np.all((errors > 0.7) & (errors < 1.6))  # what is left is the noise


@pytest.fixture(scope="module")
def run_of_table(tmp_path_factory):
    """The directory of a run of two epochs on 200 rows, and its folder."""
    folder = tmp_path_factory.mktemp("table")
    write_table(folder / "x.csv", 200)
    words = (
        "data=table",
        "data.path=x.csv",
        "data.label=site",
        "epochs=2",
        "model.hidden=[16]",
        "model.latent_dim=3",
        "tracking.log_every_steps=1",
    )
    done = run_train(*words, directory=folder / "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout


def test_a_table_is_trained_on_by_one_command(run_of_table):
    directory, said = run_of_table
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "done"
    assert summary["test"]["images"] == 20
    assert summary["test"]["baseline_distortion"] == pytest.approx(5 * 1.42, abs=1.0)  # of five standard normals
    assert "160 / 20 / 20 rows (train / validation / test) of 5 columns" in said
    stored = record.read(directory)
    assert stored.preparation.columns == COLUMNS
    assert stored.preparation.label == "site"
    assert np.allclose(stored.preparation.mean, MEANS, rtol=0, atol=0.5 * UNITS)
    assert stored.choices["likelihood"] == "gaussian_columns"
    assert {path.stem for path in (directory / "figures").glob("*.png")} == {
        "correlation",
        "latent_scatter",
        "rate_per_latent",
        "rates_in_training",
        "reconstructions",
        "traversals",
    }
    assert (directory / "projector" / "posterior_mean" / "tensors.tsv").exists()
    assert "warning" not in said


@pytest.mark.parametrize("script", [evaluate, traverse])
def test_the_scripts_take_a_run_on_a_table(run_of_table, script, called):
    directory, _ = run_of_table
    done = called(script, str(directory))
    assert done.returncode == 0, done.stderr


def test_a_column_of_words_ends_the_command_with_one_line(tmp_path, trained):
    write_table(tmp_path / "x.csv", 20)
    done = trained("data=table", f"data.path='{tmp_path / 'x.csv'}'", directory=tmp_path / "run")
    assert done.returncode == 4
    said = one_error_line(done)
    assert re.search(r"the column site must hold numbers, line 2 has south\. .*data\.drop=\[site\]", said)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model=conv", r"data=table needs model=mlp, linear or custom, .* got conv\. Add model=mlp"),
        ("model=locatello", r"data=table needs model=mlp, linear or custom, .* got locatello"),
        ("likelihood=bernoulli", r"data=table needs a Gaussian likelihood, .* got bernoulli\. Add likelihood="),
        ("data.binarisation=none", r"data\.binarisation is a key of data=mnist"),
        ("data.test_size=2.5", r"data\.test_size must be a share of the images below 1, or a whole number"),
    ],
)
def test_what_does_not_fit_a_table_is_refused_before_it_is_read(word, said, capsys):
    with pytest.raises(SystemExit, match="1"):
        checked(["data=table", "data.path=none.csv", word], ROOT / "configs")
    assert re.search(f"^error: {said}", capsys.readouterr().err)


@pytest.mark.parametrize(("words", "likelihood"), [((), "gaussian_columns"), (("likelihood=gaussian",), "gaussian")])
def test_a_table_has_a_variance_of_each_column_unless_the_command_says_otherwise(words, likelihood):
    (task,) = checked(["data=table", "data.path=none.csv", *words], ROOT / "configs").tasks
    assert task.record.choices["likelihood"] == likelihood
