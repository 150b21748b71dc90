"""Write `report.html`, a page that needs no network, and `results.csv` for a folder of runs."""

from pathlib import Path

from vae.report.members import Member, read_members, results_table, settings
from vae.report.page import html_page
from vae.report.selection import rank_by_udr
from vae.report.tables import text_table
from vae.run.files import write_atomically

__all__ = ["PAGE", "RESULTS", "Member", "read_members", "settings", "text_table", "write_report"]

PAGE, RESULTS = "report.html", "results.csv"


def write_report(folder: Path) -> str | None:
    """Write the page and the table of all runs into `folder`.

    Args:
        folder: a sweep, or any folder whose subdirectories are runs.

    Returns:
        The main results as a few lines of Markdown. None if no run is done, and then nothing is written.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    members = read_members(folder)
    grouped = settings(members)
    if not grouped:
        return None
    ranking = rank_by_udr(grouped)
    table, page = results_table(members, ranking.of_member), html_page(folder, members, grouped, ranking)
    # Names and errors may hold characters that UTF-8 cannot encode.
    write_atomically(folder / RESULTS, table.encode(errors="replace"))
    write_atomically(folder / PAGE, page.encode(errors="replace"))
    return "\n".join([text_table(grouped), *ranking.notes])
