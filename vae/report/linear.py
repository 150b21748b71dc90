"""Runs with a Gaussian likelihood beside the linear theory, as far as their summaries hold its prediction."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae.report.members import Member
from vae.report.statistics import series_over_beta
from vae.report.tables import Table

FINENESS = 200  # points of a curve
NEEDED = ("beta", "variance", "variance_learned", "loss", "active", "rates", "trained_rates", "spectrum")
OF_SPECTRUM = ("eigenvalues", "trace", "dimensions")


class RatesOverBeta(NamedTuple):
    """What the figure of a sweep over beta shows.

    Attributes:
        predicted: for each latent, the betas at which it is active, rising, and its rates in nats.
        trained: for each run, its beta and the rates of its latents in the last epoch, falling.
    """

    predicted: Sequence[tuple[Sequence[float], Sequence[float]]]
    trained: Sequence[tuple[float, Sequence[float]]]


def prediction_of(member: Member) -> Mapping[str, Any] | None:
    """The prediction in the summary of a run; None if it has none, or not all of it."""
    found = member.summary.get("linear", {})
    if not all(key in found for key in NEEDED) or not all(key in found["spectrum"] for key in OF_SPECTRUM):
        return None
    enough = len(found["spectrum"]["eigenvalues"]) == min(len(found["rates"]), found["spectrum"]["dimensions"])
    return found if enough and found["beta"] > 0 and found["variance"] > 0 else None


def rates_over_beta(grouped: Mapping[str, Sequence[Member]]) -> list[RatesOverBeta]:
    """For each series of settings that differ in beta only, and have two beta or more: curves and dots."""
    found = []
    for together in series_over_beta(grouped):
        predictions = [p for s in together for m in grouped[s] if (p := prediction_of(m)) is not None]
        if len({p["beta"] for p in predictions}) > 1 and all(same_theory(p, predictions[0]) for p in predictions):
            trained = [(float(p["beta"]), list(map(float, p["trained_rates"]))) for p in predictions]
            found.append(RatesOverBeta(curves(predictions), trained))
    return found


def same_theory(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two predictions differ in beta only, and in what follows from it."""
    fixed = [p["variance"] for p in (one, other) if not p["variance_learned"]]
    return one["spectrum"] == other["spectrum"] and len(one["rates"]) == len(other["rates"]) and len(set(fixed)) < 2


def curves(predictions: Sequence[Mapping[str, Any]]) -> list[tuple[list[float], list[float]]]:
    """The predicted rate of each latent from the least beta of the runs on, until it is inactive."""
    import torch  # takes a second to load, and a report without such runs does not need it

    from vae.measures.linear_vae import Spectrum, collapse_thresholds, predict_linear

    first, of_spectrum = predictions[0], predictions[0]["spectrum"]
    eigenvalues = torch.tensor(of_spectrum["eigenvalues"], dtype=torch.float64)
    spectrum = Spectrum(eigenvalues, float(of_spectrum["trace"]), of_spectrum["dimensions"])
    latents, variance = len(first["rates"]), None if first["variance_learned"] else float(first["variance"])
    ends = collapse_thresholds(spectrum, latents, variance).tolist()
    betas = [p["beta"] for p in predictions]
    grid = np.geomspace(min(betas) / 1.15, max(*betas, 1.05 * ends[0]), FINENESS).tolist()
    found: list[tuple[list[float], list[float]]] = [([], []) for _ in range(latents)]
    for beta in sorted({*grid, *(end for end in ends if end > grid[0])}):
        try:
            rates = predict_linear(spectrum, beta, latents, variance).rates.tolist()
        except ValueError:  # a learned variance falls to 0
            continue
        for (across, up), rate, end in zip(found, rates, ends, strict=True):
            if beta <= end:
                across.append(beta)
                up.append(0.0 if beta == end else rate)
    return found


def linear_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The loss of the last epoch beside the best of a linear model. None if no run has a prediction."""
    rows = []
    for setting, members in grouped.items():
        predictions = [p for m in members if (p := prediction_of(m)) is not None]
        losses = [m.summary["train"]["loss"] for m in members if "loss" in m.summary.get("train", {})]
        if len(predictions) == len(members) == len(losses):
            trained, best = (sum(values) / len(members) for values in (losses, [p["loss"] for p in predictions]))
            active = " or ".join(sorted({str(p["active"]) for p in predictions}))
            rows.append([setting, f"{trained:.2f}", f"{best:.2f}", f"{trained - best:+.2f}", active])
    if not rows:
        return None
    note = (
        "The loss is of the training images in the last epoch, while the weights still changed. The best of a linear "
        "model follows from their covariance (Lucas et al., 2019). On Gaussian data no network has a lower loss."
    )
    header = ["setting", "loss in training", "best of a linear model", "difference", "its active latents"]
    return Table(header, rows, [note])
