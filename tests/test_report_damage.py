"""What damaged, foreign or missing files of a run do to the report of its folder: they take only themselves along."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import LATENTS, grouped_of, put_codes, put_picture, put_run, put_sweep, reported, rows_of, summary_of

from vae.app.sweep import report_members, table_row
from vae.report import PAGE, read_members, settings
from vae.report.page import introduction, origin_line, traversal_images
from vae.run.summary import read_origin, read_summary


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Two betas and two seeds, to be copied from."""
    return put_sweep(tmp_path_factory.mktemp("sweep"), [1.0, 4.0], 2)


DAMAGE = {
    "nothing": lambda data: data[:0],
    "half": lambda data: data[: len(data) // 2],
    "start": lambda data: data[:30],
    "text": lambda data: b"no" + data[:0],
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("file", ["codes.npz", "figures/traversals.png", "run.json", "summary.json", "train.log"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_takes_only_itself_along(tmp_path, sweep, file, damage):
    for name in ("beta=1.0_seed=0", "beta=1.0_seed=1", "beta=4.0_seed=0"):
        shutil.copytree(sweep / name, tmp_path / name)
    damaged = tmp_path / "beta=1.0_seed=0"
    (damaged / file).write_bytes(DAMAGE[damage]((damaged / file).read_bytes()))
    members = read_members(tmp_path)
    assert len(members) == 3
    (member,) = (m for m in members if m.directory == damaged.resolve())
    whole = [m for m in members if m is not member]
    assert all(m.done and m.codes and origin_line(m.directory) and introduction(m.directory) for m in whole)
    if file == "codes.npz":
        assert member.codes is None
    elif file == "figures/traversals.png":
        assert [title[-6:] for title in traversal_images(settings(members))] == ["seed 1", "seed 0"]
    elif file == "run.json":
        assert origin_line(damaged) == ""
    elif file == "summary.json":
        assert member.summary["status"] == "unfinished"
        assert member.summary["error"].startswith("summary.json is damaged: ")
    elif damage != "half":
        assert introduction(damaged) == []


def test_no_byte_of_codes_or_picture_can_end_the_report(tmp_path, sweep):
    generator = np.random.default_rng(0)
    directory = tmp_path / "beta=4.0_seed=0"
    shutil.copytree(sweep / directory.name, directory)
    put_codes(directory, 0, alike=True, images=3)
    originals = {path: path.read_bytes() for path in (directory / "codes.npz", directory / "figures/traversals.png")}
    unread = 0
    for _ in range(150):
        for path, original in originals.items():
            data = bytearray(original)
            for place in generator.integers(len(data), size=3):
                data[place] = generator.integers(256)
            path.write_bytes(data)
        (member,) = read_members(tmp_path)
        unread += (member.codes is None) + (traversal_images({"beta=4": [member]}) == {})
    assert unread > 100


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros((5, 2))},
        {"mean": np.zeros((5, 2)), "logvar": np.zeros((5, 3))},
        {"mean": np.zeros(5), "logvar": np.zeros(5)},
        {"mean": np.zeros((0, 2)), "logvar": np.zeros((0, 2))},
        {"mean": np.full((5, 2), np.nan), "logvar": np.zeros((5, 2))},
        {"mean": np.zeros((5, 2)), "logvar": np.full((5, 2), 1e4)},
        {"mean": np.array([["a", "b"]]), "logvar": np.zeros((1, 2))},
        {"mean": np.array([[{}]], dtype=object), "logvar": np.zeros((1, 1))},
    ],
    ids=["no logvar", "other latents", "no matrix", "no image", "nan", "overflow", "text", "pickled"],
)
def test_codes_that_are_none_are_left_out(tmp_path, arrays):
    directory = put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0))
    np.savez(directory / "codes.npz", **arrays)
    (member,) = read_members(tmp_path)
    assert member.codes is None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{}", ""),
        ("[1]", ""),
        ("3", ""),
        ('{"started": 5, "versions": 7, "device": "cpu"}', "cpu"),
        ('{"revision": ["a"], "versions": {"torch": 2}, "threads": true, "device": "cpu"}', "cpu"),
        ("[" * 100_000, ""),
        ('{"started": "yesterday", "revision": null, "versions": {"torch": "2.9.0"}}', "torch 2.9.0"),
    ],
)
def test_an_origin_says_what_it_knows(tmp_path, content, line):
    directory = put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    (directory / "run.json").write_text(content)
    assert origin_line(directory) == line
    _, page = reported(tmp_path)
    assert "from the first start to the last end" not in page
    assert (f"The first run: {line}." in page) == (line != "")


def test_the_picture_is_of_the_first_seed_that_has_one(tmp_path):
    for seed in range(2):
        put_run(tmp_path / f"beta=1.0_seed={seed}", summary_of(1.0, seed, scores=False))
    assert traversal_images(grouped_of(tmp_path)) == {}
    put_picture(tmp_path / "beta=1.0_seed=1")
    assert list(traversal_images(grouped_of(tmp_path))) == ["beta=1, seed 1"]


@pytest.mark.parametrize("matrices", [{}, {"mutual_information": [[0.0] * 5] * LATENTS}], ids=["none", "zeros"])
def test_matrices_that_are_missing_or_zero_are_no_error(tmp_path, matrices):
    summary = summary_of(1.0, 0)
    summary["disentanglement"]["matrices"] = matrices
    put_run(tmp_path / "beta=1.0_seed=0", summary)
    assert ("Latents and factors" in reported(tmp_path)[1]) == bool(matrices)


@pytest.mark.parametrize("file", ["codes.npz", "figures/traversals.png", "run.json", "summary.json", "train.log"])
@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path, sweep, file, put):
    directory = tmp_path / "beta=1.0_seed=0"
    shutil.copytree(sweep / directory.name, directory)
    (directory / file).unlink()
    put(directory / file)
    (member,) = read_members(tmp_path)
    assert member.done == (file != "summary.json")
    assert (member.codes is None) == (file == "codes.npz")
    assert (traversal_images({"beta=1": [member]}) == {}) == (file == "figures/traversals.png")
    assert (origin_line(directory) == "") == (file == "run.json")
    assert (introduction(directory) == []) == (file == "train.log")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"steps": None}, "steps must be a whole number, 0 or more"),
        ({"beta": True}, "beta must be a finite number, 0 or more"),
        ({"seed": 1.5}, "seed must be a whole number, 0 or more"),
        ({"seconds": -1.0}, "seconds must be a finite number, 0 or more"),
        ({"seconds": 1e300}, "seconds is out of range"),
        ({"epochs": 10**400}, "epochs is out of range"),
        ({"status": "finished"}, "status must be done, failed or unfinished"),
        ({"status": "failed"}, "code is missing"),
        ({"test": {"distortion": 1.0, "rate": 1.0}}, "test.elbo is missing"),
        ({"test": {"distortion": float("nan"), "rate": 1.0, "elbo": -2.0}}, "test.distortion must be a finite number"),
        ({"asked": {"epochs": -3}}, "asked.epochs must be a whole number, 0 or more"),
        ({"disentanglement": {}}, "disentanglement.numbers is missing"),
        ({"more": [[[[[[[[[[1]]]]]]]]]]}, "more.0.0.0.0.0.0.0.0 is too deeply nested"),
    ],
)
def test_a_damaged_summary_is_that_of_an_unfinished_run_and_says_what_is_wrong(tmp_path, change, reason):
    put_run(tmp_path / "run", summary_of(1.0, 0) | change)
    assert read_summary(tmp_path / "run") == {"status": "unfinished", "error": f"summary.json is damaged: {reason}"}


def test_a_summary_is_returned_as_it_was_written(tmp_path):
    summary = summary_of(4.0, 1) | {"asked": {"epochs": 7, "early_stopping_epochs": None}, "new": {"key": "β"}}
    assert read_summary(put_run(tmp_path / "run", summary)) == summary


def test_of_a_damaged_origin_the_good_fields_are_kept_and_the_others_named(tmp_path):
    directory = put_run(tmp_path / "run", None)
    assert read_origin(directory).problem is None
    origin = {"data_sha256": {"a.npz": "00"}, "continued": [1], "threads": "two", "device": "cpu"}
    (directory / "run.json").write_text(json.dumps(origin))
    found = read_origin(directory)
    assert found.fields == {"data_sha256": {"a.npz": "00"}, "device": "cpu"}
    assert found.problem == "run.json is damaged in threads, continued"
    os.truncate(directory / "run.json", 20)
    assert read_origin(directory).fields == {}
    assert read_origin(directory).problem.startswith("run.json is damaged: ")
    (directory / "run.json").unlink()
    assert read_origin(directory) == ({}, "run.json is missing")


RAW = ["null", "true", '"x"', "[]", "{}", "1e400", "NaN", "1e300", "1" + "0" * 400, "-1", "[" * 5000 + "]" * 5000]
RAW += ['"\\ud800"']  # half a character


def mutations(tree: Any) -> Iterator[str]:
    """The JSON of `tree` with each of its parts left out and replaced; of a list, its first entry."""
    for path in paths(tree):
        *above, last = path
        for raw in (None, *RAW):
            changed = json.loads(json.dumps(tree))
            part = changed
            for key in above:
                part = part[key]
            if raw is None:
                del part[last]
            else:
                part[last] = "@"
            yield json.dumps(changed).replace('"@"', raw or "")


def paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:1]) if isinstance(tree, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from paths(below, (*above, key))


def test_no_mutation_of_a_summary_ends_a_report_or_a_table(tmp_path, capsys):
    summary = summary_of(1.0, 0) | {"conditions": {"side": 32}}
    summary["disentanglement"]["numbers"] = {"mig": 0.5}
    names = set()
    for number, text in enumerate(mutations(summary)):
        directory = put_run(tmp_path / f"run{number}", None)
        (directory / "summary.json").write_text(text.replace('"seed": 0', f'"seed": {number}'))  # few settings
        found = read_summary(directory)
        assert found["status"] == "done" or found["error"].startswith("summary.json is damaged: "), text[:300]
        assert directory.name in table_row(directory, found, 20)
        names.add(directory.name)
    assert len(names) > 400
    statuses = [member.done for member in read_members(tmp_path)]
    assert 50 < sum(statuses) < len(statuses) - 200
    report_members(tmp_path, [])
    said = capsys.readouterr().out
    page = (tmp_path / PAGE).read_text(encoding="utf-8").replace("<wbr>", "")
    assert set(rows_of(tmp_path)) == names
    assert all(name in said and name in page for name in names)


def test_whatever_the_scores_of_a_summary_that_is_accepted_hold_can_be_drawn(tmp_path):
    summary = summary_of(1.0, 0)
    scored = summary.pop("disentanglement") | {"numbers": {"mig": 0.5}}
    drawn = 0
    for number, text in enumerate(mutations(scored)):
        directory = put_run(tmp_path / f"{number}", None)
        (directory / "summary.json").write_text(f'{json.dumps(summary)[:-1]}, "disentanglement": {text}}}')
        accepted = read_summary(directory)["status"] == "done" and drawn < 12
        drawn += accepted
        if not accepted:
            shutil.rmtree(directory)
    assert drawn > 8
    assert len(grouped_of(tmp_path)) == drawn  # of one seed each: every run has its own place in the plots
    reported(tmp_path)
