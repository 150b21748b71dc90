"""The FactorVAE score: does the latent that varies least tell which factor is fixed?

Kim & Mnih (2018), "Disentangling by Factorising", Section 4; sample sizes and the removal of dead latents as in
Locatello et al. (2019).
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from vae.disentanglement.representation import MatrixScore, Representation, Sizes

DEAD_BELOW = 0.05  # standard deviation; without this limit a latent that never varies would win every vote
VOTES_AT_ONCE = 1_000


def factor_vae_score(representation: Representation, sizes: Sizes, generator: Generator) -> MatrixScore:
    """The accuracy of the majority vote on new batches, and the votes of each latent for each factor.

    Chance is 1 / factors. The score is 0 if no latent is active.
    """
    deviation = representation.codes.std(axis=0, dtype=np.float64)
    scale = np.where(deviation >= DEAD_BELOW, deviation, 0)
    votes = np.zeros((representation.latents, len(representation.factors.names)))
    if not scale.any():
        return MatrixScore(0.0, votes)
    np.add.at(votes, cast_votes(representation, scale, sizes.train, sizes.batch, generator), 1)
    latents, factors = cast_votes(representation, scale, sizes.test, sizes.batch, generator)
    return MatrixScore(float((votes.argmax(axis=1)[latents] == factors).mean()), votes)


def cast_votes(
    representation: Representation,
    scale: Float[np.ndarray, " latents"],
    votes: int,
    batch: int,
    generator: Generator,
) -> tuple[Int[np.ndarray, " votes"], Int[np.ndarray, " votes"]]:
    """For each vote the latent whose deviation is smallest relative to its `scale`, and the factor that was fixed.

    Latents whose scale is 0 get no vote.
    """
    codes, factors = representation.codes, representation.factors
    active = np.flatnonzero(scale)
    fixed = generator.integers(len(factors.names), size=votes)
    winners = np.empty(votes, dtype=np.int64)
    for factor in range(len(factors.names)):
        for chunk in np.array_split(np.flatnonzero(fixed == factor), -(-votes // VOTES_AT_ONCE)):
            first = factors.draw(len(chunk), generator)
            images = factors.partners(np.repeat(first[:, None], batch, axis=1), factor, generator)
            images[:, 0] = first
            deviation = codes[images][..., active].std(axis=1, ddof=1, dtype=np.float64)
            winners[chunk] = active[(deviation / scale[active]).argmin(axis=1)]
    return winners, fixed
