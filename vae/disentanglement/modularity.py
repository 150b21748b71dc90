"""Modularity (a latent tells one factor) and explicitness (a linear read-out of all latents tells each factor).

Ridgeway & Mozer (2018), "Learning Deep Disentangled Embeddings with the F-Statistic Loss"; details as in Locatello et
al. (2019).

Codes that know nothing of the factors do not have a modularity of 0: by accident each tells a little more of one
factor than of the others. On a grid of 3 x 4 x 6 x 8 levels random codes have .73. Compare with the modularity of the
codes of other images, `modularity_baseline`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from vae.disentanglement.codes import Codes
from vae.disentanglement.discretise import information_matrix, ratio, varies
from vae.disentanglement.linear import fitted, iteration_limits_are_no_news


@dataclass(frozen=True)
class ModularityExplicitness:
    """`modularity` in [0, 1]; `explicitness`, areas under the curve, chance 0.5, on fresh images."""

    modularity: float
    explicitness: float
    train_explicitness: float


def modularity_explicitness(codes: Codes, train: int, test: int, generator: Generator) -> ModularityExplicitness:
    """Both scores.

    Args:
        codes: of all images.
        train: images to estimate and fit on.
        test: fresh images.
        generator: of the draws.
    """
    x, y = codes.draw(train, generator)
    fresh, answers = codes.draw(test, generator)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(varies(x), scale, 1.0)  # a dead latent stays 0
    x_scaled, fresh_scaled = (x - centre) / scale, (fresh - centre) / scale
    areas = np.array([explicitness(x_scaled, y[:, k], fresh_scaled, answers[:, k]) for k in range(y.shape[1])]).mean(
        axis=0
    )
    return ModularityExplicitness(modularity(information_matrix(x, y)), float(areas[1]), float(areas[0]))


def modularity(information: Float[np.ndarray, "latents factors"]) -> float:
    """The mean over latents of 1 - (sum of the squares of all but the best) / ((factors - 1) best^2); dead ones 0."""
    squares = information**2
    best = squares.max(axis=1)
    others = squares.sum(axis=1) - best
    deviation = ratio(others, best * max(1, squares.shape[1] - 1))
    return float(np.where(best > 0, 1 - deviation, 0.0).mean())


def explicitness(
    x: Float[np.ndarray, "images latents"],
    y: Int[np.ndarray, " images"],
    fresh: Float[np.ndarray, "test latents"],
    answers: Int[np.ndarray, " test"],
) -> tuple[float, float]:
    """The mean over levels of the area under the curve, on both sets. A level that one set lacks is left out there."""
    with iteration_limits_are_no_news():
        classifier = fitted(LogisticRegression(max_iter=1000), x, y)
    return one_against_rest(classifier, x, y), one_against_rest(classifier, fresh, answers)


def one_against_rest(classifier: Any, x: Float[np.ndarray, "images latents"], y: Int[np.ndarray, " images"]) -> float:
    """The mean area under the curve of the levels that some, and not all, of these images have; 0.5 without any."""
    probabilities = classifier.predict_proba(x)
    areas = [
        roc_auc_score(y == level, probabilities[:, column])
        for column, level in enumerate(classifier.classes_)
        if 0 < (y == level).sum() < len(y)
    ]
    return float(np.mean(areas)) if areas else 0.5
