"""UDR: models that differ in the order and the sign of their latents are alike, others are not."""

import numpy as np
import pytest
from known_codes import grid, seeded
from sklearn.linear_model import Lasso

from vae.disentanglement.udr import LASSO_PENALTY, by_lasso, relative_strength, standardised, udr

ALIVE = np.ones(3)
EXACT = 1 - LASSO_PENALTY  # of the same latents: the lasso shrinks its coefficients


def uncorrelated() -> np.ndarray:
    return grid(5, 6, 7).levels.astype(np.float64)


def gaussian(seed: int, images: int = 2_000) -> np.ndarray:
    return seeded(seed).standard_normal((images, 3))


def test_models_that_differ_in_order_sign_and_unit_are_the_same():
    x = uncorrelated()
    models = [x, -x[:, [2, 0, 1]], x[:, ::-1] * np.array([0.1, -3.0, 7.0]) + 2]
    assert udr(models, [ALIVE] * 3) == pytest.approx([EXACT] * 3, abs=1e-6)


def test_independent_codes_are_not_alike():
    models = [gaussian(seed) for seed in range(3)]
    assert (udr(models, [ALIVE] * 3) < 0.06).all()


def test_entangled_latents_are_less_alike_than_the_ones_that_they_mix():
    x = gaussian(0)
    rotation, _ = np.linalg.qr(seeded(1).standard_normal((3, 3)))
    assert (udr([x, x @ rotation], [ALIVE] * 2) < 0.8 * EXACT).all()


def test_the_score_is_the_median_of_the_likeness_to_the_others():
    x = uncorrelated()
    stranger = seeded(0).permuted(x, axis=0)
    assert udr([x[:, :1], 2 - x[:, :1]], [np.ones(1)] * 2) == pytest.approx([EXACT] * 2, abs=1e-6)  # one latent each
    scores = udr([x, x, x, x[:, ::-1], stranger], [ALIVE] * 5)
    assert scores[:4] == pytest.approx([EXACT] * 4, abs=1e-6)  # one stranger of four is outvoted
    assert scores[4] < 0.2


def test_a_latent_without_rate_does_not_count():
    x, noise = uncorrelated(), seeded(0).standard_normal((210, 3))
    alone = udr([x, x], [ALIVE] * 2)
    models = [np.insert(x, 1, noise[:, 0], axis=1), np.insert(x, 3, noise[:, 1], axis=1)]
    rates = [np.array([1.0, 0.009, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])]
    assert udr(models, rates) == pytest.approx(alone, abs=1e-6)
    assert (udr(models, [np.ones(4)] * 2) < alone - 0.1).all()


def test_a_model_that_says_nothing_is_like_no_other():
    x = uncorrelated()
    assert udr([x, x], [np.zeros(3)] * 2).tolist() == [0, 0]
    assert udr([x, x], [ALIVE, np.zeros(3)]).tolist() == [0, 0]
    assert udr([np.full_like(x, 0.3)] * 2, [ALIVE] * 2).tolist() == [0, 0]


def test_one_model_has_nothing_to_be_compared_with():
    with pytest.raises(ValueError, match="two seeds or more, got 1"):
        udr([uncorrelated()], [ALIVE])


def test_the_lassos_of_all_targets_at_once_are_those_of_scikit_learn():
    generator = seeded(2)
    x = standardised(generator.standard_normal((300, 6)) @ generator.standard_normal((6, 6)))  # correlated latents
    y = standardised(x @ generator.standard_normal((6, 20)) + generator.standard_normal((300, 20)))
    one_by_one = Lasso(alpha=LASSO_PENALTY, tol=1e-10, max_iter=100_000).fit(x, y).coef_.T
    assert by_lasso(x, y) == pytest.approx(np.abs(one_by_one), abs=1e-3)


def test_strength_is_shared_between_counterparts():
    assert relative_strength(np.array([[0.5, 0.5], [0.0, 0.0]])) == pytest.approx(0.5 * (0.5 + 0.5 * 0.25))
    assert relative_strength(np.zeros((3, 3))) == 0
    strength = seeded(0).uniform(size=(4, 6))
    assert relative_strength(strength) == pytest.approx(relative_strength(strength[::-1].T))
