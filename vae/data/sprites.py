"""The images of dSprites (Matthey, Higgins, Hassabis & Lerchner, 2017), drawn from their formula at any resolution.

The published set has three shapes (square, ellipse, heart) in six scales, 40 orientations and 32 x 32 positions. They
are white on black. A pixel is white if its centre lies inside the shape. The published images differ from these by
one or two pixels on the edges.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from vae.config import SpritesConfig
from vae.data.factors import Factors
from vae.data.files import expanded, locked, sha256_of, write_whole
from vae.data.images import Splits
from vae.data.packed import PackedPixels, pack
from vae.data.splits import grid_splits

log = logging.getLogger(__name__)

SPRITE_FACTORS = ("shape", "scale", "orientation", "x", "y")
PUBLISHED_SIDE = 64  # pixels. The lengths below are for a shape of scale 1 on this canvas
PUBLISHED_ORIENTATIONS = 40
REACH = 14.0  # larger than the distance of any point of a shape from its origin
EDGE_TOLERANCE = 1e-9  # for rounding errors: points on an edge are inside
CACHE_HEADER = b"beta-vae sprites 1 "


@dataclass(frozen=True)
class SpritesData:
    """The images of dSprites. They are drawn the first time, and read from a cache file afterwards.

    Args:
        config: the configuration of the data.
        may_write: whether the cache file may be written to `config.root`.
    """

    config: SpritesConfig
    may_write: bool = True

    @property
    def grid(self) -> "Grid":
        """The grid of factors."""
        data = self.config
        return Grid(data.side, (data.shapes, data.scales, data.orientations, data.positions_x, data.positions_y))

    def read(self) -> Splits:
        """All images as the training set; the other sets are drawn from it."""
        pixels = load_sprites(self.grid, expanded(self.config.root, "data.root"), may_write=self.may_write)
        return grid_splits(pixels, self.grid.factors(), self.config.validation_size, self.config.test_size)

    def checksums(self) -> dict[str, str]:
        """The sha256 of the packed images, by the name of the cache file."""
        path = cache_of(self.grid, expanded(self.config.root, "data.root"))
        if not path.is_file():
            return {path.name: sha256_of(draw_grid(self.grid).data)}
        with path.open("rb") as file:
            return {path.name: file.readline()[len(CACHE_HEADER) :].decode().strip()}

    def describe(self) -> str:
        """The number of levels of each factor."""
        return f"sprites, {' x '.join(map(str, self.grid.sizes))} levels of {', '.join(SPRITE_FACTORS)}"


@dataclass(frozen=True)
class Grid:
    """A full grid of factors.

    Levels are evenly spaced like the published ones: scales from 0.5 to 1, positions from 0 to 1, orientations over a
    full turn. The first and the last of the published 40 orientations are the same; other numbers have no such pair.

    Attributes:
        side: the side of the images in pixels.
        sizes: the number of levels of shape, scale, orientation, x and y. From image to image, y varies fastest.
    """

    side: int
    sizes: tuple[int, int, int, int, int]

    def __len__(self) -> int:
        """How many images there are."""
        return prod(self.sizes)

    @property
    def bytes_per_image(self) -> int:
        """The size of an image, packed."""
        return -(-(self.side**2) // 8)

    def factors(self) -> Factors:
        """The levels of the factors of each image."""
        levels = np.indices(self.sizes, dtype=np.int32).reshape(len(SPRITE_FACTORS), -1)
        return Factors.of(dict(zip(SPRITE_FACTORS, levels, strict=True)))

    def scales(self) -> Float[np.ndarray, " scales"]:
        """The size of a shape relative to the largest."""
        return np.linspace(0.5, 1, self.sizes[1])

    def orientations(self) -> Float[np.ndarray, " orientations"]:
        """Angles in radians, counter-clockwise on the screen."""
        count = self.sizes[2]
        steps = count - 1 if count == PUBLISHED_ORIENTATIONS else count
        return 2 * np.pi * (np.arange(count) % steps) / steps


def load_sprites(grid: Grid, root: Path, *, may_write: bool = True) -> PackedPixels:
    """All images of the grid. They are drawn the first time, and read from a cache file in `root` afterwards.

    Raises:
        DataError: the folder cannot be written or read.
    """
    path = cache_of(grid, root)
    bits = read_cache(path, grid)  # without the lock first: the folder may be read-only
    if bits is None and not may_write:
        bits = draw_grid(grid)
    elif bits is None:
        with locked(path, "Set data.root to another"):
            bits = read_cache(path, grid)  # another process may have drawn them while this one waited
            if bits is None:
                if path.exists():
                    log.warning(f"{path} is damaged and is drawn again")
                log.info(f"drawing {len(grid):,} sprites of {grid.side}x{grid.side} pixels".replace(",", " "))
                bits = draw_grid(grid)
                write_whole(path, cache_header(bits), bits.data)
    return PackedPixels(torch.from_numpy(bits), (1, grid.side, grid.side))


def cache_of(grid: Grid, root: Path) -> Path:
    """The cache file of a grid."""
    name = "x".join(map(str, grid.sizes))
    return root / "sprites" / f"{name}_{grid.side}x{grid.side}.bits"


def read_cache(path: Path, grid: Grid) -> UInt8[np.ndarray, "images bytes"] | None:
    """The bits in a cache file, or None if it is missing or damaged."""
    if not path.is_file():  # opening a named pipe would block
        return None
    bits = np.empty((len(grid), grid.bytes_per_image), dtype=np.uint8)
    with path.open("rb") as file:
        header = file.readline(len(CACHE_HEADER) + 65)
        whole = file.readinto(bits.data.cast("B")) == bits.nbytes and not file.read(1)
    return bits if whole and header == cache_header(bits) else None


def cache_header(bits: UInt8[np.ndarray, "images bytes"]) -> bytes:
    """The first line of a cache file: the name of the format, and the sha256 of the bits."""
    return CACHE_HEADER + sha256_of(bits.data).encode() + b"\n"


def draw_grid(grid: Grid) -> UInt8[np.ndarray, "images bytes"]:
    """The bits of all images, in the order of the grid."""
    bits = np.empty((len(grid), grid.bytes_per_image), dtype=np.uint8)
    each = grid.sizes[3] * grid.sizes[4]
    for number, images in enumerate(drawings(grid)):
        bits[number * each : (number + 1) * each] = pack(images)
    return bits


def drawings(grid: Grid) -> Iterator[UInt8[np.ndarray, "positions 1 side side"]]:
    """For each shape, scale and orientation, the images at all positions."""
    pixels_per_unit = grid.side / PUBLISHED_SIDE
    columns, across = windows(grid, grid.sizes[3])
    rows, down = windows(grid, grid.sizes[4])
    for shape in SHAPE_FUNCTIONS[: grid.sizes[0]]:
        for scale in grid.scales() * pixels_per_unit:
            for angle in grid.orientations():
                cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
                dx, dy = across[:, None, None, :], down[None, :, :, None]  # axes: x, y, row, column
                inside = shape(cos * dx - sin * dy, sin * dx + cos * dy)
                yield place(inside, columns, rows, grid.side)


def windows(grid: Grid, count: int) -> tuple[list[int], Float[np.ndarray, "positions window"]]:
    """For each position on an axis, the window of pixels that a shape can cover.

    Returns:
        the first pixel of each window, and the distances of its pixels from the centre of the shape.
    """
    pixels_per_unit = grid.side / PUBLISHED_SIDE
    centres = (16 + 32 * np.linspace(0, 1, count)) * pixels_per_unit
    reach = REACH * pixels_per_unit
    window = min(int(2 * reach) + 2, grid.side)
    first = np.clip(np.floor(centres - reach), 0, grid.side - window).astype(int)
    return first.tolist(), first[:, None] + np.arange(window) + 0.5 - centres[:, None]


def place(
    inside: Bool[np.ndarray, "x y height width"], columns: list[int], rows: list[int], side: int
) -> UInt8[np.ndarray, "positions 1 side side"]:
    """Whole images, which are black outside the windows."""
    height, width = inside.shape[2:]
    canvas = np.zeros((len(columns), len(rows), side, side), dtype=np.uint8)
    for x, column in enumerate(columns):
        for y, row in enumerate(rows):
            canvas[x, y, row : row + height, column : column + width] = inside[x, y]
    return canvas.reshape(-1, 1, side, side)


Coordinate = Float[np.ndarray, "x y height width"]
Inside = Bool[np.ndarray, "x y height width"]


def square(u: Coordinate, v: Coordinate) -> Inside:
    """The square with |u| <= 9.6 and |v| <= 9.6."""
    inside: Inside = (np.abs(u) <= 9.6 + EDGE_TOLERANCE) & (np.abs(v) <= 9.6 + EDGE_TOLERANCE)
    return inside


def ellipse(u: Coordinate, v: Coordinate) -> Inside:
    """The ellipse with half axes 12.76 and 7.22."""
    inside: Inside = (u / 12.76) ** 2 + (v / 7.22) ** 2 <= 1 + EDGE_TOLERANCE
    return inside


def heart(u: Coordinate, v: Coordinate) -> Inside:
    """The inside of u = 9.6 sin^3 t, v = -1.45 - .662 (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t), t from 0 to 2 pi.

    A vertical line crosses the curve at t and pi - t, whose cosines are c and -c. There v is a polynomial of c.
    """
    sine = np.cbrt(np.minimum(np.abs(u) / 9.6, 1))
    c = np.sqrt(1 - sine**2)
    even = 4 - 2 * c**2 - 8 * c**4  # the even and odd powers of c in 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t
    odd = 19 * c - 8 * c**3
    middle, half = -1.45 - 0.662 * even, 0.662 * np.abs(odd)
    inside: Inside = (np.abs(u) <= 9.6 + EDGE_TOLERANCE) & (np.abs(v - middle) <= half + EDGE_TOLERANCE)
    return inside


SHAPE_FUNCTIONS = (square, ellipse, heart)
