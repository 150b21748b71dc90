"""The user's own parts: an objective, a network, a reader of data or a metric, each named as `module:name`.

The command decides what is imported, never a run's directory. Whoever resumes or loads a run with such parts names
them again.
"""

import importlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from vae.config import Config, ConfigError, near, written
from vae.config.options import FOREIGN
from vae.config.rules import raised as raised


def imported(text: str, key: str) -> Callable[..., Any]:
    """The object `name` of `module`. The working directory is searched for modules, too.

    Args:
        text: as in `my_losses:MMD`.
        key: the key of the configuration that it is the value of, for the error.

    Raises:
        ConfigError: the text has another form, the module cannot be imported, or it has nothing callable of that name.
    """
    module_name, _, name = text.partition(":")
    if not (module_name and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise ConfigError(f"{key} must be module:name, as in my_module:{name or 'name'}, got {text}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # permanently: the module may import its neighbours later
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        fix = f"Start in the directory of {module_name.partition('.')[0]}.py, or name that in PYTHONPATH"
        raise ConfigError(f"{key} must name a module that can be imported, got {text}: {error.msg}. {fix}") from None
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(f"{key} must name a module that can be imported, got {text}: {raised(error)}") from error
    found = getattr(module, name, None)
    if not callable(found):
        close = get_close_matches(name, [known for known in vars(module) if not known.startswith("_")], 1)
        hint = f" Did you mean {module_name}:{close[0]}?" if close else ""
        what = "which it has not" if found is None else "which cannot be called"
        raise ConfigError(f"{key} must name a function or class of {module_name}, got {name}, {what}.{hint}")
    return found  # type: ignore[no-any-return]


def foreign_values(config: Config) -> dict[str, Any]:
    """The values that name the user's own parts, by key."""
    found = {}
    for key in FOREIGN:
        section, _, name = key.rpartition(".")
        value = getattr(getattr(config, section) if section else config, name, None)
        if value:
            found[key] = value
    return found


def foreign_words(config: Config) -> list[str]:
    """The arguments of the command line that name the user's own parts, as `key=value`."""
    return [f"{key}={written(value)}" for key, value in foreign_values(config).items()]


def named_parts(config: Config) -> Iterator[tuple[str, str]]:
    """The key and the text `module:name` of each of the user's own parts."""
    for key, value in foreign_values(config).items():
        yield from ((key, text) for text in (value if isinstance(value, list) else [value]))


def values_of_words(words: Sequence[str]) -> dict[str, Any]:
    """The values, by key, of arguments `key=value` that name the user's own parts.

    Raises:
        ConfigError: an argument has another form or another key.
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
    """As `refuse_unnamed`, for all parts of a stored configuration."""
    refuse_unnamed(run, foreign_values(config), named)


def refuse_unnamed(place: Path, stored: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    """Refuse to import a part that is named only in a run's directory or an exported folder, and not in the command.

    Args:
        place: the directory or folder.
        stored: the values there, by key.
        named: the values that the command gives, by key.

    Raises:
        ConfigError: lists the arguments to add.
    """
    missing = [f"{key}={written(value)}" for key, value in stored.items() if named.get(key) != value]
    if missing:
        raise ConfigError(
            f"{place} has parts of your own, which are imported only if the command names them too. "
            f"Add {shlex.join(missing)}"
        )
