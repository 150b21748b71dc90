"""Compare sweeps and runs on one page: `beta-vae report outputs/SWEEP`.

Writes report.html, one page that needs no network, and results.csv, from the runs that are done. Prints the main table
in Markdown and the slopes between rate and distortion. A sweep does the same at its end.

Both files go into the folder if one is named, and else into the working directory, unless that is a sweep or a run
itself. --output names another place. A run that is named twice counts once.
"""

import argparse
import sys
from pathlib import Path

from vae.app import console
from vae.app.traversals import draw_traversals_of
from vae.config import ConfigError
from vae.report import PAGE, RESULTS, write_report
from vae.run.names import LOG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folders", nargs="+", metavar="folder", help="a sweep, another folder of runs, or a run")
    parser.add_argument("--output", metavar="FOLDER", help="where the two files go; it is created")


def run(arguments: argparse.Namespace) -> int:
    """Write both files and print their paths. Returns the exit code.

    Raises:
        ConfigError: the folders have no finished run, or the files cannot go into the folder named.
    """
    given: list[str] = arguments.folders
    folders = list(map(Path, given))
    output = folders[0] if len({folder.resolve() for folder in folders}) == 1 else Path()
    if arguments.output is not None:
        output = Path(arguments.output)
    try:
        refuse(given, arguments.output, output)
        found = write_report(*folders, output=output, draw=draw_traversals_of)
    except OSError as error:
        print(f"error: the report could not be written: {error}", file=sys.stderr)
        from vae.app.main import exit_code  # loads torch, which takes seconds and which a report does not need

        return exit_code(error)
    if found is None:
        has = f"{given[0]} has none" if len(given) == 1 else "these folders have none"
        raise ConfigError(f"a report needs a finished run, {has}")
    console.say(found)
    print(f"{output / PAGE} and {RESULTS}", file=sys.stderr)
    return 0


def refuse(folders: list[str], asked: str | None, output: Path) -> None:
    """Refuse folders without runs, and an output that is no folder or holds runs of its own.

    Args:
        folders: as they were given.
        asked: as it was given by `--output`.
        output: where the files would go.

    Raises:
        ConfigError: names the folder.
    """
    for given in folders:
        refuse_without_runs(given, "a report")
    if asked == "" or (output.exists() and not output.is_dir()):
        raise ConfigError(f"--output must be a folder, got {asked or 'an empty name'}")
    if asked is None and len(folders) > 1 and output == Path() and holds_runs(output):
        raise ConfigError(
            f"a report of several folders would replace the {PAGE} of the working directory, which holds runs. "
            "Name another place, as in --output FOLDER"
        )


def refuse_without_runs(given: str, purpose: str) -> None:
    """Refuse what is no folder of finished runs. `purpose` needs them, as in "a report".

    Raises:
        ConfigError: names the folder.
    """
    folder = Path(given)
    if not given or not folder.is_dir():
        raise ConfigError(f"name a folder of runs, got {given or 'an empty name'}, which is not a folder")
    if not holds_runs(folder):
        inside = sorted(str(path) for path in folder.iterdir() if path.is_dir() and holds_runs(path))
        hint = f". Name the folders in it, as in {inside[0]}" if inside else ""
        raise ConfigError(f"{purpose} needs a finished run, {folder} has none{hint}")


def holds_runs(folder: Path) -> bool:
    """Whether the folder is a run, or has runs in it."""
    return any(True for pattern in (LOG, f"*/{LOG}") for _ in folder.glob(pattern))
