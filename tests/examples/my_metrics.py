"""A metric of one's own: how well a linear function of all latents predicts the level of each factor."""

from sklearn.linear_model import LinearRegression


def score(codes, factors):
    """The R² of least squares, averaged over the factors: 1 if a linear function of the codes gives every level.

    codes: posterior means, (images, latents). factors: levels 0, 1, ..., (images, factors), or None if unknown.
    """
    if factors is None:
        return {}
    regression = LinearRegression().fit(codes, factors)
    return {"linear_r2": regression.score(codes, factors)}
