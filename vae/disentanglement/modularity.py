"""Modularity: does each latent describe one factor? Explicitness: can a linear classifier tell each factor?

Ridgeway & Mozer (2018), "Learning Deep Disentangled Embeddings with the F-Statistic Loss"; details as in Locatello et
al. (2019).

Codes without any information do not have a modularity of 0: by chance each latent describes one factor a little better
than the others. Compare it with `modularity_shuffled`.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.representation import Representation, Sizes, information_matrix, ratio


def modularity_explicitness(representation: Representation, sizes: Sizes, generator: Generator) -> dict[str, float]:
    """`modularity` in [0, 1], and `explicitness`, an area under the ROC curve, for which chance is 0.5."""
    x, y = representation.draw(sizes.train, generator)
    x_test, y_test = representation.draw(sizes.test, generator)
    scaler = StandardScaler().fit(x)
    areas = []
    with ignore_iteration_limits():
        for k in range(y.shape[1]):
            classifier = fitted(LogisticRegression(max_iter=1000), scaler.transform(x), y[:, k])
            areas.append(area_under_curve(classifier, scaler.transform(x_test), y_test[:, k]))
    return {"modularity": modularity(information_matrix(x, y)), "explicitness": float(np.mean(areas))}


def modularity(information: Float[np.ndarray, "latents factors"]) -> float:
    """The mean over latents of 1 - (sum of the squares of all but the best) / ((factors - 1) best^2).

    A latent without any information counts as 0.
    """
    squares = information**2
    best = squares.max(axis=1)
    others = squares.sum(axis=1) - best
    deviation = ratio(others, best * max(1, squares.shape[1] - 1))
    return float(np.where(best > 0, 1 - deviation, 0.0).mean())


def area_under_curve(classifier: Any, x: Float[np.ndarray, "images latents"], y: Int[np.ndarray, " images"]) -> float:
    """The mean area of one level against the rest, over the levels that some, but not all, images have; else 0.5."""
    ranks = rankdata(classifier.predict_proba(x), axis=0)
    areas = []
    for column, level in enumerate(classifier.classes_):
        same = y == level
        ones, others = same.sum(), (~same).sum()
        if ones and others:  # Mann and Whitney's statistic
            areas.append((ranks[same, column].sum() - ones * (ones + 1) / 2) / (ones * others))
    return float(np.mean(areas)) if areas else 0.5
