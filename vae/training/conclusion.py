"""The end of a run: the test of its model, and the order in which the results are written."""

import io
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vae.config import Config, flat, written
from vae.config.building import option_of
from vae.config.options import FREE, OPTIONS
from vae.config.preparation import TablePreparation
from vae.data.factors import Factors
from vae.data.images import ImageSet
from vae.disentanglement.names import DEPENDENCE, OF_CODES, OF_POSTERIORS, SAMPLED, SHUFFLED
from vae.disentanglement.own_metrics import Metric, own_numbers
from vae.measures.curve import rate_distortion_curve
from vae.measures.evaluation import encode_posteriors, final_numbers
from vae.model.gates import MultiRateVAE
from vae.model.heads import BernoulliHead
from vae.model.vae import count_parameters
from vae.objectives import controllers_of, normalised_beta
from vae.run.files import relative_to_cwd, remove, write_atomically, write_json
from vae.run.names import CODES, EXPLORER, SUMMARY
from vae.run.signals import StopRequest
from vae.run.summary import BEST_KNOWN_SCORES, asked, listed
from vae.training.explorer import drawn_explorer, write_explorer
from vae.training.loop import Training
from vae.training.monitoring import prepare_end, show_end
from vae.training.state import Sums, means

log = logging.getLogger(__name__)

CODED_IMAGES = 1_000


def conclude(
    config: Config,
    training: Training,
    stop: StopRequest,
    metrics: Sequence[Metric] = (),
    linear: Mapping[str, Any] | None = None,
) -> None:
    """Test the trained model, log the results, write `summary.json`, and print the results.

    Args:
        config: of the run.
        training: the run after its last step.
        stop: the signals.
        metrics: the user's own.
        linear: what the linear theory predicts, by `linear_numbers`. None if it does not apply.

    Raises:
        StopNow: a signal came before anything was written.
    """
    state, directory, train_images = training.state, training.directory, training.splits.train
    weight = training.loss_weight
    found: dict[str, Any] | None = None
    with stop.at_once():
        test = final_numbers(state.vae, training.splits.test, train_images.mean(), weight)
        if config.disentanglement and train_images.factors is not None:
            for line in scoring_lines(train_images.factors, state.vae.latent_dim):
                log.info(line)
            from vae.disentanglement.scores import disentanglement_numbers  # imports scikit-learn, which takes seconds

            found = disentanglement_numbers(state.vae, train_images)
        own = own_numbers(metrics, state.vae, train_images)
        rates, preparation = test["rate_per_latent"], training.splits.preparation
        curve = []
        if isinstance(state.vae, MultiRateVAE):
            curve = rate_distortion_curve(state.vae, training.splits.test, config.beta)
        end = prepare_end(training.tracker, state.vae, training.watched[1], found, rates, preparation, curve)
        coded = training.splits.test.first(CODED_IMAGES)
        codes = encode_posteriors(state.vae, coded)
        explorer = drawn_explorer(config, training, test, found) if config.tracking.explorer else None
    one = "row" if isinstance(training.splits.preparation, TablePreparation) else "image"
    unfinished = training.unfinished(state.step)
    train = means(state.epoch_sums, weight)
    summary = {
        "status": "done",
        "objective": option_of("objective", config.objective),
        "beta": config.beta,
        "normalised_beta": normalised_beta(config.beta, state.vae.latent_dim, math.prod(train_images.shape)),
        "seed": config.seed,
        "asked": asked(config),
        "conditions": conditions(config),
        "unfinished": {name: asdict(schedule) for name, schedule in unfinished.items()},
        "loss_change_per_epoch": loss_change(training),
        "epochs": state.step // training.steps_per_epoch,
        "steps": state.step,
        "seconds": state.seconds,
        "images_per_second": state.step * len(train_images) / training.steps_per_epoch / state.seconds,
        "parameters": count_parameters(state.vae),
        "best": {
            "epoch": state.best_epoch or None,  # none if a schedule of the objective has not ended
            f"{training.watched[0]}_elbo": state.best_elbo if state.best_epoch else None,
        },
        "train": train,
        "test": test,
        **({} if found is None else {"disentanglement": found}),
        **({"metrics": own} if own else {}),
        **({} if linear is None else {"linear": {**linear, "trained_rates": trained_rates(state.epoch_sums)}}),
        **({"curve": curve} if curve else {}),
    }
    scores: dict[str, float] = {} if found is None else found["numbers"]
    active = f"{test['active_units_by_rate']:.0f} of {state.vae.latent_dim} latents have a rate above 0.01 nats"
    bound, by_encoder = test["refitted_bound"], test["importance_weighted_bound"]
    grey = isinstance(state.vae.head, BernoulliHead) and not training.splits.test.is_binary  # a cross-entropy
    bounded = "importance-weighted ELBO" if grey else "ln p(x) >="
    scalars = {f"test/{name}": value for name, value in test.items() if isinstance(value, float)}
    scalars["test/refitted_bound"] = bound["bound"]
    scalars["test/refitted_rise_from_half"] = bound["rise_from_half"]
    scalars["test/importance_weighted_bound"] = by_encoder["bound"]
    scalars["test/importance_weighted_rise_from_half"] = by_encoder["rise_from_half"]
    scalars |= {f"disentanglement/{name}": value for name, value in scores.items()}
    scalars |= {f"metrics/{name}": value for name, value in own.items()}
    write_codes(directory, coded, training.splits.label_names, *codes)
    training.tracker.begin_conclusion(state.step)
    training.tracker.scalars(scalars, state.step)
    show_end(training.tracker, end, state.step)
    if scores:
        training.tracker.text("scores", f"{active}.\n\n{scores_text(scores)}", state.step)
    training.tracker.hyperparameters(hyperparameters(config), scalars, state.step)
    training.tracker.flush()
    if explorer is None:
        remove(directory / EXPLORER)  # a page of fewer epochs would show another model
    explored = [] if explorer is None else [write_explorer(training, explorer)]
    write_json(directory / SUMMARY, summary)  # last, so that a run with a summary is complete
    for line in (
        f"test   ELBO {test['elbo']:.2f} = -(distortion {test['distortion']:.2f} + rate {test['rate']:.2f}) nats "
        f"per {one}; loss {test['loss']:.2f} = distortion + {weight:.4g} * rate",
        f"       {test['active_units']:.0f} of {state.vae.latent_dim} latents active; {bounded} {bound['bound']:.2f} "
        f"({bound['samples']} samples of refitted posteriors, {bound['images']} {one}s; still rose by "
        f"{bound['rise_from_half']:.2f} from {bound['samples'] // 2} samples)",
        *([curve_line(curve)] if curve else []),
        *([f"scores {scores_line(scores)}", f"       {active}"] if scores else []),
        *([] if linear is None else [f"linear {against_linear(linear, train, test)}"]),
        *(["own    " + ", ".join(f"{name} {value:.4g}" for name, value in own.items())] if own else []),
        f"time   {state.seconds:.0f} s of training, {summary['images_per_second']:,.0f} {one}s a second",
        f"run    {relative_to_cwd(directory)}",
        f"look   tensorboard --logdir {relative_to_cwd(directory.parent)}",
        *explored,
    ):
        log.info(line)
    for controller in controllers_of(training.objective):
        if controller.is_at_limit:
            log.warning(
                f"warning: beta ended at its limit {float(controller.beta):.3g}, so the target of the objective was "
                "not reached. Choose one that the model can reach, or train longer"
            )
    for name, schedule in unfinished.items():
        log.warning(f"warning: {schedule.described(name)}")


def trained_rates(sums: Sums) -> list[float]:
    """The rate of each latent in nats, the highest first, from the sums over the images of the last epoch."""
    images, _, _, *rates = sums.tolist()
    return sorted((rate / images for rate in rates), reverse=True)


def against_linear(linear: Mapping[str, Any], train: Mapping[str, float], test: Mapping[str, Any]) -> str:
    """The loss of the last epoch beside that of the best linear model, which is of the same images."""
    gained = linear["loss"] - train["loss"]
    return (
        f"the last epoch's loss {train['loss']:.2f} is {abs(gained):.2f} {'below' if gained >= 0 else 'above'} "
        f"a linear model's best, {test['active_units_by_rate']:.0f} latents are above 0.01 nats, "
        f"predicted {linear['active']}"
    )


def curve_line(curve: Sequence[Mapping[str, float]]) -> str:
    """The points of the rate-distortion curve at whole betas."""
    points = [
        f"beta {point['beta']:g}: {point['distortion']:.2f} + {point['rate']:.2f}"
        for point in curve
        if float(point["beta"]).is_integer()
    ]
    return f"curve  distortion + rate at {', '.join(points)}; {len(curve)} betas in {SUMMARY}"


def conditions(config: Config) -> dict[str, str | float]:
    """The values that runs must share to be compared by beta, by dotted key, besides those of `asked`.

    These are the option of each group and all values, except beta, the seed, and those that do not change the numbers.
    """
    free = FREE | {"beta", "seed", "evaluate_every_epochs", "metrics"}
    values = {k: v for k, v in hyperparameters(config).items() if k not in free and k.partition(".")[0] not in free}
    return chosen_options(config) | values


def loss_change(training: Training) -> float | None:
    """The change of the loss between the last two evaluations, in nats per epoch; None after a single evaluation.

    Both losses have the weight of the rate at the last step.
    """
    name, weight = training.watched[0], training.loss_weight
    curves = training.tracker.history({f"{name}/distortion", f"{name}/rate"}.__contains__)
    distortion, rate = (curves.get(f"{name}/{term}", {}) for term in ("distortion", "rate"))
    steps = sorted(distortion.keys() & rate.keys())[-2:]
    if len(steps) < 2:
        return None
    before, after = (distortion[step] + weight * rate[step] for step in steps)
    return (after - before) * training.steps_per_epoch / (steps[1] - steps[0])


def write_codes(
    directory: Path,
    images: ImageSet,
    label_names: Sequence[str] | None,
    mean: Float[Tensor, "images latent"],
    logvar: Float[Tensor, "images latent"],
) -> None:
    """Write the posteriors of the first test images. The report of a sweep compares its seeds by them.

    Args:
        directory: of the run.
        images: these images, whose labels, and files if they are known, are written, too.
        label_names: the name of each label, where labels have names.
        mean: of each posterior.
        logvar: of each posterior.
    """
    more = {"files": images.names, "label_names": label_names}
    arrays: dict[str, Any] = {name: np.array(words) for name, words in more.items() if words is not None}
    content = io.BytesIO()
    np.savez(content, mean=mean.numpy(), logvar=logvar.numpy(), labels=images.labels.cpu().numpy(), **arrays)
    write_atomically(directory / CODES, content.getvalue())


def scoring_lines(factors: Factors, latents: int) -> list[str]:
    """Lines for the log: how long the scores take, and the factors that are binned or left out, with the reason."""
    from vae.disentanglement.binning import binned
    from vae.disentanglement.scores import expected_seconds  # imports scikit-learn, which takes seconds

    found = binned(factors)
    seconds = expected_seconds(factors, latents)
    duration = "less than a minute" if seconds < 45 else f"about {seconds / 60:.0f} min"
    count = len(found.factors.names)
    first = (
        f"scores of disentanglement: {count} factor{'' if count == 1 else 's'}, {duration} of a core; "
        "disentanglement=false leaves them out"
    )
    treated = {"binned for the scores": found.binned, "not scored": found.left_out}
    return [first, *(f"{how}: {listed(why)}" for how, why in treated.items() if why)]


def scores_line(scores: Mapping[str, float]) -> str:
    """The best-known scores, each with its value for shuffled codes. There are none if every factor is left out."""
    known = {title: name for name, title in BEST_KNOWN_SCORES.items() if name in scores}
    values = [f"{title} {scores[name]:.3f} (chance {scores[name + SHUFFLED]:.3f})" for title, name in known.items()]
    return f"{', '.join(values) or 'none, for want of factors'}, of posterior means"


def scores_text(scores: Mapping[str, float]) -> str:
    """All scores as a table in Markdown: of posterior means, of samples, and of shuffled means."""
    columns = {"posterior means": "", "samples": SAMPLED, "shuffled means: chance": SHUFFLED}
    lines = [f"| score | {' | '.join(columns)} |", "|---" + "|---:" * len(columns) + "|"]
    for name in (*OF_CODES, *OF_POSTERIORS, *DEPENDENCE):
        found = [scores.get(name + ending) for ending in columns.values()]
        if any(value is not None for value in found):
            lines.append(f"| {name} | {' | '.join('' if value is None else f'{value:.3f}' for value in found)} |")
    return "\n".join(lines)


def chosen_options(config: Config) -> dict[str, str]:
    """The option of each group, as in `{"model": "mlp"}`. Of several with the same type, it is the first."""
    return {group: option_of(group, getattr(config, group)) for group in OPTIONS}


def hyperparameters(config: Config) -> dict[str, str | float]:
    """Every value of the configuration by its dotted key, as a number or as it is typed, for the HParams table."""
    return {
        key: value if isinstance(value, int | float) and not isinstance(value, bool) else written(value)
        for key, value in flat(config).items()
    }
