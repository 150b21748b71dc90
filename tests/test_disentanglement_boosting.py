"""The boosted trees of histograms against scikit-learn's, whose algorithm they are."""

import numpy as np
import pytest
from known_codes import seeded
from sklearn.ensemble import GradientBoostingClassifier

from vae.disentanglement.boosting import MAX_BINS, boost, quantised


def ours(x, labels, test, stages: int):
    """The importance of each latent, and the predicted classes of `test`."""
    bins, test_bins = quantised(x, test)
    return boost(bins, labels, test_bins, stages)


def theirs(x, labels, stages: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(x, labels)


def drawn(images: int, generator):
    """Codes of few distinct values, not evenly apart, and a hidden sum of them with noise."""
    columns = [np.sort(generator.standard_normal(n))[generator.integers(n, size=images)] for n in (5, 7, 11)]
    codes = np.stack(columns, 1)
    return codes, codes[:, 0] + codes[:, 1] * codes[:, -1] + generator.standard_normal(images)


@pytest.mark.parametrize(("classes", "stages", "tolerance", "alike"), [(2, 30, 1e-10, 1), (6, 15, 2e-3, 0.99)])
def test_codes_of_few_values_are_classified_as_by_scikit_learn_several_classes_up_to_ties(
    classes, stages, tolerance, alike
):
    generator = seeded(classes)
    x, hidden = drawn(4_000, generator)
    labels = np.digitize(hidden, np.quantile(hidden, np.arange(1, classes) / classes))
    importance, predicted = ours(x[:3_000], labels[:3_000], x, stages)
    expected = theirs(x[:3_000], labels[:3_000], stages)
    assert importance == pytest.approx(expected.feature_importances_, abs=tolerance)
    assert (predicted == expected.predict(x)).mean() >= alike


def test_continuous_codes_lose_little_in_bins():
    generator = seeded(0)
    x, test = generator.standard_normal((3_000, 3)), generator.standard_normal((2_000, 3))
    labels, answers = (np.digitize(z[:, 0] + z[:, 1] * z[:, 2], [-0.5, 0.5]) for z in (x, test))
    (importance, predicted), expected = ours(x, labels, test, 15), theirs(x, labels, 15)
    assert importance == pytest.approx(expected.feature_importances_, abs=0.02)
    assert (predicted == answers).mean() == pytest.approx(expected.score(test, answers), abs=0.02)


def test_the_first_guess_is_the_commonest_class_whatever_the_labels_are_called():
    importance, predicted = ours(np.zeros((6, 2)), np.array([3, 9, 9, 9, 5, 3]), np.ones((2, 2)), 5)
    assert predicted.tolist() == [9, 9]
    assert importance.tolist() == [0, 0]


def test_a_rare_class_is_learnt_and_pure_nodes_are_not_split():
    x = np.repeat(np.arange(4.0), [500, 500, 500, 1])[:, None]
    labels = x[:, 0].astype(int)
    importance, predicted = ours(x, labels, x[::-1], 20)
    assert (predicted == labels[::-1]).all()
    assert np.isfinite(importance).all()


def test_an_exact_exclusive_or_is_learnt_although_no_one_split_gains_anything():
    x = np.tile([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (10, 1))
    labels = (x[:, 0] != x[:, 1]).astype(int)
    assert theirs(x, labels, 10).score(x, labels) == 1
    assert (ours(x, labels, x, 10)[1] == labels).all()


def test_latents_that_say_the_same_share_their_importance():
    generator = seeded(0)
    labels = generator.integers(4, size=600)
    x = np.stack([labels, generator.standard_normal(600), -3 * labels, labels + 7], axis=1).astype(np.float64)
    assert ours(x, labels, x, 5)[0] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=1e-6)


# Bins


def test_few_values_have_a_bin_each_and_new_ones_go_to_the_nearer_of_their_neighbours():
    x = np.array([[5.0], [-1.0], [2.0], [2.0]])
    bins, test_bins = quantised(x, np.array([[-9.0], [0.4], [0.6], [3.4], [3.6], [99.0]]))
    assert bins.ravel().tolist() == [2, 0, 1, 1]
    assert test_bins.ravel().tolist() == [0, 0, 1, 1, 2, 2]


def test_neighbouring_floats_are_still_different_codes():
    first = np.float32(0.3)
    second = np.nextafter(first, np.float32(1))
    x = np.array([[first], [second], [np.nextafter(second, np.float32(1))]])
    assert quantised(x, x)[0].ravel().tolist() == [0, 1, 2]


def test_many_values_are_in_bins_of_equally_many():
    x = seeded(0).standard_normal((MAX_BINS * 40, 2)) ** 3
    bins, test_bins = quantised(x, x[:100])
    for column in bins.T:
        assert np.bincount(column, minlength=MAX_BINS) == pytest.approx(np.full(MAX_BINS, 40), abs=1)
    assert (test_bins == bins[:100]).all()
