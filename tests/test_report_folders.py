"""One report of several sweeps and runs: its settings, its slopes, its columns and its place."""

import csv
import json
import os
from pathlib import Path

import pytest
from command import one_error_line
from configured import record_of
from fake_runs import put_codes, put_run, rows_of, summary_of

import report as script
from vae.report import PAGE, RESULTS, read_members, settings, write_report
from vae.report.statistics import slopes
from vae.run import record


def put(directory: Path, beta: float, seed: int = 0, **conditions: object) -> Path:
    """A finished run with other conditions than those of `summary_of`."""
    summary = summary_of(beta, seed, scores=False)
    summary["conditions"] |= conditions
    return put_run(directory, summary)


def put_two(folder: Path, **conditions: object) -> Path:
    """A sweep of beta 1 and 2, whose members have the same names in every folder."""
    for beta in (1.0, 2.0):
        put(folder / f"beta={beta}_seed=0", beta, **conditions)
    return folder


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path]:
    """Two sweeps of two models."""
    return put_two(tmp_path / "A"), put_two(tmp_path / "B", model="conv")


# Members and settings


def test_members_of_one_name_in_two_folders_are_two(two, tmp_path):
    put_run(two[1] / "beta=4.0_seed=0", {"status": "failed", "code": 3, "error": "the loss is nan"})
    text = write_report(*two, output=tmp_path)
    assert [line.split(" |")[0] for line in text.splitlines()[2:6]] == [
        f"| beta={beta}, model={model}" for beta in (1, 2) for model in ("conv", "mlp")
    ]
    rows = rows_of(tmp_path)
    assert {name: row["model"] for name, row in rows.items()} == {
        "A/beta=1.0_seed=0": "mlp",
        "A/beta=2.0_seed=0": "mlp",
        "B/beta=1.0_seed=0": "conv",
        "B/beta=2.0_seed=0": "conv",
        "B/beta=4.0_seed=0": "",
    }
    assert [row["folder"] for row in rows.values()] == [name[0] for name in rows]
    page = (tmp_path / PAGE).read_text().replace("<wbr>", "")
    assert "<title>A, B</title>" in page
    assert all(f'<td><a href="{name}/train.log">{name}</a></td>' in page.replace("%3D", "=") for name in rows)


def test_a_run_counts_once_however_often_it_is_named(two, tmp_path, monkeypatch):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "again").symlink_to(two[0] / "beta=2.0_seed=0")
    monkeypatch.chdir(tmp_path)
    once = [member.directory for member in read_members(two[0])]
    for folders in (["A", "A"], ["A", "A/beta=1.0_seed=0"], ["A/beta=1.0_seed=0", two[0]], ["A", "linked"]):
        found = read_members(*map(Path, folders))
        assert [member.directory for member in found] == once
        assert {member.folder for member in found} == {"A"}


def test_seeds_in_two_folders_repeat_each_other(tmp_path):
    for seed in range(4):
        put_codes(put(tmp_path / "AB"[seed % 2] / f"{seed}", 4.0, seed), seed, alike=True)
    write_report(tmp_path / "A", tmp_path / "B", output=tmp_path)
    assert {row["setting"] for row in rows_of(tmp_path).values()} == {"beta=4"}
    assert all(float(row["udr"]) > 0.8 for row in rows_of(tmp_path).values())


def test_settings_that_have_one_seed_in_two_folders_are_told_apart_by_the_folder(tmp_path):
    put_two(tmp_path / "A"), put_two(tmp_path / "B"), put(tmp_path / "R", 4.0)
    found = settings(read_members(*(tmp_path / name for name in "ABR")))
    assert list(found) == [*(f"beta={beta}, folder={name}" for beta in (1, 2) for name in "AB"), "beta=4, folder=R"]
    assert [(one.among, one.low, one.high) for one in slopes(found)[0]] == [("folder=A", 1, 2), ("folder=B", 1, 2)]


# The law, within one model and data set


def test_the_law_pairs_no_two_models(two, tmp_path):
    put(tmp_path / "R", 1.5, model="locatello")
    text = write_report(*two, tmp_path / "R", output=tmp_path)
    said = [line.partition(":")[0] for line in text.splitlines() if line.startswith("slope")]
    assert said == [f"slope between beta 1 and 2 of model={model}" for model in ("conv", "mlp")]
    assert "<td>model=conv</td><td>1</td><td>2</td>" in (tmp_path / PAGE).read_text().replace("<wbr>", "")


def test_another_objective_leaves_the_slopes_of_the_others(two, tmp_path):
    for beta in (1.0, 2.0):
        other = put(tmp_path / "C" / f"{beta}", beta, objective="factor") / "summary.json"
        other.write_text(json.dumps(json.loads(other.read_text()) | {"objective": "factor"}))
    found, why = slopes(settings(read_members(*two, tmp_path / "C")))
    assert [one.among for one in found] == ["objective=beta, model=conv", "objective=beta, model=mlp"]
    assert why.startswith("the law is about the objective distortion + beta * rate")


def with_data(directory: Path, sha256: str) -> None:
    path = directory / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_sha256": {"cats.npz": sha256}}))


def test_a_path_whose_data_have_changed_is_another_data_set(tmp_path):
    for beta, sha256 in ((1.0, "aa"), (2.0, "aa"), (4.0, "bb")):
        with_data(put(tmp_path / f"{beta}", beta, **{"data.path": "/cats.npz"}), sha256)
    found = settings(read_members(tmp_path))
    assert [name.partition("data_sha256=")[0] for name in found] == ["beta=1, ", "beta=2, ", "beta=4, "]
    assert [(one.low, one.high) for one in slopes(found)[0]] == [(1, 2)]


def test_data_that_have_moved_are_the_same_data_set(tmp_path):
    for beta, path in ((1.0, "/cats.npz"), (2.0, "/moved/cats.npz")):
        with_data(put(tmp_path / f"{beta}", beta, **{"data.path": path}), "aa")
    found = settings(read_members(tmp_path))
    assert list(found) == ["beta=1", "beta=2"]
    assert slopes(found)[0][0].holds


# Columns


def test_every_key_that_differs_is_a_column_also_of_runs_that_have_not_ended(tmp_path):
    for number, (choices, values) in enumerate(
        [
            ({}, {"threads": 1, "epochs": 5}),
            ({"data": "kmnist"}, {"threads": 1, "epochs": 5}),
            ({"data": "kmnist"}, {"threads": 2, "epochs": 9, "beta": 4.0}),
        ]
    ):
        directory = put_run(tmp_path / f"{number}", summary_of(1.0, 0) if number == 0 else None)
        record.write(directory, record_of({"likelihood": "bernoulli", **choices}, **values))
    write_report(tmp_path, output=tmp_path)
    rows = list(rows_of(tmp_path).values())
    assert [(row["data"], row["threads"], row["asked_epochs"]) for row in rows] == [
        ("mnist", "1", "5"),
        ("kmnist", "1", "5"),
        ("kmnist", "2", "9"),
    ]
    assert "model" not in rows[0]  # all have the same
    with (tmp_path / RESULTS).open() as file:
        header = next(csv.reader(file))
    assert len(header) == len(set(header))


# The place, and bad input


def test_several_folders_are_reported_in_the_working_directory_or_where_one_says(two, tmp_path, called, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = called(script, "../A", "../B")
    assert (done.returncode, done.stderr) == (0, f"{PAGE} and {RESULTS}\n")
    assert {path.name for path in Path().iterdir()} == {PAGE, RESULTS}
    assert called(script, "../A", "../B", "--output", "new/place").returncode == 0
    assert len(rows_of(Path("new/place"))) == 4
    assert called(script, "../A").returncode == 0
    assert len(rows_of(two[0])) == 2
    assert not (two[1] / PAGE).exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["A", "nowhere"], "error: name a folder of runs, got nowhere, which is not a folder"),
        (["A", ""], "error: name a folder of runs, got an empty name, which is not a folder"),
        (["A", "empty"], "error: a report needs a finished run, empty has none"),
        (["A", "."], "error: a report needs a finished run, . has none. Name the folders in it, as in A"),
        (["unfinished", "unfinished/run"], "error: a report needs a finished run, these folders have none"),
        (["A", "B", "--output", "file"], "error: --output must be a folder, got file"),
        (["A", "B", "--output", ""], "error: --output must be a folder, got an empty name"),
        (
            ["A", "B", "--output", "file/below"],
            "error: the report could not be written: [Errno 20] Not a directory: 'file/below'",
        ),
    ],
)
@pytest.mark.usefixtures("two")
def test_a_report_that_cannot_be_is_one_line_and_leaves_nothing(tmp_path, called, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    put_run(tmp_path / "unfinished/run", None)
    done = called(script, *words)
    assert (done.returncode, one_error_line(done)) == (1, line)
    assert not [name for *_, names in os.walk(tmp_path) for name in names if name in (PAGE, RESULTS)]


def test_a_report_of_several_folders_does_not_replace_that_of_a_sweep(two, tmp_path, called, monkeypatch):
    monkeypatch.chdir(two[0])
    done = called(script, ".", "../B")
    assert done.returncode == 1
    assert "would replace the report.html of the working directory, which holds runs" in one_error_line(done)
    assert not (two[0] / PAGE).exists()
    assert called(script, "--output", str(tmp_path), ".", "../B").returncode == 0
