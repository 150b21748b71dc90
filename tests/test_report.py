"""The report of a folder of runs: its numbers, its choices and its parts."""

import json
import math
import os
import re
import resource
import runpy
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
from configured import record_of
from fake_runs import (
    FACTORS,
    SCORES,
    grouped_of,
    page_of,
    put_codes,
    put_picture,
    put_points,
    put_run,
    put_sweep,
    rows_of,
    summary_of,
)
from scipy import stats

from vae.app.sweep import report_members
from vae.report import PAGE, RESULTS, read_members, text_table, write_report
from vae.report.page import how_many_fit, ranks
from vae.report.plots import short_names
from vae.report.selection import supervised_choices, unsupervised_ranking
from vae.report.statistics import estimate, estimates, rank_correlations, slopes
from vae.report.tables import DEPENDENCE, shown
from vae.report.tables import SCORES_AND_BASELINES as TITLES
from vae.run import record as stored
from vae.run.files import temporary_of
from vae.run.record import Task

HOSTILE = """it's <script>alert("x")</script> & </svg> "quoted\""""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Four betas and three seeds; one run failed with a hostile text, one has not ended; with its report."""
    folder = put_sweep(tmp_path_factory.mktemp("sweep") / "runs", [1.0, 2.0, 4.0, 8.0], 3)
    failed = {"status": "failed", "code": 3, "error": HOSTILE, "beta": 16.0, "seed": 0}
    put_run(folder / "beta=16.0_seed=0", failed)
    put_run(folder / "beta=16.0_seed=1", None)
    assert write_report(folder) is not None
    return folder


# Members and settings


def test_the_fakes_have_every_score_that_is_shown():
    assert set(TITLES | DEPENDENCE) == set(SCORES)


def test_seeds_are_repetitions_and_settings_are_in_the_order_of_beta(sweep):
    grouped = grouped_of(sweep)
    assert list(grouped) == ["beta=1", "beta=2", "beta=4", "beta=8"]
    assert [[m.seed for m in members] for members in grouped.values()] == [[0, 1, 2]] * 4


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["beta=1.0_seed=0_model=mlp", "beta=1.0_seed=1_model=conv"], ["beta=1_model=conv", "beta=1_model=mlp"]),
        (["0_beta=1.0_seed=0", "1_beta=1.0_seed=1"], ["beta=1"]),
        (["0_beta=1.0_seed=0", "1_beta=1.0_seed=0"], ["0_beta=1.0_seed=0", "1_beta=1.0_seed=0"]),
        (["beta=0.05_seed=0", "beta=0.5_seed=0", "beta=1e-05_seed=0"], ["beta=0.05", "beta=0.5", "beta=1e-05"]),
        (["beta=1.2.3_seed=0", "beta=._seed=0"], ["beta=.", "beta=1.2.3"]),
        (["beta=0.1234567_seed=0", "beta=0.12345678_seed=1"], ["beta=0.1234567", "beta=0.12345678"]),
        (["seed=0", "seed=1"], ["all"]),
        (["first", "second"], ["first", "second"]),
    ],
)
def test_a_setting_is_what_the_name_says_besides_seed_and_number(tmp_path, names, expected):
    for name in names:
        seed = int(found[1]) if (found := re.search(r"seed=(\d)", name)) else 0
        put_run(tmp_path / name, summary_of(1.0, seed, scores=False))
    assert sorted(grouped_of(tmp_path)) == expected


def test_the_folder_of_a_single_run_is_a_report_of_that_run(tmp_path, monkeypatch):
    directory = put_run(tmp_path / "beta=4.0_seed=2", summary_of(4.0, 2))
    monkeypatch.chdir(directory)
    page = page_of(Path())
    assert list(rows_of(directory)) == ["beta=4.0_seed=2"]
    assert "1 of 1 runs are done" in page
    assert "<title>beta=4.0_seed=2</title>" in page


def test_an_older_summary_lacks_what_came_later(tmp_path):
    test = {"distortion": 80.0, "rate": 20.0, "elbo": -100.0}
    first = {"status": "done", "beta": 1.0, "seed": 0, "epochs": 1, "steps": 9, "seconds": 1.0, "test": test}
    put_run(tmp_path / "beta=1.0_seed=0", first)
    put_run(tmp_path / "beta=2.0_seed=0", summary_of(2.0, 0))
    put_run(tmp_path / "beta=4.0_seed=0", {"status": "done"})
    put_run(tmp_path / "beta=8.0_seed=0", {"status": "failed", "code": 3, "error": "the loss is nan"})
    page = page_of(tmp_path)
    assert list(grouped_of(tmp_path)) == ["beta=1", "beta=2"]
    assert ">unfinished: summary.json is damaged: beta is missing<" in page
    assert ">failed, code 3: the loss is nan<" in page
    rows = rows_of(tmp_path)
    assert (rows["beta=1.0_seed=0"]["rate"], rows["beta=1.0_seed=0"]["mig"]) == ("20.0", "")


# Statistics


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_interval_is_that_of_students_t(count):
    values = np.random.default_rng(count).normal(100, 7, count)
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert found.count == count
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high), rel=1e-12)


def test_one_seed_has_a_mean_and_no_interval():
    found = estimate([3.0])
    assert (found.mean, found.half_width, found.count) == (3.0, None, 1)
    assert shown(found) == "3.00"


def test_a_number_that_is_none_does_not_take_the_mean_along(tmp_path):
    for seed, value in enumerate([0.25, math.nan, 0.75, None]):
        summary = summary_of(1.0, seed)
        summary["disentanglement"]["numbers"]["mig"] = value
        put_run(tmp_path / f"beta=1.0_seed={seed}", summary)
    found = estimates(grouped_of(tmp_path), "mig")["beta=1"]
    assert (found.mean, found.count) == (0.5, 2)
    assert "nan" not in re.sub("<svg.*?</svg>", "", page_of(tmp_path), flags=re.DOTALL)


def test_rank_correlations_are_spearmans():
    generator = np.random.default_rng(0)
    columns = generator.integers(6, size=(4, 20)).astype(float)  # with ties
    expected = stats.spearmanr(columns, axis=1).statistic
    np.testing.assert_allclose(rank_correlations(columns.tolist()), expected, atol=1e-12)


def test_what_does_not_vary_has_no_rank_correlation(tmp_path):
    matrix = rank_correlations([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [3.0, 2.0, 1.0]])
    assert np.isnan(matrix).tolist() == [[False, True, False], [True] * 3, [False, True, False]]
    assert matrix[0, 2] == pytest.approx(-1.0)
    found = ranks(read_members(put_sweep(tmp_path, [1.0, 2.0], 2)))
    assert found is not None
    assert "active latents" not in found.titles  # 3 in every run
    assert {"distortion", "rate", "MIG"} <= set(found.titles)
    assert found.rows[0][:2] == [1.0, -1.0]
    assert found.members == 4


def test_three_runs_are_too_few_for_ranks(tmp_path):
    assert ranks(read_members(put_sweep(tmp_path, [1.0, 2.0, 4.0], 1))) is None


# The laws of rate and distortion


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(1.0, 80.0, 25.0), (2.0, 88.0, 20.0), (4.0, 100.0, 16.0)], ["1.60, holds", "3.00, holds"]),
        ([(1.0, 80.0, 25.0), (2.0, 79.0, 20.0)], ["-0.20, broken: the distortion does not rise"]),
        ([(1.0, 80.0, 25.0), (2.0, 88.0, 26.0)], ["inf, broken: the rate does not fall"]),
        ([(1.0, 80.0, 25.0), (2.0, 88.0, 25.0)], ["inf, broken: the rate does not fall"]),
        ([(1.0, 80.0, 25.0), (2.0, 79.0, 26.0)], ["inf, broken: the rate does not fall"]),
        ([(1.0, 80.0, 25.0), (2.0, 83.0, 20.0)], ["0.60, broken: outside the two, so not both are"]),
        ([(1.0, 80.0, 25.0), (2.0, 100.0, 20.0)], ["4.00, broken: outside the two, so not both are"]),
    ],
)
def test_the_script_says_whether_the_laws_of_the_optimum_hold(tmp_path, points, words):
    put_points(tmp_path, points)
    text = write_report(tmp_path)
    assert text is not None
    said = [line for line in text.splitlines() if line.startswith("slope between beta")]
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))
    assert ("the laws hold: distortion rises, rate falls" in text) == all("holds" in word for word in words)
    page = (tmp_path / PAGE).read_text()
    for word in words:
        assert word.split(", ", 1)[1] in page


def test_slopes_are_between_the_means_over_seeds(tmp_path):
    put_sweep(tmp_path, [1.0, 2.0, 4.0], 3)
    found = slopes(grouped_of(tmp_path)).found
    assert [(one.low, one.high) for one in found] == [(1.0, 2.0), (2.0, 4.0)]
    means = {
        name: [np.mean([summary_of(beta, seed)["test"][name] for seed in range(3)]) for beta in (1.0, 2.0, 4.0)]
        for name in ("rate", "distortion")
    }
    expected = -np.diff(means["distortion"]) / np.diff(means["rate"])
    assert [one.slope for one in found] == pytest.approx(expected.tolist(), rel=1e-12)
    assert all(one.holds for one in found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"objective": "total_correlation"}, "the law is of the objective distortion + beta * rate, and a run has"),
        ({"conditions": {"model.latent_dim": 9}}, "more than beta and seed: model.latent_dim, data.side"),
        ({"asked": {"epochs": 8, "early_stopping_epochs": None}}, "more than beta and seed: epochs"),
    ],
    ids=["another objective", "another model", "other epochs"],
)
def test_the_law_is_not_asked_of_runs_that_it_is_not_of_and_the_reason_is_said(tmp_path, change, why):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    put_run(tmp_path / "beta=2.0_seed=0", summary_of(2.0, 0, scores=False) | change)
    law = slopes(grouped_of(tmp_path))
    assert law.found == []
    assert law.why_none is not None
    assert why in law.why_none
    text = write_report(tmp_path)
    assert text is not None
    assert f"slopes are not judged: {law.why_none}" in text
    assert "slope between" not in text
    assert f"Slopes are not judged: {law.why_none}." in (tmp_path / PAGE).read_text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"loss_change_per_epoch": -3.5},
            "the loss still changed by 3.5 nats in the last epoch, and the two betas are",
        ),
        ({"loss_change_per_epoch": 3.5}, "the loss still changed by 3.5 nats in the last epoch"),
        ({"loss_change_per_epoch": None}, "a run does not say whether its loss still changed at the end"),
        (
            {"unfinished": {"beta": {"reached": 0.016, "end": 2.0, "steps": 391, "schedule_steps": 100_000}}},
            "beta did not come to the end of its schedule",
        ),
    ],
    ids=["falls", "rises", "measured once", "beta not reached"],
)
def test_slopes_of_runs_that_still_train_are_shown_and_not_judged(tmp_path, change, why):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    put_run(tmp_path / "beta=2.0_seed=0", summary_of(2.0, 0, scores=False) | change)
    put_run(tmp_path / "beta=4.0_seed=0", summary_of(4.0, 0, scores=False) | change)
    text = write_report(tmp_path)
    assert text is not None
    assert text.count(f"not judged: {why}") == 2
    assert "broken" not in text
    assert "the laws hold" not in text
    page = (tmp_path / PAGE).read_text()
    assert page.count(f"not judged: {why}") == 2
    assert "said bad" not in page


def test_a_learning_rate_that_still_falls_keeps_no_slope_from_being_judged(tmp_path):
    points = {"learning_rate": {"reached": 5e-4, "end": 0.0, "steps": 100, "schedule_steps": 200}}
    for beta in (1.0, 2.0):
        put_run(tmp_path / f"beta={beta}_seed=0", summary_of(beta, 0, scores=False) | {"unfinished": points})
    assert slopes(grouped_of(tmp_path)).found[0].holds


def test_a_setting_whose_beta_was_never_reached_is_marked(tmp_path):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    unfinished = {"beta": {"reached": 0.0156, "end": 4.0, "steps": 391, "schedule_steps": 100_000}}
    put_run(tmp_path / "beta=4.0_seed=0", summary_of(4.0, 0, scores=False) | {"unfinished": unfinished})
    text = write_report(tmp_path)
    assert text is not None
    assert "| beta=4 † |" in text
    assert "| beta=1 |" in text
    words = "beta is 0.0156 at the last step, not 4: its schedule ends at step 100,000, training at step 391"
    assert f"† beta=4: {words}." in text
    assert f"† beta=4: {words}." in (tmp_path / PAGE).read_text()
    assert rows_of(tmp_path)["beta=4.0_seed=0"]["unfinished"] == words
    assert rows_of(tmp_path)["beta=1.0_seed=0"]["unfinished"] == ""


def test_information_near_its_ceiling_is_marked_and_the_shuffled_values_stand_beside_it(tmp_path):
    for beta, information, total in ((1.0, 8.4, 8.58), (2.0, 5.0, 0.03)):
        summary = summary_of(beta, 0, scores=False)
        summary["test"] |= {"mutual_information": information, "total_correlation": total}
        summary["test"] |= {"mutual_information_shuffled": 8.41, "total_correlation_shuffled": 8.56}
        put_run(tmp_path / f"beta={beta}_seed=0", summary)
    page = page_of(tmp_path)
    assert "<td>8.40 *</td><td>8.41</td><td>8.58 *</td><td>8.56</td>" in page
    assert "<td>5.00</td>" in page
    assert "* within 1 nat of 8.52 nats, the logarithm of the number of images" in page
    assert rows_of(tmp_path)["beta=1.0_seed=0"]["total_correlation_shuffled"] == "8.56"


def test_nothing_is_marked_where_no_information_is_near_its_ceiling(tmp_path):
    summary = summary_of(2.0, 0, scores=False)
    summary["test"]["mutual_information"] = 3.0
    put_run(tmp_path / "beta=2.0_seed=0", summary)
    page = page_of(tmp_path)
    assert " *<" not in page
    assert "within 1 nat" not in page


def test_the_nll_says_how_many_samples_it_is_of_and_how_much_it_still_fell(tmp_path):
    put_sweep(tmp_path, [1.0, 4.0], 1)
    text = write_report(tmp_path)
    assert text is not None
    assert "NLL, at most | which still fell by |" in text
    assert "NLL, at most, is a bound by 100 samples of each of the first 1000 test images" in text
    assert "by how much it still fell from half of the samples to all" in text
    rise = summary_of(1.0, 0)["test"]["importance_weighted_bound"]["rise_from_half"]
    assert f"| {rise:.3f} |" in text
    assert float(rows_of(tmp_path)["beta=1.0_seed=0"]["nll_fall_from_half"]) == rise


def test_factors_that_are_not_scored_are_named_and_a_run_without_any_score_is_shown(tmp_path):
    for beta in (1.0, 2.0):
        summary = summary_of(beta, 0)
        summary["disentanglement"] = {
            "factors": [],
            "left_out": {"angle": "5,000 levels, 1.0 images a level, fewer than 10"},
            "numbers": {"sap_continuous": 0.9, "codes_total_correlation": 0.1},
            "matrices": {"squared_correlation": [[0.9]] * 4},
        }
        put_run(tmp_path / f"beta={beta}_seed=0", summary)
    page = page_of(tmp_path)
    assert "Only SAP, continuous, counts angle (5,000 levels, 1.0 images a level, fewer than 10)." in page
    assert "SAP, continuous" in page
    assert ">MIG<" not in page


def test_the_baselines_stand_below_the_scores_they_are_of(sweep):
    page = (sweep / PAGE).read_text()
    body = page[page.index("Scores of disentanglement") :]
    for first, second in (("modularity", "explicitness"), ("IRS", "</table>")):
        part = body[body.index(f"<td>{first}</td>") :]
        assert "of other images&#39; codes" in part[: part.index(second)]
    assert "Codes that know nothing of the factors do not score 0" in page
    assert "count collapsed latents as much as others" in page


def test_settings_that_differ_in_more_than_beta_are_not_comparable(tmp_path):
    for name in ("beta=1.0_seed=0_model=mlp", "beta=1.0_seed=0_model=conv", "beta=2.0_seed=0_model=mlp"):
        summary = summary_of(float(name[5:8]), 0, scores=False)
        del summary["conditions"]  # as of an older run: all that is known is its name
        put_run(tmp_path / name, summary)
    law = slopes(grouped_of(tmp_path))
    assert law.found == []
    assert law.why_none == "the runs differ in more than beta and seed: what their names say"


def test_the_table_of_the_readme_is_what_the_report_prints_of_those_runs(tmp_path):
    reference = json.loads((ROOT / "outputs" / "reference" / "beta_sweep.json").read_text())
    for content in reference["runs"]:
        more = {"status": "done", "epochs": 1, "steps": 1, "seconds": 1.0}  # which the table does not show
        put_run(tmp_path / f"beta={content['beta']}_seed={content['seed']}", more | content)
    lines = text_table(grouped_of(tmp_path)).splitlines()
    readme = (ROOT / "README.md").read_text()
    assert "\n".join(lines[:6]) in readme
    found = [float(re.findall(r"\d+\.\d+", line)[-1]) for line in lines[6:9]]
    assert f"{found[0]:.2f}, {found[1]:.2f} and {found[2]:.2f}" in readme
    assert lines[9].startswith("the laws hold")


# Choosing a setting


def test_seeds_whose_codes_are_equal_up_to_order_and_sign_win(sweep):
    ranking = unsupervised_ranking(grouped_of(sweep))
    assert ranking.chosen == "beta=4"
    assert ranking.of_setting["beta=4"].mean > 0.85
    assert max(ranking.of_setting[name].mean for name in ("beta=1", "beta=2", "beta=8")) < 0.6
    assert "(chosen)</td>" in (sweep / PAGE).read_text()
    rows = rows_of(sweep)
    values = [float(rows[f"beta=4.0_seed={seed}"]["udr"]) for seed in range(3)]
    assert np.mean(values) == pytest.approx(ranking.of_setting["beta=4"].mean, rel=1e-12)


def test_one_seed_has_nothing_to_be_alike_to(tmp_path):
    put_sweep(tmp_path, [1.0, 4.0], 1, scores=False)
    ranking = unsupervised_ranking(grouped_of(tmp_path))
    assert (ranking.chosen, dict(ranking.of_member)) == (None, {})
    assert "UDR" not in page_of(tmp_path)


def test_codes_of_other_images_or_latents_are_not_compared(tmp_path):
    put_sweep(tmp_path, [4.0], 2)
    put_codes(tmp_path / "beta=4.0_seed=1", 1, alike=True, images=299)
    assert unsupervised_ranking(grouped_of(tmp_path)).of_setting == {}


def test_each_score_chooses_the_setting_with_the_best_mean(sweep):
    chosen = supervised_choices(grouped_of(sweep))
    for name in ("mig", "dci_disentanglement", "factor_vae_score", "sap"):
        means = {
            beta: np.mean([summary_of(beta, seed)["disentanglement"]["numbers"][name] for seed in range(3)])
            for beta in (1.0, 2.0, 4.0, 8.0)
        }
        assert chosen[name] == f"beta={max(means, key=lambda beta, found=means: found[beta]):g}"


# results.csv


def test_the_table_holds_every_number_of_every_member(sweep):
    rows = rows_of(sweep)
    assert set(rows) == {path.name for path in sweep.iterdir() if path.is_dir()}
    checked = 0
    for name, row in rows.items():
        path = sweep / name / "summary.json"
        summary = json.loads(path.read_text()) if path.exists() else {"status": "unfinished"}
        assert row["status"] == summary["status"]
        if summary["status"] != "done":
            assert row["elbo"] == ""
            continue
        numbers = {name: value for name, value in summary["test"].items() if isinstance(value, float | int)}
        numbers["nll"] = -summary["test"]["importance_weighted_bound"]["bound"]
        numbers["nll_fall_from_half"] = summary["test"]["importance_weighted_bound"]["rise_from_half"]
        numbers |= summary["disentanglement"]["numbers"] | {
            key: summary[key] for key in ("beta", "seed", "epochs", "seconds")
        }
        assert len(numbers) > 40
        for key, value in numbers.items():
            assert float(row[key]) == value, key  # to the last digit
            checked += 1
    assert checked > 12 * 40


# The page


class Fetching(HTMLParser):
    """What a browser would go and get, and where scripts could run."""

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


def test_the_page_fetches_nothing_and_runs_nothing(sweep):
    page = (sweep / PAGE).read_text()
    parser = Fetching()
    parser.feed(page)
    assert parser.found == []
    assert parser.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert {"svg", "img", "table"} <= parser.tags
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_a_hostile_text_stays_a_text(sweep):
    page = (sweep / PAGE).read_text()
    assert "<script" not in page
    assert "it&#39;s &lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;/svg&gt; &#34;quoted&#34;" in page


def test_hostile_names_stay_names(tmp_path):
    for name in ("<b>&amp;$x 1$ \\frac{", '<∕svg><script>" onload="alert(1)'):  # a path has no slash
        put_run(tmp_path / f"beta=1.0_seed=0_model={name}", summary_of(1.0, 0))
    page = page_of(tmp_path)
    parser = Fetching()
    parser.feed(page)
    assert parser.found == []
    assert "script" not in parser.tags
    assert "b" not in parser.tags
    assert "$x 1$" in page  # drawn as it is written, not as a formula
    assert page.count("&lt;b&gt;&amp;amp;") > 5


def test_a_character_that_is_none_does_not_end_the_report(tmp_path):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    put_run(tmp_path / "beta=2.0_seed=0", {"status": "failed", "code": 1, "error": "half \ud83d of one"})
    assert "half ? of one" in page_of(tmp_path)


def test_the_same_runs_give_the_same_bytes(sweep):
    before = (sweep / PAGE).read_bytes(), (sweep / RESULTS).read_bytes()
    write_report(sweep)
    assert ((sweep / PAGE).read_bytes(), (sweep / RESULTS).read_bytes()) == before


def test_every_part_is_there_where_the_factors_are_known(sweep):
    page = (sweep / PAGE).read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "The bound, on the test set",
        "What the rate is made of",
        "Scores of disentanglement, of posterior means",
        "Dependence of the latents (0 is best)",
        "Rate and distortion",
        "Each score by setting",
        "Rate of each latent",
        "Which latent knows which factor",
        "Traversals",
        "Choosing without labels",
        "Do the scores agree?",
        "All runs",
    ]
    assert page.count("<img ") == 4
    assert "12 of 14 runs are done: 4 settings" in page
    assert "data   sprites, 40 000 / 5 000 / 5 000 images" in page
    assert "The first: revision 0123456789ab, torch 2.9.0, cpu, 2 threads a run." in page


def test_nothing_is_said_of_disentanglement_where_there_are_no_factors(tmp_path):
    put_sweep(tmp_path, [1.0, 2.0], 1, scores=False)
    page = page_of(tmp_path)
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "The bound, on the test set",
        "What the rate is made of",
        "Rate and distortion",
        "Rate of each latent",
        "Traversals",
        "All runs",
    ]
    assert "MIG" not in page


def test_many_settings_with_large_pictures_stay_below_five_megabytes(tmp_path):
    for number in range(16):
        beta = round(0.5 * 1.5**number, 2)
        summary = summary_of(beta, 0)
        values = np.random.default_rng(number).uniform(size=(10, len(FACTORS))).tolist()
        summary["test"]["rate_per_latent"] = values[0] * 2
        summary["disentanglement"]["matrices"] = {"mutual_information": values, "dci_importance": values}
        summary["disentanglement"]["numbers"] = {"mig": 0.5}  # drawing all of them takes seconds
        directory = put_run(tmp_path / f"beta={beta}_seed=0", summary)
        if number == 0:
            put_picture(directory, width=900, height=600, noise=True)
        else:
            shutil.copytree(tmp_path / "beta=0.5_seed=0" / "figures", directory / "figures")
    page = page_of(tmp_path)
    assert len(page.encode()) <= 5_000_000
    shown_pictures = page.count("<img ")
    assert 1 <= shown_pictures < 16
    assert f"{16 - shown_pictures} more did not fit into this page" in page


def test_as_many_pictures_are_shown_as_fit():
    assert how_many_fit([1_000_000, 1_000_000, 400_000, 200_000]) == 3
    assert how_many_fit([2_500_000]) == 1
    assert how_many_fit([2_500_001, 1]) == 0


def test_names_in_plots_leave_out_what_all_share():
    names = ["beta=1_model=mlp_data=fashion_mnist", "beta=4_model=mlp_data=fashion_mnist"]
    assert list(short_names(names).values()) == ["beta=1", "beta=4"]
    assert list(short_names(["beta=1_model=mlp"]).values()) == ["beta=1, model=mlp"]
    assert list(short_names(["first_run", "second_run"]).values()) == ["first_run", "second_run"]


# scripts/report.py


def script(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the script on a folder, in this process: libraries are loaded once."""
    monkeypatch.setattr(sys, "argv", ["scripts/report.py", str(folder)])
    with pytest.raises(SystemExit, match=r"^\d$") as ended:
        runpy.run_path(str(ROOT / "scripts" / "report.py"), run_name="__main__")
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_script_leaves_both_files_and_prints_the_table(tmp_path, capsys, monkeypatch):
    put_sweep(tmp_path, [1.0, 2.0], 2, scores=False)
    code, out, error = script(tmp_path, capsys, monkeypatch)
    assert code == 0
    header = "| setting | distortion | rate | ELBO | NLL, at most | which still fell by | active latents |"
    assert out.splitlines()[0] == header
    assert "slope between beta 1 and 2: 1.4" in out
    assert "the laws hold" in out
    assert error == f"{tmp_path / PAGE} and {RESULTS}\n"
    assert len(rows_of(tmp_path)) == 4
    assert (tmp_path / PAGE).stat().st_size > 10_000


@pytest.mark.parametrize("content", ["nothing", "no folder", "a file", "unfinished"])
def test_the_script_says_in_one_line_that_there_is_no_finished_run(tmp_path, capsys, monkeypatch, content):
    folder = tmp_path / "runs"
    if content == "nothing":
        folder.mkdir()
    elif content == "a file":
        folder.write_text("no")
    elif content == "unfinished":
        put_run(folder / "beta=1.0_seed=0", None)
    code, out, error = script(folder, capsys, monkeypatch)
    rules = {
        "no folder": f"a report is of a folder of runs, got {folder}, which is none",
        "a file": f"a report is of a folder of runs, got {folder}, which is none",
    }
    line = rules.get(content, f"a report needs a finished run, {folder} has none")
    assert (code, out, error) == (1, "", f"error: {line}\n")
    assert not (folder / PAGE).exists()


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
def test_the_script_says_in_one_line_that_it_cannot_write(tmp_path, capsys, monkeypatch, limit):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    with no_file_longer_than(limit):
        code, out, error = script(tmp_path, capsys, monkeypatch)
    assert (code, out) == (6, "")
    assert error.startswith("error: the report could not be written: [Errno")
    assert len(error.splitlines()) == 1


# The end of a sweep


def put_configurations(folder: Path) -> list[Task]:
    """Beside each run its configuration, and all of them."""
    tasks = []
    for member in read_members(folder):
        tasks.append(Task(member.directory, record_of(beta=member.summary["beta"], epochs=1)))
        stored.write(tasks[-1].directory, tasks[-1].record)
    return tasks


def test_a_sweep_ends_with_the_table_and_the_page(tmp_path, capsys):
    put_sweep(tmp_path, [1.0, 2.0], 1, scores=False)
    assert report_members(tmp_path, put_configurations(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "2 of 2 members done" in out
    assert "every slope lies between its betas\n" in out
    assert out.endswith(f"--samples 5000.\n{tmp_path / PAGE}\n")


def test_a_sweep_whose_report_cannot_be_written_is_done_all_the_same(tmp_path, capsys):
    put_sweep(tmp_path, [1.0], 1, scores=False)
    tasks = put_configurations(tmp_path)
    with no_file_longer_than(10):
        assert report_members(tmp_path, tasks) == 0
    said = capsys.readouterr()
    assert "1 of 1 members done" in said.out
    assert said.err.startswith("error: the report could not be written: [Errno")


HEAVY = {"torch", "sklearn", "scipy.stats"}  # each loads for half a second or more


@pytest.mark.parametrize("way", ["the end of a sweep", "the script"])
def test_a_report_without_repeated_seeds_and_scores_loads_nothing_heavy(tmp_path, way):
    put_sweep(tmp_path, [1.0, 2.0], 1, scores=False)
    code = {
        "the end of a sweep": f"from vae.app import sweep; sweep.report_members(pathlib.Path({str(tmp_path)!r}), [])",
        "the script": f"sys.argv = ['report.py', {str(tmp_path)!r}]; import report; report.main()",
    }[way]
    done = run("-c", f"import sys, pathlib; sys.path.append('scripts'); {code}; assert not {HEAVY} & set(sys.modules)")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / PAGE).exists()


def test_four_reports_of_one_folder_at_once_all_succeed(tmp_path):
    put_sweep(tmp_path, [1.0, 4.0], 1, scores=False)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "report.html.tmp").symlink_to(tmp_path / "mine")  # of somebody who knows an earlier version
    command = [sys.executable, "scripts/report.py", str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], said
    assert len({out for out, _ in said}) == 1
    assert "</html>" in (tmp_path / PAGE).read_text()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not list(tmp_path.glob("results.csv.*")) + list(tmp_path.glob("report.html.?*.tmp"))


def test_a_report_removes_what_an_old_one_that_was_killed_has_left_and_leaves_a_new_one_alone(tmp_path):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    old, new = (temporary_of(tmp_path / PAGE) for _ in range(2))
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    page_of(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("shell", ["%s | head -c 1", "%s >&-", "%s 2>&-", "%s >&- 2>&-", "LC_ALL=C PYTHONUTF8=0 %s"])
def test_a_report_does_not_depend_on_who_reads_what_it_prints(tmp_path, shell):
    folder = put_sweep(tmp_path / "s", [1.0], 2, scores=False)
    command = shell % f"{sys.executable} scripts/report.py {folder}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert (folder / PAGE).exists()


def test_seeds_whose_codes_are_missing_or_another_ones_are_named_beside_udr(tmp_path):
    put_sweep(tmp_path, [1.0], 3)
    page_of(tmp_path)
    (tmp_path / "beta=1.0_seed=1/codes.npz").unlink()
    text = write_report(tmp_path)
    said = "UDR of beta=1 is of 2 of 3 seeds: the codes.npz of beta=1.0_seed=1 is missing or damaged"
    assert said in text
    assert said in (tmp_path / PAGE).read_text()
    shutil.copy(tmp_path / "beta=1.0_seed=0/codes.npz", tmp_path / "beta=1.0_seed=1/codes.npz")
    assert "UDR of beta=1 is too high: beta=1.0_seed=0 and beta=1.0_seed=1 have the same codes.npz" in write_report(
        tmp_path
    )


def test_a_name_with_a_bar_leaves_the_table_a_table(tmp_path):
    put_run(tmp_path / "a|b_beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    row = next(line for line in write_report(tmp_path).splitlines() if "a\\|b" in line)
    assert row.replace("\\|", "").count("|") == write_report(tmp_path).splitlines()[0].count("|")
