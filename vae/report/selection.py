"""Choosing beta: without labels, by how alike the seeds are; and with them, by the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vae.report.members import Codes, Member
from vae.report.statistics import Estimate, estimate, estimates
from vae.run.names import CODES

CHOOSING_SCORES = ("mig", "dci_disentanglement", "factor_vae_score", "sap")  # as they are compared in most papers


@dataclass(frozen=True)
class Ranking:
    """UDR of each member, by its name, its mean for each setting of two seeds or more, and what it lacks."""

    of_member: Mapping[str, Mapping[str, float]]
    of_setting: Mapping[str, Estimate]
    notes: Sequence[str] = ()  # on codes that are missing or of one model twice

    @property
    def chosen(self) -> str | None:
        """The setting whose seeds are most alike."""
        return max(self.of_setting, key=lambda s: self.of_setting[s].mean, default=None)


def unsupervised_ranking(grouped: Mapping[str, Sequence[Member]]) -> Ranking:
    """UDR (Duan et al., 2020) with lasso, from the codes of the same test images."""
    of_member: dict[str, dict[str, float]] = {}
    of_setting: dict[str, Estimate] = {}
    notes: list[str] = []
    for setting, members in grouped.items():
        if len(members) < 2:  # whose codes would be read for nothing, and torch with them
            continue
        coded = [(member, member.codes) for member in members]
        usable = [(member, codes) for member, codes in coded if codes is not None]
        notes += notes_on_codes(setting, members, usable)
        if len(usable) < 2 or len({codes.mean.shape for _, codes in usable}) > 1:
            continue
        from vae.disentanglement.udr import udr  # whose libraries take a second; only seeds are compared by it

        scores = udr([codes.mean for _, codes in usable], [codes.rate_per_latent for _, codes in usable])
        of_member |= {m.name: {"udr": float(score)} for (m, _), score in zip(usable, scores, strict=True)}
        of_setting[setting] = estimate(np.asarray(scores, dtype=np.float64).tolist())
    return Ranking(of_member, of_setting, notes)


def notes_on_codes(setting: str, members: Sequence[Member], usable: Sequence[tuple[Member, Codes]]) -> Sequence[str]:
    """What makes the UDR of a setting another number than that of all its seeds."""
    notes = []
    known = {member.name for member, _ in usable}
    without = [member.name for member in members if member.name not in known]
    if without:
        notes.append(
            f"UDR of {setting} is of {len(usable)} of {len(members)} seeds: the {CODES} of {', '.join(without)} "
            "is missing or damaged"
        )
    if len({codes.mean.shape for _, codes in usable}) > 1:
        notes.append(f"{setting} has no UDR: the {CODES} of its seeds differ in their number of latents or images")
    first: dict[bytes, str] = {}
    for member, codes in usable:
        other = first.setdefault(codes.mean.tobytes(), member.name)
        if other != member.name:
            notes.append(f"UDR of {setting} is too high: {other} and {member.name} have the same {CODES}")
    return notes


def supervised_choices(grouped: Mapping[str, Sequence[Member]]) -> dict[str, str]:
    """The setting with the best mean of each score."""
    choices = {}
    for name in CHOOSING_SCORES:
        means = {setting: found.mean for setting, found in estimates(grouped, name).items()}
        if means:
            choices[name] = max(means, key=lambda setting: means[setting])
    return choices
