"""A sweep through Hydra's submitit launcher, as a cluster runs it; here with its local executor."""

import json

import pytest
from command import MEMBER, run_train

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra `cluster`")
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
