from decimal import Decimal

import numpy as np
import pytest

from vae.data.factors import Factors, Kind


def grid() -> Factors:
    shape, x, y = (axis.ravel() for axis in np.meshgrid(range(3), range(4), range(5), indexing="ij"))
    return Factors.of({"shape": shape, "x": x, "y": y})


def test_levels_are_numbered_in_sorted_order_whatever_the_values_are():
    factors = Factors.of({"word": ["b", "a", "c", "a"], "value": [0.5, 0.25, 0.5, 0.75]})
    assert factors.names == ("word", "value")
    assert factors.levels.tolist() == [[1, 1], [0, 0], [2, 1], [0, 2]]
    assert factors.sizes == (3, 3)


def test_numbers_keep_their_distances_and_words_have_none():
    factors = Factors.of({"word": ["b", "a", "c"], "size": [1.0, 100.0, 10.0], "exact": [Decimal(5), Decimal(9), 6]})
    assert [str(kind) for kind in factors.kinds] == ["words", "numbers", "numbers"]
    assert pytest.approx(np.array([[0.5, 0, 1], [0, 1, 1 / 11], [0, 1, 0.25]])) == factors.values.T
    assert Factors.of({"flag": [True, False]}).kinds == (Kind.numbers,)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([-1.7e308, 0.0, 1.7e308], [0, 0.5, 1]),
        ([0.0, 5e-324, 1e-300], [0, 0, 1]),
        ([Decimal("1e400"), Decimal(1), Decimal(2)], [1, 0, 0.5]),  # beyond the floats: evenly spaced
        ([Decimal("1." + 30 * "0" + digit) for digit in "132"], [0, 1, 0.5]),  # as floats all are 1
        (np.array([0, 2**63, 2**64 - 1], dtype=np.uint64), [0, 0.5, 1]),
    ],
)
def test_values_are_finite_whatever_the_numbers_are(numbers, expected):
    assert Factors.of({"k": numbers}).values[:, 0] == pytest.approx(np.array(expected), abs=1e-9)


def test_a_part_numbers_its_levels_again_and_keeps_its_values():
    factors = Factors.of({"x": [0, 10, 2, 5], "word": ["a", "a", "a", "b"], "y": [4, 3, 2, 1]})
    part = factors.part(np.array([1, 2]))
    assert part.names == ("x", "y")
    assert part.levels.tolist() == [[1, 1], [0, 0]]
    assert part.sizes == (2, 2)
    assert part.values == pytest.approx(np.array([[1, 2 / 3], [0.2, 1 / 3]]))
    assert factors.part(np.array([2])).names == ()
    assert factors.part(np.array([2])).levels.shape == (1, 0)


def test_a_factor_that_never_changes_is_left_out():
    assert Factors.of({"colour": [7, 7], "x": [0, 1]}).names == ("x",)
    assert Factors.of({"colour": [7, 7]}).levels.shape == (2, 0)


def test_partners_share_the_factor_and_nothing_else_systematically():
    factors, generator = grid(), np.random.default_rng(0)
    images = factors.draw(60_000, generator)
    partners = factors.partners(images, 1, generator)
    assert (factors.levels[images, 1] == factors.levels[partners, 1]).all()
    for other in (0, 2):
        together = np.histogram2d(factors.levels[images, other], factors.levels[partners, other], factors.sizes[other])
        share = together[0] / len(images)
        assert share == pytest.approx(np.full_like(share, 1 / factors.sizes[other] ** 2), abs=0.005)


def test_draws_are_uniform_over_the_grid():
    factors = grid()
    counts = np.bincount(factors.draw(60_000, np.random.default_rng(1)), minlength=60)
    assert (abs(counts - 1000) < 5 * 1000**0.5).all()


def test_partners_have_the_shape_of_what_was_asked():
    factors = grid()
    assert factors.partners(np.zeros((4, 3), dtype=np.int64), 0, np.random.default_rng(0)).shape == (4, 3)
