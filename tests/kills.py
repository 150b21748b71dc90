"""Kill runs at random moments, with SIGKILL, until they have ended all the same: `python tests/kills.py TRIALS`.

Each trial is one to three kills, then the run is left to end. Its weights, optimiser, generator, numbers and logged
lines must be those of a run that nobody disturbed, bit for bit. A child is forked for every part of a run, after torch
was imported once: a hundred trials take a minute.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from results import logged
from small_trainings import OBJECTIVES, small_training

from vae.data import ImageSet, Splits
from vae.model.burgess import conv_vae
from vae.objectives.schedules import Piecewise
from vae.run import checkpoint
from vae.run.directory import has_checkpoint
from vae.training.hardware import choose_library
from vae.training.loop import fit

KINDS = {
    "beta": {"beta": 4.0, "warmup": 7},
    "conv": {"beta": 4.0, "warmup": 7, "make": conv_vae},
    "bf16": {"beta": 4.0, "warmup": 7, "bf16": True},
    **{name: {"objective": objective} for name, objective in OBJECTIVES.items()},
}


def images(number: int, seed: int) -> ImageSet:
    """Random grey images, drawn anew at every use."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (number, 1, 12, 12), generator=generator, dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(number) % 10, redrawn=True)


def train(directory: Path, kind: str) -> None:
    """The run in `directory`: from its newest checkpoint on if there is one, to its end."""
    training = small_training(
        directory,
        Splits(images(170, 1), images(40, 2), images(40, 3)),
        batch_size=30,
        gradient_norm_limit=5.0,
        save_every_steps=1,
        learning_rate=Piecewise(((0, 1e-3), (9, 1e-4))),
        hidden=400,  # megabytes, so that some kills come while they are written
        resume=checkpoint.load_newest(directory / "checkpoints") if has_checkpoint(directory) else None,
        **KINDS[kind],
    )
    fit(training)
    training.tracker.close()


def part(directory: Path, kind: str, kill_after: float | None) -> bool:
    """Train in a child, and kill it after so many seconds. Whether it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            train(directory, kind)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"a part of the run failed with exit code {code}")
    return code == 0


def outcome(directory: Path) -> dict[str, Any]:
    """All that must not depend on kills."""
    states = {name: checkpoint.load(directory / "checkpoints" / name) for name in ("last", "best")}
    return {"lines": logged(directory), **{name: state | {"seconds": 0} for name, state in states.items()}}


def same(one: Any, other: Any) -> bool:
    """Whether two trees of tensors, numbers and texts are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def trials_kept(kind: str, trials: int, moments: random.Random, folder: Path) -> int:
    """How many of the trials ended as the undisturbed run does."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    started = time.perf_counter()
    part(whole, kind, None)
    duration = time.perf_counter() - started
    expected = outcome(whole)
    kept = 0
    for trial in range(trials):
        directory = folder / str(trial)
        directory.mkdir()
        for _ in range(moments.randint(1, 3)):
            part(directory, kind, moments.uniform(0.0, duration))
        part(directory, kind, None)
        kept += same(outcome(directory), expected)
    return kept


def main() -> int:
    """Print how many trials of each kind ended as the undisturbed run did. 1 if one did not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=int, help="of each kind")
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(KINDS)} (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    choose_library(torch.device("cpu"))
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports for a second, here once for all children
    moments = random.Random(arguments.seed)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds or KINDS:
            kept = trials_kept(kind, arguments.trials, moments, Path(folder) / kind)
            print(f"{kind}: {kept} of {arguments.trials} as if nobody had disturbed them", flush=True)
            lost += arguments.trials - kept
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
