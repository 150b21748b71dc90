"""The β-VAE score: can a linear classifier tell which factor pairs of images share?

Higgins et al. (2017), "beta-VAE", Section 3; sizes as in Locatello et al. (2019). It is weak: a model without
disentangled latents can pass it. Report it, rank by others.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression

from vae.disentanglement.codes import Codes
from vae.disentanglement.linear import fitted, iteration_limits_are_no_news

CHUNK_POINTS = 1_000


@dataclass(frozen=True)
class BetaVAEScore:
    """Accuracies; chance is 1 / factors."""

    score: float
    train_score: float


def beta_vae_score(codes: Codes, train: int, test: int, batch: int, generator: Generator) -> BetaVAEScore:
    """The accuracy of a logistic regression on fresh points.

    Args:
        codes: of all images.
        train: points to fit on.
        test: fresh points.
        batch: pairs that are averaged into a point.
        generator: of the draws.
    """
    features, held = points(codes, train, batch, generator)
    with iteration_limits_are_no_news():
        classifier = fitted(LogisticRegression(max_iter=1000), features, held)
    return BetaVAEScore(
        score=float(classifier.score(*points(codes, test, batch, generator))),
        train_score=float(classifier.score(features, held)),
    )


def points(
    codes: Codes, count: int, batch: int, generator: Generator
) -> tuple[Float[np.ndarray, "points latents"], Int[np.ndarray, " points"]]:
    """Mean absolute differences of pairs that share a factor, and which."""
    held = generator.integers(len(codes.factors.names), size=count)
    features = np.empty((count, codes.latents))
    for factor in range(len(codes.factors.names)):
        for chunk in np.array_split(np.flatnonzero(held == factor), -(-count // CHUNK_POINTS)):
            one = codes.factors.draw(len(chunk) * batch, generator).reshape(len(chunk), batch)
            other = codes.factors.partners(one, factor, generator)
            features[chunk] = np.abs(codes.values[one] - codes.values[other]).mean(axis=1)
    return features, held
