"""A sweep: each member is a run in its own process, which can fail, be killed and be resumed alone.

Members train one after another, side by side, or as jobs of a cluster. At the end there are a table and a report.
"""

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vae.app import console
from vae.app.command_line import Command
from vae.app.console import one_line
from vae.app.foreign import foreign_words
from vae.app.invocation import Starter
from vae.app.launchers import is_cluster
from vae.app.member import is_done, table_row, train_member
from vae.app.side_by_side import train_side_by_side
from vae.app.trainings import Trainings
from vae.config import Config
from vae.report.status import planned_members
from vae.run.files import remove, write_atomically, write_json
from vae.run.names import EXPLORER, LOG, MEMBERS
from vae.run.record import Task
from vae.run.summary import read_summary


def train_sweep(command: Command) -> int:
    """Train the members of a sweep, print their table and write the report. Returns the exit code.

    Args:
        command: the checked command of a sweep.

    Raises:
        SystemExit: a signal asked the sweep to stop, see `train_member`.
    """
    assert command.sweep is not None
    signal.signal(signal.SIGINT, lambda number, _: sys.exit(128 + number))
    starter, code = Starter.of_this_process(), 0
    note_members(command.sweep, command.tasks)
    try:
        with Trainings(starter) as trainings:
            if command.launcher is None:
                with trainings.trainer() as trainer:
                    for task in command.tasks:
                        train_member(task, trainer, command.free)
            elif is_cluster(command.launcher):
                from vae.app.cluster import train_on_cluster  # submitit is an extra

                train_on_cluster(command, starter)
            else:
                train_side_by_side(command, trainings)
    except Exception as error:  # for example, the disk is full or a cluster cannot be reached
        from vae.app.main import exit_code, said  # loading torch takes a second

        print(f"error: the sweep ended before its members: {one_line(said(error))}", file=sys.stderr)
        code = exit_code(error)
    return max(code, report_members(command.sweep, command.tasks))


def note_members(directory: Path, tasks: Sequence[Task]) -> None:
    """Add the names of the members to those that earlier commands have asked for. `beta-vae status` reads them.

    A disk that is full is left to the members, which report it.
    """
    names = sorted({*planned_members(directory), *(task.directory.name for task in tasks)})
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / MEMBERS, {"members": names})


def report_members(directory: Path, tasks: Sequence[Task]) -> int:
    """Print the table of all runs in the directory of a sweep, and write its report.

    Args:
        directory: of the sweep.
        tasks: the members that the command asked for. The directory may hold other runs too.

    Returns:
        The exit code: 0 if all these members are done, else 1.
    """
    places = sorted({*(path.parent for path in directory.glob(f"*/{LOG}")), *(task.directory for task in tasks)})
    summaries = {path: read_summary(path) for path in places}
    done = sum(is_done(task.directory, task.record) for task in tasks)
    said: list[str] = []
    if any(summary["status"] == "done" for summary in summaries.values()):
        explored: list[str] = []
        try:
            explored = write_sweep_explorer(directory, [task.record.config for task in tasks])
        finally:  # also if a signal ends the page
            # The report links the page.
            said = [*write_sweep_report(directory, [task.record.config for task in tasks]), *explored]
    width = max((len(path.name) for path in summaries), default=0)
    lines = [
        f"\n{'member':{width}}  {'ELBO':>9}  {'distortion':>10}  {'rate':>7}  {'seconds':>7}  status",
        *(table_row(path, summary, width) for path, summary in summaries.items()),
        f"{done} of {len(tasks)} members done, in {directory}",
        *said,
        *(["the same command again goes on with the others"] if done < len(tasks) else []),
    ]
    console.say("\n".join(lines))
    return 0 if done == len(tasks) else 1


def write_sweep_report(directory: Path, configs: Sequence[Config] = ()) -> list[str]:
    """Write the report on the runs that are done. Returns the lines to print about it; none if it failed.

    Args:
        directory: of the sweep.
        configs: of its members, which name the user's own networks.
    """
    from vae.app.traversals import draw_traversals_of
    from vae.report import PAGE, write_report  # its libraries take a second to load

    parts = list(dict.fromkeys(word for config in configs for word in foreign_words(config)))
    try:
        found = write_report(directory, output=directory, draw=lambda run: draw_traversals_of(run, parts))
    except OSError as error:
        print(f"error: the report could not be written: {error}", file=sys.stderr)
        return []
    return [] if found is None else [f"\n{found}", str(directory / PAGE)]


def write_sweep_explorer(directory: Path, configs: Sequence[Config]) -> list[str]:
    """Write the explorer page of the runs that are done. Returns the lines to print about it.

    Args:
        directory: of the sweep.
        configs: of the members that the command asked for. If all have `tracking.explorer=false`, there is no page.
    """
    if not any(config.tracking.explorer for config in configs):
        return []
    from vae.app.exploring import Asked, explore  # these load torch, which takes a second
    from vae.app.main import EXPECTED, said

    parts = dict.fromkeys(word for config in configs for word in foreign_words(config))
    try:
        found = explore([directory], Asked(parts=list(parts)))
    except Exception as error:  # a page that fails must not change how a sweep ends
        remove(directory / EXPLORER)  # it is of earlier members
        kind = "" if isinstance(error, EXPECTED) else f"{type(error).__name__}: "
        return [f"explore none: {kind}{one_line(said(error))}"]
    try:
        write_atomically(directory / EXPLORER, found.page.encode(errors="replace"), durable=False)
    except OSError as error:
        print(f"error: the explorer page could not be written: {said(error)}", file=sys.stderr)
        return []
    return [str(directory / EXPLORER), *map(one_line, found.surplus)]  # the table has those that are not done
