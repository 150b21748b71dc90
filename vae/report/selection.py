"""Choosing beta: without labels, by how alike the seeds are; and with them, by the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vae.report.members import Member
from vae.report.statistics import Estimate, estimate, estimates

CHOOSING_SCORES = ("mig", "dci_disentanglement", "factor_vae_score", "sap")  # as they are compared in most papers


@dataclass(frozen=True)
class Ranking:
    """UDR of each member, by its name, and its mean for each setting of two seeds or more."""

    of_member: Mapping[str, Mapping[str, float]]
    of_setting: Mapping[str, Estimate]

    @property
    def chosen(self) -> str | None:
        """The setting whose seeds are most alike."""
        return max(self.of_setting, key=lambda s: self.of_setting[s].mean, default=None)


def unsupervised_ranking(grouped: Mapping[str, Sequence[Member]]) -> Ranking:
    """UDR (Duan et al., 2020) with lasso, from the codes of the same test images."""
    of_member: dict[str, dict[str, float]] = {}
    of_setting: dict[str, Estimate] = {}
    for setting, members in grouped.items():
        if len(members) < 2:  # whose codes would be read for nothing, and torch with them
            continue
        coded = [(member, member.codes) for member in members]
        usable = [(member, codes) for member, codes in coded if codes is not None]
        if len(usable) < 2 or len({codes.mean.shape for _, codes in usable}) > 1:
            continue
        from vae.disentanglement.udr import udr  # whose libraries take a second; only seeds are compared by it

        scores = udr([codes.mean for _, codes in usable], [codes.rate_per_latent for _, codes in usable])
        of_member |= {m.name: {"udr": float(score)} for (m, _), score in zip(usable, scores, strict=True)}
        of_setting[setting] = estimate(np.asarray(scores, dtype=np.float64).tolist())
    return Ranking(of_member, of_setting)


def supervised_choices(grouped: Mapping[str, Sequence[Member]]) -> dict[str, str]:
    """The setting with the best mean of each score."""
    choices = {}
    for name in CHOOSING_SCORES:
        means = {setting: found.mean for setting, found in estimates(grouped, name).items()}
        if means:
            choices[name] = max(means, key=lambda setting: means[setting])
    return choices
