"""The linear theory on the real command line: `predict`, the lines and the summary of a run, and the report."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from command import QUIET, ROOT, one_error_line
from fake_runs import put_run, reported, summary_of

import predict
from vae.app.command_line import compose
from vae.app.data import build_data
from vae.figures import plots
from vae.measures.linear_vae import Spectrum, learned_variance, predict_linear
from vae.report import read_members, settings
from vae.report.linear import linear_table, rates_over_beta

EIGENVALUES = [8.0, 4.0, 2.0, 1.0]
# A variance of 1 and about these eigenvalues: one latent goes out after another, near beta 8, 4 and 2.
CONFIGS = ROOT / "configs"
MODEL = ("model=linear", "model.latent_dim=3", "likelihood=gaussian", "likelihood.variance=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[str, ...]:
    """The words of images of 1 x 2 x 2, of which 200 are for training."""
    images = np.random.default_rng(0).standard_normal((300, 4)) * np.sqrt(EIGENVALUES)
    path = tmp_path_factory.mktemp("data") / "own.npy"
    np.save(path, images.reshape(-1, 2, 2).astype(np.float32))
    return "data=images", f"data.path={path}", "data.validation_size=50", "data.test_size=50", *MODEL


@pytest.fixture(scope="module")
def found(data) -> Spectrum:
    """The spectrum of the 200 images, by numpy."""
    x = build_data(compose(data, CONFIGS)).read().train.pixels.flatten(1).double().numpy()
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1].copy()
    assert len(x) == 200
    assert values[:3] == pytest.approx(EIGENVALUES[:3], rel=0.2)
    return Spectrum(torch.from_numpy(values), float(values.sum()), 4)


def numbers(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line]


# The command


def test_predict_prints_what_is_active_and_the_numbers_of_each_beta(data, found, called, tmp_path):
    done = called(predict, *data, "beta=.5,3,12", "--output", str(tmp_path / "found.csv"))
    assert done.returncode == 0, done.stderr
    expected = [predict_linear(found, beta, 3, 1.0) for beta in (0.5, 3.0, 12.0)]
    assert [p.active for p in expected] == [3, 2, 0]
    cells = numbers(done.stdout)
    assert cells[0][:4] == ["latent", "eigenvalue", "variance so far", "inactive from beta"]
    for place, row in enumerate(cells[2:5]):
        value = f"{float(found.eigenvalues[place]):.4g}"
        share = 100 * float(found.eigenvalues[: place + 1].sum()) / found.trace
        rates = [float(p.rates[place]) for p in expected]
        assert row == [str(place + 1), value, f"{share:.1f} %", value, *(f"{r:.3f}" if r else "-" for r in rates)]
    for beta, p, row in zip(("0.5", "3", "12"), expected, cells[-3:], strict=True):
        terms = [f"{p.rate:.3f}", f"{p.distortion:.2f}", f"{p.loss:.2f}", f"{p.elbo:.2f}"]
        assert row == [f"beta={beta}", "1", f"{p.active} of 3", *terms]
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text().splitlines()))
    for p, row in zip(expected, rows, strict=True):
        assert [float(row[f"rate_0{place}"]) for place in range(3)] == pytest.approx(p.rates.tolist(), abs=1e-9)
        for name in ("beta", "variance", "active", "rate", "distortion", "loss", "elbo"):
            assert float(row[name]) == pytest.approx(getattr(p, name), abs=1e-9)


def test_predict_knows_a_learned_variance_and_several_numbers_of_latents(data, found, called):
    done = called(predict, *data[:-2], "likelihood=gaussian_learned", "model.latent_dim=1,2")
    variances = [f"{learned_variance(found, 1.0, latents):.4g}" for latents in (1, 2)]
    assert [row[:3] for row in numbers(done.stdout)[-2:]] == [
        ["beta=1 latent_dim=1", variances[0], "1 of 1"],
        ["beta=1 latent_dim=2", variances[1], "2 of 2"],
    ]


def test_predict_says_where_bounds_keep_a_training_from_the_optimum(data, called):
    assert "note:" not in called(predict, *data).stdout
    assert "logvar_min=-1" in called(predict, *data, "logvar_min=-1").stdout
    done = called(predict, *data, "likelihood.learned=true", "model.latent_dim=9", "beta=0.9")
    assert done.returncode == 0
    assert "note: the learned variance is at its bound" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["beat=4"], 1, "unknown key beat. Did you mean beta?"),
        (["beta"], 2, "every override is key=value without spaces, got beta"),
        (["likelihood=bernoulli"], 1, "the linear theory needs a Gaussian likelihood, got bernoulli. Add likelihood="),
        (
            ["likelihood.learned=true", "likelihood.variances=each"],
            1,
            "the linear theory needs one variance for all pix",
        ),
        (["objective=capacity"], 1, "the linear theory needs objective=beta, got capacity. Add objective=beta"),
        (["beta=0"], 1, "the linear theory needs a beta above 0 at the end of training, got 0"),
        (
            ["objective.at_steps=[0,9]", "objective.factors=[1,0]"],
            1,
            "the linear theory needs a beta above 0 at the end",
        ),
        (["data.seed=1,2"], 1, "unknown key data.seed"),
        (["data.test_size=40,50"], 1, "a prediction is of one data set, got several values of data. Call it once"),
        (["resume=outputs/x"], 1, "a prediction is made from the words of a run, got resume"),
        (["--output", "found.txt"], 2, "--output must end in .csv, got found.txt"),
        (
            ["data.path=/nowhere.npz"],
            4,
            "data.path must be an .npz, an .npy or a folder of pictures, got /nowhere.npz",
        ),
    ],
)
def test_predict_refuses_in_one_line_what_the_theory_does_not_know(data, called, words, code, said):
    done = called(predict, *(data[:-2] if "likelihood=bernoulli" in words else data), *words)
    assert done.returncode == code
    assert one_error_line(done).startswith(f"error: {said}")
    assert done.stdout == ""


# A run


@pytest.fixture
def run(data, trained, tmp_path):
    """A run of a few steps, and what it printed."""
    answer = trained(*data, "beta=3", "epochs=2", "batch_size=50", *QUIET, directory=tmp_path / "r")
    assert answer.returncode == 0, answer.stderr
    return tmp_path / "r", answer.stdout


def test_a_gaussian_run_says_first_what_a_linear_model_reaches_and_at_last_how_it_compares(run, found, trained):
    directory, printed = run
    first, second = re.findall(r"^linear (.*)$", printed, re.M)
    best = predict_linear(found, 3.0, 3, 1.0)
    assert first.startswith(f"models reach the loss {best.loss:.2f} at best: distortion {best.distortion:.2f}, rate")
    assert "2 of 3 latents active" in first
    assert f"no latent is active from beta {float(found.eigenvalues[0]):.4g} on" in printed
    assert "spectrum of all 200 images" in printed
    assert re.match(r"the last epoch's loss [\d.]+ is [\d.]+ above a linear model's best", second)
    stored = json.loads((directory / "summary.json").read_text())["linear"]
    assert (stored["beta"], stored["active"], stored["variance"], stored["variance_learned"]) == (3, 2, 1, False)
    assert stored["loss"] == pytest.approx(best.loss)
    assert stored["spectrum"]["eigenvalues"] == pytest.approx(found.eigenvalues[:3].tolist())
    assert stored["trained_rates"] == sorted(stored["trained_rates"], reverse=True)

    more = trained(f"resume={directory}", "epochs=3")
    assert more.returncode == 0
    again = json.loads((directory / "summary.json").read_text())["linear"]
    assert {**again, "trained_rates": 0} == {**stored, "trained_rates": 0}
    assert first in more.stdout


@pytest.mark.parametrize("words", [("likelihood=bernoulli", "data.range=[-20,20]"), ("objective=free_bits",)])
def test_other_runs_have_no_such_lines(data, trained, tmp_path, words):
    answer = trained(
        *(data[:-2] if "likelihood=bernoulli" in words else data),
        *words,
        "epochs=1",
        *QUIET,
        directory=tmp_path / "r",
    )
    assert answer.returncode == 0, answer.stderr
    assert not re.search(r"^linear ", answer.stdout, re.M)
    assert "linear" not in json.loads((tmp_path / "r" / "summary.json").read_text())


# The report


def put_sweep(folder, betas, **changed):
    """Runs whose summaries hold the prediction for these eigenvalues and the variance 1."""
    for beta in betas:
        rates = np.maximum(0, 0.5 * np.log(np.array(EIGENVALUES[:3]) / beta)).tolist()
        linear = {"beta": beta, "variance": 1.0, "variance_learned": False, "distortion": 9.0, "rate": sum(rates)}
        linear |= {"loss": 9.0 + beta * sum(rates), "active": sum(rate > 0 for rate in rates), "rates": rates}
        linear |= {"trained_rates": [rate + 0.01 for rate in rates]}
        linear["spectrum"] = {"eigenvalues": EIGENVALUES[:3], "trace": 15.0, "dimensions": 4, "source": "all 9 images"}
        summary = summary_of(beta, 0, scores=False) | {
            "linear": linear | changed,
            "train": {"loss": linear["loss"] + 2},
        }
        put_run(folder / f"beta={beta}", summary)
    return folder


def test_the_report_of_a_sweep_draws_predicted_curves_that_end_where_latents_go_out(tmp_path):
    grouped = settings(read_members(put_sweep(tmp_path / "s", [0.5, 3.0, 9.0])))
    (shown,) = rates_over_beta(grouped)
    assert [(round(across[-1], 6), up[-1]) for across, up in shown.predicted] == [(8, 0), (4, 0), (2, 0)]
    for (across, up), eigenvalue in zip(shown.predicted, EIGENVALUES, strict=False):
        assert up == pytest.approx(0.5 * np.log(eigenvalue / np.array(across)), abs=1e-9)
    assert [beta for beta, _ in shown.trained] == [0.5, 3.0, 9.0]
    table = linear_table(grouped)
    assert [row[3:] for row in table.rows] == [["+2.00", "3"], ["+2.00", "2"], ["+2.00", "0"]]
    _, page = reported(tmp_path / "s")
    assert "Beside the linear theory" in page
    assert "Predicted and trained rate of each latent over beta" in page


@pytest.mark.parametrize(
    "changed", [{"trained_rates": None}, {"spectrum": {}}, {"rates": [0.5]}, {"variance": 0.0}, {"beta": "four"}]
)
def test_a_damaged_prediction_is_left_out_of_the_report(tmp_path, changed):
    folder = put_sweep(tmp_path / "s", [0.5], **changed)
    put_sweep(folder, [3.0, 9.0])
    grouped = settings(read_members(folder))
    assert len(linear_table(grouped).rows) == 2
    assert "Beside the linear theory" in reported(folder)[1]


def test_a_learned_variance_has_curves_too_and_runs_without_a_prediction_have_none(tmp_path):
    folder = put_sweep(tmp_path / "s", [0.5, 3.0], variance_learned=True)
    (shown,) = rates_over_beta(settings(read_members(folder)))
    assert round(shown.predicted[0][0][-1], 6) == round(8 / (15 / 4), 6)
    shutil.rmtree(folder)
    for beta in (1.0, 4.0):
        put_run(folder / f"beta={beta}", summary_of(beta, 0, scores=False))
    assert rates_over_beta(settings(read_members(folder))) == []
    assert "Beside the linear theory" not in reported(folder)[1]


def test_the_figure_is_a_picture_for_any_number_of_latents():
    for latents in (1, 3, 40):
        curve = [([0.5, 1.0], [0.3, 0.0])] * latents
        picture = plots.latents_over_beta(curve, [(0.5, [0.3] * latents), (1.0, [0.0] * latents)])
        assert picture.ndim == 3
        assert picture.min() < 255
