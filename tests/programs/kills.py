"""Kill short runs at random moments, resume them, and compare: `python tests/programs/kills.py TRIALS`.

Each trial kills a run one to three times with SIGKILL and then lets it end. Weights, optimizer, generator, numbers and
logged lines must equal those of a run that was never killed, bit for bit. Each part of a run is a forked child:
importing torch again would take longer than the training. A hundred trials take about a minute.
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

sys.path.append(str(Path(__file__).resolve().parents[1]))
from results import logged, same
from small_trainings import OBJECTIVES, small_training

from vae.config.preparation import ImagePreparation
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
    """Random grey images, binarised anew each time they are used."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (number, 1, 12, 12), generator=generator, dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(number) % 10, redrawn=True)


def train(directory: Path, kind: str) -> None:
    """Train the run in `directory` to its end, from its newest checkpoint if there is one."""
    training = small_training(
        directory,
        Splits(images(170, 1), images(40, 2), images(40, 3), ImagePreparation((1, 12, 12))),
        batch_size=30,
        gradient_norm_limit=5.0,
        save_every_steps=1,
        learning_rate=Piecewise(((0, 1e-3), (9, 1e-4))),
        hidden=400,  # checkpoints of megabytes, so that some kills come during a write
        resume=checkpoint.load_newest(directory / "checkpoints") if has_checkpoint(directory) else None,
        **KINDS[kind],
    )
    fit(training)
    training.tracker.close()


def part(directory: Path, kind: str, kill_after: float | None) -> bool:
    """Train in a child process, killed after `kill_after` seconds. Returns whether it ended by itself."""
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
    """Everything that must not depend on kills: all but the seconds."""
    states = {name: checkpoint.load(directory / "checkpoints" / name) for name in ("last", "best")}
    return {"lines": logged(directory), **{name: state | {"seconds": 0} for name, state in states.items()}}


def trials_kept(kind: str, trials: int, moments: random.Random, folder: Path) -> int:
    """The number of trials whose outcome equals that of a run that was never killed."""
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
    """Print the number of good trials of each kind. The exit code is 1 if one trial differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=int, help="number of trials of each kind")
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"kinds of run, default all: {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a forked child has none of its parent's other threads
    choose_library(torch.device("cpu"))
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # loads modules once, before the forks
    moments = random.Random(arguments.seed)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds or KINDS:
            kept = trials_kept(kind, arguments.trials, moments, Path(folder) / kind)
            print(f"{kind}: {kept} of {arguments.trials} equal to a run that was never killed", flush=True)
            lost += arguments.trials - kept
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
