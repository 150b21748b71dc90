"""Plots: sizes, and what of the numbers is seen."""

from itertools import pairwise

import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from vae.figures import plots

WHITE = 255


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check(picture: torch.Tensor, height: int, width: int) -> None:
    assert picture.dtype == torch.uint8
    assert picture.shape == (height, width, 3)
    assert picture.min() < WHITE  # something is drawn


@pytest.mark.parametrize(("images", "latent_dim"), [(1, 2), (50, 20)])
def test_the_scatter_is_a_picture_for_any_number_of_images(images, latent_dim):
    mean = torch.randn(images, latent_dim, generator=seeded(0))
    check(plots.scatter(mean, torch.arange(images) % 10, (0, latent_dim - 1)), 500, 600)


def test_the_scatter_shows_the_two_latents_that_were_asked_for():
    mean, labels = torch.randn(50, 3, generator=seeded(0)), torch.zeros(50, dtype=torch.int64)
    swapped = mean[:, [1, 0, 2]]
    straight = plots.scatter(mean, labels, (0, 2))
    assert not straight.equal(plots.scatter(swapped, labels, (0, 2)))
    other_third = mean.clone()
    other_third[:, 1] = 5.0  # not shown
    assert straight.equal(plots.scatter(other_third, labels, (0, 2)))


@pytest.mark.parametrize("label", [0, 9])
def test_a_label_is_named_in_the_colour_of_its_points_and_no_other_is(label):
    colours = {label: colour for label, colour in enumerate(colormaps["tab10"].colors) if len(set(colour)) > 1}
    picture = plots.scatter(torch.zeros(50, 2), torch.full((50,), label), (0, 1))  # on one spot, which is opaque
    seen = {
        other: (picture == torch.tensor([round(WHITE * part) for part in colour])).all(-1).any(0).nonzero()
        for other, colour in colours.items()
    }
    assert [other for other, columns in seen.items() if len(columns) > 0] == [label]
    assert seen[label].min() < 400 < 500 < seen[label].max()  # the spot, and the name beside the axes


def test_the_names_of_labels_stand_one_below_another_whatever_the_shape_of_the_plane(monkeypatch):
    written = []
    monkeypatch.setattr(Figure, "text", lambda _, x, y, name, **__: written.append((x, y, name)))
    labels = torch.tensor([5, 2, 40, 7, 2, 9, 11])
    mean = torch.arange(7.0)[:, None] * torch.tensor([1.0, 0.01])
    plots.scatter(mean, labels, (0, 1))
    across, heights, names = zip(*written, strict=True)
    assert names == ("2", "5", "7", "9+")  # what shares the last colour shares its name
    assert len(set(across)) == 1
    assert all(above - below > 0.05 for above, below in pairwise(heights))  # of the picture's height
    plots.scatter(mean, torch.arange(7) + 3, (0, 1))
    assert written[-1][2] == "9"


def test_labels_with_names_are_named_and_all_beyond_the_colours_are_the_others(monkeypatch):
    written = []
    monkeypatch.setattr(Figure, "text", lambda *given, **_: written.append(given[3]))
    names = [f"site {k} of a long name" for k in range(12)]
    check(plots.scatter(torch.randn(4, 2, generator=seeded(0)), torch.tensor([0, 3, 9, 11]), (0, 1), names), 500, 720)
    assert written == ["site 0 of a long", "site 3 of a long", "others"]
    written.clear()
    plots.scatter(torch.zeros(2, 2), torch.tensor([1, 0]), (0, 1), ["north", "south"])
    assert written == ["north", "south"]


def test_points_without_labels_have_one_colour_and_no_legend(monkeypatch):
    written = []
    monkeypatch.setattr(Figure, "text", lambda *given, **_: written.append(given[3]))
    check(plots.scatter(torch.randn(9, 2, generator=seeded(0)), None, (0, 1)), 500, 600)
    assert written == []


@pytest.mark.parametrize("latent_dim", [1, 20, 45])
def test_the_plots_of_latents_are_pictures_for_any_number_of_them(latent_dim):
    order = list(reversed(range(latent_dim)))
    check(plots.correlation_matrix(torch.eye(latent_dim), order), 500, 600)
    check(plots.rate_spectrum(torch.rand(latent_dim, generator=seeded(0)), order), 350, 600)


@pytest.mark.parametrize(("latent_dim", "points"), [(1, 2), (20, 5_001)])
def test_the_rates_over_the_steps_are_a_picture_for_any_number_of_latents_and_points(latent_dim, points):
    curve = {100 * point: float(point) for point in range(1, points + 1)}
    latents = {f"{latent:02d}": curve for latent in range(latent_dim)}
    check(plots.rates_over_steps(latents, {"rate": curve, "capacity C": curve}), 600, 800)
    check(plots.rates_over_steps(latents, {"rate": curve}), 600, 800)


@pytest.mark.parametrize(("changed", "half"), [("01", "lower"), ("rate", "upper"), ("capacity C", "upper")])
def test_each_curve_of_the_rates_changes_its_half_of_the_picture(changed, half):
    flat, rising = {100: 1.0, 200: 1.0, 300: 1.0}, {100: 0.0, 200: 0.5, 300: 1.0}

    def drawn(rising_one: str) -> dict[str, torch.Tensor]:
        curves = {name: rising if name == rising_one else flat for name in ("00", "01", "rate", "capacity C")}
        latents, totals = ({name: curves[name] for name in pair} for pair in (("00", "01"), ("rate", "capacity C")))
        return dict(zip(("upper", "lower"), plots.rates_over_steps(latents, totals).chunk(2), strict=True))

    plain, other = drawn("none"), drawn(changed)
    assert [name for name in plain if not plain[name].equal(other[name])] == [half]


@pytest.mark.parametrize(("rho", "warmer", "colder"), [(0.9, 0, 2), (-0.9, 2, 0)])
def test_positive_correlation_is_red_and_negative_blue(rho, warmer, colder):
    picture = plots.correlation_matrix(torch.tensor([[1.0, rho], [rho, 1.0]]), [0, 1])
    neutral = plots.correlation_matrix(torch.eye(2), [0, 1])
    changed = (picture != neutral).any(-1)
    colour = picture[changed].float().mean(0)
    assert changed.sum() > 10_000
    assert colour[warmer] > colour[colder] + 50


def test_the_bars_of_the_spectrum_stand_in_the_order_given_with_heights_as_the_rates():
    picture = plots.rate_spectrum(torch.tensor([1.0, 0.0, 4.0, 2.0]), [2, 3, 0, 1])
    bar = (picture == torch.tensor([0x31, 0x68, 0x8E])).all(-1)
    heights = bar.sum(0)[bar.any(0)]
    seen = heights.unique_consecutive()
    tall = [height for height in seen.tolist() if (heights == height).sum() > 20]
    assert tall == sorted(tall, reverse=True)
    assert [height / tall[0] for height in tall] == pytest.approx([1.0, 0.5, 0.25], abs=0.02)
