"""Codes in bins, and information by counting, in nats: plug-in estimates without a correction of their bias."""

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

BINS = 20  # of a code, as in Locatello et al. (2019)


def binned(codes: Float[np.ndarray, "images latents"], bins: int = BINS) -> Int[np.ndarray, "images latents"]:
    """The bin of each code, 0 … bins - 1: bins of equal width between the smallest and the largest code of a latent.

    Example:
        >>> binned(np.array([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]]), bins=3).ravel().tolist()
        [0, 0, 1, 1, 2, 2]
    """
    # numpy's histogram refuses a latent that varies in its last digits only, as a dead one does.
    columns = [np.digitize(column, np.linspace(column.min(), column.max(), bins + 1)[1:-1]) for column in codes.T]
    return np.stack(columns, axis=1)


def entropy(labels: Int[np.ndarray, " images"]) -> float:
    """H of the labels as they were drawn, in nats.

    Example:
        >>> round(entropy(np.array([0, 0, 1, 1, 2, 2])), 4)  # ln 3
        1.0986
    """
    p = np.bincount(labels) / len(labels)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def mutual_information(one: Int[np.ndarray, " images"], other: Int[np.ndarray, " images"]) -> float:
    """I of two labels, in nats."""
    width = int(other.max()) + 1
    joint = np.bincount(one * width + other, minlength=(int(one.max()) + 1) * width).reshape(-1, width) / len(one)
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log(joint[seen] / independent[seen])).sum()))


def information_matrix(
    codes: Float[np.ndarray, "images latents"], levels: Int32[np.ndarray, "images factors"]
) -> Float[np.ndarray, "latents factors"]:
    """I of each binned code and each factor, in nats."""
    bins = binned(codes)
    return np.array([[mutual_information(code, factor) for factor in levels.T] for code in bins.T])


def entropies(levels: Int32[np.ndarray, "images factors"]) -> Float[np.ndarray, " factors"]:
    """H of each factor, in nats. A factor that does not vary among the draws has none."""
    return np.array([entropy(factor) for factor in levels.T])


def varies(codes: Float[np.ndarray, "images latents"]) -> Bool[np.ndarray, " latents"]:
    """Whether two images differ in a latent. Its deviation does not tell: the mean of equal codes is rounded."""
    different: Bool[np.ndarray, " latents"] = np.ptp(codes, axis=0) > 0
    return different


def ratio(above: Float[np.ndarray, "*shape"], below: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """above / below, and 0 where below is 0: nothing to be known, nothing known."""
    quotient: Float[np.ndarray, "*shape"] = np.divide(above, below, out=np.zeros(above.shape), where=below > 0)
    return quotient
