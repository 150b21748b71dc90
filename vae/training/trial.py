"""A loss of the user's own is tried on one batch before training, so that its mistakes cost seconds and one line."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from vae.model.vae import VAE
from vae.objectives import Objective, elbo_terms
from vae.objectives.terms import DrawnTerms
from vae.probability.prior import standard_normal
from vae.training.state import MEANS


class TrialError(ValueError):
    """A part that cannot be trained with. Its text is one line: the rule, and what was got."""


def try_objective(objective: Objective, vae: VAE, x: Tensor) -> list[str]:
    """Call an objective once with a batch, and take the gradient of what it gives.

    Neither the model nor any generator is changed. The objective may be: give one that is not trained with.

    Args:
        objective: to be tried.
        vae: the model.
        x: a batch of images (batch, channels, height, width).

    Returns:
        Warnings: which generators it draws from besides the run's own.

    Raises:
        TrialError: what it gives is no loss.
    """
    vae = copy.deepcopy(vae).train()
    generator = torch.Generator(x.device).manual_seed(0)
    noise = standard_normal((*objective.sample_shape, len(x), vae.latent_dim), generator, x.device)
    with kept_generators():
        terms = elbo_terms(vae, x, noise)
        terms = DrawnTerms(**{**vars(terms), "generator": generator})
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
        raise TrialError(f"a loss must be one floating-point number, a tensor of shape (), got {found}")
    if not bool(loss.isfinite()):
        raise TrialError(f"a loss must be finite, got {loss.item()}")
    if not loss.requires_grad:
        raise TrialError("the loss must depend on the terms, got a number without a gradient")
    taken = sorted(MEANS & terms.logged.keys())
    if taken:
        raise TrialError(f"terms.log must be given names that are free, got {', '.join(taken)}")


def generator_states() -> dict[str, bytes]:
    """The states of the generators of the process, by the name of their library."""
    numpys = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr([(key, np.asarray(value).tolist()) for key, value in numpys["state"].items()]).encode(),
        "random": repr(random.getstate()).encode(),
    }


@contextmanager
def kept_generators() -> Iterator[None]:
    """Leave the generators of the process as they were."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
