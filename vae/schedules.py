"""A number as a function of the training step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearWarmup:
    """Zero at step 0, `value` from step `steps` on, a straight line between; `value` throughout if `steps` is 0.

    The warm-up of the rate's weight is that of Bowman et al. (2016) and Sønderby et al. (2016).

    Example:
        >>> beta = LinearWarmup(4.0, steps=100)
        >>> beta(0), beta(50), beta(100), beta(1000)
        (0.0, 2.0, 4.0, 4.0)
    """

    value: float
    steps: int = 0

    def __call__(self, step: int) -> float:
        """The number at `step`, counted from 0."""
        return self.value if step >= self.steps else self.value * step / self.steps
