import os
import pickle
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import ROOT

from vae.checkpoint import CheckpointError, load, load_newest, save
from vae.run_directory import write_atomically


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    return {"weights": torch.randn(50, generator=generator), "step": 7, "best": -1.5, "nested": {"name": "a"}}


def test_what_was_saved_is_loaded(tmp_path, state):
    save(tmp_path / "last", state)
    loaded = load(tmp_path / "last")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


def test_every_flipped_bit_is_noticed(tmp_path, state):
    path = tmp_path / "last"
    save(path, state)
    good = path.read_bytes()
    for position in range(0, len(good), max(1, len(good) // 300)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
            load(path)


def test_every_truncation_is_noticed(tmp_path, state):
    path = tmp_path / "last"
    save(path, state)
    good = path.read_bytes()
    for length in range(0, len(good), max(1, len(good) // 200)):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
            load(path)


@pytest.mark.parametrize("put", [Path.mkdir, Path.exists], ids=["a folder", "nothing"])
def test_what_cannot_be_read_is_one_line(tmp_path, put):
    put(tmp_path / "last")
    with pytest.raises(CheckpointError, match="cannot read") as caught:
        load(tmp_path / "last")
    assert "\n" not in str(caught.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def put_a_folder_in_its_place(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "harm", [cut, flip, Path.unlink, put_a_folder_in_its_place, lambda path: path.write_bytes(b"")]
)
def test_where_the_last_is_damaged_the_one_before_is_taken_with_one_warning(tmp_path, state, caplog, harm):
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    assert (load(tmp_path / "previous")["step"], load_newest(tmp_path)["step"]) == (6, 7)
    assert not caplog.records
    harm(tmp_path / "last")
    assert load_newest(tmp_path)["step"] == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(tmp_path / "last") in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize("harm", [cut, put_a_folder_in_its_place])
def test_the_next_save_keeps_the_one_that_could_be_read_and_not_the_damaged_one(tmp_path, state, harm):
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    harm(tmp_path / "last")
    load_newest(tmp_path)
    save(tmp_path / "last", state | {"step": 8}, keep=tmp_path / "previous")
    assert [load(tmp_path / name)["step"] for name in ("previous", "last")] == [6, 8]


def test_where_both_are_damaged_the_error_is_that_of_the_last(tmp_path, state):
    for _ in range(2):
        save(tmp_path / "last", state, keep=tmp_path / "previous")
    cut(tmp_path / "previous")
    (tmp_path / "last").unlink()  # which may be the same file
    (tmp_path / "last").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="last is not a checkpoint"):
        load_newest(tmp_path)


def test_without_hard_links_the_one_before_is_a_copy(tmp_path, state, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    assert [load(tmp_path / name)["step"] for name in ("previous", "last")] == [6, 7]


def test_a_save_that_fails_keeps_the_last_and_the_one_before(tmp_path, state, monkeypatch):
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "last", state | {"step": 8}, keep=tmp_path / "previous")
    assert load(tmp_path / "last")["step"] == load_newest(tmp_path)["step"] == 7
    assert load(tmp_path / "previous")["step"] == 6
    assert {path.name for path in tmp_path.iterdir()} == {"last", "previous"}


def test_a_file_has_its_name_only_after_it_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "last"
    write_atomically(path, b"old")
    synced, replace, done = os.fsync, Path.replace, []

    def noted(kind, call):
        def noting(*arguments):
            done.append((kind, path.read_bytes()))
            return call(*arguments)

        return noting

    monkeypatch.setattr("os.fsync", noted("fsync", synced))
    monkeypatch.setattr(Path, "replace", noted("replace", replace))
    write_atomically(path, b"new")
    assert done == [("fsync", b"old"), ("replace", b"old")]
    assert path.read_bytes() == b"new"


class Canary:
    def __reduce__(self):
        return os.system, ("touch canary",)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "last", {"weights": Canary()})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path / "last")
    (tmp_path / "bare").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(tmp_path / "bare")
    assert not (tmp_path / "canary").exists()


UNSAFE = ("pickle.load(", "pickle.loads(", "weights_only=False", "allow_pickle=True", "torch.load(", "np.load(")


def test_no_file_is_opened_in_a_way_that_can_run_code():
    found = [
        (path.name, line.strip())
        for path in [*ROOT.glob("vae/**/*.py"), *ROOT.glob("scripts/**/*.py"), ROOT / "train.py"]
        for line in path.read_text().splitlines()
        if any(call in line for call in UNSAFE) and not re.search("weights_only=True|allow_pickle=False", line)
    ]
    assert found == []


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "last"
    write_atomically(path, b"old")
    # A limit on the size of files is the full disk that a test can make.
    code = (
        "import signal, sys; from pathlib import Path; from vae.run_directory import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: write_atomically(Path(sys.argv[1]), bytes(100_000))\n"
        "except OSError as error: sys.exit(error.errno)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000)),
    )
    assert done.returncode == 27  # EFBIG
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
