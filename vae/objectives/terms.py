"""The terms of the ELBO, and what every objective is.

Distortion is summed over pixels, rate over latents, and nothing is ever averaged over either; a loss is a mean over
images. All are in nats. The words are those of Alemi et al. (2018), "Fixing a Broken ELBO".
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.vae import VAE
from vae.objectives.schedules import Schedule
from vae.probability.distributions import DiagonalNormal


@dataclass(frozen=True)
class Terms:
    """What an image costs, in nats."""

    distortion: Float[Tensor, " batch"]  # -ln p(x|z), summed over pixels
    rate: Float[Tensor, "batch latent"]  # KL(q(z|x) || N(0, I)) of each latent

    @property
    def elbo(self) -> Float[Tensor, " batch"]:
        """The evidence lower bound on ln p(x), one sample of it, in nats."""
        return -self.distortion - self.rate.sum(1)


@dataclass(frozen=True)
class DrawnTerms(Terms):
    """The terms of a batch, and what they were computed from: what an objective is called with.

    The distortion of several samples is their mean.

    Attributes:
        generator: the run's own generator. What an objective draws from it is drawn again by a resumed run.
            None where nothing is trained.
        logged: the numbers that `log` was given.
    """

    posterior: DiagonalNormal  # q(z|x)
    z: Float[Tensor, "*samples batch latent"]
    log_likelihood: Float[Tensor, "*samples batch"]  # ln p(x|z)
    generator: torch.Generator | None = None
    logged: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    def log(self, **numbers: Float[Tensor, "..."] | float) -> None:
        """Have numbers of this step logged as `train/<name>`, at the steps that are logged.

        Raises:
            ValueError: one is not a single number.
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
    """Encode, sample once (or as often as the noise has it), decode.

    Args:
        vae: the model.
        x: images with pixels in [0, 1].
        noise: standard normal.
        posterior: q(z|x), if `x` is encoded already.
    """
    posterior = posterior or vae.encode(x)
    z = posterior.rsample(noise)
    log_likelihood = vae.log_likelihood(x, z)  # ln p(x|z)
    distortion = -log_likelihood if z.ndim == 2 else -log_likelihood.mean(0)
    return DrawnTerms(distortion, posterior.kl_to_standard(), posterior, z, log_likelihood)


@runtime_checkable
class Objective(Protocol):
    """What the loop minimises: a file of this package each, chosen by `build_objective`.

    It is computed in fp32, outside of any autocast. One that learns, such as a discriminator or a controller, makes
    its own step in the call, and is `Stateful`. A schedule that is an attribute is logged under the attribute's name,
    and no epoch before its end is the best.
    """

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The samples of z of an image: () for one, (k,) for several."""
        ...

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image. Numbers to log beside it are given to `terms.log`."""
        ...

    def rate_weight(self, step: int) -> float:
        """The weight of the rate at a step, or 1 where the rate enters otherwise.

        What is called `loss` in logs, summaries and reports is distortion + weight * rate, with the weight of the
        last step that was made. The value of the call, penalties included, is logged as `objective`.
        """
        ...


class Stateful(ABC):
    """An objective that learns: what it has learnt is part of a checkpoint."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """A tree of tensors, numbers and texts."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""


def schedules_of(objective: Objective) -> dict[str, Schedule]:
    """The schedules among the fields of an objective, by the name of the field."""
    return {name: part for name, part in vars(objective).items() if isinstance(part, Schedule)}


def settled(objective: Objective) -> int:
    """The first step at which all schedules of an objective have ended."""
    return max((schedule.steps for schedule in schedules_of(objective).values()), default=0)


def mean_over_images(per_image: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean, divided before it is summed: a batch whose terms have run away to 1e38 still has a finite one."""
    return (per_image / per_image.numel()).sum()


def normalised_beta(beta: float, latent_dim: int, pixels: int) -> float:
    """beta * M / N, the weight of the rate if rate and distortion were means (Higgins et al., 2017).

    Example:
        >>> normalised_beta(4.0, latent_dim=10, pixels=64 * 64)
        0.009765625
    """
    return beta * latent_dim / pixels
