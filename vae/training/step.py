"""The loss of a batch and its gradient."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vae.model.gates import MultiRateVAE
from vae.model.reset import reset_lost_latents
from vae.model.vae import VAE
from vae.objectives import DrawnTerms, Objective, elbo_terms
from vae.probability.prior import standard_normal
from vae.training.state import Sums

TermsOfStep = Callable[[VAE, Tensor, Tensor], DrawnTerms]


@dataclass(frozen=True)
class StepNumbers:
    """The loss and the terms of a batch, in nats, without their graph."""

    loss: Float[Tensor, ""]  # the mean over the images
    distortion: Float[Tensor, " batch"]  # -ln p(x|z)
    rate: Float[Tensor, "batch latent"]  # KL(q(z|x) || N(0, I)) of each latent
    logged: dict[str, Float[Tensor, ""]]  # what the objective passed to `terms.log`

    @property
    def sums(self) -> Sums:
        """The sums over the images of the batch."""
        images = len(self.distortion)
        count = torch.full_like(self.loss, images)
        return torch.cat([torch.stack([count, self.loss * images, self.distortion.sum()]), self.rate.sum(0)])


def terms_of_step(
    vae: VAE, x: Float[Tensor, "batch channels height width"], noise: Float[Tensor, "*samples batch latent"]
) -> DrawnTerms:
    """`elbo_terms` after `reset_lost_latents`, which may change the encoder's last bias."""
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
    """Compute the loss of a batch and add its gradient to the parameters' `grad`.

    Args:
        vae: the model.
        x: a batch of images.
        objective: computes the loss from the terms.
        step: the number of steps before this one.
        generator: draws the noise of z, the betas of a multi-rate model, and what the objective draws.
        bf16: whether the networks' matrix multiplications are in bfloat16. The loss is in fp32 in any case.
        terms_of_step: the function of this name, or its compiled form.
    """
    noise = standard_normal((*objective.sample_shape, len(x), vae.latent_dim), generator, x.device)
    betas = vae.draw_betas(len(x), generator) if isinstance(vae, MultiRateVAE) else None
    with (
        torch.autocast(x.device.type, dtype=torch.bfloat16) if bf16 else nullcontext(),
        vae.conditioned(betas) if isinstance(vae, MultiRateVAE) and betas is not None else nullcontext(),
    ):
        terms = terms_of_step(vae, x, noise)
    terms = replace(terms, generator=generator, betas=betas)
    loss = objective(terms, step)
    loss.backward()
    return StepNumbers(loss.detach(), terms.distortion.detach(), terms.rate.detach(), terms.logged)


def compiled_terms() -> TermsOfStep:
    """`terms_of_step` after `torch.compile`. Each batch size has a graph of its own."""
    compiled: TermsOfStep = torch.compile(terms_of_step, dynamic=False)
    return compiled
