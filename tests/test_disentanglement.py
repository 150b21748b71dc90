"""All metrics at once: their names, what they may not depend on, and encodings that are bad in every way."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_codes import SMALL, UNBOUNDED, grid, identity, noisy, nothing, seeded, shuffled, twice

from vae.data.factors import Factors
from vae.disentanglement import names
from vae.disentanglement.binning import binned, equal_counts
from vae.disentanglement.irs import irs
from vae.disentanglement.own_metrics import RESERVED
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.sap import sap
from vae.disentanglement.scores import code_scores, collapsed_scores, expected_seconds, score

MATRICES = {
    "factor_vae_votes",
    "mutual_information",
    "dci_importance",
    "sap_accuracy",
    "squared_correlation",
    "normalised_information",
    "irs_robustness",
}
# What changes with the unit of all latents, and with the units of single ones. Two classifiers are regularised.
UNIT = {"gaussian_wasserstein", "beta_vae_score", "sap", "active_codes_total_correlation"}
UNITS = UNIT | {"gaussian_wasserstein_normalised", "irs"}
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
        assert value <= 1 + 1e-9 or name.removesuffix("_sampled").removesuffix("_shuffled") in UNBOUNDED, (name, value)


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
    for name in {*names.OF_CODES, *names.DEPENDENCE} - change:
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
    assert set(found.numbers) == names.ALL
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
    assert collapsed_scores(FACTORS) == pytest.approx(guessing)
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
        if name == "modularity":
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
    assert_in_bounds(code_scores(codes, seed, sizes, 1).numbers)
    assert_in_bounds(score(codes.codes, np.full_like(codes.codes, -3.0), FACTORS, seed, sizes).numbers)


# Factors with too many values


# What perfect codes of continuous factors reach at least, and random ones at most, with three factors. MIG and IRS
# lose by their own bins. A random code is about one factor a little more than about others, hence a modularity.
CONTINUOUS = {
    "beta_vae_score": (0.99, 0.42),
    "factor_vae_score": (0.99, 0.42),
    "mig": (0.85, 0.02),
    "mig_chen": (0.85, 0.05),
    "dci_disentanglement": (0.95, 0.05),
    "dci_completeness": (0.95, 0.05),
    "dci_informativeness": (0.95, 0.2),
    "sap": (0.99, 0.02),
    "sap_continuous": (0.99, 0.02),
    "infom": (0.99, 0.01),
    "infoc": (0.99, 0.01),
    "infoe": (0.99, 0.01),
    "modularity": (0.99, 0.7),
    "explicitness": (0.99, 0.56),
    "irs": (0.85, 0.05),
}


def test_every_score_tells_perfect_from_random_codes_of_continuous_factors():
    values = seeded(8).uniform(-3, 5, size=(3_000, 3))
    factors = Factors.of({name: values[:, k] for k, name in enumerate(("x", "y", "angle"))})
    perfect = (values / values.std(axis=0)).astype(np.float32)
    sizes = Sizes(train=2_000, test=600, batch=32, trees=8, samples=600, components=800)
    found = score(perfect, np.full_like(perfect, -9), factors, sizes=sizes)
    assert found.factors == ("x", "y", "angle")
    assert found.binned["x"] == "3,000 values, 0.7 images each, fewer than 10: 10 bins"
    assert found.left_out == {}
    assert set(CONTINUOUS) == {*names.OF_CODES, *names.OF_POSTERIORS}
    for name, (lowest, highest) in CONTINUOUS.items():
        assert lowest <= found.numbers[name] <= 1, name
        assert found.numbers[name + names.SHUFFLED] <= highest, name
        assert name in names.OF_POSTERIORS or lowest <= found.numbers[name + names.SAMPLED] <= 1, name


def mixed_factors(images: int = 600) -> Factors:
    """A factor of 3 words, one with a number an image, one with a word an image, one of 4 numbers."""
    numbers = seeded(7).permutation(images)
    words = np.array([f"image {number}" for number in numbers[::-1]])
    shapes = np.array(["cross", "heart", "square"])[np.arange(images) % 3]
    return Factors.of({"shape": shapes, "angle": numbers, "file": words, "size": np.arange(images) // (images // 4)})


def test_numbers_are_binned_and_words_left_out():
    factors = mixed_factors()
    found = binned(factors, 10_000)
    assert found.factors.names == ("shape", "angle", "size")
    assert found.factors.sizes == (3, 10, 4)
    assert [str(kind) for kind in found.factors.kinds] == ["words", "binned", "numbers"]
    assert found.binned == {"angle": "600 values, 1.0 images each, fewer than 10: 10 bins"}
    assert found.left_out == {"file": "600 different words, 1.0 images each, fewer than 10"}
    angle = factors.levels[:, 1]
    assert (found.factors.levels[:, 1] == angle // 60).all()
    assert (found.factors.values[:, 1] == angle / 599).all()


def test_words_that_are_left_out_change_no_score():
    factors = mixed_factors()
    mean = factors.values.astype(np.float32)
    logvar = np.full_like(mean, -6.0)
    with_words = score(mean, logvar, factors, sizes=SMALL)
    without = score(mean, logvar, factors.only(["shape", "angle", "size"]), sizes=SMALL)
    assert with_words.numbers == without.numbers
    assert {matrix.shape for matrix in with_words.matrices.values()} == {(4, 3)}


def test_with_no_factor_left_there_are_the_measures_of_dependence_only():
    factors = mixed_factors().only(["file"])
    mean = factors.values.astype(np.float32)
    found = score(mean, np.zeros_like(mean), factors, sizes=SMALL)
    assert set(found.numbers) == {name + ending for name in UNBOUNDED for ending in ("", "_sampled", "_shuffled")}
    assert (found.factors, found.matrices) == ((), {})
    assert list(found.left_out) == ["file"]


def test_the_correlation_counts_the_values_and_not_their_order():
    values = np.geomspace(1, 1_000, 500)
    factors = Factors.of({"size": values})
    straight, logarithm = (
        code_scores(Representation(codes[:, None], factors), 0, SMALL, 1)[0] for codes in (values, np.log(values))
    )
    for name in ("sap_continuous", "sap", "infoe"):
        assert straight[name] == pytest.approx(1)
        assert 0.5 < logarithm[name] < 0.8
    assert logarithm["infom"] == 1


def test_ten_images_a_level_are_enough_to_be_scored_and_only_those_that_are_drawn_count():
    for images_a_level in (9, 10):
        found = binned(Factors.of({"k": np.arange(8 * images_a_level) % 8}), 10_000)
        assert (found.binned == {}) == (images_a_level >= 10)
    many = Factors.of({"k": np.arange(40_000) % 2_000})
    assert binned(many, 10_000).binned == {"k": "2,000 values, 5.0 images each, fewer than 10: 10 bins"}
    assert binned(many, 30_000).binned == {}


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60).filter(lambda drawn: len(set(drawn)) > 1))
def test_bins_keep_the_order_and_the_ties_and_are_two_or_more(drawn):
    levels = Factors.of({"k": drawn}).levels[:, 0]
    for bins in (2, 3, 10):
        found = equal_counts(levels, bins)
        assert set(found) == set(range(found.max() + 1))
        assert 2 <= found.max() + 1 <= bins
        order = np.argsort(levels, kind="stable")
        assert (np.diff(found[order]) >= 0).all()
        assert all(len(set(found[levels == level])) == 1 for level in set(levels))


def test_from_ten_images_a_level_on_the_robustness_of_random_codes_is_low():
    for images_a_level, lowest, highest in ((2, 0.5, 0.8), (5, 0.15, 0.35), (10, 0.0, 0.15)):
        levels = np.stack([seeded(k).permutation(np.arange(1_000) % (1_000 // images_a_level)) for k in range(3)], 1)
        random = seeded(9).permuted(levels.astype(np.float64), axis=0)
        drawn = seeded(10).integers(1_000, size=10_000)
        assert lowest <= irs(random[drawn], levels[drawn].astype(np.int32)).score <= highest


def test_the_time_grows_with_the_levels_that_are_scored():
    factors = grid(3, 4, copies=200)
    assert expected_seconds(factors, 10) == pytest.approx(7 * 0.255)
    assert expected_seconds(mixed_factors(), 10) == pytest.approx(17 * 0.255)  # ten bins; the words are left out
    many = Factors.of({str(k): seeded(k).integers(4, size=2_000) for k in range(300)})
    assert expected_seconds(many, 10) == pytest.approx(1_200 * 0.255)


# What codes score that know nothing


def scored(codes: Representation, sizes: Sizes) -> dict[str, float]:
    return score(codes.codes, np.full_like(codes.codes, -6.0), codes.factors, sizes=sizes).numbers


def test_shuffled_codes_score_as_random_ones_whatever_the_codes_are():
    # The expected values are of other implementations: random normal codes, 576 cells of 20 images.
    expected = {"beta_vae_score": 0.249, "factor_vae_score": 0.253, "mig": 0.001, "modularity": 0.728, "irs": 0.357}
    expected |= {"explicitness": 0.5, "sap": 0, "sap_continuous": 0, "mig_chen": 0.01}
    expected |= {"infom": 0, "infoc": 0, "infoe": 0}
    factors = grid(3, 4, 6, 8, copies=20)
    random = Representation(seeded(11).standard_normal((len(factors), 4)), factors)
    sizes = Sizes(train=10_000, test=2_000, batch=8, trees=1, samples=500, components=500)
    of_random, of_perfect = scored(random, sizes), scored(identity(factors), sizes)
    for name, value in expected.items():
        tolerance = {"modularity": 0.12, "irs": 0.06, "mig_chen": 0.06}.get(name, 0.03)
        assert of_random[name] == pytest.approx(value, abs=tolerance), name
        assert of_random[f"{name}_shuffled"] == pytest.approx(value, abs=tolerance), name
        assert of_perfect[name] > of_perfect[f"{name}_shuffled"] + 0.1, name
    assert of_perfect["dci_disentanglement"] > of_perfect["dci_disentanglement_shuffled"] + 0.5


def test_shuffling_keeps_what_each_latent_is_alone_and_makes_the_latents_independent():
    found = scored(twice(grid(3, 4, 2, copies=400)), Sizes(10_000, 50, 4, 1, 50, 50))
    for name in names.DEPENDENCE:
        assert found[f"{name}_shuffled"] < 0.02 < 0.05 < found[name], name


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
