"""Bits-back coding with ANS: binary images through a trained model into bytes and back, bit for bit.

Townsend, Bird & Barber (2019), "Practical lossless compression with latent variables using bits back coding". The
package constriction codes symbols on a stack of bits. To compress images x, the encoder

1. pops z from the stack by q(z|x), which takes about -log2 q(z|x) bits away,
2. pushes x by p(x|z), which adds -log2 p(x|z) bits,
3. pushes z by the prior, which adds -log2 p(z) bits.

The mean change is the negative ELBO in bits. The decoder does the inverse in the opposite order. The stack begins with
random bits, from which the first z is popped. They are part of the length.

**The latents.** Each z lies in one of 2^16 bins of equal prior mass (Section 2.5), so the prior codes it with 16 bits.
By q(z|x), the number of the bin is coded as two bytes. The coder gives every symbol at least 2^-24. With one symbol of
2^16 values this would add up to 2^-8, the chance of a z that is no sample of q(z|x).

**The same numbers in both directions.** Encoder and decoder must have equal distributions, to the last bit. So the
networks compute in float64 on the CPU, in the same batches, and their outputs are rounded to multiples of 2^-12. The
errors of float64 are far smaller, so other threads or another CPU rarely change a number. If they do, the checksum of
the images detects it.
"""

import copy
import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import ndtr, ndtri
from torch import Tensor

from vae.config import ConfigError
from vae.config.building import option_of
from vae.data.files import DataError
from vae.data.inputs import Progress, no_progress
from vae.model.heads import BernoulliHead
from vae.model.vae import VAE
from vae.probability.distributions import bound_logvar
from vae.trained.exported import optional
from vae.trained.model import UNLIKE, TrainedModel

EXTRA = "pip install 'beta-vae[compress]'"
MAGIC = b"bvaeans1"
BYTE = 256  # bins of the first byte of a latent, and bins in each of them
BINS = BYTE * BYTE  # of each latent
GRID = 2.0**12  # outputs of the networks are rounded to multiples of its inverse
LARGEST_LOGIT = 17.0  # beyond it, the coder's least probability of 2^-24 is reached
BATCH = 500  # images at a time, at most
SHARE = 16  # a batch has at most this part of the images before it, whose bits its z are popped from
SYMBOLS = 4096  # latents at a time: their tables take 8 MB
WORD = 32  # bits of a number on the stack
HEADER = struct.Struct("<8s16s16s16sQ3I")  # magic, checksums of the rest, the model and the images; the shape of x


@dataclass(frozen=True)
class Compressed:
    """Compressed images.

    Attributes:
        content: of the file: a header of 76 bytes, and the stack.
        images: how many there are.
        pixels: of an image, over all channels.
        initial_bits: random bits at the bottom of the stack. They are part of `content`.
        bits_back: bits that were popped for the latents. Without bits-back coding, `content` were longer by them.
    """

    content: bytes
    images: int
    pixels: int
    initial_bits: int
    bits_back: float

    @property
    def bits_per_image(self) -> float:
        """All bits of the file, by the number of images."""
        return 8 * len(self.content) / self.images

    @property
    def bits_per_pixel(self) -> float:
        """All bits of the file, by the number of pixels of all images."""
        return self.bits_per_image / self.pixels


def compress(model: TrainedModel, x: Tensor, *, seed: int = 0, progress: Progress = no_progress) -> Compressed:
    """Binary images as bytes, from which `decompress` makes the same images.

    Args:
        model: with a Bernoulli likelihood.
        x: (images, channels, height, width), the model's inputs. Every value is 0 or 1.
        seed: of the initial bits.
        progress: called with the number of images that have been coded since the last call.

    Raises:
        ConfigError: the likelihood is another one, or constriction is not installed.
        DataError: there is no image, they are not binary or have another shape, or get codes that are not finite.
    """
    coder = _Coder(model)
    refuse_unless_binary(x, model.preparation.image)
    x = x.cpu()
    stack = _Stack(coder.constriction, model.latent_dim, seed)
    start = 0
    for size in batch_sizes(len(x)):
        batch = x[start : start + size].double()
        z = stack.pop_latents(*coder.posterior(batch))
        stack.push_pixels(batch, coder.logits(z))
        stack.push_by_prior(z)
        start += size
        progress(size)
    shape = struct.pack("<Q3I", *x.shape)
    body = fingerprint(model) + _checksum(_packed(x)) + shape + stack.words().astype("<u4").tobytes()
    content = MAGIC + _checksum(body) + body
    return Compressed(content, len(x), math.prod(x.shape[1:]), stack.initial_bits, stack.bits_back)


def decompress(
    model: TrainedModel, content: bytes, source: object = "the file", *, progress: Progress = no_progress
) -> Bool[Tensor, "images channels height width"]:
    """The images that `compress` was given.

    Args:
        model: with which they were compressed.
        content: what `Compressed.content` was.
        source: of the content, for the errors.
        progress: called with the number of images that have been decoded since the last call.

    Raises:
        ConfigError: the likelihood is not Bernoulli, or constriction is not installed.
        DataError: the content is damaged, was made with another model, or decodes to other images.
    """
    coder = _Coder(model)
    images, shape, pixels_sha256, words = _parsed(model, content, source)
    other = DataError(
        f"{source} must decode to the images that were compressed, it does not: the numbers of the model are not the "
        "same here. Use the machine and the versions of torch, scipy and constriction that compressed it"
    )
    parts: list[Tensor] = []
    try:
        stack = _Stack(coder.constriction, model.latent_dim, words=words)
        for size in reversed(batch_sizes(images)):
            z = stack.pop_by_prior(size)
            batch = stack.pop_pixels(coder.logits(z)).reshape(size, *shape)
            stack.push_latents(z, *coder.posterior(batch.double()))
            parts.append(batch.bool())
            progress(size)
    except ValueError:  # constriction, of a stack that it did not make
        raise other from None
    x = torch.cat(parts[::-1])
    if _checksum(_packed(x)) != pixels_sha256:
        raise other
    return x


def batch_sizes(images: int) -> list[int]:
    """How many images are coded at a time. The first ones are coded one by one, for few initial bits.

    Example:
        >>> batch_sizes(40)[-8:], sum(batch_sizes(40))
        ([1, 1, 1, 1, 2, 2, 2, 2], 40)
    """
    sizes: list[int] = []
    done = 0
    while done < images:
        size = min(BATCH, max(1, done // SHARE), images - done)
        sizes.append(size)
        done += size
    return sizes


def fingerprint(model: TrainedModel) -> bytes:
    """16 bytes that differ between models of other weights, shapes or bounds of the log-variance."""
    bounds, image = model.vae.bounds, model.preparation.image
    digest = hashlib.sha256(json.dumps([list(bounds), list(image)]).encode())
    for name, tensor in sorted(model.vae.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()[:16]


def refuse_unless_bernoulli(model: TrainedModel) -> None:
    """Refuse a model of pixels that are not 0 or 1.

    Raises:
        ConfigError: names the likelihood of the model.
    """
    if not isinstance(model.vae.head, BernoulliHead):
        raise ConfigError(
            "a model that compresses must have a Bernoulli likelihood, "
            f"got {option_of('likelihood', model.description.likelihood)}. "
            "Train one with likelihood=bernoulli data.binarisation=static"
        )


def refuse_unless_binary(x: Tensor, image: tuple[int, int, int]) -> None:
    """Refuse what is not a batch of binary images of the model's shape.

    Raises:
        DataError: names the first pixel that is neither 0 nor 1.
    """
    if x.ndim != 4 or len(x) == 0 or tuple(x.shape[1:]) != image:
        raise DataError(
            f"x must have the shape (images, {', '.join(map(str, image))}), with an image, got {tuple(x.shape)}"
        )
    good = (x == 0) | (x == 1)
    if not bool(good.all()):
        number = int((~good).flatten(1).any(1).int().argmax())
        value = float(x[number][~good[number]][0])
        raise DataError(
            f"images to compress must be binary, every x 0 or 1, got {value:g} in image {number}. "
            "Train a model with data.binarisation=static, or round the images"
        )


def _checksum(content: bytes) -> bytes:
    """The first half of the sha256."""
    return hashlib.sha256(content).digest()[:16]


def _packed(x: Tensor) -> bytes:
    """The pixels of all images as bits."""
    return np.packbits(x.bool().numpy()).tobytes()


def _parsed(
    model: TrainedModel, content: bytes, source: object
) -> tuple[int, tuple[int, int, int], bytes, np.ndarray]:
    """The number of images, the shape of each, the checksum of their pixels, and the stack."""
    if not content.startswith(MAGIC):
        raise DataError(f"{source} must be a file of beta-vae compress, it is not one. Name another")
    again = "Copy it again, or compress the images again"
    body = content[len(MAGIC) + 16 :]
    if len(content) < HEADER.size or (len(content) - HEADER.size) % (WORD // 8):
        raise DataError(f"{source} is cut off at {len(content)} bytes. {again}")
    _, body_sha256, model_sha256, pixels_sha256, images, *shape = HEADER.unpack_from(content)
    if _checksum(body) != body_sha256:
        raise DataError(f"{source} is damaged or cut off: its checksum does not match. {again}")
    if model_sha256 != fingerprint(model):
        raise DataError(
            f"{source} must be decompressed with the model that compressed it, got another one. "
            "Name that run, and the same checkpoint"
        )
    if images == 0 or tuple(shape) != model.preparation.image:
        raise DataError(f"{source} is damaged: it holds {images} images of the shape {tuple(shape)}. {again}")
    channels, height, width = shape
    words = np.frombuffer(content, "<u4", offset=HEADER.size).astype(np.uint32)
    return images, (channels, height, width), pixels_sha256, words


class _Coder:
    """The distributions of a model, with the same numbers in both directions."""

    def __init__(self, model: TrainedModel) -> None:
        refuse_unless_bernoulli(model)
        self.constriction = optional("constriction", "compress", EXTRA)
        self.vae: VAE = copy.deepcopy(model.vae).cpu().double().eval()

    @torch.no_grad()
    def posterior(self, x: Float[Tensor, "batch channels height width"]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z|x), as flat arrays of float64."""
        mean, logvar = _rounded(self.vae.encoder, x).chunk(2, dim=1)
        return mean.flatten().numpy(), (0.5 * bound_logvar(logvar, self.vae.bounds)).exp().flatten().numpy()

    @torch.no_grad()
    def logits(self, bins: np.ndarray) -> Float[Tensor, "batch channels height width"]:
        """Of the pixels given z: the median of each bin by the prior."""
        z = torch.from_numpy(ndtri((bins + 0.5) / BINS)).view(-1, self.vae.latent_dim)
        return _rounded(self.vae.decoder, z).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)


def _rounded(network: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """The output of a network on the grid."""
    try:
        output = network(given)
    except RuntimeError as error:  # torch, of a network that makes float32 of x or z
        if "type" not in str(error):
            raise
        output = given.float()
    if output.dtype != torch.float64:
        raise ConfigError(
            "the networks of a model that compresses must compute in float64 if weights and x are, "
            f"got {output.dtype}. Remove the conversion"
        )
    if not bool(output.isfinite().all()):
        raise DataError(f"{UNLIKE}, these get numbers that are not finite. Scale or remove them")
    return (output * GRID).round() / GRID


class _Stack:
    """The stack of bits, and the symbols of the model on it.

    Args:
        constriction: the package.
        latents: of the model, for the number of initial bits.
        seed: of the initial bits.
        words: of a stack from a file. None: initial bits.
    """

    def __init__(self, constriction: Any, latents: int, seed: int = 0, words: np.ndarray | None = None) -> None:
        models = constriction.stream.model
        self._new = constriction.stream.stack.AnsCoder
        self._bytes = models.Categorical(perfect=False)
        self._pixels = models.Bernoulli(perfect=False)
        self._prior = models.Uniform(BINS)
        self._generator = np.random.default_rng(seed)
        self._latents = latents
        self._supply = latents // 2 + 2  # words: 16 bits a latent, and the coder's state
        self.bits_back = 0.0
        self.initial_bits = 0
        if words is None:
            words = self._random_words()
        self._ans = self._new(words)

    def words(self) -> np.ndarray:
        """The content."""
        return np.asarray(self._ans.get_compressed())

    def pop_latents(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """The bins of a sample of q(z|x). If the stack runs empty, further random bits are put under it."""
        below = self.words()
        while True:
            before = self._ans.num_valid_bits()
            bins = np.concatenate([self._pop_bins(mean[part], deviation[part]) for part in _parts(len(mean))])
            if self._ans.num_words() >= 2:
                break
            below = np.concatenate([self._random_words(), below])
            self._ans = self._new(below)
        self.bits_back += before - self._ans.num_valid_bits()
        return bins

    def push_latents(self, bins: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
        """The inverse of `pop_latents`."""
        for part in reversed(_parts(len(mean))):
            high, low = np.divmod(bins[part], BYTE)
            self._ans.encode_reverse(low.astype(np.int32), self._bytes, _low_byte(high, mean[part], deviation[part]))
            self._ans.encode_reverse(high.astype(np.int32), self._bytes, _high_byte(mean[part], deviation[part]))

    def push_pixels(self, x: Tensor, logits: Tensor) -> None:
        """x by p(x|z)."""
        symbols = x.flatten().numpy().astype(np.int32)
        self._ans.encode_reverse(symbols, self._pixels, logits.sigmoid().flatten().numpy())

    def pop_pixels(self, logits: Tensor) -> Tensor:
        """The inverse of `push_pixels`, flat."""
        return torch.from_numpy(self._ans.decode(self._pixels, logits.sigmoid().flatten().numpy()))

    def push_by_prior(self, bins: np.ndarray) -> None:
        """The bins of z by the prior, with 16 bits each."""
        self._ans.encode_reverse(bins.astype(np.int32), self._prior)

    def pop_by_prior(self, images: int) -> np.ndarray:
        """The inverse of `push_by_prior`."""
        return np.asarray(self._ans.decode(self._prior, images * self._latents))

    def _pop_bins(self, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        high = self._ans.decode(self._bytes, _high_byte(mean, deviation))
        low = self._ans.decode(self._bytes, _low_byte(high, mean, deviation))
        return np.asarray(BYTE * high + low)

    def _random_words(self) -> np.ndarray:
        words = self._generator.integers(1, 2**WORD, self._supply, dtype=np.uint32)
        self.initial_bits += WORD * self._supply
        self._supply *= 2  # more each time, so that few attempts are needed
        return words


def _parts(symbols: int) -> list[slice]:
    """All symbols, `SYMBOLS` at a time."""
    return [slice(start, start + SYMBOLS) for start in range(0, symbols, SYMBOLS)]


def _high_byte(mean: np.ndarray, deviation: np.ndarray) -> Float[np.ndarray, "symbols bytes"]:
    """The probability by N(mean, deviation^2) of each value of the first byte."""
    return _masses(ndtri(np.arange(BYTE + 1) / BYTE), mean, deviation)


def _low_byte(high: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Float[np.ndarray, "symbols bytes"]:
    """The probability of each value of the second byte, given the first."""
    masses = _masses(ndtri((BYTE * high[:, None] + np.arange(BYTE + 1)) / BINS), mean, deviation)
    total = masses.sum(1, keepdims=True)
    shares = np.full_like(masses, 1 / BYTE)  # uniform far from the mean, where all masses are 0 in float64
    np.divide(masses, total, out=shares, where=total > 0)
    return shares


def _masses(edges: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """The masses of N(mean, deviation^2) between neighbouring edges.

    Bins above the mean are reflected to below it: there `ndtr` is small, and its differences keep their digits.
    """
    distances = (edges - mean[:, None]) / deviation[:, None]
    above = distances[:, :-1] > 0
    from_below = np.diff(ndtr(distances), axis=1)
    from_above = -np.diff(ndtr(-distances), axis=1)
    return np.asarray(np.where(above, from_above, from_below))
