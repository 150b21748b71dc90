"""The options of `python train.py`: Hydra's, of which the words that are no options are the overrides."""

import re
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence

import hydra

from vae.app.command_line.wording import near
from vae.config import ConfigError


class UsageError(ConfigError):
    """Words that are no command line of ours, whatever the configuration. The exit code is 2."""


def parser() -> ArgumentParser:
    """The names of Hydra's options, so that its own parser takes what this one takes."""
    found = ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    found.add_argument("overrides", nargs="*")
    for names in (
        ("--help", "-h"),
        ("--hydra-help",),
        ("--resolve",),
        ("--run", "-r"),
        ("--multirun", "-m"),
        ("--shell-completion", "-sc"),
    ):
        found.add_argument(*names, action="store_true")
    found.add_argument("--version", action="version", version=f"Hydra {hydra.__version__}")
    found.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    levels = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    found.add_argument("--info", "-i", const="all", nargs="?", choices=levels)
    for names in (
        ("--package", "-p"),
        ("--config-path", "-cp"),
        ("--config-name", "-cn"),
        ("--config-dir", "-cd"),
        ("--experimental-rerun",),
    ):
        found.add_argument(*names)
    return found


def options_of(arguments: Sequence[str]) -> Namespace:
    """The options and overrides among the words.

    Raises:
        UsageError: one line on what is wrong with them.
        SystemExit: `--version` has been answered.
    """
    try:
        options, rest = parser().parse_known_args(arguments)
    except ArgumentError as error:
        raise UsageError(str(error)) from None
    if rest and not rest[0].startswith("-"):
        given = " ".join(word for word in arguments if word.startswith("-"))
        raise UsageError(f"put {given} before the overrides, got {rest[0]} after both")
    if rest:
        hint = near(rest[0], re.findall(r"--[\w-]+", parser().format_usage()))
        raise UsageError(f"unknown option {rest[0]}.{hint or ' --help lists them'}")
    if options.shell_completion:  # its words are the shell's
        return options
    for text in options.overrides:
        if "=" not in text and not text.startswith("~"):
            raise UsageError(f"every override is key=value without spaces, got {text or 'an empty word'}")
    if sum(map(bool, [options.run, options.multirun, options.cfg, options.info])) > 1:
        raise UsageError("--run, --multirun, --cfg, --info and --shell-completion exclude each other, got several")
    if options.resolve and not (options.cfg or options.help):
        raise UsageError("--resolve needs --cfg or --help, got neither. Add --cfg job")
    if options.experimental_rerun is not None:
        raise UsageError("--experimental-rerun skips every check. Use resume=<directory of a run>")
    return options
