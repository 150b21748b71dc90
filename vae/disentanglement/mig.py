"""MIG, the mutual information gap, from binned codes.

Chen, Li, Grosse & Duvenaud (2018), "Isolating Sources of Disentanglement in VAEs", with the estimate of Locatello et
al. (2019): 20 bins of equal width for each latent. Chen et al. use another estimate, `mig_chen`. Do not compare the
two.
"""

import numpy as np
from numpy.random import Generator
from scipy.stats import entropy

from vae.disentanglement.representation import MatrixScore, Representation, Sizes, gap, information_matrix, ratio


def mig(representation: Representation, sizes: Sizes, generator: Generator) -> MatrixScore:
    """The mean over factors of (I of the best latent - I of the second best) / H(factor), and I in nats."""
    codes, levels = representation.draw(sizes.train, generator)
    information = information_matrix(codes, levels)
    entropies = np.array([entropy(np.bincount(factor)) for factor in levels.T])
    return MatrixScore(float(ratio(gap(information), entropies).mean()), information)
