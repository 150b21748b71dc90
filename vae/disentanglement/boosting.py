"""Gradient-boosted trees of binned codes: one model a class, all classes of a stage at once.

The algorithm of scikit-learn's `GradientBoostingClassifier` with its default values (Friedman, 2001: trees of depth 3,
learning rate 0.1, Newton's leaf values), which the tests hold it against. That one sorts every code anew at every node
of every tree, and was nine tenths of the time of all metrics together; here a node is a histogram of bins, and the
histograms of all classes are one product with a sparse matrix.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax

BINS = 256  # codes with fewer distinct values lose nothing
DEPTH = 3
LEARNING_RATE = 0.1
NOTHING = np.finfo(np.float64).eps  # variance: a node that is as good as pure is not split
ROUNDING = 1e-9  # of a sum of squares: less is no difference between two latents


@dataclass(frozen=True)
class Boosted:
    """`importance` sums to 1, or is 0 if no split was made; the class of every image and of every fresh one."""

    importance: Float[np.ndarray, " latents"]
    classes: Int[np.ndarray, " images"]
    fresh_classes: Int[np.ndarray, " fresh"]


@dataclass(frozen=True)
class Stage:
    """A tree for each column, all of one depth: nodes that cannot be split send every image to the left.

    Attributes:
        features: by level and column, of each node.
        thresholds: the last bin that goes to the left.
    """

    features: list[Int[np.ndarray, "columns _"]]
    thresholds: list[Int[np.ndarray, "columns _"]]


def quantised(
    values: Float[np.ndarray, "images latents"], fresh: Float[np.ndarray, "fresh latents"]
) -> tuple[Int[np.ndarray, "images latents"], Int[np.ndarray, "fresh latents"]]:
    """The bin, 0 … `BINS` - 1, of every code: between equally many of `values`, or one for each distinct one."""
    columns, fresh_columns = [], []
    for column, fresh_column in zip(values.T, fresh.T, strict=True):
        distinct = np.unique(column)
        if len(distinct) > BINS:
            edges = np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
        else:
            edges = distinct[:-1] + np.diff(distinct.astype(np.float64)) / 2  # between neighbours of float32 too
        columns.append(np.searchsorted(edges, column))
        fresh_columns.append(np.searchsorted(edges, fresh_column))
    return np.stack(columns, axis=1), np.stack(fresh_columns, axis=1)


def boost(
    bins: Int[np.ndarray, "images latents"],
    labels: Int[np.ndarray, " images"],
    fresh: Int[np.ndarray, "fresh latents"],
    stages: int,
) -> Boosted:
    """Fit `stages` trees for each class, and tell the classes of all images.

    Args:
        bins: of each code.
        labels: two or more different classes.
        fresh: bins of images that are not fitted on.
        stages: of boosting.
    """
    classes, y = np.unique(labels, return_inverse=True)
    target = np.eye(len(classes))[y]
    if len(classes) == 2:
        target = target[:, 1:]  # two classes are told apart by one tree
    share = np.bincount(y) / len(y)
    start = np.log(share) if len(classes) > 2 else np.log(share[1:] / share[0])
    scores, fresh_scores = np.tile(start, (len(bins), 1)), np.tile(start, (len(fresh), 1))
    scale = LEARNING_RATE * ((len(classes) - 1) / len(classes) if len(classes) > 2 else 1.0)
    members = memberships(bins)
    importance = np.zeros(bins.shape[1])
    for _ in range(stages):
        p = probabilities(scores)
        residual = target - p
        stage, gains, leaf = grow(bins, members, residual)
        importance += gains
        value = scale * leaf_values(leaf, residual, p * (1 - p))
        columns = np.arange(len(value))
        scores += value[columns, leaf]
        fresh_scores += value[columns, leaves(stage, fresh)]
    total = importance.sum()
    return Boosted(
        importance / total if total > 0 else importance, classes[decide(scores)], classes[decide(fresh_scores)]
    )


def probabilities(scores: Float[np.ndarray, "images columns"]) -> Float[np.ndarray, "images columns"]:
    """Of each class; of the second if there are two."""
    p: Float[np.ndarray, "images columns"] = softmax(scores, axis=1) if scores.shape[1] > 1 else expit(scores)
    return p


def decide(scores: Float[np.ndarray, "images columns"]) -> Int[np.ndarray, " images"]:
    """The number of the likeliest class."""
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(int)


def memberships(bins: Int[np.ndarray, "images latents"]) -> csr_matrix:
    """(latents x BINS, images): 1 where an image is in a bin. Times (images, columns), it is their histograms."""
    images, latents = bins.shape
    rows = (bins + BINS * np.arange(latents)).ravel()
    columns = np.repeat(np.arange(images), latents)
    return csr_matrix((np.ones(rows.size), (rows, columns)), shape=(latents * BINS, images))


def grow(
    bins: Int[np.ndarray, "images latents"], members: csr_matrix, residual: Float[np.ndarray, "images columns"]
) -> tuple[Stage, Float[np.ndarray, " latents"], Int[np.ndarray, "images columns"]]:
    """A tree for each column of residuals, the squares each latent's splits explain, and the leaf of each image."""
    latents, columns = bins.shape[1], residual.shape[1]
    node = np.zeros(residual.shape, dtype=np.int64)
    sums = (members @ residual).reshape(latents, BINS, columns, 1)
    counts = np.broadcast_to((members @ np.ones(len(bins))).reshape(latents, BINS, 1, 1), sums.shape)
    importance = np.zeros(latents)
    features, thresholds = [], []
    for depth in range(DEPTH):
        cell = node + 2**depth * np.arange(columns)
        squares = np.bincount(cell.ravel(), (residual**2).ravel(), columns * 2**depth).reshape(columns, -1)
        feature, threshold, gain = best_splits(sums, counts, squares)
        features.append(feature)
        thresholds.append(threshold)
        importance += gain.sum(axis=(1, 2))
        right = goes_right(feature, threshold, bins, node)
        if depth < DEPTH - 1:
            # Of the left children; the right ones are what their parents have besides.
            left = (node[:, :, None] == np.arange(2**depth)) & ~right[:, :, None]
            left_sums = histograms(members, residual[:, :, None] * left, sums.shape)
            left_counts = histograms(members, left.astype(np.float64), sums.shape)
            sums = np.stack([left_sums, sums - left_sums], axis=-1).reshape(latents, BINS, columns, -1)
            counts = np.stack([left_counts, counts - left_counts], axis=-1).reshape(latents, BINS, columns, -1)
        node = 2 * node + right
    return Stage(features, thresholds), importance, node


def histograms(
    members: csr_matrix, weights: Float[np.ndarray, "images columns nodes"], shape: tuple[int, ...]
) -> Float[np.ndarray, "latents bins columns nodes"]:
    """The sum of the weights in every bin."""
    found: Float[np.ndarray, "latents bins columns nodes"] = (members @ weights.reshape(len(weights), -1)).reshape(
        shape
    )
    return found


def best_splits(
    sums: Float[np.ndarray, "latents bins columns nodes"],
    counts: Float[np.ndarray, "latents bins columns nodes"],
    squares: Float[np.ndarray, "columns nodes"],
) -> tuple[
    Int[np.ndarray, "columns nodes"], Int[np.ndarray, "columns nodes"], Float[np.ndarray, "latents columns nodes"]
]:
    """The latent and the last bin to the left that explain most squares, and how many; all to the left of a pure node.

    A split that explains nothing is made too: what depends on two latents together shows only below it. Latents that
    explain equally many share them: of two that are the same, neither is the important one.
    """
    left_sum, left_count = sums.cumsum(axis=1), counts.cumsum(axis=1)
    total, count = left_sum[:1, -1:], left_count[:1, -1:]
    right_sum, right_count = total - left_sum, count - left_count
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = left_sum**2 / left_count + right_sum**2 / right_count
    gain = np.where((left_count > 0.5) & (right_count > 0.5), gain, -np.inf)
    by_latent = gain.max(axis=1)
    most = by_latent.max(axis=0)
    best = by_latent >= (1 - ROUNDING) * most
    feature, threshold = np.divmod(gain.reshape(-1, *most.shape).argmax(axis=0), BINS)
    count = count[0, 0]
    alike = total[0, 0] ** 2 / np.maximum(count, 1)
    split = (squares - alike > NOTHING * count) & np.isfinite(most)
    explained = np.where(split, np.maximum(most, alike) - alike, 0.0)
    shares = explained * best / best.sum(axis=0)
    return np.where(split, feature, 0), np.where(split, threshold, BINS), shares


def goes_right(
    feature: Int[np.ndarray, "columns nodes"],
    threshold: Int[np.ndarray, "columns nodes"],
    bins: Int[np.ndarray, "images latents"],
    node: Int[np.ndarray, "images columns"],
) -> Bool[np.ndarray, "images columns"]:
    """Whether each image goes to the right in each tree, from the node that it is at."""
    columns = np.arange(node.shape[1])
    code = np.take_along_axis(bins, feature[columns, node], axis=1)
    right: Bool[np.ndarray, "images columns"] = code > threshold[columns, node]
    return right


def leaves(stage: Stage, bins: Int[np.ndarray, "images latents"]) -> Int[np.ndarray, "images columns"]:
    """The leaf of each image in each tree."""
    node = np.zeros((len(bins), len(stage.features[0])), dtype=np.int64)
    for feature, threshold in zip(stage.features, stage.thresholds, strict=True):
        node = 2 * node + goes_right(feature, threshold, bins, node)
    return node


def leaf_values(
    leaf: Int[np.ndarray, "images columns"],
    residual: Float[np.ndarray, "images columns"],
    curvature: Float[np.ndarray, "images columns"],
) -> Float[np.ndarray, "columns leaves"]:
    """One step of Newton's in each leaf: sum of residuals / sum of curvatures; 0 in an empty leaf."""
    columns = leaf.shape[1]
    cell = (leaf + 2**DEPTH * np.arange(columns)).ravel()
    above, below = (
        np.bincount(cell, weights.ravel(), columns * 2**DEPTH).reshape(columns, -1)
        for weights in (residual, curvature)
    )
    return np.divide(above, below, out=np.zeros_like(above), where=np.abs(below) > 1e-150)
