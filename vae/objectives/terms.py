"""The terms of the ELBO, and what every objective is.

Distortion is summed over pixels, rate over latents, and nothing is ever averaged over either; a loss is a mean over
images. All are in nats. The words are those of Alemi et al. (2018), "Fixing a Broken ELBO".
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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
    """The terms, with the posterior and the samples they are of. The distortion of several samples is their mean."""

    posterior: DiagonalNormal  # q(z|x)
    z: Float[Tensor, "*samples batch latent"]
    log_likelihood: Float[Tensor, "*samples batch"]  # ln p(x|z)


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
    """What the loop minimises. A file of this room each; `build.build_objective` chooses.

    The call computes the loss in fp32, outside of any autocast. One that learns (a discriminator, a controller) does
    so in its call, and is `Stateful`. Any other is a dataclass, to whose loss the step means no more than what the
    schedules among its fields make of it: compiled, they are held at the step (`gradients.held`).
    """

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The samples of z an image: () for one, (k,) for several."""
        ...

    @property
    def settled(self) -> int:
        """The first step at which the loss is the one that was asked for: its schedules have ended."""
        ...

    def __call__(self, terms: DrawnTerms, step: int) -> Float[Tensor, ""]:
        """The mean loss of a batch, in nats per image."""
        ...

    def rate_factor(self, step: int) -> float:
        """The weight of the rate at a step, or 1 where the rate enters otherwise.

        What is called `loss` in logs, summaries and reports is distortion + weight * rate, with the weight of the
        last step that was made. The value of the call, penalties included, is logged as `objective`.
        """
        ...

    def scalars(self, step: int) -> dict[str, float]:
        """Numbers to log beside the terms, by name. May wait for the device: it is asked at logged steps only."""
        ...


class Stateful(ABC):
    """An objective that learns: what it has learnt is part of a checkpoint, and it is never compiled.

    A class, no protocol, for the reason of `schedules.Schedule`.
    """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """A tree of tensors, numbers and texts."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""


def schedules_of(objective: Objective) -> dict[str, Schedule]:
    """The schedules among the fields of an objective, by the name of the field."""
    return {name: part for name, part in vars(objective).items() if isinstance(part, Schedule)}


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
