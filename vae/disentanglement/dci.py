"""DCI: disentanglement, completeness and informativeness, from how much each latent matters for each factor.

Eastwood & Williams (2018), "A Framework for the Quantitative Evaluation of Disentangled Representations"; boosted
trees as in Locatello et al. (2019).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from joblib import Parallel, delayed
from numpy.random import Generator

from vae.disentanglement.boosting import boost, quantised
from vae.disentanglement.codes import Codes

TINY = 1e-11  # added to importances, so that a latent without any has an even share of nothing


@dataclass(frozen=True)
class DCI:
    """All in [0, 1]; `informativeness` is accuracy on fresh images, `importance` of each latent for each factor."""

    disentanglement: float
    completeness: float
    informativeness: float
    train_informativeness: float
    importance: Float[np.ndarray, "latents factors"]


def dci(codes: Codes, train: int, test: int, generator: Generator, workers: int = 1, trees: int = 100) -> DCI:
    """The three scores. The slowest metric: a tree for every level of every factor, `trees` times.

    Args:
        codes: of all images.
        train: images to fit on.
        test: fresh images.
        generator: of the draws.
        workers: threads.
        trees: for each level.
    """
    x, y = codes.draw(train, generator)
    fresh, answers = codes.draw(test, generator)

    bins, fresh_bins = quantised(x, fresh)

    def fit(factor: int) -> tuple[Float[np.ndarray, " latents"], float, float]:
        labels, right = y[:, factor], answers[:, factor]
        if len(np.unique(labels)) < 2:  # among few draws: nothing to learn
            return np.zeros(codes.latents), 1.0, float((right == labels[0]).mean())
        model = boost(bins, labels, fresh_bins, trees)
        return model.importance, float((model.classes == labels).mean()), float((model.fresh_classes == right).mean())

    most_levels_first = sorted(range(y.shape[1]), key=lambda k: -codes.factors.sizes[k])
    found = Parallel(n_jobs=workers, backend="threading")(delayed(fit)(k) for k in most_levels_first)
    by_factor = [found[most_levels_first.index(k)] for k in range(y.shape[1])]
    importance = np.stack([row[0] for row in by_factor], axis=1)
    return DCI(
        disentanglement=disentanglement(importance),
        completeness=disentanglement(importance.T),  # the same of the other axis
        informativeness=float(np.mean([row[2] for row in by_factor])),
        train_informativeness=float(np.mean([row[1] for row in by_factor])),
        importance=importance,
    )


def disentanglement(importance: Float[np.ndarray, "rows columns"]) -> float:
    """The mean over rows, weighted by their importance, of 1 - H(row) / ln(columns); 0 if nothing is important.

    Example:
        >>> round(disentanglement(np.eye(3)), 6), disentanglement(np.zeros((3, 3)))
        (1.0, 0.0)
    """
    if importance.sum() == 0:
        return 0.0
    if importance.shape[1] == 1:
        return 1.0  # there is nothing to mix
    p = importance + TINY
    p = p / p.sum(axis=1, keepdims=True)
    certainty = 1 + (p * np.log(p)).sum(axis=1) / np.log(importance.shape[1])
    weight = importance.sum(axis=1) / importance.sum()
    return float(np.clip(certainty, 0, 1) @ weight)
