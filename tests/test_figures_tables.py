"""Figures of tables: what is drawn of which column, in which unit."""

import pytest
import torch
from torch import nn

from vae.config.preparation import TablePreparation
from vae.figures import tables
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.model.vae import VAE


def preparation_for(columns: int) -> TablePreparation:
    names = tuple(f"column number {k} $in_units$ with a long name" for k in range(columns))
    return TablePreparation(
        names, tuple(100.0 * k for k in range(columns)), tuple(10.0**k for k in range(columns)), None
    )


@pytest.fixture
def figures(monkeypatch):
    """The matplotlib figures that are drawn, instead of their pictures."""
    drawn = []
    monkeypatch.setattr(
        tables, "rasterised", lambda figure: drawn.append(figure) or torch.zeros(2, 2, 3, dtype=torch.uint8)
    )
    return drawn


def linear_vae(weight: torch.Tensor) -> VAE:
    """A decoder whose mean is weight @ z."""
    columns, latents = weight.shape
    decoder = nn.Sequential(nn.Linear(latents, columns, bias=False), nn.Unflatten(1, (1, 1, columns)))
    decoder[0].weight = nn.Parameter(weight)
    return VAE(nn.Linear(columns, 2 * latents), decoder, GaussianHead(1.0, learned=False), latents)


@pytest.mark.parametrize("columns", [1, 5, 30])
def test_the_figures_are_pictures_for_any_number_of_columns(columns):
    preparation = preparation_for(columns)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 1, 1, columns, generator=generator)
    vae = mlp_vae((1, 1, columns), 3, (8,), head=GaussianHead(1.0, learned=False))
    rates = torch.rand(3, generator=generator)
    for picture in (
        tables.reconstructed_columns(x, 0.5 * x, preparation),
        tables.column_traversals(vae, torch.zeros(3), rates, preparation, title="a title"),
    ):
        assert picture.dtype == torch.uint8
        assert picture.shape[2] == 3
        assert picture.min() < 255


def test_reconstructions_are_in_the_units_of_their_columns_and_say_what_they_explain(figures):
    preparation = preparation_for(2)
    x = torch.tensor([[-1.0, 0.5], [1.0, 1.5], [0.0, 1.0]])[:, None, None]
    tables.reconstructed_columns(x, 0.5 * x, preparation)
    first, second = figures[0].axes
    assert first.get_title().endswith("R² 0.75")  # half of the way to each point leaves a quarter of the variance
    line, points = second.lines
    assert points.get_xdata().tolist() == [105.0, 115.0, 110.0]
    assert points.get_ydata().tolist() == [102.5, 107.5, 105.0]
    assert list(line.get_xdata()) == list(line.get_ydata()) == [105.0, 115.0]


def test_a_traversal_moves_each_column_along_the_latents_with_the_highest_rates(figures):
    weight = torch.tensor([[1.0, 0.0, 3.0], [0.0, -2.0, 0.0]])
    preparation = preparation_for(2)
    z, rates = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.005, 2.5, 1.0])
    tables.column_traversals(linear_vae(weight), z, rates, preparation, reach=2.0)
    first, second = figures[0].axes
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["z01  2.50 nats", "z02  1.00 nats"]
    ends = [[line.get_ydata()[[0, -1]].tolist() for line in axes.lines[1:]] for axes in (first, second)]
    assert ends[0] == [[6.0, 6.0], [-6.0, 6.0]]  # mean 0, deviation 1: only the latent 2 moves it
    assert ends[1] == [[140.0, 60.0], [80.0, 80.0]]  # mean 100, deviation 10: only the latent 1 does
    low, high = second.get_ylim()
    assert low <= 80 < 120 <= high


def test_an_effect_much_smaller_than_the_deviation_of_its_column_looks_small(figures):
    tables.column_traversals(linear_vae(torch.tensor([[1e-3]])), torch.zeros(1), torch.ones(1), preparation_for(1))
    low, high = figures[0].axes[0].get_ylim()
    assert (low, high) == pytest.approx((-2.2, 2.2), abs=0.1)
