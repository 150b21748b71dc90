"""From the words after `python train.py` to a configuration that is known to be good, or one line that says why not.

Hydra composes the files; this room adds what Hydra leaves out. An unknown key is refused with the nearest known one,
also behind a `+`, where Hydra takes it and trains with the default. Every member of a sweep is checked before the
first one trains. A run is resumed with its own configuration. Torch is imported only to look for an accelerator.
"""

import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from vae.command_line.composition import Composer, compose, register_schema
from vae.command_line.resuming import changes, resumed, with_literal_path
from vae.command_line.sweeping import named
from vae.command_line.wording import near, one_line, said_by
from vae.config import ConfigError, Device
from vae.run_directory import holds_a_run

__all__ = ["Command", "checked", "compose", "register_schema"]


class Command(NamedTuple):
    """What the words after `python train.py` ask for.

    Attributes:
        arguments: for Hydra.
        sweep: the directory of the sweep, or None for one run.
        members: of the sweep, the configuration of each.
    """

    arguments: list[str]
    sweep: Path | None
    members: Sequence[DictConfig]


class UsageError(ConfigError):
    """Words that are no command line of ours, whatever the configuration. The exit code is 2."""


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
    except Exception as error:  # whatever Hydra's internals raise, a reader gets one line of it
        code, text = 1, said_by(error)
    sys.stderr.write(f"error: {one_line(text)}\n")
    sys.exit(code)


def _checked(arguments: Sequence[str], configs: Path) -> Command:
    register_schema()
    options = _options(arguments)
    if options.shell_completion:  # its words are the shell's, not overrides
        return Command(list(arguments), None, [])
    flags = [word for word in arguments if word not in options.overrides and word != "--"]
    overrides = [with_literal_path(text) for text in options.overrides]
    directory = str(configs.resolve())
    if options.config_path is not None:
        directory = options.config_path if "://" in options.config_path else str(configs.parent / options.config_path)
    composer = Composer(directory, options.config_name or "config", options.config_dir)

    parsed = composer.parse(overrides)
    hydra = composer.hydra(o for o in parsed if o.is_hydra_override() or not o.is_sweep_override())
    multirun = options.multirun or hydra.mode == RunMode.MULTIRUN
    run = next((o.value() for o in reversed(parsed) if o.get_key_element() == "resume"), None)
    if run is not None:
        if options.multirun or any(o.is_sweep_override() for o in parsed):
            raise ConfigError("resume continues one run, got a sweep. Its own command, given again, goes on with it")
        if not run:
            raise ConfigError("resume must be the directory of a run, got nothing")
        overrides = resumed(Path(str(run)).expanduser(), overrides, composer)
        parsed = composer.parse(overrides)
        multirun = False
    if multirun:
        parameters = hydra.sweeper.get("params") or {}
        swept = composer.parse(f"{k}={v}" for k, v in parameters.items()) + parsed
        members = composer.members(swept)
        overrides += named(swept, composer.groups)
        hydra_overrides = [o for o in composer.parse(overrides) if o.is_hydra_override()]
        sweep = Path(composer.directory([*members[0], *hydra_overrides], "hydra.sweep.dir")).absolute()
    else:
        members, sweep = [parsed], None
    devices = {composer.compose(member).device for member in members}
    if options.cfg or options.info or options.help or options.hydra_help:
        sweep = None  # nothing is trained
    else:
        _check_devices(devices)
        _check_output(sweep or Path(composer.directory(members[0], "hydra.run.dir")).absolute())
    configured = [] if sweep is None else [composer.configured(member) for member in members]
    if sweep is not None and sweep.exists():
        for number, (member, config) in enumerate(zip(members, configured, strict=True)):
            place = sweep / composer.directory([*member, *hydra_overrides], "hydra.sweep.subdir", number)
            _check_member(place, config)
    changed = overrides != options.overrides
    return Command([*overrides, *flags] if changed else list(arguments), sweep, configured)


def _options(arguments: Sequence[str]) -> Namespace:
    """Hydra's own options, with argparse's page of usage cut down to one line."""
    parser = get_args_parser()
    with redirect_stderr(StringIO()) as said:
        try:
            options, rest = parser.parse_known_args(arguments)
        except SystemExit as stop:
            if not stop.code:  # --version has answered
                raise
            raise UsageError(said.getvalue().rpartition("error: ")[2]) from None
    if rest and not rest[0].startswith("-"):
        given = " ".join(word for word in arguments if word.startswith("-"))
        raise UsageError(f"put {given} before the overrides, got {rest[0]} after both")
    if rest:
        hint = near(rest[0], re.findall(r"--[\w-]+", parser.format_usage()))
        raise UsageError(f"unknown option {rest[0]}.{hint or ' --help lists them'}")
    for text in options.overrides:
        if "=" not in text and not text.startswith("~"):
            raise UsageError(f"every override is key=value without spaces, got {text or 'an empty word'}")
    commands = [options.run, options.multirun, options.cfg, options.info, options.shell_completion]
    if sum(map(bool, commands)) > 1:
        raise UsageError("--run, --multirun, --cfg, --info and --shell-completion exclude each other, got several")
    if options.resolve and not (options.cfg or options.help):
        raise UsageError("--resolve needs --cfg or --help, got neither. Add --cfg job")
    if options.experimental_rerun is not None:
        raise UsageError("--experimental-rerun skips every check. Use resume=<directory of a run>")
    return options


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


def _check_member(place: Path, config: DictConfig) -> None:
    """A member that has begun goes on as it began."""
    changed = changes(place, config) if holds_a_run(place) else []
    if changed:
        raise ConfigError(
            f"{place} was trained with another configuration: {', '.join(changed)}. Set hydra.sweep.dir to a new one"
        )


def _check_output(directory: Path) -> None:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ConfigError(f"the output goes to {directory}, but {there} cannot be written. Set hydra.run.dir")
