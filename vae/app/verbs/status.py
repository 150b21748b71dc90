"""List how far the members of a sweep are: `beta-vae status outputs/SWEEP`.

A member is done, running, stopped, failed, or waiting. A running one shows its epoch and the time that is left at its
present speed, a failed one its error. The sweep may be training meanwhile, on this machine or on others.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vae.app import console
from vae.config import ConfigError

if TYPE_CHECKING:
    from vae.report.status import Status


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folders", nargs="+", metavar="folder", help="a sweep, another folder of runs, or a run")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each member, and how many there are of each state. Returns the exit code.

    Raises:
        ConfigError: a folder has no runs.
    """
    from vae.report.status import read_status

    for given in arguments.folders:
        folder = Path(given)
        if not given or not folder.is_dir():
            raise ConfigError(f"name a sweep or a run, got {given or 'an empty name'}, which is not a folder")
        found = read_status(folder)
        if not found:
            raise ConfigError(f"name a sweep or a run, got {folder}, which has no runs")
        console.say("\n".join(lines_of(found, as_json=arguments.json)))
    return 0


def lines_of(found: "Sequence[Status]", *, as_json: bool) -> list[str]:
    """What the command prints of a folder."""
    if as_json:
        return [json.dumps({**asdict(status), "epoch": status.epoch}) for status in found]
    from vae.report.status import counted

    width = max(len(status.name) for status in found)
    head = f"{'member':{width}}  {'state':7}  {'epoch':>9}  {'left':>8}  {'ELBO':>9}"
    counts = ", ".join(f"{count} {state}" for state, count in counted(found).items())
    return [head, *(line_of(status, width) for status in found), f"{counts}, {len(found)} in all"]


def line_of(status: "Status", width: int) -> str:
    """The line of a member. `width` is that of the longest name."""
    from vae.report.status import duration

    epoch = "" if status.epoch is None else f"{status.epoch:.{0 if status.epoch % 1 == 0 else 1}f}/{status.epochs}"
    left = "" if status.seconds_left is None else duration(status.seconds_left)
    elbo = "" if status.numbers is None else f"{status.numbers['elbo']:.2f}"
    line = (
        f"{status.name:{width}}  {status.state:7}  {epoch:>9}  {left:>8}  {elbo:>9}  {console.one_line(status.note)}"
    )
    return line.rstrip()
