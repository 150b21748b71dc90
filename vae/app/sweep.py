"""A sweep: each member is a run in its own process, which can fail, be killed and be resumed alone.

Members train one after another, or as a launcher of Hydra schedules them: in parallel, or on a cluster. Either way the
checked configuration of a member is stored in its directory, and a new process trains by it. When the same command is
given again, it reads in the directories what is left to do.
"""

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig

from vae.app import console
from vae.app.command_line import AGAIN, MEMBER_OPTION, Command, begun_record
from vae.app.command_line.composition import hydra_message
from vae.app.command_line.showing import run_hydra
from vae.app.console import one_line
from vae.app.devices import device_of_member, own_devices
from vae.app.foreign import foreign_words
from vae.app.invocation import Starter
from vae.app.prepared import PreparedProcess, prepared_process
from vae.config import Config, ConfigError
from vae.report.status import planned_members
from vae.run import record
from vae.run.directory import RunExistsError, locked
from vae.run.files import remove, write_atomically, write_json
from vae.run.names import EXPLORER, LOG, MEMBERS, SUMMARY
from vae.run.record import Record, Task, changes
from vae.run.signals import SIGNALS
from vae.run.summary import asked, read_summary, threads_so_far, write_failure
from vae.training.cores import usable_cores

STOPPED = {128 + number for number in SIGNALS}  # exit codes of a run that a signal stopped and that has been saved
FEW_MEMBERS = 20  # so many have all their figures, and the numbers of each latent in TensorBoard
PATIENCE_SECONDS = 7 * 86_400.0  # how long to wait for another sweep that trains the same member


def train_members(command: Command, configs: Path) -> int:
    """Train the members of a sweep, print their table and write the report. Returns the exit code.

    Args:
        command: the checked command of a sweep.
        configs: the directory of the configuration files.
    """
    assert command.sweep is not None
    signal.signal(signal.SIGINT, lambda number, _: sys.exit(128 + number))
    starter, code = Starter.of_this_process(), 0
    note_members(command.sweep, command.tasks)

    def train_by_launcher(_: object) -> None:
        task, launcher = command.tasks[HydraConfig.get().job.num], HydraConfig.get().launcher
        devices = own_devices() if "n_jobs" in launcher else []  # other launchers give each job its devices
        train_member(task, starter, command.free, share_of_threads(launcher), devices)

    try:
        if command.launcher is not None:
            from vae.app.cluster import train_on_cluster

            train_on_cluster(command, starter)
        elif command.hydra_words:
            run_hydra(command.hydra_words, train_by_launcher, configs)
        else:
            for task in command.tasks:
                train_member(task, starter, command.free)
    except Exception as error:  # for example, a worker was killed or a cluster cannot be reached
        from vae.app.main import exit_code  # loading torch takes a second

        print(f"error: the sweep ended before its members: {one_line(hydra_message(error))}", file=sys.stderr)
        code = exit_code(error)
    finally:
        prepared_process(starter).close()
    return max(code, report_members(command.sweep, command.tasks))


def note_members(directory: Path, tasks: Sequence[Task]) -> None:
    """Add the names of the members to those that earlier commands have asked for. `beta-vae status` reads them.

    A disk that is full is left to the members, which report it.
    """
    names = sorted({*planned_members(directory), *(task.directory.name for task in tasks)})
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / MEMBERS, {"members": names})


def train_member(
    task: Task, starter: Starter, free: Collection[str], threads: int | None = None, devices: Sequence[str] = ()
) -> int:
    """Train one member, unless it is done. Returns its exit code.

    Args:
        task: the member's directory and its checked configuration.
        starter: of the process of the sweep.
        free: the keys that may have changed since the member was started.
        threads: for a member that shares the machine with others, how many threads it may use, unless it has begun
            with others. Its output is not shown. None if it has the machine to itself.
        devices: the GPUs that it shares with others, see `vae.app.devices`.

    Raises:
        OSError: the disk is full.
        SystemExit: a signal asked the sweep to stop. The member has been saved.
    """
    directory, config, code = task.directory, task.record.config, AGAIN
    words = [MEMBER_OPTION, str(directory), *foreign_words(config), "tracking.explorer=false"]  # the sweep has one
    if config.tracking.details is None and len(planned_members(directory.parent)) > FEW_MEMBERS:
        words.append("tracking.details=false")  # hundreds of members would fill TensorBoard and the disk
    if "data.path" in free and hasattr(config.data, "path"):
        words.append(f"data.path={config.data.path}")
    if threads is None:
        console.say(f"\nmember {directory.name}")
    else:
        before = threads_so_far(directory)
        share = before if before is not None and before <= usable_cores() else threads
        words += ["tracking.progress=false"] + [f"threads={share}"] * (config.threads is None)
    while code == AGAIN:  # another sweep was training this member, and may have finished it
        try:
            with locked(directory, timeout_seconds=PATIENCE_SECONDS):
                if is_done(directory, task.record):
                    return 0
                record.write(directory, with_data_of(begun_record(task, free), task.record))
                if read_summary(directory)["status"] != "done":
                    remove(directory / SUMMARY)  # it describes an earlier attempt
        except (RunExistsError, ConfigError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # on a full disk no other member can train either
                raise
            print(f"error: {directory.name}: {error.filename or directory}: {error.strerror}", file=sys.stderr)
            return 1
        with device_of_member(devices, config.device) as environment:
            code = train_to_end(prepared_process(starter), words, environment, quiet=threads is not None)
    if threads is not None:
        console.say(table_row(directory, read_summary(directory), len(directory.name)))
    if (
        code not in {0, *STOPPED} and read_summary(directory)["status"] == "unfinished"
    ):  # it could not write one itself
        reason = f"killed by signal {code - 128}" if code > 128 else f"see its {LOG}"
        print(f"error: {directory.name}: {reason}", file=sys.stderr)
        write_failure(directory, code, reason, beta=config.beta, seed=config.seed)
    return code


def with_data_of(begun: Record, asked: Record) -> Record:
    """The configuration `asked`, with the path and checksums of the data that the run has used so far.

    The process of the member checks that the data at the new path are the same, and stores that path.
    """
    config = asked.config
    if hasattr(config.data, "path"):
        config = replace(config, data=replace(config.data, path=begun.config.data.path))
    return replace(asked, config=config, data_sha256=begun.data_sha256, preparation=begun.preparation)


def is_done(directory: Path, wanted: Record) -> bool:
    """Whether the run in `directory` has ended as it would by the configuration `wanted`, or with more epochs.

    A run whose configuration is missing or damaged does not count.
    """
    summary, config = read_summary(directory), wanted.config
    try:
        if summary["status"] != "done" or changes(record.read(directory), wanted):
            return False
    except ConfigError:
        return False
    if (summary["beta"], summary["seed"]) != (config.beta, config.seed):
        return False
    # The stored configuration may already ask for more epochs, which have not begun: the summary tells what was asked.
    return summary.get("asked") == asked(config) or bool(summary["epochs"] >= config.epochs)


def share_of_threads(launcher: Mapping[str, Any]) -> int | None:
    """How many threads a member may use by the settings of Hydra's launcher. None if it has the machine to itself."""
    if "cpus_per_task" in launcher:  # submitit
        return int(launcher["cpus_per_task"] or 1)
    if "n_jobs" not in launcher:
        return None
    cores, jobs = usable_cores(), int(launcher["n_jobs"])
    side_by_side = jobs if jobs > 0 else max(1, cores + 1 + jobs)  # joblib: -1 is all cores, -2 all but one
    return max(1, cores // side_by_side)


def train_to_end(
    prepared: PreparedProcess, words: Sequence[str], environment: Mapping[str, str], *, quiet: bool
) -> int:
    """Train, and pass signals on to the training. Returns its exit code, as shells do: 128 + number after a signal.

    Args:
        prepared: the process that trains.
        words: as after `python train.py`.
        environment: variables that only this training gets.
        quiet: show its errors only.

    Raises:
        SystemExit: a signal came, and the training has ended.
    """
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        asked.append(number)
        prepared.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        prepared.train(words, environment, quiet=quiet)
        for number in asked:  # before there was a process
            prepared.send_signal(number)
        while (code := prepared.wait(timeout_seconds=1.0)) is None:
            if is_left_over():
                prepared.send_signal(signal.SIGTERM)
                prepared.wait(timeout_seconds=PATIENCE_SECONDS)
                os._exit(128 + signal.SIGTERM)  # if it returned, the worker would wait for its next task
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise SystemExit(128 + asked[0])
    return code if code >= 0 else 128 - code


def is_left_over() -> bool:
    """Whether this process is a worker of a parallel launcher whose sweep was killed."""
    parent = multiprocessing.parent_process()  # None if a shell started it
    return parent is not None and os.getppid() != parent.pid


def report_members(directory: Path, tasks: Sequence[Task]) -> int:
    """Print the table of all runs in the directory of a sweep, and write its report.

    Args:
        directory: of the sweep.
        tasks: the members that the command asked for. The directory may hold other runs too.

    Returns:
        The exit code: 0 if all these members are done, else 1.
    """
    places = sorted({*(path.parent for path in directory.glob(f"*/{LOG}")), *(task.directory for task in tasks)})
    summaries = {path: read_summary(path) for path in places}
    done = sum(is_done(task.directory, task.record) for task in tasks)
    said: list[str] = []
    if any(summary["status"] == "done" for summary in summaries.values()):
        explored: list[str] = []
        try:
            explored = write_sweep_explorer(directory, [task.record.config for task in tasks])
        finally:  # also if a signal ends the page
            # The report links the page.
            said = [*write_sweep_report(directory, [task.record.config for task in tasks]), *explored]
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


def write_sweep_report(directory: Path, configs: Sequence[Config] = ()) -> list[str]:
    """Write the report on the runs that are done. Returns the lines to print about it; none if it failed.

    Args:
        directory: of the sweep.
        configs: of its members, which name the user's own networks.
    """
    from vae.app.traversals import draw_traversals_of
    from vae.report import PAGE, write_report  # its libraries take a second to load

    parts = list(dict.fromkeys(word for config in configs for word in foreign_words(config)))
    try:
        found = write_report(directory, output=directory, draw=lambda run: draw_traversals_of(run, parts))
    except OSError as error:
        print(f"error: the report could not be written: {error}", file=sys.stderr)
        return []
    return [] if found is None else [f"\n{found}", str(directory / PAGE)]


def write_sweep_explorer(directory: Path, configs: Sequence[Config]) -> list[str]:
    """Write the explorer page of the runs that are done. Returns the lines to print about it.

    Args:
        directory: of the sweep.
        configs: of the members that the command asked for. If all have `tracking.explorer=false`, there is no page.
    """
    if not any(config.tracking.explorer for config in configs):
        return []
    from vae.app.exploring import Asked, explore  # these load torch, which takes a second
    from vae.app.main import EXPECTED, said

    parts = dict.fromkeys(word for config in configs for word in foreign_words(config))
    try:
        found = explore([directory], Asked(parts=list(parts)))
    except Exception as error:  # a page that fails must not change how a sweep ends
        remove(directory / EXPLORER)  # it is of earlier members
        kind = "" if isinstance(error, EXPECTED) else f"{type(error).__name__}: "
        return [f"explore none: {kind}{one_line(said(error))}"]
    try:
        write_atomically(directory / EXPLORER, found.page.encode(errors="replace"), durable=False)
    except OSError as error:
        print(f"error: the explorer page could not be written: {said(error)}", file=sys.stderr)
        return []
    return [str(directory / EXPLORER), *map(one_line, found.surplus)]  # the table has those that are not done


def table_row(directory: Path, summary: Mapping[str, Any], width: int) -> str:
    """A line of the table: name, test results in nats, seconds of training, and how the run ended."""
    name = f"{directory.name:{width}}"
    if summary["status"] == "done":
        test = summary["test"]
        numbers = f"{test['elbo']:9.2f}  {test['distortion']:10.2f}  {test['rate']:7.2f}  {summary['seconds']:7.0f}"
        return f"{name}  {numbers}  done"
    code = f", code {summary['code']}" if "code" in summary else ""
    why = f": {summary['error']}" if "error" in summary else ""
    return f"{name}  {'':39}  {summary['status']}{code}{why}"
