"""One step of training: the loss of a batch, its gradient, and the optimizer's step."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from vae.model.reset import reset_lost_latents
from vae.model.vae import VAE
from vae.objectives import DrawnTerms, Objective, elbo_terms
from vae.probability.prior import standard_normal

TermsOfStep = Callable[[VAE, Tensor, Tensor], DrawnTerms]


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


def terms_of_step(
    vae: VAE, x: Float[Tensor, "batch channels height width"], noise: Float[Tensor, "*samples batch latent"]
) -> DrawnTerms:
    """`elbo_terms`, after lost latents are reset, which may change the encoder's last bias."""
    return elbo_terms(vae, x, noise, reset_lost_latents(vae, vae.encode(x)))


def backpropagate(
    vae: VAE,
    x: Float[Tensor, "batch channels height width"],
    objective: Objective,
    step: int,
    generator: torch.Generator,
    *,
    bf16: bool = False,
    terms_of_step: TermsOfStep = terms_of_step,
) -> StepNumbers:
    """Add the gradient of the loss to the parameters' `grad`.

    Args:
        vae: the model.
        x: a batch of images.
        objective: gives the loss.
        step: steps made before this one.
        generator: of the noise of z, and of what the objective draws.
        bf16: compute the networks' matrix multiplications in bfloat16; the loss is in fp32 all the same.
        terms_of_step: the function of this name, or the same compiled.
    """
    noise = standard_normal((*objective.sample_shape, len(x), vae.latent_dim), generator, x.device)
    with torch.autocast(x.device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
        terms = terms_of_step(vae, x, noise)
    terms = replace(terms, generator=generator)
    loss = objective(terms, step)
    loss.backward()
    return StepNumbers(loss.detach(), terms.distortion.detach(), terms.rate.detach(), terms.logged)


def descend(vae: nn.Module, optimizer: Optimizer, gradient_norm_limit: float | None) -> None:
    """Move the parameters down their gradients, which are scaled down where they are longer than the limit."""
    if gradient_norm_limit is not None:
        clip_grad_norm_(vae.parameters(), gradient_norm_limit)
    optimizer.step()


def compiled_terms() -> TermsOfStep:
    """`terms_of_step` by torch.compile: encode, sample, decode and likelihood are one graph for each batch size."""
    compiled: TermsOfStep = torch.compile(terms_of_step, dynamic=False)
    return compiled
