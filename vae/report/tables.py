"""What the rows are called, and numbers as text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vae.report.members import NEAR_CEILING, Member
from vae.report.statistics import Estimate, estimates, slopes

# By their names in summary.json. Nats, where nothing else is said.
BOUND = {
    "distortion": "distortion",
    "rate": "rate",
    "elbo": "ELBO",
    "nll": "NLL, at most",
    "nll_fall_from_half": "which still fell by",
    "active_units": "active latents",
}
RATE = {
    "mutual_information": "mutual information",
    "mutual_information_shuffled": "the same, shuffled",
    "total_correlation": "total correlation",
    "total_correlation_shuffled": "the same, shuffled ",
    "gaussian_total_correlation": "its linear part",
    "dimension_wise_kl": "dimension-wise KL",
}
CUT_OFF = {"mutual_information", "total_correlation"}  # marked where the first is near its ceiling
SCORES = {
    "mig": "MIG",
    "mig_chen": "MIG, Chen's estimate",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "sap": "SAP",
    "sap_continuous": "SAP, continuous",
    "factor_vae_score": "FactorVAE score",
    "beta_vae_score": "β-VAE score",
    "modularity": "modularity",
    "explicitness": "explicitness",
    "irs": "IRS",
}
BASELINES = {"modularity_baseline": "- of other images' codes", "irs_baseline": "- of other images' codes "}
SCORES_AND_BASELINES = {
    name: title
    for score, of_score in SCORES.items()
    for name, title in ((score, of_score), (f"{score}_baseline", BASELINES.get(f"{score}_baseline")))
    if title is not None
}
DEPENDENCE = {
    "codes_total_correlation": "Gaussian total correlation",
    "active_codes_total_correlation": "- of active latents only",
    "gaussian_wasserstein": "Gaussian Wasserstein",
    "gaussian_wasserstein_normalised": "the same, normalised",
    "mutual_information_score": "mutual information of latents",
}
SAMPLED = {
    f"{name}_sampled": title for name, title in (SCORES_AND_BASELINES | DEPENDENCE).items() if name != "mig_chen"
}
COUNTS = {"active_units"}
UNFINISHED, CEILING = "†", "*"
NAMED = 5  # of the factors that are left out: more would hide the table


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column says what the row is of. The notes belong below it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def shown(found: Estimate | None, *, whole: bool = False) -> str:
    """`mean ± half width`, with two digits of the width; the mean alone where one seed is all there is.

    Args:
        found: the number.
        whole: it counts something: of one run, and where all agree, it has no decimals.

    Example:
        >>> shown(Estimate(105.264, 0.2345, 5)), shown(Estimate(105.264, None, 1)), shown(None)
        ('105.26 ± 0.23', '105.26', '')
        >>> shown(Estimate(6.0, None, 1), whole=True), shown(Estimate(6.5, 6.353, 2), whole=True)
        ('6', '6.5 ± 6.4')
    """
    if found is None:
        return ""
    if found.half_width is None:
        return f"{found.mean:.{0 if whole else digits_of(found.mean)}f}"
    if found.half_width == 0:
        digits = 0 if whole else 2
    else:
        digits = min(4, max(0, 1 - math.floor(math.log10(found.half_width))))
    return f"{found.mean:.{digits}f} ± {found.half_width:.{digits}f}"


def digits_of(value: float) -> int:
    """Decimals that tell runs apart: three for scores, two for nats."""
    return 3 if abs(value) < 1 else 2


def table(grouped: Mapping[str, Sequence[Member]], titles: Mapping[str, str]) -> Table | None:
    """A row a setting, a column for each number that any member has; None if there is no such number."""
    columns = {name: found for name in titles if (found := estimates(grouped, name))}
    if not columns:
        return None
    rows = [
        [setting, *(shown(found.get(setting), whole=name in COUNTS) for name, found in columns.items())]
        for setting in grouped
    ]
    return Table(["setting", *(titles[name] for name in columns)], rows)


def turned(found: Table | None) -> Table | None:
    """Rows as columns: there are more scores than settings."""
    if found is None:
        return None
    header, *rows = zip(found.header, *found.rows, strict=True)
    return Table(["", *header[1:]], rows, found.notes)


def bound_table(grouped: Mapping[str, Sequence[Member]], titles: Mapping[str, str] = BOUND) -> Table:
    """Distortion, rate and the bounds. A setting is marked if a schedule of one of its runs was not finished."""
    found = table(grouped, titles)
    assert found is not None, "every run that is done has a distortion"
    notes = [nll_note(grouped)] if "NLL, at most" in found.header else []
    rows = []
    for members, row in zip(grouped.values(), found.rows, strict=True):
        words = dict.fromkeys(word for m in members for word in m.unfinished.values())
        notes += [f"{UNFINISHED} {row[0]}: {word}." for word in words]
        rows.append([f"{row[0]} {UNFINISHED}" if words else row[0], *row[1:]])
    return replace(found, rows=rows, notes=notes)


def nll_note(grouped: Mapping[str, Sequence[Member]]) -> str:
    """What the NLL is of, and how loose."""
    taken = [
        m.summary["test"]["importance_weighted_bound"] for ms in grouped.values() for m in ms if "nll" in m.numbers
    ]
    images, samples = (
        sorted({str(bound[name]) for bound in taken if name in bound}) for name in ("images", "samples")
    )
    falls = any("nll_fall_from_half" in m.numbers for members in grouped.values() for m in members)
    fell = " The next number is by how much it still fell from half of the samples to all." if falls else ""
    return (
        f"NLL, at most, is a bound by {' or '.join(samples)} samples of each of the first {' or '.join(images)} test "
        f"images, looser at a high beta than at a low one.{fell}"
        " 5000 samples instead of 100 lowered it by 1.3, 1.3, 1.5 and 1.6 nats at beta 1, 2, 4 and 8 (MNIST, 25 "
        "epochs, 100 images): python scripts/evaluate.py RUN --samples 5000."
    )


def rate_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """What the rate is made of. Mutual information near its ceiling is marked, and total correlation beside it."""
    found = table(grouped, RATE)
    if found is None:
        return None
    names = [name for name in RATE if RATE[name] in found.header]
    rows, ceilings = [], set()
    for members, row in zip(grouped.values(), found.rows, strict=True):
        near = [m for m in members if m.near_ceiling]
        ceilings |= {f"{m.ceiling:.2f}" for m in near}
        marks = [
            CEILING if near and name in CUT_OFF and cell else "" for name, cell in zip(names, row[1:], strict=True)
        ]
        rows.append([row[0], *(f"{cell} {mark}".strip() for cell, mark in zip(row[1:], marks, strict=True))])
    notes = [
        *(
            [
                "Shuffled: of the same posteriors, each latent permuted over the images, which makes the latents "
                "independent. A total correlation that is not above its shuffled value shows no dependence."
            ]
            if "total_correlation_shuffled" in names
            else []
        ),
        *(
            [
                f"{CEILING} within {NEAR_CEILING:g} nat of {' or '.join(sorted(ceilings))} nats, the logarithm of the "
                "number of images, which no mutual information exceeds. What the rate has above that is counted as "
                "total correlation, also of independent latents: neither may be compared between settings."
            ]
            if ceilings
            else []
        ),
    ]
    return replace(found, rows=rows, notes=notes)


def score_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """The scores, a row each, with what they are of codes that know nothing, and which factors they are not of."""
    found = table(grouped, SCORES_AND_BASELINES)
    if found is None:
        return None
    every = [m for members in grouped.values() for m in members]
    left_out = dict(pair for m in every for pair in m.left_out.items())
    names = [f"{name} ({why})" for name, why in list(left_out.items())[:NAMED]]
    more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
    notes = [
        "Codes that know nothing of the factors do not score 0: the β-VAE and the FactorVAE score are then about "
        "1 / factors, explicitness 0.5, and modularity and IRS what they are of other images' codes.",
        *([f"Only SAP, continuous, counts {', '.join(names)}{more}."] if left_out else []),
    ]
    return turned(replace(found, notes=notes))


def dependence_table(grouped: Mapping[str, Sequence[Member]]) -> Table | None:
    """How dependent the latents are, a row a measure."""
    found = table(grouped, DEPENDENCE)
    note = (
        "All but the Wasserstein distance count collapsed latents as much as others, though their means hardly vary: "
        "they may rise with beta because more latents collapse. Active latents have a variance above 0.01."
    )
    return turned(found and replace(found, notes=[note]))


def cell(text: str) -> str:
    """A text in a table of Markdown."""
    return text.replace("|", "\\|")


def text_table(grouped: Mapping[str, Sequence[Member]]) -> str:
    """The main table in Markdown, and whether the law of the slopes holds."""
    best_known = {name: SCORES[name] for name in ("mig", "dci_disentanglement", "factor_vae_score")}
    chosen = bound_table(grouped, BOUND | best_known)
    lines = [
        "| " + " | ".join(map(cell, chosen.header)) + " |",
        "|---" + "|---:" * (len(chosen.header) - 1) + "|",
        *("| " + " | ".join(map(cell, row)) + " |" for row in chosen.rows),
    ]
    law = slopes(grouped)
    lines += [f"slope between beta {one.low:g} and {one.high:g}: {one.slope:.2f}, {one.law}" for one in law.found]
    if law.found and all(one.holds for one in law.found):
        lines.append("the laws hold: distortion rises, rate falls, and every slope lies between its betas")
    if law.why_none is not None:
        lines.append(f"slopes are not judged: {law.why_none}")
    lines += chosen.notes
    return "\n".join(lines)
