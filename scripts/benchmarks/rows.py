"""A row of the table, the number it is held against, and how both are printed."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a number should reach.

    Attributes:
        limit: what is promised.
        aim: what is hoped for.
        at_most: whether smaller is better.
    """

    limit: float
    aim: float
    at_most: bool = False

    def met_by(self, value: float) -> bool:
        """Whether the promise is kept."""
        return value <= self.limit if self.at_most else value >= self.limit

    def shown(self) -> str:
        """As the table prints it.

        Example:
            >>> Target(2.0, 2.6).shown(), Target(8.0, 3.0, at_most=True).shown()
            ('>= 2 (2.6)', '<= 8 (3)')
        """
        return f"{'<=' if self.at_most else '>='} {self.limit:.4g} ({self.aim:.4g})"


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        name: what was measured.
        value: in `unit`.
        unit: of the value; "x" is a ratio.
        target: what it should reach, if anything was promised.
        note: what the reader must know to believe it.
    """

    name: str
    value: float
    unit: str
    target: Target | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields, and whether the target is met."""
        met = None if self.target is None else self.target.met_by(self.value)
        return asdict(self) | {"met": met}


@dataclass(frozen=True)
class Absent:
    """What could not be measured, in one line that says why, or what to install."""

    line: str


HEADING = f"{'':62} {'value':>10} {'unit':12} {'at least (aim)':15}"


def line(row: Row | Absent) -> str:
    """A row of the table, as text."""
    if isinstance(row, Absent):
        return f"  {row.line}"
    target = "" if row.target is None else row.target.shown() + ("" if row.target.met_by(row.value) else "  MISSED")
    text = f"  {row.name:60} {short(row.value):>10} {row.unit:12} {target:15}"
    return f"{text}  {row.note}".rstrip()


def short(value: float) -> str:
    """Four digits, and no exponent.

    Example:
        >>> short(2.34567), short(28511.3), short(0.0123456)
        ('2.346', '28511', '0.01235')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
