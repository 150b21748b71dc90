"""The report as one HTML file: tables, plots and pictures in it, nothing fetched."""

import base64
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from vae.report import plots
from vae.report.members import Member
from vae.report.selection import Ranking, supervised_choices
from vae.report.statistics import rank_correlations, slopes
from vae.report.tables import (
    BOUND,
    SAMPLED,
    SCORES,
    Table,
    bound_table,
    dependence_table,
    rate_table,
    score_table,
    shown,
    table,
    turned,
)
from vae.run.files import read_regular
from vae.run.names import SUMMARY
from vae.run.summary import read_origin

PICTURES_LENGTH = 2_500_000  # characters of the traversals, of which as many are shown as go in
WIDEST_PICTURE = 900  # pixels
MATRICES = {"mutual_information": "mutual information, nats", "dci_importance": "importance in DCI"}
FEWEST_FOR_RANKS = 4  # members: fewer order themselves by accident


@dataclass(frozen=True)
class Picture:
    """An image as the page holds it."""

    title: str
    source: str


def render(folder: Path, members: Sequence[Member], grouped: Mapping[str, Sequence[Member]], ranking: Ranking) -> str:
    """The page.

    Args:
        folder: whose report it is.
        members: all of them, done or not.
        grouped: those that are done, by setting.
        ranking: of the settings, without labels.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vae.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    first = next(iter(grouped.values()))[0]
    pictures = traversals(grouped)
    shown_pictures = pictures[: how_many_fit([len(p.source) for p in pictures])]
    return environment.get_template("page.html.j2").render(
        title=folder.resolve().name,
        members=members,
        done=sum(m.done for m in members),
        settings=list(grouped),
        introduction=first.introduction,
        origin=origin_line(first),
        hours=duration(sum(m.seconds for m in members)),
        elapsed=elapsed(members),
        tables=[
            ("The bound, on the test set", bound_table(grouped)),
            ("What the rate is made of", rate_table(grouped)),
            ("Scores of disentanglement, of posterior means", score_table(grouped)),
            ("Dependence of the latents (0 is best)", dependence_table(grouped)),
        ],
        sampled=turned(table(grouped, SAMPLED)),
        slopes=slopes(grouped),
        rate_distortion=plots.rate_distortion(grouped),
        spectra=plots.spectra(grouped),
        scores=plots.against_settings(grouped),
        matrices=[plots.matrices(grouped, name, title) for name, title in MATRICES.items()],
        traversals=shown_pictures,
        traversals_left_out=len(pictures) - len(shown_pictures),
        ranks=ranks(members),
        choices=choices(ranking, grouped),
        notes_on_choices=ranking.notes,
    )


def origin_line(member: Member) -> str:
    """The same for people, as far as it is known."""
    origin = read_origin(member.directory).fields
    known = {
        "revision {}": origin.get("revision"),
        "torch {}": origin.get("versions", {}).get("torch"),
        "{}": origin.get("device"),
        "{} threads a run": origin.get("threads"),
    }
    return ", ".join(words.format(value) for words, value in known.items() if value is not None)


def duration(seconds: float) -> str:
    """In the unit that fits.

    Example:
        >>> duration(42.0), duration(150.0), duration(9000.0)
        ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def elapsed(members: Sequence[Member]) -> str | None:
    """From the first start to the last end, pauses included; None if a run does not say."""
    try:
        starts = [
            datetime.fromisoformat(read_origin(m.directory).fields["started"]).timestamp() for m in members if m.done
        ]
        ends = [(m.directory / SUMMARY).stat().st_mtime for m in members if m.done]
    except (KeyError, OSError, OverflowError, TypeError, ValueError):
        return None
    return duration(max(ends) - min(starts))


def traversals(grouped: Mapping[str, Sequence[Member]]) -> list[Picture]:
    """The newest traversal figure of each setting's first seed that has one."""
    pictures = []
    for setting, members in grouped.items():
        sources = ((member, picture_source(member.directory / "figures" / "traversals.png")) for member in members)
        found = next(((member, source) for member, source in sources if source is not None), None)
        if found is not None:
            pictures.append(Picture(f"{setting}, seed {found[0].seed}", found[1]))
    return pictures


def picture_source(path: Path) -> str | None:
    """A picture as a page holds it, in fewer colours and no wider than it is shown; None if it cannot be read."""
    content = io.BytesIO()
    try:
        with Image.open(io.BytesIO(read_regular(path))) as image:
            small = image.convert("RGB")
        small.thumbnail((WIDEST_PICTURE, WIDEST_PICTURE))
        small.quantize(64).save(content, "PNG", optimize=True)
    except Exception:  # a damaged file: Pillow has many words for it
        return None
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def how_many_fit(lengths: Sequence[int]) -> int:
    """How many of the pictures, the first ones, go into the page."""
    return sum(total <= PICTURES_LENGTH for total in itertools.accumulate(lengths))


@dataclass(frozen=True)
class Ranks:
    """Rank correlations of the numbers over all members, and how many members they are of."""

    titles: Sequence[str]
    rows: Sequence[Sequence[float]]
    members: int


def ranks(members: Sequence[Member]) -> Ranks | None:
    """Spearman's correlation of distortion, rate and each score; None of too few members or without scores."""
    scored = [m for m in members if m.done and m.scores]
    if len(scored) < FEWEST_FOR_RANKS:
        return None
    ranked = {name: title for name, title in (BOUND | SCORES).items() if name != "nll_fall_from_half"}
    titles = {name: title for name, title in ranked.items() if all(name in m.numbers for m in scored)}
    matrix = rank_correlations([[m.numbers[name] for m in scored] for name in titles])
    varied = [k for k in range(len(titles)) if not math.isnan(matrix[k, k])]
    names = list(titles.values())
    rounded = np.round(matrix[np.ix_(varied, varied)], 2) + 0.0  # which has no -0
    return Ranks([names[k] for k in varied], rounded.tolist(), len(scored))


def choices(ranking: Ranking, grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """UDR of each setting, and which setting each criterion would choose."""
    if not ranking.of_setting:
        return None
    supervised = supervised_choices(grouped)
    rows = []
    for setting in grouped:
        marks = ["best" if chosen == setting else "" for chosen in supervised.values()]
        udr = shown(ranking.of_setting.get(setting)) + (" (chosen)" if ranking.chosen == setting else "")
        rows.append([setting, udr, *marks])
    return Table(["setting", "UDR, without labels", *(SCORES[name] for name in supervised)], rows)
