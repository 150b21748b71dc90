"""What a model has learned, from a checkpoint into the model. A checkpoint of another model is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from vae.model.vae import VAE
from vae.objectives import Stateful
from vae.objectives.custom import CustomObjective
from vae.run import checkpoint
from vae.run.directory import has_checkpoint
from vae.run.names import BEST, CHECKPOINTS


def read_learned(directory: Path, name: str) -> dict[str, Any]:
    """The checkpoint `last` or `best` of a run.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if name == BEST and not (directory / CHECKPOINTS / BEST).exists() and has_checkpoint(directory):
        raise checkpoint.CheckpointError(
            f"no epoch of {directory} was the best: beta, or a capacity, was still warming up. "
            "Take its last checkpoint"
        )
    return checkpoint.load(directory / CHECKPOINTS / name)


def load_learned(vae: VAE, learner: Stateful | None, state: dict[str, Any], configuration: str) -> None:
    """Load what the model, and an objective that learns, have learned.

    Args:
        vae: the model.
        learner: the objective, if it learns.
        state: what `checkpoint.load` gave.
        configuration: `record.fingerprint` of the run. A checkpoint that names another one is refused, even if its
            model has the same shape; one that names none is accepted.

    Raises:
        CheckpointError: it belongs to another run or another model.
    """
    saved = state.get("configuration")
    if saved and configuration and saved != configuration:
        raise unfit("it was saved by a run of another configuration")
    expected = {"vae": vae.state_dict(), "step": 0}
    if learner is not None:
        # The state of a user's own objective may grow while it learns; its `load_state_dict` checks it.
        expected["objective"] = {} if isinstance(learner, CustomObjective) else learner.state_dict()
    refuse_other_layout(expected, state)
    if state["step"] < 0 or not all(bool(tensor.isfinite().all()) for tensor in floats(state)):
        raise unfit("its step is negative, or one of its numbers is not finite")
    try:
        vae.load_state_dict(state["vae"])
        if learner is not None:
            learner.load_state_dict(state["objective"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise unfit(" ".join(str(error).split())[:200]) from None


def refuse_other_layout(expected: dict[str, Any], given: dict[str, Any]) -> None:
    """Compare the entries, shapes and types of two trees of tensors and numbers. `given` may have further entries.

    Raises:
        CheckpointError: an expected entry is missing or different; its name, and what was found.
    """
    found = layout(given)
    for name, kind in layout(expected).items():
        if found.get(name) != kind:
            raise unfit(f"'{name}' must be {kind}, got {found.get(name, 'nothing')}")


def layout(tree: Any, name: str = "") -> dict[str, str]:
    """Every entry of a tree by its dotted name, described in words.

    Example:
        >>> import torch
        >>> layout({"vae": {"bias": torch.zeros(3)}, "step": 7})
        {'': 'dict', 'vae': 'dict', 'vae.bias': 'torch.float32 of shape (3,)', 'step': 'int'}
    """
    if isinstance(tree, Tensor):
        return {name: f"{tree.dtype} of shape {tuple(tree.shape)}"}
    if not isinstance(tree, dict):
        return {name: type(tree).__name__}
    entries = {name: "dict"}
    for key, value in tree.items():
        entries |= layout(value, f"{name}.{key}".lstrip("."))
    return entries


def unfit(problem: str) -> checkpoint.CheckpointError:
    """The error for a checkpoint of another model. `problem` is what differs."""
    return checkpoint.CheckpointError(
        f"the checkpoint does not fit this model: {problem}. Resume the run it came from"
    )


def floats(tree: Any) -> Iterator[Tensor]:
    """All floating-point tensors in a tree of dictionaries."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from floats(value)
    elif isinstance(tree, Tensor) and tree.is_floating_point():
        yield tree
