"""Train a β-VAE: `python train.py beta=4`. `python train.py --help` lists what can be set."""

import sys
from pathlib import Path

from vae.app import console

SCRIPT = Path(__file__).resolve()
CONFIGS = SCRIPT.parent / "configs"


def main() -> int:
    """Train one run, or a sweep whose members run in their own processes. Returns the exit code."""
    from vae.app import command_line

    command = command_line.checked(sys.argv[1:], CONFIGS)
    if command.sweep is not None:
        from vae.app import sweep

        return sweep.train_members(command, CONFIGS, SCRIPT)
    try:
        from vae.app import main as app  # loads torch, once the configuration is checked
    except ImportError as error:  # a damaged installation, or too little memory to load it
        sys.stderr.write(f"error: {error}. Is everything installed, and is there enough memory?\n")
        return 1
    return app.main(command)


if __name__ == "__main__":
    console.prepare()
    code = main()
    console.flush()
    sys.exit(code)
