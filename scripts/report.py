"""The report of sweeps and runs: `python scripts/report.py outputs/SWEEP`, the same as `beta-vae report`."""

import argparse
import sys

from vae.app import console
from vae.app.verbs import report


def main() -> int:
    """Read the command line and write the report."""
    parser = argparse.ArgumentParser(description=report.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    report.add_arguments(parser)
    return report.run(parser.parse_args())


if __name__ == "__main__":
    console.prepare()
    sys.exit(main())
