import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command import QUIET, SMALL, run_train

from vae.data import dsprites
from vae.data.dsprites import ensure_dsprites, read_dsprites
from vae.data.files import DataError
from vae.data.sprites import Grid, draw_grid

GRID = Grid(16, (3, 2, 4, 3, 3))


def arrays() -> dict[str, np.ndarray]:
    """What the published file holds, on a small grid."""
    images = np.unpackbits(draw_grid(GRID), axis=1).reshape(-1, 16, 16)
    classes = np.column_stack([np.zeros(len(images), dtype=np.int64), GRID.factors().levels])
    values = classes.astype(float)
    return {"imgs": images, "latents_classes": classes, "latents_values": values}


def write(path: Path, **changed: np.ndarray | None) -> Path:
    content = {name: array for name, array in (arrays() | changed).items() if array is not None}
    np.savez_compressed(path, **content)
    with zipfile.ZipFile(path, "a") as archive:  # the published `metadata` is a pickle; this one must never be loaded
        archive.writestr("metadata.npy", b"cos\nsystem\n(S'touch canary'\ntR.")
    return path


def test_a_file_of_the_published_layout_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(dsprites, "CHUNK", 50)  # several chunks
    monkeypatch.chdir(tmp_path)
    pixels, factors = read_dsprites(write(tmp_path / "file.npz"))
    assert factors.names == ("shape", "scale", "orientation", "x", "y")
    assert factors.sizes == GRID.sizes
    assert (factors.levels == GRID.factors().levels).all()
    assert torch.equal(pixels.bits, torch.from_numpy(draw_grid(GRID)))
    assert not (tmp_path / "canary").exists()


def faults() -> dict[str, dict[str, np.ndarray | None]]:
    good = arrays()
    images, classes = good["imgs"], good["latents_classes"]
    return {
        "no images": {"imgs": None},
        "no classes": {"latents_classes": None},
        "floats": {"imgs": images.astype(np.float32)},
        "one pixel of 2": {
            "imgs": np.where(np.arange(images.size).reshape(images.shape) == 9_000, 2, images).astype("u1")
        },
        "colour": {"imgs": images[..., None].repeat(3, -1)},
        "none": {"imgs": images[:0]},
        "Fortran": {"imgs": np.asfortranarray(images)},
        "fewer images": {"imgs": images[:-1]},
        "five columns": {"latents_classes": classes[:, 1:]},
        "values for classes": {"latents_classes": classes + 0.5},
        "constant": {"latents_classes": np.zeros_like(classes)},
        "object images": {"imgs": images.astype(object)},
    }


@pytest.mark.parametrize("fault", faults())
def test_another_layout_is_refused_in_one_line(tmp_path, fault):
    path = write(tmp_path / "file.npz", **faults()[fault])
    with pytest.raises(DataError, match="must have the layout of dSprites") as caught:
        read_dsprites(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.99])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, where):
    path = write(tmp_path / "file.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(where * len(whole))])
    with pytest.raises(DataError, match="must have the layout of dSprites"):
        read_dsprites(path)


def test_flipped_bits_change_no_image_in_silence(tmp_path):
    path = write(tmp_path / "file.npz")
    whole, (good, levels) = path.read_bytes(), read_dsprites(path)
    generator = np.random.default_rng(0)
    for position in generator.integers(len(whole), size=60):
        data = bytearray(whole)
        data[position] ^= 1 << generator.integers(8)
        path.write_bytes(data)
        try:
            pixels, factors = read_dsprites(path)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        # in a part that is not read, or in a date
        assert torch.equal(pixels.bits, good.bits)
        assert (factors.levels == levels.levels).all()


def test_a_missing_file_names_where_it_should_be(tmp_path):
    with pytest.raises(DataError, match=r"needs .*/none.npz, which is missing\. Put dsprites_.* there.*download=true"):
        ensure_dsprites(tmp_path / "none.npz", may_download=False, timeout_seconds=1.0)


@pytest.mark.parametrize(
    ("address", "wrong"), [("http://127.0.0.1:9/none.npz", ""), (Path(__file__).as_uri(), "what")]
)
def test_a_download_that_fails_leaves_nothing(tmp_path, monkeypatch, address, wrong):
    monkeypatch.setattr(dsprites, "URL", address)
    with pytest.raises(DataError, match=rf"cannot be downloaded: {wrong}.*Put dsprites_"):
        ensure_dsprites(tmp_path / "folder/file.npz", may_download=True, timeout_seconds=2.0)
    assert [path.name for path in (tmp_path / "folder").iterdir() if path.name != ".lock"] == []


def test_a_download_is_used(tmp_path, monkeypatch):
    source = write(tmp_path / "source.npz")
    monkeypatch.setattr(dsprites, "URL", source.as_uri())
    path = tmp_path / "folder/file.npz"
    ensure_dsprites(path, may_download=True, timeout_seconds=10.0)
    assert path.read_bytes() == source.read_bytes()


def test_a_model_is_trained_on_the_file(tmp_path):
    path = write(tmp_path / "file.npz", imgs=np.kron(arrays()["imgs"], np.ones((1, 2, 2), dtype=np.uint8)))
    words = ("data=dsprites", f"data.path={path}", "data.validation_size=50", "data.test_size=60")
    done = run_train(*words, *SMALL, "batch_size=32", *QUIET, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "216 / 50 / 60 images (train / validation / test) of 1x32x32" in done.stdout
