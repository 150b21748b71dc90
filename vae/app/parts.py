"""Parts of the user's own that a configuration names, as `module:name`, and whether the command names them too."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vae.config import Config, ConfigError, near, written
from vae.config.options import FOREIGN


def foreign_values(config: Config) -> dict[str, Any]:
    """The values that name parts of the user's own, by their keys."""
    found = {}
    for key in FOREIGN:
        section, _, name = key.rpartition(".")
        value = getattr(getattr(config, section) if section else config, name, None)
        if value:
            found[key] = value
    return found


def foreign_words(config: Config) -> list[str]:
    """The words of the command line that name the user's own parts."""
    return [f"{key}={written(value)}" for key, value in foreign_values(config).items()]


def named_parts(config: Config) -> Iterator[tuple[str, str]]:
    """The key and the text, `module:name`, of every part of the user's own."""
    for key, value in foreign_values(config).items():
        yield from ((key, text) for text in (value if isinstance(value, list) else [value]))


def values_of_words(words: Sequence[str]) -> dict[str, Any]:
    """The values of `key=value` words that name parts of the user's own, by their keys.

    Raises:
        ConfigError: a word is of another form, or has another key.
    """
    values = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in FOREIGN or not text:
            raise ConfigError(f"only {', '.join(FOREIGN)} can be given beside a run, got {word}.{near(key, FOREIGN)}")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{key} must be module:name, or [module:name, ...], got {text}") from None
    return values


def refuse_unnamed_parts(run: Path, config: Config, named: Mapping[str, Any]) -> None:
    """Refuse to import what only a run's directory names. The person who gives the command names it again.

    Args:
        run: its directory.
        config: what is stored there.
        named: the values that the command gives, by their keys.

    Raises:
        ConfigError: lists the words to add.
    """
    missing = [f"{key}={written(value)}" for key, value in foreign_values(config).items() if named.get(key) != value]
    if missing:
        raise ConfigError(
            f"{run} has parts of your own, which are imported only if the command names them too. "
            f"Add {shlex.join(missing)}"
        )
