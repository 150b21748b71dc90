import errno
import io
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

from vae.run import checkpoint
from vae.run.checkpoint import CheckpointError, load, load_newest, save
from vae.run.files import write_atomically


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
        "import signal, sys; from pathlib import Path; from vae.run.files import write_atomically\n"
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


# Foreign content and files that cannot be read


@pytest.mark.parametrize("content", [[1, 2], 5, "text", None, (1,), {1: 2}, torch.zeros(2)])
def test_content_of_another_kind_is_refused_in_one_line(tmp_path, content):
    stored = io.BytesIO()
    torch.save(content, stored)
    (tmp_path / "last").write_bytes(checkpoint.header_of(stored.getvalue()) + stored.getvalue())
    save(tmp_path / "previous", {"step": 1})
    with pytest.raises(CheckpointError, match="must hold a state by names"):
        load_newest(tmp_path)  # nobody damaged it, so it is not passed over
    assert load(tmp_path / "previous") == {"step": 1}


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, state, put):
    put(tmp_path / "last")
    with pytest.raises(CheckpointError, match=r"cannot read .*last: not a regular file"):
        load_newest(tmp_path)
    save(tmp_path / "previous", state | {"step": 6})
    assert load_newest(tmp_path)["step"] == 6
    assert os.path.lexists(tmp_path / "last.damaged")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_last_that_cannot_be_read_is_kept_and_no_older_one_takes_its_place(tmp_path, state, monkeypatch, number):
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def refused(path):
        if path.name == "last":
            raise OSError(number, os.strerror(number), str(path))
        return path.read_bytes()

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "read_regular", refused)
        with pytest.raises(
            CheckpointError, match=rf"cannot read .*last: {os.strerror(number)}. It may be whole: make"
        ):
            load_newest(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load_newest(tmp_path)["step"] == 7


def test_a_checkpoint_of_a_newer_version_is_kept_and_no_older_one_takes_its_place(tmp_path, state):
    for step in (6, 7):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
    newer = (tmp_path / "last").read_bytes().replace(b"beta-vae 2 ", b"beta-vae 3 ", 1)
    (tmp_path / "last").write_bytes(newer)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        load_newest(tmp_path)
    assert (tmp_path / "last").read_bytes() == newer


def test_damaged_checkpoints_are_kept_under_other_names(tmp_path, state):
    for step in range(6):
        save(tmp_path / "last", state | {"step": step}, keep=tmp_path / "previous")
        if step % 2:
            flip(tmp_path / "last")
            harmed = (tmp_path / "last").read_bytes()
            load_newest(tmp_path)
            name = {1: "last.damaged", 3: "last.damaged-2", 5: "last.damaged-3"}[step]
            assert (tmp_path / name).read_bytes() == harmed


# Writing at the same time as others, and where others have put something


def test_several_processes_may_write_one_file_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vae.run.files import write_atomically\n"
        "for _ in range(300): write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 50_000, durable=False)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    writers = [subprocess.Popen([*command, letter], cwd=ROOT) for letter in "abcd"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
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


@pytest.mark.parametrize("size", [10**6, 10 * 2**40])
def test_a_file_longer_than_what_was_saved_is_damaged_and_never_read(tmp_path, size):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("previous", "last"):
        checkpoint.save(folder / name, {"step": 3})
    os.truncate(folder / "last", size)
    assert checkpoint.load_newest(folder) == {"step": 3}
    (folder / "last").write_bytes(b"")
    os.truncate(folder / "last", size)
    with pytest.raises(checkpoint.CheckpointError, match=r"last is (damaged|not a checkpoint)"):
        checkpoint.load(folder / "last")
