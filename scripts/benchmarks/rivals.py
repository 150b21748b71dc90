"""The loops that this project is compared with: the tutorial's, and with `pip install '.[bench]'` other projects'."""

import importlib
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor, nn


class Loop(Protocol):
    """A training loop that is run epoch by epoch."""

    @property
    def model(self) -> nn.Module:
        """The model that it trains."""
        ...

    def epoch(self) -> float:
        """Every image once. Returns the mean loss of the images, in nats."""
        ...


@dataclass(frozen=True)
class Rival:
    """Another training loop.

    Attributes:
        name: of the loop or its package.
        package: that must be installed.
        module: of this folder, whose `start` gives the loop.
        at_least: the ratio by which our epoch is to be faster.
        compiled_at_least: the same for our compiled epoch.
    """

    name: str
    package: str
    module: str
    at_least: float
    compiled_at_least: float

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return find_spec(self.package) is not None


TUTORIAL = Rival("tutorial", "torchvision", "benchmarks.tutorial", 2.0, 2.5)
RIVALS = (
    TUTORIAL,
    Rival("pythae", "pythae", "benchmarks.with_pythae", 1.5, 1.5),
    Rival("disent", "disent", "benchmarks.with_disent", 2.3, 2.3),
)


def versions() -> str:
    """The packages of the rivals that are installed, for the head of the table."""
    return ", ".join(f"{rival.package} {version(rival.package)}" for rival in RIVALS if rival.installed)


def load_loop(rival: Rival, images: Tensor, root: Path, folder: Path) -> Loop:
    """The loop of a rival, in batches of 128, with Adam at 1e-3.

    Args:
        rival: whose loop.
        images: (images, 1, 28, 28) in [0, 1].
        root: of the files that these images are from, in torchvision's layout.
        folder: where it may write.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages
        return cast("Loop", importlib.import_module(rival.module).start(images, root, folder))
