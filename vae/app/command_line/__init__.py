"""From the arguments of `python train.py` to runs with a checked configuration, or to an error of one line.

Hydra composes the configuration files. This package adds three things. An unknown key is refused, with the nearest
known one. All members of a sweep are checked before the first one trains. A run is resumed by the configuration that
is stored in its directory. Torch is imported only to look for an accelerator.

A word is one argument of the command line, such as `beta=4`.
"""

import os
import re
import sys
import warnings
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.types import RunMode

from vae.app import console
from vae.app.command_line.composition import Composed, Composer, absolute, bare, hydra_message, parse_override
from vae.app.command_line.extending import Extension
from vae.app.command_line.naming import LONGEST_NAME, member_name, run_name, sweep_name
from vae.app.command_line.resuming import resumed, with_overrides
from vae.app.command_line.showing import USAGE, help_text, show_by_hydra
from vae.app.console import one_line
from vae.app.foreign import imported, named_parts, refuse_unnamed_parts
from vae.app.invocation import UsageError
from vae.app.launchers import checked_settings, is_cluster
from vae.app.slurm import check_launcher
from vae.config import Config, ConfigError, Device, near, plain
from vae.config.options import FREE, OPTIONS
from vae.config.words import quoted
from vae.run import record
from vae.run.directory import has_checkpoint, holds_a_run
from vae.run.record import Record, Task, changes

__all__ = ["AGAIN", "MEMBER_OPTION", "Command", "begun_record", "checked", "compose", "compose_members", "one_line"]

MEMBER_OPTION = "--member"  # a sweep starts the process of a member by this option and the member's directory
AGAIN = 75  # the exit code of such a process if another one trains there: the sweep tries again
PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
PATHS = (*PLACES, "resume", "data.path", "data.root")  # keys whose values may have any character without quotes


class OtherConfigurationError(ConfigError):
    """A member of a sweep has begun with another configuration."""


@dataclass(frozen=True)
class Command:
    """What the arguments of `python train.py` ask for.

    Attributes:
        tasks: the runs.
        sweep: the directory of the sweep. None for a single run.
        launcher: the settings of the launcher, `hydra.launcher`. None if the members train one after another.
        is_member: whether a sweep has started this process for one of its members.
        free: for a sweep, the keys that may differ from those of a member that has begun.
    """

    tasks: Sequence[Task]
    sweep: Path | None = None
    launcher: Mapping[str, Any] | None = None
    is_member: bool = False
    free: frozenset[str] = FREE


def compose(overrides: Sequence[str], configs: Path) -> Config:
    """The configuration of one run.

    Args:
        overrides: as on the command line, `["beta=4", "model=conv"]`.
        configs: the directory of `config.yaml`.

    Raises:
        ConfigError: an override or a file is wrong.
    """
    composer = Composer(configs)
    return composer.composed(map(parse_override, overrides)).record.config


def compose_members(words: Sequence[str], configs: Path) -> list[Config]:
    """The configurations of one run or of a sweep, which needs no `-m` here. Presets may be sweeps.

    Args:
        words: as on the command line, `["beta=1,4", "data=mnist"]`.
        configs: the directory of `config.yaml`.

    Raises:
        UsageError: a word is not `key=value`.
        ConfigError: a word or a file is wrong.
    """
    refuse_no_override(words)
    composer = Composer(configs)
    overrides = [parse_override(with_literal_path(word, ("resume",) if "," in word else PATHS)) for word in words]
    own, _ = composer.files(o for o in overrides if not o.is_sweep_override())
    swept = [parse_override(f"{key}={value}") for key, value in (own.sweeper.get("params") or {}).items()]
    return [composer.composed(member).record.config for member in composer.members([*swept, *overrides])]


def checked(arguments: Sequence[str], configs: Path) -> Command:
    """The checked command. An error is printed in one line and ends the process.

    Args:
        arguments: `sys.argv[1:]`.
        configs: the directory of `config.yaml`.

    Raises:
        SystemExit: 0 after `--help` and the like, 1 for a configuration that cannot be run, 2 if the arguments do not
            have the form of a command.
    """
    try:
        return command_of(arguments, configs)
    except ConfigError as error:
        code, text = 2 if isinstance(error, UsageError) else 1, str(error)
    except Exception as error:  # Hydra's errors have many types
        code, text = 1, f"{type(error).__name__}: {hydra_message(error)}"
    sys.stderr.write(f"error: {one_line(text)}\n")
    sys.exit(code)


def command_of(arguments: Sequence[str], configs: Path) -> Command:
    """The checked command, as `checked` returns it.

    Raises:
        ConfigError: the command cannot be run.
        SystemExit: 0 after `--help` and the like.
    """
    if arguments[:1] == [MEMBER_OPTION]:
        return member_command(arguments[1:])
    options = options_of(arguments)
    if options.info or options.shell_completion:
        show_by_hydra(arguments, configs)
        sys.exit(0)
    swept = options.multirun or any("mode=MULTIRUN" in text for text in options.overrides)
    # In a sweep a comma separates values, except in the places of the output, which cannot be swept.
    literal = (*PLACES, "resume")
    words = [with_literal_path(text, literal if swept and "," in text else PATHS) for text in options.overrides]
    searchpath = [word for word in words if word.startswith("hydra.searchpath=")]
    if options.config_dir is not None:
        if not Path(options.config_dir).is_dir():
            raise ConfigError(f"--config-dir must be a directory, got {options.config_dir}")
        searchpath.append(f"hydra.searchpath=[{quoted(f'file://{Path(options.config_dir).absolute()}')}]")
    if len(searchpath) > 1:
        raise ConfigError("hydra.searchpath can be given once, got it twice. --config-dir sets it too")
    composer = Composer(configs, searchpath)
    if options.help:
        console.say(help_text(configs, composer.groups))
        sys.exit(0)
    overrides = [parse_override(word) for word in words if word not in searchpath]
    runs = [str(o.value()) for o in overrides if bare(o) == "resume" and o.value() is not None]
    if runs:
        command = resume_command(runs[-1], overrides, composer, is_sweep=options.multirun)
    else:
        command = new_command(overrides, composer, is_sweep=options.multirun, is_shown=options.cfg is not None)
    if options.cfg:
        console.say(yaml.safe_dump(plain(command.tasks[0].record.config), sort_keys=False).rstrip())
        sys.exit(0)
    check_devices({task.record.config.device for task in command.tasks})
    check_output(command.sweep or command.tasks[0].directory)
    for key, text in dict.fromkeys(part for task in command.tasks for part in named_parts(task.record.config)):
        imported(text, key)
    return command


def options_of(arguments: Sequence[str]) -> Namespace:
    """The options and overrides, parsed.

    Raises:
        UsageError: there is an unknown option, or a word is neither an option nor an override.
    """
    parser = ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for short, long in (("-h", "--help"), ("-m", "--multirun"), ("-sc", "--shell-completion")):
        parser.add_argument(short, long, action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job"])
    parser.add_argument("-i", "--info", const="all", nargs="?")
    parser.add_argument("-cd", "--config-dir")
    try:
        options, rest = parser.parse_known_intermixed_args(arguments)
    except ArgumentError as error:
        raise UsageError(str(error)) from None
    if rest:
        hint = near(rest[0], re.findall(r"--[\w-]+", USAGE))
        raise UsageError(f"unknown option {rest[0]}.{hint or ' --help lists them'}")
    if not options.shell_completion:
        refuse_no_override(options.overrides)
    if options.multirun and options.cfg:
        raise UsageError("--cfg shows one configuration, got --multirun too. Leave one out")
    return options


def refuse_no_override(words: Iterable[str]) -> None:
    """Refuse words that are not `key=value`.

    Raises:
        UsageError: names the word.
    """
    for text in words:
        if "=" not in text and not text.startswith("~"):
            raise UsageError(f"every override is key=value without spaces, got {text or 'an empty word'}")


def with_literal_path(text: str, keys: Sequence[str] = PATHS) -> str:
    r"""The override with its value in quotes if the value is a path, as Hydra's grammar requires for `=`, `,` or `~`.

    Example:
        >>> with_literal_path("data.path=~/it's, mine.npz")
        "data.path='~/it\\'s, mine.npz'"
        >>> with_literal_path("data.path='quoted already'"), with_literal_path("beta=1,2")
        ("data.path='quoted already'", 'beta=1,2')
    """
    key, _, path = text.partition("=")
    as_it_is = key not in keys or path in ("", "null", "???") or path[0] in "'\""
    return text if as_it_is else f"{key}={quoted(path)}"


def new_command(overrides: Sequence[Override], composer: Composer, *, is_sweep: bool, is_shown: bool) -> Command:
    """The command for a new run, or for the sweep that `-m`, a preset or `sweep` asks for.

    Raises:
        ConfigError: it cannot be run.
    """
    own, _ = composer.files(o for o in overrides if not o.is_sweep_override())
    if not is_shown and (is_sweep or own.mode == RunMode.MULTIRUN):
        swept = [parse_override(f"{key}={value}") for key, value in (own.sweeper.get("params") or {}).items()]
        return sweep_command([*swept, *overrides], composer)
    single = composer.composed(overrides)
    if not is_shown and single.record.config.sweep is not None:
        return sweep_command(overrides, composer)
    launcher = own.runtime.choices["hydra/launcher"]
    if not is_shown and launcher != "basic":
        raise ConfigError(f"hydra/launcher={launcher} is for a sweep, got a single run. Add -m, or leave it out")
    name = single.directory("run.dir") or f"outputs/{run_name(single.record, overrides, datetime.now())}"
    return Command([Task(absolute(name, "hydra.run.dir"), single.record)])


def sweep_command(overrides: Sequence[Override], composer: Composer) -> Command:
    """The command for a sweep. All its members are checked.

    Args:
        overrides: those of the preset, then those of the command.
        composer: composes the configuration of each member.

    Raises:
        ConfigError: a member cannot be run, or two would share a directory.
    """
    members = composer.members(overrides)
    swept = [i for i, o in enumerate(overrides) if o.is_sweep_override()]
    runs = [composer.composed(member) for member in members]
    first = runs[0]
    sweep = sweep_directory(first, overrides)
    if any(run.record.config.sweep != first.record.config.sweep for run in runs):
        raise ConfigError("all members of a sweep share its name, got several values of sweep. Give one")
    paths = {getattr(run.record.config.data, "path", None) for run in runs}
    free = FREE | {"data.path"} if len(paths) == 1 else FREE  # the data may have moved, unless data.path is swept
    extension = None if first.record.config.sweep is None else Extension(sweep, overrides, free)
    tasks: dict[Path, Task] = {}
    repeated = []
    for number, (member, run) in enumerate(zip(members, runs, strict=True)):
        name = run.directory("sweep.subdir", number)
        if name is None and extension is not None:
            name = extension.name_of(run.record, member)
        elif name is None:
            name = member_name(run.record, [member[i] for i in swept])
        place = Path(os.path.normpath(sweep / name))
        if place.parent != sweep or place.name == "..":
            raise ConfigError(
                f"the members of a sweep lie side by side in its directory, got hydra.sweep.subdir={name}. "
                "Give it a name without /"
            )
        check_name(place)
        task = tasks.setdefault(place, Task(place, run.record))
        repeated.append(task)
        if task.record != run.record:
            raise ConfigError(
                f"two members of a sweep need two directories, got {name} for both. "
                "Leave hydra.sweep.subdir out, or name in it what is swept"
            )
    for task in tasks.values():
        try:
            begun_record(task, free)
        except OtherConfigurationError:
            raise
        except ConfigError:
            continue  # a member with damaged files does not stop the others: it fails when its turn comes
    launcher = first.hydra.runtime.choices["hydra/launcher"]
    if launcher == "basic":
        return Command(repeated, sweep, free=free)
    settings = first.launcher(sweep)
    if is_cluster(settings):
        check_launcher(settings)
    else:
        settings = checked_settings(launcher, settings, map(bare, overrides))
    return Command(repeated, sweep, settings, free=free)


def sweep_directory(first: Composed, overrides: Sequence[Override]) -> Path:
    """The directory of a sweep: `outputs/NAME` if it has a name, else what Hydra's key or the overrides say.

    Args:
        first: the configuration of the first member.
        overrides: of the command.

    Raises:
        ConfigError: the sweep has a name and another directory, or the directory is a run.
    """
    name, chosen = first.record.config.sweep, first.directory("sweep.dir")
    if name is None:
        return absolute(chosen or f"outputs/{sweep_name(overrides)}", "hydra.sweep.dir")
    if chosen is not None or first.directory("run.dir") is not None:
        raise ConfigError(
            f"sweep={name} goes to outputs/{name}, got hydra.sweep.dir or hydra.run.dir too. Leave one out"
        )
    directory = absolute(f"outputs/{name}", "sweep")
    if holds_a_run(directory):
        raise ConfigError(f"sweep must name a sweep, got {name}, but {directory} is a single run. Take another name")
    return directory


def resume_command(run: str, overrides: Sequence[Override], composer: Composer, *, is_sweep: bool) -> Command:
    """The command that resumes a run.

    Raises:
        ConfigError: there is no run to resume, or these overrides cannot be given with `resume`.
    """
    if is_sweep or any(o.is_sweep_override() for o in overrides):
        raise ConfigError("resume continues one run, got a sweep. Its own command, given again, goes on with it")
    other = next((o for o in overrides if o.is_hydra_override() or bare(o) == "sweep"), None)
    if other is not None:
        raise ConfigError(f"resume goes on in the run's own directory, got {other.input_line}. Leave that out")
    if not run:
        raise ConfigError("resume must be the directory of a run, got nothing")
    named = any(bare(o) in ("data.path", "data.root", "data") for o in overrides)
    return Command([Task(absolute(run, "resume"), resumed(run, overrides, composer.groups), may_write_data=named)])


def member_command(words: Sequence[str]) -> Command:
    """The command for a member of a sweep, by the configuration that the sweep has stored in the member's directory.

    Raises:
        ConfigError: the stored configuration is damaged.
    """
    if not words:
        raise UsageError(f"{MEMBER_OPTION} needs the directory of a member, got nothing")
    directory = Path(words[0])
    overrides = [parse_override(with_literal_path(word)) for word in words[1:]]
    stored = with_overrides(record.read(directory), overrides, OPTIONS)  # the files in configs/ are not read again
    refuse_unnamed_parts(directory, stored.config, {bare(o): o.value() for o in overrides})
    if has_checkpoint(directory):
        stored = replace(stored, config=replace(stored.config, resume=str(directory)))
    return Command([Task(directory, stored)], is_member=True)


def check_devices(devices: Iterable[Device]) -> None:
    """Check that torch can use these devices.

    Raises:
        ConfigError: one of them is missing.
    """
    wanted = {Device.cuda: "a CUDA GPU", Device.mps: "an Apple GPU"}
    for device in wanted.keys() & set(devices):
        import torch

        with warnings.catch_warnings():  # a warning of the driver would be a second line
            warnings.simplefilter("ignore")
            backend = torch.cuda if device is Device.cuda else torch.backends.mps
            if not backend.is_available():
                raise ConfigError(
                    f"device={device.value} needs {wanted[device]} that torch can see, found none. "
                    "Use device=auto or device=cpu"
                )


def begun_record(task: Task, free: Collection[str]) -> Record:
    """The stored configuration of a member that has begun. For a new member, the configuration in `task`.

    Args:
        task: the member.
        free: the keys that may differ between the two.

    Raises:
        OtherConfigurationError: other keys differ too.
        ConfigError: the stored configuration is damaged.
    """
    begun = record.read(task.directory) if holds_a_run(task.directory) else task.record
    differences = changes(begun, task.record, free)
    if differences:
        raise OtherConfigurationError(
            f"{task.directory} was trained with another configuration: {', '.join(differences)}. "
            "Set hydra.sweep.dir to a new one, or take another sweep=NAME"
        )
    return begun


def check_name(directory: Path) -> None:
    """Check the length of the path's names.

    Raises:
        ConfigError: a name is longer than file systems allow.
    """
    longest = max((os.fsencode(part) for part in directory.parts), key=len)
    if len(longest) > LONGEST_NAME:
        raise ConfigError(
            f"a file's name has at most {LONGEST_NAME} bytes, got {longest[:40].decode(errors='replace')}… of "
            f"{len(longest)}. Shorten hydra.run.dir, hydra.sweep.dir or hydra.sweep.subdir"
        )


def check_output(directory: Path) -> None:
    """Check that the directory exists or can be created, and is writable.

    Raises:
        ConfigError: names the path that prevents it.
    """
    check_name(directory)
    there = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ConfigError(
            f"the output goes to {directory}, but {there} cannot be written. "
            "Set hydra.run.dir or hydra.sweep.dir, or make it writable"
        )
