"""Own data from the files to the results: trained on, encoded, reconstructed, sampled, judged, moved and resumed."""

import csv
import json

import numpy as np
import own_data
import pytest
from command import Answer
from PIL import Image

import vae
from vae.app.program import main

SHORT = ("tracking.tensorboard=false", "tracking.progress=false", "model.hidden=[64]", "model.latent_dim=8")
SHORT += ("batch_size=8", "learning_rate=3e-3")
SHARE = 0.2  # of the variance that a training of some seconds explains
NATS = ("distortion", "rate", "elbo")


@pytest.fixture
def told(tmp_path, monkeypatch, capfd):
    """`beta-vae WORDS` in this process, in an empty folder: what it printed. It must succeed, and warn of nothing."""
    monkeypatch.chdir(tmp_path)

    def answer(*words):
        capfd.readouterr()
        given = Answer(main([str(word) for word in words]), *capfd.readouterr())
        assert (given.returncode, given.stderr) == (0, "")
        return given.stdout

    return answer


@pytest.fixture
def learned(trained, tmp_path, told):  # noqa: ARG001 - the working directory is that of `told`
    """Train on `data.path=place` for so many epochs. Returns the run's directory, and what train.log says."""

    def answer(place, epochs, *words):
        run = tmp_path / "run"
        length = (f"epochs={epochs}", f"evaluate_every_epochs={epochs}")
        done = trained(*words, f"data.path={place}", *length, *SHORT, directory=run)
        assert done.returncode == 0, done.stderr
        return run, (run / "train.log").read_text()

    return answer


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(rows, *columns):
    return np.array([[float(row[column]) for column in columns] for row in rows])


def pictures_of(folder):
    """The pictures beside grid.png in the order of their names, as floats (height, width, channels) in [0, 1]."""
    files = sorted(file for file in folder.iterdir() if file.suffix == ".png" and file.name != "grid.png")
    return [np.atleast_3d(stored(file)) / 255 for file in files]


def stored(file):
    with Image.open(file) as picture:
        return np.asarray(picture)


def explains(reconstructed, true):
    """The share of the variance about the mean that reconstructions explain: 1 - error / variance."""
    return 1 - np.square(reconstructed - true).mean() / np.square(true - true.mean(0)).mean()


def fits_no_other_way(reconstructed, x):
    """Whether the reconstructions are nearer to the pictures than to these upside down, or in swapped colours."""
    error = np.square(reconstructed - x).mean()
    return all(error < np.square(reconstructed - wrong).mean() for wrong in (x[:, :, ::-1], x[:, ::-1]))


def go_through(told, run, place, count, one, other):
    """The commands on all inputs agree with each other and with `vae.load`. Returns the model and the codes."""
    told("encode", run, place)
    codes, model = rows_of("codes.csv"), vae.load(run)
    assert len(codes) == count
    q, scores = model.encode(place), model.score(place)
    assert numbers(codes, *(f"z_{k:02d}" for k in range(8))) == pytest.approx(q.mean.numpy(), abs=1e-5)
    assert numbers(codes, *NATS) == pytest.approx(np.stack(scores, 1), rel=1e-4, abs=1e-3)
    told("outliers", run, place, "-n", 5)
    elbo = numbers(rows_of("outliers.csv"), "elbo")[:, 0]
    assert elbo == pytest.approx(np.sort(scores.elbo.numpy())[:5], rel=1e-4, abs=1e-3)
    told("reconstruct", run, place)
    told("sample", run, "-n", 6, "--seed", 1)
    told("interpolate", run, one, other, "--steps", 4)
    assert len(model.interpolate(one, other, steps=4)) == 4
    return model, codes


def goes_on_after_a_move(trained, run, place, epochs):
    """The data are moved, and the run is continued with their new place."""
    moved = place.rename(place.with_name(f"moved_{place.name}"))
    done = trained(f"resume={run}", f"data.path={moved}", f"epochs={epochs}")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "summary.json").read_text())["status"] == "done"
    return done.stdout


def test_pictures_of_a_phone_are_upright_and_in_colour_in_every_result(tmp_path, learned, trained, told):
    place = tmp_path / "phone"
    own_data.phone_pictures(place, count=40, longer=160)
    run, said = learned(place, 60, "data=images", "data.side=24", "data.resize=crop")
    assert "30 of 40 pictures were turned upright, as their EXIF orientation says" in said
    assert "resized to 24x24 (crop)" in said
    assert "32 / 4 / 4 images (train / validation / test) of 3x24x24" in said
    assert "gaussian (with a learned variance) likelihood" in said
    assert "240 steps are few" in said
    first = place / "IMG_2000.JPG"
    model, codes = go_through(told, run, place, 40, first, place / "IMG_2039.JPG")
    assert [row["file"] for row in codes] == [f"IMG_{2000 + k}.JPG" for k in range(40)]
    red, green, blue = np.moveaxis(np.stack(pictures_of(tmp_path / "reconstructions")), -1, 0)
    assert (blue - red)[:, :4].mean((1, 2)).min() > 0.05  # the sky
    assert (green - blue)[:, -4:].mean((1, 2)).min() > 0.05  # the meadow
    x = np.concatenate([x.numpy() for x in model.inputs(place).batches(100)])
    reconstructed = model.reconstruct(place).numpy()
    assert fits_no_other_way(reconstructed, x)
    assert explains(reconstructed, x) > SHARE
    samples = np.stack(pictures_of(tmp_path / "samples"))
    assert samples.shape == (6, 24, 24, 3)
    with Image.open("interpolation.png") as interpolation:
        assert interpolation.width > 4 * 24
    goes_on_after_a_move(trained, run, place, 61)


def test_class_folders_give_labels_and_each_kind_keeps_its_colour(tmp_path, learned, trained, told):
    place = tmp_path / "classes"
    own_data.class_folders(place, count=120)
    run, said = learned(place, 20, "data=images")
    assert "3 class folders: apple 40, leaf 40, mug 40" in said
    assert "96 / 12 / 12 images (train / validation / test) of 3x32x32" in said
    model, codes = go_through(told, run, place, 120, place / "apple" / "000.png", place / "mug" / "002.png")
    assert all(row["file"].startswith(f"{row['label']}/") for row in codes)
    reconstructed = model.reconstruct(place).numpy()
    x = np.concatenate([x.numpy() for x in model.inputs(place).batches(200)])
    kinds = np.array([row["label"] for row in codes])
    middle = np.s_[:, :, 13:20, 13:20]
    colours = {kind: x[kinds == kind][middle].mean((0, 2, 3)) for kind in own_data.KINDS}
    assert [colour.argmax() for colour in colours.values()] == [0, 1, 2]  # red apples, green leaves, blue mugs
    for kind in own_data.KINDS:
        found = reconstructed[kinds == kind][middle].mean((0, 2, 3))
        assert min(colours, key=lambda other: np.abs(colours[other] - found).sum()) == kind
    assert fits_no_other_way(reconstructed, x)
    assert explains(reconstructed, x) > SHARE
    goes_on_after_a_move(trained, run, place, 21)


def test_a_table_comes_back_in_its_own_units_under_its_own_names(tmp_path, learned, trained, told):
    place = tmp_path / "penguins.csv"
    own_data.measurements(place, count=300)
    run, said = learned(place, 20, "data=table", "data.label=species")
    assert "columns standardised, label species; 240 / 30 / 30 rows (train / validation / test) of 5 columns" in said
    assert "gaussian (with a learned variance of each column) likelihood" in said
    lines = place.read_text().splitlines()
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(f"{lines[0]}\n{lines[1]}\n")
    other.write_text(f"{lines[0]}\n{lines[3]}\n")
    _, codes = go_through(told, run, place, 300, one, other)
    assert [row["label"] for row in codes] == [row["species"] for row in rows_of(place)]
    reconstructed, true = rows_of("reconstructions.csv"), rows_of(place)
    assert tuple(reconstructed[0]) == own_data.COLUMNS
    for column in own_data.COLUMNS:
        assert explains(numbers(reconstructed, column), numbers(true, column)) > SHARE
    samples = numbers(rows_of("samples.csv"), *own_data.COLUMNS)
    assert np.all((samples > 0.5 * np.min(numbers(true, *own_data.COLUMNS), 0)) & (samples < 10_000))
    goes_on_after_a_move(trained, run, place, 21)


def test_a_microscope_s_16_bits_become_shares_of_the_camera_s_range(tmp_path, learned, trained, told):
    place = tmp_path / "wells"
    own_data.microscope(place, count=120, side=32)
    run, said = learned(place, 30, "data=images", "data.range=[0,4095]")
    assert "120 of 120 pictures have more than 8 bits, scaled to 8 from data.range=[0,4095]" in said
    assert "96 / 12 / 12 images (train / validation / test) of 1x32x32" in said
    files = sorted(place.iterdir())
    model, codes = go_through(told, run, place, 120, files[0], files[1])
    assert [row["file"] for row in codes] == [file.name for file in files]
    counts = np.stack([stored(file) for file in files])
    assert counts.dtype == np.uint16
    shares = counts[:, None] / 4095
    x = np.concatenate([x.numpy() for x in model.inputs(place).batches(200)])
    assert x == pytest.approx(shares, abs=0.5 / 255 + 1e-6)
    assert explains(model.reconstruct(place).numpy(), shares) > SHARE
    assert model.encode(counts).mean.numpy() == pytest.approx(model.encode(place).mean.numpy(), abs=0.05)
    goes_on_after_a_move(trained, run, place, 31)


def test_floats_in_degrees_come_back_in_degrees(tmp_path, learned, trained, told):
    place = tmp_path / "sea.npz"
    own_data.sea_maps(place, count=200, shape=(16, 24))
    run, said = learned(place, 20, "data=images")
    assert "160 / 20 / 20 images (train / validation / test) of 1x16x24" in said
    assert "pixels go from -3 to 12 and are kept so" in said
    assert "warning" not in said
    with np.load(place) as arrays:
        maps = arrays["images"]
    np.save("one.npy", maps[:1])
    np.save("other.npy", maps[1:2])
    model, codes = go_through(told, run, place, 200, "one.npy", "other.npy")
    assert [row["file"] for row in codes] == [str(k) for k in range(200)]
    degrees = np.load(tmp_path / "reconstructions" / "reconstructions.npy")
    assert degrees == pytest.approx(model.reconstruct(maps).numpy(), abs=1e-4)
    assert explains(degrees, maps[:, None]) > SHARE
    assert degrees[:, 0, :3].mean() < 1 < 8 < degrees[:, 0, -3:].mean()  # cold in the north, warm in the south
    goes_on_after_a_move(trained, run, place, 21)
