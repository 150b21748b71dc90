"""A sweep as jobs of submitit, here processes of this machine; under Slurm: test_sweep_slurm.py."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import MEMBER, ROOT, one_error_line, run, run_train

from vae.app.command_line import checked

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra `cluster`")
CONFIGS = ROOT / "configs"
LOCAL = ("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10")


def test_members_run_as_jobs_of_the_launcher_and_the_same_command_goes_on(tmp_path, few_images):
    sweep = tmp_path / "sweep"
    words = ("-m", "beta=1,4", *few_images, *MEMBER[:-1], *LOCAL, f"hydra.sweep.dir={sweep}")
    first = run_train(*words)
    assert first.returncode == 0, first.stderr
    assert "2 of 2 members done" in first.stdout
    summaries = {beta: (sweep / f"beta={beta}_seed=0/summary.json").read_bytes() for beta in ("1.0", "4.0")}
    assert all(json.loads(text)["status"] == "done" for text in summaries.values())
    assert (sweep / ".submitit").is_dir()
    assert json.loads((sweep / "beta=1.0_seed=0/run.json").read_text())["threads"] == 1
    assert (sweep / "report.html").exists()

    again = run_train(*words)
    assert again.returncode == 0, again.stderr
    assert {b: (sweep / f"beta={b}_seed=0/summary.json").read_bytes() for b in summaries} == summaries


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_preset_requeues_and_takes_the_keys_of_the_plugin(tmp_path, monkeypatch, few_images):
    monkeypatch.setattr("vae.app.command_line.check_launcher", lambda _: None)
    words = ["-m", "beta=1,4", *few_images, "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=1"]
    command = checked([*words, "hydra.launcher.timeout_min=90", f"hydra.sweep.dir={tmp_path}/a,b"], CONFIGS)
    assert command.launcher is not None
    assert command.launcher["additional_parameters"] == {"requeue": True}
    assert command.launcher["max_num_timeout"] > 0
    assert (command.launcher["gpus_per_node"], command.launcher["timeout_min"]) == (1, 90)
    assert command.launcher["submitit_folder"] == f"{tmp_path}/a,b/.submitit/%j"
    assert command.launcher["name"] == "beta-vae"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hydra.launcher.nodes=2",), "hydra.launcher.nodes must be 1, as a member is one process, got 2"),
        (("hydra.launcher.tasks_per_node=4",), "hydra.launcher.tasks_per_node must be 1, as a member is one process"),
        (("hydra.launcher.max_num_timeout=null",), "max_num_timeout"),
        (("hydra.launcher.timeout=9",), "Key 'timeout' not in 'SlurmQueueConf'"),
        ((), "is started where jobs are submitted, got a machine without sbatch, srun, squeue, scontrol. Start it on"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_and_leave_no_files(tmp_path, monkeypatch, trained, words, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = trained("-m", "beta=1,4", "hydra/launcher=slurm", *words, f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert said in one_error_line(done)
    assert list(tmp_path.iterdir()) == []


def test_further_settings_of_slurm_are_added_to_those_of_the_preset(monkeypatch):
    monkeypatch.setattr("vae.app.command_line.check_launcher", lambda _: None)
    words = ["-m", "beta=1,4", "hydra/launcher=slurm", "+hydra.launcher.additional_parameters.reservation=ours"]
    command = checked(words, CONFIGS)
    assert command.launcher is not None
    assert command.launcher["additional_parameters"] == {"requeue": True, "reservation": "ours"}


def test_a_single_run_is_no_job(tmp_path, trained):
    done = trained("beta=4", "hydra/launcher=slurm", directory=tmp_path / "run")
    assert done.returncode == 1
    assert "hydra/launcher=slurm is for a sweep, got a single run. Add -m, or leave it out" in one_error_line(done)


def test_a_preset_of_ones_own_extends_this_one(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.app.command_line.check_launcher", lambda _: None)
    own = tmp_path / "hydra" / "launcher" / "ours.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults:\n  - slurm\n  - _self_\n\npartition: ours\n")
    command = checked(["-cd", str(tmp_path), "-m", "beta=1,4", "hydra/launcher=ours"], CONFIGS)
    assert command.launcher is not None
    assert (command.launcher["partition"], command.launcher["array_parallelism"]) == ("ours", 64)


@pytest.mark.parametrize("launcher", ["slurm", "submitit_slurm"])
def test_a_launcher_whose_plugin_is_missing_is_named_with_what_installs_it(tmp_path, launcher):
    code = (
        "import sys, hydra_plugins; hydra_plugins.__path__ = []; sys.path.insert(0, '.'); import train; train.main()"
    )
    done = run("-c", code, "-m", "beta=1,4", f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 1
    assert one_error_line(done).endswith("a package that is not installed. Install it by pip install '.[cluster]'")


def test_a_job_that_is_killed_is_one_line_and_the_table(tmp_path, few_images):
    sweep = tmp_path / "sweep"
    often = ("epochs=2000", "tracking.save_every_steps=1")
    words = ("-m", "beta=1", *few_images, *MEMBER[:-1], *often, *LOCAL, f"hydra.sweep.dir={sweep}")
    process = subprocess.Popen(
        [sys.executable, "train.py", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    member = sweep / "beta=1.0_seed=0"
    deadline = time.monotonic() + 120
    while not (member / "checkpoints/last").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    training = json.loads((member / ".lock-holder").read_text())["process"]
    os.kill(parent(parent(training)), signal.SIGKILL)  # the job: its child is the process that forks the training
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(
        r"error: beta=1.0_seed=0: its job \d+ has ended, and the training has not. See \S+_0_log.err\n", err
    )
    assert "0 of 1 members done" in out
    assert not (member / ".lock-holder").exists()
