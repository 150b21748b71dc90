"""The report as one HTML file. Its plots and images are inside, so that it needs no network."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jinja2
from PIL import Image

from vae.report import plots
from vae.report.linear import linear_table, rates_over_beta
from vae.report.members import Member
from vae.report.runs import MOST_OPEN, cautions, extremes, groups, place_of
from vae.report.selection import Ranking, supervised_choices
from vae.report.statistics import rank_correlations, slopes
from vae.report.status import duration
from vae.report.tables import (
    BOUND,
    Table,
    bound_table,
    dependence_table,
    formatted,
    rate_table,
    sampled_table,
    score_names,
    score_table,
    title,
)
from vae.run.files import read_regular
from vae.run.names import FIGURES, LOG
from vae.run.summary import read_origin

MOST_TRAVERSALS = 12  # images in the page, so that a browser opens it quickly
WIDEST_IMAGE = 900  # pixels
FACTOR_MATRICES = {"mutual_information": "mutual information, nats", "dci_importance": "importance in DCI"}
FEWEST_FOR_RANKS = 4  # members: the ranks of fewer may agree by chance


def html_page(
    heading: str,
    members: Sequence[Member],
    grouped: Mapping[str, Sequence[Member]],
    ranking: Ranking,
    output: Path,
    explorer: str | None = None,
    draw: Callable[[Path], bytes | None] | None = None,
) -> str:
    """The page as text.

    Args:
        heading: of the page.
        members: all of them, done or not.
        grouped: those that are done, by setting.
        ranking: of the settings by UDR.
        output: the folder of the page, from which runs are linked.
        explorer: the name of an explorer page beside this one, which is linked.
        draw: draws the traversals of a run that has no such figure, as a PNG.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vae.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    first = next(iter(grouped.values()))[0]
    shown = evenly(grouped, MOST_TRAVERSALS)
    images = traversal_images(shown, draw)
    return environment.get_template("page.html.j2").render(
        title=heading,
        explorer=explorer,
        members=members,
        groups=groups(members, grouped),
        extremes=extremes(grouped, output),
        cautions=cautions(grouped),
        place_of=lambda member: place_of(member, output),
        folded=len(grouped) > MOST_OPEN,
        done=sum(m.done for m in members),
        settings=len(grouped),
        introduction=introduction(first.directory),
        origin=origin_line(first.directory),
        hours=duration(sum(m.summary["seconds"] or 0 for m in members)),
        bound=bound_table(grouped),
        tables={
            "The parts of the rate": rate_table(grouped),
            "Scores of the posterior means": score_table(grouped),
            "Dependence of the latents (0 is best)": dependence_table(grouped),
        },
        sampled=sampled_table(grouped),
        law=slopes(grouped),
        rate_distortion=plots.rate_distortion(grouped),
        spectra=plots.spectra(grouped),
        linear=linear_table(grouped),
        over_beta=[plots.latents_over_beta(shown) for shown in rates_over_beta(grouped)],
        scores=plots.scores(grouped),
        matrices=[plots.matrices_by_setting(shown, name, title) for name, title in FACTOR_MATRICES.items()],
        traversals=images,
        left_out=len(grouped) - len(shown),
        ranks=ranks(grouped),
        choices=choices(ranking, grouped),
        notes_on_choices=ranking.notes,
    )


def evenly(grouped: Mapping[str, Sequence[Member]], most: int) -> dict[str, Sequence[Member]]:
    """At most so many of the settings, evenly chosen, the first and the last among them."""
    items = list(grouped.items())
    if len(items) <= most:
        return dict(items)
    return dict(items[round(number * (len(items) - 1) / (most - 1))] for number in range(most))


def introduction(directory: Path) -> list[str]:
    """The lines of a run's log that name its data, model, loss, device and steps."""
    try:
        lines = read_regular(directory / LOG).decode(errors="replace").splitlines()
    except OSError:
        return []
    first = {line.split(maxsplit=1)[0]: line for line in reversed(lines) if line.strip()}
    return [first[word] for word in ("data", "model", "loss", "device", "steps") if word in first]


def origin_line(directory: Path) -> str:
    """The revision, the version of torch, the device and the threads of a run, as far as they are known."""
    origin = read_origin(directory).fields
    known = {
        "revision {}": origin.get("revision"),
        "torch {}": origin.get("versions", {}).get("torch"),
        "{}": origin.get("device"),
        "threads: {}": origin.get("threads"),
    }
    return ", ".join(words.format(value) for words, value in known.items() if value is not None)


def traversal_images(
    grouped: Mapping[str, Sequence[Member]], draw: Callable[[Path], bytes | None] | None = None
) -> dict[str, str]:
    """The traversals of one seed of each setting: their data URL by their title.

    It is the first seed that has the figure. If none has, `draw` draws that of the first seed.
    """
    found = {}
    for setting, members in grouped.items():
        for member in members:
            if (source := image_source(traversals_in(member.directory))) is not None:
                found[f"{setting}, seed {member.summary['seed']}"] = source
                break
        else:
            if draw is not None and (source := image_source(draw(members[0].directory))) is not None:
                found[f"{setting}, seed {members[0].summary['seed']}"] = source
    return found


def traversals_in(directory: Path) -> bytes | None:
    """The content of the traversal figure of a run; None if there is none."""
    try:
        return read_regular(directory / FIGURES / "traversals.png")
    except OSError:
        return None


def image_source(picture: bytes | None) -> str | None:
    """The image as a data URL, reduced to 64 colours and `WIDEST_IMAGE`; None if there is none or it is damaged."""
    content = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture or b"")) as image:
            small = image.convert("RGB")
        small.thumbnail((WIDEST_IMAGE, WIDEST_IMAGE))
        small.quantize(64).save(content, "PNG", optimize=True)
    except Exception:  # Pillow raises errors of many types for a damaged file
        return None
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def ranks(grouped: Mapping[str, Sequence[Member]]) -> tuple[list[str], list[list[float]], int] | None:
    """Spearman's rank correlations of distortion, rate and each score, over all members that have scores.

    Returns:
        The titles, the matrix, and the number of members; None if there are too few of them.
    """
    scored = [m for members in grouped.values() for m in members if m.scores]
    if len(scored) < FEWEST_FOR_RANKS:
        return None
    names = [*BOUND, *score_names(grouped)]
    columns = {title(n): [m.numbers[n] for m in scored] for n in names if all(n in m.numbers for m in scored)}
    columns.pop(title("nll_fall_from_half"), None)
    titles, matrix = rank_correlations(columns)
    return (titles, matrix, len(scored)) if titles else None


def choices(ranking: Ranking, grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """UDR of each setting, and the setting that each criterion chooses."""
    if not ranking.of_setting:
        return None
    supervised = supervised_choices(grouped)
    rows = []
    for setting in grouped:
        udr = formatted(ranking.of_setting.get(setting)) + (" (chosen)" if ranking.chosen == setting else "")
        rows.append([setting, udr, *("best" if chosen == setting else "" for chosen in supervised.values())])
    return Table(["setting", "UDR, without labels", *map(title, supervised)], rows)
