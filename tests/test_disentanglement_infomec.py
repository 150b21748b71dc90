"""InfoMEC where the answer is known, and the authors' values."""

import numpy as np
import pytest
from known_codes import grid, identity, independent, nothing, seeded, twice
from scipy.stats import entropy
from sklearn.feature_selection import mutual_info_classif

from vae.data.factors import Factors
from vae.disentanglement.infomec import concentration, infomec, nearest_neighbour_information, share_of_entropy
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.scores import score

GRID = grid(3, 4, 6, 8, copies=20)
STANDARD = (GRID.levels - GRID.levels.mean(axis=0)) / GRID.levels.std(axis=0)
TURN = np.kron(np.eye(2), np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2))
SIZES = Sizes()


def scores(codes: np.ndarray, factors: Factors = GRID, active: np.ndarray | None = None) -> tuple[float, float, float]:
    return infomec(Representation(codes, factors, active), SIZES, seeded())[:3]


def noise(latents: int, seed: int = 0) -> np.ndarray:
    return seeded(seed).standard_normal((len(GRID), latents))


# InfoE of the noisy codes is that of the authors' code. M and C are exact: see the next test for theirs.
KNOWN = {
    "random": (noise(4), (0, 0, 0)),
    "the factors": (STANDARD, (1, 1, 1)),
    "with noise": (STANDARD + 0.2 * noise(4), (1, 1, 0.88)),
    "turned by 45 degrees": (STANDARD @ TURN, (1 / 3, 1 / 3, 1)),
    "each twice": (np.hstack([STANDARD, STANDARD]), (1, 3 / 7, 1)),
    "each twice with noise": (np.hstack([STANDARD, STANDARD]) + 0.2 * noise(8), (1, 3 / 7, 0.96)),
    "half random": (np.hstack([STANDARD[:, :2], noise(2)]), (0.5, 0.5, 0.5)),
    "collapsed": (0 * STANDARD, (0, 0, 0)),
}


@pytest.mark.parametrize(("codes", "expected"), KNOWN.values(), ids=KNOWN)
def test_the_scores_of_known_codes(codes, expected):
    assert scores(codes) == pytest.approx(expected, abs=0.01)


def test_with_ten_factors_the_scores_are_exact_and_codes_twice_are_less_compact():
    ten = independent()
    assert scores(identity(ten).codes, ten) == pytest.approx((1, 1, 1), abs=1e-3)
    assert scores(twice(ten).codes, ten) == pytest.approx((1, 0.4737, 1), abs=1e-3)


def test_images_that_are_drawn_twice_and_small_estimates_give_the_values_of_the_authors_code():
    for codes, expected in (
        (STANDARD + 0.2 * noise(4), (0.91, 0.91)),
        (np.hstack([STANDARD, STANDARD]) + 0.2 * noise(8), (0.92, 0.40)),
        (noise(4), (0.07, 0.06)),
    ):
        drawn = seeded(5).integers(len(GRID), size=4_000)  # of 11 520, with replacement
        x, y = codes[drawn] + 1e-9 * seeded(6).standard_normal((4_000, codes.shape[1])), GRID.levels[drawn]
        information = np.array([[nearest_neighbour_information(code, level) for level in y.T] for code in x.T])
        shares = np.maximum(information, 0) / [entropy(np.bincount(level)) for level in y.T]
        assert (concentration(shares), concentration(shares.T)) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("images", "levels"), [(60, 2), (500, 8), (3_000, 40), (90, 60)])
def test_the_information_is_that_of_scikit_learn(images, levels):
    generator = seeded(images)
    level = generator.integers(levels, size=images)
    code = level / levels + 0.3 * generator.standard_normal(images)
    expected = mutual_info_classif(code[:, None], level, n_neighbors=10, random_state=0)
    # The k-th neighbour, at the edge of the interval, is sometimes inside it by rounding.
    assert max(0.0, nearest_neighbour_information(code, level)) == pytest.approx(expected[0], abs=1 / images)


def test_the_information_of_levels_with_one_image_each_is_none():
    assert nearest_neighbour_information(np.arange(5.0), np.arange(5)) == 0


def test_the_information_does_not_depend_on_the_units_or_signs_of_latents():
    codes = STANDARD + 0.5 * noise(4)
    assert scores(1e3 - 50 * codes) == pytest.approx(scores(codes), abs=1e-3)


def test_latents_without_a_rate_are_pruned_and_those_that_are_not_ruin_the_modularity():
    codes = np.hstack([STANDARD, 0.1 * noise(3)])  # their range is 0.2 of that of the others
    active = np.arange(7) < 4
    assert scores(codes, active=active) == pytest.approx(scores(STANDARD), abs=0.01)
    assert scores(codes)[0] == pytest.approx(4 / 7, abs=0.01)
    # A posterior as wide as the prior around these means has a rate of 0.005 nats.
    logvar = np.where(active, -8.0, 0.0) * np.ones_like(codes)
    small = Sizes(train=1_000, test=100, batch=4, trees=1, samples=50, components=50)
    found = score(codes.astype(np.float32), logvar.astype(np.float32), GRID, sizes=small)
    assert found.numbers["infom"] == pytest.approx(1, abs=0.01)
    assert found.numbers["infom_sampled"] == pytest.approx(1, abs=0.01)
    assert (found.matrices["normalised_information"][4:] == 0).all()


def test_one_factor_and_one_latent_have_scores():
    alone = Factors.of({"only": GRID.levels[:, 3]})
    assert scores(STANDARD, alone)[0] == pytest.approx(1 / 4)  # three latents are about nothing
    assert scores(STANDARD[:, 3:], alone) == pytest.approx((1, 1, 1), abs=1e-3)
    assert scores(STANDARD[:, 3:]) == pytest.approx((1, 1 / 4, 1 / 4), abs=0.01)  # of four factors, one is in it
    assert scores(noise(1), alone) == pytest.approx((0, 0, 0), abs=0.01)


def test_without_an_active_latent_the_scores_are_zero():
    assert scores(STANDARD, active=np.zeros(4, dtype=np.bool_)) == (0, 0, 0)
    assert scores(nothing(GRID).codes) == (0, 0, 0)


def test_unequal_levels_have_the_entropy_as_null_model():
    levels = (np.arange(2_000) % 10 == 0).astype(np.int64)
    assert share_of_entropy(seeded().standard_normal((2_000, 3)), levels) == pytest.approx(0, abs=0.01)
    assert share_of_entropy(levels[:, None].astype(float), levels) == pytest.approx(1, abs=1e-3)
