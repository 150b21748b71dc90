"""The plots of the report, as SVG that takes the page's colours: light and dark are one drawing."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae.report.members import Member
from vae.report.statistics import estimates
from vae.report.tables import SCORES

INK, RULE = "#010203", "#040506"  # stand for what the page's style says
SERIES = ("#3b82c4", "#e0822b", "#3f9e57", "#d2504b", "#9a6fc1", "#9c7a5b", "#d26fae", "#7f8a93")
CSS = {INK: "currentColor", RULE: "var(--rule)"}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
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
COLUMNS = 4


def svg(figure: Figure, description: str) -> str:
    """The figure for a page, with words for those who do not see it."""
    text = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": description}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    for colour, style in CSS.items():
        drawing = drawing.replace(colour, style)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)


def rate_distortion(grouped: Mapping[str, Sequence[Member]]) -> str:
    """Every member as a dot, and the means of each setting on a line."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.2))
        axes = figure.add_subplot()
        means = []
        for number, (setting, members) in enumerate(grouped.items()):
            rates, distortions = ([m.numbers[name] for m in members] for name in ("rate", "distortion"))
            axes.plot(rates, distortions, "o", ms=5, alpha=0.75, color=SERIES[number % len(SERIES)], label=setting)
            means.append((float(np.mean(rates)), float(np.mean(distortions))))
        axes.plot(*zip(*means, strict=True), "-", lw=1, color=INK, zorder=1)
        axes.set(xlabel="rate, nats per image", ylabel="distortion, nats per image")
        axes.legend(frameon=False)
    return svg(figure, "Rate and distortion of every run, and the means of each setting on a line")


def against_settings(grouped: Mapping[str, Sequence[Member]]) -> str | None:
    """Each score by setting: every seed's dot, the mean and its confidence interval."""
    names = [name for name in SCORES if estimates(grouped, name)]
    if not names:
        return None
    with mpl.rc_context(STYLE):
        rows = -(-len(names) // COLUMNS)
        figure = Figure(figsize=(10, 2.3 * rows))
        for number, name in enumerate(names):
            draw_score(figure.add_subplot(rows, COLUMNS, number + 1), grouped, name)
    return svg(figure, "Scores of disentanglement by setting, one dot a seed")


def draw_score(axes: Axes, grouped: Mapping[str, Sequence[Member]], name: str) -> None:
    """One score."""
    found = estimates(grouped, name)
    positions = {setting: x for x, setting in enumerate(grouped)}
    for setting, members in grouped.items():
        values = [m.numbers[name] for m in members if name in m.numbers]
        axes.plot([positions[setting]] * len(values), values, "o", ms=3.5, alpha=0.6, color=SERIES[0])
    x = [positions[setting] for setting in found]
    axes.errorbar(
        x,
        [one.mean for one in found.values()],
        [one.half_width or 0.0 for one in found.values()],
        color=SERIES[1],
        lw=1.2,
        capsize=3,
    )
    axes.set_xticks(list(positions.values()), short_names(list(grouped)))
    axes.margins(x=0.12)
    axes.set_title(SCORES[name])


def short_names(settings: Sequence[str]) -> list[str]:
    """The settings without what they share: the values of beta alone, where nothing else varies."""
    if all(setting.startswith("beta=") and "_" not in setting for setting in settings):
        return [setting.removeprefix("beta=") for setting in settings]
    return [setting.replace("_", "\n") for setting in settings]


def spectra(grouped: Mapping[str, Sequence[Member]]) -> str:
    """The rate of each latent, the highest first, means over the seeds."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6))
        axes = figure.add_subplot()
        for number, (setting, members) in enumerate(grouped.items()):
            rows = [sorted(m.summary["test"]["rate_per_latent"], reverse=True) for m in members]
            longest = max(map(len, rows))
            mean = np.mean([row + [0.0] * (longest - len(row)) for row in rows], axis=0)
            axes.plot(range(1, longest + 1), mean, "o-", ms=4, lw=1, color=SERIES[number % len(SERIES)], label=setting)
        axes.set(xlabel="latent, by rate", ylabel="rate, nats")
        axes.legend(frameon=False)
    return svg(figure, "Rate of each latent by setting")


def matrices(grouped: Mapping[str, Sequence[Member]], name: str, title: str) -> str | None:
    """A factor-latent matrix of each setting's middle seed by MIG; the latents by rate."""
    chosen = {setting: found for setting, members in grouped.items() if (found := middle(members)) is not None}
    if not chosen:
        return None
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        latents = max(len(m.summary["test"]["rate_per_latent"]) for m in chosen.values())
        figure = Figure(figsize=(min(2.4 * len(chosen) + 0.8, 14), 1.3 + 0.2 * latents))
        all_axes = figure.subplots(1, len(chosen), squeeze=False)[0]
        values = {s: np.asarray(m.summary["disentanglement"]["matrices"][name]) for s, m in chosen.items()}
        highest = max(float(matrix.max()) for matrix in values.values()) or 1.0
        for axes, (setting, member) in zip(all_axes, chosen.items(), strict=True):
            rates = member.summary["test"]["rate_per_latent"]
            order = sorted(range(len(rates)), key=lambda latent: -rates[latent])
            image = axes.pcolormesh(values[setting][order], cmap="viridis", vmin=0, vmax=highest)
            axes.invert_yaxis()
            factors = member.summary["disentanglement"]["factors"]
            axes.set_xticks(np.arange(len(factors)) + 0.5, factors, rotation=45, ha="right")
            axes.set_yticks(np.arange(len(order)) + 0.5, [f"z{latent:02d}" for latent in order])
            axes.set_title(f"{setting}, seed {member.seed}")
        figure.colorbar(image, ax=list(all_axes), label=title)
    return svg(figure, f"{title} of each latent and factor, by setting")


def middle(members: Sequence[Member]) -> Member | None:
    """The member with the median MIG, the lower of two; None if none has one."""
    scored = sorted((m for m in members if "mig" in m.scores), key=lambda m: m.scores["mig"])
    return scored[(len(scored) - 1) // 2] if scored else None
