"""Five kinds of data that people have, as they have them: files in a folder, made from a seed."""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SEA = (12.0, -3.0)  # degrees Celsius of the warmest and the coldest place of a map
CAMERA = 4095  # the largest value of a camera of 12 bits
KINDS = ("apple", "leaf", "mug")
SPECIES = {  # means of bill length, bill depth, flipper length (mm) and body mass (g), after Gorman et al. (2014)
    "Adelie": (38.8, 18.3, 190.0, 3700.0),
    "Chinstrap": (48.8, 18.4, 196.0, 3730.0),
    "Gentoo": (47.5, 15.0, 217.0, 5080.0),
}
COLUMNS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "wing_span_cm")
TURNS = {1: 0, 3: 2, 6: 1, 8: 3}  # EXIF orientation: quarter turns, anticlockwise, from the scene to the stored pixels


def phone_pictures(folder: Path, count: int = 60, longer: int = 640) -> None:
    """JPEGs of a house between a blue sky and a green meadow, of several sizes, upright only after EXIF's turn.

    Args:
        folder: is made.
        count: how many.
        longer: the longer side of the largest, in pixels.
    """
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        long = int(longer * generator.uniform(0.6, 1))
        height, width = (long, 3 * long // 4) if number % 3 == 0 else (3 * long // 4, long)
        scene = outdoors(height, width, generator)
        orientation = tuple(TURNS)[number % 4]
        stored = Image.fromarray(np.rot90(scene, TURNS[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "Phone"
        stored.save(folder / f"IMG_{2000 + number}.JPG", format="JPEG", quality=88, exif=exif)


def outdoors(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """uint8 (height, width, 3): sky, meadow, sun and a house with a red roof, with the noise of a small sensor."""
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    bottom, right = height / min(height, width), width / min(height, width)
    horizon = bottom * generator.uniform(0.5, 0.62)
    light = generator.uniform(0.7, 1.0)
    picture = np.empty((height, width, 3))
    sky = np.clip(y / horizon, 0, 1)[..., None]
    picture[:] = (1 - sky) * (60, 120, 215) + sky * (185, 215, 245)
    ground = np.clip((y - horizon) / (bottom - horizon), 0, 1)[..., None]
    meadow = (1 - ground) * (120, 165, 70) + ground * (45, 105, 30)
    picture = np.where((y > horizon)[..., None], meadow, picture)
    sun = np.hypot(y - horizon * generator.uniform(0.15, 0.45), x - right * generator.uniform(0.1, 0.9))
    picture += np.exp(-((sun / 0.09) ** 4))[..., None] * (np.array((255, 235, 150)) - picture)
    centre, half = right * generator.uniform(0.35, 0.65), generator.uniform(0.12, 0.2)
    floor, eaves = horizon + generator.uniform(0.06, 0.14), horizon - generator.uniform(0.02, 0.1)
    wall = (abs(x - centre) < half) & (y > eaves) & (y < floor)
    roof = (y <= eaves) & (y > eaves - 1.1 * half + abs(x - centre))
    door = (abs(x - centre) < half / 4) & (y > floor - half * 0.8) & (y < floor)
    for part, colour in ((wall, (235, 222, 196)), (roof, (190, 50, 40)), (door, (90, 60, 40))):
        picture[part] = colour
    return as_bytes(picture * light + generator.normal(0, 4, picture.shape))


def class_folders(folder: Path, count: int = 300) -> None:
    """PNGs of 32x32 in `apple/`, `leaf/` and `mug/`: red, green and blue, each before a light background.

    Args:
        folder: is made.
        count: how many, a third of each kind.
    """
    generator = np.random.default_rng(1)
    y, x = np.mgrid[0:32, 0:32]
    for number in range(count):
        kind = KINDS[number % 3]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        down, across = generator.uniform(13, 19, 2)
        size, angle = generator.uniform(5, 9), generator.uniform(-0.7, 0.7)
        dy, dx = y - down, x - across
        picture = np.full((32, 32, 3), generator.uniform(195, 235)) - 1.2 * y[..., None]
        shade = (0.75 + 0.25 * np.clip((-dy - dx) / size, -1, 1))[..., None]
        if kind == "apple":
            body, colour = soft(size - np.hypot(dy, dx)), (210, 40, 45)
            stalk = soft(1.2 - abs(dx - 0.2 * (dy + size))) * soft(2.5 - abs(dy + size + 1))
            picture += stalk[..., None] * (np.array((95, 65, 40)) - picture)
        elif kind == "leaf":
            along, over = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
            body, colour = soft(size * (0.55 - 0.45 * (along / size / 1.5) ** 2) - abs(over)), (60, 150, 55)
        else:
            body, colour = soft(size - abs(dy)) * soft(0.75 * size - abs(dx)), (50, 80, 190)
            ring = soft(1.6 - abs(np.hypot(dy, dx - 0.75 * size) - 0.55 * size)) * (dx > 0.6 * size)
            body = np.maximum(body, ring)
        picture += body[..., None] * (shade * colour - picture)
        Image.fromarray(as_bytes(picture + generator.normal(0, 3, picture.shape))).save(
            folder / kind / f"{number:03d}.png"
        )


def measurements(path: Path, count: int = 300) -> None:
    """A CSV of five columns of penguins, which depend on the species and on the size of the bird, and `species`.

    Args:
        path: of the CSV.
        count: of rows.
    """
    generator = np.random.default_rng(2)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow((*COLUMNS, "species"))
        for number in range(count):
            name = tuple(SPECIES)[number % 3]
            large = generator.normal()
            bird = np.array(SPECIES[name]) * (1 + np.array((0.04, 0.03, 0.02, 0.09)) * large)
            bird += generator.normal(size=4) * (1.6, 0.6, 3.0, 160.0)
            span = 22 + 0.22 * bird[2] + generator.normal(0, 0.6)
            lines.writerow((*(f"{value:.1f}" for value in bird[:3]), f"{bird[3]:.0f}", f"{span:.1f}", name))


def microscope(folder: Path, count: int = 800, side: int = 64) -> None:
    """TIFFs of 16 bits with the values of a camera of 12 bits: bright round cells on a dark background.

    Args:
        folder: is made.
        count: how many.
        side: of the pictures, in pixels.
    """
    folder.mkdir()
    generator = np.random.default_rng(3)
    y, x = np.mgrid[0:side, 0:side] * (64 / side)
    for number in range(count):
        signal = 260 + 60 * np.cos((y - 32) / 30) * np.cos((x - 32) / 30)
        for _ in range(generator.integers(1, 4)):
            (down, across), radius = generator.uniform(12, 52, 2), generator.uniform(6, 11)
            distance = np.hypot(y - down, x - across)
            signal = np.maximum(signal, 300 + generator.uniform(1500, 3000) * soft((radius - distance) / 1.5))
        counts = generator.poisson(signal / 4) * 4 + generator.normal(0, 12, signal.shape)
        Image.fromarray(np.clip(counts, 0, CAMERA).astype(np.uint16)).save(folder / f"well_{number:03d}.tif")


def sea_maps(path: Path, count: int = 300, shape: tuple[int, int] = (24, 36)) -> None:
    """An .npz of maps of the sea's temperature from -3 to 12 °C: warm in the south, with an eddy.

    Args:
        path: of the .npz.
        count: of maps.
        shape: (height, width).
    """
    generator = np.random.default_rng(4)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    y, x = y / shape[0], x / shape[1]
    warm, cold = SEA
    maps = []
    for _ in range(count):
        front = generator.uniform(0.35, 0.65) + 0.08 * np.sin(2 * np.pi * (x + generator.uniform()))
        field = cold + 2 + (warm - cold - 4) / (1 + np.exp(-(y - front) / 0.12))
        eddy = ((y - generator.uniform(0.2, 0.8)) / 0.16) ** 2 + ((x - generator.uniform(0.2, 0.8)) / 0.12) ** 2
        field += generator.choice((-3, 3)) * np.exp(-eddy)
        maps.append(np.clip(field + generator.normal(0, 0.2, shape), cold, warm))
    np.savez(path, images=np.stack(maps))


def soft(inside: np.ndarray) -> np.ndarray:
    """From 0 to 1 across an edge; `inside` is the distance from it, in pixels."""
    return 1 / (1 + np.exp(-3 * np.clip(inside, -10, 10)))


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Rounded, and clipped to a byte."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def all_kinds(folder: Path) -> None:
    """All five, in a new folder: phone/, classes/, penguins.csv, wells/ and sea.npz."""
    folder.mkdir()
    phone_pictures(folder / "phone")
    class_folders(folder / "classes")
    measurements(folder / "penguins.csv")
    microscope(folder / "wells")
    sea_maps(folder / "sea.npz")


if __name__ == "__main__":
    all_kinds(Path(sys.argv[1]))
