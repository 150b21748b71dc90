"""The best beta within a budget of rate, distortion or active latents, from runs of several betas."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vae.report.choice import EXPECTED, Aim, Choice, Goal, NoChoiceError, Row, listed, told_apart
from vae.report.members import Member, described, differences
from vae.report.statistics import (
    Estimate,
    estimate,
    finite_values,
    has_another_objective,
    series_over_beta,
    why_not_judged,
)
from vae.report.tables import title
from vae.report.tradeoff import OutOfRangeError, Point, within_budget
from vae.run.summary import is_finite

WITHOUT_BETA = {"capacity", "importance_weighted", "target_rate", "target_distortion"}
CURVE = "curve"  # in the summary of one training of many betas


@dataclass(frozen=True)
class Series:
    """Runs that differ in beta and seed only.

    Attributes:
        among: what tells them from other series, as in `model=conv`; may be empty.
        rows: by rising beta.
        is_curve: whether they minimise distortion + beta * rate, so that there is a curve between them.
    """

    among: str
    rows: Sequence[Row]
    is_curve: bool

    @property
    def members(self) -> Sequence[Member]:
        """All runs."""
        return list({member.name: member for row in self.rows for member in row.members}.values())


def series_of(grouped: Mapping[str, Sequence[Member]]) -> list[Series]:
    """The runs by series. A run that was trained for many betas at once is a series of its own, with its seeds."""
    together = [[m for setting in names for m in grouped[setting]] for names in series_over_beta(grouped)]
    keys = [key for key in differences([members[0].conditions for members in together]) if key != "beta"]
    found = []
    for members in together:
        among = described(members[0].conditions, keys)
        if any(curve_of(m) for m in members):
            found.append(Series(among, curve_rows([m for m in members if curve_of(m)]), is_curve=True))
        elif members[0].summary.get("objective", "beta") not in WITHOUT_BETA:
            by_beta = [list(same) for _, same in itertools.groupby(members, key=lambda m: m.summary["beta"])]
            rows = [row_of(same[0].setting, same) for same in by_beta]
            found.append(Series(among, rows, is_curve=not has_another_objective(members)))
    return found


def row_of(setting: str, members: Sequence[Member], more: Mapping[str, Estimate] | None = None) -> Row:
    """The evidence of the runs of one setting. `more` are further numbers."""
    found = {name: estimate(values) for name in EXPECTED if (values := finite_values(members, name))}
    return Row(setting, float(members[0].summary["beta"]), {**found, **(more or {})}, list(members))


def curve_of(member: Member) -> list[Point]:
    """The curve of a run that was trained for many betas at once, by rising beta; empty if it has none."""
    entries = member.summary.get(CURVE)
    if not isinstance(entries, list):
        return []
    names = Point._fields
    if not all(isinstance(entry, Mapping) and all(is_finite(entry.get(name)) for name in names) for entry in entries):
        return []
    return sorted(Point(*(float(entry[name]) for name in names)) for entry in entries)


def curve_rows(members: Sequence[Member]) -> list[Row]:
    """A row for each beta of the curves, with means over the runs that have it."""
    found: dict[float, list[tuple[Member, Point]]] = {}
    for member in members:
        for point in curve_of(member):
            found.setdefault(point.beta, []).append((member, point))
    return [
        Row(
            f"beta={beta:g} of the curve",
            beta,
            {name: estimate([getattr(point, name) for _, point in same]) for name in ("distortion", "rate")},
            [member for member, _ in same],
        )
        for beta, same in sorted(found.items())
    ]


def within(every: Sequence[Series], aim: Aim) -> Choice:
    """The best beta within a budget, among all series.

    Raises:
        NoChoiceError: no series reaches the budget on both sides.
    """
    if not every:
        raise NoChoiceError("the objectives of these runs have no beta to choose")
    several = [series for series in every if len(series.rows) > 1]
    if not several:
        raise one_beta(every)
    find = active_choice if aim.goal is Goal.active else budget_choice
    found, refused = [], []
    for series in several:
        try:
            found.append(find(series, aim))
        except NoChoiceError as error:
            refused.append((series, error))
    if not found:
        raise refused[0][1]
    target = "rate" if aim.goal is Goal.distortion else "distortion"
    best = min(found, key=lambda choice: choice.expected[target][0].mean)
    others = [
        replace(chosen, mark=f"best of {choice.among}")
        for choice in found
        if choice is not best
        for chosen in choice.rows
        if chosen.mark == "chosen"
    ]
    words = [f"nothing is said of {series.among}: {error}" for series, error in refused]
    words += [f"{series.among} was trained with one beta and left out" for series in every if len(series.rows) == 1]
    return replace(best, rows=[*best.rows, *others], cautions=[*best.cautions, *words])


def one_beta(every: Sequence[Series]) -> NoChoiceError:
    """The refusal of runs that all have one beta."""
    row = every[0].rows[0]
    betas = [float(f"{row.beta * factor:.6g}") for factor in (0.5, 1, 2, 4)] if row.beta else [0.0, 1.0, 2.0, 4.0]
    runs = "a single run" if len(every) == 1 and row.seeds == 1 else "runs of one beta"
    return NoChoiceError(
        f"{runs} (beta={row.beta:g}) cannot show what another beta does. "
        "Train a sweep, or one run with objective=multi_rate",
        betas,
        row.members[0],
    )


def budget_choice(series: Series, aim: Aim) -> Choice:
    """The best beta of one series within a budget of rate or distortion.

    Raises:
        NoChoiceError: every run has more than the budget, or every one less.
    """
    name, rows = aim.goal.value, series.rows
    try:
        found = within_budget([row.point for row in rows], name, aim.budget, interpolate=series.is_curve)
    except OutOfRangeError as error:
        reason = f"{aim.words} is not shown: {error}, and nothing is extrapolated"
        raise NoChoiceError(reason, [error.try_beta], series.members[0]) from None
    ends = [row for row in rows if row.point in found.ends]
    words = [
        f"the slope between beta={low:g} and beta={high:g} is not between the two, so nothing is interpolated there. "
        "They are not both at their optimum: train longer"
        if low > 0
        else f"nothing is interpolated between beta=0, which has no bound on its rate, and beta={high:g}"
        for low, high in found.broken
    ]
    if not series.is_curve:
        words.append("only trained betas are considered, as the objective is not distortion + beta * rate")
    words += spread_cautions(rows, ends, aim)
    if len(ends) == 1:
        return trained_choice(series, ends[0], words)
    low, high = ends
    apart = (high.beta - low.beta) * abs(low.point.rate - high.point.rate)
    if low.seeds and not curve_of(low.members[0]) and (doubt := why_not_judged([*low.members, *high.members], apart)):
        words.append(f"the interpolation between beta={low.beta:g} and beta={high.beta:g} may be off: {doubt}")
    here = {"distortion": Estimate(found.point.distortion, None), "rate": Estimate(found.point.rate, None)}
    between = Row(f"beta={found.point.beta:.4g}", found.point.beta, here, mark="chosen")
    expected: dict[str, Sequence[Estimate]] = {name: [value] for name, value in here.items()}
    if all("active_units" in row.numbers for row in ends):
        expected["active_units"] = [row.numbers["active_units"] for row in ends]
    marked = [replace(row, mark="neighbour") if row in ends else row for row in rows]
    ordered = sorted([*marked, between], key=lambda row: row.beta)
    return Choice(between.beta, series.among, "interpolated", expected, ordered, words)


def trained_choice(series: Series, chosen: Row, words: Sequence[str]) -> Choice:
    """The choice of a beta of the series that was trained."""
    rows = [replace(row, mark="chosen") if row is chosen else row for row in series.rows]
    expected = {name: [value] for name, value in chosen.numbers.items()}
    return Choice(chosen.beta, series.among, "trained", expected, rows, words)


def active_choice(series: Series, aim: Aim) -> Choice:
    """The trained beta with the smallest distortion among those with at most so many active latents.

    Raises:
        NoChoiceError: the number is not known, or every run has more latents, or every one fewer.
    """
    known = [row for row in series.rows if "active_units" in row.numbers]
    if not known:
        raise NoChoiceError("these runs do not tell how many latents are active. A sweep with objective=beta does")
    counts = [row.numbers["active_units"].mean for row in known]
    like = known[0].members[0]
    if min(counts) > aim.budget:
        beta = known[-1].beta
        raise NoChoiceError(
            f"{aim.words} is not shown: the fewest are {min(counts):.3g}, and nothing is extrapolated",
            [float(f"{2 * beta or 1:.2g}")],
            like,
        )
    if max(counts) < aim.budget:
        raise NoChoiceError(
            f"{aim.words} is not shown: the most are {max(counts):.3g}, and nothing is extrapolated",
            [float(f"{known[0].beta / 2:.2g}")] if known[0].beta else [],
            like,
        )
    allowed = [row for row, count in zip(known, counts, strict=True) if count <= aim.budget]
    chosen = min(allowed, key=lambda row: row.point.distortion)
    words = spread_cautions(known, [chosen], aim)
    if chosen.numbers["active_units"].mean < aim.budget and (
        more := [row for row in known if row.beta < chosen.beta and row.numbers["active_units"].mean > aim.budget]
    ):
        beta = math.sqrt(more[-1].beta * chosen.beta)
        words.append(
            f"a beta between {more[-1].beta:g} and {chosen.beta:g} may keep more latents. "
            + (f"Try beta={beta:.2g}" if beta else "Train one")
        )
    return trained_choice(replace(series, rows=known), chosen, words)


def spread_cautions(rows: Sequence[Row], ends: Sequence[Row], aim: Aim) -> list[str]:
    """What the spread over seeds says about a choice within a budget.

    Args:
        rows: the series.
        ends: the rows that the choice stands on: one that was trained, or two neighbours.
        aim: with its budget.
    """
    name = "active_units" if aim.goal is Goal.active else aim.goal.value
    unit = "" if aim.goal is Goal.active else " nats"
    words = []
    if len(ends) == 1 and len(values := finite_values(ends[0].members, name)) == ends[0].seeds > 1:
        over = [value for value in values if value > aim.budget]
        if over and not any(map(curve_of, ends[0].members)):
            words.append(
                f"{len(over)} of {len(values)} seeds exceed the budget, by up to {max(over) - aim.budget:.3g}{unit}"
            )
    at = rows.index(ends[0])
    around = (
        [*ends, *rows[max(0, at - 1) : at], *rows[at + len(ends) : at + len(ends) + 1]] if len(ends) == 1 else ends
    )
    if aim.goal is not Goal.active and (
        unclear := [row for row in around[1:] if not told_apart(around[0].numbers[name], row.numbers[name])]
    ):
        others = listed([f"beta={row.beta:g}" for row in unclear])
        words.append(
            f"the mean {title(name)} of beta={around[0].beta:g} and {others} differ by less than the spread over "
            "seeds. The choice among these is not supported by the data"
        )
    return words
