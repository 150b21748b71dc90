"""What the metrics share that fit classifiers of scikit-learn."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning


def fitted(classifier: Any, features: Float[np.ndarray, "points latents"], labels: Int[np.ndarray, " points"]) -> Any:
    """`classifier`, fitted. If there is only one label, a classifier that always predicts it."""
    chosen = classifier if len(np.unique(labels)) > 1 else DummyClassifier(strategy="most_frequent")
    return chosen.fit(features, labels)


@contextmanager
def ignore_iteration_limits() -> Iterator[None]:
    """Ignore that a fit stopped at its iteration limit: the limits are part of the metrics' definitions.

    Enter it outside of threads, because the filters for warnings belong to the whole process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
