"""The β-VAE score: the accuracy of a linear classifier that tells which factor pairs of images share.

Higgins et al. (2017), "beta-VAE", Section 3; sample sizes as in Locatello et al. (2019). It is a weak score: a model
without disentangled latents can reach 1. Report it, but do not rank models by it.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression

from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.representation import Representation, Sizes

POINTS_AT_ONCE = 1_000


def beta_vae_score(representation: Representation, sizes: Sizes, generator: Generator) -> float:
    """The accuracy of a logistic regression on new points; chance is 1 / factors."""
    points = pair_differences(representation, sizes.train, sizes.batch, generator)
    with ignore_iteration_limits():
        classifier = fitted(LogisticRegression(max_iter=1000), *points)
    return float(classifier.score(*pair_differences(representation, sizes.test, sizes.batch, generator)))


def pair_differences(
    representation: Representation, count: int, batch: int, generator: Generator
) -> tuple[Float[np.ndarray, "points latents"], Int[np.ndarray, " points"]]:
    """Points to classify, and the factor of each: mean absolute differences of `batch` pairs that share it."""
    codes, factors = representation.codes, representation.factors
    fixed = generator.integers(len(factors.names), size=count)
    features = np.empty((count, representation.latents))
    for factor in range(len(factors.names)):
        for chunk in np.array_split(np.flatnonzero(fixed == factor), -(-count // POINTS_AT_ONCE)):
            one = factors.draw(len(chunk) * batch, generator).reshape(len(chunk), batch)
            other = factors.partners(one, factor, generator)
            features[chunk] = np.abs(codes[one] - codes[other]).mean(axis=1)
    return features, fixed
