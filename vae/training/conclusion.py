"""The end of a run: what it is tested to be, and in which order that reaches TensorBoard and `summary.json`."""

import io
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vae.config import Config, flat
from vae.config.options import FREE, OPTIONS
from vae.data.factors import Factors
from vae.measures.evaluation import encode_posteriors, final_numbers
from vae.objectives import normalised_beta
from vae.run.files import relative_to_cwd, write_atomically, write_json
from vae.run.names import CODES, SUMMARY
from vae.run.signals import StopRequest
from vae.training.loop import Training
from vae.training.monitoring import prepare_end, show_end
from vae.training.state import TrainState, means

log = logging.getLogger(__name__)

CODED_IMAGES = 1_000
NAMED = 5  # of the factors that are left out


def conclude(config: Config, training: Training, stop: StopRequest) -> None:
    """Test the model, write the HParams row and then `summary.json`, and say where to look.

    Raises:
        StopNow: a signal came before there was anything to write.
    """
    state, directory = training.state, training.directory
    found: dict[str, Any] | None = None
    with stop.at_once():
        weight = training.loss_weight
        test = final_numbers(state.vae, training.splits.test, training.splits.train.mean(), weight)
        if config.disentanglement and training.splits.train.factors is not None:
            for line in scoring_lines(training.splits.train.factors, state.vae.latent_dim):
                log.info(line)
            from vae.disentanglement import disentanglement_numbers  # scikit-learn takes seconds to import

            found = disentanglement_numbers(state.vae, training.splits.train)
        end = prepare_end(training.tracker, state.vae, training.watched[1], found, test["rate_per_latent"])
        codes = encode_posteriors(state.vae, training.splits.test.first(CODED_IMAGES))
    unfinished = training.unfinished(state.step)
    summary = {
        "status": "done",
        "objective": objective_name(config),
        "beta": config.beta,
        "normalised_beta": normalised_beta(config.beta, state.vae.latent_dim, math.prod(training.splits.train.shape)),
        "seed": config.seed,
        "asked": asked(config),
        "conditions": conditions(config),
        "unfinished": {name: asdict(schedule) for name, schedule in unfinished.items()},
        "loss_change_per_epoch": loss_change(training),
        "epochs": state.step // training.steps_per_epoch,
        "steps": state.step,
        "seconds": state.seconds,
        "images_per_second": state.step * len(training.splits.train) / training.steps_per_epoch / state.seconds,
        "parameters": parameters(state),
        "best": {
            "epoch": state.best_epoch or None,  # none where beta, or a capacity, was still warming up at the end
            f"{training.watched[0]}_elbo": state.best_elbo if state.best_epoch else None,
        },
        "train": means(state.epoch_sums, weight),
        "test": test,
    }
    bound = test["importance_weighted_bound"]
    scalars = {f"test/{name}": value for name, value in test.items() if isinstance(value, float)}
    scalars["test/importance_weighted_bound"] = bound["bound"]
    scalars["test/importance_weighted_rise_from_half"] = bound["rise_from_half"]
    scores: dict[str, float] = {}
    if found is not None:
        summary["disentanglement"], scores = found, found["numbers"]
        scalars |= {f"disentanglement/{name}": value for name, value in scores.items()}
    write_codes(directory, *codes)
    training.tracker.begin_conclusion(state.step)
    show_end(training.tracker, end, state.step)
    training.tracker.scalars(scalars, state.step)
    training.tracker.hyperparameters(hyperparameters(config), scalars, state.step)
    training.tracker.flush()
    write_json(directory / SUMMARY, summary)  # last: a run that is done lacks nothing
    latents = state.vae.latent_dim
    for line in (
        f"test   ELBO {test['elbo']:.2f} = -(distortion {test['distortion']:.2f} + rate {test['rate']:.2f}) nats "
        f"per image; loss {test['loss']:.2f} = distortion + {weight:.4g} * rate",
        f"       {test['active_units']:.0f} of {latents} latents active; ln p(x) >= {bound['bound']:.2f} "
        f"({bound['samples']} samples, {bound['images']} images; still rose by {bound['rise_from_half']:.2f} "
        f"from {bound['samples'] // 2} samples)",
        *([f"scores {scores_line(scores)}"] if scores else []),
        f"time   {state.seconds:.0f} s of training, {summary['images_per_second']:,.0f} images a second",
        f"run    {relative_to_cwd(directory)}",
        f"look   tensorboard --logdir {relative_to_cwd(directory.parent)}",
    ):
        log.info(line)
    for name, schedule in unfinished.items():
        log.warning(f"warning: {schedule.described(name)}")


def conditions(config: Config) -> dict[str, str | float]:
    """What runs must share to be compared by beta, by dotted key, besides how long they were `asked` to train.

    Every value but beta, the seed, and those that say where and how fast things are done and not what is computed.
    """
    free = FREE | {"beta", "seed", "evaluate_every_epochs"}
    return {k: v for k, v in hyperparameters(config).items() if k not in free and k.partition(".")[0] not in free}


def loss_change(training: Training) -> float | None:
    """How the loss of the watched images still moved at the end, in nats an epoch; None if it was measured once.

    From the last evaluation but one to the last, both with the weight of the rate at the last step.
    """
    name, weight = training.watched[0], training.loss_weight
    curves = training.tracker.history({f"{name}/distortion", f"{name}/rate"}.__contains__)
    distortion, rate = (curves.get(f"{name}/{term}", {}) for term in ("distortion", "rate"))
    steps = sorted(distortion.keys() & rate.keys())[-2:]
    if len(steps) < 2:
        return None
    before, after = (distortion[step] + weight * rate[step] for step in steps)
    return (after - before) * training.steps_per_epoch / (steps[1] - steps[0])


def asked(config: Config) -> dict[str, int | None]:
    """How long to train, which is no mathematics: a sweep is done if its members were asked for this, or for more."""
    return {"epochs": config.epochs, "early_stopping_epochs": config.early_stopping_epochs}


def write_codes(directory: Path, mean: Float[Tensor, "images latent"], logvar: Float[Tensor, "images latent"]) -> None:
    """Leave the posteriors of the first test images, by which a sweep compares the models of its seeds."""
    content = io.BytesIO()
    np.savez(content, mean=mean.numpy(), logvar=logvar.numpy())
    write_atomically(directory / CODES, content.getvalue())


def scoring_lines(factors: Factors, latents: int) -> list[str]:
    """What is about to be scored and how long that takes; and which factors cannot be, with the reason."""
    from vae.disentanglement import expected_seconds, too_many  # scikit-learn takes seconds to import

    left_out = too_many(factors)
    seconds = expected_seconds(factors, latents)
    duration = "less than a minute" if seconds < 45 else f"about {seconds / 60:.0f} min"
    names = [f"{name} ({why})" for name, why in list(left_out.items())[:NAMED]]
    more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    count = len(factors.names) - len(left_out)
    first = (
        f"scores of disentanglement: {count} factor{'' if count == 1 else 's'}, {duration} of a core; "
        "disentanglement=false leaves them out"
    )
    return [first, *([f"not scored but by sap_continuous: {', '.join(names)}{more}"] if left_out else [])]


def scores_line(scores: Mapping[str, float]) -> str:
    """The best known of the scores; of factors with too many levels alone, the one that they have."""
    names = {"mig": "MIG", "dci_disentanglement": "DCI", "factor_vae_score": "FactorVAE", "sap": "SAP"}
    known = {title: scores[name] for name, title in names.items() if name in scores}
    known = known or {"SAP, continuous": scores["sap_continuous"]}
    return ", ".join(f"{title} {value:.3f}" for title, value in known.items()) + " (of posterior means)"


def objective_name(config: Config) -> str:
    """What `objective=` was."""
    return next(name for name, kind in OPTIONS["objective"].items() if type(config.objective) is kind)


def parameters(state: TrainState) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in state.vae.parameters())


def hyperparameters(config: Config) -> dict[str, str | float]:
    """Every value of the configuration by its dotted key, as the HParams table takes them: numbers and texts."""
    return {
        key: value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        for key, value in flat(config).items()
    }
