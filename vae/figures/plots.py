"""Plots of latents: numbers in, pictures out, as those of `figures`.

Who imports this waits a quarter of a second for matplotlib: only those do who draw.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from vae.figures.images import Picture

POINTS = 2_000  # of a curve: more cannot be told apart
LINES = ({"color": "black"}, {"color": "#d62728", "linestyle": "--"})
NAMED = 7  # latents in a plot of all: more colours are hard to tell apart, and the next of matplotlib's is grey
TICKS = 7  # names on an axis: more are hard to read, and each takes a millisecond and a half to draw
NUMBERS = 4  # steps of numbers on an axis, at most, for the same reason
COLOURS = 10  # of labels; those above share the last


def scatter(
    mean: Float[Tensor, "images latent"], labels: Int64[Tensor, " images"], latents: tuple[int, int]
) -> Picture:
    """Posterior means in the plane of two latents, coloured by label; each label is named in its colour."""
    figure = Figure(figsize=(6, 5))
    axes = figure.add_subplot()
    across, up = latents
    x, y = mean[:, across].numpy(), mean[:, up].numpy()
    points = axes.scatter(x, y, c=labels.numpy(), s=4, cmap="tab10", vmin=-0.5, vmax=COLOURS - 0.5, alpha=0.7)
    axes.set(xlabel=f"posterior mean of z{across:02d}", ylabel=f"posterior mean of z{up:02d}", aspect="equal")
    axes.locator_params(nbins=NUMBERS)
    axes.set_title("colour: label")
    for place, label in enumerate(labels.clamp(max=COLOURS - 1).unique().tolist()):
        name = f"{label}+" if label == COLOURS - 1 < labels.max() else f"{label}"
        figure.text(0.925, 0.86 - 0.08 * place, name, color=points.to_rgba(label), weight="bold", va="center")
    return render(figure)


def correlation_matrix(correlation: Float[Tensor, "latent latent"], order: Sequence[int]) -> Picture:
    """Correlation of the latents under the aggregate posterior, in `order`."""
    figure = Figure(figsize=(6, 5))
    axes = figure.add_subplot()
    index = torch.tensor(list(order))
    image = axes.imshow(correlation[index][:, index].numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
    names = [f"z{latent:02d}" for latent in order]
    every = math.ceil(len(names) / TICKS)
    ticks = range(0, len(names), every)
    axes.set_xticks(ticks, names[::every])
    axes.set_yticks(ticks, names[::every])
    axes.set_title("correlation of q(z), latents by rate")
    figure.colorbar(image, ticks=(-1, 0, 1))
    return render(figure)


def rate_spectrum(rate_per_latent: Float[Tensor, " latent"], order: Sequence[int]) -> Picture:
    """The mean rate of each latent in nats, in `order`."""
    figure = Figure(figsize=(6, 3.5))
    axes = figure.add_subplot()
    # Not bar, which draws each by itself: a quarter of this picture's time at 20 latents.
    axes.stairs(rate_per_latent[list(order)].numpy(), range(len(order) + 1), fill=True, color="#31688e")
    every = math.ceil(len(order) / TICKS)
    middles = [position + 0.5 for position in range(len(order))]
    axes.set_xticks(middles[::every], [f"z{latent:02d}" for latent in order][::every])
    axes.locator_params(axis="y", nbins=NUMBERS)
    axes.set(ylabel="rate, nats", title=f"rate per latent, {float(rate_per_latent.sum()):.1f} nats in all")
    axes.spines[["top", "right"]].set_visible(False)
    return render(figure)


def rates_over_steps(latents: Mapping[str, Mapping[int, float]], totals: Mapping[str, Mapping[int, float]]) -> Picture:
    """How the rate grew in training, in nats: as a whole, beside what it was held at, and by latent.

    Args:
        latents: of each latent by name, the rate at the steps where it was logged.
        totals: the same of the whole rate, and of a capacity where there is one.
    """
    figure = Figure(figsize=(8, 6))
    above, below = figure.subplots(2, 1, sharex=True)
    # Room for the legends. Having matplotlib find it draws everything a second time.
    figure.subplots_adjust(left=0.09, right=0.84, top=0.94, bottom=0.09)
    for (name, curve), style in zip(totals.items(), LINES, strict=False):
        _thin_line(above, curve, label=name, **style)
    above.set(ylabel="rate, nats", title="the rate in training, means of the steps since the point before")
    by_rate = sorted(latents, key=lambda name: -list(latents[name].values())[-1])
    for place, name in enumerate(by_rate[:NAMED]):
        _thin_line(below, latents[name], label=f"z{name}", color=f"C{place}", zorder=-place)
    others = by_rate[NAMED:]
    for number, name in enumerate(others):
        label = f"{len(others)} others" if number == 0 else None
        _thin_line(below, latents[name], label=label, color="#cccccc", zorder=-len(by_rate))
    below.set(xlabel="step", ylabel="rate of each latent, nats", xlim=(0, None))
    for axes, curves in ((above, totals), (below, latents)):
        if len(curves) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        # An encoder that knows nothing yet may cost ten times what follows: its first steps may leave the picture.
        settled = [value for curve in curves.values() for value in list(curve.values())[len(curve) // 20 :]]
        axes.set_ylim(0, 1.05 * max(settled, default=0.0) or 1.0)
        axes.locator_params(nbins=NUMBERS)
    return render(figure)


def _thin_line(axes: Axes, curve: Mapping[int, float], **style: Any) -> None:
    every = math.ceil(len(curve) / POINTS)
    points = list(curve.items())
    steps, values = zip(*[*points[:-1:every], points[-1]], strict=True)
    axes.plot(steps, values, linewidth=1.2, **style)


def factor_matrices(
    matrices: Mapping[str, Sequence[Sequence[float]]], factors: Sequence[str], order: Sequence[int]
) -> Picture:
    """What each latent has to do with each factor, by every measure; the latents from above in `order`."""
    figure = Figure(figsize=(3.2 * len(matrices), 1.4 + 0.28 * len(order)), layout="constrained")
    names = [f"z{latent:02d}" for latent in order]
    for axes, (name, matrix) in zip(
        figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
    ):
        image = axes.imshow(np.asarray(matrix)[list(order)], cmap="viridis", vmin=0, aspect="auto")
        axes.set_xticks(range(len(factors)), factors, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_title(name)
        figure.colorbar(image)
    return render(figure)


def render(figure: Figure, dpi: int = 100) -> Picture:
    """A matplotlib figure as bytes."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy())
