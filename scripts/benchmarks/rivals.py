"""The other projects that train a VAE, where they are installed: `pip install '.[bench]'`."""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor, nn

from benchmarks.rows import Target


class Loop(Protocol):
    """A training loop that is taken epoch by epoch."""

    @property
    def model(self) -> nn.Module:
        """What it trains."""
        ...

    def epoch(self) -> float:
        """Every image once. The mean loss of the images, in nats."""
        ...


@dataclass(frozen=True)
class Rival:
    """Another project.

    Attributes:
        name: of the package.
        module: the file of this folder that drives it.
        target: what our epoch should be faster by.
    """

    name: str
    module: str
    target: Target


RIVALS = (
    Rival("pythae", "benchmarks.with_pythae", Target(1.5, 2.1)),
    Rival("disent", "benchmarks.with_disent", Target(2.3, 3.2)),
)


def versions() -> str:
    """The rivals that are installed, for the head of the table."""
    found = [f"{rival.name} {version(rival.name)}" for rival in RIVALS if why_absent(rival) is None]
    return ", ".join(found) or "none installed"


def why_absent(rival: Rival, installed: Callable[[str], object] = find_spec) -> str | None:
    """The line to print where a rival is not installed; None where it is."""
    if installed(rival.name) is not None:
        return None
    return f"{rival.name} is not installed: pip install '.[bench]'"


def load_loop(rival: Rival, images: Tensor, folder: Path) -> Loop:
    """Its loop over `images` (images, 1, 28, 28) in [0, 1], batch 128, Adam 1e-3; it may write into `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what else one might install for it
        return cast("Loop", importlib.import_module(rival.module).start(images, folder))
