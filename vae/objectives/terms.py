"""The terms of the ELBO, and the protocol of objectives.

The distortion is summed over pixels and the rate over latents. A loss is a mean over images. All are in nats.
Distortion and rate are the words of Alemi et al. (2018), "Fixing a Broken ELBO".
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE
from vae.objectives.controller import Controller
from vae.objectives.schedules import Schedule
from vae.probability.distributions import DiagonalNormal


@dataclass(frozen=True)
class Terms:
    """The two terms of the negative ELBO of each image, in nats."""

    distortion: Float[Tensor, " batch"]  # -ln p(x|z), summed over pixels
    rate: Float[Tensor, "batch latent"]  # KL(q(z|x) || N(0, I)) of each latent

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The evidence lower bound on ln p(x), estimated from the samples of z, in nats."""
        return -self.distortion - self.rate.sum(1)


@dataclass(frozen=True)
class DrawnTerms(Terms):
    """The terms of a batch with what they were computed from: the argument of an objective.

    With several samples of z, the distortion is their mean.
    """

    posterior: DiagonalNormal  # q(z|x)
    z: Float[Tensor, "*samples batch latent"]
    log_likelihood: Float[Tensor, "*samples batch"]  # ln p(x|z)
    # The run's generator, whose state is in the checkpoints. An objective draws from it. None outside of training.
    generator: torch.Generator | None = None
    betas: Float[Tensor, " batch"] | None = None  # of each image, if the model has drawn them
    logged: dict[str, Float[Tensor, ""]] = field(default_factory=dict)  # by `log`

    def log(self, **numbers: Float[Tensor, "..."] | float) -> None:
        """Log single numbers of this step as `train/<name>`, if the step is one that is logged.

        Raises:
            ValueError: a tensor has more than one entry.
        """
        for name, number in numbers.items():
            value = torch.as_tensor(number).detach()
            if value.ndim != 0:
                raise ValueError(f"terms.log takes single numbers, got {name} of shape {tuple(value.shape)}")
            self.logged[name] = value


def elbo_terms(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    noise: Float[Tensor, "*samples batch latent"],
    posterior: DiagonalNormal | None = None,
) -> DrawnTerms:
    """Encode, sample and decode.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        noise: standard normal. A first axis of samples draws several z of each image.
        posterior: q(z|x), if `x` is already encoded.
    """
    posterior = posterior or vae.encode(x)
    z = posterior.rsample(noise)
    log_likelihood = vae.log_likelihood(x, z)  # ln p(x|z)
    distortion = -log_likelihood if z.ndim == 2 else -log_likelihood.mean(0)
    return DrawnTerms(distortion, posterior.kl_to_standard(), posterior, z, log_likelihood)


@runtime_checkable
class Objective(Protocol):
    """The loss of a batch as a function of its terms and the step, computed in fp32.

    An objective that learns, such as one with a discriminator or a controller, makes its own step when it is called,
    and is `Stateful`. Attributes that are schedules are logged by their names. No epoch before their end is the best.
    """

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The number of samples of z per image: () for one, (k,) for k."""
        ...

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image. Passes further numbers to `terms.log`."""
        ...

    def rate_weight(self, step: int) -> float:
        """The weight of the rate at a step; 1 if the objective has no such weight.

        The `loss` in logs, summaries and reports is distortion + weight * rate, with the weight of the last step made.
        The value of the call, which includes penalties, is logged as `objective`.
        """
        ...


class Stateful(ABC):
    """An objective that learns. Its state is part of a checkpoint."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The state: a tree of tensors, numbers and texts."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""


def schedules_of(objective: Objective) -> dict[str, Schedule]:
    """The attributes of an objective that are schedules, by name."""
    return {name: part for name, part in vars(objective).items() if isinstance(part, Schedule)}


def controllers_of(objective: Objective) -> list[Controller]:
    """The attributes of an objective that are controllers."""
    return [part for part in vars(objective).values() if isinstance(part, Controller)]


def schedules_end(objective: Objective) -> int:
    """The first step at which all schedules of an objective have ended."""
    return max((schedule.steps for schedule in schedules_of(objective).values()), default=0)


def mean_over_images(per_image: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean. Each entry is divided before the sum, so that entries near 1e38 do not overflow."""
    return (per_image / per_image.numel()).sum()


def normalised_beta(beta: float, latent_dim: int, pixels: int) -> float:
    """beta * M / N: the weight if rate and distortion were means over latents and pixels (Higgins et al., 2017).

    Example:
        >>> normalised_beta(4.0, latent_dim=10, pixels=64 * 64)
        0.009765625
    """
    return beta * latent_dim / pixels
