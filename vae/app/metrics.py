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
    """A user's function, whose mistakes are errors of one line.

    Args:
        text: as in `my_metrics:score`.

    Raises:
        ConfigError: it cannot be imported. A call raises it if the function fails, or returns anything but a mapping
            of names to numbers.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.function = imported(text, "metrics")

    def __call__(
        self, codes: Float[np.ndarray, "images latents"], factors: Int[np.ndarray, "images factors"] | None
    ) -> dict[str, float]:
        """The numbers of the function by name."""
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
    """The metrics of a run, each called once with random codes.

    Args:
        texts: as in `my_metrics:score`.
        latents: of the model.
        factors: of the training images, or None if they are unknown.

    Raises:
        ConfigError: one line; a metric cannot be imported, it fails, or a name is taken.
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
