"""Plots of tables: each column in its own unit. Tensors in, images out. Importing this loads matplotlib."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from vae.config.preparation import TablePreparation
from vae.data.preparation import restored
from vae.figures.images import ImageBytes, moved
from vae.figures.plots import NUMBERS, rasterised
from vae.model.vae import VAE

PANELS = 24  # the most columns in a figure
ACROSS = 4  # panels beside each other
LETTERS = 20  # of a column's name
LATENTS = 7  # the most lines in a panel
INACTIVE = 0.01  # nats; a latent with a lower rate changes nothing
POINTS_OF_A_LINE = 41


def reconstructed_columns(
    x: Float[Tensor, "rows 1 1 columns"], means: Float[Tensor, "rows 1 1 columns"], preparation: TablePreparation
) -> ImageBytes:
    """Plot the reconstruction of each column against its true value, in its own unit. On the grey line both agree.

    R² is the share of the column's variance over these rows that the reconstruction explains.

    Args:
        x: some rows.
        means: of p(x|z) at the posterior mean of each row.
        preparation: of the table. The first 24 columns are shown.
    """
    true, reconstructed = restored(x, preparation), restored(means, preparation)
    figure, panels = panels_of(preparation, "each column: reconstruction against true value", "true value")
    for column, axes in enumerate(panels):
        across, up = true[:, column], reconstructed[:, column]
        ends = [float(across.min()), float(across.max())]
        axes.plot(ends, ends, color="#bbbbbb", linewidth=1)
        axes.plot(across.numpy(), up.numpy(), ".", markersize=3, color="#31688e", alpha=0.5)
        variance = float(across.var(correction=0))
        if variance > 0:
            explained = 1 - float((across - up).square().mean()) / variance
            axes.set_title(f"{axes.get_title()}   R² {explained:.2f}", fontsize=9, parse_math=False)
    return rasterised(figure)


@torch.inference_mode()
def column_traversals(
    vae: VAE,
    z: Float[Tensor, " latent"],
    rate_per_latent: Float[Tensor, " latent"],
    preparation: TablePreparation,
    rows: int = LATENTS,
    reach: float = 3.0,
    title: str = "",
) -> ImageBytes:
    """Plot each column, in its own unit, against the value of one latent, while the others stay at `z`.

    The active latents with the highest rates have a line in each panel. An axis covers at least two standard
    deviations of its column on both sides of the mean, so that a small effect looks small.

    Args:
        vae: decodes the latents.
        z: the latents that are varied one at a time.
        rate_per_latent: in nats.
        preparation: of the table. The first 24 columns are shown.
        rows: the largest number of latents; 7 at most.
        reach: values go from -reach to reach.
        title: above the panels.
    """
    order = rate_per_latent.argsort(descending=True)[: min(rows, LATENTS)].tolist()
    order = [latent for latent in order if rate_per_latent[latent] > INACTIVE] or order[:1]
    values = torch.linspace(-reach, reach, POINTS_OF_A_LINE, device=z.device)
    decoded = restored(vae.decode(moved(z, order, values).flatten(0, 1)).mean, preparation).unflatten(
        0, (len(order), -1)
    )
    figure, panels = panels_of(preparation, title, "value of the latent")
    for column, axes in enumerate(panels):
        mean, deviation = preparation.mean[column], preparation.deviation[column]
        axes.plot([0, 0], [mean - 2 * deviation, mean + 2 * deviation], alpha=0)
        for row, latent in enumerate(order):
            label = f"z{latent:02d}  {float(rate_per_latent[latent]):.2f} nats"
            axes.plot(
                values.cpu().numpy(), decoded[row, :, column].numpy(), color=f"C{row}", linewidth=1.3, label=label
            )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    return rasterised(figure)


def panels_of(preparation: TablePreparation, title: str, across_means: str) -> tuple[Figure, Sequence[Any]]:
    """A figure with one panel for each column, whose name is above it. `across_means` is below all panels."""
    columns = preparation.columns[:PANELS]
    across = min(len(columns), ACROSS)
    down = math.ceil(len(columns) / across)
    figure = Figure(figsize=(max(2.3 * across + 1.2, 5.0), 2.0 * down + 0.5), layout="constrained")
    more = (
        f"; the first {PANELS} of {len(preparation.columns)} columns"
        if len(columns) < len(preparation.columns)
        else ""
    )
    figure.suptitle(title + more, fontsize=10, parse_math=False)
    figure.supxlabel(across_means, fontsize=9)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, name in zip(panels, columns, strict=False):
        axes.set_title(name if len(name) <= LETTERS else f"{name[:LETTERS]}…", fontsize=9, parse_math=False)
        axes.locator_params(nbins=NUMBERS)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(columns) :]:
        axes.remove()
    return figure, list(panels[: len(columns)])
