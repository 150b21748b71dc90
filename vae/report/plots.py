"""The plots of the report as SVG. They use the page's own colours, so they fit its light and its dark style."""

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vae.disentanglement.names import SHUFFLED
from vae.report.linear import RatesOverBeta
from vae.report.members import Member
from vae.report.statistics import estimates, finite_values, series_over_beta
from vae.report.tables import score_names, title

INK, RULE = "#010203", "#040506"  # replaced by the colours of the page's style
SERIES = ("#3b82c4", "#e0822b", "#3f9e57", "#d2504b", "#9a6fc1", "#9c7a5b", "#d26fae", "#7f8a93")
CSS = {INK: "currentColor", RULE: "var(--rule)"}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "figure.constrained_layout.use": True,
}
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples, modulo 1, lie evenly
CHANCE_COLOUR, CHANCE_REACH = SERIES[7], 0.4  # of the dash of a setting, whose place has the width 1
COLUMNS = 4  # of plots beside each other
LEGEND_LETTERS = 52  # in a row
MOST_IN_LEGEND = 24  # settings
MOST_LABELS = 24  # below a plot. Of more settings some are labelled, evenly
SPREAD, SPREAD_FROM = 0.5, 8  # of the dots of a setting with so many seeds, whose place has the width 1
LETTERS_BELOW = 20  # in all labels below a plot together; longer labels are turned by 90 degrees
LONGEST_PART = 26  # letters of `key=value` in a label
PANELS_WIDTH = 9.3  # inches of matrices in a row
LEAST_SCALE = 0.7  # a plot that would become smaller than this scrolls


def svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element. `description` is its text for screen readers."""
    text = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": description}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for colour, style in CSS.items():
        drawing = drawing.replace(colour, style)
    least = f"min-width: {LEAST_SCALE * 72 * figure.get_figwidth():.0f}pt"
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{description}" style="{least}" ', 1)


def colours(count: int) -> list[Any]:
    """One colour for each setting: distinct colours for few settings, a sequential map for many."""
    if count <= len(SERIES):
        return list(SERIES[:count])
    return [mpl.colormaps["plasma"](position) for position in np.linspace(0.25, 0.85, count)]


def shortened(setting: str) -> str:
    """The name of a setting for a plot. Long values lose their middle.

    Example:
        >>> shortened("beta=4, data.path=/home/me/pictures/of/cats.npz")
        'beta=4, data.path=/ho…s/of/cats.npz'
    """
    half = LONGEST_PART // 2
    return ", ".join(p if len(p) <= LONGEST_PART else f"{p[:half]}…{p[-half:]}" for p in setting.split(", "))


def add_legend(figure: Figure, axes: Axes) -> None:
    """Add a legend below the plot, in as many columns as fit, and make the figure higher by its height.

    Of more settings than it can hold, it has the first and the last, between whose colours the others are.
    """
    handles, names = axes.get_legend_handles_labels()
    if len(names) > MOST_IN_LEGEND:
        handles, names = [handles[0], handles[-1]], [names[0], f"... {names[-1]}"]
    columns = max(1, min(len(names), LEGEND_LETTERS // (max(map(len, names)) + 5)))
    figure.set_figheight(figure.get_figheight() + 0.22 * math.ceil(len(names) / columns))
    figure.legend(handles, names, loc="outside lower left", ncols=columns, frameon=False)


def rate_distortion(grouped: Mapping[str, Sequence[Member]]) -> str:
    """Plot one dot for each member, and a line through the means of settings that differ in beta only.

    A run with `objective=multi_rate` has its whole curve as a dashed line.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.6))
        axes = figure.add_subplot()
        means = {}
        for (setting, members), colour in zip(grouped.items(), colours(len(grouped)), strict=True):
            rates, distortions = ([m.numbers[name] for m in members] for name in ("rate", "distortion"))
            axes.plot(rates, distortions, "o", ms=5, alpha=0.75, color=colour, label=shortened(setting))
            means[setting] = (float(np.mean(rates)), float(np.mean(distortions)))
        for together in series_over_beta(grouped):
            axes.plot(*zip(*(means[setting] for setting in together), strict=True), "-", lw=1, color=INK, zorder=1)
        for members, colour in zip(grouped.values(), colours(len(grouped)), strict=True):
            for curve in filter(None, map(curve_of, members)):
                axes.plot(*zip(*curve, strict=True), "--", lw=1.2, color=colour, zorder=2)
        axes.set(xlabel="rate, nats per image", ylabel="distortion, nats per image")
        add_legend(figure, axes)
    return svg(figure, "Rate and distortion of every run, and the means of each setting on a line")


def curve_of(member: Member) -> list[tuple[float, float]]:
    """The rate and distortion of a multi-rate run for each beta; empty for others, or if the summary is damaged."""
    points = member.summary.get("curve", [])
    return [(p["rate"], p["distortion"]) for p in points if "rate" in p and "distortion" in p]


def scores(grouped: Mapping[str, Sequence[Member]]) -> str | None:
    """Plot each score by setting: a dot for each seed, and the mean with its confidence interval.

    Returns:
        None if there are no scores, or only one setting.
    """
    names = [name for name in score_names(grouped) if estimates(grouped, name)]
    if not names or len(grouped) == 1:
        return None
    labels = [shortened(setting) for setting in grouped]
    if all(name.startswith("beta=") and "," not in name for name in labels):
        labels = [name.removeprefix("beta=") for name in labels]
    longest = max(map(len, labels))
    step = math.ceil(len(labels) / MOST_LABELS)
    upright = longest * len(labels) <= LETTERS_BELOW
    turn = 0 if upright else 90
    with mpl.rc_context(STYLE):
        rows = math.ceil(len(names) / COLUMNS)
        figure = Figure(figsize=(10, rows * (2.3 if upright else 2.1 + 0.08 * longest)))
        for number, name in enumerate(names):
            axes = figure.add_subplot(rows, COLUMNS, number + 1)
            draw_score(axes, grouped, name)
            axes.set_title(shortened(title(name)))
            axes.set_xticks(range(0, len(labels), step), labels[::step], rotation=turn, fontsize=8 if turn else 10)
    return svg(figure, "Scores by setting, one dot for each seed")


def draw_score(axes: Axes, grouped: Mapping[str, Sequence[Member]], name: str) -> None:
    """Draw one score and its value for shuffled codes.

    The axis fits the dots, because the interval of two seeds is often wider than all of them.
    """
    found, shuffled = estimates(grouped, name), estimates(grouped, name + SHUFFLED)
    positions = {setting: x for x, setting in enumerate(grouped)}
    for setting, chance in shuffled.items():
        ends = [positions[setting] - CHANCE_REACH, positions[setting] + CHANCE_REACH]
        axes.plot(ends, 2 * [chance.mean], color=CHANCE_COLOUR, lw=1.6, zorder=1)
    dots = [
        (positions[s] + aside, value)
        for s, members in grouped.items()
        for aside, value in spread(finite_values(members, name))
    ]
    many = len(dots) > 10 * len(grouped)
    axes.plot(*zip(*dots, strict=True), "o", ms=2.2 if many else 3.5, alpha=0.55 if many else 0.6, color=SERIES[0])
    axes.margins(y=0.3)
    axes.set_xlim(-0.5, len(grouped) - 0.5)
    limits = axes.get_ylim()
    for together in series_over_beta({setting: grouped[setting] for setting in found}):
        axes.errorbar(
            [positions[setting] for setting in together],
            [found[setting].mean for setting in together],
            [math.nan if (half := found[setting].half_width) is None else half for setting in together],
            color=SERIES[1],
            lw=1.2,
            capsize=3,
        )
    axes.set_ylim(limits)


def spread(values: Sequence[float]) -> list[tuple[float, float]]:
    """Each value with its place beside the middle of its setting. Many values lie side by side, as they would overlap.

    Example:
        >>> spread([0.5, 0.25])
        [(0.0, 0.5), (0.0, 0.25)]
    """
    if len(values) < SPREAD_FROM:
        return [(0.0, value) for value in values]
    return [(SPREAD * ((number * GOLDEN) % 1 - 0.5), value) for number, value in enumerate(values)]


def spectra(grouped: Mapping[str, Sequence[Member]]) -> str | None:
    """Plot the rate of each latent, the highest first, as means over the seeds; None if no run has it."""
    rates = {s: [sorted(rate_per_latent(m), reverse=True) for m in members] for s, members in grouped.items()}
    known = {setting: [row for row in rows if row] for setting, rows in rates.items() if any(rows)}
    if not known:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.2))
        axes = figure.add_subplot()
        for (setting, rows), colour in zip(known.items(), colours(len(known)), strict=True):
            mean = [fmean(column) for column in itertools.zip_longest(*rows, fillvalue=0.0)]
            axes.plot(range(1, len(mean) + 1), mean, "o-", ms=4, lw=1, color=colour, label=shortened(setting))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="latent, by rate", ylabel="rate, nats")
        add_legend(figure, axes)
    return svg(figure, "Rate of each latent by setting")


def latents_over_beta(shown: RatesOverBeta) -> str:
    """Plot the rate of each latent against beta: predicted curves, and a dot for each latent of each run."""
    from vae.figures.plots import draw_latents_over_beta  # imports torch, which a report without it does not need

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4))
        draw_latents_over_beta(figure.add_subplot(), shown.predicted, shown.trained)
    return svg(figure, "Predicted and trained rate of each latent over beta")


def rate_per_latent(member: Member) -> list[float]:
    """In nats; empty if unknown."""
    return [float(rate) for rate in member.summary["test"].get("rate_per_latent", [])]


def matrices_by_setting(grouped: Mapping[str, Sequence[Member]], name: str, unit: str) -> str | None:
    """Draw a matrix of latents and factors for one seed of each setting, the one with the median MIG.

    The latents are in the order of their rates. Returns None if no run has the matrix.
    """
    chosen = {s: member for s, members in grouped.items() if (member := median_member(members, name)) is not None}
    if not chosen:
        return None
    values = {s: np.asarray(m.summary["disentanglement"]["matrices"][name]) for s, m in chosen.items()}
    highest = max(float(np.nanmax(matrix, initial=0.0)) for matrix in values.values()) or 1.0
    latents, factors = (max(matrix.shape[axis] for matrix in values.values()) for axis in (0, 1))
    same_factors = len({tuple(m.summary["disentanglement"]["factors"]) for m in chosen.values()}) == 1
    width = 0.85 + 0.2 * factors  # inches of a matrix with its labels
    columns = min(len(chosen), max(1, int(PANELS_WIDTH // width)))
    rows = math.ceil(len(chosen) / columns)
    columns = math.ceil(len(chosen) / rows)  # so that the last row is about as long as the others
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(width * columns + 0.9, max(2.2, 0.7 + rows * (0.65 + 0.2 * latents))))
        all_axes = [figure.add_subplot(rows, columns, number + 1) for number in range(len(chosen))]
        for number, (axes, (setting, member)) in enumerate(zip(all_axes, chosen.items(), strict=True)):
            names, rates = member.summary["disentanglement"]["factors"], rate_per_latent(member)
            order = list(range(len(values[setting])))
            if len(rates) == len(order):
                order.sort(key=lambda latent: -rates[latent])
            image = axes.pcolormesh(values[setting][order], cmap="viridis", vmin=0, vmax=highest)
            axes.invert_yaxis()
            labels = [""] * len(names) if same_factors and number + columns < len(chosen) else names
            axes.set_xticks(np.arange(len(names)) + 0.5, labels, rotation=45, ha="right", fontsize=9)
            axes.set_yticks(np.arange(len(order)) + 0.5, [f"z{latent:02d}" for latent in order], fontsize=9)
            axes.set_title("\n".join([*shortened(setting).split(", "), f"seed {member.summary['seed']}"]), fontsize=9)
        figure.colorbar(image, ax=all_axes, label=unit)
    return svg(figure, f"{unit} of each latent and factor, by setting")


def median_member(members: Sequence[Member], matrix: str) -> Member | None:
    """The member with the (lower) median MIG among those that have the matrix; None if there is none."""
    having = [
        m for m in members if matrix in m.summary["disentanglement"].get("matrices", {}) and finite_values([m], "mig")
    ]
    having.sort(key=lambda m: m.numbers["mig"])
    return having[(len(having) - 1) // 2] if having else None
