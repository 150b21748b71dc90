"""The report of a sweep, or of any folder of runs: `python scripts/report.py outputs/SWEEP`.

Writes report.html, one page that needs no network, and results.csv into the folder, from the runs that are done.
Prints the main table in Markdown and the slopes between rate and distortion. A sweep does the same at its end.
"""

import argparse
import sys
from pathlib import Path

from vae.app import console
from vae.report import PAGE, RESULTS, write_report


def main() -> int:
    """Write both files and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a sweep, or a folder of runs")
    given = parser.parse_args().folder
    folder = Path(given)
    if not given or not folder.is_dir():
        print(f"error: name a folder of runs, got {given or 'an empty name'}, which is not a folder", file=sys.stderr)
        return 1
    try:
        found = write_report(folder)
    except OSError as error:
        print(f"error: the report could not be written: {error}", file=sys.stderr)
        from vae.app.main import exit_code  # loads torch, which takes seconds and which a report does not need

        return exit_code(error)
    if found is None:
        print(f"error: a report needs a finished run, {folder} has none", file=sys.stderr)
        return 1
    console.say(found)
    print(f"{folder / PAGE} and {RESULTS}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    console.prepare()
    sys.exit(main())
