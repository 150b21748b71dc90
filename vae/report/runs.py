"""The single runs on the page: the best and the worst of each setting, and all of them, in groups if they are many."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vae.report.members import Member
from vae.report.statistics import Estimate, estimates, finite_values
from vae.report.tables import BEST_KNOWN, formatted, title
from vae.run.names import LOG

FEW_SEEDS = 5
MOST_OPEN = 30  # runs, or settings, that are shown at once. More are behind a line that opens
NAMED = 3  # settings in a caution
LOSS = "loss"


@dataclass(frozen=True)
class Link:
    """A run with a number of it. `place` is the address of its log, relative to the page."""

    text: str
    place: str


@dataclass(frozen=True)
class Extremes:
    """For each setting of several seeds, its best and its worst run by some numbers. The header names the columns."""

    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Link | None]]]


@dataclass(frozen=True)
class Group:
    """Runs behind one line."""

    line: str
    members: Sequence[Member]


def place_of(member: Member, output: Path) -> str:
    """The address of a run's log, as a page in the folder `output` links it."""
    return quote(os.fsencode(os.path.relpath(member.directory.resolve() / LOG, output.resolve())))


def extremes(grouped: Mapping[str, Sequence[Member]], output: Path) -> Extremes | None:
    """The runs with the lowest and the highest loss of each setting, and likewise by the first of the known scores.

    Returns:
        None if every setting has one seed.
    """
    several = {setting: members for setting, members in grouped.items() if len(members) > 1}
    score = next((name for name in BEST_KNOWN if estimates(several, name)), None)
    by = {LOSS: (min, max), **({} if score is None else {score: (max, min)})}
    header = [f"{'lowest' if pick is min else 'highest'} {title(name)}" for name, both in by.items() for pick in both]
    rows = []
    for setting, members in several.items():
        cells: list[Link | None] = []
        for name, both in by.items():
            known = {m.numbers[name]: m for m in members if finite_values([m], name)}
            cells += [linked(known[pick(known)], name, output) if known else None for pick in both]
        if any(cells):
            rows.append((f"{setting}, {len(members)} seeds", cells))
    return Extremes(header, rows) if rows else None


def linked(member: Member, name: str, output: Path) -> Link:
    """The link to a run, with its seed and one of its numbers."""
    value = formatted(Estimate(member.numbers[name], None))
    return Link(f"{value}, seed {member.summary['seed']}", place_of(member, output))


def groups(members: Sequence[Member], grouped: Mapping[str, Sequence[Member]]) -> list[Group]:
    """The runs in groups: one of those that are not done, and one for each setting. Empty if there are few runs."""
    if len(members) <= MOST_OPEN:
        return []
    left = [member for member in members if not member.done]
    found = [Group(f"Not done: {len(left)} of {len(members)} runs", left)] if left else []
    elbo = estimates(grouped, "elbo")
    for setting, of_setting in grouped.items():
        count = "1 run" if len(of_setting) == 1 else f"{len(of_setting)} runs"
        found.append(Group(f"{setting}: {count}, ELBO {formatted(elbo.get(setting))}", of_setting))
    return found


def cautions(grouped: Mapping[str, Sequence[Member]]) -> list[str]:
    """What the numbers of seeds forbid to conclude."""
    if len(grouped) < 2:
        return []
    alone = [setting for setting, members in grouped.items() if len(members) == 1]
    few = [setting for setting, members in grouped.items() if 1 < len(members) < FEW_SEEDS]
    found = []
    if alone:
        have = have_of(alone, len(grouped))
        found.append(f"{have} a single seed. A difference between settings may be one between seeds.")
    if few:
        have = have_of(few, len(grouped))
        found.append(
            f"{have} fewer than {FEW_SEEDS} seeds. Intervals are wide, and the order of settings may be chance."
        )
    return found


def have_of(settings: Sequence[str], count: int) -> str:
    """Which settings, of so many, the rest of a sentence is about.

    Example:
        >>> have_of(["beta=1", "beta=2"], 2), have_of(["beta=1", "beta=2", "beta=4", "beta=8"], 6)
        ('Every setting has', '4 of 6 settings (beta=1; beta=2; beta=4; ...) have')
    """
    if len(settings) == count:
        return "Every setting has"
    names = "; ".join([*settings[:NAMED], *(["..."] if len(settings) > NAMED else [])])
    return f"{len(settings)} of {count} settings ({names}) {'has' if len(settings) == 1 else 'have'}"
