"""Gradient-boosted trees, as scikit-learn fits them, in a small part of its time.

The algorithm is that of scikit-learn's `GradientBoostingClassifier` and `GradientBoostingRegressor` with their default
values (Friedman, 2001, "Greedy Function Approximation": trees of depth 3, learning rate 0.1, Newton's leaf values).
Every midpoint between two neighbouring codes is tried. Codes are sorted once for all trees, and the loops over them
are compiled. It differs in two ways:

- Latents that explain equally much share the importance. scikit-learn gives it to one of them at random.
- scikit-learn takes codes that differ by less than 1e-7 as equal. Here only equal codes are.
"""

import numpy as np
from jaxtyping import Float, Int, Int64, UInt8, UInt32
from scipy.special import expit

from vae.disentanglement.compiled import compiled

DEPTH = 3
LEAVES = 2**DEPTH
LEARNING_RATE = 0.1
PURE = np.finfo(np.float64).eps  # variance; a node below is not split
TIE = 1e-9  # relative difference of explained squares; latents that differ by less share the importance


def boost(
    train: Float[np.ndarray, "train latents"],
    labels: Int[np.ndarray, " train"],
    test: Float[np.ndarray, "test latents"],
    stages: int,
) -> tuple[Float[np.ndarray, " latents"], Int[np.ndarray, " test"]]:
    """Fit `stages` trees for each class, and predict the classes of new images.

    Args:
        train: the codes to fit on.
        labels: with two or more different classes.
        test: the codes of new images.
        stages: of boosting.

    Returns:
        The importance of each latent, which sums to 1, or is 0 if no split was made; and the predicted classes.
    """
    classes, y = np.unique(labels, return_inverse=True)
    target = (y == np.arange(len(classes))[:, None]).astype(np.float64)
    start, rate = np.log(target.mean(axis=1)), LEARNING_RATE * (len(classes) - 1) / len(classes)
    if len(classes) == 2:  # one tree a stage is enough for the log-odds of the second class
        start, rate, target = start[1:] - start[:1], LEARNING_RATE, target[1:]
    forest = Forest(train, test, start)
    residual = np.empty_like(target)
    for _ in range(stages):
        if len(classes) == 2:
            expit(forest.scores, out=residual)
        else:  # a softmax that allocates nothing
            np.subtract(forest.scores, forest.scores.max(axis=0), out=residual)
            np.exp(residual, out=residual)
            residual /= residual.sum(axis=0)
        np.subtract(target, residual, out=residual)
        forest.grow(residual, rate, newton=True)
    predicted = forest.test_scores.argmax(axis=0) if len(classes) > 2 else (forest.test_scores[0] > 0).astype(int)
    return forest.shares(), classes[predicted]


def boost_regression(
    train: Float[np.ndarray, "train latents"],
    values: Float[np.ndarray, " train"],
    test: Float[np.ndarray, "test latents"],
    stages: int,
) -> tuple[Float[np.ndarray, " latents"], Float[np.ndarray, " test"]]:
    """Fit `stages` trees to numbers by least squares, and predict the numbers of new images.

    Returns:
        The importance of each latent, which sums to 1, or is 0 if no split was made; and the predicted numbers.
    """
    forest = Forest(train, test, np.array([values.mean(dtype=np.float64)]))
    for _ in range(stages):
        forest.grow(values - forest.scores, LEARNING_RATE, newton=False)
    return forest.shares(), forest.test_scores[0]


class Forest:
    """Sums of trees, one sum for each class.

    Attributes:
        scores: (classes, train), the sums at the codes to fit on.
        test_scores: (classes, test), the sums at new codes.
        importance: (latents,), the squares that splits by each latent explain.
    """

    def __init__(
        self,
        train: Float[np.ndarray, "train latents"],
        test: Float[np.ndarray, "test latents"],
        start: Float[np.ndarray, " classes"],
    ) -> None:
        self.codes, self.test_codes = (np.ascontiguousarray(codes.T, dtype=np.float64) for codes in (train, test))
        self.order = np.argsort(self.codes, axis=1, kind="stable").astype(np.uint32)
        self.scores, self.test_scores = (np.repeat(start[:, None], len(codes), axis=1) for codes in (train, test))
        self.importance = np.zeros(len(self.codes))

    def grow(self, residual: Float[np.ndarray, "classes train"], rate: float, newton: bool) -> None:
        """Add a tree for each class.

        Args:
            residual: what to fit.
            rate: the share of a leaf's value that is added.
            newton: whether the value is one Newton step for probabilities, or the mean residual.
        """
        for k in range(len(residual)):
            add_tree(
                self.codes, self.order, residual[k], rate, newton, self.test_codes,
                self.scores[k], self.test_scores[k], self.importance,
            )  # fmt: skip

    def shares(self) -> Float[np.ndarray, " latents"]:
        """The importances, divided by their sum."""
        return self.importance / (self.importance.sum() or 1.0)


@compiled
def add_tree(
    codes: Float[np.ndarray, "latents train"],
    order: UInt32[np.ndarray, "latents train"],
    residual: Float[np.ndarray, " train"],
    rate: float,
    newton: bool,
    test_codes: Float[np.ndarray, "latents test"],
    scores: Float[np.ndarray, " train"],
    test_scores: Float[np.ndarray, " test"],
    importance: Float[np.ndarray, " latents"],
) -> None:
    """Fit a tree to the residuals, and add it to both scores and its explained squares to `importance`.

    `order` has the images in ascending order of each latent. A tree is kept as a heap: the children of node n are
    2n + 1 and 2n + 2. A node that is not split sends all its images to the left.
    """
    images = codes.shape[1]
    feature, threshold = np.zeros(LEAVES - 1, np.int64), np.full(LEAVES - 1, np.inf)
    bounds = np.array([0, images])  # where the images of each node of this level start and end, in every row of order
    left = np.zeros(images, np.uint8)
    leaf = np.zeros(images, np.uint8)
    for depth in range(DEPTH):
        nodes = 2**depth
        below = np.full(2 * nodes + 1, images)
        for node in range(nodes):
            begin, end = bounds[node], bounds[node + 1]
            latent, cut = best_split(codes, order, residual, begin, end, importance)
            below[2 * node], below[2 * node + 1] = begin, cut
            if cut < end:
                low, high = codes[latent, order[latent, cut - 1]], codes[latent, order[latent, cut]]
                middle = low / 2 + high / 2
                feature[nodes - 1 + node] = latent
                threshold[nodes - 1 + node] = middle if middle < high else low
            for place in range(begin, end):
                image = order[latent, place]
                left[image] = place < cut
                leaf[image] = 2 * leaf[image] + 1 - left[image]
        if depth < DEPTH - 1:
            order = divided(order, left, bounds)
        bounds = below
    above, under = np.zeros(LEAVES), np.zeros(LEAVES)
    for image in range(images):
        r = residual[image]
        above[leaf[image]] += r
        under[leaf[image]] += abs(r) * (1 - abs(r)) if newton else 1.0  # p (1 - p), because r is -p or 1 - p
    for place in range(LEAVES):
        above[place] = rate * above[place] / under[place] if under[place] > 1e-150 else 0.0
    for image in range(images):
        scores[image] += above[leaf[image]]
    for image in range(len(test_scores)):
        node = 0
        for _ in range(DEPTH):
            node = 2 * node + 1 + (test_codes[feature[node], image] > threshold[node])
        test_scores[image] += above[node - (LEAVES - 1)]


@compiled
def best_split(
    codes: Float[np.ndarray, "latents images"],
    order: UInt32[np.ndarray, "latents images"],
    residual: Float[np.ndarray, " images"],
    begin: int,
    end: int,
    importance: Float[np.ndarray, " latents"],
) -> tuple[int, int]:
    """The latent to split by and where the right child starts, between `begin` and `end`; `end` if there is no split.

    A pure node is not split. A split that explains nothing is made, because an exclusive or of two latents shows only
    below it. Latents that explain equally much share the squares in `importance`, and the first of them is split.
    """
    latents, images = len(codes), end - begin
    total = squares = 0.0
    for place in range(begin, end):
        r = residual[order[0, place]]
        total += r
        squares += r * r
    mean = total / max(1, images)
    alike = total * mean  # the squares that one mean explains
    if squares - alike <= PURE * images:
        return 0, end
    explained, cuts = np.empty(latents), np.full(latents, end)
    most = -1.0
    for latent in range(latents):
        code, row = codes[latent], order[latent, begin:end]
        best, low, high, few, many = -1.0, 0.0, 0.0, 0.0, float(images)
        for step in range(images // 2):  # from both ends at once, which is faster than two sums one after another
            first, last = row[step], row[images - 1 - step]
            low += residual[first] - mean
            high += residual[last] - mean
            few, many = few + 1, many - 1
            if low * low > best * (few * many) and code[first] < code[row[step + 1]]:
                best, cuts[latent] = low * low / (few * many), begin + step + 1
            if high * high > best * (few * many) and code[row[images - 2 - step]] < code[last]:
                best, cuts[latent] = high * high / (few * many), end - 1 - step
        explained[latent] = best * images
        most = max(most, best * images)
    if most < 0:  # all codes are equal
        return 0, end
    tied, chosen = 0, 0
    for latent in range(latents - 1, -1, -1):
        if explained[latent] + alike >= (1 - TIE) * (most + alike):
            tied, chosen = tied + 1, latent
    for latent in range(latents):
        if explained[latent] + alike >= (1 - TIE) * (most + alike):
            importance[latent] += most / tied
    return chosen, cuts[chosen]


@compiled
def divided(
    order: UInt32[np.ndarray, "latents images"],
    left: UInt8[np.ndarray, " images"],
    bounds: Int64[np.ndarray, " nodes"],
) -> UInt32[np.ndarray, "latents images"]:
    """The orders of the next level: in each node the images of its left child, then those of the right one."""
    children = np.empty_like(order)
    spare = np.empty(order.shape[1], np.uint32)
    one = np.uint64(1)  # unsigned, because a signed index is tested for being negative
    for latent in range(len(order)):
        for node in range(len(bounds) - 1):
            lefts, rights = np.uint64(bounds[node]), np.uint64(0)
            for place in range(bounds[node], bounds[node + 1]):
                image = order[latent, place]
                # Written to both sides and counted on one: a branch would be guessed wrong too often.
                children[latent, lefts] = spare[rights] = image
                lefts += left[image]
                rights += one - left[image]
            for place in range(rights):
                children[latent, lefts + place] = spare[place]
    return children
