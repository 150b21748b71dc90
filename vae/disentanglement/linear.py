"""Classifiers that cope with what a bad representation gives them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning


def fitted(classifier: Any, features: Float[np.ndarray, "points latents"], labels: Int[np.ndarray, " points"]) -> Any:
    """`classifier`, fitted; if there is only one label, one that always says so."""
    chosen = classifier if len(np.unique(labels)) > 1 else DummyClassifier(strategy="most_frequent")
    return chosen.fit(features, labels)


@contextmanager
def iteration_limits_are_no_news() -> Iterator[None]:
    """They are part of the metrics' definitions. Around threads, never in them: the filters are the process's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
