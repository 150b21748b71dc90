"""A user's loss is tried on one batch before training, so that a mistake in it is found within seconds."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vae.model.vae import VAE
from vae.objectives import Objective, elbo_terms
from vae.objectives.terms import DrawnTerms
from vae.probability.prior import standard_normal
from vae.training.state import MEANS


class TrialError(ValueError):
    """A loss that cannot be trained. Its text is one line: the rule, and what was given."""


def try_objective(objective: Objective, vae: VAE, x: Tensor) -> list[str]:
    """Compute an objective and its gradient once. The model and all generators stay as they are.

    Args:
        objective: a copy that is not trained afterwards, because the call may change it.
        vae: the model.
        x: a batch of images (batch, channels, height, width).

    Returns:
        Warnings: which global generators the objective draws from.

    Raises:
        TrialError: the objective does not return a loss, or the gradient is zero or not finite.
    """
    vae = copy.deepcopy(vae).train()
    generator = torch.Generator(x.device).manual_seed(0)
    noise = standard_normal((*objective.sample_shape, len(x), vae.latent_dim), generator, x.device)
    with kept_generators():
        terms = replace(elbo_terms(vae, x, noise), generator=generator)
        before = generator_states()
        loss = objective(terms, 0)
        drawn_from = [name for name, state in generator_states().items() if state != before[name]]
        _refuse_no_loss(loss, terms)
        loss.backward()
    gradients = [p.grad for p in vae.parameters() if p.grad is not None]
    if not any(bool(gradient.any()) for gradient in gradients):
        raise TrialError("the loss must depend on the parameters of the model, its gradient is zero for all of them")
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        raise TrialError("the gradient of the loss must be finite, it holds NaN or infinity")
    return [
        f"the objective draws random numbers from {name}. Draw from terms.generator instead: "
        + ("what other code draws would change the run" if name == "torch" else "a resumed run would draw others")
        for name in drawn_from
    ]


def _refuse_no_loss(loss: object, terms: DrawnTerms) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0 or not loss.is_floating_point():
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TrialError(
            f"a loss must be one floating-point number, of shape (), got {found}. Return the mean over the images"
        )
    if not bool(loss.isfinite()):
        raise TrialError(f"a loss must be finite, got {loss.item()}. Look for a division by zero or an overflow")
    if not loss.requires_grad:
        raise TrialError(
            "the loss must depend on the terms, got a number without a gradient. Leave out detach and no_grad"
        )
    taken = sorted(MEANS & terms.logged.keys())
    if taken:
        raise TrialError(f"terms.log must get names that the loop does not use, got {', '.join(taken)}. Rename it")


def generator_states() -> dict[str, str]:
    """The states of the global generators, by the name of their library."""
    return {
        "torch": str(torch.get_rng_state().tolist()),
        "numpy": str(np.random.get_state()),
        "random": str(random.getstate()),
    }


@contextmanager
def kept_generators() -> Iterator[None]:
    """Restore the global generators at the end."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
