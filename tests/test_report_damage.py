"""What damaged, foreign or missing files of a run do to the report of its folder: they take only themselves along."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_runs import LATENTS, grouped_of, page_of, put_codes, put_picture, put_run, put_sweep, summary_of

from vae.report import read_members, settings
from vae.report.page import Picture, origin_line, traversals


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
    assert all(m.done and m.codes is not None and origin_line(m) and m.introduction for m in whole)
    if file == "codes.npz":
        assert member.codes is None
    elif file == "figures/traversals.png":
        assert [p.title for p in traversals(settings(members))] == ["beta=1, seed 1", "beta=4, seed 0"]
    elif file == "run.json":
        assert origin_line(member) == ""
    elif file == "summary.json":
        assert member.summary == {"status": "unfinished"}
    elif damage != "half":
        assert member.introduction == []


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
        pictures = traversals({"beta=4": [member]})
        unread += (member.codes is None) + (pictures == [])
        assert all(isinstance(picture, Picture) for picture in pictures)
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
        ('{"started": "yesterday", "revision": null, "versions": {"torch": "2.9.0"}}', "torch 2.9.0"),
    ],
)
def test_an_origin_says_what_it_knows(tmp_path, content, line):
    directory = put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0, scores=False))
    (directory / "run.json").write_text(content)
    assert origin_line(read_members(tmp_path)[0]) == line
    page = page_of(tmp_path)
    assert "from the first start to the last end" not in page
    assert (f"The first: {line}." in page) == (line != "")


def test_the_picture_is_of_the_first_seed_that_has_one(tmp_path):
    for seed in range(2):
        put_run(tmp_path / f"beta=1.0_seed={seed}", summary_of(1.0, seed, scores=False))
    assert traversals(grouped_of(tmp_path)) == []
    put_picture(tmp_path / "beta=1.0_seed=1")
    assert [picture.title for picture in traversals(grouped_of(tmp_path))] == ["beta=1, seed 1"]


@pytest.mark.parametrize("matrices", [{}, {"mutual_information": [[0.0] * 5] * LATENTS}], ids=["none", "zeros"])
def test_matrices_that_are_missing_or_zero_are_no_error(tmp_path, matrices):
    summary = summary_of(1.0, 0)
    summary["disentanglement"]["matrices"] = matrices
    put_run(tmp_path / "beta=1.0_seed=0", summary)
    assert ("Which latent knows which factor" in page_of(tmp_path)) == bool(matrices)
