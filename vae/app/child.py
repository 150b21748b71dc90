"""A process that trains for another one: for a sweep, or for `vae.train`. `Starter` has the command that starts it."""

import json
import os
import sys
from typing import TYPE_CHECKING

from vae.app import console
from vae.app.invocation import end_with, training_command

if TYPE_CHECKING:
    from vae.app.command_line import Command


def main(parent: int, tell: int | None) -> int:
    """Train by the words of the command line. Returns the exit code.

    Args:
        parent: the process that has started this one.
        tell: the descriptor of a pipe. Before the training begins, its directory, its device and the user's own
            networks are written there, as JSON. A sweep is then refused. None for nothing.
    """
    console.prepare()
    end_with(parent)
    if tell is not None:
        os.set_inheritable(tell, False)
    from vae.app.verbs import train

    code = train.main(sys.argv[1:], (lambda command: tell_run(command, tell)) if tell is not None else None)
    console.flush()
    return code


def tell_run(command: "Command", pipe: int) -> None:
    """Write to the pipe what will be trained.

    Raises:
        SystemExit: it is a sweep.
    """
    if command.sweep is not None:
        what = f"{training_command()} trains one run, got the sweep {command.sweep.name}"
        sys.stderr.write(f"error: {console.one_line(what)}. Add hydra.mode=RUN, or use the command line\n")
        sys.exit(1)
    (task,) = command.tasks
    config = task.record.config
    networks = {side: getattr(config.model, side, None) for side in ("encoder", "decoder")}
    told = {"directory": str(task.directory), "device": config.device.value, **networks}
    with open(pipe, "w", encoding="ascii") as file:
        json.dump(told, file)
