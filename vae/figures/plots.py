"""Plots of latents. Tensors in, images out, as in `vae.figures.images`. Importing this loads matplotlib."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator
from torch import Tensor

from vae.figures.images import ImageBytes

Curve = tuple[Sequence[float], Sequence[float]]  # the values across and up

LINES = (("black", "-"), ("#d62728", "--"))  # colour and style
COLOURED_LATENTS = 7  # curves with a colour of their own; all others are grey
LABELS = 7  # the most names of latents along an axis
NUMBERS = 4  # the most intervals between numbers along an axis
LETTERS = 16  # of the name of a label
COLOURS = 10  # for class labels; the label 9 and all larger ones have the same colour


def scatter(
    mean: Float[Tensor, "images latent"],
    labels: Int64[Tensor, " images"] | None,
    latents: tuple[int, int],
    names: Sequence[str] | None = None,
) -> ImageBytes:
    """Plot the posterior means of two latents, coloured by label, with a legend of the labels.

    Args:
        mean: of every image.
        labels: of every image. None: all points have one colour.
        latents: the one across and the one up.
        names: of the labels, where they have names.
    """
    figure = Figure(figsize=(6, 5) if names is None else (7.2, 5))
    axes = figure.add_subplot()
    right = 0.925 if names is None else 0.78
    if names is not None:
        figure.subplots_adjust(left=0.1, right=right - 0.02)
    across, up = latents
    x, y = mean[:, latents].T.numpy()
    axes.set(xlabel=f"posterior mean of z{across:02d}", ylabel=f"posterior mean of z{up:02d}", aspect="equal")
    axes.locator_params(nbins=NUMBERS)
    if labels is None:
        axes.scatter(x, y, s=4, color="#31688e", alpha=0.7)
        return rasterised(figure)
    points = axes.scatter(x, y, c=labels.numpy(), s=4, cmap="tab10", vmin=-0.5, vmax=COLOURS - 0.5, alpha=0.7)
    axes.set_title("colour: label")
    for place, label in enumerate(labels.clamp(max=COLOURS - 1).unique().tolist()):
        is_last = label == COLOURS - 1 < labels.max()
        name = f"{label}" if names is None else names[label][:LETTERS]
        name = "others" if is_last and names is not None else f"{name}+" if is_last else name
        colour = points.to_rgba(label)
        figure.text(right, 0.86 - 0.08 * place, name, color=colour, weight="bold", va="center", parse_math=False)
    return rasterised(figure)


def correlation_matrix(correlation: Float[Tensor, "latent latent"], order: Sequence[int]) -> ImageBytes:
    """Plot the correlation matrix of the aggregate posterior, with the latents in `order`."""
    figure = Figure(figsize=(6, 5))
    axes = figure.add_subplot()
    image = axes.imshow(correlation.numpy()[np.ix_(order, order)], cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(*latent_ticks(order))
    axes.set_yticks(*latent_ticks(order))
    axes.set_title("correlation of q(z), latents by rate")
    figure.colorbar(image, ticks=(-1, 0, 1))
    return rasterised(figure)


def latent_ticks(order: Sequence[int]) -> tuple[range, list[str]]:
    """The positions and names of at most `LABELS` latents along an axis, evenly spaced."""
    places = range(0, len(order), math.ceil(len(order) / LABELS))
    return places, [f"z{order[place]:02d}" for place in places]


def rate_spectrum(rate_per_latent: Float[Tensor, " latent"], order: Sequence[int]) -> ImageBytes:
    """Plot the mean rate of each latent in nats, with the latents in `order`."""
    figure = Figure(figsize=(6, 3.5))
    axes = figure.add_subplot()
    # Faster than `bar`, which makes one object for each bar.
    edges = [place - 0.5 for place in range(len(order) + 1)]
    axes.stairs(rate_per_latent[list(order)].numpy(), edges, fill=True, color="#31688e")
    axes.set_xticks(*latent_ticks(order))
    axes.locator_params(axis="y", nbins=NUMBERS)
    axes.set(ylabel="rate, nats", title=f"rate per latent, {float(rate_per_latent.sum()):.1f} nats in all")
    axes.spines[["top", "right"]].set_visible(False)
    return rasterised(figure)


def rates_over_steps(
    latents: Mapping[str, Mapping[int, float]], totals: Mapping[str, Mapping[int, float]]
) -> ImageBytes:
    """Plot the rate during training in nats: the whole rate above, the rate of each latent below.

    Args:
        latents: the rate of each latent by its name, at the steps where it was logged.
        totals: the whole rate at each step, and its target if the objective has one, by name.
    """
    figure = Figure(figsize=(8, 6))
    above, below = figure.subplots(2, 1, sharex=True)
    # Leaves room for the legends. A layout engine would have to draw everything twice.
    figure.subplots_adjust(left=0.09, right=0.84, top=0.94, bottom=0.09)
    for (name, curve), (colour, style) in zip(totals.items(), LINES, strict=False):
        above.plot(list(curve), list(curve.values()), style, color=colour, linewidth=1.2, label=name)
    above.set(ylabel="rate, nats", title="rate in training, means of the steps since the point before")
    by_rate = sorted(latents, key=lambda name: -list(latents[name].values())[-1])
    for place, name in enumerate(by_rate):
        colour, label = f"C{place}", f"z{name}"
        if place >= COLOURED_LATENTS:
            colour, label = "#cccccc", f"{len(by_rate) - place} others" if place == COLOURED_LATENTS else "_"
        curve = latents[name]
        below.plot(list(curve), list(curve.values()), color=colour, linewidth=1.2, label=label, zorder=-place)
    below.set(xlabel="step", ylabel="rate of each latent, nats", xlim=(0, None))
    for axes, curves in ((above, totals), (below, latents)):
        if len(curves) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        # The rate may be ten times as large at the first steps, so the axis fits the later ones.
        settled = [value for curve in curves.values() for value in list(curve.values())[len(curve) // 20 :]]
        axes.set_ylim(0, 1.05 * max(settled, default=0.0) or 1.0)
        axes.locator_params(nbins=NUMBERS)
    return rasterised(figure)


def latents_over_beta(
    predicted: Sequence[Curve], trained: Sequence[tuple[float, Sequence[float]]], title: str = ""
) -> ImageBytes:
    """Plot the rate of each latent against beta, as a curve where it is predicted and as a dot where it was trained.

    Args:
        predicted: for each latent, the betas at which it is active, rising, and its rates in nats.
        trained: for each run, its beta and the rates of its latents, falling.
        title: of the plot.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    draw_latents_over_beta(axes, predicted, trained)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return rasterised(figure, dpi=150)


def draw_latents_over_beta(
    axes: Axes,
    predicted: Sequence[Curve],
    trained: Sequence[tuple[float, Sequence[float]]],
) -> None:
    """Draw what `latents_over_beta` describes, in the colours of latents.

    Args:
        axes: empty.
        predicted: as there.
        trained: as there.
    """
    most = max([len(predicted), *(len(rates) for _, rates in trained)])
    colours = matplotlib.colormaps["plasma"](np.linspace(0.1, 0.85, max(most, 2)))
    for number, (betas, rates) in enumerate(predicted):
        axes.plot(betas, rates, color=colours[number], linewidth=1.4, zorder=2)
    for beta, falling in trained:
        axes.scatter(
            [beta] * len(falling),
            falling,
            s=20,
            c=colours[: len(falling)],
            edgecolors="white",
            linewidths=0.5,
            zorder=3,
            clip_on=False,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda beta, _: f"{beta:g}"))
    axes.set_xticks(sorted({beta for beta, _ in trained}))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="β", ylabel="rate of each latent, nats")
    axes.legend(
        [Line2D([], [], color=colours[0]), Line2D([], [], color=colours[0], marker="o", linestyle="none")],
        ["predicted from the data's spectrum", "trained"],
        frameon=False,
    )


def rate_distortion(curve: Sequence[Mapping[str, float]]) -> ImageBytes:
    """Plot distortion against rate in nats. The betas that are whole numbers are written beside their points.

    Args:
        curve: {beta, distortion, rate} by rising beta.
    """
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.add_subplot()
    rates, distortions = ([point[name] for point in curve] for name in ("rate", "distortion"))
    axes.plot(rates, distortions, "o-", color="#31688e", markersize=3, linewidth=1.2)
    for point in curve:
        if float(point["beta"]).is_integer():
            place = (point["rate"], point["distortion"])
            axes.annotate(f"β = {point['beta']:g}", place, (5, 4), textcoords="offset points")
    axes.set(xlabel="rate, nats", ylabel="distortion, nats", title="rate and distortion by β, of one training")
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=NUMBERS)
    return rasterised(figure)


def factor_matrices(
    matrices: Mapping[str, Sequence[Sequence[float]]], factors: Sequence[str], order: Sequence[int]
) -> ImageBytes:
    """Draw matrices of latents and factors, such as mutual information, with the latents in `order`."""
    figure = Figure(figsize=(3.2 * len(matrices), 1.4 + 0.28 * len(order)), layout="constrained")
    all_axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (name, matrix) in zip(all_axes, matrices.items(), strict=True):
        image = axes.imshow(np.asarray(matrix)[list(order)], cmap="viridis", vmin=0, aspect="auto")
        axes.set_xticks(range(len(factors)), factors, rotation=45, ha="right")
        axes.set_yticks(range(len(order)), [f"z{latent:02d}" for latent in order])
        axes.set_title(name)
        figure.colorbar(image)
    return rasterised(figure)


def rasterised(figure: Figure, dpi: int = 100) -> ImageBytes:
    """Draw a matplotlib figure as an image, (height, width, 3)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy())
