"""Modularity: each latent describes one factor. Explicitness: a linear classifier reads each factor from all latents.

Ridgeway & Mozer (2018), "Learning Deep Disentangled Embeddings with the F-Statistic Loss"; details as in Locatello et
al. (2019).

Codes without any information do not have a modularity of 0: by chance each latent describes one factor a little better
than the others. On a grid of 3 x 4 x 6 x 8 levels random codes have .73. So `modularity_baseline` is the modularity of
the same codes, permuted over the images.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.discretise import information_matrix
from vae.disentanglement.representation import Representation, ratio


class ModularityExplicitness(NamedTuple):
    """`modularity` in [0, 1]; `explicitness`, an area under the ROC curve, for which chance is 0.5."""

    modularity: float
    explicitness: float


def modularity_explicitness(
    representation: Representation, train: int, test: int, generator: Generator
) -> ModularityExplicitness:
    """Both scores.

    Args:
        representation: of all images.
        train: images to estimate and fit on.
        test: new images.
        generator: of the draws.
    """
    x, y = representation.draw(train, generator)
    x_test, y_test = representation.draw(test, generator)
    centre, scale = x.mean(axis=0), np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)  # a dead latent stays 0
    areas = []
    with ignore_iteration_limits():
        for k in range(y.shape[1]):
            classifier = fitted(LogisticRegression(max_iter=1000), (x - centre) / scale, y[:, k])
            areas.append(area_under_curve(classifier, (x_test - centre) / scale, y_test[:, k]))
    return ModularityExplicitness(modularity(information_matrix(x, y)), float(np.mean(areas)))


def modularity(information: Float[np.ndarray, "latents factors"]) -> float:
    """The mean over latents of 1 - (sum of the squares of all but the best) / ((factors - 1) best^2); dead ones 0."""
    squares = information**2
    best = squares.max(axis=1)
    others = squares.sum(axis=1) - best
    deviation = ratio(others, best * max(1, squares.shape[1] - 1))
    return float(np.where(best > 0, 1 - deviation, 0.0).mean())


def area_under_curve(classifier: Any, x: Float[np.ndarray, "images latents"], y: Int[np.ndarray, " images"]) -> float:
    """The mean area of one level against the rest, over the levels that some, but not all, images have; else 0.5."""
    probabilities = classifier.predict_proba(x)
    areas = [
        roc_auc_score(y == level, probabilities[:, column])
        for column, level in enumerate(classifier.classes_)
        if 0 < (y == level).sum() < len(y)
    ]
    return float(np.mean(areas)) if areas else 0.5
