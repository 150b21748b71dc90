"""One step of training: the loss of a batch, its gradient, and the optimizer's step."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from vae.model.vae import VAE
from vae.objectives import DrawnTerms, Objective, elbo_terms

ElboTerms = Callable[[VAE, Tensor, Tensor], DrawnTerms]


@dataclass(frozen=True)
class StepNumbers:
    """What a step was about, without its graph, in nats.

    Attributes:
        loss: what was minimised: the mean over the images of the batch.
        distortion: -ln p(x|z) of each image.
        rate: KL(q(z|x) || N(0, I)) of each latent of each image.
        logged: what the objective gave to `terms.log`.
    """

    loss: Float[Tensor, ""]
    distortion: Float[Tensor, " batch"]
    rate: Float[Tensor, "batch latent"]
    logged: dict[str, Float[Tensor, ""]]


def backpropagate(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    objective: Objective,
    step: int,
    generator: torch.Generator,
    *,
    bf16: bool = False,
    elbo_terms: ElboTerms = elbo_terms,
) -> StepNumbers:
    """Add the gradient of the loss to the parameters' `grad`.

    Args:
        vae: the model.
        x: a batch of images.
        objective: gives the loss.
        step: steps made before this one.
        generator: of the noise of z, and of what the objective draws.
        bf16: compute the networks' matrix multiplications in bfloat16; the loss is in fp32 all the same.
        elbo_terms: the function of this name, or the same compiled.
    """
    noise = torch.randn(*objective.sample_shape, len(x), vae.latent_dim, generator=generator, device=x.device)
    with torch.autocast(x.device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
        terms = elbo_terms(vae, x, noise)
    terms = replace(terms, generator=generator)
    loss = objective(terms, step)
    loss.backward()
    return StepNumbers(loss.detach(), terms.distortion.detach(), terms.rate.detach(), terms.logged)


def descend(vae: nn.Module, optimizer: Optimizer, gradient_norm_limit: float | None) -> None:
    """Move the parameters down their gradients, which are scaled down where they are longer than the limit."""
    if gradient_norm_limit is not None:
        clip_grad_norm_(vae.parameters(), gradient_norm_limit)
    optimizer.step()


def compiled_terms() -> ElboTerms:
    """`elbo_terms` by torch.compile: encode, sample, decode and the likelihood as one graph for each batch size."""
    compiled: ElboTerms = torch.compile(elbo_terms, dynamic=False)
    return compiled
