"""Hydra's composition of a configuration, with the errors it lacks: every one a line that says how to go on."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import Field, fields, is_dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString, RangeSweep
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from vae.app.command_line.wording import near, near_key, said_by
from vae.config import Config, ConfigError, check_places, rule, typed
from vae.config import plain as plain_values
from vae.config.options import OPTIONS
from vae.run.record import Record

LARGEST_SWEEP = 10_000  # members


def register_schema() -> None:
    """Tell Hydra the types that the files of `configs/` name in their defaults lists."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, options in OPTIONS.items():
        for option, node in options.items():
            store.store(group=group, name=f"{option}_schema", node=node)


def compose(overrides: Sequence[str], configs: Path) -> Config:
    """The configuration of one run.

    Args:
        overrides: Hydra's, as in `["beta=4", "model=conv"]`.
        configs: the directory of `config.yaml`.

    Raises:
        ConfigError: one line, whatever is wrong.
    """
    register_schema()
    composer = Composer(configs)
    return composer.stored(composer.parse(overrides)).config


class Composer:
    """Hydra's composition of one directory of files, in two steps so that each error is found where it is made.

    Hydra merges the files that the groups choose; the values are then set one by one, in Hydra's order and with
    Hydra's rules. Members of a sweep that choose the same files share the first step, which is the slow one.

    Args:
        directory: of the configuration files, such as `configs`.
        name: of the primary file.
        extra: one more directory to look in, as `--config-dir` has it.
    """

    def __init__(self, directory: Path, name: str = "config", extra: str | None = None) -> None:
        for option, folder in (("--config-path", directory), ("--config-dir", extra)):
            if folder is not None and not Path(folder).is_dir():
                raise ConfigError(f"{option} must be a directory, got {folder}")
        self.files = str(directory.resolve())
        self.name = name
        place = "" if extra is None else quoted(f"file://{Path(extra).absolute()}")
        self.extra = [f"hydra.searchpath=[{place}]"] if place else []
        with self._initialized():
            loader = GlobalHydra.instance().config_loader()
            self.parser = OverridesParser.create(loader)
            groups = [group for group in loader.list_groups("") if group != "hydra"]
            self.groups = {group: named_options(loader.get_group_options(group)) for group in groups}
        self._parsed: dict[str, Override] = {}
        self._merged: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = {}

    def _initialized(self) -> AbstractContextManager[None]:
        return cast("AbstractContextManager[None]", initialize_config_dir(self.files, "train", "1.3"))

    def _options(self, group: str, overrides: Sequence[str]) -> list[str]:
        """The options of a group, also those in the places that `hydra.searchpath` among the overrides names."""
        with self._initialized():
            loader = GlobalHydra.instance().config_loader()
            words = [*self.extra, *overrides]
            return named_options(loader.get_group_options(group, config_name=self.name, overrides=words))

    def parse(self, texts: Iterable[str]) -> list[Override]:
        """What Hydra's grammar reads in `texts`."""
        return [self._parsed.get(text) or self._parsed.setdefault(text, self._read(text)) for text in texts]

    def _read(self, text: str) -> Override:
        try:
            return self.parser.parse_overrides([text])[0]
        except Exception as error:
            parser_talk = rf"LexerNoViableAltException: .*|Error parsing override '{re.escape(text)}'| expecting .*"
            why = re.sub(parser_talk, "", said_by(error)).strip()
            key, _, value = text.partition("=")
            raise ConfigError(
                f"cannot read {text}{f' ({why})' if why else ''}. A key has letters, digits, _ and dots; "
                f'quote an unusual value: "{key}={quoted(value)}"'
            ) from None

    def members(self, overrides: Sequence[Override]) -> list[list[Override]]:
        """The overrides of each run of a sweep, as Hydra's sweeper multiplies them out."""
        size = 1
        for sweep in (o for o in overrides if o.is_sweep_override()):
            if not sweep.is_discrete_sweep():
                raise ConfigError(f"a sweep is a list or a range, got {sweep.input_line}. Use choice or range")
            value = sweep.value()
            try:
                values: Iterable[Any] = value.range() if isinstance(value, RangeSweep) else sweep.sweep_iterator()
                size *= sum(1 for _ in islice(values, LARGEST_SWEEP + 1))
            except Exception as error:
                raise ConfigError(f"a sweep needs values to count, got {sweep.input_line}: {said_by(error)}") from None
            if size == 0:
                raise ConfigError(f"a sweep needs at least one value, got {sweep.input_line}")
        if size > LARGEST_SWEEP:
            raise ConfigError(f"a sweep may have {LARGEST_SWEEP} members, got more. Run it in parts")
        choices = [
            [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [str(o.input_line)]
            for o in overrides
        ]
        return [self.parse(member) for member in product(*choices)]

    def stored(self, overrides: Sequence[Override]) -> Record:
        """The configuration of one run, every value in its range.

        Raises:
            ConfigError: one line, whatever is wrong.
        """
        config = self.configured(overrides)
        try:
            OmegaConf.to_object(config)  # which checks every range
            values = plain(config)
        except OmegaConfBaseException as error:  # an interpolation without a value, or a value nobody gave
            key = (error.full_key or "").partition("[")[0]
            known = leaves(config)
            if isinstance(error, MissingMandatoryValue):
                raise ConfigError(f"{key} must be given, as in {key}=..., it {must(known[key])}") from None
            rule_of_key = f"{key} {must(known[key])}: " if key in known else ""
            raise ConfigError(rule_of_key + said_by(error).removesuffix(f" (key {error.full_key})")) from None
        chosen = self.hydra(overrides).runtime.choices
        choices = {str(g): str(o) for g, o in chosen.items() if not str(g).startswith("hydra/") and o is not None}
        return Record(choices, typed(choices, with_absolute_paths(values)))

    def configured(self, overrides: Sequence[Override]) -> DictConfig:
        """The files and the values as Hydra merges them, without Hydra's own section."""
        config = deepcopy(self._files(overrides)[1])
        known = leaves(config)
        for o in overrides:
            if not o.is_hydra_override() and bare(o) not in self.groups:
                set_value(config, known, o, self.groups)
        return config

    def hydra(self, overrides: Iterable[Override]) -> DictConfig:
        """Hydra's own section."""
        return self._files(overrides)[0]

    def directory(self, overrides: Sequence[Override], key: str, number: int = 0) -> str:
        """Where the output goes: `hydra.run.dir`, `hydra.sweep.dir` or, of a member's number, `hydra.sweep.subdir`."""
        config = self.configured(overrides)
        with open_dict(config):
            config.hydra = self.hydra(overrides)
            config.hydra.job.num = number
        singleton = HydraConfig.instance()
        before = singleton.cfg
        singleton.set_config(config)  # the name asks it for the choices of the groups
        try:
            return str(OmegaConf.select(config, key))
        finally:
            singleton.cfg = before

    def _files(self, overrides: Iterable[Override]) -> tuple[DictConfig, DictConfig]:
        choices = tuple(self._choices(overrides))
        if choices not in self._merged:
            self._merged[choices] = self._merge(choices)
        return self._merged[choices]

    def _choices(self, overrides: Iterable[Override]) -> Iterator[str]:
        """The overrides that Hydra needs to find the files, once they are known to be right."""
        given = list(overrides)
        for o in given:
            key, text = bare(o), str(o.input_line)
            if o.is_sweep_override():
                if o.is_hydra_override():
                    raise ConfigError(f"a sweep cannot vary Hydra's own keys, got {text}")
                raise ConfigError(f"one run takes one value of {key}, got {text}. Add -m for a sweep, [] for a list")
            if not o.is_hydra_override() and key in self.groups:
                options = self.groups[key]
                if o.value() not in options:
                    options = self._options(
                        key, [str(other.input_line) for other in given if other.is_hydra_override()]
                    )
                allowed = f"must be one of {', '.join(options)}"
                optional = key not in Config.__dataclass_fields__
                _refuse_prefix(o, allowed, "Leave it out for none" if optional else "Set it instead")
                if o.value() not in options:
                    hint = near(o.get_value_string(), options) or " Leave it out for none" * optional
                    raise ConfigError(f"{key} {allowed}, got {o.get_value_string() or 'nothing'}.{hint}")
            if o.is_hydra_override() or key in self.groups:
                yield text

    def _merge(self, choices: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        words = list(choices)
        if self.extra and any(word.startswith("hydra.searchpath=") for word in words):
            raise ConfigError("--config-dir and hydra.searchpath name the same thing, got both. Use one of them")
        try:
            with warnings.catch_warnings(), self._initialized():
                warnings.simplefilter("ignore")  # of Hydra's own, on words that are refused below
                config = hydra_compose(self.name, [*self.extra, *words], return_hydra_config=True)
        except Exception as error:
            said = said_by(error)
            if choices and (found := re.match(r"In '(.+?)': .*: Key '.*' not in .* \(key (\S+)\)$", said)):
                raise ConfigError(
                    f"{found[1]}.yaml: {unknown(found[2], leaves(self.configured([])), self.groups)}"
                ) from None
            raise ConfigError(said) from None
        with open_dict(config):
            hydra = config.pop("hydra")
        if OmegaConf.get_type(config) is not Config:
            raise ConfigError(f"{self.name}.yaml must name the types. Begin its defaults list with schema")
        for group in ("data", *OPTIONS):
            if not is_dataclass(OmegaConf.get_type(config, group)):
                raise ConfigError(f"{group} must be chosen in a defaults list, as in `override /{group}: ...`")
        return hydra, config


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
    """The values of a composed configuration, references resolved."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True, enum_to_str=True))


def container(record: Record) -> DictConfig:
    """The values of a record in OmegaConf's containers, which know the type of each."""
    schema = OmegaConf.structured(Config)
    for group, options in OPTIONS.items():
        schema[group] = OmegaConf.structured(options[record.choices[group]])
    return cast("DictConfig", OmegaConf.merge(schema, OmegaConf.create(_escaped(plain_values(record.config)))))


def named_options(files: Iterable[str]) -> list[str]:
    """The options that a person may choose: not the types, which are only for the defaults lists."""
    return sorted({option for option in files if not option.endswith("_schema")})


def with_absolute_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the places of data as they are from any directory.

    Raises:
        ConfigError: a place is empty.
    """
    data = dict(values["data"])
    check_places(data)
    for key in ("path", "root"):
        if key in data:
            data[key] = str(absolute(data[key], f"data.{key}"))
    return {**values, "data": data}


def absolute(path: str, key: str) -> Path:
    """A path from any directory, whose ~ is a home.

    Raises:
        ConfigError: it begins with the ~ of a user who has no home.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(f"{key} must be a path, got {path}, whose user has no home") from None


def set_value(config: DictConfig, known: Mapping[str, Field[Any]], o: Override, groups: Iterable[str]) -> None:
    """Set the value, or the values of a section, that an override gives.

    Raises:
        ConfigError: the key is unknown, or the value is none of its.
    """
    key, value = bare(o), o.value()
    below = [name for name in known if name.startswith(f"{key}.")]
    if key in known:
        _refuse_prefix(o, must(known[key]), "Set it instead")
        _update(config, known[key], key, value, o.get_value_string())
    elif not below:
        raise ConfigError(unknown(key, known, groups))
    elif not isinstance(value, dict) or o.type is not OverrideType.CHANGE:
        raise ConfigError(f"{key} is a section, got {o.input_line}. Set {', '.join(below)}")
    else:
        for name, entry in value.items():
            dotted = f"{key}.{name}"
            if dotted not in known:
                raise ConfigError(unknown(dotted, known, groups))
            _update(config, known[dotted], dotted, entry, str(entry))


def unknown(key: str, known: Iterable[str], groups: Iterable[str]) -> str:
    """What to say of a key that is not known: which option it belongs to, or the nearest known one."""
    owners = {
        f"{group}.{f.name}": f"{group}={option}"
        for group, options in OPTIONS.items()
        for option, kind in options.items()
        for f in fields(kind)
    }
    if key in owners:
        return f"{key} is a key of {owners[key]} only. Choose that, or leave {key} out"
    hint = near_key(key, [*owners, *known, *groups])
    return f"unknown key {key or repr(key)}.{hint or ' --cfg job lists the known ones'}"


def leaves(section: DictConfig, prefix: str = "") -> dict[str, Field[Any]]:
    """The dotted key of every value below `section`, with its field."""
    found: dict[str, Field[Any]] = {}
    for f in fields(cast(Any, OmegaConf.get_type(section))):
        if is_dataclass(OmegaConf.get_type(section, f.name)):
            found |= leaves(section[f.name], f"{prefix}{f.name}.")
        else:
            found[prefix + f.name] = f
    return found


def bare(o: Override) -> str:
    """The key without the `+`, `++` or `~` before it."""
    return o.get_key_element().lstrip("+~")


def must(leaf: Field[Any]) -> str:
    """The rule of a value."""
    return f"must be {rule(leaf.type, leaf.metadata)}"


def _update(config: DictConfig, leaf: Field[Any], key: str, value: Any, text: str) -> None:
    """Set one value as Hydra does; `text` is what was written for it."""
    try:
        if value == "???":  # OmegaConf's mark of a value that nobody gave
            raise ValueError
        OmegaConf.update(config, key, value, merge=True)
    except Exception:
        raise ConfigError(f"{key} {must(leaf)}, got {text or 'nothing'}") from None


def _refuse_prefix(o: Override, must: str, instead: str) -> None:
    """Hydra's `+`, `++` and `~` add and remove keys; a run has the keys it has."""
    key = bare(o)
    if o.is_delete():
        raise ConfigError(f"{key} cannot be removed, it {must}. {instead}")
    if o.is_add() or o.is_force_add():
        text = str(o.input_line)
        raise ConfigError(f"{key} needs no '+', got {text}. Write {text.lstrip('+')}")


def quoted(text: str) -> str:
    """A text as Hydra's grammar reads it back."""
    return str(QuotedString(text, Quote.single).with_quotes())
