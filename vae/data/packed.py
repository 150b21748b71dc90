"""Binary images with eight pixels in a byte, which take an eighth of the memory."""

from dataclasses import dataclass, replace
from functools import cache
from math import prod

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True)
class PackedPixels:
    """Pixels that are 0 or 255, packed. It has those methods of a uint8 tensor that an `ImageSet` needs.

    Attributes:
        bits: the pixels of each image in the order of `numpy.packbits`: the first of eight pixels is the highest bit.
        image: (channels, height, width).
    """

    bits: UInt8[Tensor, "images bytes"]
    image: tuple[int, int, int]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.bits)

    def __getitem__(self, part: slice) -> "PackedPixels":
        """Some of the images, still packed."""
        return replace(self, bits=self.bits[part])

    @property
    def shape(self) -> torch.Size:
        """The shape of the unpacked tensor."""
        return torch.Size((len(self.bits), *self.image))

    @property
    def device(self) -> torch.device:
        """Where the bits are."""
        return self.bits.device

    def to(self, device: torch.device | str) -> "PackedPixels":
        """The same images on `device`."""
        return replace(self, bits=self.bits.to(device))

    def index_select(self, dim: int, index: Int64[Tensor, " batch"]) -> UInt8[Tensor, "batch channels height width"]:
        """The images with these numbers, unpacked."""
        assert dim == 0
        packed = self.bits.index_select(0, index)
        pixels = unpacking_table(self.device).index_select(0, packed.flatten().int()).view(torch.uint8)
        return pixels.view(len(index), -1)[:, : prod(self.image)].reshape(len(index), *self.image)


def pack(pixels: UInt8[np.ndarray, "images channels height width"]) -> UInt8[np.ndarray, "images bytes"]:
    """The bits of `PackedPixels`: 1 where a pixel is not 0."""
    return np.packbits(pixels.reshape(len(pixels), -1), axis=1)


@cache
def unpacking_table(device: torch.device) -> Int64[Tensor, "256"]:
    """The eight pixels of each byte, 0 or 255, as one 64-bit number."""
    pixels = 255 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return torch.from_numpy(pixels.view(np.int64).ravel()).to(device)
