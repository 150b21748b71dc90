"""The verbs of a trained model: encode, decode, sample, reconstruct, interpolate, traverse and score.

Inputs are pictures, arrays or rows as a user has them. They are prepared exactly as in training. Results are on the
CPU.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae.config import Resize
from vae.config.preparation import Preparation
from vae.data.files import DataError
from vae.data.inputs import Inputs, Progress, inputs_of, no_progress
from vae.data.preparation import restored
from vae.measures.evaluation import BATCH, EVALUATION_SEED
from vae.model.vae import VAE
from vae.objectives import elbo_terms
from vae.probability.distributions import DiagonalNormal
from vae.probability.finite import NonFiniteError
from vae.probability.prior import standard_normal
from vae.trained.description import Description

UNLIKE = "inputs must have values like those of the training"
Given = Any  # a path to a picture, a folder, an .npz, .npy or .csv; an array or a tensor; or `Inputs`


class ElboTerms(NamedTuple):
    """The ELBO of each input and its two terms, in nats: `elbo` = -(distortion + rate), a lower bound on ln p(x)."""

    distortion: Float[Tensor, " inputs"]
    rate: Float[Tensor, " inputs"]
    elbo: Float[Tensor, " inputs"]


class Coded(NamedTuple):
    """A batch of inputs after the encoder, on the CPU."""

    x: Float[Tensor, "batch channels height width"]
    posterior: DiagonalNormal
    terms: ElboTerms


class TrainedModel:
    """A trained model, as `vae.load` returns it.

    Args:
        vae: the model with its learned weights.
        description: its configuration.
        device: for the computations.
    """

    def __init__(self, vae: VAE, description: Description, device: torch.device) -> None:
        self.vae = vae.to(device).eval()
        self.description = description
        self.device = device

    @property
    def latent_dim(self) -> int:
        """The number of latents."""
        return self.vae.latent_dim

    @property
    def preparation(self) -> Preparation:
        """How inputs become x."""
        return self.description.preparation

    def inputs(self, given: Given, *, resize: str | None = None) -> Inputs:
        """The given pictures, arrays or rows, prepared as in training.

        Args:
            given: as for `encode`.
            resize: how pictures of another size are brought to the model's: `fit` (the whole picture), `crop` (its
                middle) or `stretch`. None: as in training, where such pictures may have been refused.

        Raises:
            DataError: they cannot be read, or do not fit the model.
        """
        if isinstance(given, Inputs):
            return given
        if resize is not None and resize not in Resize.__members__:
            raise DataError(f"resize must be one of {', '.join(Resize)}, got {resize}")
        return inputs_of(given, self.preparation, None if resize is None else Resize[resize])

    @torch.no_grad()
    def encode(self, given: Given) -> DiagonalNormal:
        """q(z|x) of each input. Its `mean` and `logvar` have the shape (inputs, latents).

        Args:
            given: the path of a picture, of a folder of pictures, or of an .npz, .npy or .csv; an array or a tensor.

        Raises:
            DataError: the input cannot be read, or does not fit the model.
        """
        posteriors = [self._encoded(x) for x in self.inputs(given).batches(BATCH)]
        mean = torch.cat([q.mean.cpu() for q in posteriors])
        logvar = torch.cat([q.unbounded_logvar.cpu() for q in posteriors])
        return DiagonalNormal(mean, logvar, self.vae.bounds)

    @torch.no_grad()
    def decode(self, z: Any) -> Tensor:
        """The mean of p(x|z) for each row of z.

        Args:
            z: (inputs, latents), an array or a tensor of finite numbers.

        Returns:
            Images (inputs, channels, height, width), or rows (inputs, columns) in the table's own units.

        Raises:
            DataError: z has another shape, or a number that is not finite.
        """
        try:
            z = torch.as_tensor(z)
        except (TypeError, ValueError, RuntimeError):
            raise DataError(
                f"z must be finite floats of shape (inputs, {self.latent_dim}), got {type(z).__name__}"
            ) from None
        if z.ndim != 2 or z.shape[1] != self.latent_dim or not (z.is_floating_point() and bool(z.isfinite().all())):
            raise DataError(
                f"z must be finite floats of shape (inputs, {self.latent_dim}), got {z.dtype} {tuple(z.shape)}. "
                "Give one row for each image"
            )
        means = [self.vae.sample(part.to(self.device, torch.float32)).cpu() for part in z.split(BATCH)]
        x = torch.cat(means) if means else torch.zeros(0, *self.preparation.image)
        if not bool(x.isfinite().all()):
            row = int((~x.isfinite()).flatten(1).any(1).int().argmax())
            raise DataError(f"z must have numbers like those of the prior, row {row} decodes to no finite numbers")
        return restored(x, self.preparation)

    def sample(self, count: int = 1, *, seed: int = 0, temperature: float = 1.0) -> Tensor:
        """The mean of p(x|z) for z from the prior N(0, I).

        Args:
            count: how many.
            seed: the same seed gives the same samples.
            temperature: the standard deviation of z; below 1 samples are more typical and less varied.

        Returns:
            `count` images or rows, as `decode` returns them.

        Raises:
            DataError: `count` or `temperature` is out of range.
        """
        if count < 1 or not 0 <= temperature < float("inf"):
            raise DataError(f"count must be 1 or more and temperature 0 or more, got {count} and {temperature}")
        noise = standard_normal((count, self.latent_dim), torch.Generator().manual_seed(seed))
        z = temperature * noise
        if not bool(z.isfinite().all()):
            raise DataError(f"temperature must be a number like 1, got {temperature:g}, which float32 does not hold")
        return self.decode(z)

    def reconstruct(self, given: Given) -> Tensor:
        """The mean of p(x|z) at the posterior mean of each input, as `decode` returns it."""
        return self.decode(self.encode(given).mean)

    def reconstructions(self, inputs: Inputs, *, progress: Progress = no_progress) -> Iterator[tuple[Tensor, Tensor]]:
        """x and `reconstruct`, batch by batch. Memory does not grow with the number of inputs.

        Args:
            inputs: of `inputs`.
            progress: called with the number of inputs that have been read since the last call.
        """
        for x in inputs.batches(BATCH, progress):
            with torch.no_grad():
                mean = self._encoded(x).mean
            yield x, self.decode(mean)

    def interpolate(self, a: Given, b: Given, *, steps: int = 10) -> Tensor:
        """Decodes points on the straight line between two posterior means.

        Args:
            a: the input at the start.
            b: the input at the end.
            steps: the number of points, both ends included.

        Returns:
            `steps` images or rows, as `decode` returns them.

        Raises:
            DataError: an end is not one input, does not fit the model, or there are fewer than 2 steps.
        """
        if steps < 2:
            raise DataError(f"steps must be 2 or more, got {steps}")
        start, end = self._mean_of_one(a, "a"), self._mean_of_one(b, "b")
        weights = torch.linspace(0, 1, steps)[:, None]
        return self.decode(torch.lerp(start, end, weights))

    def traverse(self, given: Given, latent: int, *, reach: float = 3.0, steps: int = 11) -> Tensor:
        """Decodes the posterior mean of one input while one of its latents moves from -reach to reach.

        Args:
            given: one input.
            latent: the number of the latent that moves, from 0.
            reach: in standard deviations of the prior.
            steps: the number of values.

        Returns:
            `steps` images or rows, as `decode` returns them.

        Raises:
            DataError: there is not one input, it does not fit the model, or an argument is out of range.
        """
        if not 0 <= latent < self.latent_dim:
            raise DataError(f"latent must be from 0 to {self.latent_dim - 1}, got {latent}")
        if steps < 1:
            raise DataError(f"steps must be 1 or more, got {steps}")
        if not math.isfinite(reach):
            raise DataError(f"reach must be finite, got {reach}")
        z = self._mean_of_one(given, "the input").repeat(steps, 1)
        z[:, latent] = torch.linspace(-reach, reach, steps)
        return self.decode(z)

    def score(self, given: Given, *, samples: int = 1) -> ElboTerms:
        """Distortion, rate and ELBO of each input, in nats.

        The distortion is estimated with samples of z, which are the same in every call.

        Args:
            given: as for `encode`.
            samples: of z for each input. More make the distortion less noisy.

        Raises:
            DataError: the input cannot be read, does not fit the model, or has an ELBO that is not finite.
        """
        columns = zip(*(coded.terms for coded in self.coded(self.inputs(given), samples=samples)), strict=True)
        return ElboTerms(*map(torch.cat, columns))

    def coded(self, inputs: Inputs, *, samples: int = 1, progress: Progress = no_progress) -> Iterator[Coded]:
        """Posterior and ELBO, batch by batch, in the order of the inputs. Memory does not grow with their number.

        Args:
            inputs: of `inputs`.
            samples: as for `score`.
            progress: called with the number of inputs that have been read since the last call.
        """
        if samples < 1:
            raise DataError(f"samples must be 1 or more, got {samples}")
        generator = torch.Generator(self.device).manual_seed(EVALUATION_SEED)
        for x in inputs.batches(BATCH, progress):
            yield self._coded_batch(x, samples, generator)

    @torch.no_grad()
    def _coded_batch(self, x: Tensor, samples: int, generator: torch.Generator) -> Coded:
        on_device = x.to(self.device)
        shape = (len(x), self.latent_dim)
        terms = elbo_terms(self.vae, on_device, standard_normal(shape, generator), self._encoded(on_device))
        distortion = terms.distortion
        for _ in range(samples - 1):
            z = terms.posterior.rsample(standard_normal(shape, generator))
            distortion = distortion - self.vae.log_likelihood(on_device, z)
        distortion, rate = (distortion / samples).cpu(), terms.rate.sum(1).cpu()
        if not bool((distortion + rate).isfinite().all()):
            raise DataError(f"{UNLIKE}, these get an ELBO that is not finite. Scale or remove them")
        q = terms.posterior
        posterior = DiagonalNormal(q.mean.cpu(), q.unbounded_logvar.cpu(), self.vae.bounds)
        return Coded(x, posterior, ElboTerms(distortion, rate, -(distortion + rate)))

    def _encoded(self, x: Tensor) -> DiagonalNormal:
        """q(z|x) of a batch, whose means are finite."""
        try:
            posterior = self.vae.encode(x.to(self.device))
            is_finite = bool(posterior.mean.isfinite().all())
        except NonFiniteError:
            is_finite = False
        if not is_finite:
            raise DataError(f"{UNLIKE}, these get codes that are not finite. Scale or remove them")
        return posterior

    def _mean_of_one(self, given: Given, name: str) -> Float[Tensor, "1 latents"]:
        inputs = self.inputs(given)
        if inputs.count != 1:
            raise DataError(f"{name} must be one picture or row, got {inputs.count}. Choose one")
        return self.encode(inputs).mean
