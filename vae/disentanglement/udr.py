"""UDR: how similar the latents of models with different seeds are. It needs no factors.

Duan et al. (2020), "Unsupervised Model Selection for Variational Disentangled Representation Learning". The latents of
disentangled models differ between seeds only in their order and sign. Those of entangled models differ in everything.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vae.disentanglement.representation import ratio

INFORMATIVE_NATS = 0.01  # mean KL; a latent below carries no information
LASSO_PENALTY = 0.1
CONVERGED = 1e-6  # largest change of a coefficient in a round of coordinate descent
MOST_ROUNDS = 1_000


def udr(
    codes: Sequence[Float[np.ndarray, "images latents"]],
    rates: Sequence[Float[np.ndarray, " latents"]],
) -> Float[np.ndarray, " models"]:
    """The score of each model: the median of its similarity to the others.

    It lies between 0 and 0.9. The similarity of two models is computed from the coefficients of a lasso. Its penalty
    shrinks them, so identical models have 0.9.

    Args:
        codes: posterior means of the same images by each model.
        rates: the mean KL of each latent of each model, in nats.

    Raises:
        ValueError: there are fewer than two models.
    """
    if len(codes) < 2:
        raise ValueError(f"UDR compares models of two seeds or more, got {len(codes)}")
    informative = [rate > INFORMATIVE_NATS for rate in rates]
    standard = [standardised(code[:, used]) for code, used in zip(codes, informative, strict=True)]
    ends = np.cumsum([code.shape[1] for code in standard])[:-1]
    every = np.concatenate(standard, axis=1)
    likeness = np.full((len(codes), len(codes)), np.nan)
    for i, code in enumerate(standard):
        for j, strength in enumerate(np.split(by_lasso(code, every), ends, axis=1)):
            if j != i:
                likeness[i, j] = relative_strength(strength)
    scores: Float[np.ndarray, " models"] = np.nanmedian(likeness, axis=0)
    return scores


def by_lasso(
    one: Float[np.ndarray, "images latents"], others: Float[np.ndarray, "images targets"]
) -> Float[np.ndarray, "latents targets"]:
    """The absolute coefficient of each latent of `one` in a lasso that predicts each column of `others`.

    All lassos are solved at once by coordinate descent (Friedman et al., 2007), on covariances in place of images.

    Args:
        one: standardised, as `others` are.
        others: the targets.
    """
    covariance, wanted = one.T @ one / len(one), one.T @ others / len(one)
    weights = np.zeros_like(wanted)
    moving = np.arange(wanted.shape[1])  # the targets whose coefficients still change
    for _ in range(MOST_ROUNDS):
        before, aims = weights[:, moving], wanted[:, moving]
        now = before.copy()
        for k in np.flatnonzero(covariance.diagonal()):
            left = aims[k] - covariance[k] @ now + covariance[k, k] * now[k]
            now[k] = np.sign(left) * np.maximum(np.abs(left) - LASSO_PENALTY, 0) / covariance[k, k]
        weights[:, moving] = now
        moving = moving[(np.abs(now - before) > CONVERGED).any(0)]
        if not len(moving):
            break
    strength: Float[np.ndarray, "latents targets"] = np.abs(weights)
    return strength


def standardised(codes: Float[np.ndarray, "images latents"]) -> Float[np.ndarray, "images latents"]:
    """The codes with mean 0 and variance 1. A latent that does not vary is 0."""
    apart = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    deviation = apart.std(0)
    varies = deviation > 1e-12 * np.abs(codes).max(0, initial=0.0)
    found: Float[np.ndarray, "images latents"] = apart * varies / np.where(varies, deviation, 1.0)
    return found


def relative_strength(strength: Float[np.ndarray, "one other"]) -> float:
    """1 if every latent has exactly one counterpart; 0 if there is no latent.

    Example:
        >>> relative_strength(np.eye(3)), relative_strength(np.zeros((0, 3)))
        (1.0, 0.0)
    """
    if strength.size == 0:
        return 0.0
    halves = [ratio(strength.max(axis=axis) ** 2, strength.sum(axis=axis)).mean() for axis in (0, 1)]
    return float(np.mean(halves))
