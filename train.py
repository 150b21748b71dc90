"""Train a β-VAE: `python train.py beta=4`. `python train.py --help` lists what can be set."""

import sys

from vae.app import console


def main() -> int:
    """Train one run, or a sweep whose members run in their own processes. Returns the exit code."""
    from vae.app.verbs import train

    return train.main(sys.argv[1:])


if __name__ == "__main__":
    console.prepare()
    code = main()
    console.flush()
    sys.exit(code)
