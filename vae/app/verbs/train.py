"""Train a β-VAE, or a sweep whose members run in their own processes: `beta-vae train beta=4`."""

import sys
from collections.abc import Callable, Sequence

from vae.app import command_line
from vae.app.command_line import Command
from vae.app.invocation import configs_directory


def main(words: Sequence[str], tell: Callable[[Command], None] | None = None) -> int:
    """Train one run or a sweep. Returns the exit code.

    Args:
        words: the options and overrides, as in `["beta=4", "model=conv"]`.
        tell: is called with the checked command before the training begins.
    """
    command = command_line.checked(words, configs_directory())
    if tell is not None:
        tell(command)
    if command.sweep is not None:
        from vae.app import sweep

        return sweep.train_sweep(command)
    try:
        from vae.app import main as app  # loads torch, once the configuration is checked
    except ImportError as error:  # a damaged installation, or too little memory to load it
        sys.stderr.write(f"error: {error}. Is everything installed, and is there enough memory?\n")
        return 1
    return app.main(command)
