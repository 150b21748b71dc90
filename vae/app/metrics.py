"""The metrics that `metrics=` names: imported, and tried before training."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vae.app.foreign import imported, raised
from vae.config import ConfigError
from vae.data.factors import Factors
from vae.disentanglement.own_metrics import RESERVED

TRIED_IMAGES = 1_000


class OwnMetric:
    """A metric of the user's own. Calling it calls the user's function and checks the result.

    Args:
        text: names the function, as in `my_metrics:score`.

    Raises:
        ConfigError: the function cannot be imported. When called: it fails, or does not return a mapping of names to
            numbers.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.function = imported(text, "metrics")

    def __call__(
        self, codes: Float[np.ndarray, "images latents"], factors: Int[np.ndarray, "images factors"] | None
    ) -> dict[str, float]:
        """The scores by name."""
        try:
            found: Any = self.function(codes, factors)
        except Exception as error:
            raise ConfigError(f"metrics: {self.text} raised {raised(error)}") from error
        rule = f"metrics: {self.text} must return numbers by name, as in {{'score': 0.5}}, got"
        if not isinstance(found, Mapping):
            raise ConfigError(f"{rule} {type(found).__name__}")
        for name, value in found.items():
            if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, Real):
                raise ConfigError(f"{rule} {name!r}: {type(value).__name__}. Convert it with float()")
        return {name: float(value) for name, value in found.items()}


def own_metrics(texts: Sequence[str], latents: int, factors: Factors | None) -> list[OwnMetric]:
    """The user's own metrics of a run. Each is tried once, on random codes.

    Args:
        texts: as in `my_metrics:score`.
        latents: the number of latents.
        factors: of the training images. None if they are unknown.

    Raises:
        ConfigError: a metric cannot be imported, fails, or returns a name that another metric has.
    """
    metrics = [OwnMetric(text) for text in texts]
    generator = np.random.default_rng(0)
    levels = None if factors is None else factors.levels[factors.draw(TRIED_IMAGES, generator)].astype(np.int64)
    taken = set(RESERVED)
    for metric in metrics:
        names = metric(generator.standard_normal((TRIED_IMAGES, latents), dtype=np.float32), levels).keys()
        if names & taken:
            raise ConfigError(
                f"metrics: {metric.text} must give names of its own, got {min(names & taken)}. Rename it"
            )
        taken |= names
    return metrics
