"""The settings of a sweep under Slurm, and questions to Slurm that need no accounting."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

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
STUCK = {"REQUEUE_HOLD", "SPECIAL_EXIT", "STOPPED", "SUSPENDED"}
USUAL = {"None", "", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Cleaning", "Prolog"}  # of waiting


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


class State(NamedTuple):
    """What Slurm says of a job: its state, and why it does not run, in Slurm's words."""

    name: str
    reason: str

    @property
    def is_stuck(self) -> bool:
        """Whether the job may wait for ever, unless somebody does something.

        Example:
            >>> State("PENDING", "Resources").is_stuck, State("PENDING", "JobHeldUser").is_stuck
            (False, True)
        """
        return self.name in STUCK or (self.name == "PENDING" and self.reason not in USUAL)


def states_of_jobs() -> dict[str, State]:
    """The states of this user's jobs by their numbers, as `12_3`. Jobs that ended minutes ago are not in it.

    Raises:
        ClusterError: Slurm does not answer.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.geteuid()}", "--format=%i|%T|%r"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"Slurm does not answer: {one_line(str(error))}") from error
    if answer.returncode != 0:
        raise ClusterError(f"Slurm does not answer: {one_line(answer.stderr)}")
    rows = (line.split("|", 2) for line in answer.stdout.splitlines() if line.count("|") >= 2)
    return {number.strip(): State(name.strip(), reason.strip()) for number, name, reason in rows}


class Queue:
    """The jobs of this user under a Slurm that may be restarted. When it begins not to answer, a line says so."""

    def __init__(self) -> None:
        self._is_silent = False

    def states(self) -> dict[str, State] | None:
        """What `states_of_jobs` gives; None if Slurm does not answer."""
        try:
            states = states_of_jobs()
        except ClusterError as error:
            if not self._is_silent:
                sys.stderr.write(f"warning: {error}. Waiting until it does\n")
            self._is_silent = True
            return None
        self._is_silent = False
        return states

    def wait_for_states(self, pause_seconds: float) -> dict[str, State]:
        """The same, once Slurm answers. `pause_seconds` pass between two questions."""
        while (states := self.states()) is None:
            time.sleep(pause_seconds)
        return states


def is_over(state: State | None) -> bool:
    """Whether a job in this state has ended. None is that of a job that Slurm does not know any more.

    Example:
        >>> is_over(State("COMPLETING", "None")), is_over(State("TIMEOUT", "TimeLimit")), is_over(None)
        (False, True, True)
    """
    return state is None or state.name in OVER


def in_words(state: str) -> str:
    """What has become of a job, as the end of a sentence."""
    return OVER.get(state, "is not in the queue any more")
