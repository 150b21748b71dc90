"""The runs of a folder and their numbers: what every table and plot is made of."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vae.objectives.schedules import Unfinished
from vae.run.files import read_regular
from vae.run.names import CODES, LOG
from vae.run.summary import is_number, read_summary

NEAR_CEILING = 1.0  # nats: mutual information so near ln N is cut off by it


@dataclass(frozen=True)
class Codes:
    """The posteriors of the first test images, the same ones in every run."""

    mean: Float[np.ndarray, "images latents"]
    logvar: Float[np.ndarray, "images latents"]

    @property
    def rate_per_latent(self) -> Float[np.ndarray, " latents"]:
        """The mean KL of each latent to the prior, in nats."""
        import torch  # a second, which the report of a single seed need not wait for

        from vae.probability.divergences import kl_to_standard_normal

        return kl_to_standard_normal(torch.from_numpy(self.mean), torch.from_numpy(self.logvar)).mean(0).numpy()


@dataclass(frozen=True)
class Member:
    """A run: where it is, how it ended, and what was varied besides the seed."""

    directory: Path
    summary: Mapping[str, Any]  # as `read_summary` gives it, which has checked the fields that are used here
    setting: str  # members of one setting are repetitions

    @property
    def name(self) -> str:
        """As its directory is called."""
        return self.directory.name

    @property
    def done(self) -> bool:
        """Whether it has its test numbers."""
        return bool(self.summary["status"] == "done")

    @property
    def beta(self) -> float:
        """The weight of the rate; not a number if the run did not say."""
        return float(self.summary.get("beta", math.nan))

    @property
    def seed(self) -> int | None:
        """Of the run; None if it did not say."""
        seed: int | None = self.summary.get("seed")
        return seed

    @property
    def seconds(self) -> float:
        """Of training; 0 if it did not say."""
        return float(self.summary.get("seconds", 0.0))

    @property
    def ending(self) -> str:
        """How it ended, and why, in words."""
        said = self.summary
        code = f", code {said['code']}" if "code" in said else ""
        return f"{said['status']}{code}" + (f": {said['error']}" if "error" in said else "")

    @property
    def rate_per_latent(self) -> list[float]:
        """In nats; empty if the run did not say."""
        return [float(rate) for rate in self.summary.get("test", {}).get("rate_per_latent", [])]

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Every number of the test, by its name in `summary.json`, and the scores of disentanglement. Nats."""
        test = self.summary.get("test", {})
        numbers = {name: float(value) for name, value in test.items() if is_number(value)}
        bound = test.get("importance_weighted_bound", {})
        if "bound" in bound:
            numbers["nll"] = -float(bound["bound"])
        if "rise_from_half" in bound:
            numbers["nll_fall_from_half"] = float(bound["rise_from_half"])
        return numbers | self.scores

    @property
    def ceiling(self) -> float:
        """The most that the mutual information can be, ln of the number of test images; not a number if not known."""
        images = self.numbers.get("images", math.nan)
        return math.log(images) if images > 0 else math.nan

    @property
    def near_ceiling(self) -> bool:
        """Whether the mutual information is so near its ceiling that the total correlation takes up the rest."""
        return self.numbers.get("mutual_information", math.nan) > self.ceiling - NEAR_CEILING

    @cached_property
    def unfinished(self) -> dict[str, str]:
        """The schedules that training ended before, by name, and how far each came, in words."""
        found = self.summary.get("unfinished")
        words = {}
        for name, values in found.items() if isinstance(found, dict) else ():
            try:
                words[name] = Unfinished(**values).described(name)
            except (TypeError, ValueError):  # of another version, or damaged
                words[name] = f"{name} did not come to the end of its schedule"
        return words

    @property
    def conditions(self) -> dict[str, Any]:
        """What runs must share to be compared by beta: the configuration without beta and seed, the rest of the name.

        Of an older run, which did not write these down, what it says of itself.
        """
        said, asked = self.summary.get("conditions"), self.summary.get("asked")
        if isinstance(said, dict) and isinstance(asked, dict):
            return said | asked
        rest = re.sub(r"(^|_)beta=[^_]*", "", self.setting).strip("_")
        known = {key: self.summary[key] for key in ("parameters", "epochs") if key in self.summary}
        return known | {"what their names say": rest}

    @property
    def loss_change(self) -> float | None:
        """By how many nats the loss of the watched images changed in the last epoch; None if the run did not say."""
        change = self.summary.get("loss_change_per_epoch")
        return float(change) if is_number(change) else None

    @property
    def left_out(self) -> dict[str, str]:
        """The factors that were not scored, and why."""
        found = self.summary.get("disentanglement", {}).get("left_out")
        return {str(name): str(why) for name, why in found.items()} if isinstance(found, dict) else {}

    @cached_property
    def scores(self) -> dict[str, float]:
        """Of disentanglement; none where the factors are not known."""
        found = self.summary.get("disentanglement", {}).get("numbers", {})
        return {name: float(value) for name, value in found.items() if is_number(value)}

    @cached_property
    def codes(self) -> Codes | None:
        """None if the run left none, or not readably."""
        try:
            content = io.BytesIO(read_regular(self.directory / CODES))
            with np.load(content, allow_pickle=False) as stored:
                mean, logvar = (stored[name].astype(np.float64) for name in ("mean", "logvar"))
        except Exception:  # a damaged file: numpy and zipfile have many words for it
            return None
        if mean.ndim != 2 or mean.size == 0 or mean.shape != logvar.shape or np.isnan([mean, logvar]).any():
            return None
        codes = Codes(mean, logvar)
        return codes if np.isfinite(codes.rate_per_latent).all() else None  # a damaged file may hold any number

    @cached_property
    def introduction(self) -> list[str]:
        """What the run said of itself at its start: data, model, device, steps."""
        try:
            lines = read_regular(self.directory / LOG).decode(errors="replace").splitlines()
        except OSError:
            return []
        first = {line.split(maxsplit=1)[0]: line for line in reversed(lines) if line.strip()}
        return [first[word] for word in ("data", "model", "loss", "device", "steps") if word in first]


def read_members(folder: Path) -> list[Member]:
    """The runs in `folder`, or the one that it is itself, in the order of beta and seed."""
    top = folder.resolve()  # "." has no name
    found = sorted(path.parent for path in [*top.glob(LOG), *top.glob(f"*/{LOG}")])
    members = [Member(path, read_summary(path), varied(path.name)) for path in found]
    taken = Counter((m.setting, m.seed) for m in members if m.seed is not None)
    ambiguous = {setting for (setting, _), count in taken.items() if count > 1}
    # One seed twice: they differ in something that the names do not say, and are no repetitions.
    members = [replace(m, setting=m.name) if m.setting in ambiguous else m for m in members]
    return sorted(members, key=lambda m: (math.isnan(m.beta), m.beta, m.setting, -1 if m.seed is None else m.seed))


def varied(name: str) -> str:
    """What a member's name says besides its seed and its number.

    Example:
        >>> varied("beta=4.0_seed=1"), varied("12_beta=0.5_seed=0_model=conv")
        ('beta=4', 'beta=0.5_model=conv')
    """
    plain = re.sub(r"(^|_)seed=[^_]*", "", re.sub(r"^\d+_", "", name)).strip("_")
    return re.sub(r"beta=(\d+)\.0(?=_|$)", r"beta=\1", plain) or ("all" if "seed=" in name else name)


def settings(members: Sequence[Member]) -> dict[str, list[Member]]:
    """The members that are done, by setting."""
    grouped: dict[str, list[Member]] = {}
    for member in members:
        if member.done:
            grouped.setdefault(member.setting, []).append(member)
    return grouped


def write_results(members: Sequence[Member], more: Mapping[str, Mapping[str, float]]) -> str:
    """A row a member, done or not, as CSV; `more` holds further numbers by the member's name."""
    rows = [
        {
            "member": member.name,
            "status": member.summary["status"],
            "setting": member.setting,
            "beta": member.summary.get("beta"),
            "seed": member.seed,
            "epochs": member.summary.get("epochs"),
            "seconds": member.summary.get("seconds"),
            "unfinished": "; ".join(member.unfinished.values()),
            "loss_change_per_epoch": member.loss_change,
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
