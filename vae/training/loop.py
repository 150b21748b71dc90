"""The training loop, from `fit` down to the step."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from vae.data.images import ImageSet, Splits, epoch_order
from vae.measures.evaluation import elbo_numbers, encode_images
from vae.objectives import Objective, schedules_end, schedules_of
from vae.objectives.schedules import Schedule, Unfinished, unfinished
from vae.probability.finite import NonFiniteError
from vae.run.progress import Progress
from vae.run.signals import StopNow
from vae.run.tracking import Tracker
from vae.training import monitoring
from vae.training.state import REMEDY, TrainState, means, write_state
from vae.training.step import StepNumbers, TermsOfStep, backpropagate, terms_of_step

PICTURED_EPOCHS = {10**k for k in range(1, 7)}  # and the last: drawing takes time, and figures change ever more slowly
UNVALIDATED_IMAGES = 10_000  # the training images that are evaluated if there are no validation images


@dataclass(frozen=True)
class Options:
    """How to train. What is trained is in `TrainState`."""

    epochs: int
    batch_size: int
    seed: int  # of the order of the images
    gradient_norm_limit: float | None
    early_stopping_epochs: int | None
    log_every_steps: int
    bf16: bool
    learning_rate: Schedule
    evaluate_every_epochs: int = 1  # and after the last epoch
    save_every_steps: int | None = None  # and at the end of each epoch
    save_every_seconds: float | None = None
    terms_of_step: TermsOfStep = terms_of_step  # or its compiled form


@dataclass(frozen=True)
class Training:
    """A run in progress: its state, data, objective and options, and where its numbers are logged."""

    state: TrainState
    splits: Splits
    objective: Objective
    options: Options
    tracker: Tracker
    progress: Progress
    directory: Path
    stop_asked: Callable[[], bool] = field(default=lambda: False)  # read before each step
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext  # inside, a signal raises StopNow at once
    before_last_step: dict[str, Any] = field(default_factory=dict)  # `state_dict` before the last step of an epoch

    @property
    def steps_per_epoch(self) -> int:
        """Every image is used once, so the last batch of an epoch may be smaller."""
        return math.ceil(len(self.splits.train) / self.options.batch_size)

    @property
    def loss_weight(self) -> float:
        """The weight of the rate in `loss`, distortion + weight * rate: the objective's at the last step made."""
        return self.objective.rate_weight(max(0, self.state.step - 1))

    def unfinished(self, steps: int) -> dict[str, Unfinished]:
        """The schedules of the objective and of the learning rate that end only after `steps` steps."""
        schedules = schedules_of(self.objective) | {"learning_rate": self.options.learning_rate}
        return unfinished(schedules, steps)

    @property
    def watched(self) -> tuple[str, ImageSet]:
        """The images that are evaluated during training, and their name: training images if there are no others."""
        if len(self.splits.validation) > 0:
            return "validation", self.splits.validation
        return "train_images", self.splits.train.first(UNVALIDATED_IMAGES)

    def evaluation_due(self, epoch: int) -> bool:
        """Whether an epoch, counted from 1, ends with an evaluation."""
        last = epoch >= self.options.epochs or out_of_patience(self.state, self.options)
        return last or epoch % self.options.evaluate_every_epochs == 0

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return over(self.state, self.options, self.steps_per_epoch)


def over(state: TrainState, options: Options, steps_per_epoch: int) -> bool:
    """Whether all epochs are done, or early stopping ends training. An epoch that has begun is always completed."""
    epochs, steps_begun = divmod(state.step, steps_per_epoch)
    return steps_begun == 0 and (out_of_patience(state, options) or epochs >= options.epochs)


def out_of_patience(state: TrainState, options: Options) -> bool:
    """Whether `early_stopping_epochs` epochs have passed without a better ELBO."""
    patience = options.early_stopping_epochs
    return patience is not None and state.epochs_without_better >= patience


def fit(training: Training) -> bool:
    """Train to the end.

    Returns:
        False if a signal stopped training before the end. The state is saved, and can be resumed bit for bit.

    Raises:
        NonFiniteError: the loss or a parameter is not finite. The last checkpoint is from before.
    """
    training.tracker.expect(training.state.logged_lines)
    while not training.finished:
        if not train_epoch(training):
            save_checkpoint(training)
            return False
        try:
            end_epoch(training)
        except StopNow:
            # The evaluation is lost. The resumed run repeats the last step, and then evaluates.
            training.state.load_state_dict(training.before_last_step)
            training.tracker.flush()
            write_state(training.directory, training.before_last_step)
            return False
    return True


def train_epoch(training: Training) -> bool:
    """Train on every training image once, in an order that depends on the seed and the epoch only.

    A resumed epoch continues after the steps that were made. Returns False if it was stopped before its end.
    """
    state, options, images = training.state, training.options, training.splits.train
    epoch, steps_done = divmod(state.step, training.steps_per_epoch)
    state.vae.train()
    order = epoch_order(len(images), options.seed, epoch).to(images.device)
    started = saved = time.perf_counter()
    for done, index in enumerate(order.split(options.batch_size)[steps_done:], steps_done + 1):
        if training.stop_asked():
            state.seconds += time.perf_counter() - started
            return False
        last = done == training.steps_per_epoch
        if last and training.evaluation_due(epoch + 1):
            state.logged_lines = training.tracker.lines
            training.before_last_step.update(copy.deepcopy(state.state_dict()))
        if done == 1:  # not before the loop: a run that is stopped here keeps the sums of the epoch before
            state.epoch_sums.zero_()
        x = images.batch(index, state.generator)
        numbers = train_step(state, x, training.objective, options)
        state.step += 1
        state.interval_sums += numbers.sums
        log_due = last or state.step % options.log_every_steps == 0
        save_due = not last and checkpoint_due(options, done, time.perf_counter() - saved)
        if log_due or save_due or x.device.type == "cpu":  # reading a value on an accelerator waits for the device
            refuse_non_finite(numbers, state.step)
        training.progress.advance()
        if log_due:
            elapsed = time.perf_counter() - started
            log_interval(training, numbers.logged, elapsed)
            started = time.perf_counter()
        if save_due:
            save_checkpoint(training)
            saved = time.perf_counter()
    return True


def train_step(
    state: TrainState, x: Float[Tensor, "batch channels height width"], objective: Objective, options: Options
) -> StepNumbers:
    """One step down the gradient of the loss."""
    state.optimizer.zero_grad()
    numbers = backpropagate(
        state.vae, x, objective, state.step, state.generator, bf16=options.bf16, terms_of_step=options.terms_of_step
    )
    if options.gradient_norm_limit is not None:
        clip_grad_norm_(state.vae.parameters(), options.gradient_norm_limit)
    for group in state.optimizer.param_groups:
        group["lr"] = options.learning_rate(state.step)
    state.optimizer.step()
    return numbers


def checkpoint_due(options: Options, steps: int, seconds: float) -> bool:
    """Whether to save within an epoch, after so many of its steps, or seconds after the last checkpoint."""
    by_steps = options.save_every_steps is not None and steps % options.save_every_steps == 0
    return by_steps or (options.save_every_seconds is not None and seconds >= options.save_every_seconds)


def end_epoch(training: Training) -> None:
    """Evaluate if it is due, log the numbers of the epoch, and save.

    Raises:
        StopNow: a signal came during the evaluation. Nothing was logged or saved.
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
    save_checkpoint(training, best=better)


def evaluate(training: Training, epoch: int) -> tuple[bool, dict[str, float]]:
    """Evaluate the model on the images `watched`, and log the numbers and, after some epochs, figures.

    Returns:
        Whether it is the best model so far, and its distortion, rate and ELBO in nats.

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
    better = update_best(training, numbers["elbo"], epoch)
    pictured = epoch in PICTURED_EPOCHS or training.finished
    if pictured:
        with training.interruptible():
            parts = monitoring.decompose(encoding)
            pictures = tracker.drawn(
                lambda: monitoring.draw_figures(
                    state.vae,
                    images,
                    encoding,
                    weight,
                    training.splits.preparation,
                    training.directory.name,
                    training.splits.label_names,
                )
            )
    # From here on a signal waits: an exception must not interrupt the writing of a file.
    monitoring.report_numbers(tracker, name, encoding, weight, state.step)
    if pictured:
        tracker.scalars({f"{name}/{part}": value for part, value in parts.items()}, state.step)
        monitoring.show_pictures(tracker, pictures, state.step)
    return better, numbers


def update_best(training: Training, elbo: float, epoch: int) -> bool:
    """Whether the model is the best so far by its validation ELBO. Without validation images the newest one is.

    No epoch counts while beta or a capacity warms up: a smaller beta has a better ELBO, but is not what was asked for.
    """
    state = training.state
    if state.step < schedules_end(training.objective):
        return False
    better = elbo > state.best_elbo or len(training.splits.validation) == 0
    if better:
        state.best_elbo, state.best_epoch = elbo, epoch
    state.epochs_without_better = 0 if better else epoch - state.best_epoch
    return better


def save_checkpoint(training: Training, *, best: bool = False) -> None:
    """Write a checkpoint after everything that was logged, so that a resumed run logs no step twice."""
    training.state.logged_lines = training.tracker.lines
    training.tracker.flush()
    write_state(training.directory, training.state.state_dict(), best=best)


def refuse_non_finite(numbers: StepNumbers, step: int) -> None:
    """Raise if the loss of a step is not finite.

    Raises:
        NonFiniteError: names the step and the terms.
    """
    if not math.isfinite(numbers.loss):
        raise NonFiniteError(
            f"the loss is {float(numbers.loss)} at step {step}: distortion {float(numbers.distortion.mean()):g}, "
            f"rate {float(numbers.rate.sum(1).mean()):g} nats. {REMEDY}"
        )


def log_interval(training: Training, logged: Mapping[str, Float[Tensor, ""]], elapsed: float) -> None:
    """Log the means since the last logged step, in nats per image, and what is known of the last step only.

    Args:
        training: the run.
        logged: what the objective passed to `terms.log` at the last step.
        elapsed: the seconds since the last logged step.
    """
    state = training.state
    interval = state.interval_sums.cpu().double()  # a copy
    state.interval_sums.zero_()
    state.epoch_sums += interval
    state.seconds += elapsed
    numbers = means(interval, training.loss_weight)
    scheduled = {name: schedule(state.step - 1) for name, schedule in schedules_of(training.objective).items()}
    own = {name: float(number) for name, number in logged.items()}
    gradients = [p.grad for p in state.vae.parameters() if p.grad is not None]
    training.tracker.scalars(
        {f"train/{name}": value for name, value in (own | scheduled | numbers).items()}
        | {
            "train/learning_rate": training.options.learning_rate(state.step - 1),
            "train/gradient_norm": float(get_total_norm(gradients)),
            "train/images_per_second": float(interval[0]) / elapsed,
        },
        state.step,
    )
    training.tracker.latents({"train_kl": interval[3:] / interval[0]}, state.step)
    training.progress.show(state.step, numbers)
