"""The weights of a network as whole numbers, as coarse as its results allow.

Each layer has one step: weight = step * whole number. In linear layers of up to `WIDEST` inputs the error of each
rounded column is carried over to the columns that follow, so that the errors of the outputs nearly cancel on inputs
that occur: Frantar, Ashkboos, Hoefler & Alistarh (2023), "GPTQ", arXiv 2210.17323, Algorithm 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vae.config import ConfigError
from vae.pages.networks import Layer, computed
from vae.pages.packing import byte_planes, planes_for

FIRST_FACTOR, NEXT_FACTOR, MOST_TRIES = 3.0, 0.8, 40
LARGE = 50.0  # nats, or times the range of the pixels: float32 does not hold small differences of large numbers
FEW = 64  # inputs, on which steps are searched before all are compared
RIDGE = 1e-3  # of the mean variance of a layer's inputs, which keeps directions that did not occur from growing
WIDEST = 2_048  # inputs of a layer whose errors are carried over: the time grows with their third power
MOST = 2**31 - 1  # of the whole numbers
BLOCK = 64  # columns whose errors are carried over at once


@dataclass(frozen=True)
class Rounded:
    """A network as the page has it.

    Attributes:
        layers: with the rounded weights.
        plain: the same for JSON: what each layer computes, and how its numbers are stored.
        content: the numbers of all layers, in their order: the weights' bytes, then the biases as float32.
        error: the largest difference to torch that was found.
    """

    layers: Sequence[Layer]
    plain: list[dict[str, Any]]
    content: bytes
    error: float


def rounded(
    layers: Sequence[Layer],
    x: Tensor,
    results: Callable[[Tensor], Tensor],
    exact: Tensor,
    tolerance: float,
) -> Rounded:
    """The network with weights as coarse as its results allow.

    Args:
        layers: of the network.
        x: inputs, on which the results are compared.
        results: from the output of the layers to what is compared.
        exact: what the model computes from `x`.
        tolerance: the largest difference that is allowed.

    Raises:
        ConfigError: the layers do not compute what the model does.
    """
    try:
        error = difference(results(computed(layers, x)), exact)
    except RuntimeError:  # of shapes that do not follow one another
        error = math.inf
    if error > tolerance / 10:
        raise ConfigError(
            f"the page must compute what torch does within {tolerance:.2g}, its layers one after another, "
            f"got {error:.2g}. Use traverse or evaluate for this run"
        )
    few = torch.arange(min(FEW, len(x))) * len(x) // min(FEW, len(x))  # evenly spaced
    carries = carries_of(layers, x)
    inputs = inputs_of(layers, x[few])
    steps = {i: widest_step(layers, i, inputs[i], results, exact[few], tolerance) for i in inputs}
    factor = FIRST_FACTOR
    for _ in range(MOST_TRIES):
        found = [
            in_steps(layer, factor * steps[i], carries.get(i)) if i in steps else layer
            for i, layer in enumerate(layers)
        ]
        error = difference(results(computed(found, x[few])), exact[few])
        if error <= tolerance:  # only then is it worth the time to compare all
            error = difference(results(computed(found, x)), exact)
        if error <= tolerance:
            return stored(found, {i: factor * step for i, step in steps.items()}, error)
        factor *= NEXT_FACTOR
    raise ConfigError(f"the weights cannot be rounded so that the results stay within {tolerance:.2g} of torch's")


def difference(found: Tensor, exact: Tensor) -> float:
    """The largest difference, which counts less where numbers are above `LARGE`. Infinite if one is not finite."""
    worst = float(((found - exact).abs() / (exact.abs() / LARGE).clamp(min=1)).max())
    return worst if math.isfinite(worst) else math.inf


def carries_of(layers: Sequence[Layer], x: Tensor) -> dict[int, "Carry"]:
    """How each linear layer of up to `WIDEST` inputs carries errors over, by its number."""
    carries = {}
    for i, layer in enumerate(layers):
        if layer.plain["kind"] == "linear" and layer.plain["inputs"] <= WIDEST:
            carries[i] = carry(x)
        x = computed([layer], x)
    return carries


def inputs_of(layers: Sequence[Layer], x: Tensor) -> dict[int, Tensor]:
    """The input of each layer with weights, by its number."""
    inputs = {}
    for i, layer in enumerate(layers):
        if layer.weight is not None:
            inputs[i] = x
        x = computed([layer], x)
    return inputs


def widest_step(
    layers: Sequence[Layer],
    number: int,
    x: Tensor,
    results: Callable[[Tensor], Tensor],
    exact: Tensor,
    tolerance: float,
) -> float:
    """The largest power of sqrt(2) for a layer whose rounding alone takes its share of the tolerance.

    Errors of layers add up as squares do, and each gets a share by its number of weights.

    Args:
        layers: of the network.
        number: of the layer.
        x: its inputs.
        results: as in `rounded`.
        exact: likewise.
        tolerance: of all layers together.
    """
    sizes = [0 if layer.weight is None else layer.weight.numel() for layer in layers]
    share = tolerance * math.sqrt(sizes[number] / sum(sizes))
    weight = layers[number].weight
    assert weight is not None
    largest = float(weight.abs().max()) or 1.0
    low, high = -48, 0  # exponents of sqrt(2)
    while high - low > 1:
        middle = (low + high) // 2
        part = [in_steps(layers[number], largest * 2 ** (middle / 2), None), *layers[number + 1 :]]
        if difference(results(computed(part, x)), exact) <= share:
            low = middle
        else:
            high = middle
    return float(largest * 2 ** (low / 2))


@dataclass(frozen=True)
class Carry:
    """How the error of one column of a linear layer is carried over to the others.

    Attributes:
        mean: of each input.
        order: of the columns, those whose inputs vary most first.
        root: the upper Cholesky factor of the inverse covariance, in that order.
    """

    mean: Float[Tensor, " inputs"]
    order: Tensor
    root: Float[Tensor, "inputs inputs"]


def carry(x: Tensor) -> Carry:
    """For a layer with these inputs."""
    flat = x.flatten(1).double()
    mean = flat.mean(0)
    centred = flat - mean
    covariance = centred.T @ centred / len(flat)
    variance = covariance.diagonal()
    covariance += (RIDGE * variance.mean() + 1e-12) * torch.eye(len(covariance), dtype=covariance.dtype)
    order = variance.argsort(descending=True, stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance[order][:, order]))
    return Carry(mean, order, torch.linalg.cholesky(inverse, upper=True))


def in_steps(layer: Layer, step: float, how: Carry | None) -> Layer:
    """The layer with weights that are whole multiples of the step, as float32.

    Args:
        layer: with a weight.
        step: of its weights.
        how: errors are carried over. None: each weight is rounded alone.
    """
    assert layer.weight is not None
    assert layer.bias is not None
    weight = layer.weight.detach().float()
    if how is None:
        return replace(layer, weight=torch.round(weight / step) * step)
    left = weight.double()[:, how.order].T.contiguous()  # (inputs, outputs): the weights that are not yet rounded
    whole = torch.empty_like(left)
    for start in range(0, len(left), BLOCK):
        end = min(start + BLOCK, len(left))
        errors = torch.empty_like(left[start:end])
        for i in range(start, end):
            whole[i] = torch.round(left[i] / step)
            errors[i - start] = (left[i] - whole[i] * step) / how.root[i, i]
            left[i + 1 : end] -= how.root[i, i + 1 : end, None] * errors[i - start]
        left[end:] -= how.root[start:end, end:].T @ errors
    back = torch.empty_like(how.order)
    back[how.order] = torch.arange(len(back))
    found = (whole[back].T * step).float()
    bias = layer.bias.detach().double() + (weight.double() - found.double()) @ how.mean
    return replace(layer, weight=found, bias=bias.float())


def stored(layers: Sequence[Layer], steps: dict[int, float], error: float) -> Rounded:
    """The rounded layers as plain data and bytes.

    Raises:
        ConfigError: the whole numbers are too large.
    """
    plain, content = [], []
    for i, layer in enumerate(layers):
        if layer.weight is None or layer.bias is None:
            plain.append(layer.plain)
            continue
        exact = torch.round(layer.weight.double() / steps[i])
        if float(exact.abs().max()) > MOST:
            raise ConfigError(f"the weights cannot be rounded to whole numbers of up to {MOST:,}. Use traverse")
        whole = exact.numpy().astype(np.int32)
        planes = planes_for(whole)
        plain.append({**layer.plain, "step": steps[i], "planes": planes})
        content += [byte_planes(whole, planes), layer.bias.detach().cpu().numpy().astype("<f4").tobytes()]
    return Rounded(layers, plain, b"".join(content), error)
