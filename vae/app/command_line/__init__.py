"""From the words after `python train.py` to a configuration that is known to be good, or one line that says why not.

Hydra composes the files; this room adds what Hydra leaves out. An unknown key is refused with the nearest known one,
also behind a `+`, where Hydra takes it and trains with the default. Every member of a sweep is checked before the
first one trains, and is trained by the configuration that was checked. A run is resumed by the configuration that is
stored in its directory. Torch is imported only to look for an accelerator.
"""

import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf

from vae.app.command_line.composition import Composer, absolute, bare, compose, container, quoted, register_schema
from vae.app.command_line.options import UsageError, options_of
from vae.app.command_line.resuming import changed, resumed
from vae.app.command_line.sweeping import named
from vae.app.command_line.wording import one_line, said_by
from vae.config import ConfigError, Device
from vae.config.options import FREE
from vae.run import record
from vae.run.directory import has_checkpoint, holds_a_run
from vae.run.record import Record, Task, changes

__all__ = ["AGAIN", "MEMBER_OPTION", "Command", "checked", "compose", "register_schema"]

MEMBER_OPTION = (
    "--member"  # an option of our own, by which a sweep starts the process of a member: its directory follows
)
AGAIN = 75  # the exit code of such a process that found another one training there, of which a sweep asks again
HYDRAS = ("resume", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
PATHS = (*HYDRAS, "data.path", "data.root")  # keys whose values are places
OURS = re.compile(r"hydra[./](mode|run|sweep|sweeper|output_subdir)(\.|$)")  # where and how many runs there are
LONGEST_NAME = 255  # bytes of a file's name


class Command(NamedTuple):
    """What the words after `python train.py` ask for.

    Attributes:
        words: for Hydra.
        tasks: the runs; none if something is only shown.
        sweep: the directory of the sweep, or None for one run.
        launcher: of the sweep, the values that Hydra's launcher has besides the words.
        is_member: whether a sweep asks for the one run.
        free: of a sweep, the keys in which a member that has begun may differ.
    """

    words: list[str]
    tasks: Sequence[Task] = ()
    sweep: Path | None = None
    launcher: Mapping[str, Any] = {}
    is_member: bool = False
    free: frozenset[str] = frozenset(FREE)


def checked(arguments: Sequence[str], configs: Path) -> Command:
    """What is asked for, if all is right with it; else one line on stderr and the end of the process.

    Args:
        arguments: `sys.argv[1:]`.
        configs: the directory of `config.yaml`.

    Raises:
        SystemExit: 1 for a configuration that cannot be run, 2 for words that are no command line.
    """
    try:
        return _checked(arguments, configs)
    except UsageError as error:
        code, text = 2, str(error)
    except ConfigError as error:
        code, text = 1, str(error)
    except Exception as error:  # whatever Hydra raises, a reader gets one line of it
        code, text = 1, said_by(error)
    sys.stderr.write(f"error: {one_line(text)}\n")
    sys.exit(code)


def _checked(arguments: Sequence[str], configs: Path) -> Command:
    register_schema()
    if arguments[:1] == [MEMBER_OPTION]:
        if len(arguments) < 2:
            raise UsageError(f"{MEMBER_OPTION} needs the directory of a member, got nothing")
        return member_command(Path(arguments[1]), [with_literal_path(text) for text in arguments[2:]], configs)
    options = options_of(arguments)
    if options.shell_completion:
        return Command(list(arguments))
    flags = [word for word in arguments if word not in options.overrides and word != "--"]
    swept = options.multirun or any(text.replace(" ", "").upper() == "HYDRA.MODE=MULTIRUN" for text in arguments)
    # In a sweep a comma separates values; Hydra's own keys cannot be swept.
    overrides = [with_literal_path(text, HYDRAS if swept and "," in text else PATHS) for text in options.overrides]
    files = configs if options.config_path is None else configs.parent / options.config_path
    composer = Composer(files, options.config_name or "config", options.config_dir)
    parsed = composer.parse(overrides)
    shown = bool(options.cfg or options.info or options.help or options.hydra_help)
    run = next((o.value() for o in reversed(parsed) if o.get_key_element() == "resume"), None)
    if run is not None:
        return resume_command(str(run), parsed, composer, options, shown=shown)

    hydra = composer.hydra(o for o in parsed if o.is_hydra_override() or not o.is_sweep_override())
    if options.multirun or hydra.mode == RunMode.MULTIRUN:
        command = sweep_command(parsed, composer, hydra.sweeper.get("params") or {}, options, shown=shown)
    else:
        stored = composer.stored(parsed)
        where = absolute(composer.directory(parsed, "hydra.run.dir"), "hydra.run.dir")
        command = Command(hydra_words(parsed, options), [Task(where, stored)])
    if shown:
        same = overrides == options.overrides
        return Command(list(arguments) if same else [*overrides, *flags])
    _check_devices({task.record.config.device for task in command.tasks})
    if command.sweep is not None:
        _check_output(command.sweep, "Set hydra.sweep.dir")
    else:
        _check_output(command.tasks[0].directory, "Set hydra.run.dir")
    return command


def resume_command(
    run: str, parsed: Sequence[Override], composer: Composer, options: Namespace, *, shown: bool
) -> Command:
    """What `resume=` asks for.

    Raises:
        ConfigError: there is no run to continue, or not by these words.
        SystemExit: its configuration was asked for, and has been printed.
    """
    if options.multirun or any(o.is_sweep_override() for o in parsed):
        raise ConfigError("resume continues one run, got a sweep. Its own command, given again, goes on with it")
    if not run:
        raise ConfigError("resume must be the directory of a run, got nothing")
    elsewhere = next((o for o in parsed if bare(o) in ("hydra.run.dir", "hydra.output_subdir")), None)
    if elsewhere is not None:
        raise ConfigError(f"resume goes on in the run's own directory, got {elsewhere.input_line}. Leave that out")
    directory = absolute(run, "resume")
    stored = resumed(Path(run).expanduser(), parsed, composer)
    if shown:
        sys.stdout.write(OmegaConf.to_yaml(container(stored)))
        sys.exit(0)
    _check_devices({stored.config.device})
    _check_output(directory, "Make it writable, or continue a copy of the run")
    named = any(bare(o) in ("data.path", "data.root", "data") for o in parsed)
    return Command(hydra_words(parsed, options), [Task(directory, stored, may_write_data=named)])


def sweep_command(
    parsed: Sequence[Override], composer: Composer, parameters: Mapping[str, Any], options: Namespace, *, shown: bool
) -> Command:
    """What `-m`, or a preset that describes a sweep, asks for: every member is checked.

    Args:
        parsed: the words.
        composer: of the files.
        parameters: what the preset sweeps over.
        options: of the command.
        shown: nothing will be trained.

    Raises:
        ConfigError: a member cannot be run, or two would share a directory.
    """
    swept = composer.parse(f"{key}={value}" for key, value in parameters.items()) + list(parsed)
    members = composer.members(swept)
    hydra_overrides = [o for o in [*parsed, *composer.parse(named(swept, composer.groups))] if o.is_hydra_override()]
    whole = composer.hydra([*members[0], *hydra_overrides])
    if whole.runtime.choices.get("hydra/sweeper") != "basic":
        raise ConfigError("a sweep is -m and values with commas, got another hydra/sweeper. Leave it out")
    sweep = absolute(composer.directory([*members[0], *hydra_overrides], "hydra.sweep.dir"), "hydra.sweep.dir")
    tasks: list[Task] = []
    taken: dict[Path, Record] = {}
    for number, member in enumerate(members):
        stored = composer.stored(member)
        place = sweep / composer.directory([*member, *hydra_overrides], "hydra.sweep.subdir", number)
        place = Path(os.path.normpath(place))
        tasks.append(Task(place, stored))
        if shown:
            continue
        if place.parent != sweep or place.name == "..":
            raise ConfigError(
                f"the members of a sweep lie side by side in its directory, got hydra.sweep.subdir={place.name} for "
                f"{place}. Give it a name without /"
            )
        if taken.setdefault(place, stored) != stored:
            raise ConfigError(
                f"two members of a sweep need two directories, got {place.name} for both. "
                "Leave hydra.sweep.subdir out, or name in it what is swept"
            )
        _check_names(place)
    free = free_keys(tasks)
    for task in tasks if not shown else ():
        _check_member(task, free)
    values = OmegaConf.to_container(whole.launcher, resolve=False)
    launcher = {str(key): value for key, value in dict(values).items() if key != "_target_"}  # type: ignore[arg-type]
    words = ["--multirun", f"member=range(0,{len(tasks)})", *hydra_words(parsed, options)]
    return Command(words, tasks, sweep, launcher, free=free)


def free_keys(tasks: Sequence[Task]) -> frozenset[str]:
    """The keys in which a member that has begun may differ: the place of its data too, if it is not what is swept."""
    places = {getattr(task.record.config.data, "path", None) for task in tasks}
    return frozenset(FREE | {"data.path"} if len(places) == 1 else FREE)


def member_command(directory: Path, words: Sequence[str], configs: Path) -> Command:
    """The run of a sweep's member, by the configuration that the sweep has left in its directory.

    Raises:
        ConfigError: it is damaged.
    """
    composer = Composer(configs)
    stored = changed(record.read(directory), composer.parse(words), composer)
    if has_checkpoint(directory):
        stored = replace(stored, config=replace(stored.config, resume=str(directory)))
    return Command([], [Task(directory, stored)], is_member=True)


def hydra_words(parsed: Iterable[Override], options: Namespace) -> list[str]:
    """The words that are Hydra's own, but for those that say which runs there are and where."""
    flags = [] if options.config_dir is None else ["--config-dir", options.config_dir]
    own = [str(o.input_line) for o in parsed if o.is_hydra_override() and not OURS.match(bare(o))]
    return [*flags, *own]


def with_literal_path(text: str, only: Sequence[str] = PATHS) -> str:
    r"""Paths are taken as the shell gives them, though Hydra's grammar wants quotes around `=`, `,`, `~` and the like.

    Example:
        >>> with_literal_path("data.path=~/it's, mine.npz")
        "data.path='~/it\\'s, mine.npz'"
        >>> with_literal_path("data.path='quoted already'"), with_literal_path("beta=1,2")
        ("data.path='quoted already'", 'beta=1,2')
    """
    key, _, path = text.partition("=")
    as_it_is = key in only and path not in ("", "null", "???") and path[0] not in "'\""
    return f"{key}={quoted(path)}" if as_it_is else text


def _check_devices(devices: Iterable[Device]) -> None:
    wanted = {Device.cuda: "a CUDA GPU", Device.mps: "an Apple GPU"}
    for device in wanted.keys() & set(devices):
        import torch

        with warnings.catch_warnings():  # a driver's complaint would be a second line
            warnings.simplefilter("ignore")
            backend = torch.cuda if device is Device.cuda else torch.backends.mps
            if not backend.is_available():
                raise ConfigError(
                    f"device={device.value} needs {wanted[device]} that torch can see, found none. "
                    "Use device=auto or device=cpu"
                )


def _check_member(task: Task, free: Collection[str]) -> None:
    """A member that has begun goes on as it began. One that is damaged fails alone, when its turn comes."""
    try:
        begun = record.read(task.directory) if holds_a_run(task.directory) else task.record
    except ConfigError:
        return
    changed_keys = changes(begun, task.record, free)
    if changed_keys:
        raise ConfigError(
            f"{task.directory} was trained with another configuration: {', '.join(changed_keys)}. "
            "Set hydra.sweep.dir to a new one"
        )


def _check_names(directory: Path) -> None:
    longest = max(directory.parts, key=lambda part: len(os.fsencode(part)))
    if len(os.fsencode(longest)) > LONGEST_NAME:
        raise ConfigError(
            f"a file's name has at most {LONGEST_NAME} bytes, got {longest[:40]}… of {len(os.fsencode(longest))}. "
            "Set hydra.run.dir or hydra.sweep.subdir to a shorter one"
        )


def _check_output(directory: Path, fix: str) -> None:
    _check_names(directory)
    if "${" in str(directory):
        raise ConfigError(f"the output goes to {directory}, in which Hydra would read a reference. {fix}")
    there = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ConfigError(f"the output goes to {directory}, but {there} cannot be written. {fix}")
