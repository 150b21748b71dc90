"""DCI: disentanglement, completeness and informativeness, from the importance of each latent for each factor.

Eastwood & Williams (2018), "A Framework for the Quantitative Evaluation of Disentangled Representations"; boosted
trees as in Locatello et al. (2019). `vae.disentanglement.boosting` fits the trees that scikit-learn would.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from joblib import Parallel, delayed
from numpy.random import Generator

from vae.disentanglement.boosting import boost
from vae.disentanglement.representation import Representation, Sizes

TINY = 1e-11  # added to importances, so that the logarithm of 0 is not taken


class DCI(NamedTuple):
    """Three scores in [0, 1], and the importance of each latent for each factor."""

    disentanglement: float
    completeness: float
    informativeness: float  # accuracy on new images
    importance: Float[np.ndarray, "latents factors"]


def dci(representation: Representation, sizes: Sizes, generator: Generator, workers: int = 1) -> DCI:
    """The three scores. This is the slowest metric: it fits `sizes.trees` trees for every level of every factor."""
    x, y = representation.draw(sizes.train, generator)
    x_test, y_test = representation.draw(sizes.test, generator)

    def fit(k: int) -> tuple[Float[np.ndarray, " latents"], float]:
        if len(np.unique(y[:, k])) < 2:  # possible with few draws
            return np.zeros(representation.latents), float((y_test[:, k] == y[0, k]).mean())
        importance, predicted = boost(x, y[:, k], x_test, sizes.trees)
        return importance, float((predicted == y_test[:, k]).mean())

    slowest_first = np.argsort(representation.factors.sizes)[::-1].tolist()
    found = Parallel(n_jobs=workers, backend="threading")(delayed(fit)(k) for k in slowest_first)
    importance = np.stack([found[slowest_first.index(k)][0] for k in range(y.shape[1])], axis=1)
    return DCI(
        disentanglement=disentanglement(importance),
        completeness=disentanglement(importance.T),  # the same along the other axis
        informativeness=float(np.mean([accuracy for _, accuracy in found])),
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
        return 1.0  # with one column no row can mix two
    p = importance + TINY
    p = p / p.sum(axis=1, keepdims=True)
    certainty = 1 + (p * np.log(p)).sum(axis=1) / np.log(importance.shape[1])
    weight = importance.sum(axis=1) / importance.sum()
    return float(np.clip(certainty, 0, 1) @ weight)
