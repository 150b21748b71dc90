"""Print every score of codes made by hand, as the table in vae/disentanglement/README.md: a few minutes of a core.

The images are a grid of factors with 3 x 4 x 6 x 8 levels, 20 of each combination. Levels are standardised.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from vae.data.factors import Factors
from vae.disentanglement import names
from vae.disentanglement.mig_chen import mig_chen
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.scores import METRICS, generator_for

SEED = 0
SIZES = (3, 4, 6, 8)
COPIES = 20
NOISE = 0.2  # standard deviations of a latent
NARROW = 2 * np.log(0.05)  # log-variance of all posteriors, for Chen's MIG
TURN = np.kron(np.eye(2), np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2))  # pairs of latents by 45 degrees
MIXED = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 0]])  # the factors in each exclusive or

Codes = Float[np.ndarray, "images latents"]


def grid(*sizes: int, copies: int) -> Factors:
    """Every combination of levels, `copies` times."""
    axes = np.meshgrid(*(range(size) for size in sizes), indexing="ij")
    return Factors.of({f"factor {k}": np.tile(axis.ravel(), copies) for k, axis in enumerate(axes)})


def standardised(factors: Factors) -> Codes:
    """The levels with mean 0 and variance 1."""
    levels = factors.levels.astype(np.float64)
    codes: Codes = (levels - levels.mean(axis=0)) / levels.std(axis=0)
    return codes


def hand_made() -> Mapping[str, Representation]:
    """The codes by the title of their column."""
    factors = grid(*SIZES, copies=COPIES)
    perfect = standardised(factors)
    images, latents = perfect.shape
    generator = np.random.default_rng(SEED)
    random = generator.standard_normal(perfect.shape)
    noisy = perfect + NOISE * generator.standard_normal(perfect.shape)
    binary = grid(2, 2, 2, 2, copies=images // 16)
    exclusive = (binary.levels @ MIXED.T % 2).astype(np.float64)
    near = np.flatnonzero(np.abs(factors.values[:, 2] - factors.values[:, 3]) < 0.3)
    correlated = factors.part(near)
    codes = {
        "perfect": (perfect, factors),
        "noisy": (noisy, factors),
        "+ 3 dead": (np.hstack([noisy, np.zeros((images, 3))]), factors),
        "each twice": (np.hstack([noisy, perfect + NOISE * generator.standard_normal(perfect.shape)]), factors),
        "turned": (perfect @ TURN, factors),
        "xor": (exclusive, binary),
        "not a grid": (standardised(correlated), correlated),
        "half random": (np.hstack([perfect[:, : latents // 2], random[:, latents // 2 :]]), factors),
        "random": (random, factors),
        "collapsed": (np.zeros_like(perfect), factors),
    }
    return {
        title: Representation(values, of, active=np.ptp(values, axis=0) > 0) for title, (values, of) in codes.items()
    }


def answers(codes: Representation, purposes: Iterable[str], sizes: Sizes) -> dict[str, float]:
    """The scores by name.

    Args:
        codes: of one column.
        purposes: keys of `METRICS`, or `mig_chen`.
        sizes: of the samples.
    """
    found: dict[str, float] = {}
    for purpose in purposes:
        generator = generator_for(SEED, purpose)
        if purpose == "mig_chen":
            logvar = np.full_like(codes.codes, NARROW)
            found[purpose] = mig_chen(codes.codes, logvar, codes.factors, sizes, generator).score
        else:
            found |= METRICS[purpose].function(codes, sizes, generator, 1).numbers
    return found


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """The scores in Markdown, one column for each of the codes."""
    lines = [["name", *columns], ["---", *("---:" for _ in columns)]]
    for name in (*names.OF_CODES, *names.OF_POSTERIORS):
        lines.append([f"`{name}`", *(f"{found[name]:.2f}" for found in columns.values())])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Compute and print the table."""
    purposes = [*(purpose for purpose in METRICS if purpose != "dependence"), "mig_chen"]
    print(table({title: answers(codes, purposes, Sizes()) for title, codes in hand_made().items()}))


if __name__ == "__main__":
    main()
