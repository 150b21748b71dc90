"""The single runs in a report, and a report of hundreds: what is folded, linked and warned of."""

import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from fake_runs import grouped_of, put_run, put_sweep, reported, rows_of, summary_of

from vae.app.traversals import draw_traversals_of
from vae.report import PAGE, write_report
from vae.report.runs import cautions, extremes

BETAS = [1.0, 2.0, 4.0, 6.0, 8.0, 16.0]
SEEDS = 50
LARGEST = 20_000_000  # bytes


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """300 runs, as of Locatello et al. (2019), one of them failed and one unfinished; with their report."""
    folder = put_sweep(tmp_path_factory.mktemp("hundreds") / "runs", BETAS, SEEDS)
    for name, summary in (("a", {"status": "failed", "code": 3, "error": "the loss is nan"}), ("b", None)):
        put_run(folder / name, summary)
    reported(folder)
    return folder


@pytest.fixture(scope="module")
def page(sweep) -> str:
    return (sweep / PAGE).read_text(encoding="utf-8").replace("<wbr>", "")


def shown(page: str) -> str:
    """The page without what is behind a line that opens."""
    return re.sub(r"(?s)(<details><summary>.*?</summary>).*?</details>", r"\1", page)


def test_the_report_of_three_hundred_runs_is_small_and_its_table_has_them_all(sweep, page):
    assert (sweep / PAGE).stat().st_size <= LARGEST
    rows = rows_of(sweep)
    assert len(rows) == len(BETAS) * SEEDS + 2
    assert float(rows["beta=4.0_seed=7"]["distortion"]) == summary_of(4.0, 7)["test"]["distortion"]
    assert "300 of 302 runs are done, with 6 settings" in page


def test_many_runs_are_behind_their_settings_and_those_that_are_not_done_come_first(page):
    lines = re.findall("<summary>(.*?)</summary>", page[page.index("All runs") :])
    assert lines[0] == "Not done: 2 of 302 runs"
    assert [line.partition(":")[0] for line in lines[1:]] == [f"beta={beta:g}" for beta in BETAS]
    assert all(": 50 runs, ELBO -" in line for line in lines[1:])
    assert page.count("seed=49</a>") == len(BETAS)
    assert shown(page).count("<tr>") < 100
    assert "seed=49</a>" not in shown(page)


def test_the_first_figure_comes_after_one_table_of_the_settings(page):
    before = page[: page.index("<svg")]
    assert before.count("<table>") == 1
    assert before.count("<tr>") == 1 + len(BETAS)


def test_the_best_and_the_worst_run_of_each_setting_are_linked(sweep, page):
    grouped = grouped_of(sweep)
    found = extremes(grouped, sweep)
    assert found is not None
    assert found.header == ["lowest loss", "highest loss", "highest MIG", "lowest MIG"]
    for (words, cells), (setting, members) in zip(found.rows, grouped.items(), strict=True):
        assert words == f"{setting}, 50 seeds"
        for name, picked in (("loss", cells[:2]), ("mig", cells[2:])):
            by_name = {member.directory.name: member.numbers[name] for member in members}
            ends = sorted([min(by_name.values()), max(by_name.values())], reverse=name == "mig")
            assert [by_name[Path(unquote(cell.place)).parent.name] for cell in picked] == ends
    places = [unquote(unescape(place)) for place in re.findall('<a href="(.*?)"', page)]
    logs = [place for place in places if place.endswith("train.log")]
    assert len(logs) == 302 + 4 * len(BETAS)
    assert all((sweep / place).is_file() for place in logs)


def test_a_page_elsewhere_links_the_runs_where_they_are(tmp_path):
    folder = put_sweep(tmp_path / "it's # a sweep", [1.0, 2.0], 2, scores=False)
    output = tmp_path / "pages/compared"
    assert write_report(folder, output=output) is not None
    places = [unquote(unescape(place)) for place in re.findall('<a href="(.*?)"', (output / PAGE).read_text())]
    assert [place for place in places if not (output / place).is_file()] == []


def test_a_few_runs_are_all_in_sight(tmp_path):
    _, page = reported(put_sweep(tmp_path, [1.0, 2.0, 4.0, 8.0, 16.0], 5, scores=False))
    assert "<details>" not in page
    assert page.count("/train.log") == 25 + 10


def test_hundreds_of_settings_are_folded_and_their_plots_stay_plots(tmp_path):
    for number in range(36):
        summary = summary_of(1.1**number, 0)
        put_run(tmp_path / f"{number:02d}", summary | {"conditions": {"learning_rate": 0.001 * (number + 1)}})
    _, page = reported(tmp_path)
    assert page[: page.index("<svg")].count("<summary>The numbers of all 36 settings</summary>") == 1
    assert shown(page[: page.index("<svg")]).count("<tr>") == 0
    figure = page[page.index("Scores by setting") :]
    figure = figure[: figure.index("</svg>")]
    assert figure.count("learning") < 10 * 24


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([1, 1], ["Every setting has a single seed. A difference between settings may be one between seeds."]),
        (
            [2, 3],
            ["Every setting has fewer than 5 seeds. Intervals are wide, and the order of settings may be chance."],
        ),
        (
            [1, 3, 5],
            ["1 of 3 settings (beta=1) has a single seed.", "1 of 3 settings (beta=2) has fewer than 5 seeds."],
        ),
        ([5, 5], []),
        ([1], []),
    ],
)
def test_few_seeds_are_warned_of(tmp_path, seeds, said):
    for number, count in enumerate(seeds):
        for seed in range(count):
            put_run(tmp_path / f"{number}_{seed}", summary_of(2.0**number, seed, scores=False))
    found = cautions(grouped_of(tmp_path))
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))
    _, page = reported(tmp_path)
    assert page.count('class="caution"') == len(said)


def test_traversals_are_drawn_for_runs_that_have_left_none(few_run, tmp_path):
    run = shutil.copytree(few_run, tmp_path / "sweep/run")
    shutil.rmtree(run / "figures")
    for draw, pictures in ((None, 0), (draw_traversals_of, 1)):
        write_report(tmp_path / "sweep", output=tmp_path, draw=draw)
        assert (tmp_path / PAGE).read_text().count("<img ") == pictures
    assert not (run / "figures").exists()


@pytest.mark.parametrize("missing", ["checkpoints/last", "codes.npz", "summary.json"])
def test_a_damaged_run_has_no_traversals_and_ends_no_report(few_run, tmp_path, missing):
    run = shutil.copytree(few_run, tmp_path / "run")
    shutil.rmtree(run / "figures")
    (run / missing).write_bytes(b"nothing")
    (run / "checkpoints/previous").unlink(missing_ok=True)
    assert draw_traversals_of(run) is None
