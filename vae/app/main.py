"""One run of the application: from its checked configuration to `summary.json` and an exit code."""

import errno
import json
import logging
import math
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from tqdm import tqdm

from vae import __version__
from vae.app import console
from vae.app.build import build_objective, build_options, build_vae, new_state, try_custom_objective
from vae.app.command_line import AGAIN, Command, one_line
from vae.app.data import build_data, refuse_other_data
from vae.app.invocation import resuming_command, typed_words
from vae.app.likelihood import likelihood_lines, refuse_unfit, variance_in_words
from vae.app.linear import linear_baseline
from vae.app.metrics import own_metrics
from vae.config import (
    Config,
    ConfigError,
    CustomDataConfig,
    GaussianConfig,
    ImagesConfig,
    TableConfig,
    plain,
)
from vae.config.model import CustomModelConfig
from vae.config.objective import BetaConfig
from vae.config.preparation import TablePreparation
from vae.data import DataError
from vae.model.vae import count_parameters
from vae.objectives import normalised_beta
from vae.probability.finite import NonFiniteError
from vae.run import checkpoint, record
from vae.run.directory import BusyError, RunExistsError, has_checkpoint, holds_a_run, locked
from vae.run.files import relative_to_cwd, remove, set_aside, write_json
from vae.run.names import CHECKPOINTS, LOG, RUN, SUMMARY
from vae.run.progress import Progress
from vae.run.provenance import device_name, provenance
from vae.run.record import Task
from vae.run.signals import StopNow, StopRequest
from vae.run.summary import asked, read_origin, read_summary, threads_so_far, write_failure
from vae.run.tracking import Tracker
from vae.training.conclusion import chosen_options, conclude
from vae.training.cores import busy_with_others, choose_threads, read_load
from vae.training.hardware import emulates_bf16, prepare_torch
from vae.training.loop import Training, fit, over
from vae.training.monitoring import CHARTS, TERMS
from vae.training.waiting import waiting_by_load, words_on_threads

log = logging.getLogger(__name__)

ENOUGH_STEPS = 1_000  # after which a network has usually learned something of a small data set
SMALL_BATCH = 32  # images

# The errors that end a program with one line instead of a traceback, with their exit codes.
EXIT_CODES: dict[type[Exception], int] = {
    ConfigError: 1,
    RunExistsError: 1,
    NonFiniteError: 3,
    DataError: 4,
    checkpoint.CheckpointError: 5,
}
EXPECTED: tuple[type[Exception], ...] = (*EXIT_CODES, OSError, MemoryError)
DISK_FULL = 6


def main(command: Command) -> int:
    """Train the one run of a checked command. Returns the exit code."""
    (task,) = command.tasks
    try:
        log_file = RunLog(task.directory)
    except OSError as error:
        sys.stderr.write(f"error: {one_line(said(error))}\n")
        return exit_code(error)
    package = logging.getLogger("vae")
    package.setLevel(logging.INFO)
    package.addHandler(log_file)
    return run(task, busy=AGAIN if command.is_member else 1)


class RunLog(logging.FileHandler):
    """A log handler that writes each line to the terminal, above the progress bar, and to `train.log`.

    Lines that cannot be written are dropped. A closed pipe or a full disk does not end the run here.

    Args:
        directory: of the run. It is created.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / LOG
        directory.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):  # a pipe would block
            sys.stderr.write(f"warning: {path} is not a regular file. It was renamed to {set_aside(path).name}\n")
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line to the terminal and to the file."""
        try:
            tqdm.write(self.format(record))
            sys.stdout.flush()  # else a pipe gets the lines only when a buffer is full
        except OSError:
            console.discard()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Ignore an error of the disk."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def run(task: Task, busy: int = 1) -> int:
    """Train one run, and report how it ended in the log and in `summary.json`. Returns the exit code.

    Args:
        task: the run's directory and its checked configuration.
        busy: the exit code if another process trains, or has just trained, in the directory.

    Raises:
        SystemExit: a signal asked the run to stop. It has been saved.
    """
    directory, config = task.directory, task.record.config
    has_begun = False
    with StopRequest() as stop, ExitStack() as stack:
        try:
            with stop.at_once():  # it waits up to half a minute for another process
                stack.enter_context(locked(directory))
            has_begun = True
            if config.resume is None:
                if holds_a_run(directory):  # one that was killed before its first checkpoint may be started again
                    shown = relative_to_cwd(directory)
                    raise RunExistsError(
                        f"{shown} already holds a run. Continue it with resume={shown}, "
                        "or leave hydra.run.dir alone to get a new directory"
                    )
                record.write(directory, task.record)
            train(task, config, stop)
        except StopNow:
            if not has_begun:
                log.info("stop   before this process did anything")
            elif config.resume is None and not has_checkpoint(directory):
                log.info("stop   before the first step: nothing was saved, start it again")
            else:
                log.info(f"stop   all steps are saved; {resuming_command(directory)} goes on")
        except RunExistsError as error:
            if busy == AGAIN and (isinstance(error, BusyError) or has_checkpoint(directory)):
                return AGAIN
            log.error(f"error: {error}")
            return 1
        except Exception as error:
            code = exit_code(error)
            log.error(f"error: {said(error)}", exc_info=not (isinstance(error, EXPECTED) or is_out_of_memory(error)))
            write_failure(directory, code, said(error), beta=config.beta, seed=config.seed)
            return code
    if stop():
        raise SystemExit(stop.exit_code)
    return 0


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed: in Python, on the device, or in torch's allocator on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def said(error: Exception) -> str:
    """What went wrong, in one line for the user."""
    if is_out_of_memory(error):
        return "there is not enough memory. Lower batch_size or the size of the model, or take fewer or smaller images"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def exit_code(error: Exception) -> int:
    """The exit code of a program that `error` ends."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DISK_FULL
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def train(task: Task, config: Config, stop: StopRequest) -> None:
    """Train and test as configured. All results are files in the run's directory.

    Raises:
        StopNow: a signal came before the first step, or after the last one, which is saved.
    """
    directory, load = task.directory, read_load()
    before = None if config.resume is None else threads_so_far(directory)
    threads = choose_threads(config.threads, torch.get_num_threads(), before)
    device = prepare_torch(config, threads.number)
    with stop.at_once():
        data = build_data(config, may_write=task.may_write_data)
        splits = data.read().to(device)
        checksums = data.checksums()
    refuse_other_data(task.record.data_sha256, checksums)
    refuse_unfit(config, splits)
    record.write(directory, replace(task.record, data_sha256=checksums, preparation=splits.preparation))
    vae = build_vae(config, splits.train.shape).to(device)
    vae.start_at(splits.train.mean(), splits.train.variance())
    metrics = own_metrics(config.metrics, vae.latent_dim, splits.train.factors)
    objective = build_objective(config, len(splits.train), device)
    for warning in try_custom_objective(config, vae, splits.train):
        log.warning(f"warning: {warning}")
    state = new_state(config, vae, device, objective)
    state.configuration = record.fingerprint(task.record)
    if config.resume is not None:
        saved = checkpoint.load_newest(directory / CHECKPOINTS)
        try:
            state.load_state_dict(saved)
        except checkpoint.CheckpointError as error:
            raise checkpoint.CheckpointError(f"{relative_to_cwd(directory / CHECKPOINTS)}: {error}") from None
    steps = config.epochs * math.ceil(len(splits.train) / config.batch_size)
    options = build_options(config, len(splits.train))
    summary = read_summary(directory)
    ended = over(state, options, steps // config.epochs)
    its_own = (summary.get("beta"), summary.get("seed")) == (config.beta, config.seed)
    if ended and its_own and summary["status"] == "done" and summary["steps"] == state.step:
        if summary.get("asked") != asked(config):  # it has stopped early, and more epochs would change nothing
            write_json(directory / SUMMARY, summary | {"asked": asked(config)})
        early = "stopped early. Set early_stopping_epochs=null to go on"
        whole = f"has its {summary['epochs']} epochs. Name more to go on, as in epochs={2 * summary['epochs']}"
        log.info(f"end    {relative_to_cwd(directory)} {whole if state.step >= steps else early}")
        return
    origin = record_origin(task, device, checksums, steps)
    remove(directory / SUMMARY)  # it describes fewer epochs: a killed run must not seem done
    tracking = config.tracking
    details = tracking.details is not False  # of a run that no sweep trains
    tracker = Tracker(directory, state.step, tensorboard=tracking.tensorboard, details=details)
    progress = Progress(steps, state.step, shown=config.tracking.progress)
    training = Training(state, splits, objective, options, tracker, progress, directory, stop, stop.at_once)
    busy = busy_with_others(load, read_load()) if device.type == "cpu" else None
    try:
        introduce(config, training, device, data.describe(), words_on_threads(threads, busy))
        lines, linear = linear_baseline(config, splits.train)
        for start, line in zip(("linear", *(len(lines) * [" " * 6])), lines, strict=False):
            log.info(f"{start} {line}")
        if state.step == 0:
            tracker.charts(CHARTS, TERMS)
        tracker.text("configuration", as_code(yaml.safe_dump(plain(config), sort_keys=False)), state.step)
        tracker.text("environment", as_code(json.dumps(origin, indent=2)), state.step)
        if tracker.takes_pictures:
            from vae.figures import plots  # noqa: F401 - loads matplotlib before the first step
        with waiting_by_load(threads.number if device.type == "cpu" else 1, busy):
            done = fit(training)
            if done:
                conclude(config, training, stop, metrics, linear)
        if not done:
            log.info(f"stop   at step {state.step}, saved; {resuming_command(directory)} goes on")
    finally:
        progress.close()
        tracker.close()


def record_origin(task: Task, device: torch.device, checksums: Mapping[str, str], steps: int) -> dict[str, Any]:
    """Write `run.json`: with what the run is made. If it is resumed, the new entry is added to `continued`.

    Args:
        task: the run.
        device: that it runs on.
        checksums: the sha256 of each file of images, by name.
        steps: of all epochs.
    """
    origin = {**provenance(typed_words(), __version__, device, checksums), "steps": steps}
    if task.record.config.resume is not None:
        before, problem = read_origin(task.directory)
        if problem is not None:
            log.warning(f"warning: {problem}, and is begun anew. Only the history of the run is lost")
        if before:
            origin = before | {"continued": [*before.get("continued", []), origin]}
    write_json(task.directory / RUN, origin)
    return origin


def introduce(config: Config, training: Training, device: torch.device, data: str, threads: str) -> None:
    """Log the data, the model, the device, the loss and the number of steps, and warn of what is unusual.

    Args:
        config: of the run.
        training: about to begin.
        device: that it runs on.
        data: the description of the images.
        threads: of the CPU, in words.
    """
    state, splits = training.state, training.splits
    sizes = " / ".join(f"{len(images):,}".replace(",", " ") for images in splits.sets)
    channels, height, width = splits.train.shape
    is_table = isinstance(splits.preparation, TablePreparation)
    inputs, shape = ("rows", f"{width} columns") if is_table else ("images", f"{channels}x{height}x{width}")
    options = chosen_options(config)
    model = options["model"]
    if isinstance(config.model, CustomModelConfig):
        model = f"{config.model.encoder} and {config.model.decoder}"
    likelihood = options["likelihood"]
    if isinstance(config.likelihood, GaussianConfig) and config.likelihood.learned:
        likelihood += f" ({variance_in_words(config.likelihood, 'column' if is_table else 'pixel')})"
    latent_dim = state.vae.latent_dim
    normalised = normalised_beta(config.beta, latent_dim, channels * height * width)
    steps = training.options.epochs * training.steps_per_epoch
    values = ", ".join(
        f"{f.name} {getattr(value := getattr(config.objective, f.name), 'value', value)}"
        for f in fields(config.objective)
    )
    for line in (
        f"data   {data}; {sizes} {inputs} (train / validation / test) of {shape}",
        f"model  {model}, {latent_dim} latents, {count_parameters(state.vae):,} parameters, {likelihood} likelihood",
        f"device {device_name(device)}, {config.precision.value}, {threads}",
        f"beta   {config.beta:g}, normalised beta*M/N {normalised:.4g}"
        + (f", warmed up over {config.beta_warmup_steps} steps" if config.beta_warmup_steps else ""),
        *(() if isinstance(config.objective, BetaConfig) else (f"loss   {options['objective']}, {values}",)),
        f"steps  {steps:,} of {min(config.batch_size, len(splits.train))} {inputs}, {config.epochs} epochs"
        + (f", continued at step {state.step}" if state.step else ""),
        *few_steps(config, len(splits.train), training.steps_per_epoch),
    ):
        log.info(line)
    for line in likelihood_lines(config, splits):
        if line.startswith("warning"):
            log.warning(line)
        else:
            log.info(f"pixels {line}")
    for name, schedule in training.unfinished(steps).items():
        log.warning(f"warning: {schedule.described(name)}. Train longer, shorten it, or continue the run later")
    if training.options.bf16 and emulates_bf16(device):
        log.warning(
            "warning: precision=bf16 takes several times as long as fp32 on this CPU, which is not made for it. "
            "Use precision=fp32"
        )


def few_steps(config: Config, images: int, steps_per_epoch: int) -> list[str]:
    """A line that advises more epochs, where the user's own data are so few that training ends after few steps.

    Args:
        config: of the run.
        images: the number of images, or of rows, in the training set.
        steps_per_epoch: of this training.
    """
    steps = config.epochs * steps_per_epoch
    if not isinstance(config.data, ImagesConfig | TableConfig | CustomDataConfig) or steps >= ENOUGH_STEPS:
        return []
    smaller = min(config.batch_size, SMALL_BATCH)
    epochs = math.ceil(ENOUGH_STEPS / math.ceil(images / smaller))
    advised = f"epochs={epochs}" + (f" batch_size={smaller}" if smaller < config.batch_size else "")
    return [f"       {steps:,} steps are few: networks often need {ENOUGH_STEPS:,} or more. Try {advised}"]


def as_code(text: str) -> str:
    """The text as a code block of Markdown, for TensorBoard."""
    return "\n".join("    " + line for line in text.splitlines())
