"""The loss of a batch and its gradient: as they stand, and compiled."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.reset import reset_lost_latents
from vae.model.vae import VAE
from vae.objectives import DrawnTerms, Objective, Stateful, Terms, elbo_terms, schedules_of
from vae.training.products import products_in_bf16


@runtime_checkable
class Backpropagate(Protocol):
    """`backpropagate`, or what does the same."""

    def __call__(
        self, vae: VAE, x: Tensor, noise: Tensor, objective: Objective, step: int, *, bf16: bool
    ) -> tuple[Float[Tensor, ""], Terms]:
        """Leave the gradient in the parameters; return the loss and its terms."""
        ...


def terms_of_step(
    vae: VAE, x: Float[Tensor, "batch channels height width"], noise: Float[Tensor, "*samples batch latent"]
) -> DrawnTerms:
    """`elbo_terms`, after lost latents are reset. This may change the encoder's last bias."""
    return elbo_terms(vae, x, noise, reset_lost_latents(vae, vae.encode(x)))


def backpropagate(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    noise: Float[Tensor, "*samples batch latent"],
    objective: Objective,
    step: int,
    *,
    bf16: bool,
    terms_of_step: Callable[[VAE, Tensor, Tensor], DrawnTerms] = terms_of_step,
) -> tuple[Float[Tensor, ""], Terms]:
    """Leave the gradient of the loss in the parameters, which have none yet.

    Returns:
        The loss in nats per image, and the terms that it is of.
    """
    forward, backward = products_in_bf16(vae, x.device) if bf16 else (nullcontext(), nullcontext())
    with forward:
        terms = terms_of_step(vae, x, noise)
    loss = objective(terms, step)
    with backward:
        loss.backward()
    return loss.detach(), Terms(terms.distortion.detach(), terms.rate.detach())


def compiled() -> Backpropagate:
    """`backpropagate` as one graph: torch sees the way forward and the way back at once, and joins what it can.

    An objective that learns does so outside of any graph: of its step only the terms are compiled. Graphs are of one
    batch size: the last batch of an epoch, which may be smaller, gets its own.
    """
    if joins_both_ways():
        import torch._dynamo.config as dynamo  # a second, for those who compile

        if hasattr(dynamo, "trace_autograd_ops"):  # no public name: a later torch may do without, and refuse to set it
            dynamo.trace_autograd_ops = True  # of this thread
    whole = torch.compile(backpropagate, dynamic=False)
    only_terms = torch.compile(terms_of_step, dynamic=False)

    def in_graphs(
        vae: VAE, x: Tensor, noise: Tensor, objective: Objective, step: int, *, bf16: bool
    ) -> tuple[Tensor, Terms]:
        if isinstance(objective, Stateful):
            return backpropagate(vae, x, noise, objective, step, bf16=bf16, terms_of_step=only_terms)
        return whole(vae, x, noise, held(objective, step, x.device), 0, bf16=bf16)

    return in_graphs


def joins_both_ways() -> bool:
    """Whether torch makes one graph of loss and `backward()`. Of those before 2.14 it is not known that it is right.

    They make two, with the engine of autograd between them.
    """
    return torch.__version__ >= "2.14"


@dataclass(frozen=True)
class Held:
    """A schedule's number of one step, as a tensor: of a float a graph would be made for each."""

    number: Float[Tensor, ""]
    steps: ClassVar[int] = 0

    def __call__(self, step: int) -> Tensor:  # noqa: ARG002
        """The number."""
        return self.number


def held(objective: Objective, step: int, device: torch.device) -> Objective:
    """The same objective, one that does not learn, with its schedules held at a step."""
    schedules = schedules_of(objective).items()
    now = {name: Held(torch.full((), schedule(step), device=device)) for name, schedule in schedules}
    same: Objective = replace(objective, **now)  # type: ignore[type-var]
    return same
