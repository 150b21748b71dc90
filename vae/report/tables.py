"""The tables of the report, with numbers as text."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from vae.disentanglement import names
from vae.disentanglement.names import SAMPLED, SHUFFLED
from vae.report.members import Member
from vae.report.statistics import Estimate, estimates, slopes
from vae.run.summary import listed, tightest_bound

# Names in summary.json. All are in nats except the number of active units.
BOUND = ("distortion", "rate", "elbo", "nll_upper_bound", "nll_fall_from_half", "active_units")
RATE = ("mutual_information", "total_correlation", "gaussian_total_correlation", "dimension_wise_kl")
BEST_KNOWN = ("mig", "dci_disentanglement", "factor_vae_score")
SPELLED = {name: name.upper() for name in ("dci", "elbo", "irs", "kl", "mig", "nll", "sap", "vae")}
SPELLED |= {name: name.capitalize() for name in ("chen", "gaussian", "wasserstein")}
SPELLED |= {f"info{letter}": f"Info{letter.upper()}" for letter in "mec"}
UNFINISHED, CEILING = "†", "*"
NEAR_CEILING = 1.0  # nats: an estimate of mutual information this close to its upper bound is too low
MISCOUNTED = 0.5  # nats of total correlation that shuffled latents, whose true value is 0, have because of that bound
NO_DEPENDENCE = 0.1  # nats; less above the shuffled value is within the error of the estimates
# How far above chance a score must be. Twice the standard deviation of the difference of two random codes, measured
# with 4 and 10 latents on 11 520 images of 576 combinations of four factors, and rounded up.
NOISE, NOISE_OF = 0.02, {"modularity": 0.1, "irs": 0.06}
CHANCE = "chance"


@dataclass(frozen=True)
class Cell:
    """A number of a table, with a smaller text below it. It is grey if `faint`."""

    text: str
    below: str
    faint: bool


@dataclass(frozen=True)
class Table:
    """Rows of text. The first column names the row. The notes are printed below the table."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    notes: Sequence[str] = ()


def formatted(found: Estimate | None, *, whole: bool = False) -> str:
    """`mean ± half width` with two digits of the half width, or the mean of a single seed.

    Args:
        found: the number.
        whole: the number is a count. It has no decimals if all seeds agree.

    Example:
        >>> formatted(Estimate(105.264, 0.2345)), formatted(Estimate(105.264, None)), formatted(None)
        ('105.26 ± 0.23', '105.26', '')
        >>> formatted(Estimate(6.0, None), whole=True), formatted(Estimate(6.5, 6.353), whole=True)
        ('6', '6.5 ± 6.4')
    """
    if found is None:
        return ""
    if found.half_width:
        digits = min(4, max(0, 1 - math.floor(math.log10(found.half_width))))
    else:
        digits = 0 if whole else 3 if found.half_width is None and abs(found.mean) < 1 else 2
    width = "" if found.half_width is None else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{width}"


def title(name: str) -> str:
    """A number's name in words.

    Example:
        >>> title("dci_disentanglement"), title("my_score")
        ('DCI disentanglement', 'my score')
    """
    return " ".join(SPELLED.get(word, word) for word in name.split("_"))


def table(
    grouped: Mapping[str, Sequence[Member]],
    names: Iterable[str],
    below: str = "",
    is_faint: Callable[[str, Sequence[Member]], bool] = lambda *_: False,
) -> Table | None:
    """One row for each setting and one column for each number that any member has; None if there is no number.

    Args:
        grouped: the members by setting.
        names: of the numbers.
        below: the word before the value of shuffled latents, which is then shown below each number that has one.
        is_faint: whether a number of a setting is grey, by its name and the members.
    """
    columns = {name: found for name in names if (found := estimates(grouped, name))}
    if not columns:
        return None
    shuffled = {name: estimates(grouped, name + SHUFFLED) if below else {} for name in columns}
    rows: list[list[str | Cell]] = []
    for setting, members in grouped.items():
        row: list[str | Cell] = [setting]
        for name, found in columns.items():
            text, apart = formatted(found.get(setting), whole=name == "active_units"), shuffled[name].get(setting)
            under = f"{below} {formatted(Estimate(apart.mean, None))}" if apart else ""
            faint = bool(text) and is_faint(name, members)
            row.append(Cell(text, under, faint) if under or faint else text)
        rows.append(row)
    return Table(["setting", *map(title, columns)], rows)


def above_shuffled(name: str, members: Iterable[Member]) -> float:
    """The mean of a number minus its mean for shuffled latents, over the members with both; NaN if none has."""
    pairs = [
        (m.numbers[name], m.numbers[name + SHUFFLED]) for m in members if {name, name + SHUFFLED} <= m.numbers.keys()
    ]
    return fmean(value - chance for value, chance in pairs) if pairs else math.nan


def transposed(found: Table | None) -> Table | None:
    """The table with rows and columns exchanged, for numbers that are more than the settings."""
    if found is None:
        return None
    header, *rows = zip(found.header, *found.rows, strict=True)
    return Table(["", *header[1:]], rows, found.notes)


def bound_table(grouped: Mapping[str, Sequence[Member]], columns: Sequence[str] = BOUND, below: str = "") -> Table:
    """Distortion, rate and the bounds. Settings whose training ended before a schedule are marked."""
    found = table(grouped, columns, below)
    assert found is not None, "every run that is done has a distortion"
    notes = [nll_note(grouped)] if title("nll_upper_bound") in found.header else []
    rows: list[list[str | Cell]] = []
    for members, (setting, *cells) in zip(grouped.values(), found.rows, strict=True):
        words = dict.fromkeys(word for m in members for word in m.unfinished.values())
        notes += [f"{UNFINISHED} {setting}: {word}." for word in words]
        rows.append([f"{setting} {UNFINISHED}" if words else setting, *cells])
    return replace(found, rows=rows, notes=notes)


def nll_note(grouped: Mapping[str, Sequence[Member]]) -> str:
    """A note on how the bound on the NLL was computed."""
    every = {
        setting: [tightest_bound(m.summary["test"]) for m in members if "nll_upper_bound" in m.numbers]
        for setting, members in grouped.items()
    }
    refitted = [bound for bounds in every.values() for bound, is_refitted in bounds if is_refitted]
    by_encoder = [bound for bounds in every.values() for bound, is_refitted in bounds if not is_refitted]
    lines = []
    if refitted:
        lines.append(
            f"The upper bound of the NLL is from {counted(refitted)}. They are drawn from posteriors that were "
            "refitted to the decoder, so that it is about equally tight for every beta."
        )
    if by_encoder and not refitted:
        lines.append(
            f"The upper bound of the NLL is from {counted(by_encoder)}. They are drawn from the encoder's posteriors, "
            "so that it is looser at a high beta."
        )
    elif by_encoder:
        older = [setting for setting, bounds in every.items() if not all(is_refitted for _, is_refitted in bounds)]
        lines.append(
            f"Runs by an older version have a looser bound, from {counted(by_encoder)} and the encoder's "
            f"posteriors. Do not compare it with the others. They are of {' and of '.join(older)}."
        )
    if any("nll_fall_from_half" in m.numbers for members in grouped.values() for m in members):
        lines.append("Its last fall is the difference between half of the samples and all of them.")
    lines.append("More samples make it tighter: python -m vae evaluate RUN --samples 5000 --refit.")
    return " ".join(lines)


def counted(bounds: Sequence[Mapping[str, Any]]) -> str:
    """The samples and images of bounds on the NLL, in words."""
    images, samples = (
        " or ".join(sorted({str(bound[name]) for bound in bounds if name in bound})) for name in ("images", "samples")
    )
    return f"{samples} samples for each of the first {images} test images"


def rate_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The parts of the rate. Mutual information and total correlation are grey and marked where they are saturated."""
    found = table(grouped, RATE, "shuffled", shows_nothing)
    if found is None:
        return None
    columns = [place for place, name in enumerate(found.header) if name in map(title, RATE[:2])]
    rows: list[list[str | Cell]] = []
    for members, row in zip(grouped.values(), found.rows, strict=True):
        marked = list(row)
        for place in columns if any(map(saturated, members)) else []:
            if isinstance(cell := row[place], Cell):
                marked[place] = replace(cell, text=f"{cell.text} {CEILING}")
        rows.append(marked)
    every = [m for members in grouped.values() for m in members]
    notes = []
    if any("total_correlation" + SHUFFLED in m.numbers for m in every):
        notes.append(
            "Shuffled: each latent is permuted over the images, which makes the latents independent. A total "
            f"correlation that is less than {NO_DEPENDENCE:g} nats above its shuffled value shows no dependence, and "
            "is grey."
        )
    if limits := sorted({f"{m.numbers.get('information_ceiling', math.nan):.2f}" for m in filter(saturated, every)}):
        notes.append(
            f"{CEILING} Saturated: the mutual information is within {NEAR_CEILING:g} nat of {' or '.join(limits)} "
            "nats, the logarithm of the number of images, which is its upper bound; or the total correlation of "
            f"shuffled latents is above {MISCOUNTED:g} nats, though it is 0 in truth. The rest of the rate is counted "
            "as total correlation even if the latents are independent, and the difference from the shuffled value is "
            "too small. Do not compare either between settings."
        )
    return replace(found, rows=rows, notes=notes)


def saturated(member: Member) -> bool:
    """Whether the logarithm of the number of images limits the estimates of the parts of the rate."""
    numbers = member.numbers
    near = numbers.get("mutual_information", -math.inf) > numbers.get("information_ceiling", math.inf) - NEAR_CEILING
    return near or numbers.get("total_correlation" + SHUFFLED, 0.0) > MISCOUNTED


def shows_nothing(name: str, members: Sequence[Member]) -> bool:
    """Whether a part of the rate is saturated in a run, or is a total correlation that shows no dependence."""
    if name not in RATE[:2]:
        return False
    return any(map(saturated, members)) or (
        name == "total_correlation" and above_shuffled(name, members) < NO_DEPENDENCE
    )


def is_chance(name: str, members: Sequence[Member]) -> bool:
    """Whether a score is not above that of shuffled codes by more than its noise."""
    return above_shuffled(name, members) < NOISE_OF.get(name, NOISE)


def score_names(grouped: Mapping[str, Sequence[Member]]) -> list[str]:
    """The names of the scores of posterior means and of the numbers of the user's own metrics."""
    found = [name for members in grouped.values() for m in members for name in m.scores]
    hidden = names.ALL.difference(names.OF_CODES, names.OF_POSTERIORS)
    return [
        name
        for name in dict.fromkeys((*BEST_KNOWN, *found))
        if name not in hidden and (not name.endswith(SHUFFLED) or name.removesuffix(SHUFFLED) not in found)
    ]


def score_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The scores with chance below them, the active latents, and how factors with many values were treated."""
    found = table(grouped, score_names(grouped), CHANCE, is_chance)
    if found is None:
        return None
    every = [m for members in grouped.values() for m in members]
    scored = [m.summary["disentanglement"] for m in every]
    notes = []
    for key, how in (("binned", "Cut into bins of equal counts"), ("left_out", "Not scored")):
        if reasons := {name: why for of_member in scored for name, why in of_member.get(key, {}).items()}:
            notes.append(f"{how}: {listed(reasons)}.")
    if any(name + SHUFFLED in m.numbers for m in every for name in names.OF_CODES):
        others = ", ".join(f"{title(name)} {of}" for name, of in NOISE_OF.items())
        notes.append(
            "Chance: the score of the same codes with each latent permuted over the images. A score that is less than "
            f"{NOISE} above chance ({others}) is grey."
        )
    collapsed = [of_member["collapsed"] for of_member in scored if "collapsed" in of_member]
    if collapsed and all(of == collapsed[0] for of in collapsed):
        values = ", ".join(f"{title(name)} {value:.2f}" for name, value in collapsed[0].items())
        notes.append(f"If all codes were the same, the scores would be 0, except {values}.")
    active = active_row(grouped)
    if active:
        notes.append(
            "A latent is active if its rate is above 0.01 nats. The means of the others count in all scores but "
            "InfoMEC, however little they vary. The scores of samples show whether they matter."
        )
    across = transposed(replace(found, notes=notes))
    return replace(across, rows=[active, *across.rows]) if across and active else across


def active_row(grouped: Mapping[str, Sequence[Member]]) -> list[str]:
    """The number of latents of each setting that are active by their rate; empty if it is not known."""
    found = estimates(grouped, "active_units_by_rate")
    if not found:
        return []
    cells = []
    for setting, members in grouped.items():
        sizes = {len(m.summary["test"].get("rate_per_latent", [])) for m in members} - {0}
        text = formatted(found.get(setting), whole=True)
        cells.append(f"{text} of {sizes.pop()}" if text and len(sizes) == 1 else text)
    return ["active latents", *cells]


def sampled_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The same scores for one sample of each posterior in place of its mean."""
    return transposed(table(grouped, [name + SAMPLED for name in (*score_names(grouped), *names.DEPENDENCE)]))


def dependence_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The measures of dependence between latents, with those of shuffled latents below them."""
    found = table(grouped, names.DEPENDENCE, "shuffled")
    note = (
        "All but the Wasserstein distance count collapsed latents as much as others, though their means hardly vary. "
        "They may rise with beta because more latents collapse. Active latents have a variance above 0.01."
    )
    return transposed(found and replace(found, notes=[note]))


def plain(cell: str | Cell) -> str:
    """The text of a cell on one line, as in `0.25 (chance 0.24)`."""
    if isinstance(cell, str):
        return cell
    return f"{cell.text} ({cell.below})" if cell.below else cell.text


def text_table(grouped: Mapping[str, Sequence[Member]]) -> str:
    """The main table in Markdown, the slopes, and whether they follow the law."""
    chosen = bound_table(grouped, [*BOUND, *BEST_KNOWN], CHANCE)
    rows = [[plain(cell).replace("|", "\\|") for cell in row] for row in (chosen.header, *chosen.rows)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" + "|---:" * (len(chosen.header) - 1) + "|")
    found, why_none = slopes(grouped)
    for one in found:
        among = f" of {one.among}" if one.among else ""
        lines.append(f"slope between beta {one.low:g} and {one.high:g}{among}: {one.slope:.2f}, {one.verdict}")
    if found and all(one.holds for one in found):
        lines.append("the laws hold: distortion rises, rate falls, and every slope lies between its betas")
    if why_none:
        lines.append(f"{'other ' if found else ''}slopes are not judged: {why_none}")
    return "\n".join([*lines, *chosen.notes])
