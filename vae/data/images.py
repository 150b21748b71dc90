"""Sets of images: one tensor for each, of bytes or of floats, from which batches are taken as floats."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8
from torch import Tensor

from vae.config.preparation import Preparation
from vae.data.factors import Factors
from vae.data.packed import PackedPixels

SUMMED_AT_ONCE = 256  # images; 256 squares of bytes stay below 2^24, up to which float32 is exact


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels, on one device.

    Attributes:
        pixels: bytes, where 0 is black and 255 is white; or floats, which are x as they are, in a unit of their own.
        labels: the class of each image.
        redrawn: x is drawn anew, with P(x = 1) = pixel / 255, each time a batch is taken. Pixels are then bytes.
        factors: the levels of the generative factors of each image, where they are known.
        names: the file of each image, relative to the folder of the data. None if the images are not files.
    """

    pixels: (
        UInt8[Tensor, "images channels height width"] | Float32[Tensor, "images channels height width"] | PackedPixels
    )
    labels: Int64[Tensor, " images"]
    redrawn: bool
    factors: Factors | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same images on `device`."""
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))

    def first(self, n: int) -> "ImageSet":
        """The first `n` images, or all if there are fewer. Only all of them keep their factors."""
        factors = self.factors if n >= len(self) else None
        names = None if self.names is None else self.names[:n]
        return replace(self, pixels=self.pixels[:n], labels=self.labels[:n], factors=factors, names=names)

    def batch(
        self, index: Int64[Tensor, " batch"], generator: torch.Generator
    ) -> Float[Tensor, "batch channels height width"]:
        """The images x with these numbers: in [0, 1] if they are bytes, in {0, 1} if they are redrawn.

        `index` and `generator` must be on the device of the pixels. `generator` is used only if they are redrawn.
        """
        if not self.redrawn:
            return self.grey(index)
        pixels = self.pixels.index_select(0, index)
        if self.device.type == "mps":  # MPS has no random 64-bit integers
            return sample_bernoulli(pixels, generator).float()
        return sample_bernoulli_fast(pixels, generator)

    def grey(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch channels height width"]:
        """The values of these images before any draw: bytes / 255, or the floats."""
        pixels = self.pixels.index_select(0, index)
        return pixels if pixels.is_floating_point() else pixels.float().div_(255)

    def mean(self) -> Float[Tensor, "channels height width"]:
        """The mean of each pixel over the images, in the unit of x. It is E[x] for redrawn images, too."""
        if self._holds_floats:
            return self._mean_of_floats.float().to(self.device)
        return self._sum_of_pixels / (255 * len(self))

    def variance(self) -> Float[Tensor, "channels height width"]:
        """The variance of each pixel over the images.

        For redrawn images it is the variance of the draws. Draws and packed pixels are 0 or 1, so E[x²] = E[x].
        """
        return self._variance

    @cached_property
    def _variance(self) -> Float[Tensor, "channels height width"]:
        if self._holds_floats:
            mean = self._mean_of_floats
            squares = sum((part - mean).square_().sum(0) for part in self._chunks_of_floats())
            return torch.as_tensor(squares / len(self)).float().to(self.device)
        n, total = len(self), self._sum_of_pixels
        binary = self.redrawn or isinstance(self.pixels, PackedPixels)
        squares = 255 * total if binary else self._sum_of_powers(2)
        # The difference is exact, because it is one of integers. They fit in 64 bits up to ten million images.
        return (n * squares - total**2) / (255 * n) ** 2

    @cached_property
    def is_binary(self) -> bool:
        """Whether all values of x are 0 or 1."""
        if self.redrawn or isinstance(self.pixels, PackedPixels):
            return True
        white = 1.0 if self._holds_floats else 255.0
        parts = self.pixels.split(SUMMED_AT_ONCE)
        return all(bool(torch.logical_or(part == 0, part == white).all()) for part in parts)

    @property
    def _holds_floats(self) -> bool:
        return isinstance(self.pixels, Tensor) and self.pixels.is_floating_point()

    @cached_property
    def _mean_of_floats(self) -> Float64[Tensor, "channels height width"]:
        total = torch.zeros(self.shape, dtype=torch.float64)
        for part in self._chunks_of_floats():
            total += part.sum(0)
        return total / len(self)

    def _chunks_of_floats(self) -> Iterator[Float64[Tensor, "images channels height width"]]:
        for index in torch.arange(len(self), device=self.device).split(SUMMED_AT_ONCE):
            yield self.pixels.index_select(0, index).cpu().double()  # on the CPU, because MPS has no float64

    @cached_property
    def _sum_of_pixels(self) -> Int64[Tensor, "channels height width"]:
        return self._sum_of_powers(1)

    def _sum_of_powers(self, power: int) -> Int64[Tensor, "channels height width"]:
        # In place: a new tensor for each chunk would fragment the memory.
        total = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        for index in torch.arange(len(self), device=self.device).split(SUMMED_AT_ONCE):
            total += self.pixels.index_select(0, index).float().pow_(power).sum(0).long()
        return total


@dataclass(frozen=True)
class Splits:
    """The three sets of images; `validation` may be empty.

    Attributes:
        preparation: how new images become x in the same way.
        label_names: the name of each label, where labels have names.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    preparation: Preparation
    label_names: tuple[str, ...] | None = None

    @property
    def sets(self) -> tuple[ImageSet, ImageSet, ImageSet]:
        """Training, validation and test images."""
        return self.train, self.validation, self.test

    def to(self, device: torch.device | str) -> "Splits":
        """The same sets on `device`."""
        sets = {name: getattr(self, name).to(device) for name in ("train", "validation", "test")}
        return replace(self, **sets)


def sample_bernoulli(pixels: UInt8[Tensor, "..."], generator: torch.Generator) -> Bool[Tensor, "..."]:
    """Bernoulli samples with P(true) = pixel / 255 exactly: a uniform draw from 0 … 254 is below the pixel."""
    return torch.empty_like(pixels).random_(0, 255, generator=generator) < pixels


def sample_bernoulli_fast(pixels: UInt8[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Bernoulli samples, 0 or 1, for every training step. One random 64-bit integer is used for four pixels.

    P(1) differs from pixel / 255 by less than 2^-16, and it is exact for black and white pixels.
    """
    words = torch.empty(-(-pixels.numel() // 4), dtype=torch.int64, device=pixels.device)
    words.random_(-(2**63), None, generator=generator)
    # Each 16 bits are a number from -2^15 to 2^15 - 1. The largest is clamped, to be below a white pixel's threshold.
    uniform = words.view(torch.int16)[: pixels.numel()].view(pixels.shape).clamp_(max=2**15 - 2)
    threshold = pixels.to(torch.int16).mul_(257).sub_(2**15)
    return torch.lt(uniform, threshold, out=torch.empty(pixels.shape, device=pixels.device))


def epoch_order(length: int, seed: int, epoch: int) -> Int64[Tensor, " length"]:
    """A permutation of 0 … length - 1 that depends on the seed and the epoch only.

    numpy's generator is seeded with the pair. torch's CPU generator would use only 32 bits of a seed.
    """
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(length))
