import logging
import multiprocessing

import numpy as np
import pytest
import torch

from vae.config import SpritesConfig
from vae.data import SpritesData
from vae.data.files import sha256_of
from vae.data.sprites import Grid, cache_of, draw_grid, load_sprites

SMALL = Grid(32, (3, 2, 4, 3, 3))


def pictures(grid: Grid) -> np.ndarray:
    """(shape, scale, orientation, x, y, row, column)."""
    bits = np.unpackbits(draw_grid(grid), axis=1)[:, : grid.side**2]
    return bits.reshape(*grid.sizes, grid.side, grid.side)


def test_shapes_have_the_published_areas():
    images = pictures(Grid(64, (3, 6, 39, 2, 2)))
    areas = images.sum(axis=(-2, -1), dtype=float).mean(axis=(1, 2, 3, 4))
    # The mean over the six scales of the published set, in pixels; its density.
    assert areas == pytest.approx([218.0, 171.2, 132.9], rel=0.01)
    assert areas.mean() / 64**2 == pytest.approx(0.04249, rel=0.01)


def test_an_image_has_the_number_that_its_factors_say():
    grid = Grid(64, (3, 6, 40, 32, 32))
    levels = grid.factors().levels
    assert len(grid) == len(levels) == 737_280
    numbers = np.random.default_rng(0).integers(len(grid), size=100)
    assert (levels[numbers] @ [245_760, 40_960, 1_024, 32, 1] == numbers).all()


def test_the_published_orientations_begin_and_end_alike_and_others_do_not():
    published = Grid(64, (1, 1, 40, 1, 1)).orientations()
    assert published[0] == published[39] == 0
    assert np.diff(published[:39]) == pytest.approx(np.full(38, 2 * np.pi / 39))
    images = pictures(Grid(64, (3, 1, 40, 1, 1)))
    assert (images[:, :, 0] == images[:, :, 39]).all()
    other = Grid(64, (1, 1, 8, 1, 1)).orientations()
    assert other == pytest.approx(np.arange(8) * np.pi / 4)


def test_positions_move_the_picture_and_change_nothing_else():
    images = pictures(Grid(64, (3, 2, 5, 9, 9)))  # positions four pixels apart
    first, moved = images[:, :, :, 2, 3], images[:, :, :, 5, 7]
    assert (np.roll(first, (4 * 4, 3 * 4), axis=(-2, -1)) == moved).all()


def test_scale_runs_from_half_to_whole():
    images = pictures(Grid(256, (3, 2, 5, 2, 2)))
    areas = images.sum(axis=(-2, -1), dtype=float)
    assert areas[:, 1] / areas[:, 0] == pytest.approx(np.full((3, 5, 2, 2), 4.0), rel=0.06)


def test_a_square_turns_counter_clockwise_and_a_heart_stands_on_its_tip():
    images = pictures(Grid(64, (3, 1, 8, 1, 1)))[:, 0, :, 0, 0]
    square, _, heart = images
    assert (square[0] == square[2]).all()  # a quarter turn
    assert not (square[0] == square[1]).all()
    rows, columns = np.nonzero(heart[0])
    assert np.ptp(columns[rows == rows.max()]) < np.ptp(columns[rows == rows.min()])  # the tip is below, rows run down
    turned = np.nonzero(heart[2])  # by 90 degrees counter-clockwise: the tip points to the right
    assert np.ptp(turned[0][turned[1] == turned[1].max()]) < np.ptp(turned[0][turned[1] == turned[1].min()])


@pytest.mark.parametrize("side", [16, 32, 128])
def test_every_resolution_shows_the_same_picture(side):
    fine = pictures(Grid(64, (3, 2, 5, 3, 3)))
    other = pictures(Grid(side, (3, 2, 5, 3, 3)))
    areas = fine.sum(axis=(-2, -1), dtype=float) / 64**2, other.sum(axis=(-2, -1), dtype=float) / side**2
    assert areas[1].mean() == pytest.approx(areas[0].mean(), rel=0.03)
    larger, smaller = (other, fine) if side > 64 else (fine, other)
    k = larger.shape[-1] // smaller.shape[-1]
    coarse = larger.reshape(*larger.shape[:-2], smaller.shape[-1], k, smaller.shape[-1], k).mean(axis=(-3, -1))
    assert (abs(coarse - smaller) > 0.75).mean() < 0.002


def test_sprites_are_drawn_once_and_read_afterwards(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        drawn = load_sprites(SMALL, tmp_path)
        read = load_sprites(SMALL, tmp_path)
    assert caplog.text.count("drawing 216 sprites of 32x32 pixels") == 1
    assert torch.equal(drawn.bits, read.bits)
    assert drawn.bits.nbytes == 216 * 128
    data = SpritesData(SpritesConfig(str(tmp_path), SMALL.side, *SMALL.sizes, 10, 10))
    checksums = data.checksums()
    assert checksums == {cache_of(SMALL, tmp_path).name: sha256_of(drawn.bits.numpy().data)}
    cache_of(SMALL, tmp_path).unlink()
    assert data.checksums() == checksums
    assert data.describe() == "sprites, 3 x 2 x 4 x 3 x 3 levels of shape, scale, orientation, x, y"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "longer", "header"])
def test_a_damaged_file_is_drawn_again(tmp_path, caplog, damage):
    good = load_sprites(SMALL, tmp_path).bits.clone()
    path = cache_of(SMALL, tmp_path)
    data = bytearray(path.read_bytes())
    match damage:
        case "cut":
            data = data[:-1]
        case "flip":
            data[5_000] ^= 4
        case "empty":
            data = bytearray()
        case "longer":
            data += b"x"
        case "header":
            data[25] ^= 1
    path.write_bytes(data)
    assert torch.equal(load_sprites(SMALL, tmp_path).bits, good)
    assert "is damaged and is drawn again" in caplog.text
    caplog.clear()
    assert torch.equal(load_sprites(SMALL, tmp_path).bits, good)
    assert caplog.text == ""


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_processes_that_start_together_draw_once(tmp_path):
    processes = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[tuple[int, float]] = processes.Queue()

    def run() -> None:
        bits = load_sprites(Grid(32, (3, 2, 4, 16, 16)), tmp_path).bits
        results.put((bits.sum().item(), cache_of(Grid(32, (3, 2, 4, 16, 16)), tmp_path).stat().st_mtime_ns))

    both = [processes.Process(target=run) for _ in range(2)]
    for process in both:
        process.start()
    first, second = results.get(timeout=60), results.get(timeout=60)
    assert first == second  # the second process has not written the file again
    assert [p.name for p in (tmp_path / "sprites").glob("*.tmp")] == []
