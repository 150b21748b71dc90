"""The plots of the report, as SVG that takes the page's colours: light and dark are one drawing."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vae.report.members import Member
from vae.report.statistics import estimates, values_of
from vae.report.tables import SCORES

INK, RULE = "#010203", "#040506"  # stand for what the page's style says
SERIES = ("#3b82c4", "#e0822b", "#3f9e57", "#d2504b", "#9a6fc1", "#9c7a5b", "#d26fae", "#7f8a93")
CSS = {INK: "currentColor", RULE: "var(--rule)"}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar in a name is one
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}
COLUMNS = 4  # of plots beside each other
LEGEND_LETTERS = 62  # in a row
LETTERS_BELOW = 20  # beside each other below one of them; more are turned
PANELS_WIDTH = 9.3  # inches of matrices in a row
LEAST_SCALE = 0.7  # a plot is not shrunk further, but scrolled


def svg(figure: Figure, description: str) -> str:
    """The figure for a page, with words for those who do not see it."""
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
    """One for each setting: told apart easily where they are few, in order where they are many."""
    if count <= len(SERIES):
        return list(SERIES[:count])
    return [mpl.colormaps["plasma"](position) for position in np.linspace(0.25, 0.85, count)]


def parts(setting: str) -> list[str]:
    """What a setting's name says, one `key=value` each.

    Example:
        >>> parts("beta=1_data=fashion_mnist_beta_warmup_steps=9")
        ['beta=1', 'data=fashion', 'mnist_beta_warmup_steps=9']
        >>> parts("beta=1_beta_warmup_steps=9_data=fashion_mnist")
        ['beta=1', 'beta_warmup_steps=9', 'data=fashion_mnist']
    """
    found = re.findall(r"[^=]+=[^=]*?(?:_(?=[A-Za-z][\w.]*=)|$)", setting)
    return [part.removesuffix("_") for part in found] if "".join(found) == setting else [setting]


def short_names(settings: Sequence[str]) -> dict[str, str]:
    """The settings without what they all share."""
    said = {setting: parts(setting) for setting in settings}
    shared = set.intersection(*map(set, said.values())) if len(said) > 1 else set()
    return {setting: ", ".join(p for p in found if p not in shared) for setting, found in said.items()}


def lines(settings: Sequence[str]) -> list[list[str]]:
    """The settings that differ in beta only, together: a line can be drawn through them."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        rest = "_".join(part for part in parts(setting) if not part.startswith("beta="))
        found.setdefault(rest, []).append(setting)
    return list(found.values())


def add_legend(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Below the plot, where it hides nothing, in as many columns as there is room for; the plot keeps its height."""
    columns = max(1, min(len(names), LEGEND_LETTERS // (max(map(len, names)) + 5)))
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=columns, frameon=False)


def rate_distortion(grouped: Mapping[str, Sequence[Member]]) -> str:
    """Every member as a dot, and the means of the settings that differ in beta only on a line."""
    names = short_names(list(grouped))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.6))
        axes = figure.add_subplot()
        means = {}
        for (setting, members), colour in zip(grouped.items(), colours(len(grouped)), strict=True):
            rates, distortions = ([m.numbers[name] for m in members] for name in ("rate", "distortion"))
            axes.plot(rates, distortions, "o", ms=5, alpha=0.75, color=colour, label=names[setting])
            means[setting] = (float(np.mean(rates)), float(np.mean(distortions)))
        for together in lines(list(grouped)):
            axes.plot(*zip(*(means[setting] for setting in together), strict=True), "-", lw=1, color=INK, zorder=1)
        axes.set(xlabel="rate, nats per image", ylabel="distortion, nats per image")
        add_legend(figure, axes, list(names.values()))
    return svg(figure, "Rate and distortion of every run, and the means of each setting on a line")


def against_settings(grouped: Mapping[str, Sequence[Member]]) -> str | None:
    """Each score by setting: every seed's dot, the mean and its confidence interval."""
    names = [name for name in SCORES if estimates(grouped, name)]
    if not names:
        return None
    labels = list(short_names(list(grouped)).values())
    if all(re.fullmatch("beta=[^_,]*", label) for label in labels):
        labels = [label.removeprefix("beta=") for label in labels]
    longest = max(map(len, labels))
    upright = longest * len(labels) <= LETTERS_BELOW
    with mpl.rc_context(STYLE):
        rows = -(-len(names) // COLUMNS)
        figure = Figure(figsize=(10, rows * (2.3 if upright else 2.1 + 0.08 * longest)))
        for number, name in enumerate(names):
            axes = figure.add_subplot(rows, COLUMNS, number + 1)
            draw_score(axes, grouped, name)
            axes.set_xticks(range(len(labels)), labels, rotation=0 if upright else 90, fontsize=10 if upright else 8)
    return svg(figure, "Scores of disentanglement by setting, one dot a seed")


def draw_score(axes: Axes, grouped: Mapping[str, Sequence[Member]], name: str) -> None:
    """One score, on the scale of its dots: the interval of two seeds is often wider than all scores."""
    found = estimates(grouped, name)
    positions = {setting: x for x, setting in enumerate(grouped)}
    dots = [(positions[setting], value) for setting, members in grouped.items() for value in values_of(members, name)]
    axes.plot(*zip(*dots, strict=True), "o", ms=3.5, alpha=0.6, color=SERIES[0])
    axes.margins(x=0.12, y=0.3)
    limits = axes.get_ylim()
    for together in lines(list(found)):
        axes.errorbar(
            [positions[setting] for setting in together],
            [found[setting].mean for setting in together],
            [math.nan if (half := found[setting].half_width) is None else half for setting in together],
            color=SERIES[1],
            lw=1.2,
            capsize=3,
        )
    axes.set_ylim(limits)
    axes.set_title(SCORES[name])


def spectra(grouped: Mapping[str, Sequence[Member]]) -> str | None:
    """The rate of each latent, the highest first, means over the seeds."""
    known = {setting: [m for m in members if m.rate_per_latent] for setting, members in grouped.items()}
    known = {setting: members for setting, members in known.items() if members}
    if not known:
        return None
    names = short_names(list(known))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.2))
        axes = figure.add_subplot()
        for (setting, members), colour in zip(known.items(), colours(len(known)), strict=True):
            rows = [sorted(m.rate_per_latent, reverse=True) for m in members]
            longest = max(map(len, rows))
            mean = np.mean([row + [0.0] * (longest - len(row)) for row in rows], axis=0)
            axes.plot(range(1, longest + 1), mean, "o-", ms=4, lw=1, color=colour, label=names[setting])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="latent, by rate", ylabel="rate, nats")
        add_legend(figure, axes, list(names.values()))
    return svg(figure, "Rate of each latent by setting")


def matrices(grouped: Mapping[str, Sequence[Member]], name: str, title: str) -> str | None:
    """A factor-latent matrix of each setting's middle seed by MIG; the latents by rate."""
    middles = {setting: middle(members, name) for setting, members in grouped.items()}
    chosen = {setting: member for setting, member in middles.items() if member is not None}
    if not chosen:
        return None
    names = short_names(list(chosen))
    values = {s: np.asarray(m.summary["disentanglement"]["matrices"][name]) for s, m in chosen.items()}
    highest = max(float(np.nanmax(matrix, initial=0.0)) for matrix in values.values()) or 1.0
    latents, factors = (max(matrix.shape[axis] for matrix in values.values()) for axis in (0, 1))
    alike = len({tuple(m.summary["disentanglement"]["factors"]) for m in chosen.values()}) == 1
    columns = min(len(chosen), max(1, int(PANELS_WIDTH // panel_width(factors))))
    rows = -(-len(chosen) // columns)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        size = (panel_width(factors) * columns + 0.9, max(2.2, 0.7 + rows * (0.65 + 0.2 * latents)))
        figure = Figure(figsize=size)
        all_axes = [figure.add_subplot(rows, columns, number + 1) for number in range(len(chosen))]
        for number, (axes, (setting, member)) in enumerate(zip(all_axes, chosen.items(), strict=True)):
            order = by_rate(member.rate_per_latent, len(values[setting]))
            image = axes.pcolormesh(values[setting][order], cmap="viridis", vmin=0, vmax=highest)
            axes.invert_yaxis()
            own = member.summary["disentanglement"]["factors"]
            said_below = alike and number + columns < len(chosen)
            labels = [""] * len(own) if said_below else own
            axes.set_xticks(np.arange(len(own)) + 0.5, labels, rotation=45, ha="right", fontsize=9)
            axes.set_yticks(np.arange(len(order)) + 0.5, [f"z{latent:02d}" for latent in order], fontsize=9)
            axes.set_title("\n".join([*names[setting].split(", "), f"seed {member.seed}"]), fontsize=9)
        figure.colorbar(image, ax=all_axes, label=title)
    return svg(figure, f"{title} of each latent and factor, by setting")


def panel_width(factors: int) -> float:
    """Of a matrix with its labels, in inches."""
    return 0.85 + 0.2 * factors


def by_rate(rates: Sequence[float], latents: int) -> list[int]:
    """The latents, that with the highest rate first; as they are numbered if the rates are not known."""
    if len(rates) != latents:
        return list(range(latents))
    return sorted(range(latents), key=lambda latent: -rates[latent])


def middle(members: Sequence[Member], matrix: str) -> Member | None:
    """The member with the median MIG, the lower of two, of those that have the matrix; None if there is none."""
    having = [m for m in members if matrix in m.summary.get("disentanglement", {}).get("matrices", {})]
    scored = sorted((m for m in having if values_of([m], "mig")), key=lambda m: m.scores["mig"])
    return scored[(len(scored) - 1) // 2] if scored else None
