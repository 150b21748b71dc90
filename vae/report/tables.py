"""The tables of the report, with numbers as text."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vae.report.members import Member
from vae.report.statistics import Estimate, estimates, slopes
from vae.run.summary import listed

# Names in summary.json. All are in nats except the number of active units.
BOUND = ("distortion", "rate", "elbo", "nll_upper_bound", "nll_fall_from_half", "active_units")
RATE = (
    "mutual_information",
    "mutual_information_shuffled",
    "total_correlation",
    "total_correlation_shuffled",
    "gaussian_total_correlation",
    "dimension_wise_kl",
)
DEPENDENCE = (
    "codes_total_correlation",
    "active_codes_total_correlation",
    "gaussian_wasserstein",
    "gaussian_wasserstein_normalised",
    "mutual_information_score",
)
BASELINE, SAMPLED = (
    "_baseline",
    "_sampled",
)  # endings of the names of scores: of permuted codes; of one sample of each posterior
BEST_KNOWN = ("mig", "dci_disentanglement", "factor_vae_score")
SPELLED = {name: name.upper() for name in ("dci", "elbo", "irs", "kl", "mig", "nll", "sap", "vae")}
SPELLED |= {name: name.capitalize() for name in ("chen", "gaussian", "wasserstein")}
SPELLED |= {f"info{letter}": f"Info{letter.upper()}" for letter in "mec"}
UNFINISHED, CEILING = "†", "*"
NEAR_CEILING = 1.0  # nats: an estimate of mutual information this close to its upper bound is too low


@dataclass(frozen=True)
class Table:
    """Rows of text. The first column names the row. The notes are printed below the table."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
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


def table(grouped: Mapping[str, Sequence[Member]], names: Iterable[str]) -> Table | None:
    """One row for each setting and one column for each number that any member has; None if there is no number."""
    columns = {name: found for name in names if (found := estimates(grouped, name))}
    if not columns:
        return None
    rows = [
        [setting, *(formatted(found.get(setting), whole=name == "active_units") for name, found in columns.items())]
        for setting in grouped
    ]
    return Table(["setting", *map(title, columns)], rows)


def transposed(found: Table | None) -> Table | None:
    """The table with rows and columns exchanged, for numbers that are more than the settings."""
    if found is None:
        return None
    header, *rows = zip(found.header, *found.rows, strict=True)
    return Table(["", *header[1:]], rows, found.notes)


def bound_table(grouped: Mapping[str, Sequence[Member]], names: Sequence[str] = BOUND) -> Table:
    """Distortion, rate and the bounds. Settings whose training ended before a schedule are marked."""
    found = table(grouped, names)
    assert found is not None, "every run that is done has a distortion"
    notes = [nll_note(grouped)] if title("nll_upper_bound") in found.header else []
    rows = []
    for members, (setting, *cells) in zip(grouped.values(), found.rows, strict=True):
        words = dict.fromkeys(word for m in members for word in m.unfinished.values())
        notes += [f"{UNFINISHED} {setting}: {word}." for word in words]
        rows.append([f"{setting} {UNFINISHED}" if words else setting, *cells])
    return replace(found, rows=rows, notes=notes)


def nll_note(grouped: Mapping[str, Sequence[Member]]) -> str:
    """A note on how the bound on the NLL was computed."""
    every = [m for members in grouped.values() for m in members if "nll_upper_bound" in m.numbers]
    bounds = [m.summary["test"]["importance_weighted_bound"] for m in every]
    images, samples = (
        " or ".join(sorted({str(bound[name]) for bound in bounds if name in bound})) for name in ("images", "samples")
    )
    fall = " Its last fall is the difference between half of the samples and all of them."
    return (
        f"The upper bound of the NLL is from {samples} samples for each of the first {images} test images. It is "
        f"looser at a high beta.{fall if any('nll_fall_from_half' in m.numbers for m in every) else ''} "
        "More samples make it tighter: python -m vae evaluate RUN --samples 5000."
    )


def rate_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The parts of the rate. Mutual information near its upper bound and its total correlation are marked."""
    found = table(grouped, RATE)
    if found is None:
        return None
    ceilings = {setting: ceilings_reached(members) for setting, members in grouped.items()}
    rows = [
        [
            f"{cell} {CEILING}"
            if ceilings[row[0]] and cell and title in ("mutual information", "total correlation")
            else cell
            for title, cell in zip(found.header, row, strict=True)
        ]
        for row in found.rows
    ]
    notes = []
    if title("total_correlation_shuffled") in found.header:
        notes.append(
            "Shuffled: each latent is permuted over the images, which makes the latents independent. A total "
            "correlation that is not above its shuffled value shows no dependence."
        )
    if reached := sorted(set().union(*ceilings.values())):
        notes.append(
            f"{CEILING} Within {NEAR_CEILING:g} nat of {' or '.join(reached)} nats, the logarithm of the "
            "number of images, which is an upper bound of the mutual information. The rest of the rate is counted as "
            "total correlation even if the latents are independent. Do not compare either between settings."
        )
    return replace(found, rows=rows, notes=notes)


def ceilings_reached(members: Iterable[Member]) -> set[str]:
    """The upper bounds of the mutual information, in nats, that are less than a nat above the value of a run."""
    return {
        f"{m.numbers['information_ceiling']:.2f}"
        for m in members
        if m.numbers.get("mutual_information", -math.inf)
        > m.numbers.get("information_ceiling", math.inf) - NEAR_CEILING
    }


def score_names(grouped: Mapping[str, Sequence[Member]]) -> list[str]:
    """The names of the scores of posterior means and of the numbers of the user's own metrics."""
    found = [name for members in grouped.values() for m in members for name in m.scores]
    names = dict.fromkeys((*BEST_KNOWN, *found))
    return [name for name in names if name not in DEPENDENCE and not name.endswith(SAMPLED)]


def score_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The scores, with those of shuffled codes and how factors with too many values were treated."""
    found = table(grouped, score_names(grouped))
    if found is None:
        return None
    scored = [m.summary["disentanglement"] for members in grouped.values() for m in members]
    notes = []
    for key, how in (("binned", "Cut into bins of equal counts"), ("left_out", "Not scored")):
        if reasons := {name: why for of_member in scored for name, why in of_member.get(key, {}).items()}:
            notes.append(f"{how}: {listed(reasons)}.")
    if any(name.endswith("baseline") for name in found.header):
        notes.append(
            "Codes without any information about the factors do not score 0. Their beta VAE and factor VAE scores are "
            "about 1 / factors, and their explicitness is 0.5. Baselines are the scores of shuffled codes."
        )
    return transposed(replace(found, notes=notes))


def sampled_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The same scores for one sample of each posterior in place of its mean."""
    return transposed(table(grouped, [name + SAMPLED for name in (*score_names(grouped), *DEPENDENCE)]))


def dependence_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The measures of dependence between latents."""
    found = table(grouped, DEPENDENCE)
    note = (
        "All but the Wasserstein distance count collapsed latents as much as others, though their means hardly vary. "
        "They may rise with beta because more latents collapse. Active latents have a variance above 0.01."
    )
    return transposed(found and replace(found, notes=[note]))


def text_table(grouped: Mapping[str, Sequence[Member]]) -> str:
    """The main table in Markdown, the slopes, and whether they follow the law."""
    chosen = bound_table(grouped, [*BOUND, *BEST_KNOWN])
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (chosen.header, *chosen.rows)]
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
