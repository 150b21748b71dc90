"""The lesson: the note on the KL loss as a page, with a figure that can be dragged beside every formula.

The page computes with `formulas.js`. It carries values of this package's own functions. When it is opened, it compares
its formulas with them, and says how far they differ.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from vae.measures.decomposition import decompose_rate
from vae.measures.moments import gaussian_total_correlation
from vae.pages.assemble import page
from vae.pages.mathml import with_formulas
from vae.probability.distributions import LogvarBounds, bound_logvar, log_sum_exp
from vae.probability.divergences import (
    cross_entropy,
    entropy,
    kl_categorical,
    kl_normal,
    kl_to_standard_normal,
    kl_to_standard_normal_terms,
    mutual_information,
)

PAGE = "lesson.html"
PARTS = ("definition", "gaussians", "code", "information")  # of the scripts, in their order
TITLE = "The KL loss, hands on"
SECTIONS = {
    "definition": "Definition",
    "properties": "Four properties",
    "discrete": "Discrete: entropy and cross-entropy",
    "vae": "In a VAE",
    "gaussians": "Two Gaussians",
    "closed": "The closed form, term by term",
    "code": "In code, and in float32",
    "beta": "β, the weight of the KL",
    "information": "Information theory",
    "references": "References",
}
SEED = 0
EXACT = 1e-9  # nats: by how much the page's formulas may differ from torch, both in float64
ROUNDED = 2e-7  # the same in float32: twice the distance of two floats beside 1
CEILING_RATES = (2.0, 5.0, 10.0, 20.0)  # nats: the true rates of the figure of the ceiling
CEILING_SIZES = tuple(2**k for k in range(1, 13))  # images
CEILING_LATENTS = 10
CEILING_SAMPLES = 1024


@dataclass(frozen=True)
class TrainedPoint:
    """A trained model on the rate-distortion curve, in nats per image."""

    beta: float
    distortion: float
    rate: float


@dataclass(frozen=True)
class RateParts:
    """The rate of a trained model and the estimates of its parts, in nats per image.

    Attributes:
        ceiling: ln N, above which no estimate of the mutual information lies.
        images: N.
    """

    beta: float
    rate: float
    mutual_information: float
    total_correlation: float
    total_correlation_shuffled: float
    ceiling: float
    images: int


def lesson_page(
    curve: Sequence[TrainedPoint],
    separate: Sequence[TrainedPoint],
    decompositions: Sequence[RateParts],
    *,
    curve_origin: str,
    made: str,
) -> str:
    """The page as text.

    Args:
        curve: trained models for every beta, by rising beta; two or more.
        separate: models that were trained for one beta each, beside the curve; may be empty.
        decompositions: of trained models, by rising beta; may be empty.
        curve_origin: what the curve was measured on, in a sentence.
        made: how the page was made, in a sentence.
    """
    return page(
        "lesson.html.j2",
        styles=["page.css", "lesson.css"],
        scripts=["parts.js", "formulas.js", "touch.js", "lesson.js", *(f"lesson_{part}.js" for part in PARTS)],
        title=TITLE,
        data={
            "references-of-torch": reference_values(),
            "curve": {"curve": [asdict(p) for p in curve], "separate": [asdict(p) for p in separate]},
            "ceiling": ceiling_values(),
        },
        with_formulas=with_formulas,
        sections=SECTIONS.items(),
        decompositions=decompositions,
        curve_origin=curve_origin,
        made=made,
    )


def reference_values() -> list[dict[str, Any]]:
    """Values of this package's functions, for each of the page's formulas of that name.

    Returns:
        For each formula its `name`, the `arguments` of its calls, the `values`, and the `tolerated` difference.
        If a formula has several results, each of `values` is a list, in the order of `keys`.
    """
    generator = torch.Generator().manual_seed(SEED)

    def between(low: float, high: float, *shape: int) -> Tensor:
        drawn = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
        return rounded(drawn)

    mean, logvar = (
        grid.flatten() for grid in torch.meshgrid(line(-4.0, 4.0, 17), line(-10.0, 10.0, 41), indexing="ij")
    )
    lines = between(-3.0, 3.0, 200, 4)  # two means and two log-variances
    steps, axes = between(-3.0, 3.0, 100, 2, 2), between(-1.0, 1.0, 100, 2, 2, 2)
    covariances = rounded(axes @ axes.mT + 0.1 * torch.eye(2, dtype=torch.float64))
    p, q = distributions(between(0.0, 1.0, 60, 5)), distributions(between(0.05, 1.0, 60, 5))
    p[0, 0], p[0, 1] = 0.0, p[0, 0] + p[0, 1]  # 0 ln 0
    joint = distributions(between(0.0, 1.0, 40, 9)).unflatten(1, (3, 3))
    sums = between(-2000.0, 2000.0, 40, 5)
    correlations = line(-0.99, 0.99, 23)
    small = torch.logspace(-8, 0, 33)
    near = torch.cat([-small.flip(0), small])
    terms = kl_to_standard_normal_terms(mean, logvar)
    return [
        checked("klStandard", [mean, logvar], kl_to_standard_normal(mean, logvar)),
        checked("klStandardTerms", [mean, logvar], torch.stack(terms, 1), keys=terms._fields),
        checked("klStandardGradient", [mean, logvar], gradient_of_kl(mean, logvar), keys=("mean", "logvar")),
        checked("klNormal1d", list(lines.T), kl_on_a_line(*lines.T)),
        checked(
            "klNormal2d",
            [steps[:, 0], covariances[:, 0], steps[:, 1], covariances[:, 1]],
            kl_normal(steps[:, 0], covariances[:, 0], steps[:, 1], covariances[:, 1])[:, None],
            keys=("kl",),
        ),
        checked("totalCorrelation2d", [correlations], total_correlation(correlations)),
        checked("entropy", [p], entropy(p)),
        checked("crossEntropy", [p, q], cross_entropy(p, q)),
        checked("klCategorical", [p, q], kl_categorical(p, q)),
        checked("mutualInformation", [joint], mutual_information(joint)),
        checked("logSumExp", [sums], log_sum_exp(sums, 1)),
        *checked_bounds(),
        checked("klStandardByExp32", [torch.zeros_like(near), near], kl_by_exp(near), tolerated=ROUNDED),
        checked("klStandardByExpm132", [torch.zeros_like(near), near], kl_by_expm1(near), tolerated=ROUNDED),
    ]


def checked(
    name: str, arguments: Sequence[Tensor], values: Tensor, keys: Sequence[str] = (), tolerated: float = EXACT
) -> dict[str, Any]:
    """The entry of one formula. The first axis of every tensor counts the calls."""
    calls = [list(call) for call in zip(*(argument.tolist() for argument in arguments), strict=True)]
    return {"name": name, "arguments": calls, "values": values.tolist(), "keys": list(keys), "tolerated": tolerated}


def checked_bounds() -> list[dict[str, Any]]:
    """The entries of the clamp, and of the gradients that torch's clamp and this package's bound let through."""
    bounds, gradient = LogvarBounds(), 0.75
    found = []
    logvar = line(-39.5, 39.5, 80)  # not the bounds themselves, at which the gradient of torch's clamp has changed
    for name, bound in (
        ("clampGradient", lambda value: value.clamp(*bounds)),
        ("boundGradient", lambda value: torch.stack([bound_logvar(one, bounds) for one in value])),
    ):
        through = gradient_through(bound, logvar, gradient)
        arguments = [logvar, *(torch.full_like(logvar, number) for number in (*bounds, gradient))]
        found.append(checked(name, arguments, through))
    arguments = [logvar, *(torch.full_like(logvar, number) for number in bounds)]
    return [checked("clamp", arguments, bound_logvar(logvar, bounds)), *found]


def gradient_through(bound: Callable[[Tensor], Tensor], logvar: Tensor, gradient: float) -> Tensor:
    """What arrives at `logvar` if this gradient arrives at its bounded value."""
    logvar = logvar.clone().requires_grad_()
    (found,) = torch.autograd.grad(bound(logvar).sum() * gradient, logvar)
    return found


def gradient_of_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """The gradient of the KL to the prior with respect to mean and log-variance, by autograd."""
    mean, logvar = mean.clone().requires_grad_(), logvar.clone().requires_grad_()
    return torch.stack(torch.autograd.grad(kl_to_standard_normal(mean, logvar).sum(), (mean, logvar)), 1)


def kl_on_a_line(mean_p: Tensor, logvar_p: Tensor, mean_q: Tensor, logvar_q: Tensor) -> Tensor:
    """KL(p || q) of Gaussians in one dimension, by the formula for full covariances."""
    covariance_p, covariance_q = (logvar.exp()[:, None, None] for logvar in (logvar_p, logvar_q))
    return kl_normal(mean_p[:, None], covariance_p, mean_q[:, None], covariance_q)


def kl_by_exp(logvar: Tensor) -> Tensor:
    """The KL of the note's code, at mean 0."""
    return 0.5 * (torch.exp(logvar) + torch.zeros_like(logvar).pow(2) - 1 - logvar)


def kl_by_expm1(logvar: Tensor) -> Tensor:
    """The KL of this package, at mean 0."""
    return kl_to_standard_normal(torch.zeros_like(logvar), logvar)


def total_correlation(correlations: Tensor) -> Tensor:
    """The total correlation of two Gaussian latents, for each correlation."""
    covariances = torch.eye(2, dtype=torch.float64) + correlations[:, None, None] * torch.tensor([[0.0, 1], [1, 0]])
    return torch.tensor([gaussian_total_correlation(covariance) for covariance in covariances], dtype=torch.float64)


@functools.cache
def ceiling_values() -> dict[str, Any]:
    """Estimates of mutual information and total correlation for latents whose true values are known, in nats.

    The means are drawn from N(0, 1 - s^2) and all posteriors have the variance s^2. So q(z) is the prior, the latents
    are independent, and the mutual information is the rate, -k ln s for k latents.
    """
    generator = torch.Generator().manual_seed(SEED)
    means, noise = (torch.randn(CEILING_SIZES[-1], CEILING_LATENTS, generator=generator) for _ in range(2))
    rows: dict[str, list[list[float]]] = {"mutual_information": [], "total_correlation": [], "dimension_wise_kl": []}
    for rate in CEILING_RATES:
        logvar = torch.full_like(means, -2 * rate / CEILING_LATENTS)
        mean = means * (1 - logvar.exp()).sqrt()
        z = mean + (0.5 * logvar).exp() * noise
        parts = [
            decompose_rate(mean[:size], logvar[:size], z[:size], min(size, CEILING_SAMPLES)) for size in CEILING_SIZES
        ]
        for name, found in rows.items():
            found.append([round(getattr(part, name), 3) for part in parts])
    return {"rates": CEILING_RATES, "sizes": CEILING_SIZES, **rows}


def distributions(weights: Tensor) -> Tensor:
    """Probabilities in proportion to weights, over the last axis."""
    return weights / weights.sum(-1, keepdim=True)


def line(low: float, high: float, points: int) -> Tensor:
    """Evenly spaced numbers with both ends, rounded."""
    return rounded(torch.linspace(low, high, points, dtype=torch.float64))


def rounded(values: Tensor) -> Tensor:
    """The values with three decimals, which are short in the page."""
    return torch.round(values, decimals=3)
