"""The whole state of a run, and how it reaches the disk."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE
from vae.objectives import Stateful
from vae.objectives.optimizers import Optimizer
from vae.probability.finite import NonFiniteError
from vae.run import checkpoint
from vae.run.files import add_name
from vae.run.names import BEST, CHECKPOINTS, LAST, PREVIOUS

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
    logged_lines: int | None = 0  # of metrics.jsonl, as `Tracker.lines` counts them; None in an older checkpoint
    learner: Stateful | None = None  # the objective, where it learns
    configuration: str = ""  # `stored.fingerprint` of the run, where it is known

    def state_dict(self) -> dict[str, Any]:
        """What `checkpoint.save` takes."""
        return {
            "vae": self.vae.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "global_generators": global_generators(self.generator.device),
            "configuration": self.configuration,
            "interval_sums": self.interval_sums,
            "epoch_sums": self.epoch_sums,
            **({} if self.learner is None else {"objective": self.learner.state_dict()}),
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `checkpoint.load` gave. It is checked as a whole first; a refused one changes nothing.

        Raises:
            CheckpointError: it belongs to another model, or is no state of a run.
        """
        if "interval_sums" not in state:
            raise checkpoint.CheckpointError(
                "the checkpoint is of an older version, whose training cannot be continued bit for bit. "
                "Evaluate the run, or start a new one"
            )
        refuse_other_configuration(state, self.configuration)
        known = {"configuration": "", "global_generators": global_generators(self.generator.device)}
        state = {"logged_lines": None} | known | state
        problem = difference(self.state_dict() | {"logged_lines": state["logged_lines"]}, state)
        problem = problem or problem_of_numbers(state) or self._problem_of_generators(state)
        if problem is not None:
            raise unfit(problem)
        try:
            self.vae.load_state_dict(state["vae"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            set_global_generators(self.generator.device, state["global_generators"])
            self.interval_sums.copy_(state["interval_sums"])
            self.epoch_sums.copy_(state["epoch_sums"])
            if self.learner is not None:
                self.learner.load_state_dict(state["objective"])
        except (KeyError, RuntimeError, ValueError) as error:  # of a learner with rules of its own
            raise unfit(" ".join(str(error).split())[:200]) from None
        for name in _NUMBERS:
            setattr(self, name, state[name])

    def _problem_of_generators(self, state: dict[str, Any]) -> str | None:
        try:
            torch.Generator(self.generator.device).set_state(state["generator"])
            torch.Generator().set_state(state["global_generators"]["cpu"])
        except RuntimeError as error:
            return f"'generator' is no state of a generator: {' '.join(str(error).split())[:100]}"
        return None


def global_generators(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that torch's functions draw from if they are given none, as an objective may do."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_global_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Go on with the states that `global_generators` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


def load_parameters(vae: VAE, state: dict[str, Any]) -> None:
    """Give the model the parameters of a checkpoint, and nothing else of it.

    Raises:
        CheckpointError: it holds none, or those of another model.
    """
    problem = difference({"vae": vae.state_dict()}, state)
    if problem is None and not all(bool(numbers.isfinite().all()) for numbers in floats(state["vae"])):
        problem = "a parameter is no finite number"
    if problem is not None:
        raise unfit(problem)
    vae.load_state_dict(state["vae"])


def refuse_other_configuration(state: dict[str, Any], configuration: str) -> None:
    """Refuse a checkpoint that another run has saved, even if the model has the same shape.

    One that names no configuration is accepted.

    Raises:
        CheckpointError: it was saved by a run of another configuration.
    """
    saved = state.get("configuration")
    if saved and configuration and saved != configuration:
        raise unfit("it was saved by a run of another configuration")


def step_of(state: dict[str, Any]) -> int:
    """The step of a checkpoint.

    Raises:
        CheckpointError: it has none.
    """
    step = state.get("step")
    if type(step) is not int or not 0 <= step < LARGEST_COUNT:
        raise unfit(f"'step' is {step}")
    return step


def load_learner(learner: Stateful, state: dict[str, Any]) -> None:
    """Give an objective that learns what a checkpoint holds of it.

    Raises:
        CheckpointError: it holds nothing of it, or of another one.
    """
    problem = difference({"objective": learner.state_dict()}, state)
    try:
        if problem is None:
            learner.load_state_dict(state["objective"])
    except (KeyError, RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
    if problem is not None:
        raise unfit(problem)


def unfit(problem: str) -> checkpoint.CheckpointError:
    """The error of a checkpoint of another model, or of none."""
    return checkpoint.CheckpointError(
        f"the checkpoint does not fit this model: {problem}. Resume the run it came from"
    )


def difference(expected: Any, given: Any, name: str = "") -> str | None:
    """Where `given` is not laid out as `expected`, a tree of tensors and numbers; None if it is everywhere.

    It may have more at its top. An optimiser's state may be in the layout of `torch.optim`, which leaves out what has
    made no step.
    """
    match expected:
        case dict():
            if not isinstance(given, dict):
                return f"'{name}' is not a dictionary"
            if expected.keys() == {"state"} and "param_groups" in given and isinstance(given.get("state"), dict):
                given = {"state": expected["state"] | given["state"]}
            missing = [key for key in expected if key not in given]
            more = [] if name == "" else [key for key in given if key not in expected]
            if missing or more:
                below = f"{name}.{(missing or more)[0]}".lstrip(".")[:100]
                return f"'{below}' is missing" if missing else f"'{below}' is not of it"
            parts = (difference(expected[key], given[key], f"{name}.{key}".lstrip(".")) for key in expected)
            return next((problem for problem in parts if problem is not None), None)
        case Tensor():
            if not isinstance(given, Tensor) or given.layout is not torch.strided or given.is_meta:
                return f"'{name}' is not a tensor of numbers"
            if given.shape != expected.shape:
                return f"'{name}' has shape {tuple(given.shape)}, not {tuple(expected.shape)}"
            return None if given.dtype is expected.dtype else f"'{name}' is {given.dtype}, not {expected.dtype}"
    kind = type(expected)
    return None if type(given) is kind else f"'{name}' is not a number of type {kind.__name__}"


def problem_of_numbers(state: dict[str, Any]) -> str | None:
    """What is wrong with the numbers of a state that is laid out well; None if nothing is."""
    for name in ("step", "best_epoch", "epochs_without_better", "seconds"):
        if not 0 <= state[name] < LARGEST_COUNT:
            return f"'{name}' is {state[name]}"
    lines = state["logged_lines"]
    if lines is not None and not (type(lines) is int and lines >= 0):
        return f"'logged_lines' is {lines}"
    if math.isnan(state["best_elbo"]) or state["best_elbo"] == math.inf:
        return f"'best_elbo' is {state['best_elbo']}"
    if not all(bool(numbers.isfinite().all()) for numbers in floats(state)):
        return "a parameter, a moment of its gradient or a sum of the loss is no finite number"
    return None


LARGEST_COUNT = 2**53
_NUMBERS = ("step", "seconds", "best_elbo", "best_epoch", "epochs_without_better", "logged_lines")


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
    if best:  # first, so that a `last` never lacks the `best` that it tells of
        checkpoint.save(folder / BEST, state)
        if (folder / LAST).is_file():
            add_name(folder / LAST, folder / PREVIOUS)
        add_name(folder / BEST, folder / LAST)
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
