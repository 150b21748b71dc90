"""Write `report.html`, a page that needs no network, and `results.csv` for folders of runs."""

from collections.abc import Callable
from pathlib import Path

from vae.report.members import Member, read_members, results_table, settings
from vae.report.page import html_page
from vae.report.selection import rank_by_udr
from vae.report.tables import text_table
from vae.run.files import write_atomically
from vae.run.names import EXPLORER

__all__ = ["PAGE", "RESULTS", "Member", "read_members", "settings", "text_table", "write_report"]

PAGE, RESULTS = "report.html", "results.csv"


def write_report(*folders: Path, output: Path, draw: Callable[[Path], bytes | None] | None = None) -> str | None:
    """Write the page and the table of all runs.

    Args:
        folders: sweeps, other folders whose subdirectories are runs, and single runs.
        output: the folder of the two files. It is created.
        draw: draws the traversals of a run that has no such figure, as a PNG. None, or what it returns: there is none.

    Returns:
        The main results as a few lines of Markdown. None if no run is done, and then nothing is written.

    Raises:
        OSError: the disk is full, or the files cannot be written.
    """
    members = read_members(*folders)
    grouped = settings(members)
    if not grouped:
        return None
    ranking = rank_by_udr(grouped)
    heading = ", ".join(sorted({member.folder for member in members}))
    explorer = EXPLORER if (output / EXPLORER).is_file() else None
    table = results_table(members, ranking.of_member)
    page = html_page(heading, members, grouped, ranking, output, explorer, draw)
    output.mkdir(parents=True, exist_ok=True)
    # Names and errors may hold characters that UTF-8 cannot encode.
    write_atomically(output / RESULTS, table.encode(errors="replace"))
    write_atomically(output / PAGE, page.encode(errors="replace"))
    return "\n".join([text_table(grouped), *ranking.notes])
