"""A row of the table, its limit, and how both are printed."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        name: what was measured.
        value: in `unit`.
        unit: of the value; "x" is a ratio.
        at_least: the lower limit, if there is one.
        at_most: the upper limit, if there is one.
        note: more about the number.
    """

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value is within its limit; None without a limit."""
        if self.at_least is None and self.at_most is None:
            return None
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        """The fields, and whether the limit is met."""
        return asdict(self) | {"met": self.met}


@dataclass(frozen=True)
class Absent:
    """A line in place of rows that could not be measured: why, or what to install."""

    line: str


HEADING = f"{'':62} {'value':>10} {'unit':12} {'limit':15}"


def line(row: Row | Absent) -> str:
    """A row of the table, as text."""
    if isinstance(row, Absent):
        return f"  {row.line}"
    limits = [
        f"{sign} {limit:.4g}" for sign, limit in ((">=", row.at_least), ("<=", row.at_most)) if limit is not None
    ]
    limit = " ".join(limits) + ("  MISSED" if row.met is False else "")
    text = f"  {row.name:60} {four_digits(row.value):>10} {row.unit:12} {limit:15}"
    return f"{text}  {row.note}".rstrip()


def four_digits(value: float) -> str:
    """The number without an exponent.

    Example:
        >>> four_digits(2.34567), four_digits(28511.3), four_digits(0.0123456)
        ('2.346', '28511', '0.01235')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
