"""Sweeps under a real Slurm of one node: `make slurm-test` starts it, by `python tests/programs/slurm.py`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from command import MEMBER, ROOT, one_error_line, run_train

from vae.report.status import State, read_status
from vae.run import checkpoint
from vae.run.summary import read_summary

NODE = os.environ.get("BETA_VAE_SLURM")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs a Slurm node: make slurm-test")

SLURM = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null")
STOP = r"stop   at step ([1-9]\d*), saved"
LOSS = '''
import time
from pathlib import Path


class Waiting:
    """The loss of beta, slow until there is a file: so that a test has the time to disturb the member."""

    def __init__(self, beta, until):
        self.beta, self.until = beta, Path(until)

    def __call__(self, terms, step):
        if not self.until.exists():
            time.sleep(1)
        return (terms.distortion + self.beta(step) * terms.rate.sum(1)).mean()
'''


@pytest.fixture
def words(few_images, tmp_path) -> tuple[str, ...]:
    """The command of a sweep whose members train slowly until `go` is there. It is given in `tmp_path`."""
    (tmp_path / "waiting.py").write_text(LOSS)
    own = ("objective=custom", "objective.target=waiting:Waiting", f"objective.options.until={tmp_path}/go")
    often = ("tracking.save_every_steps=null", "hydra.launcher.timeout_min=10")
    return ("-m", *few_images, *MEMBER[:-1], *own, *often, *SLURM, f"hydra.sweep.dir={tmp_path}/sweep")


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, text=True, start_new_session=True, **streams)


def until(holds: Callable[[], object], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def log_of(member: Path) -> str:
    path = member / "train.log"
    return path.read_text() if path.exists() else ""


def trains(member: Path) -> bool:
    return "\nsteps " in log_of(member)


def job_of(member: Path) -> str:
    return json.loads((member.parent / ".submitit/jobs.json").read_text())[member.name][0]


def all_jobs(sweep: Path) -> set[str]:
    return {path.parent.name for path in sweep.glob(".submitit/*/*_submitted.pkl")}


def member(sweep: Path, beta: float) -> Path:
    return next(iter(sweep.glob(f"*beta={beta:.1f}_*")), sweep / f"beta={beta:.1f}_seed=0")


def states(sweep: Path) -> Mapping[str, State]:
    return {status.name: status.state for status in read_status(sweep)}


def weights(run: Path) -> Mapping[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints/last")["vae"]


def same(a: Path, b: Path) -> bool:
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def is_quiet(text: str) -> bool:
    """Whether nothing is said of Python, of the launcher, or of accounting that is off."""
    return not re.search(r"Traceback|sacct|submitit (WARNING|INFO)|UserWarning", text)


def test_a_sweep_of_four_ends_with_table_and_report_and_the_same_command_submits_nothing(few_images, tmp_path):
    sweep = tmp_path / "sweep"
    words = ("-m", "beta=1,4", "seed=0,1", *few_images, *MEMBER[:-1], *SLURM, f"hydra.sweep.dir={sweep}")
    done = run_train(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 members done" in done.stdout
    assert "| beta=4 |" in done.stdout
    assert (sweep / "report.html").exists()
    assert done.stderr == ""
    assert len(all_jobs(sweep)) == 4
    (script,) = sweep.glob(".submitit/*/*_submission.sh")
    flags = re.findall(r"^#SBATCH --(.*)", script.read_text(), re.MULTILINE)
    assert {"requeue", "signal=USR2@120", "array=0-3%4", "time=240", "open-mode=append"} <= set(flags)
    for log in sweep.glob("*/train.log"):
        assert is_quiet(log.read_text())
        assert log.read_text().startswith("data ")
        assert json.loads((log.parent / "run.json").read_text())["threads"] == 1
    again = run_train(*words)
    assert (again.returncode, again.stderr) == (0, "")
    assert "4 of 4 members done" in again.stdout
    assert len(all_jobs(sweep)) == 4


def test_a_job_that_is_held_is_one_line_and_goes_on_when_it_is_released(words, tmp_path):
    (tmp_path / "go").touch()
    held = "+hydra.launcher.additional_parameters.hold=true"
    process = start(*words, "beta=1", held, cwd=tmp_path)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert re.fullmatch(r"warning: \S+: its job \d+ does not start yet, Slurm says PENDING JobHeldUser\n", line)
    subprocess.run(["scontrol", "release", job_of(member(tmp_path / "sweep", 1))], check=True)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, ""), out + err


@pytest.fixture
def terminal() -> Iterator[None]:
    """The commands of the test end with their terminal, also if nohup has started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
def test_a_killed_terminal_leaves_the_jobs_and_the_same_command_waits_for_them(words, tmp_path):
    sweep = tmp_path / "sweep"
    words = (*words, "beta=1,4")
    for number in (signal.SIGHUP, signal.SIGKILL):
        process = start(*words, cwd=tmp_path)
        until(lambda: trains(member(sweep, 1)) and trains(member(sweep, 4)))
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
    last = start(*words, cwd=tmp_path)
    assert re.match(r"jobs   2 of an earlier command, \d+: waiting for them", last.stdout.readline())
    (tmp_path / "go").touch()
    out, err = last.communicate(timeout=200)
    assert (last.returncode, err) == (0, ""), out + err
    assert "2 of 2 members done" in out
    assert (sweep / "report.html").exists()
    assert len(all_jobs(sweep)) == 2
    assert all(log_of(member(sweep, beta)).count("test   ELBO") == 1 for beta in (1, 4))


def test_two_sweeps_in_one_directory_train_each_member_once_and_both_end_well(words, tmp_path):
    sweep = tmp_path / "sweep"
    both = [start(*words, betas, cwd=tmp_path) for betas in ("beta=1,2", "beta=2,4")]
    until(lambda: all(trains(member(sweep, beta)) for beta in (1, 2, 4)))
    (tmp_path / "go").touch()
    for process in both:
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, ""), out + err
        assert "2 of 2 members done" in out
    assert len(all_jobs(sweep)) == 3
    assert all(log_of(member(sweep, beta)).count("test   ELBO") == 1 for beta in (1, 2, 4))


def test_a_time_limit_saves_the_member_which_goes_on_bit_for_bit_in_the_requeued_job(words, tmp_path):
    sweep = tmp_path / "sweep"
    limit = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=60", "hydra.launcher.max_num_timeout=9")
    process = start(*words, "beta=2", *limit, cwd=tmp_path)
    # Slurm looks every half a minute: the first time it may stop a member that has not begun its first step.
    until(lambda: re.search(STOP, log_of(member(sweep, 2))))
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert err == ""
    assert "1 of 1 members done" in out
    assert (sweep / "report.html").exists()
    log = log_of(member(sweep, 2))
    assert re.findall(STOP, log) == re.findall(r"continued at step (\d+)", log)
    assert is_quiet(log)
    alone = (*words[1:-1], "beta=2", "hydra/launcher=basic")
    alone = tuple(word for word in alone if not word.startswith("hydra"))
    undisturbed = run_train(*alone, "threads=1", directory=tmp_path / "alone", cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert same(member(sweep, 2), tmp_path / "alone")
    assert read_summary(member(sweep, 2))["test"] == read_summary(tmp_path / "alone")["test"]


def test_members_that_are_cancelled_or_out_of_time_get_a_line_each_and_the_same_command_goes_on(words, tmp_path):
    sweep = tmp_path / "sweep"
    words = (*words, "beta=1,2,4", "hydra.launcher.max_num_timeout=0")
    process = start(*words, cwd=tmp_path)
    until(lambda: all(trains(member(sweep, beta)) for beta in (1, 2, 4)))
    subprocess.run(["scancel", job_of(member(sweep, 1))], check=True)
    subprocess.run(["scancel", "--signal=USR2", job_of(member(sweep, 2))], check=True)  # as Slurm before the limit
    restart_controller()
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, out + err
    assert is_quiet(out + err)
    errors = [line for line in err.splitlines() if not line.startswith("warning: Slurm does not answer")]
    one, two = sorted(errors)
    assert re.fullmatch(r"error: \S*beta=1.0\S*: its job \d+_0 was cancelled. See .*_log.err", one)
    assert re.match(
        r"error: \S*beta=2.0\S*: its job \d+_1 ran out of time, and hydra.launcher.max_num_timeout=0 allows", two
    )
    assert "1 of 3 members done" in out
    assert "the same command again goes on with the others" in out
    assert sorted(states(sweep).values()) == [State.done, State.stopped, State.stopped]
    assert all("saved" in log_of(member(sweep, beta)) for beta in (1, 2))

    again = start(*words, cwd=tmp_path)
    out, err = again.communicate(timeout=200)
    assert (again.returncode, err) == (0, ""), out + err
    assert "3 of 3 members done" in out
    assert len(all_jobs(sweep)) == 5
    assert "continued at step" in log_of(member(sweep, 1))


def restart_controller() -> None:
    """End slurmctld, and start it again."""
    process = int((Path(str(NODE)) / "slurmctld.pid").read_text())
    os.kill(process, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{process}").exists())
    time.sleep(1)  # so that the sweep asks in vain
    subprocess.run(["slurmctld"], check=True, capture_output=True)


def test_an_interrupted_command_says_that_the_jobs_go_on(words, tmp_path):
    process = start(*words, "beta=1", cwd=tmp_path)
    until(lambda: trains(member(tmp_path / "sweep", 1)))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    job = job_of(member(tmp_path / "sweep", 1))
    assert f"stop   the jobs go on: the same command waits for them, scancel {job} ends them" in out
    subprocess.run(["scancel", job], check=True)


def test_a_job_that_the_cluster_refuses_is_one_line(words, tmp_path):
    done = run_train(*words, "beta=1,2", "hydra.launcher.partition=none", cwd=tmp_path)
    assert done.returncode == 1
    assert "the cluster takes no job" in one_error_line(done)
    assert "invalid partition specified: none" in one_error_line(done)
    assert done.stderr.count("\n") == 1
