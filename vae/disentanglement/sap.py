"""SAP: how much better the best single latent predicts a factor than the second best.

Kumar, Sattigeri & Balakrishnan (2018), "Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations", Section 3; the classifier as in Locatello et al. (2019): a linear support vector machine with squared
hinge loss for each level against the others, scikit-learn's `LinearSVC(C=0.01, class_weight="balanced", dual=False)`.
With one latent it has two parameters, which Newton's method finds exactly. scikit-learn stops at a tolerance of 1e-4,
so some accuracies differ from its own by as much. With a tolerance of 1e-13 both are the same.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from joblib import Parallel, delayed
from numpy.random import Generator

from vae.data.factors import Kind
from vae.disentanglement.compiled import compiled
from vae.disentanglement.representation import MatrixScore, Representation, Sizes, gap, ratio

COST = 0.01  # of an error, against the squares of slope and offset
MOST_STEPS = 200  # of Newton's method, which takes about seven
PRECISE = 1e-14  # the relative decrease that is expected of the last step
DEAD = 1e-12  # variance; a latent below has no correlation


def sap(representation: Representation, sizes: Sizes, generator: Generator, workers: int = 1) -> MatrixScore:
    """The mean gap over factors, and the accuracy of a linear support vector machine on each latent.

    Binned factors have squared correlations in place of accuracies, as in the paper: no line separates many levels.
    """
    x, y = representation.draw(sizes.train, generator)
    x_test, y_test = representation.draw(sizes.test, generator)

    def accuracy(j: int, k: int) -> float:
        return float((classified(x[:, j], y[:, k], x_test[:, j]) == y_test[:, k]).mean())

    shape = (representation.latents, y.shape[1])
    found = Parallel(n_jobs=workers, backend="threading")(delayed(accuracy)(*pair) for pair in np.ndindex(shape))
    accuracies = np.reshape(found, shape)
    binned = np.array(representation.factors.kinds) == Kind.binned
    if binned.any():
        correlations = squared_correlations(*representation.draw_values(sizes.train, generator))
        accuracies[:, binned] = correlations[:, binned]
    return MatrixScore(float(gap(accuracies).mean()), accuracies)


def classified(
    codes: Float[np.ndarray, " train"], labels: Int[np.ndarray, " train"], test: Float[np.ndarray, " test"]
) -> Int[np.ndarray, " test"]:
    """The labels of `test` by linear support vector machines that are fitted to `codes` and `labels`.

    An error on an image costs more if its label is rare. With more than two labels this holds inside, for the label
    that is told from the others; outside every image costs the same, as in scikit-learn.
    """
    different, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    x, balanced = codes.astype(np.float64), COST * len(labels) / (len(different) * counts)
    if len(different) == 1:
        return np.full(len(test), different[0])
    if len(different) == 2:
        slope, offset = machine(x, label == 1, balanced[1], balanced[0])
        chosen = (slope * test + offset > 0).astype(int)
    else:
        lines = np.array([machine(x, label == k, cost, COST) for k, cost in enumerate(balanced)])
        chosen = (np.outer(test, lines[:, 0]) + lines[:, 1]).argmax(axis=1)
    of_test: Int[np.ndarray, " test"] = different[chosen]
    return of_test


@compiled
def machine(
    x: Float[np.ndarray, " images"], inside: Bool[np.ndarray, " images"], cost_inside: float, cost_outside: float
) -> tuple[float, float]:
    """Slope and offset with the least (slope^2 + offset^2) / 2 + sum of cost * max(0, 1 - sign * line(x))^2.

    The sign is 1 inside and -1 outside. Newton's method on a piecewise quadratic: a step that is too long is halved.
    """
    slope = offset = slope_step = offset_step = 0.0
    lowest = np.inf
    for _ in range(MOST_STEPS):
        loss = (slope * slope + offset * offset) / 2
        g_slope, g_offset = slope, offset
        h_slope, h_both, h_offset = 1.0, 0.0, 1.0
        for image in range(len(x)):
            sign, cost = (1.0, cost_inside) if inside[image] else (-1.0, cost_outside)
            short = 1 - sign * (slope * x[image] + offset)
            if short > 0:
                loss += cost * short * short
                g_slope -= 2 * cost * sign * short * x[image]
                g_offset -= 2 * cost * sign * short
                h_slope += 2 * cost * x[image] * x[image]
                h_both += 2 * cost * x[image]
                h_offset += 2 * cost
        if loss > lowest:
            slope_step, offset_step = slope_step / 2, offset_step / 2
            slope, offset = slope - slope_step, offset - offset_step
            continue
        lowest = loss
        determinant = h_slope * h_offset - h_both * h_both
        slope_step = (h_both * g_offset - h_offset * g_slope) / determinant
        offset_step = (h_both * g_slope - h_slope * g_offset) / determinant
        if -(g_slope * slope_step + g_offset * offset_step) < PRECISE * loss:
            break
        slope, offset = slope + slope_step, offset + offset_step
    return slope, offset


def sap_continuous(representation: Representation, sizes: Sizes, generator: Generator) -> MatrixScore:
    """SAP with squared correlations in place of accuracies, for factors whose values are ordered."""
    correlations = squared_correlations(*representation.draw_values(sizes.train, generator))
    return MatrixScore(float(gap(correlations).mean()), correlations)


def squared_correlations(
    codes: Float[np.ndarray, "images latents"], values: Float[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """The squared correlation of each latent with each factor; 0 where one of them does not vary."""
    x, y = codes - codes.mean(axis=0), values - values.mean(axis=0)
    covariance = x.T @ y / len(x)
    of_codes, of_values = (x**2).mean(axis=0), (y**2).mean(axis=0)
    return ratio(covariance**2, np.outer(np.where(of_codes > DEAD, of_codes, 0.0), of_values))
