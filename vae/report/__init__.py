"""A folder of runs -> `report.html`, one page that needs nothing besides, and `results.csv`."""

from pathlib import Path

from vae.report.members import Member, read_members, settings, write_results
from vae.report.page import render
from vae.report.selection import unsupervised_ranking
from vae.report.tables import text_table
from vae.run_directory import write_atomically

__all__ = ["PAGE", "RESULTS", "Member", "read_members", "settings", "text_table", "write_report"]

PAGE, RESULTS = "report.html", "results.csv"


def write_report(folder: Path) -> str | None:
    """Leave the page and the table in `folder`. Returns what they say in a few lines; None if no member is done.

    Args:
        folder: of a sweep, whose members are the directories in it; or any folder of runs.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    members = read_members(folder)
    grouped = settings(members)
    if not grouped:
        return None
    ranking = unsupervised_ranking(grouped)
    table, page = write_results(members, ranking.of_member), render(folder, members, grouped, ranking)
    # Names and errors may hold what is no character.
    write_atomically(folder / RESULTS, table.encode(errors="replace"))
    write_atomically(folder / PAGE, page.encode(errors="replace"))
    return text_table(grouped)
