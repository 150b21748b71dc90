"""Choosing a beta for a stated aim, with the runs that support the choice."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Float

from vae.report.members import Member, described, differences, settings
from vae.report.selection import rank_by_udr
from vae.report.statistics import (
    Estimate,
    estimate,
    finite_values,
    has_another_objective,
    series_over_beta,
    why_not_judged,
)
from vae.report.tables import DEPENDENCE, SAMPLED, score_names, title
from vae.report.tradeoff import OutOfRangeError, Point, within_budget
from vae.run.summary import is_finite

OWN_NATS = 0.5  # a latent is a factor's own if it tells so much more about it than any other latent
WITHOUT_BETA = {"capacity", "importance_weighted", "target_rate", "target_distortion"}
OF_CODES_WITHOUT_INFORMATION = ("_baseline", "_shuffled")
EXPECTED = ("distortion", "rate", "active_units")
NAMED = 5  # runs, settings or betas in a caution
CURVE = "curve"  # in the summary of one training of many betas


class Goal(StrEnum):
    """What a beta is chosen for."""

    rate = "rate"
    distortion = "distortion"
    active = "active"
    udr = "udr"
    factors = "factors"
    score = "score"


@dataclass(frozen=True)
class Aim:
    """A goal with its budget in nats or latents, or the name of its score."""

    goal: Goal
    budget: float = math.nan
    score: str = ""

    @property
    def words(self) -> str:
        """What is looked for.

        Example:
            >>> Aim(Goal.rate, 12.0).words
            'the smallest distortion with a rate of at most 12 nats'
        """
        match self.goal:
            case Goal.rate:
                return f"the smallest distortion with a rate of at most {self.budget:g} nats"
            case Goal.distortion:
                return f"the smallest rate with a distortion of at most {self.budget:g} nats"
            case Goal.active:
                return f"the smallest distortion with at most {self.budget:g} active latents"
            case Goal.udr:
                return "the highest UDR, which needs no labels"
            case Goal.factors:
                return f"the most factors with a latent of their own, {OWN_NATS:g} nats ahead of all others"
            case Goal.score:
                return f"the highest {title(self.score)}"

    @property
    def column(self) -> str:
        """The name of the number that is compared, besides those of `EXPECTED`; empty if it is one of them."""
        return {Goal.udr: "udr", Goal.factors: "own_factors", Goal.score: self.score}.get(self.goal, "")


@dataclass(frozen=True)
class Row:
    """The evidence of one beta.

    Attributes:
        setting: of the runs.
        beta: theirs.
        numbers: means over seeds by name. They have `distortion` and `rate`, in nats.
        members: the runs; empty where the numbers are computed.
        mark: what the row is for the choice: `chosen`, `neighbour` or the like; may be empty.
    """

    setting: str
    beta: float
    numbers: Mapping[str, Estimate]
    members: Sequence[Member] = ()
    mark: str = ""

    @property
    def point(self) -> Point:
        """The means of distortion and rate."""
        return Point(self.beta, self.numbers["distortion"].mean, self.numbers["rate"].mean)

    @property
    def seeds(self) -> int:
        """How many runs there are."""
        return len(self.members)


@dataclass(frozen=True)
class Choice:
    """A recommended beta.

    Attributes:
        beta: the exact value.
        among: what else tells the setting from others, as in `model=conv`; may be empty.
        origin: `trained`, `interpolated` or `linear theory`.
        expected: numbers by name. Two values are those of the neighbours, between which the number lies.
        rows: the evidence, the chosen row among them.
        cautions: what speaks against relying on the choice, one sentence each.
    """

    beta: float
    among: str
    origin: str
    expected: Mapping[str, Sequence[Estimate]]
    rows: Sequence[Row]
    cautions: Sequence[str]

    @property
    def support(self) -> Sequence[Member]:
        """The runs of the chosen beta, or of its neighbours."""
        marked = [row for row in self.rows if row.mark in ("chosen", "neighbour") and row.members]
        return [member for row in marked for member in row.members]


class NoChoiceError(Exception):
    """The runs do not show which beta to take.

    Attributes:
        betas: which to train next; may be empty.
        like: a run whose other values the new ones should have.
    """

    def __init__(self, reason: str, betas: Sequence[float] = (), like: Member | None = None) -> None:
        super().__init__(reason)
        self.betas = betas
        self.like = like


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


def choose(members: Sequence[Member], aim: Aim) -> Choice:
    """The beta that the runs recommend.

    Args:
        members: by `read_members`.
        aim: what it is for.

    Raises:
        NoChoiceError: they are not enough, or not comparable.
    """
    grouped = settings(members)
    if not grouped:
        raise NoChoiceError("no run is done")
    refuse_other_data(grouped, likelihood=aim.goal in (Goal.rate, Goal.distortion, Goal.active))
    if aim.goal in (Goal.rate, Goal.distortion, Goal.active):
        choice = within(series_of(grouped), aim)
    else:
        choice = highest(grouped, aim)
    return replace(choice, cautions=[*choice.cautions, *cautions_of(members, choice)])


def refuse_other_data(grouped: Mapping[str, Sequence[Member]], *, likelihood: bool) -> None:
    """Refuse runs whose numbers cannot be compared.

    Args:
        grouped: the runs by setting.
        likelihood: whether distortions are compared, so that the likelihood must be the same.

    Raises:
        NoChoiceError: names the keys that differ.
    """
    groups = {"data", "data_sha256"} | ({"likelihood"} if likelihood else set())
    keys = differences([m.conditions for members in grouped.values() for m in members if m.summary["conditions"]])
    if differing := [key for key in keys if key.partition(".")[0] in groups]:
        raise NoChoiceError(f"the runs must have the same data, they differ in {', '.join(differing)}. Name those of one")


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
    betas = sorted({float(f"{row.beta * factor:.2g}") for factor in (0.5, 2, 4)}) if row.beta else [1.0, 2.0, 4.0]
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
        f"no convex curve joins beta={low:g} and beta={high:g}, because the slope between them is not between the two. "
        "Nothing is interpolated there. They are not both at their optimum: train longer"
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
            words.append(f"{len(over)} of {len(values)} seeds exceed the budget, by up to {max(over) - aim.budget:.3g}{unit}")
    at = rows.index(ends[0])
    around = [*ends, *rows[max(0, at - 1) : at], *rows[at + len(ends) : at + len(ends) + 1]] if len(ends) == 1 else ends
    if unclear := [row for row in around[1:] if not told_apart(around[0].numbers[name], row.numbers[name])]:
        words.append(
            f"the seeds of beta={around[0].beta:g} and {listed([f'beta={row.beta:g}' for row in unclear])} differ as "
            f"much as their mean {title(name)}. The choice among these betas is not supported by the data"
        )
    return words


def told_apart(one: Estimate, other: Estimate) -> bool:
    """Whether two means differ by more than the spread over seeds, or the spread is not known."""
    widths = [value.half_width for value in (one, other) if value.half_width is not None]
    return not widths or abs(one.mean - other.mean) > math.hypot(*widths)


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
            needs = f"{title(aim.score)} must be known"
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
            f"the seeds of {best.setting} and {listed([row.setting for row in alike])} differ as much as their mean "
            f"{title(aim.column)}. The choice among these is not supported by the data"
        )
    if value.mean <= 0:
        words.append(f"no setting has a {title(aim.column)} above 0")
    words += shuffled_caution(best, aim)
    if without := [row.setting for row in rows if aim.column not in row.numbers]:
        words.append(f"not compared, without {title(aim.column)}: {listed(without)}")
    marked = [
        replace(row, mark="chosen" if row is best else "not told apart" if row in alike else "") for row in rows
    ]
    keys = [key for key in differences([m[0].conditions for m in grouped.values()]) if key != "beta"]
    expected = {name: [number] for name, number in best.numbers.items()}
    among = described(best.members[0].conditions, keys) if best.members[0].summary["conditions"] else ""
    return Choice(best.beta, among, "trained", expected, marked, words)


def clearly_below(one: Estimate, best: Estimate) -> bool:
    """Whether a mean is below the best one by more than the spread over seeds. Equal means never are."""
    return one.mean < best.mean and told_apart(one, best)


def means_of(
    grouped: Mapping[str, Sequence[Member]], number: Callable[[Member], float | None]
) -> dict[str, Estimate]:
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
    known = [n for n in score_names(grouped) if not n.endswith(OF_CODES_WITHOUT_INFORMATION)]
    present = [n for n in known if any(n in m.scores for members in grouped.values() for m in members)]
    if name in present:
        return
    if not present:
        raise NoChoiceError(f"--score needs runs with scores, these have none, got {name}")
    why = " is best at 0 or is not of posterior means" if name in DEPENDENCE or name.endswith(SAMPLED) else ""
    raise NoChoiceError(f"--score must be one of {', '.join(present)}, got {name}" + (why and f", which{why}"))


def shuffled_caution(best: Row, aim: Aim) -> list[str]:
    """A caution if codes without information score as much."""
    for end in OF_CODES_WITHOUT_INFORMATION:
        values = finite_values(best.members, aim.score + end) if aim.goal is Goal.score else []
        if values and estimate(values).mean >= best.numbers[aim.score].mean:
            return [f"shuffled codes, which know nothing of the factors, have {estimate(values).mean:.3f}"]
    return []


def cautions_of(members: Sequence[Member], choice: Choice) -> list[str]:
    """Cautions that hold for every aim: runs that are not done, schedules, few seeds, copies."""
    words = []
    if waiting := [m.name for m in members if not m.done]:
        words.append(f"not counted, as they are not done: {listed(waiting)}")
    marked = [row for row in choice.rows if row.mark and row.members]
    for row in marked:
        for sentence in dict.fromkeys(word for m in row.members for word in m.unfinished.values()):
            words.append(f"{row.setting}: {sentence}")
        seeds = Counter(m.summary["seed"] for m in row.members)
        if twice := [str(seed) for seed, count in seeds.items() if count > 1]:
            words.append(f"beta={row.beta:g} has the seed {listed(twice)} more than once: are they copies?")
    if single := [row.setting for row in marked if row.seeds == 1]:
        words.append(f"one seed: how much seeds differ is not known of {listed(list(dict.fromkeys(single)))}")
    return words


def listed(names: Sequence[str]) -> str:
    """The names with commas; of many, the first and how many more.

    Example:
        >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e", "f", "g"])
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def as_json(aim: Aim, choice: Choice) -> dict[str, Any]:
    """The choice for programs."""
    return {
        "aim": {"goal": aim.goal.value, "words": aim.words}
        | ({} if math.isnan(aim.budget) else {"budget": aim.budget})
        | ({"score": aim.score} if aim.score else {}),
        "beta": choice.beta,
        "among": choice.among,
        "origin": choice.origin,
        "expected": {
            name: values[0].mean if len(values) == 1 else [value.mean for value in values]
            for name, values in choice.expected.items()
        },
        "evidence": [
            {
                "setting": row.setting,
                "beta": row.beta,
                "mark": row.mark,
                "runs": [str(member.directory) for member in row.members],
                "numbers": {
                    name: {"mean": value.mean, "half_width": value.half_width} for name, value in row.numbers.items()
                },
            }
            for row in choice.rows
        ],
        "cautions": list(choice.cautions),
    }
