"""A sweep: each member is a run in a process of its own, which can fail, be killed and be continued alone.

Hydra's launcher decides where and when a member's turn comes: one after another, in parallel, or on a cluster. What
happens then is the same everywhere, and is that of `python train.py` with the member's overrides. A member that is
killed takes nothing along, and the same command again sees from the directories what is left to do.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vae.command_line.resuming import FREE, changes
from vae.config import ConfigError
from vae.run_directory import SUMMARY, RunExistsError, has_checkpoint, held, read_summary, write_json
from vae.signals import SIGNALS

STOPPED = {128 + number for number in SIGNALS}  # the exit codes of a run that was asked to stop, and has been saved
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


def run_member(config: DictConfig, script: Path) -> int:
    """Train the member whose turn it is, unless it is done. Returns its exit code.

    Args:
        config: the member's, as Hydra composed it.
        script: `train.py`.

    Raises:
        SystemExit: a signal asked the sweep to stop; the member has been saved.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    # A preset that describes a sweep would have every member be that sweep again.
    words = [*HydraConfig.get().overrides.task, "hydra.mode=RUN"]
    try:
        with held(directory):  # the member of a sweep that was killed may just be saving
            if is_done(directory, config):
                return 0
            if has_checkpoint(directory):
                # How long to train is said anew: the member may have been continued by hand for longer, or less.
                early = config.early_stopping_epochs
                early_words = f"early_stopping_epochs={'null' if early is None else early}"
                words = [f"resume={directory}", *words, f"epochs={config.epochs}", early_words]
            else:
                words.append(f"hydra.run.dir='{directory}'")
            if read_summary(directory)["status"] != "done":
                (directory / SUMMARY).unlink(missing_ok=True)  # of how it ended before
    except RunExistsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    command = [sys.executable, str(script), *source_flags(), *words]
    threads = share_of_threads()
    if threads is None:
        code = run_to_end(command, quiet=False)
    else:  # not alone on this terminal and machine
        command += ["tracking.progress=false"] + [f"threads={threads}"] * (config.threads is None)
        code = run_to_end(command, quiet=True)
        print(member_line(directory, read_summary(directory), len(directory.name)), flush=True)
    if code != 0 and read_summary(directory)["status"] == "unfinished" and code not in STOPPED:
        return failed(directory, config, code, f"killed by signal {code - 128}" if code > 128 else "see its train.log")
    return code


def is_done(directory: Path, config: DictConfig) -> bool:
    """Whether the run in `directory` has ended, as it would by `config` or with more epochs.

    One whose configuration is missing or damaged is not known to be this one.
    """
    summary = read_summary(directory)
    try:
        if summary["status"] != "done" or changes(directory, config):
            return False
    except ConfigError:
        return False
    # Not the configuration beside it: that may be of more epochs, which were asked for since and have not begun.
    asked = summary.get("asked")
    if asked is None:  # an older version
        same = not changes(directory, config, FREE - {"epochs", "early_stopping_epochs"})
    else:
        same = all(config[name] == value for name, value in asked.items())
    return same or bool(summary["epochs"] >= config.epochs)


def failed(directory: Path, config: DictConfig, code: int, reason: str) -> int:
    """Leave the word of a member that could not say it itself."""
    print(f"error: {directory.name}: {reason}", file=sys.stderr)
    summary = {"status": "failed", "code": code, "error": reason, "beta": config.beta, "seed": config.seed}
    try:
        write_json(directory / SUMMARY, summary)
    except OSError as error:  # a full disk, by which the member may have ended
        print(f"error: {directory.name}: {SUMMARY} could not be written: {error.strerror}", file=sys.stderr)
    return code


def source_flags() -> list[str]:
    """Hydra's options that say where the configuration files are, if they are not where they always are."""
    hydra = HydraConfig.get()
    extra = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [word for path in extra for word in ("--config-dir", path)]
    name = hydra.job.config_name or "config"
    return flags if name == "config" else [*flags, "--config-name", name]


def share_of_threads() -> int | None:
    """How many threads a member may use that does not have the machine to itself; None if it has."""
    launcher: dict[str, Any] = dict(HydraConfig.get().launcher)
    if "cpus_per_task" in launcher:  # a cluster's node
        return int(launcher["cpus_per_task"] or 1)
    if "n_jobs" not in launcher:  # Hydra's own launcher: one after another
        return None
    cores, jobs = os.cpu_count() or 1, int(launcher["n_jobs"])
    side_by_side = jobs if jobs > 0 else max(1, cores + 1 + jobs)  # joblib: -1 is all cores, -2 all but one
    return max(1, cores // side_by_side)


def run_to_end(command: list[str], *, quiet: bool) -> int:
    """Run `command`, pass on the signals that come, and return its exit code as shells give it.

    Args:
        command: its words.
        quiet: show its errors only.

    Raises:
        SystemExit: a signal came, and the command has ended.
    """
    asked: list[int] = []
    # A group of its own: what the terminal sends to all of ours, it gets once, from us.
    out = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, stdout=out, process_group=0, preexec_fn=end_with_parent)

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        asked.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        while process.poll() is None:
            try:
                process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if is_left_over():
                    process.terminate()
                    process.wait()
                    os._exit(128 + signal.SIGTERM)  # a worker that only returned would wait for its next task
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(128 + asked[0])
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def is_left_over() -> bool:
    """Whether this is a worker of a parallel launcher whose sweep was killed."""
    parent: int | None = getattr(multiprocessing.current_process(), "_parent_pid", None)  # None: started from a shell
    return parent is not None and os.getppid() != parent


def end_with_parent() -> None:
    """Have this process asked to stop when its parent dies. Linux only; elsewhere it trains on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def conclude(directory: Path, members: Sequence[DictConfig]) -> int:
    """Print the table of all runs of a sweep, and leave its report. Returns 0 if all members are done, else 1.

    Args:
        directory: of the sweep.
        members: what the command asked for, the configuration of each. Other runs may lie in the directory, too.
    """
    summaries = {path.parent: read_summary(path.parent) for path in sorted(directory.glob("*/train.log"))}
    width = max((len(path.name) for path in summaries), default=0)
    print(f"\n{'member':{width}}  {'ELBO':>9}  {'distortion':>10}  {'rate':>7}  {'seconds':>7}  status")
    for path, summary in summaries.items():
        print(member_line(path, summary, width))
    # Only runs of the member's beta and seed are compared with it, as that means reading their configuration.
    named = [(path, summary.get("beta"), summary.get("seed")) for path, summary in summaries.items()]
    done = sum(
        any(is_done(path, config) for path, beta, seed in named if (beta, seed) == (config.beta, config.seed))
        for config in members
    )
    print(f"{done} of {len(members)} members done, in {directory}")
    if any(summary["status"] == "done" for summary in summaries.values()):
        from vae.report import PAGE, write_report  # its libraries take a second, which members need not wait for

        try:
            print(f"\n{write_report(directory)}\n{directory / PAGE}")
        except OSError as error:  # the runs are done all the same
            print(f"error: the report could not be written: {error}", file=sys.stderr)
    if done < len(members):
        print("the same command again goes on with the others")
    return 0 if done == len(members) else 1


def member_line(directory: Path, summary: Mapping[str, Any], width: int) -> str:
    """A member's name, test numbers in nats, seconds of training, and how it ended."""
    name = f"{directory.name:{width}}"
    if summary["status"] == "done":
        test = summary["test"]
        numbers = f"{test['elbo']:9.2f}  {test['distortion']:10.2f}  {test['rate']:7.2f}  {summary['seconds']:7.0f}"
        return f"{name}  {numbers}  done"
    why = f", code {summary['code']}: {summary['error']}" if summary["status"] == "failed" else ""
    return f"{name}  {'':39}  {summary['status']}{why}"
