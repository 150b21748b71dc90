"""All metrics at once: their names, what they may not depend on, and encodings that are bad in every way."""

import warnings

import numpy as np
import pytest
from known_codes import SMALL, UNBOUNDED, grid, identity, noisy, nothing, seeded, shuffled, twice

from vae.data.factors import Factors
from vae.disentanglement.irs import irs
from vae.disentanglement.own_metrics import RESERVED, SCORE_NAMES
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.sap import sap
from vae.disentanglement.scores import code_scores, expected_seconds, level_scores, score, too_many

MATRICES = {
    "factor_vae_votes",
    "mutual_information",
    "dci_importance",
    "sap_accuracy",
    "squared_correlation",
    "irs_robustness",
}
# What changes with the unit of all latents, and with the units of single ones. Two classifiers are regularised.
UNIT = {"gaussian_wasserstein", "beta_vae_score", "sap", "active_codes_total_correlation"}
UNITS = UNIT | {"gaussian_wasserstein_normalised", "irs", "irs_baseline"}
FACTORS = grid(3, 4, 2, copies=30)
ONE_FACTOR = Factors.of({"only": np.arange(120) % 3})


@pytest.fixture(scope="module")
def codes() -> Representation:
    return noisy(FACTORS)


@pytest.fixture(scope="module")
def straight(codes):
    return code_scores(codes, 0, SMALL, 1)


def numbers(values, factors: Factors = FACTORS) -> dict[str, float]:
    return code_scores(Representation(values, factors), 0, SMALL, 1)[0]


def assert_in_bounds(found: dict[str, float]) -> None:
    for name, value in found.items():
        assert type(value) is float, name
        assert value >= -1e-12, (name, value)
        assert np.isfinite(value), name
        assert value <= 1 + 1e-9 or name.removesuffix("_sampled") in UNBOUNDED, (name, value)


# What the scores do not depend on


def test_the_order_of_latents_makes_no_difference(codes, straight):
    order = [2, 0, 3, 1]
    found, matrices = code_scores(Representation(codes.codes[:, order], FACTORS), 0, SMALL, 1)
    assert found == pytest.approx(straight[0], abs=0.01)
    for name, matrix in matrices.items():
        assert matrix == pytest.approx(straight[1][name][order], abs=0.01), name


def test_the_signs_of_latents_make_no_difference(codes, straight):
    found = numbers(codes.codes * np.array([1.0, -1.0, -1.0, 1.0]))
    assert found == pytest.approx(straight[0], abs=0.02)  # a code on the edge of a bin is on its other side


@pytest.mark.parametrize(("units", "change"), [([2.0, 8.0, 0.5, 4.0], UNITS), ([4.0] * 4, UNIT)])
def test_the_units_of_latents_make_no_difference_where_the_definition_has_none(codes, straight, units, change):
    found = numbers(codes.codes * units)
    for name in SCORE_NAMES - change:
        assert found[name] == pytest.approx(straight[0][name], abs=1e-6), name


def test_the_order_of_factors_makes_no_difference_but_for_the_draws(codes, straight):
    order = [1, 2, 0]
    found = code_scores(codes.only([FACTORS.names[k] for k in order]), 0, SMALL, 1)[1]
    for name in MATRICES - {"factor_vae_votes"}:
        assert found[name] == pytest.approx(straight[1][name][:, order], abs=1e-9), name


def test_the_same_seed_gives_the_same_scores_and_threads_make_no_difference(codes):
    logvar = np.full_like(codes.codes, -3.0)
    one, threads, other = (score(codes.codes, logvar, FACTORS, seed, SMALL, n) for seed, n in ((3, 1), (3, 3), (4, 1)))
    assert one.numbers == threads.numbers != other.numbers
    for name, matrix in one.matrices.items():
        assert (matrix == threads.matrices[name]).all(), name


def test_the_filters_for_warnings_are_as_before_many_threads():
    before = list(warnings.filters)
    sap(noisy(FACTORS, extra=40), Sizes(100, 50), seeded(), 8)
    assert warnings.filters == before


# What they do depend on


def test_mixing_latents_lowers_the_scores_of_single_ones():
    factors = grid(4, 4, 4)
    rotation, _ = np.linalg.qr(seeded(1).standard_normal((3, 3)))
    centred = factors.levels - 1.5
    apart, mixed = numbers(centred, factors), numbers(centred @ rotation, factors)
    for name in ("mig", "dci_disentanglement", "dci_completeness", "sap_continuous", "modularity", "irs"):
        assert mixed[name] < apart[name] - 0.1, name
    assert mixed["explicitness"] == pytest.approx(apart["explicitness"], abs=0.02)  # a linear read-out undoes it


# The whole


def test_every_score_has_its_name_and_every_matrix_its_shape(codes):
    found = score(codes.codes, np.full_like(codes.codes, -3.0), FACTORS, sizes=SMALL)
    assert set(found.numbers) == SCORE_NAMES | {f"{name}_sampled" for name in SCORE_NAMES} | {"mig_chen"}
    assert set(found.numbers) < RESERVED
    assert set(found.matrices) == MATRICES | {"mig_chen"}
    assert {matrix.shape for matrix in found.matrices.values()} == {(4, 3)}
    assert {matrix.dtype for matrix in found.matrices.values()} == {np.dtype(np.float64)}
    assert found.matrices["factor_vae_votes"].sum() == SMALL.train
    assert_in_bounds(found.numbers)


def test_narrow_posteriors_are_scored_as_their_means_and_wide_ones_worse_by_the_variance_of_their_samples():
    mean = identity(FACTORS).codes.astype(np.float32)
    narrow = score(mean, np.full_like(mean, -20), FACTORS, sizes=SMALL).numbers
    wide = score(mean, np.full_like(mean, 2), FACTORS, sizes=SMALL).numbers
    for name in ("mig", "dci_informativeness", "sap_continuous", "explicitness"):
        assert narrow[name] == wide[name], name
        assert narrow[f"{name}_sampled"] == pytest.approx(narrow[name], abs=0.05), name
        assert wide[f"{name}_sampled"] < narrow[name] - 0.1, name
    assert wide["mig_chen"] < 0.5 < 0.9 < narrow["mig_chen"]
    variance = mean.var(axis=0)
    expected = (variance / (variance + np.exp(2))).mean()  # squared correlation of a level and itself with noise
    assert wide["sap_continuous_sampled"] == pytest.approx(expected, abs=0.06)


# Bad encodings


BAD = {
    "dead": nothing(FACTORS, 3),
    "each twice": twice(FACTORS),
    "of other images": shuffled(FACTORS),
    "one": Representation(identity(FACTORS).codes[:, :1], FACTORS),
    "one constant": Representation(np.insert(1e4 * identity(FACTORS).codes, 1, 7.7, axis=1), FACTORS),
    "rank one": Representation(1e-4 * identity(FACTORS).codes @ np.ones((3, 5)), FACTORS),
    "two images": noisy(grid(2)),
    "one factor": noisy(ONE_FACTOR, extra=0),
    "one factor and dead": nothing(ONE_FACTOR, 1),
}


@pytest.mark.parametrize("codes", BAD.values(), ids=BAD)
def test_no_encoding_is_too_bad_for_a_score(codes):
    mean = codes.codes.astype(np.float32)
    found = score(mean, np.full_like(mean, -4), codes.factors, sizes=SMALL)
    assert_in_bounds(found.numbers)
    assert all(np.isfinite(matrix).all() for matrix in found.matrices.values())


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_codes_that_are_all_the_same_score_nothing(value):
    found, matrices = code_scores(nothing(FACTORS, 3, value), 0, SMALL, 1)
    guessing = {"beta_vae_score": 1 / 3, "dci_informativeness": (1 / 2 + 1 / 3 + 1 / 4) / 3, "explicitness": 0.5}
    for name, number in found.items():
        assert number == pytest.approx(guessing.get(name, 0), abs=0.1 if name in guessing else 1e-12), name
    for name in MATRICES - {"sap_accuracy"}:
        assert matrices[name] == pytest.approx(0, abs=1e-12), name


def test_a_constant_latent_is_not_robust_however_its_mean_is_rounded():
    factors = grid(3, 4, copies=800)
    codes = noisy(factors).codes.astype(np.float32)
    alone, with_dead = irs(codes, factors.levels), irs(np.insert(codes, 1, np.float32(0.3), axis=1), factors.levels)
    assert (with_dead.matrix[1] == 0).all()
    assert with_dead.score == pytest.approx(alone.score, abs=1e-6)


def test_one_factor_is_always_told_and_never_mixed():
    found = numbers(noisy(ONE_FACTOR, extra=0).codes, ONE_FACTOR)
    assert found["beta_vae_score"] == found["factor_vae_score"] == 1  # there is no other
    assert found["dci_disentanglement"] == found["modularity"] == 1


def test_one_latent_is_complete_and_cannot_be_disentangled():
    found = numbers(identity(FACTORS).codes[:, :1])
    assert found["dci_completeness"] == 1
    assert found["dci_disentanglement"] < 0.5
    assert found["mig"] == pytest.approx(1 / 3, abs=0.05)  # it tells one of three


def test_a_latent_more_that_is_dead_changes_little_but_modularity(codes, straight):
    found = numbers(np.insert(codes.codes, 2, 0.0, axis=1))
    for name, value in found.items():
        if name in ("modularity", "modularity_baseline"):
            assert value == pytest.approx(straight[0][name] * 4 / 5)
        elif name == "mutual_information_score":
            assert value == pytest.approx(straight[0][name] * 6 / 10)  # of as many more pairs
        elif name == "dci_completeness":
            assert value > straight[0][name]  # among more latents the same one is found
        else:
            assert value == pytest.approx(straight[0][name], abs=1e-3), name


@pytest.mark.parametrize(("draws", "seed"), [(2, 1), (3, 2)])
def test_few_draws_are_enough_for_a_score(draws, seed, codes):
    sizes = Sizes(train=draws, test=draws, batch=2, trees=2, samples=draws, components=draws)
    assert_in_bounds(level_scores(codes, seed, sizes, 1)[0])
    assert_in_bounds(score(codes.codes, np.full_like(codes.codes, -3.0), FACTORS, seed, sizes).numbers)


# Factors with too many levels


def mixed_factors(images: int = 600) -> Factors:
    """A factor of 3 levels, one with a level an image, one of 4 levels."""
    levels = {"shape": np.arange(images) % 3, "angle": seeded(7).permutation(images), "size": np.arange(images) // 150}
    return Factors.of(levels)


def test_a_factor_with_a_level_an_image_is_named_and_left_out_of_all_scores_but_the_correlation():
    factors = mixed_factors()
    perfect = factors.levels / np.array(factors.sizes)
    logvar = np.full_like(perfect, -6.0)
    found = score(perfect, logvar, factors, sizes=SMALL)
    assert found.factors == ("shape", "size")
    assert found.left_out == {"angle": "600 levels, 0.7 images a level, fewer than 10"}
    alone = score(perfect, logvar, Representation(perfect, factors).only(["shape", "size"]).factors, sizes=SMALL)
    ordered = ("sap_continuous", "sap_continuous_sampled")
    assert alone.numbers | {name: found.numbers[name] for name in ordered} == found.numbers
    assert found.matrices["squared_correlation"].shape == (3, 3)
    np.testing.assert_allclose(found.matrices["squared_correlation"][[0, 2, 1], [0, 1, 2]], 1, atol=1e-9)
    assert all(matrix.shape == (3, 2) for name, matrix in found.matrices.items() if name != "squared_correlation")


def test_the_correlation_tells_perfect_from_random_codes_of_continuous_factors_and_nothing_else_is_said():
    generator = seeded(8)
    factors = Factors.of({name: generator.standard_normal(600) for name in ("x", "y", "angle")})
    perfect = factors.levels / 600
    random = generator.permuted(perfect, axis=0)
    scores = [score(values, np.full_like(values, -9.0), factors, sizes=SMALL) for values in (perfect, random)]
    assert scores[0].numbers["sap_continuous"] > 0.9
    assert scores[1].numbers["sap_continuous"] < 0.05
    kept = {"sap_continuous", *UNBOUNDED}
    for found in scores:
        assert set(found.numbers) == kept | {f"{name}_sampled" for name in kept}
        assert found.factors == ()
        assert list(found.left_out) == ["x", "y", "angle"]
        assert set(found.matrices) == {"squared_correlation"}


def test_ten_images_a_level_are_enough_to_be_scored_and_only_those_that_are_drawn_count():
    for images_a_level in (9, 10):
        assert (too_many(Factors.of({"k": np.arange(8 * images_a_level) % 8})) == {}) == (images_a_level >= 10)
    many = Factors.of({"k": np.arange(40_000) % 2_000})
    assert too_many(many, 10_000) == {"k": "2,000 levels, 5.0 images a level, fewer than 10"}
    assert too_many(many, 30_000) == {}


def test_from_ten_images_a_level_on_the_robustness_of_random_codes_is_low():
    for images_a_level, lowest, highest in ((2, 0.5, 0.8), (5, 0.15, 0.35), (10, 0.0, 0.15)):
        levels = np.stack([seeded(k).permutation(np.arange(1_000) % (1_000 // images_a_level)) for k in range(3)], 1)
        random = seeded(9).permuted(levels.astype(np.float64), axis=0)
        drawn = seeded(10).integers(1_000, size=10_000)
        assert lowest <= irs(random[drawn], levels[drawn].astype(np.int32)).score <= highest


def test_the_time_grows_with_the_levels_that_are_scored():
    factors = grid(3, 4, copies=200)
    assert expected_seconds(factors, 10) == pytest.approx(7 * 0.17)
    assert expected_seconds(mixed_factors(), 10) == pytest.approx(7 * 0.17)  # the third has too many levels
    many = Factors.of({str(k): seeded(k).integers(4, size=2_000) for k in range(300)})
    assert expected_seconds(many, 10) == pytest.approx(1_200 * 0.17)


# What codes score that know nothing


def test_the_baselines_are_those_of_random_codes_on_a_grid():
    # The expected values are of other implementations: .728 and .357, random normal codes, 576 cells of 20 images.
    factors = grid(3, 4, 6, 8, copies=20)
    random = seeded(11).standard_normal((len(factors), 4))
    sizes = Sizes(train=10_000, test=100, batch=8, trees=2, samples=100, components=100)
    found = level_scores(Representation(random, factors), 0, sizes, 1)[0]
    for name, expected, tolerance in (("modularity", 0.728, 0.12), ("irs", 0.357, 0.03)):
        assert found[name] == pytest.approx(expected, abs=tolerance)
        assert found[f"{name}_baseline"] == pytest.approx(expected, abs=tolerance)
    perfect = level_scores(identity(factors), 0, sizes, 1)[0]
    assert perfect["modularity"] > 0.99 > perfect["modularity_baseline"] + 0.1
    assert perfect["irs"] > 0.99 > perfect["irs_baseline"] + 0.1


def test_collapsed_latents_count_in_the_total_correlation_of_all_codes_and_not_in_that_of_active_ones():
    generator = seeded(12)
    active = generator.standard_normal((len(FACTORS), 2))
    collapsed = 1e-3 * (active @ np.ones((2, 3)) + 0.1 * generator.standard_normal((len(FACTORS), 3)))
    found = numbers(np.hstack([active, collapsed]))
    assert found["codes_total_correlation"] > 3
    assert found["active_codes_total_correlation"] < 0.1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_must_be_finite(bad):
    values = identity(FACTORS).codes
    values[[3, 5], [0, 1]] = bad
    with pytest.raises(ValueError, match="codes must be finite, got others for 2 of 720 images"):
        Representation(values, FACTORS)
    for mean, logvar in ((values, np.zeros_like(values)), (np.zeros_like(values), values)):
        with pytest.raises(ValueError, match="codes must be finite"):
            score(mean, logvar, FACTORS, sizes=SMALL)


def test_there_must_be_a_factor():
    with pytest.raises(ValueError, match="a factor that varies, got none"):
        Representation(np.zeros((2, 3)), Factors.of({"colour": [7, 7]}))
