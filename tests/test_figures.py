"""Figures: sizes, places and pixels. What is drawn is compared with what the model decodes."""

import pytest
import torch
from matplotlib.figure import Figure

from vae import figures
from vae.figures import GAP, grid
from vae.model import VAE, conv_vae, mlp_vae

WHITE = 255


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(channels: int = 1, latent_dim: int = 2) -> VAE:
    torch.manual_seed(0)
    return mlp_vae((channels, 6, 6), latent_dim, (8,)).eval()


def check(picture: torch.Tensor, height: int | None = None, width: int | None = None, channels: int = 3) -> None:
    assert picture.dtype == torch.uint8
    assert picture.shape == (height or picture.shape[0], width or picture.shape[1], channels)
    assert picture.min() < WHITE  # something is drawn


def cell(picture: torch.Tensor, row: int, column: int, columns: int, side: int, scale: int = 2) -> torch.Tensor:
    """Image (row, column) of an untitled grid, found from the right: what is left of it holds the labels."""
    step = side * scale + GAP
    x, y = picture.shape[1] - (columns - column) * step, GAP + row * step
    block = picture[y : y + side * scale, x : x + side * scale]
    assert block.equal(block[::scale, ::scale].repeat_interleave(scale, 0).repeat_interleave(scale, 1))
    return block[::scale, ::scale]


def as_bytes(image: torch.Tensor) -> torch.Tensor:
    """(channels, height, width) in [0, 1] as a grid shows it."""
    return (image * 255).round().byte().permute(1, 2, 0)


# The grid


@pytest.mark.parametrize("labels", [(), ("first", "second")])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_grid_puts_every_image_in_its_place(channels, scale, labels):
    images = torch.rand(2, 3, channels, 5, 5, generator=seeded(0))
    picture = grid(images, labels, scale=scale)
    check(picture, height=GAP + 2 * (5 * scale + GAP), channels=channels)
    for row in range(2):
        for column in range(3):
            shown = cell(picture, row, column, columns=3, side=5, scale=scale)
            assert shown.equal(as_bytes(images[row, column]))


def test_between_the_images_the_grid_is_white():
    picture = grid(torch.zeros(2, 3, 1, 4, 4), scale=1)
    check(picture, GAP + 2 * (4 + GAP), GAP + 3 * (4 + GAP), channels=1)
    assert (picture == 0).all(-1).sum() == 6 * 16
    assert (picture == WHITE).all(-1).sum() == picture[..., 0].numel() - 6 * 16


def test_values_outside_the_unit_interval_are_cut_off():
    picture = grid(torch.tensor([-3.0, 0.5, 7.0]).view(1, 3, 1, 1, 1), scale=1)
    assert [cell(picture, 0, column, 3, 1, 1)[0, 0, 0].item() for column in range(3)] == [0, 128, 255]


def test_labels_and_title_take_room_of_their_own():
    images = torch.zeros(2, 2, 1, 20, 20)
    bare, labelled, titled = grid(images), grid(images, ["one", "another"]), grid(images, title="a title")
    assert labelled.shape[0] == bare.shape[0]
    assert labelled.shape[1] > bare.shape[1]
    assert titled.shape[0] > bare.shape[0]
    assert labelled[:, -bare.shape[1] + GAP :].equal(bare[:, GAP:])  # the images are where they were, the text beside
    assert titled[-bare.shape[0] + GAP :].equal(bare[GAP:])
    assert grid(images, title="a title that is far longer than the grid below it is wide").shape[1] > bare.shape[1]


# Reconstructions and samples


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("images", "pairs", "columns"), [(1, 1, 1), (3, 1, 3), (7, 1, 7), (10, 1, 10), (13, 1, 10), (25, 2, 10)]
)
def test_inputs_stand_above_their_reconstructions(images, pairs, columns, channels):
    x, means = torch.rand(2, images, channels, 6, 6, generator=seeded(0))
    picture = figures.reconstructions(x, means)
    check(picture, height=GAP + 2 * pairs * (12 + GAP), channels=channels)
    for pair in range(pairs):
        for column in range(columns):
            at = 10 * pair + column
            assert cell(picture, 2 * pair, column, columns, 6).equal(as_bytes(x[at]))
            assert cell(picture, 2 * pair + 1, column, columns, 6).equal(as_bytes(means[at]))


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_are_the_mean_images_of_their_noise_in_rows(channels, latent_dim):
    vae, noise = model(channels, latent_dim), torch.randn(8, latent_dim, generator=seeded(0))
    picture = figures.samples(vae, noise, columns=4)
    check(picture, GAP + 2 * (12 + GAP), GAP + 4 * (12 + GAP), channels=channels)
    expected = vae.sample(noise)
    for at in range(8):
        assert cell(picture, at // 4, at % 4, 4, 6).equal(as_bytes(expected[at]))


# Traversals


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_of_a_traversal_moves_one_latent_only_and_the_highest_rate_comes_first(channels, latent_dim):
    vae = model(channels, latent_dim)
    z = torch.randn(latent_dim, generator=seeded(0))
    rate = torch.rand(latent_dim, generator=seeded(1))
    picture = figures.traversals(vae, z, rate, rows=10, columns=5, reach=2.0)
    order = sorted(range(latent_dim), key=lambda latent: -rate[latent].item())[:10]
    check(picture, height=GAP + len(order) * (12 + GAP), channels=channels)
    for row, latent in enumerate(order):
        for column, value in enumerate([-2.0, -1.0, 0.0, 1.0, 2.0]):
            moved = z.clone()
            moved[latent] = value
            expected = as_bytes(vae.sample(moved[None])[0])
            difference = cell(picture, row, column, 5, 6).int() - expected.int()
            assert difference.abs().max() <= 1  # a batch is not rounded as one image is


def test_the_rows_of_a_traversal_are_labelled_with_latent_and_rate_in_order():
    vae, z = model(latent_dim=3), torch.zeros(3)
    picture = figures.traversals(vae, z, torch.tensor([0.5, 0.1, 7.25]), columns=3, title="beta 4")
    order, values = [2, 0, 1], [-3.0, 0.0, 3.0]
    moved = torch.zeros(3, 3, 3)
    for row, latent in enumerate(order):
        moved[row, :, latent] = torch.tensor(values)
    images = vae.sample(moved.flatten(0, 1)).unflatten(0, (3, 3))
    assert picture.equal(grid(images, ["z02  7.25", "z00  0.50", "z01  0.10"], "beta 4"))


def test_a_traversal_leaves_the_latents_it_was_given_alone():
    vae, z = model(latent_dim=3), torch.ones(3)
    figures.traversals(vae, z, torch.ones(3))
    assert z.equal(torch.ones(3))


# Two latents


@pytest.mark.parametrize("channels", [1, 3])
def test_the_manifold_has_the_first_latent_across_and_the_second_upwards(channels):
    torch.manual_seed(0)
    vae = conv_vae((channels, 8, 8), 2, channels=4, width=8).eval()
    picture = figures.manifold(vae, torch.device("cpu"), side=4)
    check(picture, GAP + 4 * (8 + GAP), GAP + 4 * (8 + GAP), channels=channels)
    quantiles = torch.distributions.Normal(0, 1).icdf(torch.tensor([0.125, 0.375, 0.625, 0.875]))
    for row in range(4):
        for column in range(4):
            z = torch.stack([quantiles[column], quantiles[3 - row]])
            difference = cell(picture, row, column, 4, 8, scale=1).int() - as_bytes(vae.sample(z[None])[0]).int()
            assert difference.abs().max() <= 1


# Plots


@pytest.mark.parametrize("latent_dim", [2, 20])
@pytest.mark.parametrize("images", [1, 50])
def test_the_scatter_is_a_picture_for_any_number_of_images(images, latent_dim):
    mean = torch.randn(images, latent_dim, generator=seeded(0))
    check(figures.scatter(mean, torch.arange(images) % 10, (0, latent_dim - 1)), 500, 600)


def test_the_scatter_shows_the_two_latents_that_were_asked_for():
    mean, labels = torch.randn(50, 3, generator=seeded(0)), torch.zeros(50, dtype=torch.int64)
    swapped = mean[:, [1, 0, 2]]
    straight = figures.scatter(mean, labels, (0, 2))
    assert not straight.equal(figures.scatter(swapped, labels, (0, 2)))
    other_third = mean.clone()
    other_third[:, 1] = 5.0  # not shown
    assert straight.equal(figures.scatter(other_third, labels, (0, 2)))


@pytest.mark.parametrize("latent_dim", [1, 2, 20, 45])
def test_the_plots_of_latents_are_pictures_for_any_number_of_them(latent_dim):
    order = list(reversed(range(latent_dim)))
    check(figures.correlation_matrix(torch.eye(latent_dim), order), 500, 600)
    check(figures.rate_spectrum(torch.rand(latent_dim, generator=seeded(0)), order), 350, 600)


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
@pytest.mark.parametrize("points", [2, 5_001])
def test_the_rates_over_the_steps_are_a_picture_for_any_number_of_latents_and_points(latent_dim, points):
    curve = {100 * point: float(point) for point in range(1, points + 1)}
    latents = {f"{latent:02d}": curve for latent in range(latent_dim)}
    check(figures.rates_over_steps(latents, {"rate": curve, "capacity C": curve}), 600, 800)
    check(figures.rates_over_steps(latents, {"rate": curve}), 600, 800)


def test_the_last_point_of_a_long_curve_is_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures.Axes, "plot", lambda _, steps, values, **__: drawn.append((steps, values)))
    curve = {step: 2.0 * step for step in range(1, 5_002)}
    figures.rates_over_steps({"00": curve}, {"rate": curve})
    for steps, values in drawn:
        assert (steps[0], steps[-1], values[-1]) == (1, 5_001, 10_002.0)
        assert len(steps) <= figures.POINTS + 1


def test_each_curve_of_the_rates_changes_the_picture():
    flat, rising = {100: 1.0, 200: 1.0, 300: 1.0}, {100: 0.0, 200: 0.5, 300: 1.0}
    plain = figures.rates_over_steps({"00": flat, "01": flat}, {"rate": flat, "capacity C": flat})
    others = [
        figures.rates_over_steps({"00": flat, "01": rising}, {"rate": flat, "capacity C": flat}),
        figures.rates_over_steps({"00": flat, "01": flat}, {"rate": rising, "capacity C": flat}),
        figures.rates_over_steps({"00": flat, "01": flat}, {"rate": flat, "capacity C": rising}),
    ]
    middle = plain.shape[0] // 2
    for other, (same, changed) in zip(
        others, [(slice(middle), slice(middle, None))] + 2 * [(slice(middle, None), slice(middle))], strict=True
    ):
        assert plain[same].equal(other[same])
        assert not plain[changed].equal(other[changed])


@pytest.mark.parametrize(("rho", "warmer", "colder"), [(0.9, 0, 2), (-0.9, 2, 0)])
def test_positive_correlation_is_red_and_negative_blue(rho, warmer, colder):
    picture = figures.correlation_matrix(torch.tensor([[1.0, rho], [rho, 1.0]]), [0, 1])
    neutral = figures.correlation_matrix(torch.eye(2), [0, 1])
    changed = (picture != neutral).any(-1)
    colour = picture[changed].float().mean(0)
    assert changed.sum() > 10_000
    assert colour[warmer] > colour[colder] + 50


def test_the_bars_of_the_spectrum_stand_in_the_order_given_with_heights_as_the_rates():
    picture = figures.rate_spectrum(torch.tensor([1.0, 0.0, 4.0, 2.0]), [2, 3, 0, 1])
    bar = (picture == torch.tensor([0x31, 0x68, 0x8E])).all(-1)
    heights = bar.sum(0)[bar.any(0)]
    seen = heights.unique_consecutive()
    tall = [height for height in seen.tolist() if (heights == height).sum() > 20]
    assert tall == sorted(tall, reverse=True)
    assert [height / tall[0] for height in tall] == pytest.approx([1.0, 0.5, 0.25], abs=0.02)


def test_a_figure_is_rendered_at_its_size():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    check(figures.render(figure, dpi=50), 50, 100)
