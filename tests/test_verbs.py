"""The commands that use a trained model: encode, sample, reconstruct, interpolate and outliers."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from command import EXAMPLES, ROOT, Answer, one_error_line
from examples import my_nets
from PIL import Image
from stored_runs import stored_run

import vae
from vae.app.codes import EXACT, write_csv
from vae.app.program import main
from vae.config.preparation import ImagePreparation, TablePreparation

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LATENTS = 3
DIGITS = ImagePreparation((1, 28, 28), True)
UNITS = ImagePreparation((1, 6, 6), unit_interval=False, shown=(-10.0, 10.0))
TABLE = TablePreparation(("mass", "age"), (70.0, 30.0), (10.0, 5.0), "site")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs, and inputs for them. Read only."""
    place = tmp_path_factory.mktemp("place")
    gaussian, data = {"data": "images", "likelihood": "gaussian_learned"}, {"data": {"path": "gone"}}
    small = {"model": {"latent_dim": LATENTS, "hidden": [8]}, "summary": None}
    stored_run(place / "digits", DIGITS, **small)
    (place / "digits" / "checkpoints" / "best").unlink()
    stored_run(place / "colours", ImagePreparation((3, 8, 10)), gaussian, **small, **data)
    stored_run(place / "units", UNITS, gaussian, **small, **data)
    stored_run(place / "rows", TABLE, {"data": "table", "likelihood": "gaussian_columns"}, **small, **data)
    own = {"latent_dim": LATENTS, "encoder": "my_nets:encoder", "decoder": "my_nets:decoder", "options": {"width": 8}}
    networks = (my_nets.encoder((1, 28, 28), LATENTS, 8), my_nets.decoder((1, 28, 28), LATENTS, 8))
    stored_run(place / "own", DIGITS, {"model": "custom"}, networks, summary=None, model=own)
    np.save(place / "units.npy", np.random.default_rng(0).normal(0, 5, (4, 6, 6)))
    np.save(place / "far.npy", np.full((2, 6, 6), 3e38, dtype=np.float32))
    np.savez(place / "digits.npz", images=IMAGES, labels=np.arange(7) % 2)
    np.save(place / "colours.npy", np.random.default_rng(0).integers(0, 256, (5, 8, 10, 3), dtype=np.uint8))
    (place / "rows.csv").write_text("site,age,mass\na,30,70\nb,35.5,80\n")
    (place / "pictures").mkdir()
    for k, image in enumerate(IMAGES):
        Image.fromarray(image).save(place / "pictures" / f"{k:02d}.bmp")
    return place


@pytest.fixture
def told(place, tmp_path, monkeypatch, capfd, caplog):
    """`beta-vae WORDS` in this process, in an empty folder. Words that begin with @ are in `place`."""
    monkeypatch.chdir(tmp_path)

    def answer(*words):
        capfd.readouterr()
        caplog.clear()
        try:
            code = main([f"{place}/{word[1:]}" if word.startswith("@") else word for word in words])
        except SystemExit as stopped:
            code = stopped.code
        return Answer(code, *capfd.readouterr())

    return answer


def done(answer, *outputs):
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[-len(outputs) :] == list(outputs)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def picture(path):
    return np.asarray(Image.open(path))


def test_encode_writes_a_row_for_each_input(told, place):
    done(told("encode", "@digits", "@digits.npz"), "codes.csv")
    model, rows = vae.load(place / "digits"), rows_of("codes.csv")
    posterior, scores = model.encode(IMAGES), model.score(IMAGES)
    assert list(rows[0]) == [
        *("file", "label", "z_00", "z_01", "z_02", "sd_00", "sd_01", "sd_02", "distortion", "rate", "elbo")
    ]
    assert [(row["file"], row["label"]) for row in rows] == [(str(k), str(k % 2)) for k in range(7)]

    def column(*names):
        return np.array([[row[name] for name in names] for row in rows], dtype=np.float32)

    assert (column("z_00", "z_01", "z_02") == posterior.mean.numpy()).all()  # every digit of a float32
    assert (column("sd_00", "sd_01", "sd_02") == (0.5 * posterior.logvar).exp().numpy()).all()
    assert (column("distortion", "rate", "elbo") == torch.stack(scores, 1).numpy()).all()


def test_encode_names_the_files_of_a_folder_and_takes_more_samples(told, place):
    done(told("encode", "@digits", "@pictures", "--samples", "3", "--output", "new/folder/a.csv"), "new/folder/a.csv")
    rows = rows_of("new/folder/a.csv")
    assert [row["file"] for row in rows] == [f"{k:02d}.bmp" for k in range(7)]
    assert {row["label"] for row in rows} == {""}
    expected = vae.load(place / "digits").score(IMAGES, samples=3).distortion
    assert [float(row["distortion"]) for row in rows] == pytest.approx(expected.tolist())


def test_several_pictures_are_encoded_as_a_shell_lists_them(told, place):
    files = [f"{place}/pictures/{k:02d}.bmp" for k in (3, 1)]
    done(told("encode", "@digits", *files), "codes.csv")
    assert [row["file"] for row in rows_of("codes.csv")] == files


def test_an_npz_of_codes_has_the_same_numbers(told, place):
    done(told("encode", "@digits", "@pictures", "--output", "codes.npz"), "codes.npz")
    model = vae.load(place / "digits")
    with np.load("codes.npz") as arrays:
        found = dict(arrays)
    assert found.keys() == {"files", "mean", "sd", "distortion", "rate", "elbo"}
    assert found["files"].tolist() == [f"{k:02d}.bmp" for k in range(7)]
    assert (found["mean"] == model.encode(IMAGES).mean.numpy()).all()
    assert (found["elbo"] == model.score(IMAGES).elbo.numpy()).all()
    done(told("encode", "@digits", "@digits.npz", "--output", "codes.npz"), "codes.npz")  # replaces the old one
    with np.load("codes.npz") as arrays:
        assert arrays["labels"].tolist() == [str(k % 2) for k in range(7)]
        assert "files" not in arrays
    assert os.listdir() == ["codes.npz"]


def test_a_table_is_encoded_by_the_names_of_its_columns(told, place):
    done(told("encode", "@rows", "@rows.csv"), "codes.csv")
    rows = rows_of("codes.csv")
    assert [(row["file"], row["label"]) for row in rows] == [("0", "a"), ("1", "b")]
    expected = vae.load(place / "rows").encode(np.array([[70.0, 30.0], [80.0, 35.5]])).mean
    assert [float(row["z_00"]) for row in rows] == pytest.approx(expected[:, 0].tolist())


def test_samples_are_pictures_and_a_grid_of_them(told, place):
    done(told("sample", "@digits", "-n", "5", "--seed", "3", "--temperature", "0.5"), "samples")
    assert sorted(os.listdir("samples")) == ["00.png", "01.png", "02.png", "03.png", "04.png", "grid.png"]
    expected = vae.load(place / "digits").sample(5, seed=3, temperature=0.5)
    assert (picture("samples/04.png") == (255 * expected[4, 0]).round().byte().numpy()).all()
    grid = picture("samples/grid.png")
    assert grid.shape == (2 * 58 + 2, 3 * 58 + 2)
    assert (grid[60:116, 118:174] == 255).all()  # two rows of three: the last one is white


def test_samples_in_colour_are_in_colour(told):
    done(told("sample", "@colours", "-n", "3", "--output", "out/s"), "out/s")
    assert picture("out/s/00.png").shape == (8, 10, 3)


def test_values_in_a_unit_of_their_own_are_written_beside_the_pictures(told, place):
    done(told("sample", "@units", "-n", "3"), "samples")
    model = vae.load(place / "units")
    assert (np.load("samples/samples.npy") == model.sample(3).numpy()).all()
    expected = ((model.sample(3)[2, 0] + 10) / 20 * 255).clamp(0, 255).round()
    assert (picture("samples/02.png") == expected.numpy()).all()
    done(told("reconstruct", "@units", "@units.npy"), "reconstructions")
    assert (np.load("reconstructions/reconstructions.npy") == model.reconstruct(place / "units.npy").numpy()).all()


def test_samples_of_a_table_are_rows_in_its_units(told, place):
    done(told("sample", "@rows", "-n", "3", "--seed", "1"), "samples.csv")
    rows = rows_of("samples.csv")
    expected = vae.load(place / "rows").sample(3, seed=1)
    assert [[float(row[name]) for name in ("mass", "age")] for row in rows] == [
        pytest.approx(row) for row in expected.tolist()
    ]


def test_reconstructions_have_the_names_of_the_inputs(told, place):
    done(told("reconstruct", "@digits", "@pictures", "-n", "4"), "reconstructions")
    assert sorted(os.listdir("reconstructions")) == [*(f"{k:02d}.png" for k in range(7)), "grid.png"]
    expected = vae.load(place / "digits").reconstruct(IMAGES)
    assert (picture("reconstructions/06.png") == (255 * expected[6, 0]).round().byte().numpy()).all()
    grid = picture("reconstructions/grid.png")
    assert grid.shape[0] == 2 * 58 + 2
    assert grid.shape[1] > 4 * 58


def test_reconstructions_of_pictures_elsewhere_stay_in_the_folder(told, place):
    before = sorted(place.rglob("*"))
    done(
        told("reconstruct", "@digits", f"{place}/pictures/00.bmp", f"{place}/pictures/../pictures/01.bmp"),
        "reconstructions",
    )
    assert sorted(os.listdir("reconstructions")) == ["00.png", "01.png", "grid.png"]
    assert sorted(place.rglob("*")) == before


def test_reconstructions_of_a_table_are_rows_in_its_units(told, place):
    done(told("reconstruct", "@rows", "@rows.csv"), "reconstructions.csv")
    expected = vae.load(place / "rows").reconstruct(place / "rows.csv")
    found = [[float(row["mass"]), float(row["age"])] for row in rows_of("reconstructions.csv")]
    assert found == [pytest.approx(row) for row in expected.tolist()]


def test_rows_keep_the_digits_of_a_column_whose_numbers_are_large(tmp_path):
    write_csv(tmp_path / "rows.csv", ["year", "a,b"], [[1_000_000_001.25, 0.1]], number=EXACT)
    assert (tmp_path / "rows.csv").read_text() == 'year,"a,b"\n1000000001.25,0.1\n'


def test_an_interpolation_is_a_row_of_pictures(told):
    done(told("interpolate", "@digits", "@pictures/00.bmp", "@pictures/01.bmp", "--steps", "4"), "interpolation.png")
    strip = picture("interpolation.png")
    assert strip.shape == (60, 4 * 58 + 2)


def test_an_interpolation_of_a_table_is_rows_in_its_units(told, tmp_path):
    for name, row in (("one", "70,30"), ("two", "80,35")):
        (tmp_path / f"{name}.csv").write_text(f"mass,age\n{row}\n")
    done(told("interpolate", "@rows", "one.csv", "two.csv", "--steps", "3"), "interpolation.csv")
    assert len(rows_of("interpolation.csv")) == 3


def test_outliers_are_the_inputs_with_the_lowest_elbo(told, place):
    answer = told("outliers", "@digits", "@digits.npz", "-n", "3")
    done(answer, "outliers.csv", "outliers.png")
    assert "weak detector" in answer.stdout
    elbo = vae.load(place / "digits").score(IMAGES).elbo
    rows = rows_of("outliers.csv")
    assert [int(row["file"]) for row in rows] == elbo.argsort()[:3].tolist()
    assert [float(row["elbo"]) for row in rows] == pytest.approx(sorted(elbo.tolist())[:3])
    assert [row["label"] for row in rows] == [str(int(row["file"]) % 2) for row in rows]
    assert picture("outliers.png").shape[0] > 2 * 58


def test_fewer_inputs_than_outliers_are_all_of_them_and_a_table_has_no_contact_sheet(told):
    done(told("outliers", "@rows", "@rows.csv"), "outliers.csv")
    assert len(rows_of("outliers.csv")) == 2
    assert os.listdir() == ["outliers.csv"]


def test_networks_of_ones_own_are_named_again(told, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    parts = ("model.encoder=my_nets:encoder", "model.decoder=my_nets:decoder")
    done(told("encode", "@own", "@digits.npz", *parts), "codes.csv")
    done(told("sample", "@own", *parts, "-n", "1"), "samples")
    answer = told("encode", "@own", "@digits.npz", "--output", "b.csv")
    assert answer.returncode == 1
    assert "imported only if the command names them too. Add model.encoder=my_nets:encoder" in one_error_line(answer)


REFUSED = [
    ("encode @digits nowhere", 4, "nowhere, which is missing"),
    ("encode nowhere @digits.npz", 1, "must be the directory of a run"),
    ("encode @digits", 2, "required: input"),
    ("encode @digits @colours.npy", 4, r"images must have the shape"),
    ("encode @digits @rows.csv", 4, "a picture, a folder of pictures, an .npz or an .npy"),
    ("encode @rows @digits.npz", 4, "must hold an array `table`"),
    ("encode @rows @pictures", 4, "must be a regular file, is a directory"),
    ("encode @digits a=b", 2, "an input is needed, got only parts of your own"),
    ("encode @digits @digits.npz @pictures/00.bmp", 4, "digits.npz must be a picture"),
    ("encode @digits @digits.npz --output a.txt", 2, "--output must end in .csv or .npz, got a.txt"),
    ("encode @digits @digits.npz --output @digits.npz", 2, "--output must not be the input"),
    ("encode @digits @digits.npz --samples 0", 2, "--samples must be 1 or more, got 0"),
    ("encode @digits @digits.npz --checkpoint best", 5, "no epoch of"),
    (
        "encode @digits @digits.npz model.encoder=my_nets:encoder",
        1,
        "has no networks of your own. Leave model.encoder",
    ),
    ("encode @digits @digits.npz beta=4", 1, "can be given beside a run, got beta=4"),
    ("encode @digits @digits.npz --output @pictures/00.bmp/a.csv", 1, "Not a directory"),
    ("sample @digits -n 0", 2, "-n must be 1 or more and --temperature 0 or more, got 0 and 1"),
    ("sample @digits --temperature nan", 2, "got 64 and nan"),
    ("sample @digits --seed -1", 2, "--seed must be from 0 to"),
    ("sample @digits --output @pictures", 2, "--output must be a new folder"),
    ("sample @rows --output a.png", 2, "--output must end in .csv"),
    ("reconstruct @digits @pictures -n 0", 2, "-n must be 1 or more, got 0"),
    ("reconstruct @digits @pictures --output @pictures", 2, "--output must be a new folder"),
    ("reconstruct @digits @colours.npy", 4, "images must have the shape"),
    ("interpolate @digits @pictures/00.bmp", 2, "required: other"),
    ("interpolate @digits @pictures @pictures/00.bmp", 4, "a must be one picture or row, got 7"),
    ("interpolate @digits @pictures/00.bmp @pictures/01.bmp --steps 1", 2, "--steps must be 2 or more"),
    ("outliers @digits @digits.npz -n 0", 2, "-n and --samples must be 1 or more"),
    ("outliers @digits @pictures --output a.npz", 2, "--output must end in .csv"),
    ("outliers @digits @pictures --output @pictures/new.csv", 2, "--output must lie outside of the input folder"),
    ("reconstruct @digits @pictures --output @pictures/new", 2, "--output must lie outside of the input folder"),
    ("export @digits --to @digits.npz/new", 1, "digits.npz/new: Not a directory"),
    ("export @digits --to new model.encoder=my_nets:encoder", 1, "has no networks of your own. Leave model.encoder"),
    ("sample @", 1, "must be the directory of a run, it has no .hydra/config.yaml. Name a run in it, as in "),
    ("sample @digits --temperature 1e39", 4, "temperature must be a number like 1, got 1e+39"),
    ("encode @units @far.npy", 4, "inputs must have values like those of the training"),
    ("outliers @units @far.npy", 4, "inputs must have values like those of the training"),
    ("traverse @digits --reach nan", 2, "--reach must be above 0, and 1e+06 at most, got nan"),
]


@pytest.mark.parametrize(("line", "code", "said"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_a_wrong_command_is_one_line_and_nothing_is_written(line, code, said, told, tmp_path, place):
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    answer = told(*line.split())
    assert answer.returncode == code
    assert said in one_error_line(answer)
    assert os.listdir(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_an_input_that_turns_out_bad_halfway_leaves_nothing(told, tmp_path):
    images = IMAGES.repeat(150, axis=0) / 255
    images[1049] = np.nan
    np.save(tmp_path / "bad.npy", images.astype(np.float32))
    for words in (("encode",), ("encode", "--output", "new/codes.npz"), ("reconstruct",), ("outliers",)):
        answer = told(words[0], "@digits", "bad.npy", *words[1:])
        assert answer.returncode == 4
        assert "pixels must be finite, got nan in image 1049" in one_error_line(answer)
        assert os.listdir(tmp_path) == ["bad.npy"]


def test_a_picture_of_another_size_is_encoded_if_the_command_says_how(told, tmp_path):
    Image.fromarray(IMAGES[0].repeat(2, 0).repeat(2, 1)).save(tmp_path / "large.png")
    answer = told("encode", "@digits", "large.png")
    assert answer.returncode == 4
    assert "--resize fit, crop or stretch" in one_error_line(answer)
    done(told("encode", "@digits", "large.png", "--resize", "fit"), "codes.csv")


def test_the_program_encodes_in_a_process_of_its_own_and_a_signal_leaves_nothing(place, tmp_path):
    command = [sys.executable, "-m", "vae", "encode", str(place / "digits")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    whole = subprocess.run([*command, str(place / "pictures")], cwd=tmp_path, env=environment, capture_output=True)
    assert (whole.returncode, whole.stdout, whole.stderr) == (0, b"codes.csv\n", b"")
    assert len(rows_of(tmp_path / "codes.csv")) == 7
    np.save(tmp_path / "many.npy", np.full((100_000, 28, 28), 200, dtype=np.uint8))
    with subprocess.Popen(
        [*command, "many.npy", "--output", "new/many.csv"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not list(tmp_path.glob("new/*")):
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b"stop   by signal 2, nothing was written\n"
    assert sorted(os.listdir(tmp_path)) == ["codes.csv", "many.npy"]
