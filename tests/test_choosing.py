"""Choosing a beta among runs: made-up sweeps on the curve D = 80 + 6 beta, R = 25 - 6 ln beta."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import put_run, put_sweep, summary_of

from vae.report.best_setting import own_factors
from vae.report.choice import Aim, Choice, Goal, NoChoiceError, as_json
from vae.report.choosing import choose
from vae.report.members import read_members

BETAS = [1.0, 2.0, 4.0, 8.0]
RATE, DISTORTION, UDR, FACTORS = Goal.rate, Goal.distortion, Goal.udr, Goal.factors


def chosen(folder: Path, goal: Goal, budget: float = math.nan, score: str = "") -> Choice:
    return choose(read_members(folder), Aim(goal, budget, score))


def refused(folder: Path, goal: Goal, budget: float = math.nan, score: str = "") -> str:
    with pytest.raises(NoChoiceError, match=r".") as raised:
        chosen(folder, goal, budget, score)
    return str(raised.value)


def put(folder: Path, beta: float, seed: int = 0, conditions: dict[str, Any] | None = None, **summary: Any) -> Path:
    """A run like those of `fake_runs`, with other conditions or another part of its summary."""
    made = summary_of(beta, seed)
    made["conditions"] |= conditions or {}
    test = made["test"] | summary.pop("test", {})
    more = "".join(f"_{value}" for value in (conditions or {}).values())
    return put_run(folder / f"beta={beta}_seed={seed}{more}", made | summary | {"test": test})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return put_sweep(tmp_path_factory.mktemp("choosing") / "sweep", BETAS, 3)


def with_matrix(matrix: list[list[float]]) -> dict[str, Any]:
    numbers = {"mig": 0.1, "mig_shuffled": 0.2, "gaussian_wasserstein": 3.0, "mig_sampled": 0.1}
    scores = {"factors": ["shape", "scale"], "left_out": {}, "numbers": numbers}
    return {"disentanglement": scores | {"matrices": {"mutual_information": matrix}}}


# Budgets


def test_between_trained_betas_it_is_interpolated_with_its_neighbours(sweep):
    found = chosen(sweep, RATE, 20.0)
    assert found.origin == "interpolated"
    assert found.beta == pytest.approx(math.exp(5 / 6), rel=0.01)
    assert found.expected["rate"][0].mean == 20.0
    assert found.expected["distortion"][0].mean == pytest.approx(80 + 6 * math.exp(5 / 6), abs=0.1)
    assert [(row.beta, row.mark) for row in found.rows if row.mark] == [
        (2, "neighbour"),
        (found.beta, "chosen"),
        (4, "neighbour"),
    ]
    assert len(found.support) == 6
    assert not found.cautions


def test_a_budget_of_distortion_is_the_same_curve(sweep):
    by_rate = chosen(sweep, RATE, 20.0)
    by_distortion = chosen(sweep, DISTORTION, by_rate.expected["distortion"][0].mean)
    assert by_distortion.beta == pytest.approx(by_rate.beta, rel=1e-6)


def test_a_budget_that_a_trained_beta_has_returns_it(sweep):
    rows = chosen(sweep, RATE, 20.0).rows
    for row in rows:
        if row.members:
            found = chosen(sweep, RATE, row.point.rate)
            assert (found.beta, found.origin) == (row.beta, "trained")


def test_a_smaller_budget_of_rate_is_a_larger_beta(sweep):
    betas = [chosen(sweep, RATE, rate).beta for rate in (24.9, 22.0, 20.0, 17.0, 16.0, 12.6)]
    assert betas == sorted(betas)


def test_beyond_the_trained_betas_nothing_is_said_but_what_to_train(sweep):
    for goal, budget, low, high in ((RATE, 5.0, 12, 80), (RATE, 60.0, 0.05, 0.7), (DISTORTION, 300.0, 12, 80)):
        with pytest.raises(NoChoiceError, match="and nothing is extrapolated") as raised:
            chosen(sweep, goal, budget)
        assert low <= raised.value.betas[0] <= high
        assert raised.value.like is not None


def test_runs_of_one_beta_are_refused_with_a_sweep_to_train(tmp_path):
    put(tmp_path, 4.0)
    with pytest.raises(NoChoiceError, match=r"a single run \(beta=4\) cannot show") as raised:
        chosen(tmp_path, RATE, 20.0)
    assert list(raised.value.betas) == [2, 4, 8, 16]
    put(tmp_path, 4.0, 1)
    assert refused(tmp_path, RATE, 20.0).startswith("runs of one beta (beta=4) cannot show")


def test_rates_that_differ_less_than_the_seeds_support_no_choice(tmp_path):
    for beta, rates in ((1.0, (20.0, 24.0)), (2.0, (19.0, 23.5))):
        for seed, rate in enumerate(rates):
            put(tmp_path, beta, seed, test={"rate": rate, "distortion": 100 - 1.5 * rate + 20 * (beta - 1) / 100})
    found = chosen(tmp_path, RATE, 21.5)
    assert any("differ by less than the spread over seeds" in words for words in found.cautions)


def test_seeds_that_exceed_the_budget_are_counted(tmp_path):
    for beta, rates in ((1.0, (29.0, 31.0)), (4.0, (9.9, 10.0)), (8.0, (5.0, 5.1))):
        for seed, rate in enumerate(rates):
            put(tmp_path, beta, seed, test={"rate": rate})
    found = chosen(tmp_path, RATE, 9.95)
    assert (found.beta, found.origin) == (4, "trained")
    assert "1 of 2 seeds exceed the budget, by up to 0.05 nats" in found.cautions


def test_one_seed_is_said(tmp_path):
    for beta in (1.0, 2.0):
        put(tmp_path, beta)
    assert chosen(tmp_path, RATE, 23.0).cautions == ["one seed: how much seeds differ is not known of beta=1, beta=2"]


def test_a_broken_law_is_not_interpolated(tmp_path):
    for beta, distortion, rate in ((1.0, 86.0, 25.0), (2.0, 100.0, 21.0), (4.0, 104.0, 16.0)):
        put(tmp_path, beta, test={"distortion": distortion, "rate": rate})
    found = chosen(tmp_path, RATE, 23.0)
    assert (found.beta, found.origin) == (2, "trained")
    assert found.cautions[0].startswith("the slope between beta=1 and beta=2 is not between the two")


def test_a_loss_that_still_changes_makes_the_interpolation_doubtful(tmp_path):
    for beta in (1.0, 2.0):
        put(tmp_path, beta, loss_change_per_epoch=-2.0)
    assert any(
        "may be off: the loss still changed by 2 nats" in words for words in chosen(tmp_path, RATE, 23.0).cautions
    )


def test_another_objective_is_chosen_among_its_trained_betas(tmp_path):
    for beta in BETAS:
        put(tmp_path, beta, objective="factor", conditions={"objective": "factor"})
    found = chosen(tmp_path, RATE, 20.0)
    assert (found.beta, found.origin) == (4, "trained")
    assert found.cautions[0].startswith("only trained betas are considered")


def test_objectives_without_a_beta_are_refused(tmp_path):
    for rate in (10, 20):
        put(tmp_path, 1.0, objective="target_rate", conditions={"objective": "target_rate", "objective.rate": rate})
    assert refused(tmp_path, RATE, 20.0) == "the objectives of these runs have no beta to choose"


# Series, and what cannot be compared


def test_of_two_models_the_better_one_is_chosen_and_the_other_is_shown(tmp_path):
    for beta in (1.0, 2.0, 4.0):
        put(tmp_path, beta)
        number = summary_of(beta, 0)["test"]["distortion"]
        put(tmp_path, beta, conditions={"model": "conv"}, test={"distortion": number - 5})
    put(tmp_path, 1.0, conditions={"model": "locatello"})
    found = chosen(tmp_path, RATE, 20.0)
    assert found.among == "model=conv"
    assert found.rows[-1].mark == "best of model=mlp"
    assert "model=locatello was trained with one beta and left out" in found.cautions


def test_a_model_that_does_not_reach_the_budget_is_named(tmp_path):
    for beta in (1.0, 2.0, 4.0):
        put(tmp_path, beta)
        put(tmp_path, beta * 8, conditions={"model": "conv"})
    found = chosen(tmp_path, RATE, 20.0)
    assert found.among == "model=mlp"
    assert any(words.startswith("nothing is said of model=conv: ") for words in found.cautions)


def test_other_data_or_likelihoods_are_refused(tmp_path):
    put(tmp_path, 1.0), put(tmp_path, 2.0, conditions={"data.side": 16})
    assert refused(tmp_path, RATE, 20.0) == (
        "the runs must have the same data, they differ in data.side. Name those of one"
    )
    other = tmp_path / "other"
    put(other, 1.0, conditions={"likelihood": "bernoulli"}), put(other, 2.0, conditions={"likelihood": "gaussian"})
    assert "they differ in likelihood" in refused(other, RATE, 20.0)


def test_runs_that_are_not_done_are_named_and_not_counted(tmp_path):
    folder = put_sweep(tmp_path, [1.0, 2.0], 2, scores=False)
    put_run(folder / "failed", {"status": "failed", "code": 3, "error": "the loss is nan", "beta": 4.0, "seed": 0})
    put_run(folder / "going", None)
    put_run(folder / "damaged", {"status": "done"})
    found = chosen(folder, RATE, 23.0)
    (words,) = (words for words in found.cautions if words.startswith("not counted, as they are not done: "))
    assert all(name in words for name in ("damaged", "failed", "going"))
    for name in ("beta=1.0_seed=0", "beta=1.0_seed=1", "beta=2.0_seed=0", "beta=2.0_seed=1"):
        (folder / name / "summary.json").unlink()
    assert refused(folder, RATE, 23.0) == "no run is done"


def test_copies_of_a_run_are_noticed(tmp_path):
    for name in ("a", "b"):
        for beta in (1.0, 2.0):
            put_run(tmp_path / f"{name}{beta}", summary_of(beta, 0))
    assert any("has the seed 0 more than once" in words for words in chosen(tmp_path, RATE, 23.0).cautions)


def test_summaries_of_an_older_version_are_read(tmp_path):
    for beta in BETAS:
        summary = summary_of(beta, 0, scores=False)
        for key in ("conditions", "unfinished", "loss_change_per_epoch", "objective", "asked"):
            summary.pop(key)
        summary["test"] = {name: summary["test"][name] for name in ("distortion", "rate", "elbo")}
        put_run(tmp_path / f"{beta}", summary)
    found = chosen(tmp_path, RATE, 20.0)
    assert found.beta == pytest.approx(math.exp(5 / 6), rel=0.02)
    assert list(found.expected) == ["distortion", "rate"]
    assert "do not tell how many latents are active" in refused(tmp_path, Goal.active, 3.0)


# The curve of one training


def put_curve(folder: Path, curve: Any, seed: int = 0) -> Path:
    return put(folder, 1.0, seed, objective="multi_rate", conditions={"objective": "multi_rate"}, curve=curve)


def exact_curve(*betas: float) -> list[dict[str, float]]:
    return [{"beta": b, "distortion": 80 + 6 * b, "rate": 25 - 6 * math.log(b)} for b in betas]


def test_one_run_with_a_curve_is_enough(tmp_path):
    run = put_curve(tmp_path, exact_curve(8, 0.5, 2, 4, 1))
    found = chosen(run, RATE, 20.0)
    assert found.origin == "interpolated"
    assert found.beta == pytest.approx(math.exp(5 / 6), rel=1e-6)
    assert [row.setting for row in found.rows if row.mark == "neighbour"] == [
        "beta=2 of the curve",
        "beta=4 of the curve",
    ]
    assert {member.directory for member in found.support} == {run.resolve()}


def test_curves_of_several_seeds_are_averaged(tmp_path):
    for seed in range(2):
        entries = [entry | {"rate": entry["rate"] + 0.01 * seed} for entry in exact_curve(1, 2, 4)]
        put_curve(tmp_path, entries, seed)
    found = chosen(tmp_path, RATE, 20.0)
    assert all(row.seeds == 2 for row in found.rows if row.mark == "neighbour")


def test_an_empty_curve_is_none(tmp_path):
    assert "cannot show what another beta does" in refused(put_curve(tmp_path, []), RATE, 20.0)


@pytest.mark.parametrize("curve", [{}, [3], [{"beta": 1.0, "rate": "x", "distortion": 2.0}]])
def test_a_run_with_a_damaged_curve_is_not_read(tmp_path, curve):
    assert "no run is done" in refused(put_curve(tmp_path, curve), RATE, 20.0)


# Active latents


def test_the_most_latents_within_the_number_with_a_beta_to_try(tmp_path):
    for beta, active in zip(BETAS, (20.0, 18.0, 12.0, 6.0), strict=True):
        put(tmp_path, beta, test={"active_units": active})
    found = chosen(tmp_path, Goal.active, 15.0)
    assert (found.beta, found.origin) == (4, "trained")
    assert found.cautions[0] == "a beta between 2 and 4 may keep more latents. Try beta=2.8"
    assert chosen(tmp_path, Goal.active, 18.0).beta == 2
    assert "the fewest are 6" in refused(tmp_path, Goal.active, 3.0)
    assert "the most are 20" in refused(tmp_path, Goal.active, 30.0)


# UDR, factors and scores


def test_the_highest_udr_needs_no_labels(tmp_path):
    folder = put_sweep(tmp_path, [1.0, 4.0, 8.0], 3, scores=False, alike=4.0)
    (folder / "beta=8.0_seed=1" / "codes.npz").unlink()
    (folder / "beta=8.0_seed=2" / "summary.json").unlink()
    found = chosen(folder, UDR)
    assert (found.beta, found.origin) == (4, "trained")
    assert found.expected["udr"][0].mean == pytest.approx(0.9, abs=0.01)
    assert "not compared, without UDR: beta=8" in found.cautions
    assert not any("differ by less" in words for words in found.cautions)


def test_udr_of_one_seed_is_refused(tmp_path):
    put_sweep(tmp_path, BETAS, 1)
    assert refused(tmp_path, UDR).endswith(
        "is not shown: UDR compares settings of two seeds or more, and no setting has it. Two settings are the fewest"
    )


@pytest.mark.parametrize(
    ("matrix", "count"),
    [
        ([[2, 0, 0], [0, 2, 0], [0, 0, 2]], 3),
        ([[2, 0, 0], [2, 0, 0], [0, 0, 2]], 1),  # each of two latents tells the first factor
        ([[2, 1.9, 0], [0, 0, 0]], 1),  # a latent of two factors is the own one of one of them
        ([[0.4, 0], [0, 0.4]], 0),
        ([[math.nan, 2.0]], 1),
        ([[2.0]], 1),
        ([[0.0, 0.0]], 0),
    ],
)
def test_factors_with_a_latent_of_their_own(matrix, count):
    assert own_factors(np.array(matrix, dtype=np.float64)) == count


def test_the_most_factors_and_of_equal_ones_the_least_distortion(tmp_path):
    for beta, matrix in ((1.0, [[1, 1], [1, 1]]), (2.0, [[1, 0], [0, 1]]), (4.0, [[1, 0], [0, 1]])):
        for seed in range(2):
            put(tmp_path, beta, seed, **with_matrix(matrix))
    found = chosen(tmp_path, FACTORS)
    assert found.beta == 2
    assert found.expected["own_factors"][0].mean == 2
    assert [row.mark for row in found.rows] == ["", "chosen", "not told apart"]
    assert "of beta=2 and beta=4 differ by less than the spread" in found.cautions[0]


def test_factors_need_scores(tmp_path):
    put_sweep(tmp_path, [1.0, 2.0], 1, scores=False)
    assert "the factors of the images must be known and scored, and no setting has it" in refused(tmp_path, FACTORS)
    assert refused(tmp_path, Goal.score, score="mig") == "--score needs runs with scores, these have none, got mig"


def test_a_score_at_the_end_of_the_range_and_below_chance_has_cautions(tmp_path):
    for beta, mig in ((1.0, 0.1), (2.0, 0.15)):
        scores = with_matrix([[1, 0], [0, 1]])
        scores["disentanglement"]["numbers"] |= {"mig": mig}
        put(tmp_path, beta, **scores)
    found = chosen(tmp_path, Goal.score, score="mig")
    assert found.beta == 2
    assert any(words.startswith("shuffled codes") and words.endswith("0.200") for words in found.cautions)
    assert "beta=2 is the largest that was trained. One beyond it may be better" in found.cautions


@pytest.mark.parametrize("score", ["gaussian_wasserstein", "mig_sampled", "mig_shuffled", "nothing"])
def test_only_scores_of_which_more_is_better_can_be_chosen(tmp_path, score):
    put(tmp_path, 1.0, **with_matrix([[1, 0], [0, 1]]))
    put(tmp_path, 2.0, **with_matrix([[1, 0], [0, 1]]))
    assert refused(tmp_path, Goal.score, score=score).startswith(f"--score must be one of mig, got {score}")


def test_the_json_has_everything(sweep):
    aim = Aim(RATE, 20.0)
    found = json.loads(json.dumps(as_json(aim, chosen(sweep, RATE, 20.0)), allow_nan=False))
    assert found["aim"] == {"goal": "rate", "words": aim.words, "budget": 20.0}
    assert found["expected"]["rate"] == 20.0
    assert [len(row["runs"]) for row in found["evidence"]] == [3, 3, 0, 3, 3]
