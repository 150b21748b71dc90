"""The settings of a sweep under Slurm, and questions to Slurm that need no accounting."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from vae.app.console import one_line
from vae.config import ConfigError

PATIENCE_SECONDS = 120.0  # for an answer; Slurm's own limit is 10 s a try
NEEDED = ("sbatch", "srun", "squeue", "scontrol")
# Any other state is one of a job that runs or will run.
OVER = {
    "BOOT_FAIL": "could not start its node",
    "CANCELLED": "was cancelled",
    "COMPLETED": "has ended, and the training has not",
    "DEADLINE": "has reached its deadline",
    "FAILED": "failed",
    "LAUNCH_FAILED": "could not be started",
    "NODE_FAIL": "has lost its node",
    "OUT_OF_MEMORY": "needs more memory. Raise hydra.launcher.mem_gb",
    "PREEMPTED": "gave way to another job",
    "REVOKED": "was revoked",
    "TIMEOUT": "ran out of time before it could be saved. Raise hydra.launcher.signal_delay_s",
}


class ClusterError(Exception):
    """The cluster takes no job, or does not answer. Its text is one line."""


def check_launcher(settings: Mapping[str, Any]) -> None:
    """Check the settings of submitit's launcher.

    Args:
        settings: `hydra.launcher`.

    Raises:
        ConfigError: a member would be several processes, or there is no Slurm on this machine.
    """
    for key in ("nodes", "tasks_per_node"):
        if settings[key] != 1:
            raise ConfigError(f"hydra.launcher.{key} must be 1, as a member is one process, got {settings[key]}")
    if settings.get("max_num_timeout", 0) is None:
        raise ConfigError("hydra.launcher.max_num_timeout must be a number, got null. Set 0 for never")
    missing = [] if is_local(settings) else [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"a sweep under Slurm is started where jobs are submitted, got a machine without {', '.join(missing)}. "
            "Start it on a login node, or take hydra/launcher=joblib"
        )


def is_local(settings: Mapping[str, Any]) -> bool:
    """Whether these settings are of submitit without Slurm, whose jobs are processes of this machine."""
    return str(settings["_target_"]).endswith("LocalLauncher")


def states_of_jobs() -> dict[str, str]:
    """The states of this user's jobs by their numbers, as `12_3`. Jobs that ended minutes ago are not in it.

    Raises:
        ClusterError: Slurm does not answer.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.geteuid()}", "--format=%i|%T"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"Slurm does not answer: {one_line(str(error))}") from error
    if answer.returncode != 0:
        raise ClusterError(f"Slurm does not answer: {one_line(answer.stderr)}")
    pairs = (line.split("|") for line in answer.stdout.splitlines() if line.count("|") == 1)
    return {number.strip(): state.strip() for number, state in pairs}


def is_over(state: str | None) -> bool:
    """Whether a job in this state has ended. None is that of a job that Slurm does not know any more.

    Example:
        >>> is_over("PENDING"), is_over("COMPLETING"), is_over("TIMEOUT"), is_over(None)
        (False, False, True, True)
    """
    return state is None or state in OVER


def in_words(state: str) -> str:
    """What has become of a job, as the end of a sentence."""
    return OVER.get(state, "is not in the queue any more")
