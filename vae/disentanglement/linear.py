"""Classifiers that cope with what a bad representation gives them."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning


def fitted(classifier: Any, features: Float[np.ndarray, "points latents"], labels: Int[np.ndarray, " points"]) -> Any:
    """`classifier`, fitted; if there is only one label, one that always says so.

    That an iteration limit was reached is no news: the limits are part of the metrics' definitions.
    """
    chosen = classifier if len(np.unique(labels)) > 1 else DummyClassifier(strategy="most_frequent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return chosen.fit(features, labels)
