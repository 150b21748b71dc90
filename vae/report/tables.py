"""What the rows are called, and numbers as text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vae.report.members import Member
from vae.report.statistics import Estimate, estimates, slopes

# By their names in summary.json. Nats, where nothing else is said.
BOUND = {
    "distortion": "distortion",
    "rate": "rate",
    "elbo": "ELBO",
    "nll": "NLL, at most",
    "active_units": "active latents",
}
RATE = {
    "mutual_information": "mutual information",
    "total_correlation": "total correlation",
    "dimension_wise_kl": "dimension-wise KL",
}
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
DEPENDENCE = {
    "codes_total_correlation": "Gaussian total correlation",
    "gaussian_wasserstein": "Gaussian Wasserstein",
    "gaussian_wasserstein_normalised": "the same, normalised",
    "mutual_information_score": "mutual information of latents",
}
SAMPLED = {f"{name}_sampled": title for name, title in (SCORES | DEPENDENCE).items() if name != "mig_chen"}
COUNTS = {"active_units"}


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column says what the row is of."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


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
    return Table(["", *header[1:]], rows)


def text_table(grouped: Mapping[str, Sequence[Member]]) -> str:
    """The main table in Markdown, and whether the law of the slopes holds."""
    chosen = table(
        grouped, BOUND | {name: SCORES[name] for name in ("mig", "dci_disentanglement", "factor_vae_score")}
    )
    assert chosen is not None, "every run that is done has a distortion"
    lines = [
        "| " + " | ".join(chosen.header) + " |",
        "|---" + "|---:" * (len(chosen.header) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in chosen.rows),
    ]
    found = slopes(grouped)
    lines += [f"slope between beta {one.low:g} and {one.high:g}: {one.slope:.2f}, {one.law}" for one in found]
    if found and all(one.holds for one in found):
        lines.append("the laws hold: distortion rises, rate falls, and every slope lies between its betas")
    return "\n".join(lines)
