"""What can happen around a sweep: places that cannot be used, workers that are killed, two sweeps in one directory."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from command import ROOT, run_train
from configured import changed

from vae.app.sweep import train_member
from vae.config.options import FREE
from vae.run import record as stored
from vae.run.record import Task
from vae.run.summary import read_summary

PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def quick(few_images):
    return (*few_images, "epochs=2", "model.hidden=[8]", "tracking.tensorboard=false", "threads=1")


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "train.py", "-m", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("launcher", [(), PARALLEL])
def test_a_member_whose_place_is_taken_by_a_file_fails_alone(tmp_path, few_images, launcher):
    (tmp_path / "beta=1.0_seed=0").write_text("mine")
    done = run_train("-m", "beta=1,2", *quick(few_images), f"hydra.sweep.dir={tmp_path}", *launcher)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"^beta=1.0_seed=0 .*failed, code 1: .*is a file", done.stdout, re.MULTILINE)
    assert "1 of 2 members done" in done.stdout
    assert read_summary(tmp_path / "beta=2.0_seed=0")["status"] == "done"
    assert (tmp_path / "beta=1.0_seed=0").read_text() == "mine"
    assert (tmp_path / "report.html").exists()


def test_a_killed_worker_is_one_line_and_the_table(tmp_path, few_images):
    words = (*quick(few_images), "epochs=2000", "beta=1,2", f"hydra.sweep.dir={tmp_path}", *PARALLEL)
    process = start(*words)
    trains = None
    while trains is None:
        assert process.poll() is None
        time.sleep(0.05)
        trains = next(
            (p for p in children(process.pid) if (tmp_path / "beta=1.0_seed=0/checkpoints/last").exists()), None
        )
    worker = next(p for p in workers(process.pid))
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "error: the launcher ended before its members" in err
    assert "0 of 2 members done" in out


def workers(process: int) -> list[int]:
    """The processes of joblib that start a member."""
    return [p for p in children(process) if any("--member" in command(child) for child in children(p))]


def children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def test_two_sweeps_in_one_directory_train_each_member_once_and_both_end_well(tmp_path, few_images):
    words = ("beta=1,2", *quick(few_images), "epochs=20", f"hydra.sweep.dir={tmp_path}")
    both = [start(*words), start(*words, *PARALLEL)]
    ended = [(process.communicate(timeout=300), process.returncode) for process in both]
    for (out, err), code in ended:
        assert code == 0, out + err
        assert "2 of 2 members done" in out
        assert "error:" not in out + err
    for member in ("beta=1.0_seed=0", "beta=2.0_seed=0"):
        log = (tmp_path / member / "train.log").read_text()
        assert log.count("test   ELBO") == 1


def test_a_member_with_the_numbers_of_another_one_is_concluded_again(tmp_path, few_images):
    words = ("-m", "beta=1,2", *quick(few_images), f"hydra.sweep.dir={tmp_path}")
    assert run_train(*words).returncode == 0
    good = read_summary(tmp_path / "beta=1.0_seed=0")
    (tmp_path / "beta=1.0_seed=0/summary.json").write_bytes((tmp_path / "beta=2.0_seed=0/summary.json").read_bytes())
    again = run_train(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 2 members done" in again.stdout
    assert read_summary(tmp_path / "beta=1.0_seed=0")["test"] == good["test"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_member_whose_directory_is_of_another_user_fails_alone(few_images):
    python = Path(sys.executable).resolve()
    if any(not path.stat().st_mode & 0o001 for path in (*ROOT.parents, ROOT, *python.parents)):
        pytest.skip("the project or Python lies where no other user may look")
    with tempfile.TemporaryDirectory() as folder:
        home, sweep = Path(folder), Path(folder) / "sweep"
        private = sweep / "beta=1.0_seed=0"
        private.mkdir(parents=True)
        private.chmod(0o700)
        (home / "t.npz").write_bytes(Path(few_images[1].removeprefix("data.path=")).read_bytes())
        for path in (home, sweep):
            os.chown(path, 65534, 65534)
        words = ("-m", "beta=1,2", *quick(few_images), f"data.path={home}/t.npz", f"hydra.sweep.dir={sweep}")
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "env": {**os.environ, "HOME": folder}}
        command = [sys.executable, str(ROOT / "train.py"), *words]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, **nobody)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
        assert "1 of 2 members done" in done.stdout, done.stdout + done.stderr


def stored_sweep(tmp_path, few_images, *more: str) -> tuple[str, ...]:
    words = ("-m", "beta=1,2", *quick(few_images), f"hydra.sweep.dir={tmp_path}/sweep", *more)
    done = run_train(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return words


def test_a_member_that_another_sweep_has_made_otherwise_is_left_alone(tmp_path, few_images):
    stored_sweep(tmp_path, few_images)
    place = tmp_path / "sweep/beta=1.0_seed=0"
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    other = changed(stored.read(place), learning_rate=0.5)
    assert train_member(Task(place, other), ROOT / "train.py", frozenset(FREE)) == 1
    assert {path: path.read_bytes() for path in before} == before


def test_a_member_that_is_done_and_lost_its_checkpoints_is_one_line(tmp_path, few_images):
    words = stored_sweep(tmp_path, few_images)
    shutil.rmtree(tmp_path / "sweep/beta=1.0_seed=0/checkpoints")
    done = run_train(*words, "epochs=3")
    assert done.returncode == 1
    assert "already holds a run" in done.stdout
    assert read_summary(tmp_path / "sweep/beta=1.0_seed=0")["epochs"] == 2
    assert read_summary(tmp_path / "sweep/beta=2.0_seed=0")["epochs"] == 3


def test_a_member_whose_configuration_is_damaged_fails_alone(tmp_path, few_images):
    words = stored_sweep(tmp_path, few_images)
    for name in (".hydra/config.yaml", "checkpoints/config.yaml"):
        (tmp_path / "sweep/beta=1.0_seed=0" / name).write_text("beta: 4")
    done = run_train(*words, "epochs=3")
    assert done.returncode == 1
    assert "was edited or is damaged" in done.stderr
    assert "1 of 2 members done" in done.stdout


def test_a_sweep_goes_on_where_its_data_have_moved_and_refuses_others(tmp_path, few_images):
    first, second = tmp_path / "first.npz", tmp_path / "it's, second.npz"
    shutil.copy(few_images[1].removeprefix("data.path="), first)
    words = stored_sweep(tmp_path, few_images, f"data.path={first}")[:-1]
    first.rename(second)
    moved = (*words, f"data.path='{tmp_path}/it\\'s, second.npz'")
    done = run_train(*moved, "epochs=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored.read(tmp_path / "sweep/beta=1.0_seed=0").config.data.path == str(second)
    second.write_bytes(second.read_bytes() + b"x")
    refused = run_train(*moved, "epochs=4")
    assert refused.returncode == 1
    assert "0 of 2 members done" in refused.stdout
    assert "is not what it was" in refused.stdout + refused.stderr
