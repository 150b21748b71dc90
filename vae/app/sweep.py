"""A sweep: each member is a run in a process of its own, which can fail, be killed and be resumed alone.

Members are trained one after another, or where and when a launcher of Hydra says: in parallel, or on a cluster. Either
way the member's checked configuration is stored in its directory, and a new process trains what is stored there. The
same command given again sees from the directories what is left to do.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig

from vae.app import console
from vae.app.command_line import AGAIN, MEMBER_OPTION, Command, one_line
from vae.app.command_line.composition import hydra_message
from vae.app.command_line.showing import run_hydra
from vae.app.parts import foreign_words
from vae.config import Config, ConfigError
from vae.run import record
from vae.run.directory import RunExistsError, holds_a_run, locked
from vae.run.files import remove, write_json
from vae.run.names import LOG, SUMMARY
from vae.run.record import Record, Task, changes
from vae.run.signals import SIGNALS
from vae.run.summary import read_summary

STOPPED = {128 + number for number in SIGNALS}  # the exit codes of a run that was asked to stop, and has been saved
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
PATIENCE_SECONDS = 7 * 86_400.0  # for another sweep that trains the same member


def train_members(command: Command, configs: Path, script: Path) -> int:
    """Train the members of a checked command, print their table and write the report. Returns the exit code.

    Args:
        command: of a sweep.
        configs: the directory of the configuration files.
        script: `train.py`.
    """
    assert command.sweep is not None
    signal.signal(signal.SIGINT, lambda number, _: sys.exit(128 + number))
    code = 0

    def train_by_launcher(_: object) -> None:
        task = command.tasks[HydraConfig.get().job.num]
        train_member(task, script, command.free, share_of_threads(HydraConfig.get().launcher))

    try:
        if command.hydra_words:
            run_hydra(command.hydra_words, train_by_launcher, configs)
        else:
            for task in command.tasks:
                train_member(task, script, command.free)
    except Exception as error:  # a worker was killed, a cluster cannot be reached
        from vae.app.main import exit_code  # it loads torch, which takes a second

        reason = one_line(hydra_message(error))
        print(f"error: the launcher ended before its members: {reason}", file=sys.stderr)
        code = exit_code(error)
    return max(code, report_members(command.sweep, command.tasks))


def train_member(task: Task, script: Path, free: Collection[str], threads: int | None = None) -> int:
    """Train one member, unless it is done. Returns its exit code.

    Args:
        task: its directory, and its checked configuration.
        script: `train.py`.
        free: the keys in which a member that has begun may differ.
        threads: how many it may use where it does not have the terminal and the machine to itself; None if it has.

    Raises:
        SystemExit: a signal asked the sweep to stop; the member has been saved.
    """
    directory, config, code = task.directory, task.record.config, AGAIN
    command = [sys.executable, str(script), MEMBER_OPTION, str(directory), *foreign_words(config)]
    if "data.path" in free and hasattr(config.data, "path"):
        command.append(f"data.path={config.data.path}")
    if threads is None:
        console.say(f"\nmember {directory.name}")
    else:
        command += ["tracking.progress=false"] + [f"threads={threads}"] * (config.threads is None)
    while code == AGAIN:  # another sweep was quicker with this member, and may be done with it now
        try:
            with locked(directory, timeout_seconds=PATIENCE_SECONDS):
                if is_done(directory, task.record):
                    return 0
                begun = record.read(directory) if holds_a_run(directory) else task.record
                differences = changes(begun, task.record, free)
                if differences:
                    raise ConfigError(f"{directory} was trained with another configuration: {', '.join(differences)}")
                record.write(directory, at_the_place_of(task.record, begun))
                if read_summary(directory)["status"] != "done":
                    remove(directory / SUMMARY)  # it says how an earlier try ended
        except (RunExistsError, ConfigError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"error: {directory.name}: {error.filename or directory}: {error.strerror}", file=sys.stderr)
            return 1
        code = run_to_end(command, quiet=threads is not None)
    if threads is not None:
        console.say(table_row(directory, read_summary(directory), len(directory.name)))
    if code != 0 and read_summary(directory)["status"] == "unfinished" and code not in STOPPED:
        note_death(task, code, f"killed by signal {code - 128}" if code > 128 else f"see its {LOG}")
    return code


def at_the_place_of(asked: Record, begun: Record) -> Record:
    """The configuration with the place and checksum of the data that the run has seen, which are checked later."""
    config = asked.config
    if hasattr(config.data, "path"):
        config = replace(config, data=replace(config.data, path=begun.config.data.path))
    return replace(asked, config=config, data_sha256=begun.data_sha256)


def is_done(directory: Path, asked: Record) -> bool:
    """Whether the run in `directory` has ended as it would by this configuration, or with more epochs.

    One whose configuration is missing or damaged is not known to be this one.
    """
    summary, config = read_summary(directory), asked.config
    try:
        if summary["status"] != "done" or changes(record.read(directory), asked):
            return False
    except ConfigError:
        return False
    if not is_of(summary, config):
        return False
    # The configuration beside the summary may already ask for more epochs, which have not begun.
    made_for = summary.get("asked", {})
    same = bool(made_for) and all(getattr(config, name, None) == value for name, value in made_for.items())
    return same or bool(summary["epochs"] >= config.epochs)


def is_of(summary: Mapping[str, Any], config: Config) -> bool:
    """Whether a summary has the beta and seed of a configuration."""
    return (summary.get("beta"), summary.get("seed")) == (config.beta, config.seed)


def note_death(task: Task, code: int, reason: str) -> None:
    """Write the summary of a member whose process could not write it."""
    directory, config = task.directory, task.record.config
    print(f"error: {directory.name}: {reason}", file=sys.stderr)
    summary = {"status": "failed", "code": code, "error": reason, "beta": config.beta, "seed": config.seed}
    try:
        write_json(directory / SUMMARY, summary)
    except OSError as error:  # a full disk, which may have ended the member
        print(f"error: {directory.name}: {SUMMARY} could not be written: {error.strerror}", file=sys.stderr)


def share_of_threads(launcher: Mapping[str, Any]) -> int | None:
    """How many threads a member may use, by the settings of Hydra's launcher; None if it has the machine to itself."""
    if "cpus_per_task" in launcher:  # a cluster's node
        return int(launcher["cpus_per_task"] or 1)
    if "n_jobs" not in launcher:
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
    # In a group of its own it does not get the terminal's signals twice: they are passed on below.
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
                    os._exit(128 + signal.SIGTERM)  # returning would leave the worker waiting for its next task
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(128 + asked[0])
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def is_left_over() -> bool:
    """Whether this is a worker of a parallel launcher whose sweep was killed."""
    parent = multiprocessing.parent_process()  # None: started from a shell
    return parent is not None and os.getppid() != parent.pid


def end_with_parent() -> None:
    """Have this process asked to stop when its parent dies. Linux only; elsewhere it trains on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def report_members(directory: Path, tasks: Sequence[Task]) -> int:
    """Print the table of all runs of a sweep, and write its report. Returns 0 if all members are done, else 1.

    Args:
        directory: of the sweep.
        tasks: what the command asked for. Other runs may lie in the directory, too.
    """
    places = sorted({*(path.parent for path in directory.glob(f"*/{LOG}")), *(task.directory for task in tasks)})
    summaries = {path: {**read_summary(path), **unusable(path)} for path in places}
    done = 0
    for task in tasks:  # only runs of its beta and seed are compared with it: comparing reads their configuration
        alike = [path for path, summary in summaries.items() if is_of(summary, task.record.config)]
        done += any(is_done(path, task.record) for path in alike)
    said = write_the_report(directory) if any(s["status"] == "done" for s in summaries.values()) else []
    width = max((len(path.name) for path in summaries), default=0)
    lines = [
        f"\n{'member':{width}}  {'ELBO':>9}  {'distortion':>10}  {'rate':>7}  {'seconds':>7}  status",
        *(table_row(path, summary, width) for path, summary in summaries.items()),
        f"{done} of {len(tasks)} members done, in {directory}",
        *said,
        *(["the same command again goes on with the others"] if done < len(tasks) else []),
    ]
    console.say("\n".join(lines))
    return 0 if done == len(tasks) else 1


def write_the_report(directory: Path) -> list[str]:
    """Write the report of the runs that are done. Returns the lines to print about it."""
    from vae.report import PAGE, write_report  # its libraries take a second to load

    try:
        found = write_report(directory)
    except OSError as error:  # the runs are done even so
        print(f"error: the report could not be written: {error}", file=sys.stderr)
        return []
    return [] if found is None else [f"\n{found}", str(directory / PAGE)]


def unusable(directory: Path) -> dict[str, Any]:
    """Why no run can be made in a directory; empty if one can."""
    if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
        return {}
    if not os.path.lexists(directory):
        return {"status": "unfinished"}
    reason = "cannot be written" if directory.is_dir() else "is a file, where its directory would be"
    return {"status": "failed", "code": 1, "error": f"{directory.name} {reason}"}


def table_row(directory: Path, summary: Mapping[str, Any], width: int) -> str:
    """A member's name, test numbers in nats, seconds of training, and how it ended."""
    name = f"{directory.name:{width}}"
    if summary["status"] == "done":
        test = summary["test"]
        numbers = f"{test['elbo']:9.2f}  {test['distortion']:10.2f}  {test['rate']:7.2f}  {summary['seconds']:7.0f}"
        return f"{name}  {numbers}  done"
    code = f", code {summary['code']}" if "code" in summary else ""
    why = f": {summary['error']}" if "error" in summary else ""
    return f"{name}  {'':39}  {summary['status']}{code}{why}"
