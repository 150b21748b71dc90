"""A metric of one's own: how well a linear function of all latents predicts the level of each factor."""

import numpy as np


def score(codes, factors):
    """The R² of least squares, averaged over the factors: 1 if a linear function of the codes gives every level.

    codes: posterior means, (images, latents). factors: levels 0, 1, ..., (images, factors), or None if unknown.
    """
    if factors is None:
        return {}
    inputs = np.column_stack([codes, np.ones(len(codes))])
    coefficients, *_ = np.linalg.lstsq(inputs, factors, rcond=None)
    residual = factors - inputs @ coefficients
    return {"linear_r2": 1 - np.mean(residual.var(axis=0) / factors.var(axis=0))}
