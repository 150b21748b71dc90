"""InfoMEC: is each latent about one factor, is each factor in one latent, and can a linear model read the factors?

Hsu, Dorrell, Whittington, Wu & Finn (2023), "Disentanglement via Latent Quantization", Section 4. Five rules differ
from the authors' code:

- Latents with a rate of at most 0.01 nats are pruned. The authors prune those with a small range, and so keep latents
  of pure noise.
- Images are drawn without replacement. An image that is drawn twice is its own neighbour, which adds information.
- Information within the error of its estimate counts as 0. Else latents without information would be about the factor
  that has the largest error.
- Levels have no weights in the logistic regression, so that the null model has the entropy of the factor.
- Nothing is divided by 0: see `concentration`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy.special import digamma
from scipy.stats import entropy
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from vae.data.factors import Kind
from vae.disentanglement.classifiers import fitted, ignore_iteration_limits
from vae.disentanglement.representation import Representation, Sizes, ratio

ACTIVE_NATS = 0.01  # mean KL; a latent with less is pruned, as in `active_units_by_rate`
IMAGES = 4_000
NEIGHBOURS = 10
JITTER = 1e-6  # standard deviations of a latent; it makes equal codes differ
ERROR = 1.6  # nats, at one image; four standard deviations of the estimate for independent variables


class InfoMEC(NamedTuple):
    """Three scores in [0, 1], and the information of each latent on each factor as a share of the factor's entropy.

    The rows of pruned latents are 0.
    """

    modularity: float
    compactness: float
    explicitness: float
    information: Float[np.ndarray, "latents factors"]


def infomec(representation: Representation, sizes: Sizes, generator: Generator) -> InfoMEC:
    """The three scores of the active latents. All are 0 if there is none.

    Args:
        representation: of two images or more. Its latents that are not `active` are pruned.
        sizes: `train` images are drawn, but at most 4 000.
        generator: of the draws.
    """
    codes, factors = representation.codes, representation.factors
    images = generator.choice(len(codes), min(len(codes), sizes.train, IMAGES), replace=False)
    varies = np.ptp(codes[images], axis=0) > 0
    kept = np.flatnonzero(varies if representation.active is None else varies & representation.active)
    information = np.zeros((representation.latents, len(factors.names)))
    if not len(kept):
        return InfoMEC(0.0, 0.0, 0.0, information)
    x = StandardScaler().fit_transform(codes[np.ix_(images, kept)].astype(np.float64))
    apart = x + JITTER * generator.standard_normal(x.shape)
    explained = []
    for k, kind in enumerate(factors.kinds):
        levels = factors.levels[images, k]
        nats = np.array([nearest_neighbour_information(code, levels) for code in apart.T])
        sure = np.where(nats > ERROR / np.sqrt(len(images)), nats, 0.0)
        information[kept, k] = np.minimum(ratio(sure, np.full(len(kept), entropy(np.bincount(levels)))), 1)
        explained.append(
            share_of_variance(x, factors.values[images, k]) if kind is Kind.binned else share_of_entropy(x, levels)
        )
    found = information[kept]
    return InfoMEC(concentration(found), concentration(found.T), float(np.mean(explained)), information)


def concentration(information: Float[np.ndarray, "rows columns"]) -> float:
    """How much of each row's information is in its largest entry: 1 if all is, 0 if all entries are alike.

    The mean over rows of (largest / sum), rescaled from [1 / columns, 1] to [0, 1]. A row without information counts
    as 0. With a single column, where the rescaling is 0 / 0, a row with information counts as 1.

    Example:
        >>> concentration(np.array([[1.0, 0.0], [0.0, 0.5]])), concentration(np.ones((2, 2))), concentration(np.eye(1))
        (1.0, 0.0, 1.0)
    """
    columns = information.shape[1]
    shares = ratio(information.max(axis=1), information.sum(axis=1))
    if columns > 1:
        shares = np.maximum(shares - 1 / columns, 0) / (1 - 1 / columns)
    return float(shares.mean())


def nearest_neighbour_information(code: Float[np.ndarray, " images"], levels: Int[np.ndarray, " images"]) -> float:
    r"""I(code; level) in nats, from the distances of each code to those of the same level. It may be below 0.

    .. math:: \psi(n) + \langle \psi(k) - \psi(n_i) - \psi(m_i) \rangle

    Code i has k = 10 neighbours of its level, or n_i - 1 if fewer than 11 images have it. Nearer than the k-th are m_i
    codes of any level, itself included. Ross (2014), "Mutual Information between Discrete and Continuous Data Sets",
    after Kraskov, Stögbauer & Grassberger (2004).

    Args:
        code: different numbers, not much larger than 1.
        levels: of the same images. Those of a level with one image are left out.
    """
    counts = np.bincount(levels)
    chosen = counts[levels] > 1
    code, levels = code[chosen], levels[chosen]
    if not len(code):
        return 0.0
    counts = np.bincount(levels)
    order = np.lexsort((code, levels))
    x, n = code[order], counts[levels[order]]
    end = np.cumsum(counts)[levels[order]]
    k, here = np.minimum(NEIGHBOURS, n - 1), np.arange(len(x))
    reach = np.full(len(x), np.inf)
    for below in range(NEIGHBOURS + 1):  # the k neighbours are next to each other: some below, the rest above
        first, last = here - below, here - below + k
        inside = (below <= k) & (first >= end - n) & (last < end)
        first, last = np.where(inside, first, here), np.where(inside, last, here)
        reach = np.where(inside, np.minimum(reach, np.maximum(x - x[first], x[last] - x)), reach)
    ordered, nearer = np.sort(x), reach * (1 - 1e-6)  # the k-th neighbour itself is not nearer, however it is rounded
    m = np.searchsorted(ordered, x + nearer, "right") - np.searchsorted(ordered, x - nearer, "left")
    return float(digamma(len(x)) + (digamma(k) - digamma(n) - digamma(m)).mean())


def share_of_entropy(x: Float[np.ndarray, "images latents"], levels: Int[np.ndarray, " images"]) -> float:
    """1 - (cross-entropy of a logistic regression / entropy of the levels), on the images it is fitted to.

    Codes without information reach about latents * (levels - 1) / (2 * images) nats.
    """
    with ignore_iteration_limits():
        model = fitted(LogisticRegression(C=np.inf), x, levels)  # 100 iterations; perfect codes have no best fit
    unexplained = log_loss(levels, model.predict_proba(x), labels=model.classes_) if len(model.classes_) > 1 else 0.0
    return float(np.clip(1 - ratio(np.array(unexplained), np.array(entropy(np.bincount(levels)))), 0, 1))


def share_of_variance(x: Float[np.ndarray, "images latents"], values: Float[np.ndarray, " images"]) -> float:
    """R^2 of a linear regression, on the images it is fitted to."""
    return float(np.clip(LinearRegression().fit(x, values).score(x, values), 0, 1))
