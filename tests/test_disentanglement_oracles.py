"""The metrics where the answer is known: the cases of Locatello et al.'s library, and scores done again by hand."""

import numpy as np
import pytest
from known_codes import grid, identity, independent, noisy, nothing, seeded, shuffled, twice
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC

from vae.disentanglement.beta_vae_score import beta_vae_score, pair_differences
from vae.disentanglement.dci import dci, disentanglement
from vae.disentanglement.factor_vae_score import factor_vae_score
from vae.disentanglement.irs import QUANTILE, irs
from vae.disentanglement.mig import mig
from vae.disentanglement.modularity import modularity, modularity_explicitness
from vae.disentanglement.representation import Representation, Sizes, gap
from vae.disentanglement.sap import sap, sap_continuous, squared_correlations

EYE = np.eye(5)
TWO_OF_TEN = 1 - np.log(2) / np.log(10)


@pytest.fixture(scope="module")
def ten():
    """Ten factors of ten levels."""
    return independent()


# The cases of Locatello et al.'s library: the factors themselves, every code twice, the same code for all


KNOWN = {  # the score of identity, of nothing, of shuffled (None: not low) and of twice
    "beta": (lambda codes: beta_vae_score(codes, Sizes(2_000, 1_000, 5), seeded()), 0.1, 0.1, None),
    "factor": (lambda codes: factor_vae_score(codes, Sizes(3_000, 2_000, 5), seeded()).score, 0, None, None),
    "mig": (lambda codes: mig(codes, Sizes(3_000), seeded()).score, 0, None, 0),
    "sap_continuous": (lambda codes: sap_continuous(codes, Sizes(3_000), seeded()).score, 0, None, 0),
    "irs": (lambda codes: irs(*codes.draw(3_000, seeded())).score, 0, 0, None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_factors_themselves_score_one_and_codes_without_information_chance(ten, name):
    of, dead, other_images, repeated = KNOWN[name]
    assert 0.9 <= of(identity(ten)) <= 1
    assert of(nothing(ten)) == pytest.approx(dead, abs=0.05 if dead else 0)
    if other_images is not None:
        assert of(shuffled(ten)) == pytest.approx(other_images, abs=0.1)
    if repeated is not None:
        assert of(twice(ten)) == pytest.approx(repeated, abs=1e-12)


# β-VAE score


def test_pairs_differ_in_every_factor_but_the_one_that_they_share():
    factors = grid(4, 5, 6)
    features, fixed = pair_differences(identity(factors), 600, 50, seeded())
    assert (features[np.arange(600), fixed] == 0).all()
    for k, size in enumerate(factors.sizes):
        expected = (size**2 - 1) / (3 * size)  # mean distance of two uniform levels
        assert features[fixed != k, k].mean() == pytest.approx(expected, rel=0.03)
    assert np.bincount(fixed).tolist() == pytest.approx([200] * 3, abs=60)


# FactorVAE score


def test_every_vote_goes_to_the_latent_of_the_factor_that_was_held():
    factors = grid(4, 5, 6)
    order = [2, 0, 1]
    found = factor_vae_score(Representation(identity(factors).codes[:, order], factors), Sizes(600, 300, 20), seeded())
    assert (found.matrix > 0).tolist() == np.eye(3, dtype=bool)[order].tolist()
    assert found.matrix.sum() == 600
    assert found.score == 1


def test_a_dead_latent_gets_no_votes_and_keeps_its_place():
    factors = grid(4, 5, 6)
    values = np.insert(identity(factors).codes, 1, 1e-3 * seeded().standard_normal(len(factors)), axis=1)
    found = factor_vae_score(Representation(values, factors), Sizes(600, 300, 20), seeded())
    assert found.matrix[1].sum() == 0
    assert found.matrix[[0, 2, 3], [0, 1, 2]].sum() == 600


def test_one_latent_for_all_factors_is_right_as_often_as_the_commonest_is_held():
    factors = grid(4, 5, 6)
    found = factor_vae_score(Representation(identity(factors).codes[:, :1], factors), Sizes(3_000, 3_000, 5), seeded())
    assert found.score == pytest.approx(1 / 3, abs=0.04)


# MIG


def test_the_gap_done_again_with_scikit_learn():
    codes = noisy(grid(4, 5, 6, copies=10))
    found = mig(codes, Sizes(1_000), seeded(3))
    values, levels = codes.draw(1_000, seeded(3))
    gaps = []
    for k in range(3):
        information = []
        for j in range(codes.latents):
            bins = np.digitize(values[:, j], np.histogram(values[:, j], 20)[1][:-1])
            information.append(mutual_info_score(levels[:, k], bins))
            assert found.matrix[j, k] == pytest.approx(information[j], abs=1e-12)
        second, first = sorted(information)[-2:]
        gaps.append((first - second) / mutual_info_score(levels[:, k], levels[:, k]))
    assert found.score == pytest.approx(np.mean(gaps))


def test_the_gap_is_between_the_two_best_and_to_nothing_if_there_is_one():
    assert gap(np.array([[0.1, 0.9], [0.7, 0.8], [0.4, 0.0]])) == pytest.approx([0.3, 0.1])
    assert gap(np.array([[0.25, 0.5]])).tolist() == [0.25, 0.5]


# DCI


@pytest.mark.parametrize(
    ("importance", "disentangled", "complete"),
    [
        (EYE, 1, 1),
        (np.zeros((5, 5)), 0, 0),
        (np.vstack([np.eye(10), np.eye(10)]), 1, 1 - np.log(2) / np.log(20)),
        (np.hstack([np.eye(10), np.eye(10)]), 1 - np.log(2) / np.log(20), 1),
        (EYE[:2], 1, 1),
        (np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), 1, 1),
        (np.ones((4, 4)), 0, 0),
        (
            np.array([[3.0, 0.0], [0.5, 0.5]]),
            0.75,
            (3.5 * (1 + np.log(6 / 7) * 6 / 7 / np.log(2) + np.log(1 / 7) / 7 / np.log(2)) + 0.5) / 4,
        ),
    ],
)
def test_disentanglement_and_completeness_of_a_matrix(importance, disentangled, complete):
    assert disentanglement(importance) == pytest.approx(disentangled, abs=1e-6)
    assert disentanglement(importance.T) == pytest.approx(complete, abs=1e-6)


def test_dci_of_the_factors_themselves_is_one(ten):
    found = dci(identity(ten), Sizes(1_000, 1_000, trees=3), seeded())
    assert min(found[:3]) >= 0.9
    assert max(found[:3]) <= 1
    assert found.importance == pytest.approx(np.eye(10), abs=0.01)


def test_dci_of_codes_of_other_images_is_none(ten):
    found = dci(shuffled(ten), Sizes(1_000, 1_000, trees=10), seeded())
    assert 0 <= found.disentanglement < 0.2
    assert 0 <= found.completeness < 0.2
    assert found.informativeness == pytest.approx(0.1, abs=0.05)


def test_every_latent_twice_is_disentangled_and_half_as_complete(ten):
    found = dci(twice(ten), Sizes(1_000, 1_000, trees=3), seeded())
    assert found.disentanglement == pytest.approx(1, abs=0.1)
    assert found.completeness == pytest.approx(TWO_OF_TEN, abs=0.1)
    assert found.importance[:10] == pytest.approx(found.importance[10:])


# SAP


def test_squared_correlations_are_those_of_numpy():
    codes = noisy(grid(4, 5, 6, copies=10))
    values, levels = codes.draw_values(500, seeded())
    expected = np.corrcoef(values, levels, rowvar=False)[: codes.latents, codes.latents :] ** 2
    assert squared_correlations(values, levels) == pytest.approx(expected)


def test_sap_done_again_in_plain_loops():
    codes = noisy(grid(2, 4, copies=75))
    found = sap(codes, Sizes(300, 200), seeded(4))
    generator = seeded(4)
    x, y = codes.draw(300, generator)
    fresh, answers = codes.draw(200, generator)
    gaps = []
    for k in range(2):
        accuracies = []
        for j in range(codes.latents):
            machine = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-12).fit(x[:, j : j + 1], y[:, k])
            accuracies.append((machine.predict(fresh[:, j : j + 1]) == answers[:, k]).mean())
            assert found.matrix[j, k] == pytest.approx(accuracies[j])
        gaps.append(max(accuracies) - sorted(accuracies)[-2])
    assert found.score == pytest.approx(np.mean(gaps))


def test_sap_of_two_levels_far_apart_is_half_and_of_nothing_or_each_twice_zero():
    factors = grid(2, 2)
    for codes, expected in ((identity(factors), 0.5), (nothing(factors), 0), (twice(factors), 0)):
        assert sap(codes, Sizes(400, 400), seeded()).score == pytest.approx(expected, abs=0.1 if expected else 0)


# Modularity and explicitness


@pytest.mark.parametrize(
    ("information", "modular"),
    [
        (EYE, 1),
        (np.diag([1.0, 1.0, 0.0]), 2 / 3),
        (np.zeros((5, 5)), 0),
        (np.hstack([EYE, EYE]), 1 - 1 / 9),
        (np.vstack([EYE, EYE]), 1),
        (np.array([[2.0, 1.0, 0.0]]), 1 - 1 / (2 * 4)),
        (np.array([[2.0], [0.0]]), 0.5),
    ],
)
def test_modularity_of_a_matrix(information, modular):
    assert modularity(information) == pytest.approx(modular)


def test_explicitness_done_again_with_scikit_learn():
    codes = noisy(grid(3, 4, copies=50))
    found = modularity_explicitness(codes, Sizes(400, 300), seeded(5))
    generator = seeded(5)
    x, y = codes.draw(400, generator)
    fresh, answers = codes.draw(300, generator)
    areas = []
    for k in range(2):
        scaled, fresh_scaled = (x - x.mean(0)) / x.std(0), (fresh - x.mean(0)) / x.std(0)
        p = LogisticRegression(max_iter=1000).fit(scaled, y[:, k]).predict_proba(fresh_scaled)
        areas.append(roc_auc_score(answers[:, k], p, multi_class="ovr", average="macro"))
    assert found["explicitness"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert 0.7 < found["explicitness"] < 1


def test_explicitness_is_one_where_levels_are_told_and_chance_where_not():
    factors = grid(2, 3, 2)
    one_hot = np.hstack([np.eye(size)[factors.levels[:, k]] for k, size in enumerate(factors.sizes)])
    for codes, expected in ((Representation(one_hot, factors), 1), (nothing(factors), 0.5)):
        assert modularity_explicitness(codes, Sizes(500, 500), seeded())["explicitness"] == expected


# IRS


def test_irs_done_again_in_plain_loops():
    codes = noisy(grid(3, 4, copies=50))
    values, levels = codes.draw(500, seeded())
    best, weights = [], []
    for code in values.T:
        reach = max(abs(code - code.mean()))
        robust = []
        for factor in levels.T:
            moved = [np.quantile(abs(code[factor == v] - code[factor == v].mean()), QUANTILE) for v in set(factor)]
            robust.append(max(0, 1 - np.mean(moved) / reach))
        best.append(max(robust))
        weights.append(reach)
    assert irs(values, levels).score == pytest.approx(np.dot(best, weights) / sum(weights))
