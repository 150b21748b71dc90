"""`beta-vae choose` and `python scripts/choose.py`, as a user types them."""

import json
import math
import re
import shlex

import numpy as np
import pytest
from command import one_error_line
from configured import changed, record_of
from fake_runs import put_run, put_sweep, summary_of

import choose as script
from vae.app.command_line import compose
from vae.app.invocation import configs_directory
from vae.app.retyping import words_of
from vae.app.verbs.choose import safe
from vae.config import flat
from vae.report.choice import Aim, Choice, Goal
from vae.run import record


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """The path of a made-up sweep, with stored configurations, seen from the working directory."""
    monkeypatch.chdir(tmp_path)
    for beta in (1.0, 2.0, 4.0):
        for seed in range(2):
            directory = put_run(tmp_path / "outputs" / "S" / f"beta={beta}_seed={seed}", summary_of(beta, seed))
            record.write(directory, changed(record_of({"model": "conv"}), beta=beta, seed=seed, epochs=7))
    return "outputs/S"


def test_a_choice_is_a_line_its_evidence_its_cautions_and_the_next_command(sweep, called):
    done = called(script, sweep, "--rate", "20")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"beta = 2\.\d{1,3} \(interpolated between beta=2 and beta=4\)", lines[0])
    assert lines[1] == "aim     the smallest distortion with a rate of at most 20 nats"
    assert lines[2].startswith("expect  distortion 93.8")
    assert lines[2].endswith("rate 20.00 nats, active units 3 ± 0")
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    assert [line.split("|")[-2].strip() for line in table[2:]] == ["", "neighbour", "chosen", "neighbour"]
    beta = lines[0].split()[2]
    assert lines[-1].startswith(f"next    python -m vae train sweep=S beta={beta} model=conv epochs=7 ")


def test_a_trained_beta_names_its_runs_and_a_new_seed(sweep, called):
    done = called(script, sweep, "--active", "3")
    lines = done.stdout.splitlines()
    assert lines[0] == "beta = 1 (trained)"
    assert lines[-2] == "run     outputs/S/beta=1.0_seed=0, outputs/S/beta=1.0_seed=1"
    assert " sweep=S beta=1 seed=2 model=conv " in lines[-1]


def test_the_json_of_a_choice(sweep, called):
    done = called(script, sweep, "--distortion", "100", "--json")
    found = json.loads(done.stdout)
    assert found["beta"] == pytest.approx(10 / 3, rel=0.02)
    assert found["origin"] == "interpolated"
    assert shlex.split(found["next"])[:4] == ["python", "-m", "vae", "train"]


def test_the_sweep_of_the_real_command_line(finished_sweep, called):
    rates = [json.loads(path.read_text())["test"]["rate"] for path in finished_sweep.glob("*/summary.json")]
    done = called(script, str(finished_sweep), "--rate", str(min(rates)), "--json")
    found = json.loads(done.stdout)
    assert (found["beta"], found["origin"]) == (8, "trained")
    stored = record.read(next(finished_sweep.glob("beta=8*")))
    words = [word for word in shlex.split(found["next"]) if "=" in word]
    again = flat(compose(words, configs_directory()))
    kept = {key: value for key, value in flat(stored.config).items() if key.split(".")[0] in ("data", "model", "beta")}
    assert {key: again[key] for key in kept} == kept
    beyond = called(script, str(finished_sweep), "--rate", str(min(rates) / 10))
    assert beyond.returncode == 1
    assert re.search(r"nothing is extrapolated\. Try python -m vae train beta=\d+ ", one_error_line(beyond))


def test_a_run_alone_is_refused_with_the_sweep_to_train(sweep, called):
    done = called(script, f"{sweep}/beta=1.0_seed=0", "--rate", "20")
    assert done.returncode == 1
    assert "a single run (beta=1) cannot show what another beta does" in one_error_line(done)
    assert " -m sweep=S beta=0.5,1,2,4 model=conv " in one_error_line(done)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["outputs/S"], 2, "one aim is needed: --rate, --distortion, --active, --udr, --factors or --score, got none"),
        (["outputs/S", "--rate", "3", "--udr"], 2, "or --score, got --rate and --udr"),
        (["--rate", "3"], 2, "the following arguments are required: place"),
        (["outputs/S", "--rate", "many"], 2, "argument --rate: invalid float value: 'many'"),
        (["outputs/S", "--rate", "nan"], 2, "--rate must be 0 or more, got nan"),
        (["outputs/S", "--rate", "-1"], 2, "--rate must be 0 or more, got -1"),
        (["outputs/S", "--rate", "0"], 1, "and nothing is extrapolated"),
        (["outputs/S", "--distortion", "inf"], 2, "--distortion must be a finite number of nats, got inf"),
        (["outputs/S", "--active", "1.5"], 2, "argument --active: invalid int value: '1.5'"),
        (["outputs/S", "--score", "Mig"], 1, "--score must be one of mig, dci_disentanglement"),
        (["nowhere", "--udr"], 1, "name a folder of runs, got nowhere, which is not a folder"),
        (["", "--udr"], 1, "name a folder of runs, got an empty name"),
        (
            ["outputs", "--udr"],
            1,
            "a choice needs a finished run, outputs has none. Name the folders in it, as in outp",
        ),
        (["outputs/S", "data=mnist", "--rate", "3"], 2, "name runs or give the words of a training, got both: data="),
        (["data=mnist", "--rate", "3"], 1, "the linear theory needs a Gaussian likelihood, got bernoulli."),
        (["data=mnist", "--udr"], 2, "--udr needs trained runs, the linear theory knows --rate, --distortion and"),
        (["beta=4", "--rate", "3"], 2, "the words must leave out what is chosen or what names runs, got beta=4"),
        (["dta=mnist", "--rate", "3"], 1, "unknown key dta. Did you mean data?"),
    ],
)
@pytest.mark.usefixtures("sweep")
def test_a_wrong_command_is_one_line(called, words, code, said):
    done = called(script, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in one_error_line(done)


# The linear theory


@pytest.fixture
def gaussian_words(tmp_path):
    """The words of data whose covariance has the eigenvalues 4, 1, .25 and 0, but for rounding."""
    generator = np.random.default_rng(0)
    codes = generator.standard_normal((4000, 3))
    codes = np.linalg.qr(codes - codes.mean(0))[0] * np.sqrt(len(codes))
    rotation = np.linalg.qr(generator.standard_normal((8, 3)))[0].T
    rows = codes * [2, 1, 0.5] @ rotation
    np.save(tmp_path / "rows.npy", rows.astype(np.float32).reshape(-1, 2, 4))
    return (
        "data=images",
        f"data.path={tmp_path / 'rows.npy'}",
        "data.validation_size=2",
        "data.test_size=2",
        "likelihood=gaussian",
        "likelihood.variance=0.5",
        "model.latent_dim=2",
    )


def test_the_linear_theory_inverted_at_a_rate(gaussian_words, called):
    rate = 0.5 * math.log(4 / (1.5 * 0.5)) + 0.5 * math.log(1 / (1.5 * 0.5))
    done = called(script, *gaussian_words, "--rate", f"{rate}", "--json")
    found = json.loads(done.stdout)
    assert found["origin"] == "linear theory"
    assert found["beta"] == pytest.approx(1.5, rel=0.01)
    assert found["expected"]["active_units"] == 2
    assert shlex.split(found["next"])[-len(gaussian_words) :] == list(gaussian_words)


def test_the_linear_theory_says_what_cannot_be(gaussian_words, called):
    done = called(script, *gaussian_words, "--active", "1")
    assert done.stdout.startswith("beta = ")
    assert "(by the linear theory)" in done.stdout
    assert "this is a prediction for a linear model" in done.stdout
    done = called(script, *gaussian_words, "--active", "2")
    assert "is not to be had by a linear model: the number of active latents must be from 0 to 1" in one_error_line(
        done
    )
    done = called(script, *gaussian_words, "--distortion", "-9")
    assert "2 latents need a distortion above" in one_error_line(done)


# The words that give a configuration again


@pytest.mark.parametrize(
    ("choices", "values"),
    [
        ({}, {}),
        ({"data": "sprites32", "model": "conv", "objective": "total_correlation"}, {"epochs": 3, "batch_size": 64}),
        ({"data": "images", "likelihood": "gaussian"}, {"data": {"path": "/a b/it's, here=1.npz", "side": 8}}),
        ({"data": "images", "likelihood": "bernoulli"}, {"data": {"path": "/x.npz"}, "model": {"hidden": [64, 32]}}),
        (
            {"model": "custom", "objective": "custom"},
            {
                "model": {"encoder": "nets:e", "decoder": "nets:d", "options": {"width": 3}},
                "objective": {"target": "losses:MMD", "options": {"weight": 3.0}},
            },
        ),
    ],
)
def test_the_words_of_a_run_give_its_configuration_again(choices, values):
    stored = record_of(choices, **values)
    words = words_of(stored)
    path = [word for word in words if word.startswith("data.path=")]
    typed = [word for word in words if word not in path]
    again = compose(
        [*typed, *(f"data.path={json.dumps(word.partition('=')[2])}" for word in path)], configs_directory()
    )
    assert flat(again) == flat(stored.config)


@pytest.mark.parametrize(
    ("goal", "beta", "typed"),
    [
        (Goal.rate, 3.21741, "3.218"),
        (Goal.distortion, 3.21741, "3.217"),
        (Goal.rate, 0.000123456, "0.0001235"),
        (Goal.rate, 9.9999, "10"),
        (Goal.rate, 2.0, "2"),
        (Goal.distortion, 12345.6, "1.234e+04"),
    ],
)
def test_an_interpolated_beta_is_rounded_into_the_budget(goal, beta, typed):
    choice = Choice(beta, "", "interpolated", {}, [], [])
    assert safe(choice, Aim(goal, 1.0)) == typed
    assert safe(Choice(0.1 + 0.2, "", "trained", {}, [], []), Aim(goal, 1.0)) == "0.3"


def test_a_setting_whose_name_has_a_bar_keeps_its_row(tmp_path, called):
    folder = put_sweep(tmp_path / "sweep", [1.0, 2.0], 1, scores=False)
    for path in folder.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        summary["conditions"]["data.path"] = f"a|b{summary['beta']}"
        path.write_text(json.dumps(summary))
    assert "they differ in data.path" in one_error_line(called(script, str(folder), "--rate", "23"))
