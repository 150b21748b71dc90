"""The boosted trees of histograms against scikit-learn's, whose algorithm they are."""

import numpy as np
import pytest
from known_codes import seeded
from sklearn.ensemble import GradientBoostingClassifier

from vae.disentanglement.boosting import BINS, Boosted, boost, quantised


def ours(x, labels, fresh, stages: int) -> Boosted:
    bins, fresh_bins = quantised(x, fresh)
    return boost(bins, labels, fresh_bins, stages)


def theirs(x, labels, stages: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(x, labels)


def drawn(images: int, distinct: tuple[int, ...], generator):
    """Codes of few distinct values, not evenly apart, and a hidden sum of them with noise."""
    codes = np.stack([np.sort(generator.standard_normal(n))[generator.integers(n, size=images)] for n in distinct], 1)
    return codes, codes[:, 0] + codes[:, 1] * codes[:, -1] + generator.standard_normal(images)


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_by_codes_of_few_values_are_told_as_by_scikit_learn(seed):
    generator = seeded(seed)
    (x, hidden), (fresh, _) = drawn(3_000, (5, 7, 11), generator), drawn(1_000, (5, 7, 11), generator)
    labels = (hidden > 0.3).astype(int)
    found, expected = ours(x, labels, fresh, 30), theirs(x, labels, 30)
    assert found.importance == pytest.approx(expected.feature_importances_, abs=1e-10)
    assert (found.classes == expected.predict(x)).all()
    assert (found.fresh_classes == expected.predict(fresh)).all()


@pytest.mark.parametrize("classes", [3, 6])
def test_several_classes_are_told_as_by_scikit_learn_up_to_ties(classes):
    generator = seeded(classes)
    (x, hidden), (fresh, _) = drawn(3_000, (5, 7, 11), generator), drawn(1_000, (5, 7, 11), generator)
    labels = np.digitize(hidden, np.quantile(hidden, np.arange(1, classes) / classes))
    found, expected = ours(x, labels, fresh, 15), theirs(x, labels, 15)
    assert found.importance == pytest.approx(expected.feature_importances_, abs=2e-3)
    assert (found.classes == expected.predict(x)).mean() > 0.99
    assert (found.fresh_classes == expected.predict(fresh)).mean() > 0.99


def test_continuous_codes_lose_little_in_bins():
    generator = seeded(0)
    x, fresh = generator.standard_normal((3_000, 3)), generator.standard_normal((2_000, 3))
    label = [np.digitize(z[:, 0] + z[:, 1] * z[:, 2], [-0.5, 0.5]) for z in (x, fresh)]
    found, expected = ours(x, label[0], fresh, 15), theirs(x, label[0], 15)
    assert found.importance == pytest.approx(expected.feature_importances_, abs=0.02)
    assert (found.fresh_classes == label[1]).mean() == pytest.approx(expected.score(fresh, label[1]), abs=0.02)


def test_the_first_guess_is_the_commonest_class_whatever_the_labels_are_called():
    found = ours(np.zeros((6, 2)), np.array([3, 9, 9, 9, 5, 3]), np.ones((2, 2)), 5)
    assert found.classes.tolist() == [9] * 6
    assert found.fresh_classes.tolist() == [9, 9]
    assert found.importance.tolist() == [0, 0]


def test_a_rare_class_is_learnt_and_pure_nodes_are_let_be():
    x = np.repeat(np.arange(4.0), [500, 500, 500, 1])[:, None]
    labels = x[:, 0].astype(int)
    found = ours(x, labels, x[::-1], 20)
    assert (found.classes == labels).all()
    assert (found.fresh_classes == labels[::-1]).all()
    assert np.isfinite(found.importance).all()


def test_an_exact_exclusive_or_is_learnt_although_no_one_split_gains_anything():
    x = np.tile([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (10, 1))
    labels = (x[:, 0] != x[:, 1]).astype(int)
    assert theirs(x, labels, 10).score(x, labels) == 1
    assert (ours(x, labels, x, 10).classes == labels).all()


def test_latents_that_say_the_same_share_their_importance():
    generator = seeded(0)
    labels = generator.integers(4, size=600)
    x = np.stack([labels, generator.standard_normal(600), -3 * labels, labels + 7], axis=1).astype(np.float64)
    importance = ours(x, labels, x, 5).importance
    assert importance == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=1e-6)


# Bins


def test_few_values_have_a_bin_each_and_fresh_ones_go_to_the_nearer_of_their_neighbours():
    x = np.array([[5.0], [-1.0], [2.0], [2.0]])
    fresh = np.array([[-9.0], [0.4], [0.6], [3.4], [3.6], [99.0]])
    bins, fresh_bins = quantised(x, fresh)
    assert bins.ravel().tolist() == [2, 0, 1, 1]
    assert fresh_bins.ravel().tolist() == [0, 0, 1, 1, 2, 2]


def test_neighbouring_floats_are_still_different_codes():
    first = np.float32(0.3)
    second = np.nextafter(first, np.float32(1))
    x = np.array([[first], [second], [np.nextafter(second, np.float32(1))]])
    assert quantised(x, x)[0].ravel().tolist() == [0, 1, 2]


def test_many_values_are_in_bins_of_equally_many():
    x = seeded(0).standard_normal((BINS * 40, 2)) ** 3
    bins, fresh_bins = quantised(x, x[:100])
    for column in bins.T:
        assert np.bincount(column, minlength=BINS) == pytest.approx(np.full(BINS, 40), abs=1)
    assert (fresh_bins == bins[:100]).all()


def test_more_values_than_bins_of_which_one_is_most():
    x = np.concatenate([np.zeros(5_000), np.arange(1.0, 1_001.0)])[:, None]
    bins, _ = quantised(x, x)
    assert (np.diff(bins[:, 0]) >= 0).all()
    assert bins.max() < BINS
    assert (bins[:5_000] == 0).all()
    assert (bins[5_100:] > 0).all()
