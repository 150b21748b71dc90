"""IRS, the interventional robustness score: how little a latent changes when all factors but one change.

Suter, Miladinović, Schölkopf & Bauer (2019), "Robustly Disentangled Causal Mechanisms"; details as in the library of
Locatello et al. (2019).

Codes without any information do not have an IRS of 0, because the 99 % quantile of a latent's deviations is below
their maximum. Their IRS is higher if each level has few images. Compare it with `irs_shuffled`.
"""

import numpy as np
from jaxtyping import Float, Int32

from vae.disentanglement.representation import MatrixScore

QUANTILE = 0.99  # of the deviations, because the largest one is noisy


def irs(codes: Float[np.ndarray, "images latents"], levels: Int32[np.ndarray, "images factors"]) -> MatrixScore:
    """The mean over latents of the robustness for their best factor, weighted by their largest deviation.

    Returns:
        The score in [0, 1], 0 if no latent varies; and the robustness of each latent for each factor.
    """
    reach = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    moved = np.zeros((codes.shape[1], levels.shape[1]))
    for k, factor in enumerate(levels.T):
        groups = [codes[factor == level] for level in np.unique(factor)]
        moved[:, k] = np.mean([np.quantile(np.abs(g - g.mean(axis=0)), QUANTILE, axis=0) for g in groups], axis=0)
    varies = np.ptp(codes, axis=0) > 0  # exact; the rounded mean of equal codes may differ from them
    if not varies.any():
        return MatrixScore(0.0, np.zeros_like(moved))
    robustness = np.zeros_like(moved)
    robustness[varies] = np.clip(1 - moved[varies] / reach[varies, None], 0, 1)
    return MatrixScore(float(np.average(robustness.max(axis=1), weights=np.where(varies, reach, 0))), robustness)
