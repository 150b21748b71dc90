"""A number as a function of the training step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


class Schedule(ABC):
    """A number as a function of the training step, which counts from 0. It is constant from the step `steps` on."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """The first step of the final constant."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The number at `step`."""


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """A straight line from `start` at step 0 to `value` at step `steps`, then `value`.

    Bowman et al. (2016) and Sønderby et al. (2016) warm up the weight of the rate in this way, Burgess et al. (2018)
    the capacity.

    Example:
        >>> beta = LinearWarmup(4.0, steps=100)
        >>> beta(0), beta(50), beta(100), beta(1000)
        (0.0, 2.0, 4.0, 4.0)
    """

    value: float
    steps: int = 0
    start: float = 0.0

    def __call__(self, step: int) -> float:
        """The number at `step`."""
        return self.value if step >= self.steps else self.start + (self.value - self.start) * step / self.steps


@dataclass(frozen=True)
class CyclicalWarmup(Schedule):
    """`cycles` times a warm-up from 0 to `value` of `rise` steps, followed by `rise` steps at `value`.

    Fu et al. (2019), "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing", with their R = 0.5.

    Example:
        >>> beta = CyclicalWarmup(4.0, rise=100, cycles=2)
        >>> [beta(step) for step in (0, 50, 100, 199, 200, 250, 300, 400)]
        [0.0, 2.0, 4.0, 4.0, 0.0, 2.0, 4.0, 4.0]
    """

    value: float
    rise: int
    cycles: int

    @property
    def steps(self) -> int:
        """The end of the last warm-up."""
        return self.rise * (2 * self.cycles - 1)

    def __call__(self, step: int) -> float:
        """The number at `step`."""
        return self.value if step >= self.steps else LinearWarmup(self.value, self.rise)(step % (2 * self.rise))


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Straight lines through `points`, constant before the first and after the last.

    Args:
        points: pairs of a step and a number, by rising steps.
        constant_between: keep each number until the next point, instead of a straight line.

    Raises:
        ValueError: there is no point, or the steps do not rise.

    Example:
        >>> points = ((0, 0.0), (100, 10.0), (200, 4.0))
        >>> [Piecewise(points)(step) for step in (0, 50, 100, 150, 200, 1000)]
        [0.0, 5.0, 10.0, 7.0, 4.0, 4.0]
        >>> [Piecewise(points, constant_between=True)(step) for step in (0, 50, 100, 150, 200, 1000)]
        [0.0, 0.0, 10.0, 10.0, 4.0, 4.0]
    """

    points: tuple[tuple[int, float], ...]
    constant_between: bool = False

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.points]
        if not steps or any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"a schedule needs points with rising steps, got steps {steps}")

    @property
    def steps(self) -> int:
        """The step of the last point."""
        return self.points[-1][0]

    def __call__(self, step: int) -> float:
        """The number at `step`."""
        if step < self.points[0][0]:
            return self.points[0][1]
        for (before, low), (after, high) in pairwise(self.points):
            if step < after:
                return low if self.constant_between else low + (high - low) * (step - before) / (after - before)
        return self.points[-1][1]


@dataclass(frozen=True)
class Unfinished:
    """A schedule that ends after the last step of training."""

    reached: float  # the number at the last step of training
    end: float  # the number at the end of the schedule
    steps: int  # of training
    schedule_steps: int

    def described(self, name: str) -> str:
        """A line for the user.

        Example:
            >>> Unfinished(0.0156, 4.0, 391, 100_000).described("beta")
            'beta is 0.0156 at the last step, not 4: its schedule ends at step 100,000, training at step 391'
        """
        short = f"{name} is {self.reached:.3g} at the last step"
        where = f"its schedule ends at step {self.schedule_steps:,}, training at step {self.steps:,}"
        return f"{short}, not {self.end:.3g}: {where}" if self.reached != self.end else f"{short}: {where}"


def unfinished(schedules: Mapping[str, Schedule], steps: int) -> dict[str, Unfinished]:
    """The schedules that end only after `steps` steps of training, by name.

    Example:
        >>> found = unfinished({"beta": LinearWarmup(4.0, steps=100), "capacity": LinearWarmup(9.0)}, steps=51)
        >>> list(found), found["beta"].reached
        (['beta'], 2.0)
    """
    return {
        name: Unfinished(schedule(max(0, steps - 1)), schedule(schedule.steps), steps, schedule.steps)
        for name, schedule in schedules.items()
        if schedule.steps > steps
    }
