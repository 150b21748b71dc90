"""`python -m vae` is the program `beta-vae`."""

import sys

from vae.app.program import start

if __name__ == "__main__":
    sys.exit(start())
