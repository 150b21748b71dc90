"""What a value may be, and the one line that says so."""

import math
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be run. Its text is one line: the rule, what was given, the fix."""


class Choice(Enum):
    """One of several words; in a text, as the name of a sweep's member is, it is that word."""

    def __str__(self) -> str:
        return str(self.value)


def between(low: int | float, high: int | float, *, above: bool = False) -> Mapping[str, Any]:
    """The metadata of a field whose value, or each of whose values, lies in [low, high], or (low, high] if above."""
    return {"low": low, "high": high, "above": above}


def check_points(key: str, places: list[int] | None, other: str, factors: list[float] | None) -> None:
    """Refuse a schedule whose points, `places` in steps or epochs and the factor at each, do not fit together.

    Raises:
        ConfigError: one line, with both keys.
    """
    if (places is None) != (factors is None) or (places and factors and len(places) != len(factors)):
        raise ConfigError(
            f"{key} and {other} must be as long as each other, got {places} and {factors}. Give both, or neither"
        )
    if places and any(later <= earlier for earlier, later in pairwise(places)):
        raise ConfigError(f"{key} must rise, got {places}. Sort them")


def rule(kind: object, metadata: Mapping[str, Any]) -> str:
    """What a value must be, in words.

    Example:
        >>> rule(int, between(1, 10))
        'a whole number from 1 to 10'
        >>> rule(float, between(0, 1e6, above=True))
        'a number above 0 and up to 1000000'
        >>> rule(list[int], {})
        'a list, each entry a whole number'
    """
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(member.name for member in kind)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    if getattr(kind, "__origin__", None) is dict:
        return "values by name"
    optional = getattr(kind, "__args__", ())
    if type(None) in optional:
        return rule(next(a for a in optional if a is not type(None)), metadata) + ", or null"
    if optional and getattr(kind, "__origin__", None) is list:
        return f"a list, each entry {rule(optional[0], metadata)}"
    noun = "a whole number" if kind is int else "a number"
    if not metadata:
        return noun
    low, high = (f"{metadata[k]:.10g}" for k in ("low", "high"))
    return f"{noun} above {low} and up to {high}" if metadata["above"] else f"{noun} from {low} to {high}"


def must_be(f: Field[Any]) -> str:
    """The rule of a field, in words that follow "must"."""
    return f"be {rule(f.type, f.metadata)}"


def check_ranges(section: Any, prefix: str = "") -> None:
    """Refuse the first value below `section`, a dataclass, that lies outside its field's range.

    Raises:
        ConfigError: names the key, the range and the value.
    """
    for f in fields(section):
        value, key = getattr(section, f.name), prefix + f.name
        if is_dataclass(value):
            check_ranges(value, key + ".")
        elif f.metadata and not _inside(value, f.metadata):
            raise ConfigError(f"{key} must {must_be(f)}, got {value}")


def _inside(value: Any, metadata: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    if isinstance(value, list):
        return len(value) > 0 and all(_inside(entry, metadata) for entry in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    low, high, above = metadata["low"], metadata["high"], metadata["above"]
    return bool(low < value <= high if above else low <= value <= high)
