"""The range of each value, and errors of one line."""

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin


class ConfigError(ValueError):
    """A configuration that cannot be run. Its text is one line: the rule, what was given, the fix."""


def raised(error: Exception) -> str:
    """An error of the user's own code in one line: its type, its message, and the file and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"


def between(low: int | float, high: int | float, *, above: bool = False) -> Mapping[str, Any]:
    """The metadata of a field whose value, or each of whose values, lies in [low, high], or (low, high] if `above`."""
    return {"low": low, "high": high, "above": above}


def check_points(key: str, places: list[int] | None, other: str, factors: list[float] | None) -> None:
    """Refuse a schedule without one factor for each place, or with places that do not rise.

    Args:
        key: of the places.
        places: steps or epochs.
        other: the key of the factors.
        factors: the factor at each place.

    Raises:
        ConfigError: one line, with both keys.
    """
    if (places is None) != (factors is None) or (places and factors and len(places) != len(factors)):
        raise ConfigError(
            f"{key} and {other} must be as long as each other, got {places} and {factors}. Give both, or neither"
        )
    if places and any(later <= earlier for earlier, later in pairwise(places)):
        raise ConfigError(f"{key} must rise, got {places}. Sort them")


def rule(kind: Any, metadata: Mapping[str, Any]) -> str:
    """What a value must be, in words.

    Example:
        >>> rule(int, between(1, 10))
        'a whole number from 1 to 10'
        >>> rule(float, between(0, 1e6, above=True))
        'a number above 0 and up to 1000000'
        >>> rule(list[int], {})
        'a list, each entry a whole number'
        >>> rule(int | float, between(0, 10))
        'a number from 0 to 10'
    """
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(member.name for member in kind)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    if get_origin(kind) is dict:
        return "values by name"
    if get_origin(kind) in (list, tuple):
        return f"a list, each entry {rule(get_args(kind)[0], metadata)}"
    if get_origin(kind) is UnionType and NoneType in get_args(kind):
        return f"{rule(without_none(kind), metadata)}, or null"
    noun = "a whole number" if kind is int else "a number"
    if not metadata:
        return noun
    low, high = (f"{metadata[k]:.10g}" for k in ("low", "high"))
    return f"{noun} above {low} and up to {high}" if metadata["above"] else f"{noun} from {low} to {high}"


def without_none(kind: Any) -> Any:
    """The type `X` of an optional field, declared as `X | None`."""
    return next(part for part in get_args(kind) if part is not NoneType)


def must_be(f: Field[Any]) -> str:
    """The rule of a field, in words that follow "must"."""
    return f"be {rule(f.type, f.metadata)}"


def check_ranges(section: Any, prefix: str = "") -> None:
    """Check every value of a dataclass, and of the dataclasses in it, against the range of its field.

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
    low, high, above = metadata["low"], metadata["high"], metadata["above"]
    return bool(low < value <= high if above else low <= value <= high)
