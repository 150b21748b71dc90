"""Figures: sizes, places and pixels. What is drawn is compared with what the model decodes."""

import pytest
import torch

from vae.figures import images as figures
from vae.figures.images import GAP, grid
from vae.model.burgess import conv_vae
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE

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


@pytest.mark.parametrize(("channels", "scale", "labels"), [(1, 1, ()), (3, 2, ("first", "second")), (3, 3, ())])
def test_the_grid_puts_every_image_in_its_place(channels, scale, labels):
    images = torch.rand(2, 3, channels, 5, 5, generator=seeded(0))
    picture = grid(images, labels, scale=scale)
    check(picture, height=GAP + 2 * (5 * scale + GAP), channels=channels)
    for row in range(2):
        for column in range(3):
            shown = cell(picture, row, column, columns=3, side=5, scale=scale)
            assert shown.equal(as_bytes(images[row, column]))


@pytest.mark.parametrize("shown", [(-3.0, 5.0), (0.0, 4095.0), (2.0, 2.5)])
def test_the_values_that_are_said_are_black_and_white_and_others_between(shown):
    unit = torch.rand(2, 3, 1, 5, 5, generator=seeded(0))
    black, white = shown
    pictured = grid(black + (white - black) * unit, shown=shown)
    assert (pictured.int() - grid(unit).int()).abs().max() <= 1  # rounding
    outside = grid(torch.tensor([black - 1, black, white, white + 1]).view(1, 4, 1, 1, 1), scale=1, shown=shown)
    drawn = [cell(outside, 0, column, columns=4, side=1, scale=1).item() for column in range(4)]
    assert drawn == [0, 0, WHITE, WHITE]


def test_images_of_one_value_are_drawn():
    assert grid(torch.full((1, 2, 1, 3, 3), 7.0), shown=(7.0, 7.0)).dtype == torch.uint8


def test_every_figure_of_a_model_takes_the_values_of_black_and_white():
    vae, noise = model(), torch.randn(10, 2, generator=seeded(0))
    shown = (-1.0, 3.0)
    means = vae.sample(noise)
    assert figures.samples(vae, noise, shown=shown).equal(grid(means.unflatten(0, (-1, 10)), shown=shown))
    assert not figures.samples(vae, noise, shown=shown).equal(figures.samples(vae, noise))
    assert not figures.reconstructions(means, means, shown).equal(figures.reconstructions(means, means))
    rates = torch.tensor([2.0, 1.0])
    plain = figures.traversals(vae, noise[0], rates)
    assert not figures.traversals(vae, noise[0], rates, shown=shown).equal(plain)
    cpu = torch.device("cpu")
    assert not figures.manifold(vae, cpu, side=3, shown=shown).equal(figures.manifold(vae, cpu, side=3))


def test_values_outside_the_unit_interval_are_clamped():
    picture = grid(torch.tensor([-3.0, 0.5, 7.0]).view(1, 3, 1, 1, 1), scale=1)
    check(picture, 1 + 2 * GAP, GAP + 3 * (1 + GAP), channels=1)
    assert (picture == WHITE).sum() == picture.numel() - 2  # all but the images
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


@pytest.mark.parametrize(("images", "pairs", "columns"), [(1, 1, 1), (10, 1, 10), (25, 3, 10)])
def test_inputs_stand_above_their_reconstructions(images, pairs, columns):
    x, means = torch.rand(2, images, 3, 6, 6, generator=seeded(0))
    picture = figures.reconstructions(x, means)
    check(picture, height=GAP + 2 * pairs * (12 + GAP))
    for pair in range(pairs):
        for column in range(min(columns, images - 10 * pair)):
            at = 10 * pair + column
            assert cell(picture, 2 * pair, column, columns, 6).equal(as_bytes(x[at]))
            assert cell(picture, 2 * pair + 1, column, columns, 6).equal(as_bytes(means[at]))


@pytest.mark.parametrize(("channels", "latent_dim"), [(1, 1), (3, 20)])
def test_samples_are_the_mean_images_of_their_noise_in_rows(channels, latent_dim):
    vae, noise = model(channels, latent_dim), torch.randn(8, latent_dim, generator=seeded(0))
    picture = figures.samples(vae, noise, columns=4)
    check(picture, GAP + 2 * (12 + GAP), GAP + 4 * (12 + GAP), channels=channels)
    expected = vae.sample(noise)
    for at in range(8):
        assert cell(picture, at // 4, at % 4, 4, 6).equal(as_bytes(expected[at]))


# Traversals


@pytest.mark.parametrize(("channels", "latent_dim"), [(1, 1), (3, 20)])
def test_a_row_of_a_traversal_moves_one_latent_only_and_the_highest_rate_comes_first(channels, latent_dim):
    vae = model(channels, latent_dim)
    z, rate = torch.randn(latent_dim, generator=seeded(0)), torch.rand(latent_dim, generator=seeded(1))
    given = z.clone()
    picture = figures.traversals(vae, z, rate, rows=10, columns=5, reach=2.0, title="beta 4")
    order = sorted(range(latent_dim), key=lambda latent: -rate[latent].item())[:10]
    moved = z.expand(len(order), 5, -1).clone()
    for row, latent in enumerate(order):
        moved[row, :, latent] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    images = vae.sample(moved.flatten(0, 1)).unflatten(0, (len(order), 5))
    assert picture.equal(grid(images, [f"z{latent:02d}  {rate[latent]:.2f}" for latent in order], "beta 4"))
    assert z.equal(given)


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
