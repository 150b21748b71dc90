"""Choosing a beta for a stated aim, with the runs that support the choice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from vae.report.best_setting import highest
from vae.report.budgets import series_of, within
from vae.report.choice import Aim, Choice, Goal, NoChoiceError, listed
from vae.report.members import Member, differences, settings


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
        raise NoChoiceError(
            f"the runs must have the same data, they differ in {', '.join(differing)}. Name those of one"
        )


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
