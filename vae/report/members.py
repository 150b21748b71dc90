"""The runs of one or more folders and their numbers."""

import csv
import hashlib
import io
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from vae.config import ConfigError, flat, written
from vae.disentanglement.names import FORMER
from vae.run import record
from vae.run.files import read_regular
from vae.run.names import CODES, LOG
from vae.run.summary import is_number, read_origin, read_summary, tightest_bound

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
    """A run in a folder.

    Attributes:
        directory: of the run.
        summary: by `read_summary`, which has checked it, with the values of `UNKNOWN` for fields that are absent.
        name: of its directory. If the runs lie in several folders, with the folder, as in `SWEEP/beta=4.0_seed=0`.
        folder: the folder of the run, or the run if it was named alone.
        told_apart: conditions besides those of the summary: the data under one name for all runs, and the folder.
        setting: the values, besides the seed, in which the run differs from others, as in `beta=4, model=conv`. Runs
            of one setting repeat each other.
    """

    directory: Path
    summary: Mapping[str, Any]
    name: str
    folder: str
    told_apart: Mapping[str, str] = field(default_factory=dict)
    setting: str = ""

    @property
    def done(self) -> bool:
        """Whether the run is complete. Its beta, seed, distortion and rate are then known."""
        return bool(self.summary["status"] == "done")

    @property
    def scores(self) -> dict[str, float]:
        """The scores of disentanglement and the numbers of the user's own metrics, by name."""
        scores = self.summary["disentanglement"].get("numbers", {})
        found = {**{FORMER.get(name, name): value for name, value in scores.items()}, **self.summary["metrics"]}
        return {name: float(value) for name, value in found.items() if is_number(value)}

    @cached_property
    def numbers(self) -> dict[str, float]:
        """All numbers of the test by their names in `summary.json`, and the scores."""
        test = self.summary["test"]
        numbers = {name: float(value) for name, value in test.items() if is_number(value)}
        bound, refitted = tightest_bound(test)
        by_encoder = test.get("importance_weighted_bound", {})
        if refitted and "bound" in by_encoder:
            numbers["nll_upper_bound_by_encoder"] = -float(by_encoder["bound"])
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
        return {**with_own_parts(known), **self.told_apart}

    @cached_property
    def configured(self) -> dict[str, Any]:
        """The stored configuration by dotted key, with the option of each group; `conditions` if it is damaged."""
        try:
            stored = record.read(self.directory)
        except ConfigError:
            return self.conditions
        values = {key: value if is_number(value) else written(value) for key, value in flat(stored.config).items()}
        return with_own_parts({**stored.choices, **values})

    @cached_property
    def data(self) -> str:
        """A checksum of the files with the images; empty if it is not known."""
        found = read_origin(self.directory).fields.get("data_sha256", {})
        return hashlib.sha256("".join(sorted(found.values())).encode()).hexdigest() if found else ""

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


def with_own_parts(known: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration by dotted key, where the value of a `custom` option is the name of the user's part."""
    named = dict(known)
    for group, key in OWN_PARTS.items():
        if named.get(group) == "custom" and key in named:
            named[group] = named.pop(key)
    if "objective" in named:
        named["objective"] = str(named["objective"]).rpartition(":")[2]
    return named


def read_members(*folders: Path) -> list[Member]:
    """The runs in the folders, in the order of beta and seed. A folder may itself be a run. No run counts twice."""
    members = told_apart(found_in(folders))
    keys = differences([m.conditions for m in members if m.done and m.summary["conditions"]])
    members = with_settings(members, keys)
    if repeated(members) and len({m.folder for m in members}) > 1:
        members = [replace(m, told_apart={**m.told_apart, "folder": m.folder}) for m in members]
        members = with_settings(members, [*keys, "folder"])
    # Runs of one setting and seed differ in something that is not in `conditions`. Their names must tell them apart.
    ambiguous = repeated(members)
    members = [replace(m, setting=m.name) if m.setting in ambiguous else m for m in members]
    return sorted(members, key=position)


def found_in(folders: Sequence[Path]) -> list[Member]:
    """The runs in the folders, without settings."""
    tops = [folder.resolve() for folder in folders]  # "." has no name
    found: dict[Path, Path] = {}
    for top in tops:
        for path in sorted(log.parent for log in [*top.glob(LOG), *top.glob(f"*/{LOG}")]):
            found.setdefault(path.resolve(), path)
    if not found:
        return []
    above = Path(os.path.commonpath([path.parent for path in found.values()]))

    def named(path: Path) -> str:
        return above.name if path == above else str(path.relative_to(above))

    return [
        Member(path, UNKNOWN | read_summary(path), named(path), named(path.parent if path.parent in tops else path))
        for path in found.values()
    ]


def told_apart(members: Sequence[Member]) -> list[Member]:
    """The members, with the data named by their content: a path may change its content, and content its path."""
    paths: dict[str, str] = {}
    found = []
    for member in members:
        path = member.conditions.get("data.path")
        if path is not None and member.data:
            member = replace(member, told_apart={"data.path": paths.setdefault(member.data, str(path))})
        found.append(member)
    contents: dict[str, set[str]] = {}
    for member in found:
        of_data = {key: value for key, value in member.conditions.items() if key.partition(".")[0] == "data"}
        contents.setdefault(repr(of_data), set()).add(member.data)
    if all(len(checksums - {""}) < 2 for checksums in contents.values()):
        return found
    return [replace(m, told_apart={**m.told_apart, "data_sha256": m.data[:8]}) if m.data else m for m in found]


def with_settings(members: Sequence[Member], keys: Sequence[str]) -> list[Member]:
    """The members, where those that are done have a setting: their values of these keys."""
    return [replace(m, setting=setting_of(m, keys)) if m.done else m for m in members]


def repeated(members: Sequence[Member]) -> set[str]:
    """The settings that have one seed more than once."""
    counts = Counter((m.setting, m.summary["seed"]) for m in members if m.done)
    return {setting for (setting, _), count in counts.items() if count > 1}


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
    return described(member.conditions, keys) or f"beta={member.summary['beta']:.15g}"


def described(conditions: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The values of these keys as on the command line. Keys that are absent are left out.

    Example:
        >>> described({"beta": 4.0, "model": "conv", "seed": 0}, ["beta", "model"])
        'beta=4, model=conv'
        >>> described({"data.side": None}, ["data.side"])
        'data.side=null'
    """
    known = [(key, conditions[key]) for key in keys if key in conditions]
    typed = [(key, f"{value:.15g}" if isinstance(value, float) else written(value)) for key, value in known]
    return ", ".join(f"{key}={value.replace(', ', ',')}" for key, value in typed)


def settings(members: Sequence[Member]) -> dict[str, list[Member]]:
    """The members that are done, by setting."""
    grouped: dict[str, list[Member]] = {}
    for member in members:
        if member.done:
            grouped.setdefault(member.setting, []).append(member)
    return grouped


def results_table(members: Sequence[Member], more: Mapping[str, Mapping[str, float]]) -> str:
    """One row for each member, done or not, as CSV. Each key in which the members differ is a column.

    Args:
        members: in the order of the rows.
        more: further numbers, by the name of a member.
    """
    keys, several = configured_keys(members), len({m.folder for m in members}) > 1
    rows = [
        {
            "member": member.name,
            **({"folder": member.folder} if several else {}),
            "status": member.summary["status"],
            "setting": member.setting,
            **{key: member.summary[key] for key in ("beta", "seed")},
            **{column: member.configured.get(key, member.conditions.get(key)) for key, column in keys.items()},
            **{key: member.summary[key] for key in ("epochs", "seconds")},
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


def configured_keys(members: Sequence[Member]) -> dict[str, str]:
    """The keys in which the configurations differ, with the names of their columns.

    `epochs` is the number of epochs that were trained, and `asked_epochs` the value of the key.
    """
    keys = differences([m.conditions for m in members if m.done and m.summary["conditions"]])
    values: dict[str, set[str]] = {}
    for member in members:
        for key, value in member.configured.items():
            values.setdefault(key, set()).add(str(value))
    keys += [key for key, found in values.items() if len(found) > 1]
    of_others = ("beta", "seed", "folder")
    return {key: "asked_epochs" if key == "epochs" else key for key in keys if key not in of_others}
