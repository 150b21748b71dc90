"""A loss of one's own, from outside of the package: tried, trained, logged, resumed and swept like ours."""

import copy
import math
import random

import numpy as np
import pytest
import torch
from command import EXAMPLES, one_error_line, run_train
from results import logged

from vae.app.foreign import imported
from vae.model.mlp import mlp_vae
from vae.objectives.custom import CustomObjective
from vae.objectives.schedules import LinearWarmup
from vae.objectives.terms import DrawnTerms, schedules_end
from vae.run.summary import read_summary
from vae.training.trial import TrialError, try_objective

WARM = LinearWarmup(4.0, steps=10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return mlp_vae((1, 8, 8), 3, (16,)), torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round()


def plain(terms, _):
    return (terms.distortion + terms.rate.sum(1)).mean()


def custom(loss, **attributes):
    """An objective around a function."""
    made = CustomObjective(lambda: loss, {}, WARM)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_the_example_is_the_discrepancy_of_the_samples_and_the_prior(monkeypatch, model):
    monkeypatch.syspath_prepend(EXAMPLES)
    vae, x = model
    objective = CustomObjective(imported("my_losses:MMD", "objective.target"), {"weight": 7.0}, WARM)
    assert try_objective(objective, vae, x) == []
    generator = torch.Generator().manual_seed(0)
    posterior = vae.encode(x)
    mmd = []
    for z in (posterior.mean, torch.randn(5, 3, generator=generator)):
        terms = DrawnTerms(torch.zeros(5), torch.zeros(5, 3), posterior, z, torch.zeros(5), generator)
        loss = objective(terms, 5)
        assert loss.item() == pytest.approx(7 * terms.logged["mmd"].item())
        mmd.append(terms.logged["mmd"].item())
    assert min(mmd) > -1e-6
    assert (objective.rate_weight(5), schedules_end(objective)) == (2.0, 10)


def test_the_weight_of_the_rate_is_what_the_object_says_or_its_beta_or_1():
    class Weighs:
        def rate_weight(self, step):
            return 3 + step

    class TakesBeta:
        def __init__(self, beta):
            self.own = beta

    assert CustomObjective(Weighs, {}, WARM).rate_weight(2) == 5
    assert CustomObjective(TakesBeta, {}, WARM).rate_weight(5) == 2
    assert CustomObjective(TakesBeta, {"beta": LinearWarmup(9.0)}, WARM).loss.own(0) == 9
    assert custom(plain).rate_weight(5) == 1


def test_a_trial_changes_neither_the_model_nor_any_generator(model):
    vae, x = model
    before = copy.deepcopy(vae.state_dict()), torch.get_rng_state(), np.random.get_state()[1].copy()

    def draws(terms, step):
        random.random()
        np.random.rand()
        return plain(terms, step) + torch.rand(())

    warnings = try_objective(custom(draws), vae, x)
    assert [line.partition(". ")[0].rpartition(" ")[2] for line in warnings] == ["torch", "numpy", "random"]
    assert all("terms.generator" in line for line in warnings)
    assert all(
        torch.equal(one, other) for one, other in zip(before[0].values(), vae.state_dict().values(), strict=True)
    )
    assert all(p.grad is None for p in vae.parameters())
    assert torch.equal(before[1], torch.get_rng_state())
    assert np.array_equal(before[2], np.random.get_state()[1])


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (lambda terms, _: terms.distortion, r"one floating-point number.*\(5,\)"),
        (lambda *_: 3.0, "one floating-point number.*float"),
        (lambda *_: None, "one floating-point number.*NoneType"),
        (lambda terms, _: terms.distortion.mean() * math.nan, "must be finite, got nan"),
        (lambda *_: torch.ones(()), "without a gradient"),
        (lambda terms, _: terms.distortion.mean() * 0, "gradient is zero"),
        (lambda terms, _: terms.distortion.mean() + 0 * terms.z.abs().mul(0).sqrt().sum(), "NaN or infinity"),
        (
            lambda terms, step: (terms.log(loss=terms.distortion.mean()), plain(terms, step))[1],
            "does not use, got loss",
        ),
    ],
)
def test_what_is_no_loss_is_refused_with_the_rule(model, loss, rule):
    with pytest.raises(TrialError, match=rule):
        try_objective(custom(loss), *model)


def test_only_single_numbers_are_logged(model):
    with pytest.raises(ValueError, match=r"single numbers, got each of shape \(5,\)"):
        try_objective(custom(lambda terms, _: terms.log(each=terms.distortion)), *model)


# By the command line


MMD = ("objective=custom", "objective.target=my_losses:MMD", "objective.options.weight=10")
SMALL = ("epochs=2", "model.hidden=[32]", "model.latent_dim=2", "tracking.log_every_steps=1", "beta=0.5")


@pytest.fixture
def train(tmp_path, few_images):
    """`python train.py WORDS` on few images, started in the directory of the example."""
    return lambda *words, name="run": run_train(*few_images, *SMALL, *words, directory=tmp_path / name, cwd=EXAMPLES)


def test_it_trains_logs_and_reports_like_an_objective_of_ours(train, tmp_path):
    done = train(*MMD)
    assert done.returncode == 0, done.stderr
    lines = [line for line in logged(tmp_path / "run") if "train/mmd" in line]
    assert len(lines) == 20
    for line in lines:
        expected = line["train/distortion"] + 0.5 * line["train/rate"] + 10 * line["train/mmd"]
        assert line["train/objective"] == pytest.approx(expected, rel=1e-4)
        assert (line["train/beta"], line["train/loss_weight"]) == (0.5, 0.5)
    summary = read_summary(tmp_path / "run")
    assert summary["status"] == "done"
    assert summary["test"]["loss_weight"] == 0.5


def test_it_is_resumed_bit_for_bit_where_it_is_named_again(train, tmp_path):
    assert train(*MMD, "epochs=4", name="whole").returncode == 0
    assert train(*MMD, name="part").returncode == 0
    part = tmp_path / "part"
    unnamed = run_train(f"resume={part}", "epochs=4", cwd=EXAMPLES)
    assert unnamed.returncode == 1
    assert "objective.target=my_losses:MMD" in one_error_line(unnamed)
    again = run_train(f"resume={part}", "epochs=4", "objective.target=my_losses:MMD", cwd=EXAMPLES)
    assert again.returncode == 0, again.stderr
    whole = tmp_path / "whole"
    assert read_summary(part)["test"] == read_summary(whole)["test"]


def test_a_sweep_trains_it_in_every_member(tmp_path, few_images):
    words = (*few_images, *SMALL, *MMD[:2], "objective.options.weight=1,10", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = run_train("-m", *words, cwd=EXAMPLES)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 members done" in done.stdout
    assert (tmp_path / "sweep" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("objective.target=my_losses",), "must be module:name"),
        (("objective.target=my_lossess:MMD",), "No module named 'my_lossess'"),
        (("objective.target=my_losses:MDD",), "Did you mean my_losses:MMD?"),
        (("objective.target=my_losses:kernel", "beta=1"), "objective.options"),
        (("objective.target=my_losses:MMD", "objective.options.wait=3"), "got wait: TypeError"),
        (("objective.target=builtins:len", "beta=2"), "builtins:len takes no beta, got beta=2"),
    ],
)
def test_a_wrong_name_or_option_gets_one_line_before_training(train, tmp_path, words, line):
    done = train("objective=custom", *words)
    assert done.returncode == 1
    assert line in one_error_line(done)
    assert not (tmp_path / "run" / "checkpoints" / "last").exists()
