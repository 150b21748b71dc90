"""The training loop, top to bottom, readable as the algorithm."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import get_total_norm

from vae.data.images import ImageSet, Splits, epoch_order
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.objectives import Objective, schedules_of
from vae.objectives.optimizers import set_learning_rate
from vae.objectives.schedules import Schedule, Unfinished, unfinished
from vae.objectives.terms import settled
from vae.probability.finite import NonFiniteError
from vae.run.progress import Progress
from vae.run.signals import StopNow
from vae.run.tracking import Tracker
from vae.training import monitoring
from vae.training.state import REMEDY, Sums, TrainState, means, write_state
from vae.training.step import StepNumbers, TermsOfStep, backpropagate, descend, terms_of_step

log = logging.getLogger(__name__)

PICTURED_EPOCHS = {10**k for k in range(1, 7)}  # and the last epoch: figures take time and change more and more slowly
UNVALIDATED_IMAGES = 10_000  # training images that are watched where no validation images were set aside


@dataclass(frozen=True)
class Options:
    """How to train; what to train is in `TrainState`."""

    epochs: int
    batch_size: int
    seed: int
    gradient_norm_limit: float | None
    early_stopping_epochs: int | None
    log_every_steps: int
    bf16: bool
    learning_rate: Schedule
    evaluate_every_epochs: int = 1  # besides the last
    save_every_steps: int | None = None  # besides the end of each epoch
    save_every_seconds: float | None = None
    terms_of_step: TermsOfStep = terms_of_step  # or the same, compiled


@dataclass(frozen=True)
class Training:
    """A run in progress: its state, data, objective and options, and where its numbers go."""

    state: TrainState
    splits: Splits
    objective: Objective
    options: Options
    tracker: Tracker
    progress: Progress
    directory: Path
    stop_asked: Callable[[], bool] = field(default=lambda: False)  # at the next step
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext  # where a stop need not be asked for
    before_last_step: dict[str, Any] = field(default_factory=dict)  # of the epoch: what `TrainState.state_dict` gave

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch may see a smaller batch; no image is left out."""
        return math.ceil(len(self.splits.train) / self.options.batch_size)

    @property
    def loss_weight(self) -> float:
        """The weight of the rate in `loss`, distortion + weight * rate: the objective's at the last step made."""
        return self.objective.rate_weight(max(0, self.state.step - 1))

    def unfinished(self, steps: int) -> dict[str, Unfinished]:
        """Which schedules, of the objective and of the learning rate, end only after so many steps."""
        schedules = schedules_of(self.objective) | {"learning_rate": self.options.learning_rate}
        return unfinished(schedules, steps)

    @property
    def watched(self) -> tuple[str, ImageSet]:
        """The images that each epoch's numbers are of, and their name: validation, or training where there is none."""
        if len(self.splits.validation) > 0:
            return "validation", self.splits.validation
        return "train_images", self.splits.train.first(UNVALIDATED_IMAGES)

    def evaluation_due(self, epoch: int) -> bool:
        """Whether this epoch, counted from 1, ends with an evaluation."""
        last = epoch >= self.options.epochs or exhausted(self.state, self.options)
        return last or epoch % self.options.evaluate_every_epochs == 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping says so."""
        return over(self.state, self.options, self.steps_per_epoch)


def over(state: TrainState, options: Options, steps_per_epoch: int) -> bool:
    """Whether all epochs are made, or early stopping says so. An epoch that has begun is always made to its end."""
    epochs, steps_begun = divmod(state.step, steps_per_epoch)
    return steps_begun == 0 and (exhausted(state, options) or epochs >= options.epochs)


def exhausted(state: TrainState, options: Options) -> bool:
    """Whether early stopping has waited long enough for a better epoch."""
    patience = options.early_stopping_epochs
    return patience is not None and state.epochs_without_better >= patience


def fit(training: Training) -> bool:
    """Train to the end, or until asked to stop: then the state is saved and False is returned.

    Raises:
        NonFiniteError: the loss or a parameter is no longer a number; the last checkpoint is from before.
    """
    training.tracker.expect(training.state.logged_lines)
    while not training.finished:
        if not train_epoch(training):
            save_checkpoint(training, snapshot(training))
            return False
        try:
            end_epoch(training)
        except StopNow:
            # The evaluation is lost. The resumed run makes the last step again, and then evaluates.
            training.state.load_state_dict(training.before_last_step)
            save_checkpoint(training, training.before_last_step)
            return False
    return True


def train_epoch(training: Training) -> bool:
    """Every training image once, in an order that is a function of seed and epoch. False if asked to stop midway."""
    state, options, images = training.state, training.options, training.splits.train
    epoch, steps_done = divmod(state.step, training.steps_per_epoch)
    state.vae.train()
    order = epoch_order(len(images), options.seed, epoch).to(images.device)
    started = saved = time.perf_counter()
    for done, index in enumerate(order.split(options.batch_size)[steps_done:], steps_done + 1):
        if training.stop_asked():
            state.seconds += time.perf_counter() - started
            return False
        if done == training.steps_per_epoch and training.evaluation_due(epoch + 1):
            training.before_last_step.update(copy.deepcopy(snapshot(training)))
        if done == 1:  # not before the loop: a run that was asked to stop keeps the sums of its last epoch
            state.epoch_sums.zero_()
        x = images.batch(index, state.generator)
        numbers = train_step(state, x, training.objective, options)
        state.step += 1
        _add(state.interval_sums, numbers)
        log_due = state.step % options.log_every_steps == 0 or state.step % training.steps_per_epoch == 0
        if log_due or x.device.type == "cpu":  # an accelerator would have to wait
            refuse_non_finite(numbers, state.step)
        training.progress.advance()
        if log_due:
            elapsed = time.perf_counter() - started
            log_interval(training, numbers.logged, elapsed)
            started = time.perf_counter()
        if save_due(options, done, time.perf_counter() - saved) and done < training.steps_per_epoch:
            refuse_non_finite(numbers, state.step)
            save_checkpoint(training, snapshot(training))
            saved = time.perf_counter()
    return True


def save_due(options: Options, steps: int, seconds: float) -> bool:
    """Whether to save in the midst of an epoch: after so many steps of it, or seconds since it was saved or begun."""
    by_steps = options.save_every_steps is not None and steps % options.save_every_steps == 0
    return by_steps or (options.save_every_seconds is not None and seconds >= options.save_every_seconds)


def train_step(
    state: TrainState, x: Float[Tensor, "batch channels height width"], objective: Objective, options: Options
) -> StepNumbers:
    """One step down the gradient of the loss."""
    state.optimizer.zero_grad()
    numbers = backpropagate(
        state.vae, x, objective, state.step, state.generator, bf16=options.bf16, terms_of_step=options.terms_of_step
    )
    set_learning_rate(state.optimizer, options.learning_rate(state.step))
    descend(state.vae, state.optimizer, options.gradient_norm_limit)
    return numbers


def end_epoch(training: Training) -> None:
    """Measure where it is due, log, and save what the epoch left.

    Raises:
        StopNow: a signal came before it was to be saved.
    """
    state, options = training.state, training.options
    epoch = state.step // training.steps_per_epoch
    better = False
    trained = means(state.epoch_sums, training.loss_weight)
    numbers = {"train": trained}
    if training.evaluation_due(epoch):
        better, numbers[training.watched[0]] = evaluate(training, epoch)
    training.tracker.scalars({f"train_epoch/{term}": value for term, value in trained.items()}, state.step)
    training.progress.epoch(epoch, options.epochs, numbers)
    save_checkpoint(training, snapshot(training), best=better)


def evaluate(training: Training, epoch: int) -> tuple[bool, dict[str, float]]:
    """Measure the model on the images that are watched, log that, and say whether it is the best so far.

    Returns:
        Whether it is, and distortion, rate and ELBO in nats.

    Raises:
        StopNow: a signal came before anything was logged.
    """
    state, tracker = training.state, training.tracker
    name, images = training.watched
    weight = training.loss_weight
    with training.interruptible():
        encoding = encode_images(state.vae, images)
    numbers = elbo_numbers(encoding)
    if not math.isfinite(numbers["elbo"]):
        raise NonFiniteError(f"the {name} ELBO is {numbers['elbo']} after step {state.step}. {REMEDY}")
    better = judge(training, numbers["elbo"], epoch)
    pictured = epoch in PICTURED_EPOCHS or training.finished
    if pictured:
        with training.interruptible():
            parts = monitoring.decompose(encoding)
            pictures = tracker.drawn(
                lambda: monitoring.draw_figures(state.vae, images, encoding, weight, training.directory.name)
            )
    # From here on a signal waits: an exception must not interrupt the writing of a file.
    monitoring.report_numbers(tracker, name, encoding, weight, state.step)
    if pictured:
        monitoring.report_decomposition(tracker, name, parts, state.step)
        monitoring.show_pictures(tracker, pictures, state.step)
    return better, numbers


def judge(training: Training, elbo: float, epoch: int) -> bool:
    """Whether this epoch's model is the best so far, by validation ELBO; without validation images the newest is.

    While beta, or a capacity, warms up no epoch counts: a smaller beta has a better ELBO and is not the model that
    was asked for.
    """
    state = training.state
    if state.step < settled(training.objective):
        return False
    better = elbo > state.best_elbo or len(training.splits.validation) == 0
    if better:
        state.best_elbo, state.best_epoch = elbo, epoch
    state.epochs_without_better = 0 if better else epoch - state.best_epoch
    return better


def snapshot(training: Training) -> dict[str, Any]:
    """The state of the run as a checkpoint holds it, with how much was logged before."""
    training.state.logged_lines = training.tracker.lines
    return training.state.state_dict()


def save_checkpoint(training: Training, state: dict[str, Any], *, best: bool = False) -> None:
    """Write a checkpoint after all that was logged: a run continued from it logs no earlier step again."""
    training.tracker.flush()
    write_state(training.directory, state, best=best)


def refuse_non_finite(numbers: StepNumbers, step: int) -> None:
    """Stop at the step that went wrong.

    Raises:
        NonFiniteError: names the step and the terms.
    """
    if not math.isfinite(numbers.loss):
        raise NonFiniteError(
            f"the loss is {float(numbers.loss)} at step {step}: distortion {float(numbers.distortion.mean()):g}, "
            f"rate {float(numbers.rate.sum(1).mean()):g} nats. {REMEDY}"
        )


def log_interval(training: Training, logged: Mapping[str, Float[Tensor, ""]], elapsed: float) -> None:
    """Log the means since the last logged step, in nats per image, and what describes the last step alone.

    Args:
        training: in progress.
        logged: what the objective gave to `terms.log` at the last step.
        elapsed: seconds since the last logged step.
    """
    state = training.state
    interval = state.interval_sums.cpu().double()  # a copy
    state.interval_sums.zero_()
    state.epoch_sums += interval
    state.seconds += elapsed
    numbers = means(interval, training.loss_weight)
    scheduled = {name: schedule(state.step - 1) for name, schedule in schedules_of(training.objective).items()}
    own = {name: float(number) for name, number in logged.items()}
    learning_rate = training.options.learning_rate(state.step - 1)
    gradients = [p.grad for p in state.vae.parameters() if p.grad is not None]
    training.tracker.scalars(
        {f"train/{name}": value for name, value in (own | scheduled | numbers).items()}
        | {
            "train/learning_rate": learning_rate,
            "train/gradient_norm": float(get_total_norm(gradients)),
            "train/images_per_second": float(interval[0]) / elapsed,
        },
        state.step,
    )
    training.tracker.latents({"train_kl": interval[3:] / interval[0]}, state.step)
    training.progress.show(state.step, numbers)


def _add(interval: Sums, numbers: StepNumbers) -> None:
    images = len(numbers.distortion)
    count = torch.full_like(numbers.loss, images)
    head = torch.stack([count, numbers.loss * images, numbers.distortion.sum()])
    interval += torch.cat([head, numbers.rate.sum(0)])
