"""A member of a sweep: what is left to do in its directory, and its training in a process of its own.

The checked configuration of a member is stored in its directory, and a new process trains by it. When the same command
is given again, it reads in the directories what is left to do.
"""

import errno
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vae.app import console
from vae.app.command_line import AGAIN, MEMBER_OPTION, begun_record
from vae.app.devices import device_of_member
from vae.app.foreign import foreign_words
from vae.app.trainings import Trainer
from vae.config import ConfigError
from vae.report.status import planned_members
from vae.run import record
from vae.run.directory import RunExistsError, locked
from vae.run.files import remove
from vae.run.names import LOG, SUMMARY
from vae.run.record import Record, Task, changes
from vae.run.signals import SIGNALS
from vae.run.summary import asked, read_summary, threads_so_far, write_failure
from vae.training.cores import usable_cores

STOPPED = {128 + number for number in SIGNALS}  # exit codes of a run that a signal stopped and that has been saved
FEW_MEMBERS = 20  # so many have all their figures, and the numbers of each latent in TensorBoard
PATIENCE_SECONDS = 7 * 86_400.0  # how long to wait for another sweep that trains the same member


def train_member(
    task: Task, trainer: Trainer, free: Collection[str], threads: int | None = None, devices: Sequence[str] = ()
) -> int:
    """Train one member, unless it is done. Returns its exit code.

    Args:
        task: the member's directory and its checked configuration.
        trainer: the process that trains it.
        free: the keys that may have changed since the member was started.
        threads: for a member that shares the machine with others, how many threads it may use, unless it has begun
            with others. Its output is not shown. None if it has the machine to itself.
        devices: the GPUs that it shares with others, see `vae.app.devices`.

    Raises:
        OSError: the disk is full.
        SystemExit: a signal asked the sweep to stop. If the member had begun, it has been saved or there is a line
            with the reason.
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
            with locked(directory, timeout_seconds=PATIENCE_SECONDS, give_up=lambda: trainer.trainings.are_over):
                if is_done(directory, task.record):
                    return 0
                record.write(directory, with_data_of(begun_record(task, free), task.record))
                if read_summary(directory)["status"] != "done":
                    remove(directory / SUMMARY)  # it describes an earlier attempt
        except (RunExistsError, ConfigError) as error:
            trainer.trainings.stop_if_asked()
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # on a full disk no other member can train either
                raise
            print(f"error: {directory.name}: {error.filename or directory}: {error.strerror}", file=sys.stderr)
            return 1
        with device_of_member(devices, config.device) as environment:
            code = trainer.train(words, environment, quiet=threads is not None)
    if threads is not None:
        console.say(table_row(directory, read_summary(directory), len(directory.name)))
    if code not in {0, *STOPPED} and read_summary(directory)["status"] != "failed":  # it could not say so itself
        reason = f"killed by signal {code - 128}" if code > 128 else f"see its {LOG}"
        print(f"error: {directory.name}: {reason}", file=sys.stderr)
        write_failure(directory, code, reason, beta=config.beta, seed=config.seed)
    trainer.trainings.stop_if_asked()
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
