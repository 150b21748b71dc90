"""The configuration of a run, stored in its directory.

A run is resumed and evaluated with this record, not with the command that started it. Nothing in a directory is
imported, and nothing in it decides where files are written. The record is a YAML file whose first line is the checksum
of the rest. The folder of the checkpoints has a copy.
"""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vae.config import Config, ConfigError, flat, plain, typed
from vae.config.options import FREE, OPTIONS
from vae.config.preparation import Preparation, plain_preparation, preparation_of
from vae.run.files import read_regular, write_atomically
from vae.run.names import CONFIGURATION, CONFIGURATION_COPY
from vae.run.summary import read_origin

log = logging.getLogger(__name__)

FIRST_LINE = b"# beta-vae configuration, sha256 of what follows: "
NOTE = f"# Do not edit: the checksum would fail. The same is in {CONFIGURATION_COPY}.\n".encode()
LARGEST_BYTES = 100_000_000  # of a record. A usual one has two thousand; that of a table has 70 more for each column
DEEPEST = 50  # sections and lists inside each other
# The loader in C is ten times as fast, and refuses paths of bytes that are no characters.
LOADERS: Sequence[Any] = (*filter(None, [getattr(yaml, "CSafeLoader", None)]), yaml.SafeLoader)
GOLDEN_CHOICES = ".hydra/hydra.yaml"
GOLDEN_CACHE = "${oc.env:XDG_CACHE_HOME,'~/.cache'}"


@dataclass(frozen=True)
class Record:
    """The configuration of a run as it is stored.

    Attributes:
        choices: the option of each group, as in `{"model": "conv"}`.
        config: the checked values.
        data_sha256: the sha256 of each file of images, by name. Empty until the images have been read.
        preparation: how images became x. None until the images have been read.
    """

    choices: Mapping[str, str]
    config: Config
    data_sha256: Mapping[str, str] = field(default_factory=dict)
    preparation: Preparation | None = None


class Task(NamedTuple):
    """A run to start or to resume: its directory and its configuration."""

    directory: Path
    record: Record
    may_write_data: bool = True  # whether to write downloaded or generated data to the configured place


def write(directory: Path, record: Record) -> None:
    """Write the record and its copy into the directory of a run.

    Raises:
        OSError: it cannot be written.
    """
    config = replace(record.config, resume=None, sweep=None)  # they name the directory, which may be moved
    preparation = None if record.preparation is None else plain_preparation(record.preparation)
    read_data = {"data_sha256": dict(record.data_sha256), "preparation": preparation}
    tree = {"choices": dict(record.choices), **read_data, **plain(config)}
    body = NOTE + yaml.safe_dump(tree, sort_keys=False, width=10**6).encode("ascii")
    content = _first_line_of(body) + b"\n" + body
    for name in (CONFIGURATION_COPY, CONFIGURATION):
        path = directory / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)


def read(directory: Path) -> Record:
    """The record of the run in `directory`. If the file is missing or damaged, its copy is used, with a warning.

    Raises:
        ConfigError: both are missing or damaged, or they are of two runs.
    """
    original, copy = directory / CONFIGURATION, directory / CONFIGURATION_COPY
    records, problems = {}, []
    for path in (original, copy):
        try:
            records[path] = _parsed(path)
        except ConfigError as error:
            problems.append(str(error))
    match list(records):
        case [first, second]:
            if differences := changes(records[first], records[second], FREE | {"data.path"}):
                raise ConfigError(
                    f"{first} and {second} are of two runs: {', '.join(differences)}. Remove the wrong one"
                )
            return records[second]  # the copy is written first, so it is the newer one
        case [usable]:
            log.warning(f"warning: {problems[0]}. {usable} is used")
            return records[usable]
    if not (original.exists() or copy.exists()):
        member = min(directory.glob(f"*/{CONFIGURATION}"), default=None)
        fix = "" if member is None else f". Name a run in it, as in {member.parent.parent}"
        raise ConfigError(f"{directory} must be the directory of a run, it has no {CONFIGURATION}{fix}")
    if not copy.exists() and (directory / GOLDEN_CHOICES).exists():
        return _golden(directory)
    raise ConfigError("; ".join(problems) + ". Restore one of them, or start a new run")


def changes(before: Record, after: Record, free: Collection[str] = FREE) -> list[str]:
    """The keys whose values differ, with both values. `free` has keys and sections that are not compared."""
    chosen = [
        f"{group} {before.choices.get(group)} -> {after.choices.get(group)}"
        for group in OPTIONS
        if type(getattr(before.config, group)) is not type(getattr(after.config, group))
    ]
    # If the options of a group differ, its keys are not listed as well.
    skipped = {*free, *(line.partition(" ")[0] for line in chosen)}
    old, new = (_without(skipped, record) for record in (before, after))
    changed = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    return chosen + [f"{key} {old.get(key)} -> {new.get(key)}" for key in changed]


def fingerprint(record: Record) -> str:
    """A checksum of all values that the numbers of a run depend on. A checkpoint fits a run with its fingerprint."""
    kinds = {group: type(getattr(record.config, group)).__name__ for group in OPTIONS}
    content = json.dumps([kinds, _without(FREE | {"data.path"}, record)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _without(skipped: Collection[str], record: Record) -> dict[str, Any]:
    """The values by dotted key, without the keys and sections in `skipped`."""
    return {k: v for k, v in flat(record.config).items() if k not in skipped and k.partition(".")[0] not in skipped}


def _first_line_of(body: bytes) -> bytes:
    return FIRST_LINE + hashlib.sha256(body).hexdigest().encode()


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _parsed(path: Path) -> Record:
    first, _, body = _content(path).partition(b"\n")
    if first != _first_line_of(body):
        raise ConfigError(f"{path} was edited or is damaged: its checksum does not match")
    try:
        return _record_in(body)
    except ConfigError as error:
        raise ConfigError(f"{path} is not of this version of beta-vae: {error}") from None


@lru_cache(maxsize=1_000)  # a record is read with its copy, and for a sweep several times, and takes 10 ms
def _record_in(body: bytes) -> Record:
    return record_of(safe_yaml(body))


def record_of(tree: Any) -> Record:
    """The record that the content of a YAML file describes.

    Raises:
        ConfigError: the content is not a record, or a key or value is wrong.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"it must hold a configuration, got {type(tree).__name__}")
    values = {"sweep": None, **tree}  # runs of November 2026 have no such key
    if isinstance(tracking := values.get("tracking"), dict):
        values["tracking"] = {"explorer": True, "details": None, **tracking}  # likewise
    choices, data = values.pop("choices", None), values.pop("data_sha256", {})
    preparation = values.pop("preparation", None)
    for section in (choices, data):
        if not isinstance(section, dict) or not all(isinstance(x, str) for pair in section.items() for x in pair):
            raise ConfigError(f"it must name the choices and the checksums of the data, got {section}")
    return Record(choices, typed(choices, values), data, None if preparation is None else preparation_of(preparation))


def _golden(directory: Path) -> Record:
    """The record of the run in `tests/golden` of November 2026, which is two files without a checksum."""
    try:
        tree = safe_yaml(_content(directory / CONFIGURATION))
        chosen = safe_yaml(_content(directory / GOLDEN_CHOICES))["hydra"]["runtime"]["choices"]
        tree["choices"] = {group: chosen[group] for group in OPTIONS}
        tree["data"]["root"] = tree["data"]["root"].replace(GOLDEN_CACHE, os.environ.get("XDG_CACHE_HOME", "~/.cache"))
        tree |= {"evaluate_every_epochs": 1, "metrics": []}  # these keys did not exist
        tree["data_sha256"] = read_origin(directory).fields.get("data_sha256", {})
        return record_of(tree)
    except (LookupError, TypeError, AttributeError, ConfigError) as error:
        raise ConfigError(
            f"{directory / CONFIGURATION} is not the configuration of a run: {error}. Start a new run"
        ) from None


def safe_yaml(text: bytes) -> Any:
    """The content of a YAML text of plain types, without aliases, with which a few lines can describe gigabytes.

    Raises:
        ConfigError: it is damaged.
    """
    problem: Exception | None = None
    for loader in LOADERS:
        try:
            refuse_unusual(text, loader)
            return yaml.load(text, loader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problem = error
    raise ConfigError(f"it is damaged: {' '.join(str(problem).split())[:200]}")


def refuse_unusual(text: bytes, loader: Any) -> None:
    """Refuse a YAML text with aliases, or with too many sections inside each other.

    Raises:
        YAMLError: it has such, or it is damaged.
    """
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it refers to itself")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError("it is too deeply nested")
