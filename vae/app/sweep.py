"""A sweep: each member is a run in a process of its own, which can fail, be killed and be continued alone.

Hydra's launcher decides where and when a member's turn comes: one after another, in parallel, or on a cluster. What
happens then is the same everywhere: the member's checked configuration is stored in its directory, and a process
trains what is stored there. A member that is killed takes nothing along, and the same command again sees from the
directories what is left to do.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig

from vae.app import console
from vae.app.command_line import AGAIN, MEMBER_OPTION, Command
from vae.app.command_line.launching import launch
from vae.app.command_line.wording import one_line, said_by
from vae.config import ConfigError
from vae.run import record
from vae.run.directory import RunExistsError, holds_a_run, locked
from vae.run.files import remove, write_json
from vae.run.names import SUMMARY
from vae.run.record import Record, Task, changes
from vae.run.signals import SIGNALS
from vae.run.summary import read_summary

STOPPED = {128 + number for number in SIGNALS}  # the exit codes of a run that was asked to stop, and has been saved
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
PATIENCE_SECONDS = 7 * 86_400.0  # for another sweep that trains the same member


def run(command: Command, configs: Path, script: Path) -> int:
    """Train the members of a checked command and conclude. Returns the exit code.

    Args:
        command: of a sweep.
        configs: the directory of the configuration files.
        script: `train.py`.
    """
    assert command.sweep is not None
    logging.raiseExceptions = False  # a terminal that is gone takes no log
    signal.signal(signal.SIGINT, lambda number, _: sys.exit(128 + number))
    code = 0
    try:
        launch(command, configs, partial(run_member, script=script, free=command.free))
    except Exception as error:  # a worker that was killed, a cluster that is not there
        from vae.app.main import exit_code  # it loads torch for a second, which nothing else here needs

        print(f"error: the launcher ended before its members: {one_line(said_by(error))}", file=sys.stderr)
        code = exit_code(error)
    return max(code, conclude(command.sweep, command.tasks))


def run_member(task: Task, script: Path, free: Collection[str]) -> int:
    """Train the member whose turn it is, unless it is done. Returns its exit code.

    Args:
        task: where it is trained, and its checked configuration.
        script: `train.py`.
        free: the keys in which a member that has begun may differ.

    Raises:
        SystemExit: a signal asked the sweep to stop; the member has been saved.
    """
    directory, code = task.directory, AGAIN
    command = [sys.executable, str(script), MEMBER_OPTION, str(directory)]
    if "data.path" in free and hasattr(task.record.config.data, "path"):
        command.append(f"data.path={task.record.config.data.path}")
    threads = share_of_threads()
    if threads is not None:  # not alone on this terminal and machine
        command += ["tracking.progress=false"] + [f"threads={threads}"] * (task.record.config.threads is None)
    else:
        console.say(f"\nmember {directory.name}")
    while code == AGAIN:  # another sweep had the directory first, and may be done with it now
        try:
            with locked(directory, timeout_seconds=PATIENCE_SECONDS):
                if is_done(directory, task.record):
                    return 0
                begun = record.read(directory) if holds_a_run(directory) else task.record
                differences = changes(begun, task.record, free)
                if differences:  # another sweep was quicker
                    raise ConfigError(f"{directory} was trained with another configuration: {', '.join(differences)}")
                record.write(directory, at_the_place_of(task.record, begun))
                if read_summary(directory)["status"] != "done":
                    remove(directory / SUMMARY)  # of how it ended before
        except (RunExistsError, ConfigError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"error: {directory.name}: {error.filename or directory}: {error.strerror}", file=sys.stderr)
            return 1
        code = run_to_end(command, quiet=threads is not None)
    if threads is not None:
        console.say(member_line(directory, read_summary(directory), len(directory.name)))
    if code != 0 and read_summary(directory)["status"] == "unfinished" and code not in STOPPED:
        return failed(task, code, f"killed by signal {code - 128}" if code > 128 else "see its train.log")
    return code


def at_the_place_of(stored: Record, begun: Record) -> Record:
    """The configuration with the place and checksum of the data that a run has seen. A new place is checked later."""
    data = stored.config.data
    if hasattr(data, "path"):
        data = replace(data, path=begun.config.data.path)
    return replace(stored, config=replace(stored.config, data=data), data_sha256=begun.data_sha256)


def is_done(directory: Path, stored: Record) -> bool:
    """Whether the run in `directory` has ended, as it would by this configuration or with more epochs.

    One whose configuration is missing or damaged is not known to be this one.
    """
    summary, config = read_summary(directory), stored.config
    try:
        if summary["status"] != "done" or (summary["beta"], summary["seed"]) != (config.beta, config.seed):
            return False
        if changes(record.read(directory), stored):
            return False
    except ConfigError:
        return False
    # Not the configuration beside it: that may be of more epochs, which were asked for since and have not begun.
    asked = summary.get("asked", {})
    same = bool(asked) and all(getattr(config, name, None) == value for name, value in asked.items())
    return same or bool(summary["epochs"] >= config.epochs)


def failed(task: Task, code: int, reason: str) -> int:
    """Leave the word of a member that could not say it itself."""
    directory, config = task.directory, task.record.config
    print(f"error: {directory.name}: {reason}", file=sys.stderr)
    summary = {"status": "failed", "code": code, "error": reason, "beta": config.beta, "seed": config.seed}
    try:
        write_json(directory / SUMMARY, summary)
    except OSError as error:  # a full disk, by which the member may have ended
        print(f"error: {directory.name}: {SUMMARY} could not be written: {error.strerror}", file=sys.stderr)
    return code


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


def conclude(directory: Path, tasks: Sequence[Task]) -> int:
    """Print the table of all runs of a sweep, and leave its report. Returns 0 if all members are done, else 1.

    Args:
        directory: of the sweep.
        tasks: what the command asked for. Other runs may lie in the directory, too.
    """
    places = sorted({*(path.parent for path in directory.glob("*/train.log")), *(task.directory for task in tasks)})
    summaries = {path: {**read_summary(path), **unusable(path)} for path in places}
    # Only runs of the member's beta and seed are compared with it, as that means reading their configuration.
    named = [(path, summary.get("beta"), summary.get("seed")) for path, summary in summaries.items()]
    done = sum(
        any(
            is_done(path, task.record)
            for path, beta, seed in named
            if (beta, seed) == (task.record.config.beta, task.record.config.seed)
        )
        for task in tasks
    )
    report = report_of(directory) if any(s["status"] == "done" for s in summaries.values()) else []
    width = max((len(path.name) for path in summaries), default=0)
    lines = [
        f"\n{'member':{width}}  {'ELBO':>9}  {'distortion':>10}  {'rate':>7}  {'seconds':>7}  status",
        *(member_line(path, summary, width) for path, summary in summaries.items()),
        f"{done} of {len(tasks)} members done, in {directory}",
        *report,
        *(["the same command again goes on with the others"] if done < len(tasks) else []),
    ]
    console.say("\n".join(lines))
    return 0 if done == len(tasks) else 1


def report_of(directory: Path) -> list[str]:
    """Leave the report, before anything is printed that nobody may be there to read. Returns what it says."""
    from vae.report import PAGE, write_report  # its libraries take a second, which members need not wait for

    try:
        found = write_report(directory)
    except OSError as error:  # the runs are done all the same
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


def member_line(directory: Path, summary: Mapping[str, Any], width: int) -> str:
    """A member's name, test numbers in nats, seconds of training, and how it ended."""
    name = f"{directory.name:{width}}"
    if summary["status"] == "done":
        test = summary["test"]
        numbers = f"{test['elbo']:9.2f}  {test['distortion']:10.2f}  {test['rate']:7.2f}  {summary['seconds']:7.0f}"
        return f"{name}  {numbers}  done"
    code = f", code {summary['code']}" if "code" in summary else ""
    why = f": {summary['error']}" if "error" in summary else ""
    return f"{name}  {'':39}  {summary['status']}{code}{why}"
