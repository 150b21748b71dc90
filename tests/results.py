"""What a run computed, without what depends on time, on logging or on kills."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vae.run import checkpoint
from vae.run.names import METRICS
from vae.run.summary import read_summary

# Parts of a checkpoint that depend on logging and evaluation.
SEEN = (
    "configuration",
    "epoch_sums",
    "interval_sums",
    "seconds",
    "best_elbo",
    "best_epoch",
    "epochs_without_better",
    "logged_lines",
)


def result(run: Path) -> str:
    """A hash of weights, optimizer, generator and test numbers."""
    state = checkpoint.load(run / "checkpoints" / "last")
    kept = {name: value for name, value in state.items() if name not in SEEN}
    return hashlib.sha256(b"".join(told({"state": kept, "test": read_summary(run)["test"]}))).hexdigest()


def same(one: Any, other: Any) -> bool:
    """Whether two trees of tensors, numbers and texts are equal, bit for bit."""
    return list(told(one)) == list(told(other))


def told(tree: Any) -> Iterator[bytes]:
    """A tree of tensors, numbers and texts as bytes, leaf by leaf."""
    if isinstance(tree, torch.Tensor):
        yield f"{tree.dtype}{tuple(tree.shape)}".encode()
        yield tree.contiguous().numpy().tobytes()
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield repr(name).encode()
            yield from told(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from told(value)
    else:
        yield repr(tree).encode()


def logged(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl, without the speed."""
    found = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{tag: value for tag, value in line.items() if tag != "train/images_per_second"} for line in found]
