"""Hydra starts what a checked command asks for: it makes the log, and its launchers find each member its place.

What is trained was composed and checked before, and does not pass through Hydra again.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from vae.app import console
from vae.app.command_line import Command
from vae.app.command_line.composition import literal
from vae.app.command_line.wording import one_line, said_by
from vae.run.files import set_aside
from vae.run.names import LOG
from vae.run.record import Task

NAME = "launch"
LAUNCH_ERRORS: tuple[type[Exception], ...] = (OSError, HydraException, OmegaConfBaseException)


def launch(command: Command, configs: Path, run: Callable[[Task], object]) -> None:
    """Call `run` with each task, where and when Hydra's launcher says.

    Args:
        command: as it was checked; one without tasks is answered by Hydra itself, as `--help` is.
        configs: the directory of the configuration files.
        run: in a parallel launcher it is called in another process.
    """
    given = list(sys.argv)
    tasks = command.tasks

    def start(place: DictConfig) -> None:
        sys.argv = given  # of which run.json tells
        run(tasks[place.member])

    if tasks:
        if command.sweep is None:
            set_irregular_log_aside(tasks[0].directory / LOG)
        ConfigStore.instance().store(name=NAME, node=place_of(command))
    main = hydra.main(version_base="1.3", config_path=str(configs), config_name=NAME if tasks else "config")(start)
    sys.argv = [given[0], *command.words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to the caller; else Hydra ends the process, with a traceback
    try:
        main()
    finally:
        sys.argv = given


def show(command: Command, configs: Path) -> int:
    """Have Hydra answer a command without tasks, as `--help` is. Returns the exit code."""
    try:
        launch(command, configs, lambda _: None)
    except BrokenPipeError:  # nobody reads on
        console.discard()
    except LAUNCH_ERRORS as error:
        sys.stderr.write(f"error: {one_line(said_by(error))}\n")
        return 1
    return 0


def set_irregular_log_aside(path: Path) -> None:
    """Set aside what is no file in the place of the log: a link would be written through, a pipe waited for."""
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        sys.stderr.write(f"warning: {path} is not a regular file. It was renamed to {set_aside(path).name}\n")


def place_of(command: Command) -> dict[str, Any]:
    """The little that Hydra composes for a launch: where, and the number of the task."""
    directory = literal(str(command.sweep or command.tasks[0].directory))
    formatters = {"simple": {"format": "%(message)s"}}
    node: dict[str, Any] = {
        "member": 0,
        "hydra": {
            "run": {"dir": directory},
            "sweep": {"dir": directory, "subdir": "."},
            "output_subdir": None,
            "job": {"name": "train"},
            "job_logging": {"formatters": formatters},
            "launcher": dict(command.launcher),
        },
    }
    if command.sweep is not None:  # each member's process has a log of its own
        quiet = {"override hydra/hydra_logging": "none"}  # Hydra would name the members by their numbers
        node["defaults"] = ["_self_", {"override hydra/job_logging": "stdout"}, quiet]
    return node
