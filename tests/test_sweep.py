import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command import MEMBER, ROOT, SMALL, gone, run_train
from configured import changed

from vae.app.command_line import MEMBER_OPTION
from vae.app.sweep import is_done, report_members
from vae.run import checkpoint
from vae.run import record as stored
from vae.run.record import Task
from vae.run.summary import read_summary

QUICK = (*SMALL, "tracking.tensorboard=false", "threads=1")
PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def members(sweep: Path) -> dict[str, str]:
    return {path.parent.name: read_summary(path.parent)["status"] for path in sweep.glob("*/train.log")}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints/last")["vae"]


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "train.py", "-m", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def process_of(run: Path) -> int:
    """The process that trains in `run`, once it has saved a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_text().split("\0")
            except OSError:
                continue
            mine = MEMBER_OPTION in words and str(run) in words
            if mine and (run / "checkpoints/last").exists():
                return int(folder.name)
        time.sleep(0.05)
    raise AssertionError(f"nobody trains in {run}")


def test_members_have_readable_names(finished_sweep):
    assert members(finished_sweep) == {"beta=1.0_seed=0": "done", "beta=8.0_seed=0": "done"}


def test_the_same_command_again_trains_nothing(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/*")}
    again = run_train("-m", *MEMBER, "beta=1,8", f"hydra.sweep.dir={sweep}")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 members done" in again.stdout
    left_alone = {path for path in before if path.name != "train.log"}
    assert {path for path in left_alone if path.stat().st_mtime_ns != before[path]} == set()


@pytest.mark.parametrize(("epochs", "done"), [(1, True), (3, True), (4, False)])
def test_a_member_is_done_with_as_many_epochs_as_are_asked_for_or_more(finished_sweep, epochs, done):
    member = finished_sweep / "beta=8.0_seed=0"
    assert is_done(member, changed(stored.read(member), epochs=epochs)) is done


def test_a_member_whose_further_epochs_have_not_begun_is_not_done_with_them(finished_sweep, tmp_path):
    member = shutil.copytree(finished_sweep / "beta=8.0_seed=0", tmp_path / "member")
    longer = changed(stored.read(member), epochs=4)
    stored.write(member, longer)  # and then it was killed, while it read the data
    assert not is_done(member, longer)
    assert is_done(member, changed(longer, epochs=3))


def test_the_end_of_a_sweep_counts_what_the_command_asked_for(finished_sweep, tmp_path, capsys):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    one = stored.read(sweep / "beta=1.0_seed=0")

    def said(epochs, *betas):
        names = [sweep / f"beta={beta}_seed=0" for beta in betas]
        tasks = [Task(name, changed(one, beta=b, epochs=epochs)) for name, b in zip(names, betas, strict=True)]
        code = report_members(sweep, tasks)
        return code, re.search(r"\d of \d members done", capsys.readouterr().out)[0]

    assert said(3, 1.0, 8.0) == (0, "2 of 2 members done")
    assert said(3, 1.0) == (0, "1 of 1 members done")
    assert said(3, 1.0, 2.0) == (1, "1 of 2 members done")  # two are done, but one of them was not asked for
    assert said(4, 1.0, 8.0) == (1, "0 of 2 members done")  # further epochs failed before they began


def test_members_are_known_under_any_name(finished_sweep, tmp_path, capsys):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    (sweep / "beta=8.0_seed=0").rename(sweep / "other")
    members = [Task(sweep / f"asked{k}", stored.read(sweep / n)) for k, n in enumerate(("beta=1.0_seed=0", "other"))]
    assert report_members(sweep, members) == 0
    other = [task._replace(record=changed(task.record, learning_rate=0.01)) for task in members]
    assert report_members(sweep, other) == 1  # what lies there was not asked for
    assert "0 of 2 members done" in capsys.readouterr().out
    for name in (".hydra/config.yaml", "checkpoints/config.yaml"):
        (sweep / "other" / name).unlink()
    assert report_members(sweep, members) == 1  # and who knows what that one was
    assert "1 of 2 members done" in capsys.readouterr().out


def test_where_the_user_names_the_members_another_configuration_is_refused_too(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    words = (*MEMBER, f"hydra.sweep.dir={sweep}", "hydra.sweep.subdir='beta=${beta}_seed=0'")
    refused = run_train("-m", *words, "learning_rate=0.01", "beta=1,8")
    assert refused.returncode == 1
    assert "was trained with another configuration: learning_rate 0.001 -> 0.01" in refused.stderr


def test_a_member_that_is_asked_for_twice_is_done_once(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    done = run_train("-m", *MEMBER, "beta=8,8", f"hydra.sweep.dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 members done" in done.stdout


def test_members_that_were_made_longer_or_shorter_by_hand_are_as_the_sweep_has_them(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    longer = run_train(f"resume={sweep}/beta=8.0_seed=0", "epochs=4", "early_stopping_epochs=1")
    assert longer.returncode == 0, longer.stderr
    done = run_train("-m", *MEMBER, "epochs=5", "beta=8", f"hydra.sweep.dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 members done" in done.stdout
    assert read_summary(sweep / "beta=8.0_seed=0")["epochs"] == 5


def test_members_that_early_stopping_has_ended_are_done_with_more_epochs_too(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    member = sweep / "beta=8.0_seed=0"
    state = checkpoint.load(member / "checkpoints/last")
    checkpoint.save(member / "checkpoints/last", state | {"epochs_without_better": 2})
    for _ in range(2):
        words = ("beta=8", "epochs=9", "early_stopping_epochs=2", f"hydra.sweep.dir={sweep}")
        done = run_train("-m", *MEMBER, *words)
        assert done.returncode == 0, done.stderr
        assert "1 of 1 members done" in done.stdout
        assert read_summary(member)["epochs"] == 3


def test_a_member_of_other_mathematics_is_not_done(finished_sweep):
    member = finished_sweep / "beta=8.0_seed=0"
    assert not is_done(member, changed(stored.read(member), learning_rate=0.5, epochs=1))


def test_a_member_that_is_done_stays_as_it_is_without_its_checkpoints(finished_sweep, tmp_path):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    shutil.rmtree(sweep / "beta=1.0_seed=0" / "checkpoints")
    again = run_train("-m", *MEMBER, "beta=1,8", f"hydra.sweep.dir={sweep}")
    assert again.returncode == 0, again.stderr
    for name in ("summary.json", "metrics.jsonl"):
        found, before = (folder / "beta=1.0_seed=0" / name for folder in (sweep, finished_sweep))
        assert found.read_bytes() == before.read_bytes()


@pytest.mark.parametrize("removed", [[], ["last"], ["last", "previous", "best"]])
def test_a_finished_member_of_another_configuration_is_not_taken_for_this_one(finished_sweep, tmp_path, removed):
    sweep = shutil.copytree(finished_sweep, tmp_path / "sweep")
    for name in removed:
        (sweep / "beta=1.0_seed=0" / "checkpoints" / name).unlink()
    refused = run_train("-m", *MEMBER, "batch_size=250", "beta=1", f"hydra.sweep.dir={sweep}")
    assert refused.returncode == 1
    assert "beta=1.0_seed=0 was trained with another configuration: batch_size 500 -> 250. Set hydra" in refused.stderr
    assert members(sweep)["beta=1.0_seed=0"] == "done"


def test_a_failing_member_leaves_the_rest_and_is_tried_again(tmp_path, few_images):
    sweep, images = tmp_path / "sweep", few_images[1].removeprefix("data.path=")
    words = ("-m", *QUICK, *few_images, f"hydra.sweep.dir={sweep}", f"data.path={tmp_path}/late.npz,{images}")
    done = run_train(*words)
    assert done.returncode == 1, done.stderr
    failed, other = sorted(members(sweep), key=lambda name: "late.npz" not in name)
    assert members(sweep) == {failed: "failed", other: "done"}
    assert re.search(rf"^{re.escape(failed)} +failed, code 4: data.path must be", done.stdout, re.MULTILINE)
    assert "1 of 2 members done" in done.stdout
    assert "data.path must be" in (sweep / failed / "train.log").read_text()
    (tmp_path / "late.npz").symlink_to(images)
    again = run_train(*words)
    assert again.returncode == 0, again.stdout
    assert "2 of 2 members done" in again.stdout
    assert set(members(sweep).values()) == {"done"}


def test_why_a_member_failed_is_in_its_own_log_in_one_line(tmp_path):
    sweep = tmp_path / "sweep"
    run = sweep / "beta=1.0_seed=0"
    run.mkdir(parents=True)
    (run / "checkpoints").write_text("a file")  # where the folder would be
    done = run_train("-m", *QUICK, "epochs=1", f"hydra.sweep.dir={sweep}")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "beta=1.0_seed=0: " in done.stderr


def test_a_killed_member_leaves_the_rest_and_the_same_command_goes_on(finished_sweep, tmp_path):
    sweep = tmp_path / "sweep"
    words = (*MEMBER, "beta=1,8", f"hydra.sweep.dir={sweep}", *PARALLEL)
    process = start(*words)
    os.kill(process_of(sweep / "beta=1.0_seed=0"), signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, err
    assert members(sweep) == {"beta=1.0_seed=0": "failed", "beta=8.0_seed=0": "done"}
    assert "code 137: killed by signal 9" in out
    again = run_train("-m", *words)
    assert again.returncode == 0, again.stderr
    for name in members(finished_sweep):
        mine, its = weights(sweep / name), weights(finished_sweep / name)
        assert all(torch.equal(mine[key], its[key]) for key in its)
        assert read_summary(sweep / name)["test"] == read_summary(finished_sweep / name)["test"]


@pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is noticed on Linux only")
def test_a_sweep_killed_twice_leaves_no_process_and_the_same_command_goes_on(finished_sweep, tmp_path):
    sweep = tmp_path / "sweep"
    words = (*MEMBER, "beta=1,8", f"hydra.sweep.dir={sweep}")
    for name, launcher in (("beta=1.0_seed=0", PARALLEL), ("beta=8.0_seed=0", ())):
        process = start(*words, *launcher)
        trains = process_of(sweep / name)
        process.kill()
        assert gone(trains)
        process.communicate()
    again = run_train("-m", *words)
    assert again.returncode == 0, again.stderr
    for name in members(finished_sweep):
        mine, its = weights(sweep / name), weights(finished_sweep / name)
        assert all(torch.equal(mine[key], its[key]) for key in its)


def test_a_sweep_that_is_asked_to_stop_saves_its_member(tmp_path):
    sweep = tmp_path / "sweep"
    process = start(*MEMBER, "epochs=50", "beta=1,8", f"hydra.sweep.dir={sweep}")
    trains = process_of(sweep / "beta=1.0_seed=0")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert gone(trains)
    assert members(sweep) == {"beta=1.0_seed=0": "unfinished"}
    log = (sweep / "beta=1.0_seed=0/train.log").read_text()
    assert re.search(r"^stop   at step \d+, saved", log, re.MULTILINE)
