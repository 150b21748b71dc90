"""The boosted trees against scikit-learn's, whose splits and leaves they have."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_codes import grid, seeded
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from vae.disentanglement.boosting import boost, boost_regression
from vae.disentanglement.compiled import compiled
from vae.disentanglement.dci import dci
from vae.disentanglement.representation import Representation, Sizes


def theirs(x, labels, stages: int) -> GradientBoostingClassifier:
    return GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(x, labels)


def drawn(images: int, generator):
    """Codes of few distinct values, not evenly apart, and a hidden sum of them with noise."""
    columns = [np.sort(generator.standard_normal(n))[generator.integers(n, size=images)] for n in (5, 7, 11)]
    codes = np.stack(columns, 1)
    return codes, codes[:, 0] + codes[:, 1] * codes[:, -1] + generator.standard_normal(images)


# Numbers. They are never tied, so all predictions are those of scikit-learn


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 60), st.integers(1, 4), st.sampled_from([0, 1, 8]), st.integers(1, 12), st.integers(0, 2**32 - 1)
)
def test_numbers_are_predicted_as_by_scikit_learn(images, latents, decimals, stages, seed):
    generator = seeded(seed)
    x = generator.standard_normal((images, latents)).round(decimals)  # few values or many
    values = generator.standard_normal(images)
    expected = GradientBoostingRegressor(n_estimators=stages, random_state=0).fit(x, values)
    predicted = boost_regression(x, values, x, stages)[1]
    assert predicted == pytest.approx(expected.predict(x), abs=1e-9)


def test_importances_of_numbers_and_predictions_at_new_codes_are_those_of_scikit_learn():
    generator = seeded(1)
    x, new = generator.standard_normal((2, 2_000, 3)).astype(np.float32)
    values = x[:, 0] + x[:, 1] * x[:, 2] + generator.standard_normal(2_000)
    expected = GradientBoostingRegressor(random_state=0).fit(x, values)
    importance, predicted = boost_regression(x, values, new, 100)
    assert importance == pytest.approx(expected.feature_importances_, abs=2e-3)
    # Where latents tell the same few images from the rest, scikit-learn chooses one at random.
    assert np.median(np.abs(predicted - expected.predict(new))) < 1e-12
    assert np.abs(predicted - expected.predict(new)).mean() < 0.01


# Classes


@pytest.mark.parametrize("classes", [2, 6])
def test_continuous_codes_are_classified_as_by_scikit_learn(classes):
    generator = seeded(classes)
    x, new = generator.standard_normal((2, 1_500, 3)).astype(np.float32)
    hidden = x[:, 0] + x[:, 1] * x[:, 2] + generator.standard_normal(1_500)
    labels = np.digitize(hidden, np.quantile(hidden, np.arange(1, classes) / classes))
    importance, predicted = boost(x, labels, new, 30)
    expected = theirs(x, labels, 30)
    assert importance == pytest.approx(expected.feature_importances_, abs=2e-3)
    assert (predicted == expected.predict(new)).mean() > 0.995


@pytest.mark.parametrize(("classes", "stages", "tolerance", "alike"), [(2, 30, 1e-10, 1), (6, 15, 2e-3, 0.99)])
def test_codes_of_few_values_are_classified_as_by_scikit_learn_several_classes_up_to_ties(
    classes, stages, tolerance, alike
):
    generator = seeded(classes)
    x, hidden = drawn(4_000, generator)
    labels = np.digitize(hidden, np.quantile(hidden, np.arange(1, classes) / classes))
    importance, predicted = boost(x[:3_000], labels[:3_000], x, stages)
    expected = theirs(x[:3_000], labels[:3_000], stages)
    assert importance == pytest.approx(expected.feature_importances_, abs=tolerance)
    assert (predicted == expected.predict(x)).mean() >= alike


def test_disentanglement_of_noisy_codes_is_that_of_exact_trees_with_few_images():
    # Another implementation gives .859 for 1 500 images; with codes in 256 bins it is .820.
    factors = grid(3, 4, 6, 8, copies=20)
    levels = factors.levels / factors.levels.std(axis=0)
    codes = Representation(levels + 0.2 * seeded(5).standard_normal(levels.shape), factors)
    x, y = codes.draw(1_500, seeded(1))
    found = dci(codes, Sizes(1_500, 500), seeded(1))
    assert found.importance[:, 0] == pytest.approx(theirs(x, y[:, 0], 100).feature_importances_, abs=2e-3)
    assert found.disentanglement == pytest.approx(0.859, abs=0.01)


def test_the_first_guess_is_the_commonest_class_whatever_the_labels_are_called():
    importance, predicted = boost(np.zeros((6, 2)), np.array([3, 9, 9, 9, 5, 3]), np.ones((2, 2)), 5)
    assert predicted.tolist() == [9, 9]
    assert importance.tolist() == [0, 0]


def test_a_rare_class_is_learnt_and_pure_nodes_are_not_split():
    x = np.repeat(np.arange(4.0), [500, 500, 500, 1])[:, None]
    labels = x[:, 0].astype(int)
    importance, predicted = boost(x, labels, x[::-1], 20)
    assert (predicted == labels[::-1]).all()
    assert np.isfinite(importance).all()


def test_an_exact_exclusive_or_is_learnt_although_no_one_split_gains_anything():
    x = np.tile([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (10, 1))
    labels = (x[:, 0] != x[:, 1]).astype(int)
    assert theirs(x, labels, 10).score(x, labels) == 1
    assert (boost(x, labels, x, 10)[1] == labels).all()


def test_latents_that_say_the_same_share_their_importance():
    generator = seeded(0)
    labels = generator.integers(4, size=600)
    x = np.stack([labels, generator.standard_normal(600), -3 * labels, labels + 7], axis=1).astype(np.float64)
    assert boost(x, labels, x, 5)[0] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=1e-6)


def test_new_codes_go_to_the_nearer_of_their_neighbours():
    x = np.repeat([[5.0], [-1.0], [2.0]], 10, axis=0)
    labels = np.repeat([0, 1, 2], 10)
    new = np.array([[-9.0], [0.4], [0.6], [3.4], [3.6], [99.0]])
    assert boost(x, labels, new, 5)[1].tolist() == [1, 1, 2, 2, 0, 0]


def test_neighbouring_floats_are_still_different_codes():
    first = np.float32(0.3)
    second = np.nextafter(first, np.float32(1))
    third = np.nextafter(second, np.float32(1))
    for some in (np.array([first, second, third]), np.array([0.3, np.nextafter(0.3, 1), np.nextafter(0.3, -1)])):
        x = np.repeat(some, 5)[:, None]
        labels = np.repeat([2, 0, 1], 5)
        assert boost(x, labels, x, 5)[1].tolist() == labels.tolist()


# Threads, memory and machine code


def test_any_number_of_threads_gives_the_same_scores():
    factors = grid(3, 4, 5, copies=10)
    codes = Representation(seeded(3).standard_normal((len(factors), 4)) + factors.levels[:, :1], factors)
    one, three = (dci(codes, Sizes(500, 300, trees=10), seeded(0), workers) for workers in (1, 3))
    assert (one.importance == three.importance).all()
    assert one[:3] == three[:3]


MEMORY = """
import resource, sys
import numpy as np
from vae.disentanglement.boosting import boost
generator = np.random.default_rng(0)
x, labels = generator.standard_normal((20_000, 10)), generator.integers(10, size=20_000)
boost(x[:100], labels[:100], x[:10], 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
boost(x, labels, x, 2)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is Unix's")
def test_memory_is_a_few_times_that_of_the_codes_and_scores():
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", MEMORY], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 32  # megabytes; the codes have 1.6, the scores of ten classes 1.6


def test_without_a_directory_for_machine_code_functions_are_compiled_all_the_same(monkeypatch):
    plain = numba.njit

    def nowhere(cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(numba, "njit", nowhere)

    def doubled(x):
        return 2 * x

    assert compiled(doubled)(21) == 42
