"""The FactorVAE score: which latent hardly varies when a factor is held?

Kim & Mnih (2018), "Disentangling by Factorising", Section 4; sizes and the pruning of dead latents as in Locatello et
al. (2019).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from vae.disentanglement.codes import Codes

PRUNED_BELOW = 0.05  # standard deviation: such a latent carries nothing, and would win every vote
CHUNK_VOTES = 1_000


@dataclass(frozen=True)
class FactorVAEScore:
    """Accuracies of the majority vote, chance 1 / factors; 0 if no latent is active. `votes` are those of training."""

    score: float
    train_score: float
    active_latents: int
    votes: Int[np.ndarray, "latents factors"]


def factor_vae_score(codes: Codes, train: int, test: int, batch: int, generator: Generator) -> FactorVAEScore:
    """How well the latent of least relative variance tells the factor that a batch shares.

    Args:
        codes: of all images.
        train: votes that decide which factor a latent stands for.
        test: fresh votes.
        batch: images that share a factor, for one vote.
        generator: of the draws.
    """
    active = np.flatnonzero(codes.deviation >= PRUNED_BELOW)
    table = np.zeros((codes.latents, len(codes.factors.names)), dtype=np.int64)
    if len(active) == 0:
        return FactorVAEScore(0.0, 0.0, 0, table)
    latents, factors = cast_votes(codes, active, train, batch, generator)
    np.add.at(table, (latents, factors), 1)
    stands_for = table.argmax(axis=1)
    latents, factors = cast_votes(codes, active, test, batch, generator)
    score = float((stands_for[latents] == factors).mean())
    return FactorVAEScore(score, float(table.max(axis=1).sum() / train), len(active), table)


def cast_votes(
    codes: Codes, active: Int[np.ndarray, " active"], votes: int, batch: int, generator: Generator
) -> tuple[Int[np.ndarray, " votes"], Int[np.ndarray, " votes"]]:
    """For each vote the latent that varied least, relative to all images, and the factor that was held."""
    scale: Float[np.ndarray, " active"] = codes.deviation[active]
    held = generator.integers(len(codes.factors.names), size=votes)
    winners = np.empty(votes, dtype=np.int64)
    for factor in range(len(codes.factors.names)):
        for chunk in np.array_split(np.flatnonzero(held == factor), -(-votes // CHUNK_VOTES)):
            first = codes.factors.draw(len(chunk), generator)
            images = codes.factors.partners(np.repeat(first[:, None], batch, axis=1), factor, generator)
            images[:, 0] = first
            spread = codes.values[images][..., active].std(axis=1, ddof=1, dtype=np.float64) / scale
            winners[chunk] = active[spread.argmin(axis=1)] if len(chunk) else winners[chunk]
    return winners, held
