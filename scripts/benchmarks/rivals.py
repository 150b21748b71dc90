"""The loops that this project is compared with: the tutorial's, and with `pip install '.[bench]'` other projects'."""

import importlib
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Rival:
    """Another training loop.

    Attributes:
        name: of the loop or its package.
        package: the package that must be installed.
        module: the module of this folder whose function `start` starts the loop.
        at_least: the floor for the ratio of its time of an epoch to ours.
        compiled_at_least: the same floor for our compiled epoch.
    """

    name: str
    package: str
    module: str
    at_least: float
    compiled_at_least: float

    @property
    def installed(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None


TUTORIAL = Rival("tutorial", "torchvision", "benchmarks.tutorial", 2.0, 2.5)
RIVALS = (
    TUTORIAL,
    Rival("pythae", "pythae", "benchmarks.with_pythae", 1.5, 1.5),
    Rival("disent", "disent", "benchmarks.with_disent", 2.3, 2.3),
)


def versions() -> str:
    """The installed packages of the rivals with their versions."""
    return ", ".join(f"{rival.package} {version(rival.package)}" for rival in RIVALS if rival.installed)


def load_loop(rival: Rival, images: Tensor, root: Path, folder: Path) -> Any:
    """The loop of a rival, in batches of 128, with Adam at a learning rate of 1e-3.

    It has `model`, and `epoch()`, which trains on every image once and returns their mean loss in nats.

    Args:
        rival: the loop to start.
        images: (images, 1, 28, 28) in [0, 1].
        root: the folder of the files of these images, in torchvision's layout.
        folder: a folder for temporary files.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages
        return importlib.import_module(rival.module).start(images, root, folder)
