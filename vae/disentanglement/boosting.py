"""Gradient-boosted trees of binned codes: one model for each class, all classes of a stage at once.

The algorithm is that of scikit-learn's `GradientBoostingClassifier` with its default values (Friedman, 2001, "Greedy
Function Approximation": trees of depth 3, learning rate 0.1, Newton's leaf values). It differs in two ways, for speed:

- Codes are put into at most 256 bins. Codes with more distinct values lose the order within a bin. Importances then
  differ from those of exact trees by about 0.01, and accuracies by about 0.01.
- Latents that explain equally much share the importance. scikit-learn chooses one of them at random.

With at most 256 distinct values and two classes both give the same importances, to rounding.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax

MAX_BINS = 256
DEPTH = 3
LEARNING_RATE = 0.1
PURE = np.finfo(np.float64).eps  # variance; a node below is not split
TIE = 1e-9  # relative difference of explained squares; latents that differ by less share the importance


def quantised(
    train: Float[np.ndarray, "train latents"], test: Float[np.ndarray, "test latents"]
) -> tuple[Int[np.ndarray, "train latents"], Int[np.ndarray, "test latents"]]:
    """The bin of every code, 0 … 255.

    Every distinct value of a latent in `train` has a bin. With more than 256 values bins hold equally many images.
    """
    columns = []
    for column, test_column in zip(train.T, test.T, strict=True):
        distinct = np.unique(column)
        if len(distinct) > MAX_BINS:
            edges = np.unique(np.quantile(column, np.arange(1, MAX_BINS) / MAX_BINS))
        else:
            edges = distinct[:-1] + np.diff(distinct.astype(np.float64)) / 2  # float64 lies between float32 neighbours
        columns.append(np.searchsorted(edges, np.concatenate([column, test_column])))
    bins = np.stack(columns, axis=1)
    return bins[: len(train)], bins[len(train) :]


def boost(
    train: Int[np.ndarray, "train latents"],
    labels: Int[np.ndarray, " train"],
    test: Int[np.ndarray, "test latents"],
    stages: int,
) -> tuple[Float[np.ndarray, " latents"], Int[np.ndarray, " test"]]:
    """Fit `stages` trees for each class, and predict the classes of new images.

    Args:
        train: the bin of each code to fit on.
        labels: with two or more different classes.
        test: the bins of new images.
        stages: of boosting.

    Returns:
        The importance of each latent, which sums to 1, or is 0 if no split was made; and the predicted classes.
    """
    classes, y = np.unique(labels, return_inverse=True)
    target = np.eye(len(classes))[y]
    scale, start = LEARNING_RATE * (len(classes) - 1) / len(classes), np.log(target.mean(axis=0))
    if len(classes) == 2:  # one tree a stage is enough for the log-odds of the second class
        scale, start, target = LEARNING_RATE, start[1:] - start[:1], target[:, 1:]
    scores, test_scores = np.tile(start, (len(train), 1)), np.tile(start, (len(test), 1))
    members = memberships(train)
    importance = np.zeros(train.shape[1])
    columns = np.arange(target.shape[1])
    for _ in range(stages):
        p = softmax(scores, axis=1) if len(classes) > 2 else expit(scores)
        tree, gains, leaf = grow(train, members, target - p)
        importance += gains
        value = scale * leaf_values(leaf, target - p, p * (1 - p))
        scores += value[columns, leaf]
        test_scores += value[columns, descend(tree, test)]
    predicted = test_scores.argmax(axis=1) if len(classes) > 2 else (test_scores[:, 0] > 0).astype(int)
    return importance / (importance.sum() or 1.0), classes[predicted]


def memberships(bins: Int[np.ndarray, "images latents"]) -> csr_matrix:
    """(latents x MAX_BINS, images): 1 where an image is in a bin. Its product with weights is their histograms."""
    images, latents = bins.shape
    rows = (bins + MAX_BINS * np.arange(latents)).ravel()
    columns = np.repeat(np.arange(images), latents)
    return csr_matrix((np.ones(rows.size), (rows, columns)), shape=(latents * MAX_BINS, images))


TreeSplits = list[tuple[Int[np.ndarray, "columns _"], Int[np.ndarray, "columns _"]]]  # latent and last bin to the left


def grow(
    bins: Int[np.ndarray, "images latents"], members: csr_matrix, residual: Float[np.ndarray, "images columns"]
) -> tuple[TreeSplits, Float[np.ndarray, " latents"], Int[np.ndarray, "images columns"]]:
    """One tree for each column of residuals.

    Returns:
        The splits of all nodes, by level; the squares that splits by each latent explain; the leaf of each image.
    """
    latents, columns = bins.shape[1], residual.shape[1]
    node = np.zeros(residual.shape, dtype=np.int64)
    sums = (members @ residual).reshape(latents, MAX_BINS, columns, 1)
    counts = np.broadcast_to((members @ np.ones(len(bins))).reshape(latents, MAX_BINS, 1, 1), sums.shape)
    importance = np.zeros(latents)
    tree: TreeSplits = []
    for depth in range(DEPTH):
        squares = by_node(node, residual**2, 2**depth)
        feature, threshold, gain = best_splits(sums, counts, squares)
        tree.append((feature, threshold))
        importance += gain.sum(axis=(1, 2))
        right = goes_right(feature, threshold, bins, node)
        if depth < DEPTH - 1:
            # Histograms of the left children only; the right ones are the difference to their parents.
            left = (node[:, :, None] == np.arange(2**depth)) & ~right[:, :, None]
            children = []
            for parent, weights in ((sums, residual[:, :, None] * left), (counts, left.astype(np.float64))):
                of_left = (members @ weights.reshape(len(bins), -1)).reshape(parent.shape)
                children.append(np.stack([of_left, parent - of_left], axis=-1).reshape(latents, MAX_BINS, columns, -1))
            sums, counts = children
        node = 2 * node + right
    return tree, importance, node


def best_splits(
    sums: Float[np.ndarray, "latents bins columns nodes"],
    counts: Float[np.ndarray, "latents bins columns nodes"],
    squares: Float[np.ndarray, "columns nodes"],
) -> tuple[
    Int[np.ndarray, "columns nodes"], Int[np.ndarray, "columns nodes"], Float[np.ndarray, "latents columns nodes"]
]:
    """The best split of each node: its latent, its last bin to the left, and the squares that it explains by latent.

    A pure node is not split: all its images go to the left. A split that explains nothing is made, because an
    exclusive or of two latents shows only below it. Latents that explain equally much share the squares.
    """
    left_sum, left_count = sums.cumsum(axis=1), counts.cumsum(axis=1)
    total, count = left_sum[:1, -1:], left_count[:1, -1:]
    right_sum, right_count = total - left_sum, count - left_count
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = left_sum**2 / left_count + right_sum**2 / right_count
    gain = np.where((left_count > 0.5) & (right_count > 0.5), gain, -np.inf)
    by_latent = gain.max(axis=1)
    most = by_latent.max(axis=0)
    best = by_latent >= (1 - TIE) * most
    feature, threshold = np.divmod(gain.reshape(-1, *most.shape).argmax(axis=0), MAX_BINS)
    count = count[0, 0]
    alike = total[0, 0] ** 2 / np.maximum(count, 1)
    split = (squares - alike > PURE * count) & np.isfinite(most)
    explained = np.where(split, np.maximum(most, alike) - alike, 0.0)
    shares = explained * best / best.sum(axis=0)
    return np.where(split, feature, 0), np.where(split, threshold, MAX_BINS), shares


def goes_right(
    feature: Int[np.ndarray, "columns nodes"],
    threshold: Int[np.ndarray, "columns nodes"],
    bins: Int[np.ndarray, "images latents"],
    node: Int[np.ndarray, "images columns"],
) -> Bool[np.ndarray, "images columns"]:
    """Whether each image goes to the right in each tree, from its node."""
    columns = np.arange(node.shape[1])
    code = np.take_along_axis(bins, feature[columns, node], axis=1)
    right: Bool[np.ndarray, "images columns"] = code > threshold[columns, node]
    return right


def descend(tree: TreeSplits, bins: Int[np.ndarray, "images latents"]) -> Int[np.ndarray, "images columns"]:
    """The leaf of each image in each tree."""
    node = np.zeros((len(bins), len(tree[0][0])), dtype=np.int64)
    for feature, threshold in tree:
        node = 2 * node + goes_right(feature, threshold, bins, node)
    return node


def by_node(
    node: Int[np.ndarray, "images columns"], weights: Float[np.ndarray, "images columns"], nodes: int
) -> Float[np.ndarray, "columns nodes"]:
    """The sum of the weights in each node of each tree."""
    columns = node.shape[1]
    cell = (node + nodes * np.arange(columns)).ravel()
    sums: Float[np.ndarray, "columns nodes"] = np.bincount(cell, weights.ravel(), columns * nodes).reshape(columns, -1)
    return sums


def leaf_values(
    leaf: Int[np.ndarray, "images columns"],
    residual: Float[np.ndarray, "images columns"],
    curvature: Float[np.ndarray, "images columns"],
) -> Float[np.ndarray, "columns leaves"]:
    """One Newton step in each leaf: sum of residuals / sum of curvatures; 0 in an empty leaf."""
    above, below = (by_node(leaf, weights, 2**DEPTH) for weights in (residual, curvature))
    steps = np.zeros_like(above)
    np.divide(above, below, out=steps, where=np.abs(below) > 1e-150)
    return steps
