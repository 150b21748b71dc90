"""A beta chosen by the theory of the linear β-VAE, from words of the command line and their data alone."""

import math
from collections.abc import Sequence

from vae.app.command_line import compose_members
from vae.app.invocation import UsageError, configs_directory
from vae.app.linear import refuse_unpredictable, spectrum_of_data
from vae.config import ConfigError, GaussianConfig
from vae.measures.linear_budget import beta_for_active, beta_for_distortion, beta_for_rate
from vae.measures.linear_vae import LinearPrediction, Spectrum, learned_variance, predict_linear
from vae.report.choice import Aim, Choice, Goal, Row
from vae.report.statistics import Estimate

LARGEST_BETA = 1e6  # of a configuration
SMALLEST_BETA = 1e-9
AROUND = (0.5, 2.0)  # times the chosen beta: further rows of the evidence


def linear_choice(words: Sequence[str], aim: Aim) -> Choice:
    """The beta of a linear model with these data and this likelihood.

    Args:
        words: as after `python train.py`, without beta.
        aim: what it is for.

    Raises:
        UsageError: the words or the aim are not of a linear model.
        ConfigError: a word is wrong, the theory does not apply, or no beta does that.
        DataError: the images cannot be read.
    """
    if aim.goal not in (Goal.rate, Goal.distortion, Goal.active):
        raise UsageError(f"--{aim.goal} needs trained runs, the linear theory knows --rate, --distortion and --active")
    if given := [word for word in words if word.split("=")[0] in ("beta", "beta_warmup_steps", "resume", "sweep")]:
        raise UsageError(f"the words must leave out what is chosen or what names runs, got {given[0]}")
    if options := [word for word in words if word.startswith("-")]:
        raise UsageError(f"the words must be key=value, got {options[0]}")
    members = compose_members(words, configs_directory())
    if len(members) > 1:
        raise UsageError(f"a choice is for one run, got the words of {len(members)}. Leave the commas out")
    (config,) = members
    refuse_unpredictable(config)
    likelihood, latents = config.likelihood, config.model.latent_dim
    assert isinstance(likelihood, GaussianConfig)
    _, spectrum = spectrum_of_data(members)
    try:
        if not likelihood.learned:
            return chosen(spectrum, aim, latents, likelihood.variance)
        found = chosen(spectrum, aim, latents, None)
        low, high = math.exp(config.logvar_min), math.exp(config.logvar_max)
        variance = learned_variance(spectrum, found.beta, latents)
        bounded = min(max(variance, low), high)
        return found if bounded == variance else chosen(spectrum, aim, latents, bounded)
    except ValueError as error:
        raise ConfigError(f"{aim.words} is not to be had by a linear model: {error}") from None


def chosen(spectrum: Spectrum, aim: Aim, latents: int, variance: float | None) -> Choice:
    """The choice for data of this spectrum.

    Args:
        spectrum: of the data.
        aim: of a budget.
        latents: the number of latents.
        variance: of the likelihood; None if it is learned.

    Raises:
        ValueError: no beta from `SMALLEST_BETA` to `LARGEST_BETA` is within the budget.
    """
    match aim.goal:
        case Goal.rate:
            beta = beta_for_rate(spectrum, aim.budget, latents, variance)
        case Goal.distortion:
            beta = beta_for_distortion(spectrum, aim.budget, latents, variance)
        case _:
            beta = beta_for_active(spectrum, int(aim.budget), latents, variance)
    if not SMALLEST_BETA <= beta <= LARGEST_BETA:
        raise ValueError(f"beta must be from {SMALLEST_BETA:g} to {LARGEST_BETA:g}, it would be {beta:.4g}")
    here = row_of(predict_linear(spectrum, beta, latents, variance), "chosen")
    rows = [here]
    for factor in AROUND:
        try:
            rows.append(row_of(predict_linear(spectrum, beta * factor, latents, variance)))
        except ValueError:  # at a small beta a learned variance may fall to 0
            continue
    expected = {name: [value] for name, value in here.numbers.items()}
    cautions = [
        f"this is a prediction for a linear model, from {spectrum.source} of the training. A network may reach less "
        "distortion at the same rate, if the data are not Gaussian. Train it and compare"
    ]
    if aim.goal is not Goal.active and here.numbers["rate"].mean <= 1e-12:
        cautions.append("all latents are collapsed at this beta")
    return Choice(beta, "", "linear theory", expected, sorted(rows, key=lambda row: row.beta), cautions)


def row_of(predicted: LinearPrediction, mark: str = "") -> Row:
    """The numbers of a prediction. An active latent of rate 0 up to rounding is at its threshold, and not counted."""
    active = sum(rate > 1e-9 for rate in predicted.rates.tolist())
    numbers = {"distortion": predicted.distortion, "rate": predicted.rate, "active_units": float(active)}
    assert all(map(math.isfinite, numbers.values()))
    found = {name: Estimate(value, None) for name, value in numbers.items()}
    return Row(f"beta={predicted.beta:.4g}", predicted.beta, found, mark=mark)
