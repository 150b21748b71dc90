"""The training loop, top to bottom, readable as the algorithm."""

import copy
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from vae.data.images import ImageSet, Splits, epoch_order
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.objectives import Objective, Terms, schedules_of
from vae.objectives.schedules import Schedule, Unfinished, unfinished
from vae.probability.finite import NonFiniteError
from vae.probability.prior import standard_normal
from vae.run.signals import StopNow
from vae.run.tracking import Progress, Tracker
from vae.training import monitoring
from vae.training.gradients import Backpropagate, backpropagate
from vae.training.state import REMEDY, Sums, TrainState, means, write_state

log = logging.getLogger(__name__)

PICTURED_EPOCHS = {10**k for k in range(1, 7)}  # and the last: pictures cost time, and change ever more slowly
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
    backpropagate: Backpropagate = backpropagate  # as it is, or compiled


@dataclass(frozen=True)
class Training:
    """A run in progress: what is trained, on what, for what, and who listens."""

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
        return self.objective.rate_factor(max(0, self.state.step - 1))

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
            save(training, snapshot(training))
            return False
        try:
            end_epoch(training)
        except StopNow:
            # What the epoch was measured to be is lost, and measured again after its last step is made again.
            training.state.load_state_dict(training.before_last_step)
            save(training, training.before_last_step)
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
        if done == 1:  # no sooner: a run that stops here may end here, too
            state.epoch_sums.zero_()
        x = images.batch(index, state.generator)
        loss, terms = train_step(state, x, training.objective, options)
        state.step += 1
        _add(state.interval_sums, loss, terms)
        log_due = state.step % options.log_every_steps == 0 or state.step % training.steps_per_epoch == 0
        if log_due or x.device.type == "cpu":  # asking an accelerator at every step would stall it
            refuse_non_finite(loss, terms, state.step)
        training.progress.advance()
        if log_due:
            elapsed = time.perf_counter() - started
            log_interval(training, elapsed)
            started = time.perf_counter()
        if save_due(options, done, time.perf_counter() - saved) and done < training.steps_per_epoch:
            refuse_non_finite(loss, terms, state.step)
            save(training, snapshot(training))
            saved = time.perf_counter()
    return True


def save_due(options: Options, steps: int, seconds: float) -> bool:
    """Whether to save in the midst of an epoch: after so many steps of it, or seconds since it was saved or begun."""
    by_steps = options.save_every_steps is not None and steps % options.save_every_steps == 0
    return by_steps or (options.save_every_seconds is not None and seconds >= options.save_every_seconds)


def train_step(
    state: TrainState, x: Float[Tensor, "batch channels height width"], objective: Objective, options: Options
) -> tuple[Float[Tensor, ""], Terms]:
    """One step of Adam down the gradient of the loss, which is returned in nats per image with its terms."""
    shape = (*objective.sample_shape, len(x), state.vae.latent_dim)
    noise = standard_normal(shape, state.generator)
    state.optimizer.zero_grad()
    loss, terms = options.backpropagate(state.vae, x, noise, objective, state.step, bf16=options.bf16)
    if options.gradient_norm_limit is not None:
        clip_grad_norm_(state.vae.parameters(), options.gradient_norm_limit)
    state.optimizer.learning_rate = options.learning_rate(state.step)
    state.optimizer.step()
    return loss, terms


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
    save(training, snapshot(training), best=better)


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
            pictures = tracker.drawn(lambda: monitoring.draw(state.vae, images, encoding, weight))
    # From here on a signal waits: an exception within TensorBoard's queue would leave it locked for ever.
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
    if state.step < training.objective.settled:
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


def save(training: Training, state: dict[str, Any], *, best: bool = False) -> None:
    """Write a checkpoint after all that was logged: a run continued from it logs no earlier step again."""
    training.tracker.flush()
    write_state(training.directory, state, best=best)


def refuse_non_finite(loss: Float[Tensor, ""], terms: Terms, step: int) -> None:
    """Stop at the step that went wrong.

    Raises:
        NonFiniteError: names the step and the terms.
    """
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"the loss is {float(loss)} at step {step}: distortion {float(terms.distortion.mean()):g}, "
            f"rate {float(terms.rate.sum(1).mean()):g} nats. {REMEDY}"
        )


def log_interval(training: Training, elapsed: float) -> None:
    """Means since the last logged step, in nats per image; `elapsed` is in seconds."""
    state = training.state
    interval = state.interval_sums.cpu().double()  # a copy
    state.interval_sums.zero_()
    state.epoch_sums += interval
    state.seconds += elapsed
    numbers = means(interval, training.loss_weight)
    gradients = [p.grad for p in state.vae.parameters() if p.grad is not None]
    training.tracker.scalars(
        {f"train/{name}": value for name, value in (numbers | training.objective.scalars(state.step - 1)).items()}
        | {
            "train/learning_rate": state.optimizer.learning_rate,
            "train/gradient_norm": float(get_total_norm(gradients)),
            "train/images_per_second": float(interval[0]) / elapsed,
        },
        state.step,
    )
    training.tracker.latents({"train_kl": interval[3:] / interval[0]}, state.step)
    training.progress.show(state.step, numbers)


def _add(interval: Sums, loss: Float[Tensor, ""], terms: Terms) -> None:
    images = len(terms.distortion)
    count = torch.full_like(loss, images)
    interval += torch.cat([torch.stack([count, loss * images, terms.distortion.sum()]), terms.rate.sum(0)])
