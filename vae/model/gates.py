r"""Gates that make one network the optimum for each beta in a range: the multi-rate VAE.

Bae et al. (2022), "Multi-Rate VAE: Train Once, Get the Full Rate-Distortion Curve", arXiv 2212.03905, Section 3: the
pre-activations of each hidden layer are scaled by a function of ln beta, one for each unit.

.. math:: g_{encoder} = 2 \, \mathrm{sigmoid}(w \ln \beta + b), \quad
    g_{decoder} = \sqrt{\mathrm{relu}(1 - \exp(w \ln \beta + b))}

Two parts are not in the paper. The latents have a response, which makes the linear VAE exact. With u = w ln beta + b,
the posterior has the log-variance min(0, u) besides the encoder's, and its mean and the decoder's input are scaled by
sqrt(relu(1 - exp(u))). The optimum of a linear VAE (`vae.measures.linear_vae`) is w = 1 and b = ln(s^2 / l).

The layers before and after the latents, if there are hidden layers, have weights that are linear in ln beta between
some knots. Few latents at a large beta need another code than the same latents at a small one. Gates only switch
latents off.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.model.heads import BernoulliHead, GaussianHead
from vae.model.linear import LinearEncoder
from vae.model.vae import VAE, Decoder, Encoder
from vae.probability.distributions import DiagonalNormal, Likelihood, LogvarBounds

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
KNOTS = 5  # betas of the layers beside the latents
NEARLY_SHUT = -1e-6  # from here on a gate is 0: the gradient of the root grows without a bound
OPEN = -2.0  # u of a new decoder's gate, which is 0.93


class Condition(nn.Module):
    """The beta that all gates of a model read: one for all images, or one for each.

    Args:
        low: the smallest ln beta.
        high: the largest.
        log_beta: the one to start with.
    """

    log_beta: Tensor

    def __init__(self, low: float, high: float, log_beta: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.register_buffer("log_beta", torch.tensor([log_beta]), persistent=False)

    @property
    def position(self) -> Float[Tensor, "betas 1"]:
        """Where ln beta lies between the bounds, from -1 to 1."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return ((self.log_beta - middle) / half)[:, None]

    @property
    def knots(self) -> Float[Tensor, "betas knots"]:
        """The weight of each knot for linear interpolation between the two that are next to ln beta."""
        places = torch.linspace(-1, 1, KNOTS, device=self.log_beta.device)
        return (1 - (self.position - places).abs() * (KNOTS - 1) / 2).clamp(min=0)


class Response(nn.Module):
    """u = slope * position + level of each unit: an affine function of ln beta.

    Args:
        units: their number.
        slope: at the start.
        level: at the start.
    """

    def __init__(self, units: int, slope: float, level: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((units,), slope))
        self.level = nn.Parameter(torch.full((units,), level))

    def forward(self, position: Float[Tensor, "betas 1"]) -> Float[Tensor, "betas units"]:
        """u of each unit for each beta."""
        return position * self.slope + self.level


def root_gate(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sqrt(relu(1 - exp(u))), with a finite gradient.

    Example:
        >>> root_gate(torch.tensor([-0.5, 0.0, 3.0]))
        tensor([0.6273, 0.0000, 0.0000])
    """
    is_open = u < NEARLY_SHUT
    return torch.where(is_open, torch.sqrt(-torch.expm1(torch.where(is_open, u, -1.0))), 0.0)


def sigmoid_gate(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """2 sigmoid(u): 1 for u = 0."""
    return 2 * torch.sigmoid(u)


class Interpolated(nn.Module):
    """A linear layer whose weights are linear in ln beta between knots: W + sum over knots of knots(beta) * W_knot.

    Args:
        layer: with the weights W, which are those of all betas at first.
        condition: of the model.
    """

    def __init__(self, layer: nn.Linear, condition: Condition) -> None:
        super().__init__()
        self.condition = condition
        self.of_knots = nn.Parameter(torch.zeros(KNOTS, *layer.weight.shape))
        self.bias_of_knots = nn.Parameter(torch.zeros(KNOTS, layer.out_features))
        self.layer = layer

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """The outputs, each with the weights for the beta of its image."""
        knots, weight = self.condition.knots, self.of_knots
        _, outputs, inputs = weight.shape
        if inputs < outputs:  # the knots are multiplied where the layer is narrow
            more = (knots[:, :, None] * x[:, None]).flatten(1) @ weight.transpose(1, 2).flatten(0, 1)
        else:
            more = (knots[:, :, None] * (x @ weight.flatten(0, 1).T).unflatten(1, (KNOTS, outputs))).sum(1)
        result: Tensor = self.layer(x) + more + knots @ self.bias_of_knots
        return result

    @torch.no_grad()
    def fold(self) -> nn.Module:
        """The layer itself, with the weights for one beta."""
        (knots,), layer = self.condition.knots, self.layer
        layer.weight.add_(torch.einsum("k,koi->oi", knots, self.of_knots))
        layer.bias.add_(knots @ self.bias_of_knots)
        return layer


class Gated(nn.Module):
    """A layer whose outputs are scaled by gates before the activation.

    Args:
        layer: linear or convolutional.
        condition: of the model.
        is_decoder: which of the two gates.
    """

    def __init__(self, layer: nn.Module, condition: Condition, *, is_decoder: bool) -> None:
        super().__init__()
        plain = layer.layer if isinstance(layer, Interpolated) else layer
        assert isinstance(plain, LAYERS)
        units = plain.out_features if isinstance(plain, nn.Linear) else plain.out_channels
        self.condition = condition
        self.is_decoder = is_decoder
        self.response = Response(units, 0.0, OPEN if is_decoder else 0.0)
        self.layer = layer

    def gates(self) -> Float[Tensor, "betas units"]:
        """The factor of each unit for each beta."""
        u = self.response(self.condition.position)
        return root_gate(u) if self.is_decoder else sigmoid_gate(u)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's outputs, scaled."""
        output: Tensor = self.layer(x)
        gates = self.gates().to(output.dtype)
        return output * (gates if output.ndim == 2 else gates[:, :, None, None])

    @torch.no_grad()
    def fold(self) -> nn.Module:
        """The layer itself, with the gates in its weights."""
        gates, layer = self.gates()[0], self.layer
        layer = layer.fold() if isinstance(layer, Interpolated) else layer
        assert isinstance(layer, LAYERS)
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0  # the axis of the outputs
        layer.weight.mul_(gates.view([-1 if axis == outputs else 1 for axis in range(layer.weight.ndim)]))
        if layer.bias is not None:
            layer.bias.mul_(gates)
        return layer


class MultiRateVAE(VAE):
    """A VAE for each beta in a range, with shared weights. By itself it is the VAE for one of them.

    Args:
        encoder: with gates.
        decoder: with gates.
        head: from the decoder's output to the likelihood.
        latent_dim: the number of latents.
        bounds: of the posterior's log-variance.
        condition: that the gates read.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        head: BernoulliHead | GaussianHead,
        latent_dim: int,
        bounds: LogvarBounds,
        condition: Condition,
    ) -> None:
        super().__init__(encoder, decoder, head, latent_dim, bounds)
        self.condition = condition
        half = (condition.high - condition.low) / 2
        # The variance rises in proportion to beta, as in the linear VAE, and is nearly 1 at the largest.
        self.latents = Response(latent_dim, half, -half - 0.1)

    def encode(self, x: Float[Tensor, "batch channels height width"]) -> DiagonalNormal:
        """q(z|x), in fp32 even if the encoder computes in bf16."""
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        u = self.latents(self.condition.position)
        return DiagonalNormal(mean * root_gate(u), logvar + u.clamp(max=0), self.bounds)

    def decode(self, z: Float[Tensor, "batch latent"]) -> Likelihood:
        """p(x|z), in fp32 even if the decoder computes in bf16."""
        gates = root_gate(self.latents(self.condition.position))
        likelihood: Likelihood = self.head(self.decoder(z * gates).float())
        return likelihood

    def draw_betas(self, images: int, generator: torch.Generator) -> Float[Tensor, " images"]:
        """A beta for each image of a batch, log-uniform over the range, one in each of `images` equal parts of it."""
        low, high, device = self.condition.low, self.condition.high, self.condition.log_beta.device
        within = torch.rand(images, generator=generator, device=generator.device).to(device)
        parts = (torch.arange(images, device=device) + within) / images
        return torch.exp(low + (high - low) * parts)

    @contextmanager
    def conditioned(self, betas: Float[Tensor, " betas"]) -> Iterator[None]:
        """Inside, image i of each batch has `betas[i]`; a single beta is that of all."""
        before = self.condition.log_beta
        self.condition.log_beta = betas.log()
        try:
            yield
        finally:
            self.condition.log_beta = before

    def at(self, beta: float) -> VAE:
        """The plain VAE for one beta, with weights of its own: the gates are folded into copies of the layers.

        Raises:
            ValueError: beta is outside the range that was trained.
        """
        low, high = math.exp(self.condition.low), math.exp(self.condition.high)
        if not low * (1 - 1e-6) <= beta <= high * (1 + 1e-6):
            raise ValueError(f"beta must be from {low:.6g} to {high:.6g}, the range of the training, got {beta:g}")
        with self.conditioned(self.condition.log_beta.new_tensor([beta])):
            folded = copy.deepcopy(self)
        u = folded.latents(folded.condition.position)[0].detach()
        encoder, decoder = _folded(folded.encoder), _folded(folded.decoder)
        with torch.no_grad():
            _fold_posterior(encoder, root_gate(u), u.clamp(max=0))
            next(layer for layer in decoder.modules() if isinstance(layer, nn.Linear)).weight.mul_(root_gate(u))
        return VAE(encoder, decoder, folded.head, self.latent_dim, self.bounds).train(self.training)


def multi_rate_vae(vae: VAE, beta_min: float, beta_max: float, beta: float) -> MultiRateVAE:
    """A VAE with gates, from one without. It takes over the layers.

    Args:
        vae: with the networks of this package.
        beta_min: the smallest beta.
        beta_max: the largest.
        beta: the one of the model by itself.
    """
    condition = Condition(math.log(beta_min), math.log(beta_max), math.log(beta))
    for network, is_decoder in ((vae.encoder, False), (vae.decoder, True)):
        assert isinstance(network, nn.Module)
        *hidden, last = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
        gated: dict[nn.Module, nn.Module] = {layer: Gated(layer, condition, is_decoder=is_decoder) for layer in hidden}
        beside = hidden[0] if is_decoder and hidden else last  # the layer next to the latents
        if hidden and isinstance(beside, nn.Linear):
            if is_decoder:
                gated[beside] = Gated(Interpolated(beside, condition), condition, is_decoder=True)
            else:
                gated[last] = Interpolated(beside, condition)
        _replace(network, gated)
    return MultiRateVAE(vae.encoder, vae.decoder, vae.head, vae.latent_dim, vae.bounds, condition)


def _replace(network: nn.Module, by: dict[nn.Module, nn.Module]) -> None:
    for name, child in network.named_children():
        if child in by:
            network.add_module(name, by[child])
        else:
            _replace(child, by)


def _folded(network: object) -> nn.Module:
    assert isinstance(network, nn.Module)
    inner = {layer.layer for layer in network.modules() if isinstance(layer, Gated)}  # folded by the gates around it
    outer = [part for part in network.modules() if isinstance(part, Gated | Interpolated) and part not in inner]
    _replace(network, {part: part.fold() for part in outer})
    return network


def _fold_posterior(encoder: nn.Module, gates: Float[Tensor, " latent"], shift: Float[Tensor, " latent"]) -> None:
    """Put the response of the latents into the last layer of an encoder."""
    latents = len(gates)
    if isinstance(encoder, LinearEncoder):
        weight, bias = encoder.mean.weight, encoder.bias.bias
    else:
        *_, last = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
        weight, bias = last.weight, last.bias
    weight[:latents] *= gates[:, None]
    bias[:latents] *= gates
    bias[latents:] += shift
