"""A beta that is recommended for a stated aim, and what it stands on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vae.report.members import Member
from vae.report.statistics import Estimate
from vae.report.tables import title
from vae.report.tradeoff import Point

OWN_NATS = 0.5  # a latent is a factor's own if it tells so much more about it than any other latent
EXPECTED = ("distortion", "rate", "active_units")
NAMED = 5  # runs, settings or betas in a caution


class Goal(StrEnum):
    """What a beta is chosen for."""

    rate = "rate"
    distortion = "distortion"
    active = "active"
    udr = "udr"
    factors = "factors"
    score = "score"


@dataclass(frozen=True)
class Aim:
    """A goal with its budget in nats or latents, or the name of its score."""

    goal: Goal
    budget: float = math.nan
    score: str = ""

    @property
    def words(self) -> str:
        """What is looked for.

        Example:
            >>> Aim(Goal.rate, 12.0).words
            'the smallest distortion with a rate of at most 12 nats'
        """
        match self.goal:
            case Goal.rate:
                return f"the smallest distortion with a rate of at most {self.budget:g} nats"
            case Goal.distortion:
                return f"the smallest rate with a distortion of at most {self.budget:g} nats"
            case Goal.active:
                return f"the smallest distortion with at most {self.budget:g} active latents"
            case Goal.udr:
                return "the highest UDR, which needs no labels"
            case Goal.factors:
                return f"the most factors with a latent of their own, {OWN_NATS:g} nats ahead of all others"
            case Goal.score:
                return f"the highest {titled(self.score)}"

    @property
    def column(self) -> str:
        """The name of the number that is compared, besides those of `EXPECTED`; empty if it is one of them."""
        return {Goal.udr: "udr", Goal.factors: "own_factors", Goal.score: self.score}.get(self.goal, "")


@dataclass(frozen=True)
class Row:
    """The evidence of one beta.

    Attributes:
        setting: of the runs.
        beta: theirs.
        numbers: means over seeds by name. They have `distortion` and `rate`, in nats.
        members: the runs; empty where the numbers are computed.
        mark: what the row is for the choice: `chosen`, `neighbour` or the like; may be empty.
    """

    setting: str
    beta: float
    numbers: Mapping[str, Estimate]
    members: Sequence[Member] = ()
    mark: str = ""

    @property
    def point(self) -> Point:
        """The means of distortion and rate."""
        return Point(self.beta, self.numbers["distortion"].mean, self.numbers["rate"].mean)

    @property
    def seeds(self) -> int:
        """How many runs there are."""
        return len(self.members)


@dataclass(frozen=True)
class Choice:
    """A recommended beta.

    Attributes:
        beta: the exact value.
        among: what else tells the setting from others, as in `model=conv`; may be empty.
        origin: `trained`, `interpolated` or `linear theory`.
        expected: numbers by name. Two values are those of the neighbours, between which the number lies.
        rows: the evidence, the chosen row among them.
        cautions: what speaks against relying on the choice, one sentence each.
    """

    beta: float
    among: str
    origin: str
    expected: Mapping[str, Sequence[Estimate]]
    rows: Sequence[Row]
    cautions: Sequence[str]

    @property
    def support(self) -> Sequence[Member]:
        """The runs of the chosen beta, or of its neighbours."""
        marked = [row for row in self.rows if row.mark in ("chosen", "neighbour") and row.members]
        return [member for row in marked for member in row.members]


class NoChoiceError(Exception):
    """The runs do not show which beta to take.

    Attributes:
        betas: which to train next; may be empty.
        like: a run whose other values the new ones should have.
    """

    def __init__(self, reason: str, betas: Sequence[float] = (), like: Member | None = None) -> None:
        super().__init__(reason)
        self.betas = betas
        self.like = like


def titled(name: str) -> str:
    """The name of a number in words."""
    return {"udr": "UDR", "own_factors": "number of factors with a latent of their own"}.get(name, title(name))


def told_apart(one: Estimate, other: Estimate) -> bool:
    """Whether two means differ by more than the spread over seeds, or the spread is not known."""
    widths = [value.half_width for value in (one, other) if value.half_width is not None]
    return not widths or abs(one.mean - other.mean) > math.hypot(*widths)


def listed(names: Sequence[str]) -> str:
    """The names with commas; of many, the first and how many more.

    Example:
        >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e", "f", "g"])
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def as_json(aim: Aim, choice: Choice) -> dict[str, Any]:
    """The choice for programs."""
    return {
        "aim": {"goal": aim.goal.value, "words": aim.words}
        | ({} if math.isnan(aim.budget) else {"budget": aim.budget})
        | ({"score": aim.score} if aim.score else {}),
        "beta": choice.beta,
        "among": choice.among,
        "origin": choice.origin,
        "expected": {
            name: values[0].mean if len(values) == 1 else [value.mean for value in values]
            for name, values in choice.expected.items()
        },
        "evidence": [
            {
                "setting": row.setting,
                "beta": row.beta,
                "mark": row.mark,
                "runs": [str(member.directory) for member in row.members],
                "numbers": {
                    name: {"mean": value.mean, "half_width": value.half_width} for name, value in row.numbers.items()
                },
            }
            for row in choice.rows
        ],
        "cautions": list(choice.cautions),
    }
