"""The whole state of a run, and how a checkpoint saves and restores it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from vae.model.vae import VAE
from vae.objectives import Stateful
from vae.objectives.optimizers import load_moments, moments
from vae.probability.finite import NonFiniteError
from vae.run import checkpoint
from vae.run.files import add_name
from vae.run.learned import floats, load_learned, refuse_other_layout, unfit
from vae.run.names import BEST, CHECKPOINTS, LAST, PREVIOUS

# Sums over images: their number, and in nats the objective, the distortion and the rate of each latent.
Sums = Float[Tensor, " three_and_latents"]

# The names of the numbers that `means` returns. An objective may not log under them.
MEANS = frozenset({"loss", "loss_weight", "objective", "distortion", "rate", "elbo"})

REMEDY = "Lower learning_rate, set gradient_norm_limit, or warm beta up; the last checkpoint is from before"

_NUMBERS = ("step", "seconds", "best_elbo", "best_epoch", "epochs_without_better", "logged_lines")


def no_sums(latent_dim: int) -> Sums:
    """The sums over no images."""
    return torch.zeros(3 + latent_dim)


def means(sums: Sums, weight: float) -> dict[str, float]:
    """Loss, objective, distortion, rate and ELBO, in nats per image.

    Args:
        sums: over the images of some steps.
        weight: the weight of the rate in `loss` = distortion + weight * rate.

    Returns:
        By name. `objective` is what was minimised: it includes penalties, and each step has its own weights.
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
    """Everything that changes during training, and so everything that a checkpoint contains."""

    vae: VAE
    optimizer: Optimizer
    generator: torch.Generator  # for the posterior's noise, the binarisation, and what an objective draws
    interval_sums: Sums  # since the last logged step, on the model's device
    epoch_sums: Sums  # since the start of the epoch, on the CPU in float64: exact for millions of images
    step: int = 0
    seconds: float = 0.0  # of training, without evaluation
    best_elbo: float = -math.inf  # on the validation images, nats
    best_epoch: int = 0
    epochs_without_better: int = 0
    logged_lines: int | None = 0  # of metrics.jsonl, as `Tracker.lines` counts them; None if unknown
    learner: Stateful | None = None  # the objective, if it learns
    configuration: str = ""  # `record.fingerprint` of the run

    def state_dict(self) -> dict[str, Any]:
        """What `checkpoint.save` takes."""
        return {
            "vae": self.vae.state_dict(),
            "optimizer": moments(self.optimizer),
            "generator": self.generator.get_state(),
            "global_generators": global_generators(self.generator.device),
            "configuration": self.configuration,
            "interval_sums": self.interval_sums,
            "epoch_sums": self.epoch_sums,
            **({} if self.learner is None else {"objective": self.learner.state_dict()}),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `checkpoint.load` gave.

        Raises:
            CheckpointError: it belongs to another run or another model.
        """
        expected = self.state_dict()
        # Three entries that the run in tests/golden lacks.
        later = {"configuration": "", "global_generators": expected["global_generators"], "logged_lines": None}
        state = later | state
        load_learned(self.vae, self.learner, state, self.configuration)
        loaded = {"vae", "objective", "logged_lines"}  # the last is a number or None
        refuse_other_layout({name: part for name, part in expected.items() if name not in loaded}, state)
        refuse_impossible_numbers(state)
        load_moments(self.optimizer, state["optimizer"])
        try:
            self.generator.set_state(state["generator"])
            set_global_generators(self.generator.device, state["global_generators"])
        except RuntimeError as error:
            raise unfit(f"'generator' is no state of a generator: {' '.join(str(error).split())[:100]}") from None
        self.interval_sums.copy_(state["interval_sums"])
        self.epoch_sums.copy_(state["epoch_sums"])
        for name in _NUMBERS:
            setattr(self, name, state[name])


def global_generators(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's global generators. Dropout in a user's network draws from them, for example."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_global_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Restore the states that `global_generators` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


def refuse_impossible_numbers(state: dict[str, Any]) -> None:
    """Refuse counts and times that no training can have.

    Raises:
        CheckpointError: names the number.
    """
    for name in ("step", "seconds", "best_epoch", "epochs_without_better"):
        if not 0 <= state[name] < math.inf:
            raise unfit(f"'{name}' is {state[name]}")
    lines = state["logged_lines"]
    if lines is not None and not (type(lines) is int and lines >= 0):
        raise unfit(f"'logged_lines' is {lines}")
    if not state["best_elbo"] < math.inf:
        raise unfit(f"'best_elbo' is {state['best_elbo']}")


def write_state(directory: Path, state: dict[str, Any], *, best: bool = False) -> None:
    """Write the checkpoint `last` of a run, and keep the previous one.

    Args:
        directory: the run's directory.
        state: what `TrainState.state_dict` returned.
        best: whether it is `best` as well: one file with two names.

    Raises:
        NonFiniteError: a parameter, a moment of an optimizer or a sum is not finite. Nothing is written.
        OSError: the disk is full or cannot be written; the existing checkpoints are unchanged.
    """
    for tensor in floats(state):
        # The sum is not finite if an entry is not. It needs no mask, so it is computed first.
        if not math.isfinite(tensor.sum()) and not bool(tensor.isfinite().all()):
            raise NonFiniteError(
                "a parameter, a moment of its gradient or a sum of the loss is no finite number "
                f"after step {state['step']}. {REMEDY}"
            )
    folder = directory / CHECKPOINTS
    folder.mkdir(exist_ok=True)
    if best:  # `best` is written first: `last` contains the epoch of the best model, which must exist
        checkpoint.save(folder / BEST, state)
        if (folder / LAST).is_file():
            add_name(folder / LAST, folder / PREVIOUS)
        add_name(folder / BEST, folder / LAST)
    else:
        checkpoint.save(folder / LAST, state, folder / PREVIOUS)
