"""A folder of runs -> `report.html`, one page that needs nothing besides, and `results.csv`."""

import time
from contextlib import suppress
from pathlib import Path

from vae.report.members import Member, read_members, settings, write_results
from vae.report.page import render
from vae.report.selection import unsupervised_ranking
from vae.report.tables import text_table
from vae.run.files import leftovers_of, write_atomically

__all__ = ["PAGE", "RESULTS", "Member", "read_members", "settings", "text_table", "write_report"]

PAGE, RESULTS = "report.html", "results.csv"
LEFT_OVER_SECONDS = 3600.0


def write_report(folder: Path) -> str | None:
    """Leave the page and the table in `folder`. Returns what they say in a few lines; None if no member is done.

    Args:
        folder: of a sweep, whose members are the directories in it; or any folder of runs.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    for name in (RESULTS, PAGE):
        remove_old_leftovers(folder / name)
    members = read_members(folder)
    grouped = settings(members)
    if not grouped:
        return None
    ranking = unsupervised_ranking(grouped)
    table, page = write_results(members, ranking.of_member), render(folder, members, grouped, ranking)
    # Names and errors may hold what is no character.
    write_atomically(folder / RESULTS, table.encode(errors="replace"))
    write_atomically(folder / PAGE, page.encode(errors="replace"))
    return "\n".join([text_table(grouped), *ranking.notes])


def remove_old_leftovers(path: Path) -> None:
    """Remove what kills have left of a report. Others may be writing theirs, as no lock forbids; it takes seconds."""
    for temporary in leftovers_of(path):
        with suppress(OSError):  # somebody else was quicker, or may do it
            if time.time() - temporary.lstat().st_mtime > LEFT_OVER_SECONDS:
                temporary.unlink()
