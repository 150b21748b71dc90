"""Composing a configuration from the files of `configs/`, by Hydra's public interface. Errors are one line."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vae.app.invocation import PROGRAM
from vae.config import Config, ConfigError, known_keys, near, plain, typed, unknown_key
from vae.config.options import OPTIONS
from vae.config.words import quoted
from vae.run.record import Record

LARGEST_SWEEP = 10_000  # members
FURTHER_KEYS = r"hydra\.launcher\.additional_parameters\.\w+"  # which `+` may add
# Hydra's own keys that the command line may set: the places of the output, the mode, and the launcher.
HYDRA_KEYS = r"hydra\.(run\.dir|sweep\.(dir|subdir)|mode|launcher\..+)|hydra/launcher"

# The extra of this project that installs each launcher.
EXTRAS = {"submitit_slurm": "cluster", "submitit_local": "cluster"}


@dataclass(frozen=True)
class Composed:
    """The configuration of one run.

    Attributes:
        record: the chosen options and the checked values.
        hydra: Hydra's own section.
    """

    record: Record
    hydra: DictConfig

    def directory(self, key: str, number: int = 0) -> str | None:
        """A directory of the output as the command or a preset sets it. None if `naming` is to choose it.

        Args:
            key: `run.dir`, `sweep.dir` or `sweep.subdir`.
            number: of the sweep's member, for `${hydra:job.num}`.

        Raises:
            ConfigError: an interpolation refers to a key that does not exist.
        """
        section, name = key.split(".")
        if cast("dict[str, Any]", OmegaConf.to_container(self.hydra[section]))[name] == "auto":
            return None
        config = OmegaConf.create({**plain(self.record.config), "hydra": self.hydra})
        with open_dict(config):
            config.hydra.job.num = number
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)  # for `${hydra:...}`
        try:
            return str(OmegaConf.select(config, f"hydra.{key}"))
        except OmegaConfBaseException as error:
            raise ConfigError(f"hydra.{key}: {hydra_message(error)}") from None
        finally:
            HydraConfig.instance().cfg = before

    def launcher(self, sweep: Path) -> dict[str, Any]:
        """The settings of Hydra's launcher, for a sweep in this directory.

        Raises:
            ConfigError: an interpolation refers to a key that does not exist.
        """
        config = OmegaConf.create({**plain(self.record.config), "hydra": self.hydra})
        with open_dict(config):
            config.hydra.sweep.dir = str(sweep).replace("${", r"\${")
            config.hydra.job.name = PROGRAM
        try:
            return cast("dict[str, Any]", OmegaConf.to_container(config.hydra.launcher, resolve=True))
        except OmegaConfBaseException as error:
            raise ConfigError(f"hydra.launcher: {hydra_message(error)}") from None


def parse_override(text: str) -> Override:
    """An override, parsed by Hydra's grammar.

    Raises:
        ConfigError: it does not follow the grammar.
    """
    try:
        return OverridesParser.create().parse_override(text)
    except Exception:
        key, _, value = text.partition("=")
        raise ConfigError(
            f"cannot read {text}. A key has letters, digits, _ and dots; "
            f'quote an unusual value: "{key}={quoted(value)}"'
        ) from None


class Composer:
    """Composes configurations from one directory of files.

    Args:
        configs: the directory of `config.yaml`.
        searchpath: at most one override `hydra.searchpath=...`, which names more directories.
    """

    def __init__(self, configs: Path, searchpath: Sequence[str] = ()) -> None:
        self.configs = configs.resolve()
        self.searchpath = tuple(searchpath)
        # The cached files are read again when one has changed. With a searchpath nothing is cached.
        files = tuple((file, file.stat().st_mtime_ns) for file in self.configs.rglob("*.yaml"))
        self.state: object = object() if searchpath else files
        self.groups = options_of_groups(self.configs, self.searchpath, self.state)

    def members(self, overrides: Sequence[Override]) -> list[list[Override]]:
        """The overrides of each member of a sweep: all combinations, in the order of Hydra's sweeper.

        Raises:
            ConfigError: there is no member, there are too many, or an override is swept by neither a list nor a range.
        """
        size, choices = 1, []
        for o in overrides:
            words = [str(o.input_line)]
            if o.is_sweep_override():
                if o.is_hydra_override():
                    raise ConfigError(f"a sweep cannot vary Hydra's own keys, got {o.input_line}")
                try:
                    values = list(islice(o.sweep_string_iterator(), LARGEST_SWEEP + 1))
                except Exception:
                    raise ConfigError(
                        f"a sweep is a list or a range, got {o.input_line}. Write a,b,c or range(first,end)"
                    ) from None
                if not values:
                    raise ConfigError(f"a sweep needs at least one value, got {o.input_line}")
                words = [f"{o.get_key_element()}={value}" for value in values]
            size *= len(words)
            choices.append(words)
        if size > LARGEST_SWEEP:
            raise ConfigError(f"a sweep may have {LARGEST_SWEEP} members, got more. Run it in parts")
        parsed = {word: parse_override(word) for words in choices for word in words}
        return [[parsed[word] for word in member] for member in product(*choices)]

    def files(self, overrides: Iterable[Override]) -> tuple[DictConfig, dict[str, Any]]:
        """Hydra's own section, and the values in the files that the overrides choose.

        Raises:
            ConfigError: an override sweeps, has a prefix, or sets an unknown option or one of Hydra's other keys.
        """
        words = list(self.searchpath)
        for o in overrides:
            key, text = bare(o), str(o.input_line)
            if o.is_sweep_override():
                raise ConfigError(f"one run takes one value of {key}, got {text}. Add -m for a sweep, [] for a list")
            if o.is_hydra_override() and not re.fullmatch(HYDRA_KEYS, key):
                raise ConfigError(
                    f"{key} is not read here. Of Hydra's keys it reads hydra.run.dir, hydra.sweep.dir, "
                    "hydra.sweep.subdir, hydra.mode, hydra.searchpath, hydra/launcher and hydra.launcher.*"
                )
            refuse_prefix(o, self.groups)
            if key in self.groups and o.value() not in self.groups[key]:
                options, given = self.groups[key], o.get_value_string()
                hint = near(given, options) or (" Leave it out for none" if key not in OPTIONS else "")
                raise ConfigError(f"{key} must be one of {', '.join(options)}, got {given or 'nothing'}.{hint}")
            if o.is_hydra_override() or key in self.groups:
                words.append(text)
        return merged_files(self.configs, tuple(words), self.state)

    def composed(self, overrides: Iterable[Override]) -> Composed:
        """The checked configuration of one run.

        Raises:
            ConfigError: a key is unknown, or a value is missing, of another type or out of range.
        """
        given = list(overrides)
        own, tree = self.files(given)
        choices = {group: str(own.runtime.choices[group]) for group in self.groups if own.runtime.choices.get(group)}
        tree = with_values(tree, [o for o in given if not o.is_hydra_override() and bare(o) not in self.groups])
        try:
            resolved = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.create(tree), resolve=True))
        except OmegaConfBaseException as error:
            raise ConfigError(f"{error.full_key}: {hydra_message(error)}") from None
        return Composed(Record(choices, with_absolute_paths(typed(choices, resolved))), own)


@lru_cache
def options_of_groups(configs: Path, searchpath: Sequence[str], state: object) -> dict[str, list[str]]:  # noqa: ARG001
    """The options of each group. `state` is a key of the cache: it changes with the files.

    Raises:
        ConfigError: Hydra cannot read the directory.
    """
    try:
        with hydra.initialize_config_dir(str(configs), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            groups = [group for group in loader.list_groups("") if group != "hydra"]
            options = {g: loader.get_group_options(g, None, "config", list(searchpath)) for g in groups}
    except Exception as error:
        raise ConfigError(hydra_message(error)) from None
    return {group: sorted(set(names)) for group, names in options.items()}


@lru_cache
def merged_files(configs: Path, words: tuple[str, ...], state: object) -> tuple[DictConfig, dict[str, Any]]:  # noqa: ARG001
    """Hydra's own section, and the values in the files that `words` choose. `state` is as above.

    Raises:
        ConfigError: Hydra cannot compose them.
    """
    try:
        with warnings.catch_warnings(), hydra.initialize_config_dir(str(configs), version_base="1.3"):
            warnings.simplefilter("ignore")  # Hydra's warnings would be further lines
            config = hydra.compose("config", list(words), return_hydra_config=True)
    except Exception as error:
        text = hydra_message(error)
        raise ConfigError(missing_launcher(text) or text) from None
    with open_dict(config):
        own = config.pop("hydra")
    return own, cast("dict[str, Any]", OmegaConf.to_container(config))


def missing_launcher(text: str) -> str | None:
    """If Hydra does not find a launcher because its plugin is not installed, a line with the command that installs it.

    Args:
        text: Hydra's message.

    Example:
        >>> missing_launcher("Could not find 'hydra/launcher/submitit_slurm'")
        "hydra/launcher=submitit_slurm needs a package that is not installed. Install it by pip install '.[cluster]'"
    """
    found = re.search(r"Could not (?:find|load) 'hydra/launcher/(\w+)'", text)
    extra = EXTRAS.get(found[1]) if found else None
    if found is None or extra is None:
        return None
    return f"hydra/launcher={found[1]} needs a package that is not installed. Install it by pip install '.[{extra}]'"


def with_values(tree: Mapping[str, Any], overrides: Iterable[Override]) -> dict[str, Any]:
    """A copy of the nested values with the overrides applied. A mapping changes only those keys of a section it names.

    Raises:
        ConfigError: a part of a dotted key is not a section.
    """
    changed = deepcopy(dict(tree))
    for o in overrides:
        *sections, name = bare(o).split(".")
        section: Any = changed
        for part in sections:
            section = section.get(part)
            if not isinstance(section, dict):
                raise ConfigError(unknown_key(bare(o), all_keys()))
        value, before = o.value(), section.get(name)
        section[name] = {**before, **value} if isinstance(value, dict) and isinstance(before, dict) else value
    return changed


def with_absolute_paths(config: Config) -> Config:
    """The configuration with absolute paths of the data."""
    places = {key: getattr(config.data, key) for key in ("path", "root") if hasattr(config.data, key)}
    return replace(
        config, data=replace(config.data, **{k: str(absolute(place, f"data.{k}")) for k, place in places.items()})
    )


def absolute(path: str, key: str) -> Path:
    """The absolute path. `~` is the home directory.

    Raises:
        ConfigError: it begins with `~name`, and no user of that name has a home directory.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(f"{key} must be a path, got {path}, whose user has no home directory") from None


@lru_cache
def all_keys() -> set[str]:
    """The dotted keys of all options of all groups."""
    first = {group: next(iter(options)) for group, options in OPTIONS.items()}
    others = [{**first, group: option} for group, options in OPTIONS.items() for option in options]
    return {key for choices in others for key in known_keys(choices)}


def refuse_prefix(o: Override, groups: Iterable[str]) -> None:
    """Refuse Hydra's prefixes `+`, `++` and `~`, which add and remove keys: the keys of a run are fixed.

    Only further settings of Slurm may be added.

    Raises:
        ConfigError: there is such a prefix.
    """
    if not (o.is_add() or o.is_force_add() or o.is_delete()):
        return
    key, text, known = bare(o), str(o.input_line), all_keys()
    if re.fullmatch(FURTHER_KEYS, key) and not o.is_delete():
        return
    if not key or key not in {*groups, *known, *(name.rpartition(".")[0] for name in known)}:
        raise ConfigError(unknown_key(key, known))
    if o.is_delete():
        raise ConfigError(f"{key} cannot be removed, every run has one, got {text}. Set it instead")
    raise ConfigError(f"{key} needs no '+', got {text}. Write {text.lstrip('+')}")


def bare(o: Override) -> str:
    """The key of an override without the `+`, `++` or `~` before it."""
    return o.get_key_element().lstrip("+~")


def hydra_message(error: BaseException) -> str:
    """The message of an error of Hydra or OmegaConf in one line, without the hints that do not apply here."""
    hints = ("full_key:", "object_type=", "reference_type=", "See ", "To append", "Config search path", "Set the env")
    texts: list[str] = []
    while True:
        said = re.sub(r"(?s)(Config s|S)earch path:.*", "", str(error))
        lines = [line.strip() for line in said.splitlines()]
        text = " ".join(line for line in lines if line and not line.startswith(hints)).rstrip(".: ")
        if text and not any(text in outer for outer in texts):
            texts.append(text)
        if error.__cause__ is None:
            return ": ".join(texts)
        error = error.__cause__
