"""UDR: how alike are the latents of models that differ in their seed only? Needs no factors.

Duan et al. (2020), "Unsupervised Model Selection for Variational Disentangled Representation Learning". Entangled
models differ from seed to seed, disentangled ones but in order and sign.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from vae.disentanglement.discretise import ratio, varies

INFORMATIVE_NATS = 0.01  # a latent whose mean KL is below carries nothing
LASSO_PENALTY = 0.1


def udr(
    codes: Sequence[Float[np.ndarray, "images latents"]],
    rates: Sequence[Float[np.ndarray, " latents"]],
    *,
    lasso: bool = True,
) -> Float[np.ndarray, " models"]:
    """The score of each model, in [0, 1]: the median of its likeness to the others.

    Args:
        codes: posterior means of the same images by each model.
        rates: the mean KL of each latent of each model, in nats.
        lasso: by the coefficients of a lasso, whose penalty leaves models that are the same a score of 0.9; else by
            Spearman's rank correlation.

    Raises:
        ValueError: there are not two models.
    """
    if len(codes) < 2:
        raise ValueError(f"UDR compares models of two seeds or more, got {len(codes)}")
    informative = [rate > INFORMATIVE_NATS for rate in rates]
    standard = [standardised(code) * alive for code, alive in zip(codes, informative, strict=True)]
    likeness = np.zeros((len(codes), len(codes)))
    for i, one in enumerate(standard):
        for j, other in enumerate(standard):
            if i != j:
                strength = by_lasso(one, other) if lasso else by_rank(one, other)
                likeness[i, j] = relative_strength(strength[np.ix_(informative[i], informative[j])])
    others = ~np.eye(len(codes), dtype=bool)
    return np.array([np.median(likeness[others[:, j], j]) for j in range(len(codes))])


def standardised(codes: Float[np.ndarray, "images latents"]) -> Float[np.ndarray, "images latents"]:
    """Mean 0 and variance 1; a constant latent is 0."""
    centred = np.where(varies(codes), codes - codes.mean(axis=0), 0)
    return ratio(centred, np.broadcast_to(centred.std(axis=0), centred.shape))


def by_lasso(
    one: Float[np.ndarray, "images latents"], other: Float[np.ndarray, "images latents"]
) -> Float[np.ndarray, "latents latents"]:
    """How much each latent of `one` is used to predict each of `other`."""
    used: Float[np.ndarray, "latents latents"] = np.abs(Lasso(alpha=LASSO_PENALTY).fit(one, other).coef_).T
    return used.reshape(one.shape[1], other.shape[1])


def by_rank(
    one: Float[np.ndarray, "images latents"], other: Float[np.ndarray, "images latents"]
) -> Float[np.ndarray, "latents latents"]:
    """The absolute rank correlation of each latent of `one` with each of `other`; 0 where one does not vary."""
    matrix = np.zeros((one.shape[1], other.shape[1]))
    for i in np.flatnonzero(one.std(axis=0) > 0):
        for j in np.flatnonzero(other.std(axis=0) > 0):
            matrix[i, j] = abs(spearmanr(one[:, i], other[:, j]).statistic)
    return matrix


def relative_strength(strength: Float[np.ndarray, "one other"]) -> float:
    """1 if every latent has one counterpart and nothing else; 0 if there is no latent.

    Example:
        >>> relative_strength(np.eye(3)), relative_strength(np.zeros((0, 3)))
        (1.0, 0.0)
    """
    if strength.size == 0:
        return 0.0
    halves = [ratio(strength.max(axis=axis) ** 2, strength.sum(axis=axis)).mean() for axis in (0, 1)]
    return float(np.mean(halves))
