"""A run's directory: its lock, and what kills leave behind."""

import errno
import os
import socket
import subprocess
import sys
import time

import pytest
from command import ROOT
from filelock import FileLock

from vae.run import directory as run_directory
from vae.run.directory import RunExistsError, locked
from vae.run.files import leftovers_of, temporary_of
from vae.run.names import FIGURES, LOCK, LOCK_HOLDER

# The lock


def test_who_finds_a_run_locked_is_told_by_whom_and_by_which_file(tmp_path, caplog):
    expected = (
        rf"is being trained by another process, process {os.getpid()} on {socket.gethostname()} since .*, "
        rf"which holds {tmp_path / LOCK}\. Wait until it ends, or stop it. If no such process runs, delete that file"
    )
    with locked(tmp_path):
        assert (tmp_path / LOCK_HOLDER).exists()
        started = time.monotonic()
        with pytest.raises(RunExistsError, match=expected), locked(tmp_path, timeout_seconds=0.5):
            pass
        assert 0.4 < time.monotonic() - started < 10
    assert "Waiting up to 0.5 s" in caplog.text
    assert not (tmp_path / LOCK_HOLDER).exists()
    with locked(tmp_path, timeout_seconds=0.0):
        pass


@pytest.mark.parametrize("note", [None, "", "{}"])
def test_a_lock_without_a_note_is_named_all_the_same(tmp_path, note):
    with FileLock(tmp_path / LOCK):
        if note is not None:
            (tmp_path / LOCK_HOLDER).write_text(note)
        with (
            pytest.raises(RunExistsError, match=rf"process, unknown, which holds {tmp_path / LOCK}\."),
            locked(tmp_path, timeout_seconds=0.0),
        ):
            pass
        assert (tmp_path / LOCK_HOLDER).exists() == (note is not None)


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_lock_that_a_process_of_another_host_has_left_names_file_host_and_process(tmp_path, monkeypatch):
    """On a file system without locks the file itself is the lock, and nobody can see whether its process lives."""

    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", missing)
    monkeypatch.setattr(socket, "gethostname", lambda: "node17")
    with locked(tmp_path):
        left = {name: (tmp_path / name).read_bytes() for name in (LOCK, LOCK_HOLDER)}
    for name, content in left.items():  # as after a kill, seen from another host
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(socket, "gethostname", lambda: "node18")
    expected = rf"process {os.getpid()} on node17 since .* which holds {tmp_path / LOCK}\. .* delete that file"
    with pytest.raises(RunExistsError, match=expected), locked(tmp_path, timeout_seconds=0.0):
        pass
    (tmp_path / LOCK).unlink()
    with locked(tmp_path, timeout_seconds=0.0):
        pass


def test_a_lock_is_free_after_its_process_was_killed(tmp_path):
    code = "import os, signal, sys; from pathlib import Path; from vae.run.directory import locked\n"
    code += "with locked(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert (tmp_path / LOCK_HOLDER).exists()
    with locked(tmp_path, timeout_seconds=0.0):
        pass


def test_a_disk_that_takes_no_note_still_takes_the_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_directory, "write_atomically", full)
    with locked(tmp_path):
        pass


# Leftovers


def test_what_kills_have_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / FIGURES).mkdir()
    names = ("summary.json", "run.json", "metrics.jsonl", "codes.npz", "checkpoints/last", "figures/samples.png")
    left = [temporary_of(tmp_path / name) for name in names for _ in range(2)]
    others = [
        tmp_path / name for name in ("summary.json", "report.html.0123456789abcdef.tmp", "my.tmp", "run.json.x.tmp")
    ]
    for path in (*left, *others):
        path.write_bytes(b"")
    with locked(tmp_path):
        pass
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_a_kill_while_a_file_is_written_leaves_what_is_found_as_a_leftover(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from vae.run.files import write_atomically\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), b'new')"
    )
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert path.read_bytes() == b"old"
    assert len(leftovers_of(path)) == 1
    with locked(tmp_path):
        assert leftovers_of(path) == []
