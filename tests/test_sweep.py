import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from command import EXAMPLES, MEMBER, ROOT, gone, run_train
from configured import changed

from vae.app import launchers, member
from vae.app.invocation import Starter
from vae.app.member import is_done, train_member
from vae.app.sweep import report_members
from vae.app.trainings import Trainer, Trainings
from vae.config.options import FREE
from vae.run import checkpoint
from vae.run import record as stored
from vae.run.directory import locked
from vae.run.record import Task
from vae.run.summary import read_summary
from vae.training.cores import usable_cores

PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
ONE, EIGHT = "beta=1.0_seed=0", "beta=8.0_seed=0"
OFTEN = "tracking.save_every_steps=1"  # so that there is a checkpoint, and time to disturb the member


@pytest.fixture
def sweep(finished_sweep, tmp_path) -> Path:
    """A copy of the finished sweep: two members, three epochs."""
    return shutil.copytree(finished_sweep, tmp_path / "sweep")


@pytest.fixture
def words(few_images, tmp_path) -> tuple[str, ...]:
    """The command that made it, for the copy or a new directory."""
    return ("-m", *few_images, *MEMBER, f"hydra.sweep.dir={tmp_path}/sweep", "beta=1,8")


def members(sweep: Path) -> dict[str, str]:
    return {path.parent.name: read_summary(path.parent)["status"] for path in sweep.glob("*/train.log")}


def same_weights(sweep: Path, other: Path) -> bool:
    states = [[checkpoint.load(s / name / "checkpoints/last")["vae"] for name in (ONE, EIGHT)] for s in (sweep, other)]
    return all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in b)


def start(*words: str) -> subprocess.Popen[str]:
    """The sweep, with a process group of its own, as a shell starts it."""
    command = [sys.executable, "train.py", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, process_group=0, text=True, **streams)


def process_of(run: Path) -> int:
    """The process that trains in `run`, once it has saved a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for process in filter(str.isdigit, os.listdir("/proc")):
            if str(run / "train.log") in open_files(process) and (run / "checkpoints/last").exists():
                return int(process)
        time.sleep(0.05)
    raise AssertionError(f"nobody trains in {run}")


def open_files(process: str) -> set[str]:
    """The files that a process has opened; none if it has ended, or is of another user."""
    found = set()
    with suppress(OSError):
        for number in os.listdir(f"/proc/{process}/fd"):
            with suppress(OSError):  # closed since
                found.add(os.readlink(f"/proc/{process}/fd/{number}"))
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


# ------------------------------------------------------------------------------------------ threads


@pytest.mark.parametrize(("n_jobs", "at_once"), [(2, 2), (20, 20), (-1, 8), (-2, 7), (-9, 1)])
def test_a_negative_number_of_members_at_a_time_leaves_cores_to_others(monkeypatch, n_jobs, at_once):
    monkeypatch.setattr(launchers, "usable_cores", lambda: 8)
    assert launchers.members_at_once({"n_jobs": n_jobs}) == at_once


def test_members_side_by_side_share_the_cores_that_the_sweep_may_use(words, tmp_path, trained):
    done = trained(*words[:-1], "beta=1", "threads=null", *PARALLEL)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "sweep" / ONE / "run.json").read_text())
    assert run["threads"] == max(1, usable_cores() // 2)


class Recorded(Trainer):
    """In place of a process that trains: `words` are those of the trainings, which end with `code`."""

    def __init__(self, code: int = 0) -> None:
        self.words: list[str] = []
        self.code = code
        self.trainings = Trainings(Starter.of_this_process("train.py"))

    def train(self, words: Sequence[str], environment: Mapping[str, str], *, quiet: bool) -> int:  # noqa: ARG002
        self.words += words
        return self.code


@pytest.mark.parametrize(("before", "given"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_a_member_that_goes_on_keeps_its_threads_if_there_are_cores_for_them(sweep, monkeypatch, before, given):
    trainer = Recorded()
    monkeypatch.setattr(member, "usable_cores", lambda: 8)
    origin = json.loads((sweep / EIGHT / "run.json").read_text())
    (sweep / EIGHT / "run.json").write_text(json.dumps(origin | {"threads": before}))
    longer = changed(stored.read(sweep / EIGHT), epochs=4, threads=None)
    train_member(Task(sweep / EIGHT, longer), trainer, FREE, threads=3)
    assert [word for word in trainer.words if word.startswith("threads=")] == [f"threads={given}"]


# ------------------------------------------------------------------------------------------ what is left to do


def test_the_same_command_again_trains_nothing_and_needs_no_checkpoints(sweep, words, trained):
    assert members(sweep) == {ONE: "done", EIGHT: "done"}
    shutil.rmtree(sweep / ONE / "checkpoints")
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/*") if path.name != "train.log"}
    again = trained(*words)
    assert again.returncode == 0, again.stderr
    assert "2 of 2 members done" in again.stdout
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == set()


@pytest.mark.parametrize(
    ("changes", "done"),
    [({"epochs": 1}, True), ({"epochs": 3}, True), ({"epochs": 4}, False), ({"learning_rate": 0.5}, False)],
)
def test_a_member_is_done_with_as_many_epochs_as_are_asked_for_or_more(finished_sweep, changes, done):
    member = finished_sweep / EIGHT
    assert is_done(member, changed(stored.read(member), **changes)) is done


def test_a_member_whose_further_epochs_have_not_begun_is_not_done_with_them(sweep):
    longer = changed(stored.read(sweep / EIGHT), epochs=4)
    stored.write(sweep / EIGHT, longer)  # and then it was killed, while it read the data
    assert not is_done(sweep / EIGHT, longer)
    assert is_done(sweep / EIGHT, changed(longer, epochs=3))


def test_the_end_of_a_sweep_counts_what_the_command_asked_for(sweep, capsys):
    one = stored.read(sweep / ONE)

    def said(epochs, *betas):
        tasks = [Task(sweep / f"beta={beta}_seed=0", changed(one, beta=beta, epochs=epochs)) for beta in betas]
        code = report_members(sweep, tasks)
        return code, re.search(r"\d of \d members done", capsys.readouterr().out)[0]

    assert said(3, 1.0, 8.0) == (0, "2 of 2 members done")
    assert said(3, 1.0) == (0, "1 of 1 members done")
    assert said(3, 1.0, 2.0) == (1, "1 of 2 members done")  # two are done, but one of them was not asked for
    assert said(4, 1.0, 8.0) == (1, "0 of 2 members done")  # further epochs failed before they began
    for name in (".hydra/config.yaml", "checkpoints/config.yaml"):
        (sweep / EIGHT / name).unlink()
    assert said(3, 1.0, 8.0) == (1, "1 of 2 members done")


def test_members_that_were_made_longer_by_hand_are_as_the_sweep_has_them(sweep, words, trained):
    longer = trained(f"resume={sweep}/{EIGHT}", "epochs=4", "early_stopping_epochs=1")
    assert longer.returncode == 0, longer.stderr
    done = trained(*words[:-1], "epochs=5", "beta=8,8")  # a member that is asked for twice is trained once
    assert done.returncode == 0, done.stderr
    assert "2 of 2 members done" in done.stdout
    assert read_summary(sweep / EIGHT)["epochs"] == 5


def test_members_that_early_stopping_has_ended_are_done_with_more_epochs_too(sweep, words, trained):
    state = checkpoint.load(sweep / EIGHT / "checkpoints/last")
    checkpoint.save(sweep / EIGHT / "checkpoints/last", state | {"epochs_without_better": 2})
    for _ in range(2):
        done = trained(*words[:-1], "beta=8", "epochs=9", "early_stopping_epochs=2")
        assert done.returncode == 0, done.stderr
        assert "1 of 1 members done" in done.stdout
        assert read_summary(sweep / EIGHT)["epochs"] == 3


@pytest.mark.parametrize("removed", [[], ["last", "previous", "best"]])
@pytest.mark.parametrize("more", [[], ["hydra.sweep.subdir='beta=${beta}_seed=0'"]])
def test_a_member_of_another_configuration_is_refused(sweep, words, trained, removed, more):
    for name in removed:
        (sweep / ONE / "checkpoints" / name).unlink()
    refused = trained(*words, "batch_size=250", *more)
    assert refused.returncode == 1
    assert f"{ONE} was trained with another configuration: batch_size 50 -> 250. Set hydra" in refused.stderr
    assert members(sweep)[ONE] == "done"


def test_a_member_that_another_sweep_has_begun_otherwise_is_left_alone(sweep):
    before = {path: path.read_bytes() for path in (sweep / ONE).rglob("*") if path.is_file()}
    other = changed(stored.read(sweep / ONE), learning_rate=0.5)
    trainer = Recorded()
    assert train_member(Task(sweep / ONE, other), trainer, frozenset(FREE)) == 1
    assert trainer.words == []
    assert {path: path.read_bytes() for path in before} == before


# ------------------------------------------------------------------------------------------ members that fail


def test_a_failing_member_leaves_the_rest_and_is_tried_again(tmp_path, few_images, words, trained):
    sweep, images = tmp_path / "sweep", few_images[1].removeprefix("data.path=")
    words = (*words[:-1], f"data.path={tmp_path}/late.npz,{images}")
    done = trained(*words)
    assert done.returncode == 1, done.stderr
    failed, other = sorted(members(sweep), key=lambda name: "late.npz" not in name)
    assert members(sweep) == {failed: "failed", other: "done"}
    assert re.search(rf"^{re.escape(failed)} +failed, code 4: data.path must be", done.stdout, re.MULTILINE)
    assert "1 of 2 members done" in done.stdout
    assert "data.path must be" in (sweep / failed / "train.log").read_text()
    (tmp_path / "late.npz").symlink_to(images)
    again = trained(*words)
    assert again.returncode == 0, again.stdout
    assert "2 of 2 members done" in again.stdout


@pytest.mark.parametrize("launcher", [(), PARALLEL])
def test_a_member_whose_place_is_taken_by_a_file_fails_alone(sweep, words, launcher):
    shutil.rmtree(sweep / ONE)
    (sweep / ONE).write_text("mine")
    done = run_train(*words, *launcher)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert f"error: {ONE}: " in done.stderr
    assert "1 of 2 members done" in done.stdout
    assert (sweep / ONE).read_text() == "mine"
    assert (sweep / "report.html").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_member_whose_directory_is_of_another_user_fails_alone(words, few_images):
    python = Path(sys.executable).resolve()
    if any(not path.stat().st_mode & 0o001 for path in (*ROOT.parents, ROOT, *python.parents)):
        pytest.skip("the project or Python lies where no other user may look")
    with tempfile.TemporaryDirectory() as folder:
        home, sweep = Path(folder), Path(folder) / "sweep"
        (sweep / ONE).mkdir(parents=True, mode=0o700)
        shutil.copy(few_images[1].removeprefix("data.path="), home / "t.npz")
        for path in (home, sweep):
            os.chown(path, 65534, 65534)
        words = (*words, f"data.path={home}/t.npz", f"hydra.sweep.dir={sweep}")
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "env": {**os.environ, "HOME": folder}}
        command = [sys.executable, str(ROOT / "train.py"), *words]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, **nobody)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout + done.stderr
        assert "1 of 2 members done" in done.stdout, done.stdout + done.stderr


def test_a_member_with_the_numbers_of_another_one_is_concluded_again(sweep, words, trained):
    good = read_summary(sweep / ONE)
    shutil.copy(sweep / EIGHT / "summary.json", sweep / ONE)
    again = trained(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert read_summary(sweep / ONE)["test"] == good["test"]


def test_members_that_are_damaged_fail_in_one_line_each_and_a_whole_one_goes_on(sweep, words, trained):
    shutil.rmtree(sweep / ONE / "checkpoints")
    lost = trained(*words, "epochs=4")
    assert lost.returncode == 1
    assert "already holds a run" in lost.stdout
    assert [read_summary(sweep / name)["epochs"] for name in (ONE, EIGHT)] == [3, 4]
    for name in (".hydra/config.yaml", "checkpoints/config.yaml"):
        (sweep / ONE / name).write_text("beta: 4")
    damaged = trained(*words[:-1], "epochs=5", "beta=1")
    assert damaged.returncode == 1
    assert "was edited or is damaged" in damaged.stderr
    assert "0 of 1 members done" in damaged.stdout


def test_a_sweep_goes_on_where_its_data_have_moved_and_refuses_others(sweep, words, few_images, tmp_path, trained):
    moved = tmp_path / "it's, moved.npz"
    shutil.copy(few_images[1].removeprefix("data.path="), moved)
    words = (*words[:-1], f"data.path='{tmp_path}/it\\'s, moved.npz'", "beta=1")
    done = trained(*words, "epochs=4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored.read(sweep / ONE).config.data.path == str(moved)
    moved.write_bytes(moved.read_bytes() + b"x")
    refused = trained(*words, "epochs=5")
    assert refused.returncode == 1
    assert "0 of 1 members done" in refused.stdout
    assert "is not what it was" in refused.stdout + refused.stderr


# ---------------------------------------------------------------------------- launchers, kills, several sweeps


def test_the_options_of_an_own_loss_are_swept_under_a_launcher_too(words, tmp_path):
    own = ("objective=custom", "objective.target=my_losses:MMD", "objective.options.weight=1,10", "epochs=1")
    done = run_train(*words[:-1], *own, *PARALLEL, cwd=EXAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {stored.read(path.parent).config.objective.options["weight"] for path in tmp_path.glob("sweep/*/run.json")}
    assert found == {1, 10}


def test_a_killed_member_leaves_the_rest_and_the_same_command_goes_on(finished_sweep, words, tmp_path, trained):
    sweep = tmp_path / "sweep"
    process = start(*words, OFTEN, *PARALLEL)
    os.kill(process_of(sweep / ONE), signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, err
    assert members(sweep) == {ONE: "failed", EIGHT: "done"}
    assert "code 137: killed by signal 9" in out
    again = trained(*words)
    assert again.returncode == 0, again.stderr
    assert same_weights(sweep, finished_sweep)
    assert read_summary(sweep / ONE)["test"] == read_summary(finished_sweep / ONE)["test"]


@pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is noticed on Linux only")
def test_a_sweep_killed_twice_leaves_no_process_and_the_same_command_goes_on(finished_sweep, words, tmp_path, trained):
    for name, launcher in ((ONE, PARALLEL), (EIGHT, ())):
        process = start(*words, OFTEN, *launcher)
        trains = process_of(tmp_path / "sweep" / name)
        process.kill()
        assert gone(trains)
        process.communicate()
    again = trained(*words)
    assert again.returncode == 0, again.stderr
    assert same_weights(tmp_path / "sweep", finished_sweep)


def test_the_prepared_process_of_a_member_is_killed_alone(finished_sweep, words, tmp_path, trained):
    sweep = tmp_path / "sweep"
    process = start(*words, OFTEN, *PARALLEL)
    os.kill(parent(process_of(sweep / ONE)), signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert err == f"error: {ONE}: killed by signal 9\n"
    assert members(sweep) == {ONE: "failed", EIGHT: "done"}
    assert "1 of 2 members done" in out
    again = trained(*words)
    assert again.returncode == 0, again.stderr
    assert same_weights(sweep, finished_sweep)


def test_two_sweeps_in_one_directory_train_each_member_once_and_both_end_well(words, tmp_path):
    both = [start(*words, "epochs=9"), start(*words, "epochs=9", *PARALLEL)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
        assert "2 of 2 members done" in out
        assert "error:" not in out + err
    assert all((tmp_path / "sweep" / m / "train.log").read_text().count("test   ELBO") == 1 for m in (ONE, EIGHT))


def test_a_sweep_that_is_asked_to_stop_saves_its_member(words, tmp_path):
    sweep = tmp_path / "sweep"
    process = start(*words, "epochs=2000", OFTEN)
    trains = process_of(sweep / ONE)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert gone(trains)
    assert members(sweep) == {ONE: "unfinished"}
    assert re.search(r"^stop   at step \d+, saved", (sweep / ONE / "train.log").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, True), (signal.SIGUSR1, False)],
)
def test_a_sweep_side_by_side_that_is_asked_to_stop_saves_all_its_members(words, tmp_path, number, to_all):
    sweep = tmp_path / "sweep"
    process = start(*words, "epochs=2000", *PARALLEL)
    trains = [process_of(sweep / name) for name in (ONE, EIGHT)]
    (os.killpg if to_all else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    assert [line.split()[-1] for line in out.splitlines()] == ["unfinished", "unfinished", "on"]
    assert out.endswith("stop   the same command goes on\n")
    assert all(map(gone, trains))
    for name in (ONE, EIGHT):
        assert re.search(r"^stop   at step \d+, saved", (sweep / name / "train.log").read_text(), re.MULTILINE)


def test_a_sweep_side_by_side_is_stopped_before_its_members_begin(words, tmp_path):
    process = start(*words, "epochs=2000", *PARALLEL)
    children = Path(f"/proc/{process.pid}/task")
    deadline = time.monotonic() + 60
    while sum(len((task / "children").read_text().split()) for task in children.iterdir()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)  # both load torch
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "stop   the same command goes on\n", "")
    assert not (tmp_path / "sweep" / ONE / "train.log").exists()


def test_a_member_that_could_not_be_saved_when_it_was_asked_to_stop_has_a_line(sweep, capsys):
    trainer = Recorded(137)
    trainer.trainings.asked = signal.SIGINT
    longer = changed(stored.read(sweep / ONE), epochs=4)
    with pytest.raises(SystemExit) as stopped:
        train_member(Task(sweep / ONE, longer), trainer, FREE)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == f"error: {ONE}: killed by signal 9\n"


def test_a_sweep_that_waits_for_another_one_can_be_asked_to_stop(words, tmp_path):
    sweep = tmp_path / "sweep"
    with locked(sweep / ONE):
        process = start(*words, "epochs=2000", *PARALLEL)
        trains = process_of(sweep / EIGHT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert re.fullmatch(rf"warning: \S*{ONE} is being trained by another process. Waiting up to .*\n", err)
    assert gone(trains)
