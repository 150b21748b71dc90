"""UDR: how similar the latents of models with different seeds are. It needs no factors.

Duan et al. (2020), "Unsupervised Model Selection for Variational Disentangled Representation Learning". The latents of
disentangled models differ between seeds only in their order and sign. Those of entangled models differ in everything.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from vae.disentanglement.representation import ratio

INFORMATIVE_NATS = 0.01  # mean KL; a latent below carries no information
LASSO_PENALTY = 0.1


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
    standard = [StandardScaler().fit_transform(code) * used for code, used in zip(codes, informative, strict=True)]
    likeness = np.full((len(codes), len(codes)), np.nan)
    for i, j in zip(*np.nonzero(~np.eye(len(codes), dtype=bool)), strict=True):
        strength = by_lasso(standard[i], standard[j])
        likeness[i, j] = relative_strength(strength[np.ix_(informative[i], informative[j])])
    scores: Float[np.ndarray, " models"] = np.nanmedian(likeness, axis=0)
    return scores


def by_lasso(
    one: Float[np.ndarray, "images latents"], other: Float[np.ndarray, "images latents"]
) -> Float[np.ndarray, "latents latents"]:
    """The absolute coefficient of each latent of `one` in a lasso that predicts each latent of `other`."""
    used: Float[np.ndarray, "latents latents"] = np.abs(Lasso(alpha=LASSO_PENALTY).fit(one, other).coef_).T
    return used.reshape(one.shape[1], other.shape[1])


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
