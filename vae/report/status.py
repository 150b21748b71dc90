"""How far the members of a sweep are: done, running, stopped, failed or waiting."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vae.config import Config, ConfigError
from vae.run import record
from vae.run.files import DamagedFileError, read_json
from vae.run.metrics import Line, read_metrics
from vae.run.names import LOCK_HOLDER, LOG, MEMBERS, METRICS
from vae.run.summary import is_count, read_origin, read_summary

SPEED = "train/images_per_second"
LAST_BYTES = 20_000  # of `metrics.jsonl`, which has millions: a dozen lines or more


class State(StrEnum):
    """Of a member."""

    done = "done"
    running = "running"
    stopped = "stopped"  # begun, and no process trains it: the same command of the sweep goes on with it
    failed = "failed"
    waiting = "waiting"  # not begun


@dataclass(frozen=True)
class Status:
    """A member, and how far it is.

    Attributes:
        name: of its directory.
        state: of the member.
        step: the last step that was logged, and `steps`: of all epochs. None where they are not known.
        steps: of all epochs.
        epochs: of the whole training, as configured.
        seconds_left: of training, at the speed of the last steps. None if it is not running.
        numbers: the last ELBO, distortion and rate in nats, of the test if it is done.
        note: the error of a failed member, or the process of a running one.
    """

    name: str
    state: State
    step: int | None = None
    steps: int | None = None
    epochs: int | None = None
    seconds_left: float | None = None
    numbers: Mapping[str, float] | None = None
    note: str = ""

    @property
    def epoch(self) -> float | None:
        """The epochs that are trained, with a fraction."""
        if self.step is None or not self.steps or self.epochs is None:
            return None
        return self.step / self.steps * self.epochs


def read_status(folder: Path) -> list[Status]:
    """The members in a folder, by name: those that have begun, and those that the sweep still has to begin.

    The folder may itself be a run. Nothing is written, and no lock is taken.
    """
    if (folder / LOG).exists():
        return [status_of(folder)]
    begun = {log.parent.name: status_of(log.parent) for log in folder.glob(f"*/{LOG}")}
    waiting = {name: Status(name, State.waiting) for name in planned_members(folder) if name not in begun}
    return [status for _, status in sorted({**waiting, **begun}.items())]


def planned_members(folder: Path) -> list[str]:
    """The names of the members that commands have asked for, as the sweep has stored them."""
    try:
        stored = read_json(folder / MEMBERS)
    except DamagedFileError:  # or it is missing: the folder is no sweep, or an older one
        return []
    names = stored.get("members")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def status_of(directory: Path) -> Status:
    """How far a run is that has begun."""
    summary = read_summary(directory)
    name = directory.name
    if summary["status"] == "done":
        test = summary["test"]
        numbers = {key: float(test[key]) for key in ("elbo", "distortion", "rate")}
        steps = summary["steps"]
        return Status(name, State.done, steps, steps, summary["epochs"], numbers=numbers)
    step, speed, logged = last_numbers(directory)
    steps, config = planned_steps(directory), configuration_of(directory)
    epochs = None if config is None else config.epochs
    holder = holder_of(directory)
    if holder is not None:
        left = None
        if step is not None and steps is not None and config is not None and speed:
            left = max(0, steps - step) * config.batch_size / speed
        return Status(name, State.running, step, steps, epochs, left, logged, holder)
    if summary["status"] == "failed":
        note = f"code {summary['code']}: {summary['error']}"
        return Status(name, State.failed, step, steps, epochs, numbers=logged, note=note)
    return Status(name, State.stopped, step, steps, epochs, numbers=logged)


def configuration_of(directory: Path) -> Config | None:
    """The stored configuration. None if it is damaged."""
    try:
        return record.read(directory).config
    except ConfigError:
        return None


def planned_steps(directory: Path) -> int | None:
    """The steps of all epochs, as the run has noted at its start. None if it is an older run."""
    fields: dict[str, Any] = read_origin(directory).fields
    newest = [fields, *fields.get("continued", [])][-1]
    steps = newest.get("steps")
    return steps if is_count(steps) else None


def last_numbers(directory: Path) -> tuple[int | None, float | None, dict[str, float] | None]:
    """The last step that was logged, the images a second, and the newest ELBO, distortion and rate."""
    try:
        step, speed, logged = newest(read_metrics(directory / METRICS, LAST_BYTES)[0])
        if None in (step, speed, logged):  # an epoch may log more than that
            step, speed, logged = newest(read_metrics(directory / METRICS)[0])
    except OSError:
        return None, None, None
    return step, speed, logged


def newest(lines: Sequence[Line]) -> tuple[int | None, float | None, dict[str, float] | None]:
    """As `last_numbers`, from these lines of `metrics.jsonl`. The line that comes last counts."""
    step = max((int(line["step"]) for line in lines), default=None)
    speed = next((float(line[SPEED]) for line in reversed(lines) if SPEED in line), None)
    for line in reversed(lines):
        for split in ("validation", "train"):
            keys = {key: f"{split}/{key}" for key in ("elbo", "distortion", "rate")}
            if all(tag in line for tag in keys.values()):
                return step, speed, {key: float(line[tag]) for key, tag in keys.items()}
    return step, speed, None


def holder_of(directory: Path) -> str | None:
    """The process that trains in a directory, in words. None if there is none.

    A killed process of this machine is noticed. One of another machine counts until its file is removed.
    """
    try:
        holder = read_json(directory / LOCK_HOLDER)
    except DamagedFileError:
        return None
    if not is_count(holder.get("process")):
        return None
    host = holder.get("host")
    if host == socket.gethostname() and not is_alive(holder["process"]):
        return None
    return f"process {holder['process']} on {host}"


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours.

    Example:
        >>> duration(42.0), duration(150.0), duration(9000.0)
        ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(found: Sequence[Status]) -> dict[State, int]:
    """How many members are in each state, without those of none."""
    counts = {state: sum(status.state is state for status in found) for state in State}
    return {state: count for state, count in counts.items() if count}
