"""The configuration that is stored in a run's directory.

A run is continued, evaluated and shown by this record, never by the words it was started with: a directory is data,
and nothing in it is imported or decides what is written where. The record is one YAML file with its checksum in the
first line, and a second copy of it beside the checkpoints.
"""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae.config import Config, ConfigError
from vae.config.options import OPTIONS
from vae.run.files import read_regular, write_atomically
from vae.run.names import CONFIGURATION, CONFIGURATION_COPY
from vae.run.summary import read_origin

log = logging.getLogger(__name__)

MAGIC = b"# beta-vae configuration, sha256 of what follows: "
NOTE = f"# Do not edit: the checksum would fail. The same is in {CONFIGURATION_COPY}.\n".encode()
LARGEST_BYTES = 1_000_000  # of a record; ours have some two thousand

OLDER_CHOICES = ".hydra/hydra.yaml"
OLDER_CACHE = "${oc.env:XDG_CACHE_HOME,'~/.cache'}"
OLDER_MISSING: Mapping[str, Any] = {"evaluate_every_epochs": 1, "metrics": []}  # keys that are younger than those runs

OLDER_IMAGES: Mapping[str, Any] = {"background": "black", "colour": "auto"}

# What a continued run may change: how long, where and how visibly it trains, but not what it computes.
FREE = {"epochs", "early_stopping_epochs", "resume", "device", "threads", "compile", "disentanglement"}
FREE |= {"tracking", "data.root", "data.download", "data.timeout_seconds"}


@dataclass(frozen=True)
class Stored:
    """A configuration as plain data.

    Attributes:
        choices: the option of each group, as in `{"model": "conv"}`.
        values: every value of `vae.config.Config`, nested by section; choices of one word as text.
        data_sha256: of what the images were read from, by the file's name. Empty until they have been read.
    """

    choices: Mapping[str, str]
    values: Mapping[str, Any]
    data_sha256: Mapping[str, str] = field(default_factory=dict)

    def typed(self) -> DictConfig:
        """The values in OmegaConf's containers, which know the type of each.

        Raises:
            ConfigError: an option, a key or a type is unknown.
        """
        schema = OmegaConf.structured(Config)
        for group, options in OPTIONS.items():
            option = self.choices.get(group, "nothing")
            if option not in options:
                raise ConfigError(
                    f"the stored configuration must choose one of {', '.join(options)} for {group}, it has {option}. "
                    "Start a new run"
                )
            schema[group] = OmegaConf.structured(options[option])
        try:
            # Added to the tree as they are: a text that looks like a reference stays a text.
            return cast("DictConfig", OmegaConf.merge(schema, OmegaConf.create(_escaped(self.values))))
        except OmegaConfBaseException as error:
            raise _another_version(error) from None

    def config(self) -> Config:
        """The checked configuration.

        Raises:
            ConfigError: a value has the wrong type or is out of its range.
        """
        try:
            return cast("Config", OmegaConf.to_object(self.typed()))
        except OmegaConfBaseException as error:
            raise _another_version(error) from None

    def changed(self, **values: Any) -> "Stored":
        """The same with other values of the root."""
        return replace(self, values={**self.values, **values})


def _another_version(error: OmegaConfBaseException) -> ConfigError:
    reason = " ".join(str(error).split())
    return ConfigError(f"the stored configuration is not of this version: {reason}. Start a new run")


def literal(text: str) -> str:
    r"""A text as OmegaConf reads it back: `${` in it is no reference.

    Example:
        >>> OmegaConf.create({"path": literal("/tmp/${HOME}")}).path
        '/tmp/${HOME}'
    """
    parts = text.split("${")
    escaped = [part[: len(part.rstrip("\\"))] + 2 * part[len(part.rstrip("\\")) :] for part in parts[:-1]]
    return "\\${".join([*escaped, parts[-1]])


def _escaped(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _escaped(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_escaped(value) for value in tree]
    return literal(tree) if isinstance(tree, str) else tree


def plain(config: DictConfig) -> dict[str, Any]:
    """The values of a composed configuration, references resolved, as `Stored.values` has them."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, enum_to_str=True))


def write(directory: Path, stored: Stored) -> None:
    """Leave the record and its copy in the directory of a run.

    Raises:
        OSError: it cannot be written.
    """
    # A run's directory knows where it is: it may be moved.
    values = {**stored.values, "resume": None}
    tree = {"choices": dict(stored.choices), "data_sha256": dict(stored.data_sha256), **values}
    body = NOTE + yaml.safe_dump(tree, sort_keys=False, width=10**6).encode("ascii")
    content = MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    for name in (CONFIGURATION_COPY, CONFIGURATION):
        path = directory / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def read(directory: Path) -> Stored:
    """The record of the run in `directory`; its copy, with a warning, where the record cannot be used.

    Raises:
        ConfigError: there is none, or both are damaged.
    """
    reasons, found = [], []
    for name in (CONFIGURATION, CONFIGURATION_COPY):
        path = directory / name
        try:
            found.append(_parsed(_content(path), path))
            usable = path
        except ConfigError as error:
            reasons.append(str(error).removesuffix(". Start a new run"))
    differences = changes(found[0], found[-1], FREE | {"data.path"}) if found else []
    if differences:
        raise ConfigError(
            f"{directory / CONFIGURATION} and {directory / CONFIGURATION_COPY} are of two runs: "
            f"{', '.join(differences)}. Remove the wrong one"
        )
    if found:
        if reasons:
            log.warning(f"warning: {reasons[0]}. {usable} is used")
        return found[-1]  # of two, the copy is written first
    if (directory / OLDER_CHOICES).exists() and not (directory / CONFIGURATION_COPY).exists():
        return _older(directory)
    if not any((directory / name).exists() for name in (CONFIGURATION, CONFIGURATION_COPY)):
        raise ConfigError(f"{directory} must be the directory of a run, it has no {CONFIGURATION}")
    raise ConfigError("; ".join(reasons) + ". Bring one of them back, or start a new run")


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _parsed(content: bytes, path: Path) -> Stored:
    first, _, body = content.partition(b"\n")
    if first != MAGIC + hashlib.sha256(body).hexdigest().encode():
        raise ConfigError(f"{path} was edited or is damaged: its checksum does not match")
    try:
        stored = of_tree(safe_yaml(body), path)
        stored.config()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return stored


def of_tree(tree: Any, path: Path) -> Stored:
    """The record in what YAML gave.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a configuration, it has something else")
    values = dict(tree)
    choices, data = values.pop("choices", None), values.pop("data_sha256", {})
    for section in (choices, data):
        texts = isinstance(section, dict) and all(isinstance(x, str) for pair in section.items() for x in pair)
        if not texts:
            raise ConfigError(f"{path} must name the choices and the checksums of the data, it does not")
    return Stored(choices, values, data)


def _older(directory: Path) -> Stored:
    """The configuration of a run of November 2026: in the two files that Hydra wrote, without a checksum."""
    try:
        tree = safe_yaml(_content(directory / CONFIGURATION))
        chosen = safe_yaml(_content(directory / OLDER_CHOICES))["hydra"]["runtime"]["choices"]
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        places = {k: v.replace(OLDER_CACHE, cache) for k, v in tree["data"].items() if k in ("root", "path")}
        tree = {**OLDER_MISSING, **tree, "data": {**tree["data"], **places}}
        if chosen["data"] == "images":
            tree["data"] = {**OLDER_IMAGES, **tree["data"]}
        tree["choices"] = {k: v for k, v in chosen.items() if isinstance(v, str) and not k.startswith("hydra/")}
        tree["data_sha256"] = read_origin(directory).fields.get("data_sha256", {})
        return of_tree(tree, directory / CONFIGURATION)
    except ConfigError as error:
        raise ConfigError(f"{directory / CONFIGURATION}: {error}. Start a new run") from None
    except (OSError, LookupError, TypeError, AttributeError):
        raise ConfigError(
            f"{(directory / CONFIGURATION).parent} does not hold the configuration of a run. Start a new run"
        ) from None


class _NoAliases(yaml.SafeLoader):
    """YAML's plain types, without references: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it refers to itself")
        return super().compose_node(parent, index)


def safe_yaml(text: bytes) -> Any:
    """What a short YAML text holds.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return yaml.load(text, _NoAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"it is damaged: {' '.join(str(error).split())[:200]}") from None


def changes(before: Stored, after: Stored, free: Collection[str] = FREE) -> list[str]:
    """The keys, but for the `free` ones, whose values differ, with both values."""
    old, new = flat(before.values), flat(after.values)
    chosen = [
        f"{group} {before.choices.get(group)} -> {after.choices.get(group)}"
        for group in OPTIONS
        if OPTIONS[group].get(before.choices.get(group, "")) is not OPTIONS[group].get(after.choices.get(group, ""))
    ]
    if chosen:  # their keys differ, too, which says nothing more
        groups = {line.partition(" ")[0] for line in chosen}
        old, new = ({k: v for k, v in values.items() if k.partition(".")[0] not in groups} for values in (old, new))
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    changed = [key for key in changed if key not in free and key.partition(".")[0] not in free]
    return chosen + [f"{key} {old.get(key)} -> {new.get(key)}" for key in changed]


def flat(section: Any, prefix: str = "") -> dict[str, Any]:
    """The values below `section` by their dotted keys."""
    if not isinstance(section, Mapping):
        return {prefix[:-1]: section}
    return {key: value for name, below in section.items() for key, value in flat(below, f"{prefix}{name}.").items()}


def fingerprint(stored: Stored) -> str:
    """A checksum of all that decides a run's numbers: runs with the same fingerprint may continue each other."""
    deciding = {
        key: value
        for key, value in flat(stored.values).items()
        if key not in FREE | {"data.path"} and key.partition(".")[0] not in FREE
    }
    kinds = {group: options[stored.choices[group]].__name__ for group, options in OPTIONS.items()}
    content = json.dumps([kinds, deciding], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class Task(NamedTuple):
    """A run to make or to go on with: where, and its checked configuration."""

    directory: Path
    stored: Stored
    may_write_data: bool = True  # whether data may be fetched to the place that the configuration names
