"""The runs of a folder and their numbers."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from vae.run.files import read_regular
from vae.run.names import CODES, LOG
from vae.run.summary import is_number, read_summary

OWN_PARTS = {"objective": "objective.target", "model": "model.encoder", "data": "data.target"}
UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("beta", "seed", "epochs", "seconds", "loss_change_per_epoch")),
    **{name: {} for name in ("asked", "conditions", "disentanglement", "metrics", "test", "unfinished")},
}


class StoredCodes(NamedTuple):
    """The posteriors of the first test images, which are the same images in every run of a sweep."""

    mean: Float[np.ndarray, "images latents"]
    rate_per_latent: Float[np.ndarray, " latents"]  # the mean KL to the prior, in nats


@dataclass(frozen=True)
class Member:
    """A run in the folder.

    Attributes:
        directory: of the run.
        summary: by `read_summary`, which has checked it, with the values of `UNKNOWN` for fields that are absent.
        setting: the values, besides the seed, in which the run differs from others, as in `beta=4, model=conv`. Runs
            of one setting repeat each other.
    """

    directory: Path
    summary: Mapping[str, Any]
    setting: str = ""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.directory.name

    @property
    def done(self) -> bool:
        """Whether the run is complete. Its beta, seed, distortion and rate are then known."""
        return bool(self.summary["status"] == "done")

    @property
    def scores(self) -> dict[str, float]:
        """The scores of disentanglement and the numbers of the user's own metrics, by name."""
        found = {**self.summary["disentanglement"].get("numbers", {}), **self.summary["metrics"]}
        return {name: float(value) for name, value in found.items() if is_number(value)}

    @cached_property
    def numbers(self) -> dict[str, float]:
        """All numbers of the test by their names in `summary.json`, and the scores."""
        test = self.summary["test"]
        numbers = {name: float(value) for name, value in test.items() if is_number(value)}
        bound = test.get("importance_weighted_bound", {})
        if "bound" in bound:
            numbers["nll_upper_bound"] = -float(bound["bound"])
        if "rise_from_half" in bound:
            numbers["nll_fall_from_half"] = float(bound["rise_from_half"])
        return numbers | self.scores

    @cached_property
    def unfinished(self) -> dict[str, str]:
        """For each schedule that was longer than the training, by name: a sentence on how far it came."""
        words = {}
        for name, values in self.summary["unfinished"].items():
            from vae.objectives.schedules import Unfinished  # loads torch, which takes a second

            try:
                words[name] = Unfinished(**values).described(name)
            except (TypeError, ValueError):  # the summary is damaged
                words[name] = f"{name} did not reach the end of its schedule"
        return words

    @cached_property
    def conditions(self) -> dict[str, Any]:
        """The configuration by dotted key, without the seed and without keys that do not change the numbers.

        Where an option is `custom`, its value is the name of the user's part, as in `{"objective": "MMD"}`.
        """
        known = {"beta": self.summary["beta"], **self.summary["conditions"], **self.summary["asked"]}
        for group, key in OWN_PARTS.items():
            if known.get(group) == "custom" and key in known:
                known[group] = known.pop(key)
        if "objective" in known:
            known["objective"] = str(known["objective"]).rpartition(":")[2]
        return known

    @cached_property
    def codes(self) -> StoredCodes | None:
        """The stored posteriors; None if the file is missing or damaged."""
        import torch  # takes a second to load, and the report of a single seed does not need it

        from vae.probability.divergences import kl_to_standard_normal

        try:
            with np.load(io.BytesIO(read_regular(self.directory / CODES)), allow_pickle=False) as stored:
                mean, logvar = (stored[name].astype(np.float64) for name in ("mean", "logvar"))
            if mean.ndim != 2 or mean.size == 0 or mean.shape != logvar.shape:
                return None
            rates = kl_to_standard_normal(torch.from_numpy(mean), torch.from_numpy(logvar)).mean(0).numpy()
        except Exception:  # numpy and zipfile raise errors of many types for a damaged file
            return None
        return StoredCodes(mean, rates) if np.isfinite(rates).all() else None


def read_members(folder: Path) -> list[Member]:
    """The runs in `folder`, in the order of beta and seed. `folder` may itself be a run."""
    top = folder.resolve()  # "." has no name
    found = sorted(path.parent for path in [*top.glob(LOG), *top.glob(f"*/{LOG}")])
    members = [Member(path, UNKNOWN | read_summary(path)) for path in found]
    keys = differences([m.conditions for m in members if m.done and m.summary["conditions"]])
    members = [replace(m, setting=setting_of(m, keys)) if m.done else m for m in members]
    counts = Counter((m.setting, m.summary["seed"]) for m in members if m.done)
    ambiguous = {setting for (setting, _), count in counts.items() if count > 1}
    # Runs of one setting and seed differ in something that is not in `conditions`. Their names must tell them apart.
    members = [replace(m, setting=m.name) if m.setting in ambiguous else m for m in members]
    return sorted(members, key=position)


def position(member: Member) -> tuple[float, str, float, str]:
    """The key that sorts members by beta, setting and seed. Unknown values come last."""
    beta, seed = (math.inf if (v := member.summary[key]) is None else float(v) for key in ("beta", "seed"))
    return beta, member.setting, seed, member.name


def differences(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys in which these configurations differ.

    A key that some of them lack counts only if all chose the same option of its group. If some chose `model=mlp` and
    others `model=conv`, then `model.hidden` does not count.

    Example:
        >>> differences([{"model": "mlp", "model.hidden": "[9]", "epochs": 1}, {"model": "conv", "epochs": 1}])
        ['model']
        >>> differences([{"beta": 1.0, "objective.options.width": 2}, {"beta": 4.0}])
        ['beta', 'objective.options.width']
    """

    def differs(key: str) -> bool:
        values = [known[key] for known in conditions if key in known]
        return any(value != values[0] for value in values)

    def is_lacked(key: str) -> bool:
        return not all(key in known for known in conditions) and not differs(key.partition(".")[0])

    return [
        key for key in dict.fromkeys(key for known in conditions for key in known) if differs(key) or is_lacked(key)
    ]


def setting_of(member: Member, keys: Sequence[str]) -> str:
    """The setting: the values of these keys as on the command line, or beta if there are no keys."""
    if not member.summary["conditions"]:
        return member.name
    known = [(key, member.conditions[key]) for key in keys if key in member.conditions]
    typed = [(key, f"{value:.15g}" if isinstance(value, float) else str(value)) for key, value in known]
    return (
        ", ".join(f"{key}={value.replace(', ', ',')}" for key, value in typed) or f"beta={member.summary['beta']:.15g}"
    )


def settings(members: Sequence[Member]) -> dict[str, list[Member]]:
    """The members that are done, by setting."""
    grouped: dict[str, list[Member]] = {}
    for member in members:
        if member.done:
            grouped.setdefault(member.setting, []).append(member)
    return grouped


def results_table(members: Sequence[Member], more: Mapping[str, Mapping[str, float]]) -> str:
    """One row for each member, done or not, as CSV. `more` has further numbers for each member's name."""
    rows = [
        {
            "member": member.name,
            "status": member.summary["status"],
            "setting": member.setting,
            **{key: member.summary[key] for key in ("beta", "seed", "epochs", "seconds")},
            "unfinished": "; ".join(member.unfinished.values()),
            "loss_change_per_epoch": member.summary["loss_change_per_epoch"],
            **member.numbers,
            **more.get(member.name, {}),
        }
        for member in members
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
