"""Train a β-VAE: `python train.py beta=4`. What can be set: configs/config.yaml and `python train.py --help`."""

import sys
from pathlib import Path

from vae.app import console

SCRIPT = Path(__file__).resolve()
CONFIGS = SCRIPT.parent / "configs"


def main() -> int:
    """One run, or a sweep, each member of which is a run in a process of its own. Returns the exit code."""
    from vae.app import command_line

    command = command_line.checked(sys.argv[1:], CONFIGS)
    if not command.tasks:
        from vae.app.command_line import launching

        return launching.show(command, CONFIGS)
    if command.sweep is not None:
        from vae.app import sweep

        return sweep.run(command, CONFIGS, SCRIPT)
    try:
        from vae.app import main as app  # torch is loaded here, when the configuration is known to be good
    except ImportError as error:  # of a damaged installation, or too little memory for it
        sys.stderr.write(f"error: {error}. Is the environment whole, and is there enough memory?\n")
        return 1
    return app.main(command, CONFIGS)


if __name__ == "__main__":
    console.prepare()
    code = main()
    console.flush()
    sys.exit(code)
