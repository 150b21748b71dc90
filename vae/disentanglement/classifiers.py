"""Fitting scikit-learn's classifiers."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning


def fitted(classifier: Any, features: Float[np.ndarray, "points latents"], labels: Int[np.ndarray, " points"]) -> Any:
    """Fit `classifier`. If there is only one label, the result is a classifier that always predicts it."""
    chosen = classifier if len(np.unique(labels)) > 1 else DummyClassifier(strategy="most_frequent")
    return chosen.fit(features, labels)


@contextmanager
def ignore_iteration_limits() -> Iterator[None]:
    """Silence warnings about iteration limits, which are part of the metrics' definitions.

    Warning filters belong to the whole process, so enter this context before starting threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
