"""Checkpoints: every damage is noticed, no older one is taken without need, and no file is ever half written."""

import errno
import io
import os
import pickle
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from command import ROOT

from vae.run import checkpoint
from vae.run.checkpoint import CheckpointError, first_line_of, load, load_newest, save
from vae.run.files import open_regular, write_atomically


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    return {"weights": torch.randn(50, generator=generator), "step": 7, "best": -1.5, "nested": {"name": "a"}}


@pytest.fixture
def folder(tmp_path, state):
    """A folder with `previous` of step 6 and `last` of step 7."""
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    return tmp_path


def steps(folder):
    return [load(folder / name)["step"] for name in ("previous", "last")]


def test_what_was_saved_is_loaded(tmp_path, state):
    save(tmp_path / "last", state)
    loaded = load(tmp_path / "last")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


def test_every_flipped_bit_and_every_truncation_is_noticed(tmp_path, state):
    path = tmp_path / "last"
    save(path, state)
    good = path.read_bytes()
    places = [*range(80), *range(80, len(good), 40)]
    flipped = [good[:k] + bytes([good[k] ^ 1 << k % 8]) + good[k + 1 :] for k in places]
    for bad in (*flipped, *(good[:k] for k in places)):
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
            load(path)


# Which checkpoint is taken


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def replaced_by(put):
    def replace(path):
        path.unlink()
        put(path)

    return replace


IRREGULAR = [replaced_by(put) for put in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"))]
DAMAGE = [cut, flip, Path.unlink, lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 10 * 2**40)]


@pytest.mark.parametrize("harm", [*DAMAGE, *IRREGULAR])
def test_where_the_last_is_damaged_the_one_before_is_taken_and_kept_by_the_next_save(folder, state, caplog, harm):
    assert load_newest(folder)["step"] == 7
    assert not caplog.records
    harm(folder / "last")
    assert load_newest(folder)["step"] == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(folder / "last") in record.message
    assert "\n" not in record.message
    assert os.path.lexists(folder / "last.damaged") == (harm is not Path.unlink)
    save(folder / "last", state | {"step": 8}, keep=folder / "previous")
    assert steps(folder) == [6, 8]


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda path: path.write_bytes(b"no"), "last is not a checkpoint"),
        (Path.unlink, r"cannot read .*last: No such file"),
        *[(harm, r"cannot read .*last: not a regular file") for harm in IRREGULAR],
    ],
)
def test_where_both_are_damaged_the_error_is_that_of_the_last(folder, harm, line):
    cut(folder / "previous")
    harm(folder / "last")
    with pytest.raises(CheckpointError, match=line) as caught:
        load_newest(folder)
    assert "\n" not in str(caught.value)


def test_damaged_checkpoints_are_kept_under_other_names(tmp_path, state):
    for name in ("last.damaged", "last.damaged-2", "last.damaged-3"):
        for _ in range(2):
            save(tmp_path / "last", state, keep=tmp_path / "previous")
        flip(tmp_path / "last")
        harmed = (tmp_path / "last").read_bytes()
        load_newest(tmp_path)
        assert (tmp_path / name).read_bytes() == harmed


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_last_that_cannot_be_read_is_kept_and_no_older_one_takes_its_place(folder, monkeypatch, number):
    before = {path: path.read_bytes() for path in folder.iterdir()}

    @contextmanager
    def refused(path):
        if path.name == "last":
            raise OSError(number, os.strerror(number), str(path))
        with open_regular(path) as file:
            yield file

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "open_regular", refused)
        with pytest.raises(CheckpointError, match=rf"{os.strerror(number)}. It may be undamaged: make it readable"):
            load_newest(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert load_newest(folder)["step"] == 7


def test_a_checkpoint_of_a_newer_version_is_kept_and_no_older_one_takes_its_place(folder):
    newer = (folder / "last").read_bytes().replace(b"beta-vae 2 ", b"beta-vae 3 ", 1)
    (folder / "last").write_bytes(newer)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        load_newest(folder)
    assert (folder / "last").read_bytes() == newer


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
    assert [name for name, _ in found] == ["download.py"]  # a wheel whose sha256 is known


# Writing: at the same time as others, on a full disk, and where others have put something


def test_without_hard_links_the_one_before_is_a_copy(tmp_path, state, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    assert steps(tmp_path) == [6, 7]


def test_a_save_that_fails_keeps_the_last_and_the_one_before(folder, state, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(folder / "last", state | {"step": 8}, keep=folder / "previous")
    assert steps(folder) == [6, 7]
    assert {path.name for path in folder.iterdir()} == {"last", "previous"}


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


def test_several_processes_may_write_one_file_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vae.run.files import write_atomically\n"
        "for _ in range(300): write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 50_000, durable=False)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    writers = [subprocess.Popen([*command, letter], cwd=ROOT) for letter in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    content = (tmp_path / "file").read_text()
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("link", ["file", "file.tmp"])
def test_no_link_is_written_through(tmp_path, link):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / link).symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_what_is_written_has_the_rights_that_the_user_wants(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("content", [[1, 2], {3: "a name that is a number"}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    (tmp_path / "last").write_bytes(first_line_of(payload) + payload)
    with pytest.raises(CheckpointError, match="must contain a state by names"):
        load(tmp_path / "last")
