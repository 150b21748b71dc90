"""The whole state of a run, and how it reaches the disk."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae import checkpoint
from vae.divergences import NonFiniteError
from vae.model import VAE
from vae.objectives import Stateful
from vae.optimizers import Optimizer
from vae.run_directory import BEST, CHECKPOINTS, LAST, PREVIOUS, give_second_name

Sums = Float[Tensor, " three_and_latents"]  # over images: number, objective, distortion, rate of each latent


def no_sums(latent_dim: int) -> Sums:
    """What `TrainState.interval_sums` and `epoch_sums` start from."""
    return torch.zeros(3 + latent_dim)


def means(sums: Sums, weight: float) -> dict[str, float]:
    """Loss, objective, distortion, rate and ELBO, in nats per image.

    Args:
        sums: since some step.
        weight: of the rate in the loss: the objective's at the last of these steps.

    Returns:
        `loss` is distortion + weight * rate. `objective` is what was minimised, each step with its own weights and
        with all that the objective adds.
    """
    images, objective, distortion, *rates = sums.tolist()
    rate = sum(rates)
    return {
        "loss": (distortion + weight * rate) / images,
        "loss_weight": weight,
        "objective": objective / images,
        "distortion": distortion / images,
        "rate": rate / images,
        "elbo": -(distortion + rate) / images,
    }


@dataclass
class TrainState:
    """Everything that changes as training goes on, and so everything a checkpoint holds."""

    vae: VAE
    optimizer: Optimizer
    generator: torch.Generator  # of the posterior's noise and of the binarisation
    interval_sums: Sums  # since the last logged step, on the model's device
    epoch_sums: Sums  # since the epoch began, on the CPU in float64: it may be of a million images
    step: int = 0
    seconds: float = 0.0  # of training, without evaluation
    best_elbo: float = -math.inf  # on the validation images, nats
    best_epoch: int = 0
    epochs_without_better: int = 0
    learner: Stateful | None = None  # the objective, where it learns

    def state_dict(self) -> dict[str, Any]:
        """What `checkpoint.save` takes."""
        return {
            "vae": self.vae.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "interval_sums": self.interval_sums,
            "epoch_sums": self.epoch_sums,
            **({} if self.learner is None else {"objective": self.learner.state_dict()}),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `checkpoint.load` gave.

        Raises:
            CheckpointError: it belongs to another model.
        """
        if "interval_sums" not in state:
            raise checkpoint.CheckpointError(
                "the checkpoint is of an older version, whose training cannot be continued bit for bit. "
                "Evaluate the run, or start a new one"
            )
        try:
            self.vae.load_state_dict(state["vae"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            self.interval_sums.copy_(state["interval_sums"])
            self.epoch_sums.copy_(state["epoch_sums"])
            if self.learner is not None:
                self.learner.load_state_dict(state["objective"])
            for name in _NUMBERS:
                setattr(self, name, state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise checkpoint.CheckpointError(
                f"the checkpoint does not fit this model: {reason}. Resume the run it came from"
            ) from None


_NUMBERS = ("step", "seconds", "best_elbo", "best_epoch", "epochs_without_better")


def write_state(directory: Path, state: dict[str, Any], *, best: bool = False) -> None:
    """Write the checkpoint `last` of the run in `directory`, and keep the one before it.

    Args:
        directory: of the run.
        state: what `TrainState.state_dict` gave.
        best: it is `best`, too: one file with two names.

    Raises:
        NonFiniteError: it would hold a parameter, or a moment of an optimiser, that is no finite number.
        OSError: the disk is full or cannot be written; the checkpoints are untouched.
    """
    refuse_non_finite_state(state)
    folder = directory / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    if best:  # before it is `last`: who finds that, finds the best it knows of
        checkpoint.save(folder / BEST, state)
        give_second_name(folder / BEST, folder / LAST, folder / PREVIOUS)
    else:
        checkpoint.save(folder / LAST, state, folder / PREVIOUS)


REMEDY = "Lower learning_rate, set gradient_norm_limit, or warm beta up; the last checkpoint is from before"


def refuse_non_finite_state(state: dict[str, Any]) -> None:
    """Stop before such numbers are saved.

    Raises:
        NonFiniteError: names the step.
    """
    for numbers in floats(state):
        # The sum is no finite number if an entry is none: cheaper than a mask, so it is asked first.
        if not math.isfinite(numbers.sum()) and not bool(numbers.isfinite().all()):
            raise NonFiniteError(
                "a parameter, a moment of its gradient or a sum of the loss is no finite number "
                f"after step {state['step']}. {REMEDY}"
            )


def floats(tree: Any) -> Iterator[Tensor]:
    """The tensors of floats in a state: parameters, moments and sums, and what an objective has learnt."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from floats(value)
    elif isinstance(tree, Tensor) and tree.is_floating_point():
        yield tree
