"""The setting with the highest UDR, score, or number of factors that have a latent of their own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vae.disentanglement.names import DEPENDENCE, SAMPLED, SHUFFLED
from vae.report.budgets import row_of
from vae.report.choice import OWN_NATS, Aim, Choice, Goal, NoChoiceError, Row, listed, titled, told_apart
from vae.report.members import Member, described, differences
from vae.report.selection import rank_by_udr
from vae.report.statistics import Estimate, estimate, finite_values
from vae.report.tables import score_names


def highest(grouped: Mapping[str, Sequence[Member]], aim: Aim) -> Choice:
    """The setting with the highest mean of a number.

    Raises:
        NoChoiceError: fewer than two settings have it, or it is not a score of which more is better.
    """
    notes: Sequence[str] = ()
    match aim.goal:
        case Goal.udr:
            ranking = rank_by_udr(grouped)
            means, notes = dict(ranking.of_setting), ranking.notes
            needs = "UDR compares settings of two seeds or more"
        case Goal.factors:
            means = means_of(grouped, own_factors_of)
            needs = "the factors of the images must be known and scored"
        case _:
            refuse_score(grouped, aim.score)
            means = means_of(grouped, lambda m: m.scores.get(aim.score))
            needs = f"{titled(aim.score)} must be known"
    if len(means) < 2:
        only = f"only {next(iter(means))} has it" if means else "no setting has it"
        like = next(iter(grouped.values()))[0]
        raise NoChoiceError(f"{aim.words} is not shown: {needs}, and {only}. Two settings are the fewest", (), like)
    rows = [
        row_of(setting, members, {aim.column: means[setting]} if setting in means else None)
        for setting, members in grouped.items()
    ]
    ranked = sorted((row for row in rows if aim.column in row.numbers), key=lambda row: row.point.distortion)
    best = max(ranked, key=lambda row: row.numbers[aim.column].mean)  # of equal ones that of the least distortion
    value = best.numbers[aim.column]
    alike = [row for row in ranked if row is not best and not clearly_below(row.numbers[aim.column], value)]
    words = list(notes)
    if alike:
        words.append(
            f"the mean {titled(aim.column)} of {best.setting} and {listed([row.setting for row in alike])} differ by "
            "less than the spread over seeds. The choice among these is not supported by the data"
        )
    if value.mean <= 0:
        words.append(f"no setting has a {titled(aim.column)} above 0")
    words += shuffled_caution(best, aim) + end_caution(best, rows)
    if without := [row.setting for row in rows if aim.column not in row.numbers]:
        words.append(f"not compared, without {titled(aim.column)}: {listed(without)}")
    marked = [replace(row, mark="chosen" if row is best else "not told apart" if row in alike else "") for row in rows]
    keys = [key for key in differences([m[0].conditions for m in grouped.values()]) if key != "beta"]
    expected = {name: [number] for name, number in best.numbers.items()}
    among = described(best.members[0].conditions, keys) if best.members[0].summary["conditions"] else ""
    return Choice(best.beta, among, "trained", expected, marked, words)


def clearly_below(one: Estimate, best: Estimate) -> bool:
    """Whether a mean is below the best one by more than the spread over seeds. Equal means never are."""
    return one.mean < best.mean and told_apart(one, best)


def means_of(grouped: Mapping[str, Sequence[Member]], number: Callable[[Member], float | None]) -> dict[str, Estimate]:
    """The mean of a number over the members of each setting that have it."""
    found = {setting: [v for m in members if (v := number(m)) is not None] for setting, members in grouped.items()}
    finite = {setting: [value for value in values if math.isfinite(value)] for setting, values in found.items()}
    return {setting: estimate(values) for setting, values in finite.items() if values}


def own_factors_of(member: Member) -> float | None:
    """How many factors have a latent of their own in this run; None if the factors are not scored."""
    matrix = member.summary["disentanglement"].get("matrices", {}).get("mutual_information")
    return None if not matrix else float(own_factors(np.array(matrix, dtype=np.float64)))


def own_factors(information: Float[np.ndarray, "latents factors"], ahead: float = OWN_NATS) -> int:
    """How many factors have a latent of their own.

    It tells at least `ahead` nats more about the factor than any other latent, and about no other factor does it tell
    more. So a latent counts for one factor at most.

    Args:
        information: the mutual information of each latent and factor in nats. NaN counts as 0.
        ahead: in nats.

    Example:
        >>> own_factors(np.array([[2.0, 0.0], [0.0, 2.0]])), own_factors(np.array([[2.0, 2.0], [2.0, 2.0]]))
        (2, 0)
    """
    known = np.nan_to_num(information)
    ordered = np.sort(np.vstack([known, np.zeros_like(known[:1])]), axis=0)[::-1]
    best = known.argmax(axis=0)
    is_ahead = ordered[0] - ordered[1] >= ahead
    is_own = known[best].argmax(axis=1) == np.arange(known.shape[1])
    return int((is_ahead & is_own).sum())


def refuse_score(grouped: Mapping[str, Sequence[Member]], name: str) -> None:
    """Refuse a name that is no score of these runs, or of which more is not better.

    Raises:
        NoChoiceError: lists the scores.
    """
    known = [n for n in score_names(grouped) if not n.endswith(SHUFFLED)]
    present = [n for n in known if any(n in m.scores for members in grouped.values() for m in members)]
    if name in present:
        return
    if not present:
        raise NoChoiceError(f"--score needs runs with scores, these have none, got {name}")
    why = " is best at 0 or is not of posterior means" if name in DEPENDENCE or name.endswith(SAMPLED) else ""
    raise NoChoiceError(f"--score must be one of {', '.join(present)}, got {name}" + (why and f", which{why}"))


def shuffled_caution(best: Row, aim: Aim) -> list[str]:
    """A caution if codes without information score as much."""
    values = finite_values(best.members, aim.score + SHUFFLED) if aim.goal is Goal.score else []
    if values and estimate(values).mean >= best.numbers[aim.score].mean:
        return [f"shuffled codes, which know nothing of the factors, have {estimate(values).mean:.3f}"]
    return []


def end_caution(best: Row, rows: Sequence[Row]) -> list[str]:
    """A caution if the best beta is the smallest or the largest that was trained, of several."""
    betas = sorted({row.beta for row in rows})
    if len(betas) < 2 or betas[0] < best.beta < betas[-1]:
        return []
    end = "smallest" if best.beta == betas[0] else "largest"
    return [f"beta={best.beta:g} is the {end} that was trained. One beyond it may be better"]
