"""All metrics at once: their names, what they may not depend on, and encodings that are bad in every way."""

import warnings

import numpy as np
import pytest
from known_codes import SMALL, UNBOUNDED, grid, identity, noisy, nothing, seeded, shuffled, twice

from vae.data.factors import Factors
from vae.disentanglement import Codes, Sizes, of_codes, score
from vae.disentanglement.irs import irs_of
from vae.disentanglement.sap import sap

OF_CODES = {
    "beta_vae_score",
    "factor_vae_score",
    "mig",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "sap",
    "sap_continuous",
    "modularity",
    "explicitness",
    "irs",
    *UNBOUNDED,
}
MATRICES = {
    "factor_vae_votes",
    "mutual_information",
    "dci_importance",
    "sap_accuracy",
    "squared_correlation",
    "irs_robustness",
}
NO_UNIT = {  # each latent may have its own
    "factor_vae_score",
    "mig",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "sap_continuous",
    "modularity",
    "explicitness",
    "codes_total_correlation",
    "mutual_information_score",
}
FACTORS = grid(3, 4, 2, copies=30)
ONE_FACTOR = Factors.of({"only": np.arange(120) % 3})


@pytest.fixture(scope="module")
def codes() -> Codes:
    return noisy(FACTORS)


@pytest.fixture(scope="module")
def straight(codes):
    return of_codes(codes, 0, SMALL, 1)


def numbers(values, factors: Factors = FACTORS) -> dict[str, float]:
    return of_codes(Codes(values, factors), 0, SMALL, 1)[0]


def assert_in_bounds(found: dict[str, float]) -> None:
    for name, value in found.items():
        assert type(value) is float, name
        assert value >= -1e-12, (name, value)
        assert np.isfinite(value), name
        assert value <= 1 + 1e-9 or name.removesuffix("_sampled") in UNBOUNDED, (name, value)


# What the scores do not depend on


def test_the_order_of_latents_makes_no_difference(codes, straight):
    order = [2, 0, 3, 1]
    found, matrices = of_codes(Codes(codes.values[:, order], FACTORS), 0, SMALL, 1)
    for name, value in found.items():
        assert value == pytest.approx(straight[0][name], abs=0.01), name
    for name, matrix in matrices.items():
        assert matrix == pytest.approx(straight[1][name][order], abs=0.01), name


def test_the_signs_of_latents_make_no_difference(codes, straight):
    found = numbers(codes.values * np.array([1.0, -1.0, -1.0, 1.0]))
    for name, value in found.items():
        # A code on the edge of a bin is on its other side.
        assert value == pytest.approx(straight[0][name], abs=0.02), name


def test_the_units_of_latents_make_no_difference_where_the_definition_has_none(codes, straight):
    found = numbers(codes.values * np.array([2.0, 8.0, 0.5, 4.0]))
    for name in NO_UNIT:
        assert found[name] == pytest.approx(straight[0][name], abs=1e-6), name


def test_one_unit_for_all_latents_makes_no_difference_to_shares_of_the_whole(codes, straight):
    found = numbers(codes.values * 4)
    for name in (*NO_UNIT, "irs", "gaussian_wasserstein_normalised"):
        assert found[name] == pytest.approx(straight[0][name], abs=1e-6), name
    assert found["gaussian_wasserstein"] == pytest.approx(16 * straight[0]["gaussian_wasserstein"])


def test_the_order_of_factors_makes_no_difference_but_for_the_draws():
    order = [1, 2, 0]
    turned = Factors(tuple(FACTORS.names[k] for k in order), FACTORS.levels[:, order])
    codes = noisy(FACTORS).values
    one, other = (of_codes(Codes(codes, factors), 0, SMALL, 1)[1] for factors in (FACTORS, turned))
    for name in MATRICES - {"factor_vae_votes"}:
        assert other[name] == pytest.approx(one[name][:, order], abs=1e-9), name


def test_the_same_seed_gives_the_same_scores_and_threads_make_no_difference(codes):
    logvar = np.full_like(codes.values, -3.0)
    first, again, threads, other = (
        score(codes.values, logvar, FACTORS, seed, SMALL, workers)
        for seed, workers in ((3, 1), (3, 1), (3, 3), (4, 1))
    )
    assert first.numbers == again.numbers == threads.numbers
    assert first.numbers != other.numbers
    for name, matrix in first.matrices.items():
        assert (matrix == again.matrices[name]).all(), name
        assert (matrix == threads.matrices[name]).all(), name


def test_the_filters_for_warnings_are_as_before_many_threads():
    codes = noisy(FACTORS, extra=40)
    before = list(warnings.filters)
    for _ in range(3):
        sap(codes, 100, 50, seeded(), 8)
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
    found = score(codes.values, np.full_like(codes.values, -3.0), FACTORS, sizes=SMALL)
    assert set(found.numbers) == OF_CODES | {f"{name}_sampled" for name in OF_CODES} | {"mig_chen"}
    assert set(found.matrices) == MATRICES | {"mig_chen"}
    assert {matrix.shape for matrix in found.matrices.values()} == {(4, 3)}
    assert {matrix.dtype for matrix in found.matrices.values()} == {np.dtype(np.float64)}
    assert found.matrices["factor_vae_votes"].sum() == SMALL.train
    assert_in_bounds(found.numbers)


def test_narrow_posteriors_are_scored_as_their_means_and_wide_ones_worse():
    mean = identity(FACTORS).values.astype(np.float32)
    narrow = score(mean, np.full_like(mean, -20), FACTORS, sizes=SMALL).numbers
    wide = score(mean, np.full_like(mean, 2), FACTORS, sizes=SMALL).numbers
    for name in ("mig", "dci_informativeness", "sap_continuous", "explicitness"):
        assert narrow[name] == wide[name], name
        assert narrow[f"{name}_sampled"] == pytest.approx(narrow[name], abs=0.05), name
        assert wide[f"{name}_sampled"] < narrow[name] - 0.1, name
    assert wide["mig_chen"] < 0.5 < 0.9 < narrow["mig_chen"]


def test_samples_have_the_variance_of_their_posterior():
    mean = identity(FACTORS).values
    found = score(mean, np.full_like(mean, -1.0), FACTORS, sizes=SMALL).numbers
    variance = mean.var(axis=0)
    expected = (variance / (variance + np.exp(-1))).mean()  # squared correlation of a level and itself with noise
    assert found["sap_continuous_sampled"] == pytest.approx(expected, abs=0.06)


# Bad encodings


BAD = {
    "dead": nothing(FACTORS, 3),
    "constant": nothing(FACTORS, 3, 0.3),
    "one dead": nothing(FACTORS, 1),
    "each twice": twice(FACTORS),
    "of other images": shuffled(FACTORS),
    "one": Codes(identity(FACTORS).values[:, :1], FACTORS),
    "one constant": Codes(np.insert(identity(FACTORS).values, 1, 7.7, axis=1).astype(np.float32), FACTORS),
    "large": Codes(1e4 * identity(FACTORS).values, FACTORS),
    "small": Codes(1e-4 * identity(FACTORS).values, FACTORS),
    "rank one": Codes(identity(FACTORS).values @ np.ones((3, 5)), FACTORS),
    "two images": noisy(grid(2)),
    "one factor": noisy(ONE_FACTOR, extra=0),
    "one factor and dead": nothing(ONE_FACTOR, 1),
}


@pytest.mark.parametrize("codes", BAD.values(), ids=BAD)
def test_no_encoding_is_too_bad_for_a_score(codes):
    mean = codes.values.astype(np.float32)
    found = score(mean, np.full_like(mean, -4), codes.factors, sizes=SMALL)
    assert_in_bounds(found.numbers)
    assert all(np.isfinite(matrix).all() for matrix in found.matrices.values())


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1 / 3, 7.7])
def test_codes_that_are_all_the_same_score_nothing(value):
    found, matrices = of_codes(nothing(FACTORS, 3, value), 0, SMALL, 1)
    guessing = {"beta_vae_score": 1 / 3, "dci_informativeness": (1 / 2 + 1 / 3 + 1 / 4) / 3, "explicitness": 0.5}
    for name, number in found.items():
        assert number == pytest.approx(guessing.get(name, 0), abs=0.1 if name in guessing else 1e-12), name
    for name in MATRICES - {"sap_accuracy"}:
        assert matrices[name] == pytest.approx(0, abs=1e-12), name


def test_a_constant_latent_is_not_robust_however_its_mean_is_rounded():
    codes = noisy(grid(3, 4, copies=800)).values.astype(np.float32)
    alone = irs_of(codes, grid(3, 4, copies=800).levels)
    with_dead = irs_of(np.insert(codes, 1, np.float32(0.3), axis=1), grid(3, 4, copies=800).levels)
    assert (with_dead.robustness[1] == 0).all()
    assert with_dead.score == pytest.approx(alone.score, abs=1e-6)


def test_one_factor_is_always_told_and_never_mixed():
    found = numbers(noisy(ONE_FACTOR, extra=0).values, ONE_FACTOR)
    assert found["beta_vae_score"] == found["factor_vae_score"] == 1  # there is no other
    assert found["dci_disentanglement"] == found["modularity"] == 1


def test_one_latent_is_complete_and_cannot_be_disentangled():
    found = numbers(identity(FACTORS).values[:, :1])
    assert found["dci_completeness"] == 1
    assert found["dci_disentanglement"] < 0.5
    assert found["mig"] == pytest.approx(1 / 3, abs=0.05)  # it tells one of three


def test_a_latent_more_that_is_dead_changes_little_but_modularity(codes, straight):
    found = numbers(np.insert(codes.values, 2, 0.0, axis=1))
    for name, value in found.items():
        if name == "modularity":
            assert value == pytest.approx(straight[0][name] * 4 / 5)
        elif name == "mutual_information_score":
            assert value == pytest.approx(straight[0][name] * 6 / 10)  # of as many more pairs
        elif name == "dci_completeness":
            assert value > straight[0][name]  # among more latents the same one is found
        else:
            assert value == pytest.approx(straight[0][name], abs=1e-3), name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("draws", [2, 3, 7])
def test_few_draws_are_enough_for_a_score(seed, draws, codes):
    sizes = Sizes(train=draws, test=draws, batch=2, trees=2, samples=draws, components=draws)
    found = score(codes.values, np.full_like(codes.values, -3.0), FACTORS, seed, sizes)
    assert_in_bounds(found.numbers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_must_be_finite(bad):
    values = identity(FACTORS).values
    values[[3, 5], [0, 1]] = bad
    with pytest.raises(ValueError, match="2 of 720 images"):
        Codes(values, FACTORS)
    with pytest.raises(ValueError, match="codes must be finite"):
        score(values, np.zeros_like(values), FACTORS, sizes=SMALL)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_spreads_must_be_finite(bad):
    values = identity(FACTORS).values
    logvar = np.zeros_like(values)
    logvar[7, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        score(values, logvar, FACTORS, sizes=SMALL)


def test_codes_must_be_as_many_as_images():
    with pytest.raises(ValueError, match="as many as images, got 719 and 720"):
        Codes(identity(FACTORS).values[1:], FACTORS)


def test_there_must_be_a_factor():
    with pytest.raises(ValueError, match="a factor that varies, got none"):
        Codes(np.zeros((2, 3)), Factors.of({"colour": [7, 7]}))
