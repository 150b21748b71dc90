"""The report of a folder of runs: its settings, its numbers, its choices and its parts."""

import json
import math
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, run
from fake_runs import grouped_of, put_codes, put_picture, put_run, put_sweep, reported, rows_of, summary_of
from scipy import stats

import report as script
from vae.app.sweep import write_sweep_report
from vae.report import PAGE, RESULTS, text_table, write_report
from vae.report.page import MOST_TRAVERSALS, ranks
from vae.report.selection import rank_by_udr, supervised_choices
from vae.report.statistics import Estimate, estimate, estimates, rank_correlations, slopes

HOSTILE = """it's <script>alert("x")</script> & </svg> "quoted\""""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Four betas and three seeds; one run failed with a hostile text, one has not ended; with its report."""
    folder = put_sweep(tmp_path_factory.mktemp("sweep") / "runs", [1.0, 2.0, 4.0, 8.0], 3)
    failed = {"status": "failed", "code": 3, "error": HOSTILE, "beta": 16.0, "seed": 0}
    put_run(folder / "beta=16.0_seed=0", failed)
    put_run(folder / "beta=16.0_seed=1", None)
    reported(folder)
    return folder


@pytest.fixture(scope="module")
def page(sweep) -> str:
    return (sweep / PAGE).read_text(encoding="utf-8")


def put_betas(folder: Path, changes: list[dict]) -> Path:
    """Runs of beta 1, 2, 4, ... without scores, whose summaries are changed by this."""
    for number, change in enumerate(changes):
        put_run(folder / f"{number}", summary_of(2.0**number, 0, scores=False) | change)
    return folder


# Settings


def test_seeds_are_repetitions_and_settings_are_in_the_order_of_beta(sweep):
    seeds = {setting: [m.summary["seed"] for m in members] for setting, members in grouped_of(sweep).items()}
    assert seeds == {f"beta={beta}": [0, 1, 2] for beta in (1, 2, 4, 8)}


BASE = {"objective": "beta", "model": "mlp", "model.latent_dim": 4}
OWN = BASE | {"objective": "custom", "objective.target": "my_losses:MMD", "objective.options.weight": 10}


@pytest.mark.parametrize(
    ("betas", "conditions", "expected"),
    [
        ([1.0, 4.0], [BASE, BASE], ["beta=1", "beta=4"]),
        ([0.1234567, 1e-05], [BASE, BASE], ["beta=1e-05", "beta=0.1234567"]),
        ([1.0, 1.0], [BASE, BASE | {"model.latent_dim": 9}], ["model.latent_dim=4", "model.latent_dim=9"]),
        ([1.0, 4.0], [BASE, BASE | {"model.hidden": "[4, 9]"}], ["beta=1", "beta=4, model.hidden=[4,9]"]),
        ([1.0, 1.0], [BASE | {"model.hidden": "[9]"}, BASE | {"model": "conv"}], ["model=conv", "model=mlp"]),
        ([1.0, 4.0], [OWN, OWN], ["beta=1", "beta=4"]),
        ([1.0, 1.0], [BASE, OWN], ["objective=MMD", "objective=beta"]),
        ([1.0, 1.0], [OWN, OWN | {"objective.options.weight": 5}], [f"objective.options.weight={n}" for n in (10, 5)]),
        ([1.0, 1.0], [BASE, BASE], ["0", "1"]),  # one seed twice: they are no repetitions
        ([1.0, 4.0], [{}, BASE], ["0", "beta=4"]),  # what was configured is not known
    ],
)
def test_a_setting_says_in_what_the_configurations_differ(tmp_path, betas, conditions, expected):
    for number, (beta, known) in enumerate(zip(betas, conditions, strict=True)):
        put_run(tmp_path / f"{number}", summary_of(beta, 0, scores=False) | {"conditions": known})
    assert list(grouped_of(tmp_path)) == expected


def test_the_folder_of_a_single_run_is_a_report_of_that_run(tmp_path, monkeypatch):
    directory = put_run(tmp_path / "beta=4.0_seed=2", summary_of(4.0, 2, scores=False))
    monkeypatch.chdir(directory)
    _, page = reported(Path())
    assert list(rows_of(directory)) == ["beta=4.0_seed=2"]
    assert "1 of 1 runs are done, with 1 setting" in page
    assert "<title>beta=4.0_seed=2</title>" in page


def test_runs_that_lack_numbers_or_have_failed_are_shown_with_what_they_have(tmp_path):
    test = {"distortion": 80.0, "rate": 20.0, "elbo": -100.0}
    first = {"status": "done", "beta": 1.0, "seed": 0, "epochs": 1, "steps": 9, "seconds": 1.0, "test": test}
    put_run(tmp_path / "first", first)
    put_run(tmp_path / "second", summary_of(2.0, 0))
    put_run(tmp_path / "third", {"status": "done"})
    put_run(tmp_path / "fourth", {"status": "failed", "code": 3, "error": "the loss is nan"})
    _, page = reported(tmp_path)
    assert list(grouped_of(tmp_path)) == ["first", "beta=2"]
    assert ">unfinished: summary.json is damaged: beta is missing<" in page
    assert ">failed, code 3: the loss is nan<" in page
    rows = rows_of(tmp_path)
    assert (rows["first"]["rate"], rows["first"]["mig"], rows["fourth"]["beta"]) == ("20.0", "", "")


# Statistics


@pytest.mark.parametrize("count", [2, 30])
def test_the_interval_is_that_of_students_t_and_one_seed_has_none(count):
    values = np.random.default_rng(count).normal(100, 7, count)
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), rel=1e-12)
    assert estimate([3.0]) == Estimate(3.0, None)


def test_a_number_that_is_none_does_not_take_the_mean_along(tmp_path):
    for seed, value in enumerate([0.25, math.nan, 0.75, None]):
        put_run(tmp_path / f"{seed}", summary_of(1.0, seed, scores=False) | {"metrics": {"mine": value}})
    assert estimates(grouped_of(tmp_path), "mine")["beta=1"].mean == 0.5
    assert "nan" not in re.sub("<svg.*?</svg>", "", reported(tmp_path)[1], flags=re.DOTALL)


def test_rank_correlations_are_spearmans_of_the_columns_that_vary():
    columns = np.random.default_rng(0).integers(6, size=(4, 20)).astype(float)  # with ties
    table = {"flat": [5.0] * 20, **dict(zip("abcd", columns.tolist(), strict=True)), "nan": [math.nan, *range(19)]}
    names, matrix = rank_correlations(table)
    assert names == ["a", "b", "c", "d"]
    np.testing.assert_allclose(matrix, stats.spearmanr(columns, axis=1).statistic, atol=0.005)
    assert rank_correlations({"flat": [5.0, 5.0], "a": [1.0, 2.0]}) == ([], [])


def test_the_ranks_are_over_all_runs_and_four_are_needed(tmp_path):
    put_sweep(tmp_path, [1.0, 2.0], 2)
    titles, matrix, runs = ranks(grouped_of(tmp_path))
    assert "active units" not in titles  # 3 in every run
    assert {"distortion", "rate", "MIG"} <= set(titles)
    assert (matrix[0][:2], runs) == ([1.0, -1.0], 4)
    shutil.rmtree(tmp_path / "beta=1.0_seed=0")
    assert ranks(grouped_of(tmp_path)) is None


# The laws of rate and distortion


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(80.0, 25.0), (88.0, 20.0), (100.0, 16.0)], ["1.60, holds", "3.00, holds"]),
        ([(80.0, 25.0), (79.0, 20.0)], ["-0.20, broken: the distortion does not rise"]),
        ([(80.0, 25.0), (88.0, 26.0)], ["inf, broken: the rate does not fall"]),
        ([(80.0, 25.0), (83.0, 20.0)], ["0.60, broken: it is not between the two betas"]),
        ([(80.0, 25.0), (100.0, 20.0)], ["4.00, broken: it is not between the two betas"]),
    ],
)
def test_the_report_says_whether_the_laws_of_the_optimum_hold(tmp_path, points, words):
    put_betas(tmp_path, [{"test": {"distortion": d, "rate": r, "elbo": -d - r}} for d, r in points])
    text, page = reported(tmp_path)
    said = [line for line in text.splitlines() if line.startswith("slope between beta")]
    assert all(word in line for word, line in zip(words, said, strict=True))
    assert ("the laws hold: distortion rises, rate falls" in text) == all("holds" in word for word in words)
    assert all(word.split(", ", 1)[1] in page for word in words)


def test_slopes_are_between_the_means_over_seeds(sweep):
    found, why_none = slopes(grouped_of(sweep))
    assert why_none == ""
    assert [(one.low, one.high, one.holds) for one in found] == [(1, 2, True), (2, 4, True), (4, 8, True)]
    means = {
        name: [np.mean([summary_of(beta, seed)["test"][name] for seed in range(3)]) for beta in (1.0, 2.0, 4.0, 8.0)]
        for name in ("rate", "distortion")
    }
    expected = -np.diff(means["distortion"]) / np.diff(means["rate"])
    assert [one.slope for one in found] == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"objective": "total_correlation"}, "the law is about the objective distortion + beta * rate, and a run has"),
        ({"conditions": BASE | {"data.side": 32, "model.latent_dim": 9}}, "more than beta and seed: model.latent_dim"),
        ({"conditions": {}}, "more than beta and seed: objective, model, model.latent_dim, data.side"),
        ({"asked": {"epochs": 8, "early_stopping_epochs": None}}, "more than beta and seed: epochs"),
    ],
    ids=["another objective", "another model", "unknown", "other epochs"],
)
def test_runs_to_which_the_law_does_not_apply_have_no_slopes_and_the_reason_is_said(tmp_path, change, why):
    put_betas(tmp_path, [{}, change])
    found, why_none = slopes(grouped_of(tmp_path))
    assert found == []
    assert why in why_none
    text, page = reported(tmp_path)
    assert f"slopes are not judged: {why_none}" in text
    assert "slope between" not in text
    assert f"Slopes are not judged: {why_none}." in page


def unfinished(name: str, reached: float, end: float) -> dict:
    return {"unfinished": {name: {"reached": reached, "end": end, "steps": 391, "schedule_steps": 100_000}}}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"loss_change_per_epoch": -3.5},
            "the loss still changed by 3.5 nats in the last epoch, and the two betas are",
        ),
        ({"loss_change_per_epoch": 3.5}, "the loss still changed by 3.5 nats in the last epoch"),
        ({"loss_change_per_epoch": None}, "the change of the loss in the last epoch is not known"),
        (unfinished("beta", 0.016, 2.0), "beta did not reach the end of its schedule"),
    ],
    ids=["falls", "rises", "measured once", "beta not reached"],
)
def test_slopes_of_runs_that_still_train_are_shown_and_not_judged(tmp_path, change, why):
    text, page = reported(put_betas(tmp_path, [{}, change, change]))
    assert text.count(f"not judged: {why}") == page.count(f"not judged: {why}") == 2
    assert "broken" not in text
    assert "the laws hold" not in text
    assert "said bad" not in page


def test_a_learning_rate_that_still_falls_keeps_no_slope_from_being_judged(tmp_path):
    put_betas(tmp_path, 2 * [unfinished("learning_rate", 5e-4, 0.0)])
    assert slopes(grouped_of(tmp_path))[0][0].holds


# Marks and notes


def test_a_setting_whose_beta_was_never_reached_is_marked(tmp_path):
    text, page = reported(put_betas(tmp_path, [{}, unfinished("beta", 0.0156, 2.0)]))
    assert "| beta=2 † |" in text
    assert "| beta=1 |" in text
    words = "beta is 0.0156 at the last step, not 2: its schedule ends at step 100,000, training at step 391"
    assert f"† beta=2: {words}." in text
    assert f"† beta=2: {words}." in page
    assert [rows_of(tmp_path)[name]["unfinished"] for name in "01"] == ["", words]


def test_information_near_its_ceiling_is_marked_and_the_shuffled_values_stand_beside_it(tmp_path):
    tests = [summary_of(beta, 0)["test"] for beta in (1.0, 2.0)]
    tests[0] |= {"mutual_information": 8.4, "total_correlation": 8.58}
    tests[0] |= {"mutual_information_shuffled": 8.41, "total_correlation_shuffled": 8.56}
    tests[1]["mutual_information"] = 5.0
    _, page = reported(put_betas(tmp_path / "near", [{"test": test} for test in tests]))
    assert '<td class="faint">8.40 *<small>shuffled 8.41</small></td>' in page
    assert '<td class="faint">8.58 *<small>shuffled 8.56</small></td>' in page
    assert "<td>5.00<small>" in page
    assert "within 1 nat of 8.52 nats, the logarithm of the number of images" in page
    assert rows_of(tmp_path / "near")["0"]["total_correlation_shuffled"] == "8.56"
    _, page = reported(put_betas(tmp_path / "far", [{"test": tests[1]}]))
    assert " *<" not in page
    assert "within 1 nat" not in page


def test_total_correlation_is_saturated_where_shuffled_latents_have_much_of_it(tmp_path):
    # MNIST at beta = 4: the mutual information is more than a nat below its upper bound of 9.21 nats.
    test = summary_of(4.0, 0)["test"] | {"information_ceiling": 9.21, "mutual_information": 7.75}
    test |= {"total_correlation": 2.13, "total_correlation_shuffled": 1.63}
    _, page = reported(put_betas(tmp_path / "much", [{"test": test}]))
    assert '<td class="faint">2.13 *<small>shuffled 1.63</small></td>' in page
    assert "shuffled latents is above 0.5 nats" in page
    for value, shuffled, attribute in ((0.35, 0.06, ""), (0.15, 0.06, ' class="faint"')):  # dependent or not
        test |= {"total_correlation": value, "total_correlation_shuffled": shuffled}
        _, page = reported(put_betas(tmp_path / f"{value}", [{"test": test}]))
        assert f"<td{attribute}>{value:.3f}<small>shuffled {shuffled:.3f}</small></td>" in page
        assert "Saturated" not in page


def test_the_nll_says_how_many_samples_it_is_of_and_how_much_it_still_fell(sweep, page):
    text = text_table(grouped_of(sweep))
    assert "| NLL upper bound | NLL fall from half |" in text
    assert "from 100 samples for each of the first 500 test images" in text
    assert "posteriors that were refitted to the decoder" in text
    assert "difference between half of the samples and all of them" in page
    test = summary_of(1.0, 0)["test"]
    row = rows_of(sweep)["beta=1.0_seed=0"]
    assert float(row["nll_upper_bound"]) == -test["refitted_bound"]["bound"]
    assert float(row["nll_upper_bound_by_encoder"]) == -test["importance_weighted_bound"]["bound"]
    assert float(row["nll_fall_from_half"]) == test["refitted_bound"]["rise_from_half"]


def test_runs_without_a_refitted_bound_show_that_of_the_encoder_and_are_named(tmp_path):
    older = summary_of(1.0, 0, scores=False)
    del older["test"]["refitted_bound"]
    put_run(tmp_path / "old", older)
    text = text_table(grouped_of(tmp_path))
    assert "from 100 samples for each of the first 1000 test images. They are drawn from the encoder's" in text
    ((member,),) = grouped_of(tmp_path).values()
    assert member.numbers["nll_upper_bound"] == -older["test"]["importance_weighted_bound"]["bound"]
    put_run(tmp_path / "new", summary_of(4.0, 0, scores=False))
    text = text_table(grouped_of(tmp_path))
    assert "first 500 test images. They are drawn from posteriors that were refitted" in text
    assert "Do not compare it with the others. They are of beta=1." in text


def test_factors_that_are_not_scored_are_named_and_a_run_without_any_score_is_shown(tmp_path):
    scored = {  # as an older version wrote it
        "factors": [],
        "left_out": {"angle": "5,000 levels, 1.0 images a level, fewer than 10"},
        "numbers": {"sap_continuous": 0.9, "codes_total_correlation": 0.1},
        "matrices": {"squared_correlation": [[0.9]] * 4},
    }
    _, page = reported(put_betas(tmp_path, 2 * [{"disentanglement": scored}]))
    assert "Not scored: angle (5,000 levels, 1.0 images a level, fewer than 10)." in page
    assert ">MIG<" not in page


def test_numbers_of_own_metrics_are_shown_like_ours(tmp_path):
    for beta in (1.0, 4.0):
        for seed in range(2):
            own = {"metrics": {"my_score": beta / 10 + 0.01 * seed, "lost": math.nan}}
            put_run(tmp_path / f"{beta}{seed}", summary_of(beta, seed, scores=False) | own)
    _, page = reported(tmp_path)
    assert "<tr><td>my score</td><td>0.105 ± 0.064</td>" in page
    assert float(rows_of(tmp_path)["4.01"]["my_score"]) == pytest.approx(0.41)
    plot, matrix = page.split("Each score by setting")[1].split("<h2>", 1)[0], page.split("Do the scores agree")[1]
    assert ">my score<" in plot
    assert "<th>my score</th>" in matrix
    assert "<td>lost</td>" not in page


def test_chance_stands_below_each_score_and_a_score_near_it_is_grey(tmp_path):
    numbers = {
        "mig": 0.3,
        "mig_shuffled": 0.001,
        "sap": 0.021,
        "sap_shuffled": 0.004,
        "irs": 0.4,
        "irs_shuffled": 0.35,
    }
    numbers |= {"infom": 0.5, "modularity": 0.83, "modularity_shuffled": 0.72, "mig_sampled": 0.2}
    scored = {"disentanglement": {"numbers": numbers, "collapsed": {"beta_vae_score": 0.25, "explicitness": 0.5}}}
    text, page = reported(put_betas(tmp_path, [scored]))
    assert "<td>MIG</td><td>0.300<small>chance 0.001</small></td>" in page
    assert '<td>SAP</td><td class="faint">0.021<small>chance 0.004</small></td>' in page
    assert '<td>IRS</td><td class="faint">0.400<small>chance 0.350</small></td>' in page
    assert "<td>modularity</td><td>0.830<small>chance 0.720</small></td>" in page
    assert "<td>InfoM</td><td>0.500</td>" in page  # without a value for shuffled codes
    assert "<tr><td>active latents</td><td>3 of 4</td>" in page
    assert "the scores would be 0, except beta VAE score 0.25, explicitness 0.50." in page
    assert "shuffled</td>" not in page
    assert "| 0.300 (chance 0.001) |" in text
    assert rows_of(tmp_path)["0"]["irs_shuffled"] == "0.35"


def test_scores_of_older_runs_keep_their_baselines(tmp_path):
    numbers = {"mig": 0.3, "modularity": 0.75, "modularity_baseline": 0.72, "irs": 0.9, "irs_baseline": 0.35}
    numbers |= {"modularity_sampled": 0.7, "modularity_baseline_sampled": 0.7}
    _, page = reported(put_betas(tmp_path, [{"disentanglement": {"numbers": numbers}}]))
    assert '<td>modularity</td><td class="faint">0.750<small>chance 0.720</small></td>' in page
    assert "<td>IRS</td><td>0.900<small>chance 0.350</small></td>" in page
    assert "<td>MIG</td><td>0.300</td>" in page
    assert "baseline" not in page
    row = rows_of(tmp_path)["0"]
    assert (row["modularity_shuffled"], row["irs_shuffled"]) == ("0.72", "0.35")


def test_the_measures_of_dependence_say_what_collapsed_latents_do_to_them(page):
    assert "count collapsed latents as much as others" in page


def test_the_table_of_the_readme_is_what_the_report_prints_of_those_runs(tmp_path):
    reference = json.loads((ROOT / "outputs" / "reference" / "beta_sweep.json").read_text())
    for number, content in enumerate(reference["runs"]):
        put_run(tmp_path / f"{number}", {"status": "done", "steps": 1} | content)
    lines = text_table(grouped_of(tmp_path)).splitlines()
    readme = (ROOT / "README.md").read_text()
    assert "\n".join(lines[1:6]) in readme
    found = [float(re.findall(r"\d+\.\d+", line)[-1]) for line in lines[6:9]]
    assert f"{found[0]:.2f}, {found[1]:.2f} and {found[2]:.2f}" in readme
    assert lines[9].startswith("the laws hold")


def test_a_name_with_a_bar_leaves_the_table_a_table(tmp_path):
    put_betas(tmp_path, [{}, {"conditions": {"data.path": "a|b"}}])
    header, *_, row = [line for line in reported(tmp_path)[0].splitlines() if line.startswith("| ")]
    assert "data.path=a\\|b" in row
    assert row.replace("\\|", "").count("|") == header.count("|")


# Choosing a setting


def test_seeds_whose_codes_are_equal_up_to_order_and_sign_win(sweep, page):
    ranking = rank_by_udr(grouped_of(sweep))
    assert ranking.chosen == "beta=4"
    assert ranking.of_setting["beta=4"].mean > 0.85
    assert max(ranking.of_setting[name].mean for name in ("beta=1", "beta=2", "beta=8")) < 0.6
    assert "(chosen)</td>" in page
    values = [float(rows_of(sweep)[f"beta=4.0_seed={seed}"]["udr"]) for seed in range(3)]
    assert np.mean(values) == pytest.approx(ranking.of_setting["beta=4"].mean, rel=1e-12)


def test_one_seed_has_nothing_to_be_alike_to(tmp_path):
    put_sweep(tmp_path, [1.0, 4.0], 1, scores=False)
    ranking = rank_by_udr(grouped_of(tmp_path))
    assert (ranking.chosen, ranking.of_member) == (None, {})
    assert "UDR" not in reported(tmp_path)[1]


def test_codes_that_are_missing_or_cannot_be_compared_are_named(tmp_path):
    put_sweep(tmp_path, [4.0], 3, scores=False)
    second = tmp_path / "beta=4.0_seed=1/codes.npz"
    second.unlink()
    text, page = reported(tmp_path)
    said = "UDR of beta=4 is of 2 of 3 seeds: the codes.npz of beta=4.0_seed=1 is missing or damaged"
    assert said in text
    assert said in page
    shutil.copy(tmp_path / "beta=4.0_seed=0/codes.npz", second)
    ranking = rank_by_udr(grouped_of(tmp_path))
    assert ranking.notes == ["UDR of beta=4 is too high: beta=4.0_seed=0 and beta=4.0_seed=1 have the same codes.npz"]
    put_codes(second.parent, 1, alike=True, images=299)
    ranking = rank_by_udr(grouped_of(tmp_path))
    assert ranking.of_setting == {}
    assert ranking.notes == [
        "beta=4 has no UDR: the codes.npz of its seeds differ in their number of latents or images"
    ]


def test_each_score_chooses_the_setting_with_the_best_mean(sweep):
    for name, setting in supervised_choices(grouped_of(sweep)).items():
        means = {
            beta: np.mean([summary_of(beta, seed)["disentanglement"]["numbers"][name] for seed in range(3)])
            for beta in (1.0, 2.0, 4.0, 8.0)
        }
        assert setting == f"beta={max(means, key=means.get):g}"


# results.csv


def test_the_table_holds_every_number_of_every_member(sweep):
    rows = rows_of(sweep)
    assert set(rows) == {path.name for path in sweep.iterdir() if path.is_dir()}
    for name, row in rows.items():
        path = sweep / name / "summary.json"
        summary = json.loads(path.read_text()) if path.exists() else {"status": "unfinished"}
        assert row["status"] == summary["status"]
        if summary["status"] != "done":
            assert row["elbo"] == ""
            continue
        numbers = {name: value for name, value in summary["test"].items() if isinstance(value, float | int)}
        numbers["nll_upper_bound"] = -summary["test"]["refitted_bound"]["bound"]
        numbers |= summary["disentanglement"]["numbers"]
        numbers |= {key: summary[key] for key in ("beta", "seed", "epochs", "seconds")}
        assert len(numbers) > 30
        assert {key: float(row[key]) for key in numbers} == numbers  # to the last digit


# The page


class Fetching(HTMLParser):
    """What a browser would fetch, and where scripts could run."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            inside = (value or "").startswith(("data:", "#"))
            if name in ("src", "srcset", "xlink:href", "data") or (name == "href" and tag != "a"):
                self.found += [] if inside else [f"{tag} {name}={value}"]
            if name.startswith("on"):
                self.found.append(f"{tag} {name}")


def test_the_page_fetches_nothing_and_runs_nothing(page):
    parser = Fetching()
    parser.feed(page)
    assert parser.found == []
    assert parser.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert {"svg", "img", "table"} <= parser.tags
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert "it&#39;s &lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;/svg&gt; &#34;quoted&#34;" in page


def test_hostile_names_stay_names(tmp_path):
    names = ("<b>&amp;$x 1$ \\frac{", '<∕svg><script>" onload="alert(1)')  # a path has no slash
    for name in names:
        summary = summary_of(1.0, 0, scores=False) | {"conditions": {"data.path": name}}
        put_run(tmp_path / name, summary | {"metrics": {name: 0.5}})
    _, page = reported(tmp_path)
    parser = Fetching()
    parser.feed(page)
    assert parser.found == []
    assert parser.tags.isdisjoint({"script", "b"})
    assert "$x 1$" in page  # drawn as it is written, not as a formula
    assert page.count("&lt;b&gt;&amp;amp;") > 5


def test_a_character_that_is_none_does_not_end_the_report(tmp_path):
    put_betas(tmp_path, [{}])
    put_run(tmp_path / "failed", {"status": "failed", "code": 1, "error": "half \ud83d of one"})
    assert "half ? of one" in reported(tmp_path)[1]


def test_the_same_runs_give_the_same_bytes(sweep):
    before = (sweep / PAGE).read_bytes(), (sweep / RESULTS).read_bytes()
    write_report(sweep, output=sweep)
    assert ((sweep / PAGE).read_bytes(), (sweep / RESULTS).read_bytes()) == before


ALWAYS = ["The bound, on the test set", "Rate and distortion", "The parts of the rate", "Rate of each latent"]
ALWAYS += ["Traversals", "All runs"]
OF_SCORES = ["Scores of the posterior means", "Dependence of the latents (0 is best)", "Each score by setting"]
OF_SCORES += ["Latents and factors", "Choosing without labels", "Do the scores agree?"]


def test_every_part_is_there_where_the_factors_are_known(page):
    assert set(re.findall("<h2>(.*?)</h2>", page)) == {*ALWAYS, *OF_SCORES, "Best and worst runs"}
    assert page.count("<img ") == 4
    assert "12 of 14 runs are done, with 4 settings" in page
    assert "data   sprites, 40 000 / 5 000 / 5 000 images" in page
    assert "The first run: revision 0123456789ab, torch 2.9.0, cpu, threads: 2." in page


def test_nothing_is_said_of_disentanglement_where_there_are_no_factors(tmp_path):
    _, page = reported(put_sweep(tmp_path, [1.0, 2.0], 1, scores=False))
    assert re.findall("<h2>(.*?)</h2>", page) == ALWAYS
    assert "MIG" not in page


def test_the_page_shows_the_traversals_of_a_dozen_settings(tmp_path):
    put_picture(tmp_path)
    for number in range(MOST_TRAVERSALS + 2):
        run = put_run(tmp_path / f"{number}", summary_of(1.5**number, 0, scores=False))
        shutil.copytree(tmp_path / "figures", run / "figures")
    _, page = reported(tmp_path)
    assert page.count("<img ") == MOST_TRAVERSALS
    assert "There are 2 more settings" in page


# scripts/report.py, and the end of a sweep


def test_the_script_leaves_both_files_and_prints_the_table(tmp_path, called):
    put_sweep(tmp_path, [1.0, 2.0], 2, scores=False)
    code, out, error = called(script, str(tmp_path))
    header = "| setting | distortion | rate | ELBO | NLL upper bound | NLL fall from half | active units |"
    assert out.splitlines()[0] == header
    assert "slope between beta 1 and 2: 1.4" in out
    assert "the laws hold" in out
    assert (code, error) == (0, f"{tmp_path / PAGE} and {RESULTS}\n")
    assert len(rows_of(tmp_path)) == 4
    assert (tmp_path / PAGE).stat().st_size > 10_000


def test_the_script_says_in_one_line_that_there_is_no_finished_run(tmp_path, called):
    put_run(tmp_path / "run", None)
    line = f"error: a report needs a finished run, {tmp_path} has none\n"
    assert called(script, str(tmp_path)) == (1, "", line)
    assert not (tmp_path / PAGE).exists()
    file = tmp_path / "run/train.log"
    assert called(script, str(file)) == (1, "", f"error: name a folder of runs, got {file}, which is not a folder\n")


@contextmanager
def no_file_longer_than(limit: int) -> Iterator[None]:
    """The full disk that a test can make."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [10, 5_000], ids=[RESULTS, PAGE])
def test_a_report_that_cannot_be_written_is_one_line_and_ends_no_sweep(tmp_path, called, capsys, limit):
    put_betas(tmp_path, [{}])
    with no_file_longer_than(limit):
        code, out, error = called(script, str(tmp_path))
        assert write_sweep_report(tmp_path) == []
    assert (code, out) == (6, "")
    for said in (error, capsys.readouterr().err):
        assert said.startswith("error: the report could not be written: [Errno")
        assert said.count("\n") == 1


def test_a_sweep_ends_with_the_table_and_the_page(tmp_path):
    put_betas(tmp_path, [{}, {}])
    text, page = write_sweep_report(tmp_path)
    assert "every slope lies between its betas\n" in text
    assert page == str(tmp_path / PAGE)


HEAVY = {"torch", "sklearn", "scipy.stats"}  # each takes half a second or more to load


def test_a_report_without_repeated_seeds_and_scores_loads_nothing_heavy(tmp_path):
    put_betas(tmp_path, [{}, {}])
    code = f"import sys; from vae.report import *; from pathlib import Path; p = Path({str(tmp_path)!r})"
    code += "; write_report(p, output=p)"
    done = run("-c", f"{code}; print({HEAVY} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


SHELLS = ["| head -c 1", ">&-", "2>&-", ">&- 2>&-", ""]  # who reads the output, or that nobody does


def test_reports_of_one_folder_at_once_all_succeed_whoever_reads_what_they_print(tmp_path):
    put_betas(tmp_path, [{}, {}])
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "report.html.tmp").symlink_to(tmp_path / "mine")  # a name that could be guessed
    command = f"set -o pipefail; LC_ALL=C PYTHONUTF8=0 {sys.executable} scripts/report.py {tmp_path}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(["bash", "-c", f"{command} {shell}"], cwd=ROOT, **pipes) for shell in SHELLS]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * len(SHELLS), said
    assert "Traceback" not in "".join(error for _, error in said)
    assert "BrokenPipe" not in "".join(error for _, error in said)
    assert "</html>" in (tmp_path / PAGE).read_text()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not list(tmp_path.glob("results.csv.*")) + list(tmp_path.glob("report.html.?*.tmp"))
