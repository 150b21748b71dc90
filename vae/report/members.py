"""The runs of a folder and their numbers: what every table and plot is made of."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vae.run_directory import CODES, read_summary

LOG = "train.log"


@dataclass(frozen=True)
class Codes:
    """The posteriors of the first test images, the same ones in every run."""

    mean: Float[np.ndarray, "images latents"]
    logvar: Float[np.ndarray, "images latents"]

    @property
    def rate_per_latent(self) -> Float[np.ndarray, " latents"]:
        """The mean KL of each latent to the prior, in nats."""
        kl = 0.5 * (self.mean**2 + np.exp(self.logvar) - self.logvar - 1)
        rate: Float[np.ndarray, " latents"] = kl.mean(axis=0)
        return rate


@dataclass(frozen=True)
class Member:
    """A run: where it is and how it ended."""

    directory: Path
    summary: Mapping[str, Any]

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
        """Of the run."""
        return self.summary.get("seed")

    @property
    def setting(self) -> str:
        """What was varied besides the seed: members of one setting are repetitions."""
        plain = re.sub(r"(^|_)seed=[^_]*", "", re.sub(r"^\d+_", "", self.name)).strip("_")
        return re.sub(r"beta=([\d.]+)", lambda found: f"beta={float(found[1]):g}", plain) or self.name

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Every number of the test, by its name in `summary.json`, and the scores of disentanglement. Nats."""
        test = self.summary.get("test", {})
        numbers = {name: float(value) for name, value in test.items() if isinstance(value, int | float)}
        if "importance_weighted_bound" in test:
            numbers["nll"] = -test["importance_weighted_bound"]["bound"]
        return numbers | self.scores

    @property
    def scores(self) -> dict[str, float]:
        """Of disentanglement; none where the factors are not known."""
        found: dict[str, float] = self.summary.get("disentanglement", {}).get("numbers", {})
        return found

    @cached_property
    def codes(self) -> Codes | None:
        """None if the run left none, or not readably."""
        try:
            with np.load(self.directory / CODES, allow_pickle=False) as stored:
                return Codes(stored["mean"].astype(np.float64), stored["logvar"].astype(np.float64))
        except (OSError, ValueError, KeyError):
            return None

    @cached_property
    def introduction(self) -> list[str]:
        """What the run said of itself at its start: data, model, device, steps."""
        try:
            lines = (self.directory / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        first = {line.split(maxsplit=1)[0]: line for line in reversed(lines) if line.strip()}
        return [first[word] for word in ("data", "model", "loss", "device", "steps") if word in first]


def read_members(folder: Path) -> list[Member]:
    """The runs in `folder`, or the one that it is itself, in the order of beta and seed."""
    found = sorted(path.parent for path in [*folder.glob(LOG), *folder.glob(f"*/{LOG}")])
    members = [Member(directory, read_summary(directory)) for directory in found]
    return sorted(members, key=lambda m: (math.isnan(m.beta), m.beta, m.setting, -1 if m.seed is None else m.seed))


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
