"""Images as one uint8 tensor a split, wherever it lives, and batches of them as floats in [0, 1]."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from vae.config import Binarisation, Dataset
from vae.data.factors import Factors
from vae.data.files import DataError
from vae.data.idx import FILES, read_idx
from vae.data.packed import PackedPixels
from vae.data.sources import ensure_files

# Of the images that are drawn once. Not the run's seed: all runs are tested on the same images.
DRAWN_ONCE_SEED = 20_131_220

CHUNK_IMAGES = 256  # summed at a time: 256 squares of bytes stay below 2^24, where float32 counts exactly


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels, on one device.

    Attributes:
        pixels: 0 is black and 255 is white.
        labels: the class of each image.
        redrawn: x is drawn anew, with P(x = 1) = pixel / 255, each time a batch is taken.
        factors: the levels of the generative factors of each image, where they are known.
    """

    pixels: UInt8[Tensor, "images channels height width"] | PackedPixels
    labels: Int64[Tensor, " images"]
    redrawn: bool
    factors: Factors | None = None

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
        return replace(self, pixels=self.pixels[:n], labels=self.labels[:n], factors=factors)

    def batch(
        self, index: Int64[Tensor, " batch"], generator: torch.Generator
    ) -> Float[Tensor, "batch channels height width"]:
        """The images x with these numbers, in [0, 1], or in {0, 1} if they are drawn.

        `index` and `generator` are on the device of the pixels; `generator` is used only if redrawn.
        """
        pixels = self.pixels.index_select(0, index)
        if not self.redrawn:
            return pixels.float().div_(255)
        # MPS gives no 64 random bits at once.
        return draw(pixels, generator).float() if self.device.type == "mps" else redraw(pixels, generator)

    def mean(self) -> Float[Tensor, "channels height width"]:
        """The mean of each pixel over the images, in [0, 1]: E[x], drawn or not. Needs an image."""
        return self._sum_of_pixels / (255 * len(self))

    def variance(self) -> float:
        """The variance of x around the mean of its pixel, averaged over the pixels. Needs an image.

        If redrawn it is that of the draws: x is 0 or 1, as packed pixels are, so E[x²] = E[x].
        """
        n, total = len(self), self._sum_of_pixels
        binary = self.redrawn or isinstance(self.pixels, PackedPixels)
        squares = 255 * total if binary else self._sum_of_squares()
        # In whole numbers until here: no digits cancel. 2^63 is reached at ten million images.
        return float(((n * squares - total**2) / (255 * n) ** 2).mean())

    def _chunks(self) -> Iterator[Tensor]:
        for index in torch.arange(len(self), device=self.device).split(CHUNK_IMAGES):
            yield self.pixels.index_select(0, index).float()

    @cached_property
    def _sum_of_pixels(self) -> Int64[Tensor, "channels height width"]:
        return self._sum(lambda pixels: pixels)

    def _sum_of_squares(self) -> Int64[Tensor, "channels height width"]:
        return self._sum(Tensor.square)

    def _sum(self, of: Callable[[Tensor], Tensor]) -> Int64[Tensor, "channels height width"]:
        # In place: results that are kept between two chunks split the memory that the next chunk needs, and a C
        # library that finds no whole piece for it takes 7 GB for the mean of all sprites.
        total = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        for pixels in self._chunks():
            total += of(pixels).sum(0).long()
        return total


@dataclass(frozen=True)
class Splits:
    """Three sets without a common image; `validation` may be empty."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    def to(self, device: torch.device | str) -> "Splits":
        """The same sets on `device`."""
        return Splits(self.train.to(device), self.validation.to(device), self.test.to(device))


def draw(pixels: UInt8[Tensor, "..."], generator: torch.Generator) -> Bool[Tensor, "..."]:
    """Bernoulli draws with P(true) = pixel / 255 exactly: one of 255 equally likely bytes is below it."""
    return torch.empty_like(pixels).random_(0, 255, generator=generator) < pixels


def redraw(pixels: UInt8[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Bernoulli draws, 0 or 1, for every step: in half the time of `draw`, a tenth of that of torch.bernoulli.

    One call of the generator, 64 bits, serves four pixels. P(1) differs from pixel / 255 by less than 2^-16, and not
    at all where a pixel is black or white.
    """
    words = torch.empty(-(-pixels.numel() // 4), dtype=torch.int64, device=pixels.device)
    words.random_(-(2**63), None, generator=generator)
    # 16 bits from -2^15 to 2^15 - 1, of which the last is taken for the one before: a white pixel lies above them all.
    uniform = words.view(torch.int16)[: pixels.numel()].view(pixels.shape).clamp_(max=2**15 - 2)
    threshold = pixels.to(torch.int16).mul_(257).sub_(2**15)
    return torch.lt(uniform, threshold, out=torch.empty(pixels.shape, device=pixels.device))


def epoch_order(length: int, seed: int, epoch: int) -> Int64[Tensor, " length"]:
    """A permutation of 0 … length - 1 that is a function of the seed and the epoch only.

    numpy's generator takes the pair whole; torch's keeps 32 bits of its seed on the CPU.
    """
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(length))


def load_splits(
    name: Dataset,
    root: Path,
    *,
    download: bool,
    timeout_seconds: float,
    validation_size: int,
    binarisation: Binarisation,
) -> Splits:
    """The images of a data set on the CPU, 1 x 28 x 28, fetched if they are not under `root`.

    Validation is the last `validation_size` training images. What `binarisation` draws once is drawn with a
    seed of its own, so that every run is validated and tested on the same images.

    Raises:
        DataError: the files cannot be had, or no training images would be left.
    """
    folder = ensure_files(name, root, download=download, timeout_seconds=timeout_seconds)
    images, labels, test_images, test_labels = (read_idx(folder / file) for file in FILES)
    if validation_size >= len(images):
        raise DataError(
            f"data.validation_size must be below {len(images)}, the number of training images, "
            f"got {validation_size}. Lower it"
        )
    cut = len(images) - validation_size
    train = _image_set(images[:cut], labels[:cut])
    validation = _image_set(images[cut:], labels[cut:])
    test = _image_set(test_images, test_labels)
    if binarisation is Binarisation.none:
        return Splits(train, validation, test)
    # The test images first: nothing that a run may change comes before them in the stream of draws.
    generator = torch.Generator().manual_seed(DRAWN_ONCE_SEED)
    test, validation = drawn_once(test, generator), drawn_once(validation, generator)
    if binarisation is Binarisation.dynamic:
        return Splits(replace(train, redrawn=True), validation, test)
    return Splits(drawn_once(train, generator), validation, test)


def drawn_once(images: ImageSet, generator: torch.Generator) -> ImageSet:
    """The same images with pixels 0 and 255, drawn now and kept."""
    if isinstance(images.pixels, PackedPixels):
        return images  # they are 0 and 255 already
    return replace(images, pixels=draw(images.pixels, generator).byte() * 255, redrawn=False)


def _image_set(images: UInt8[Tensor, "n height width"], labels: UInt8[Tensor, " n"]) -> ImageSet:
    return ImageSet(pixels=images.unsqueeze(1), labels=labels.long(), redrawn=False)
