"""From plain data, as YAML holds it, to a checked `Config`, and back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, asdict, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from vae.config.options import OPTIONS
from vae.config.rules import ConfigError, must_be, without_none
from vae.config.run import Config
from vae.config.words import written

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NOT_GIVEN = "???"  # in a YAML file: a value that the user must give


def typed(choices: Mapping[str, str], values: Mapping[str, Any]) -> Config:
    """The checked configuration that plain data describes.

    Args:
        choices: the option of each group, as in `{"model": "conv", ...}`. Other names are ignored.
        values: all values, nested by section. A member of an enumeration is given by its name.

    Raises:
        ConfigError: the first option, key or value that is wrong, in one line.
    """
    return cast(Config, _section(Config, values, "", option_types(choices)))


def section_of(kind: type, values: object, name: str) -> Any:
    """The dataclass `kind` that plain data describe. Every field must be given.

    Args:
        kind: the dataclass.
        values: by field. A member of an enumeration is given by its name.
        name: for the errors.

    Raises:
        ConfigError: a key or a value is wrong, in one line.
    """
    return _section(kind, values, f"{name}.", {})


def plain(section: "DataclassInstance") -> dict[str, Any]:
    """The values of a configuration, or a section of one, as plain data. `typed` and `section_of` read them again."""
    return asdict(section, dict_factory=lambda pairs: {k: v.name if isinstance(v, Enum) else v for k, v in pairs})


def option_of(group: str, section: object) -> str:
    """The name of the option that a section is of. Of several options with the same dataclass, it is the first."""
    return next(name for name, kind in OPTIONS[group].items() if kind is type(section))


def flat(config: Config) -> dict[str, Any]:
    """The plain values of a configuration by dotted key, as in `model.latent_dim`."""
    return dict(_leaves(plain(config), ""))


def option_types(choices: Mapping[str, str]) -> dict[str, type]:
    """The dataclass of the chosen option of each group.

    Raises:
        ConfigError: a group has no option, or an unknown one.
    """
    for group, options in OPTIONS.items():
        given = choices.get(group)
        if given not in options:
            hint = near(str(given), options)
            raise ConfigError(f"{group} must be one of {', '.join(sorted(options))}, got {written(given)}.{hint}")
    return {group: options[choices[group]] for group, options in OPTIONS.items()}


def known_keys(choices: Mapping[str, str]) -> dict[str, Field[Any]]:
    """The field of every value of a run with these options, by dotted key.

    Raises:
        ConfigError: a group has no option, or an unknown one.
    """
    return dict(_keys(Config, "", option_types(choices)))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The error of a key that is not in `known`. It names the option with this key, or the nearest known key."""
    group, _, name = key.partition(".")
    owners = [option for option, kind in OPTIONS.get(group, {}).items() if name in {f.name for f in fields(kind)}]
    if owners:
        return f"{key} is a key of {group}={', '.join(owners)} only. Choose that, or leave {key} out"
    of_options = [
        f"{group}.{f.name}" for group, options in OPTIONS.items() for kind in options.values() for f in fields(kind)
    ]
    hint = _near_key(key, [*of_options, *known, *OPTIONS])
    return f"unknown key {key or repr(key)}.{hint or ' --cfg job lists the known ones'}"


def near(word: str, names: Iterable[str]) -> str:
    """The text ` Did you mean x?` with the name closest to `word`. Empty if none is close."""
    known = {name.lower(): name for name in names}
    matches = get_close_matches(word.lower(), known, 1)
    return f" Did you mean {known[matches[0]]}?" if matches else ""


def _near_key(key: str, keys: Iterable[str]) -> str:
    """As `near`, for dotted keys. A key may also be found by its last part alone."""
    by_end = {name.rpartition(".")[2]: name for name in keys}
    end = key.rpartition(".")[2]
    whole = "" if end in by_end else near(key, by_end.values())
    ends = [end] if end in by_end else get_close_matches(end, by_end, 1)
    return whole or (f" Did you mean {by_end[ends[0]]}?" if ends else "")


def _keys(kind: type, prefix: str, options: Mapping[str, type]) -> Iterator[tuple[str, Field[Any]]]:
    for f in fields(kind):
        below = options.get(f.name, f.type) if prefix == "" else f.type
        if is_dataclass(below):
            yield from _keys(cast(type, below), f"{f.name}.", options)
        else:
            yield prefix + f.name, f


def _section(kind: type, values: object, prefix: str, options: Mapping[str, type]) -> object:
    """The dataclass `kind` with these values. `options` has the types of the groups, whose prefix is empty."""
    known = {f.name: f for f in fields(kind)}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix[:-1] or 'a configuration'} must have the keys {', '.join(known)}, got {values}")
    for name in values:
        if name not in known:
            raise ConfigError(unknown_key(f"{prefix}{name}", (prefix + name for name in known)))
    built = {}
    for name, f in known.items():
        key, value = prefix + name, values.get(name, NOT_GIVEN)
        below = f.type if prefix else options.get(name, f.type)
        if value == NOT_GIVEN:
            rule = "be a section" if is_dataclass(below) else must_be(f)
            raise ConfigError(f"{key} must be given, as in {key}=..., it must {rule}")
        if is_dataclass(below):
            built[name] = _section(cast(type, below), value, f"{key}.", options)
            continue
        try:
            built[name] = _value(below, value)
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{key} must {must_be(f)}, got {written(value)}") from None
    return kind(**built)


def _value(kind: Any, value: Any) -> Any:
    """The value as the type `kind` of its field.

    Raises:
        ValueError, TypeError, OverflowError: it cannot be of that type.
    """
    if get_origin(kind) is UnionType and NoneType in get_args(kind):
        return None if value is None else _value(without_none(kind), value)
    if get_origin(kind) is list and isinstance(value, list | tuple):
        return [_value(get_args(kind)[0], entry) for entry in value]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        kinds = get_args(kind)
        kinds = kinds[:1] * len(value) if kinds[-1] is ... else kinds
        return tuple(_value(below, entry) for below, entry in zip(kinds, value, strict=True))
    if get_origin(kind) is dict and isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return dict(value)
    if isinstance(kind, type) and issubclass(kind, Enum) and value in kind.__members__:
        return kind[value]
    # A number from an environment variable is a text, and a name of digits is read as a number.
    takes = {int | float: int | float | str, bool: bool, int: int | str, float: int | float | str, str: int | str}.get(
        kind
    )
    if takes is not None and isinstance(value, takes) and isinstance(value, bool) == (kind is bool):
        number = float(value) if kind == int | float and not isinstance(value, int) else value
        return number if kind == int | float else kind(value)
    raise TypeError


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
