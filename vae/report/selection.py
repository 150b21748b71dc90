"""Choosing a setting: by UDR, which needs no labels, and by scores, which need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vae.report.members import Member, StoredCodes
from vae.report.statistics import Estimate, estimate, estimates
from vae.run.names import CODES
from vae.run.summary import BEST_KNOWN_SCORES


@dataclass(frozen=True)
class Ranking:
    """UDR of members and settings.

    Attributes:
        of_member: `{"udr": value}` by the member's name.
        of_setting: the mean over the seeds of each setting that has two or more.
        notes: on codes that are missing, or equal to those of another run.
    """

    of_member: Mapping[str, Mapping[str, float]]
    of_setting: Mapping[str, Estimate]
    notes: Sequence[str]

    @property
    def chosen(self) -> str | None:
        """The setting with the highest UDR."""
        return best(self.of_setting)


def rank_by_udr(grouped: Mapping[str, Sequence[Member]]) -> Ranking:
    """Compute UDR (Duan et al., 2020) of each setting, from the codes of the same test images."""
    of_member: dict[str, dict[str, float]] = {}
    of_setting: dict[str, Estimate] = {}
    notes: list[str] = []
    for setting, members in grouped.items():
        if len(members) < 2:  # UDR compares seeds, and reading codes loads torch
            continue
        usable = {member.name: codes for member in members if (codes := member.codes) is not None}
        notes += notes_on_codes(setting, members, usable)
        if len(usable) < 2 or len({codes.mean.shape for codes in usable.values()}) > 1:
            continue
        from vae.disentanglement.udr import udr  # scikit-learn takes a second to load

        found = udr([codes.mean for codes in usable.values()], [codes.rate_per_latent for codes in usable.values()])
        values = [float(value) for value in found]
        of_member |= {name: {"udr": value} for name, value in zip(usable, values, strict=True)}
        of_setting[setting] = estimate(values)
    return Ranking(of_member, of_setting, notes)


def notes_on_codes(setting: str, members: Sequence[Member], usable: Mapping[str, StoredCodes]) -> Sequence[str]:
    """Warnings: codes of some seeds are missing, cannot be compared, or are equal."""
    notes = []
    if without := [member.name for member in members if member.name not in usable]:
        notes.append(
            f"UDR of {setting} is of {len(usable)} of {len(members)} seeds: the {CODES} of {', '.join(without)} "
            "is missing or damaged"
        )
    if len({codes.mean.shape for codes in usable.values()}) > 1:
        notes.append(f"{setting} has no UDR: the {CODES} of its seeds differ in their number of latents or images")
    first: dict[bytes, str] = {}
    for name, codes in usable.items():
        other = first.setdefault(codes.mean.tobytes(), name)
        if other != name:
            notes.append(f"UDR of {setting} is too high: {other} and {name} have the same {CODES}")
    return notes


def supervised_choices(grouped: Mapping[str, Sequence[Member]]) -> dict[str, str]:
    """For each score the setting with the best mean."""
    found = {name: best(estimates(grouped, name)) for name in BEST_KNOWN_SCORES}
    return {name: setting for name, setting in found.items() if setting is not None}


def best(means: Mapping[str, Estimate]) -> str | None:
    """The setting with the highest mean."""
    return max(means, key=lambda setting: means[setting].mean, default=None)
