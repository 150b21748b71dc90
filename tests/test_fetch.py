"""`beta-vae fetch`, and trainings that find what it has left in a folder which may only be read."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import MEMBER, Answer, run_train

from vae.app import program
from vae.data.mnist import FILES

SPRITES = ("data=sprites", "data.side=16", "data.shapes=1", "data.scales=2", "data.orientations=4")
SPRITES += ("data.positions_x=8", "data.positions_y=8", "data.validation_size=50", "data.test_size=50")


@pytest.fixture
def fetch(capfd) -> Callable[..., Answer]:
    def answer(*words: str) -> Answer:
        code = program.main(["fetch", *words])
        return Answer(code, *capfd.readouterr())

    return answer


def state_of(folder: Path) -> dict[str, int]:
    """When each file and folder was changed. A file that was made and removed changes its folder."""
    return {str(path): path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def read_only():
    """Makes folders read-only, until the test has ended. For root they are not, but what is written is noticed."""
    changed: list[Path] = []

    def protect(folder: Path) -> None:
        for path in (*folder.rglob("*"), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
            changed.append(path)

    yield protect
    for path in reversed(changed):
        path.chmod(0o755)


def test_a_sweep_reads_what_was_fetched_and_writes_nothing_there(fetch, tmp_path, read_only):
    root = tmp_path / "shared"
    done = fetch(*SPRITES, f"data.root={root}")
    assert done.returncode == 0, done.stderr
    assert "drawing 512 sprites" in done.stderr
    assert done.stdout.startswith("data   sprites, 1 x 2 x 4 x 8 x 8 levels")
    assert f"512 / 50 / 50 (train / validation / test), in {root}" in done.stdout
    read_only(root)
    before = state_of(root)
    words = ("-m", "beta=1", *SPRITES, f"data.root={root}", *MEMBER, "epochs=1", "disentanglement=false")
    trained = run_train(*words, f"hydra.sweep.dir={tmp_path}/sweep")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "1 of 1 members done" in trained.stdout
    assert state_of(root) == before


def test_what_is_there_and_whole_is_only_read(fetch, tmp_path, kmnist_files, read_only):
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        shutil.copy(kmnist_files / f"{file}.gz", raw)
    words = ("data=kmnist", f"data.root={tmp_path}", "data.download=false")
    first = fetch(*words)
    assert first.returncode == 0, first.stderr
    assert "KMNIST: trying the .gz files" in first.stderr
    assert "50 000 / 10 000 / 10 000" in first.stdout
    read_only(raw)
    before = state_of(tmp_path)
    again = fetch(*words)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", first.stdout)
    assert state_of(tmp_path) == before


def test_several_data_sets_are_fetched_once_each(fetch, tmp_path):
    done = fetch(*SPRITES[:-1], "data.test_size=50,50,60", f"data.root={tmp_path}", "beta=1,2")
    assert done.returncode == 0, done.stderr
    assert [line.split(", in")[0].split("; ")[1] for line in done.stdout.splitlines()] == [
        "512 / 50 / 50 (train / validation / test)",
        "512 / 50 / 60 (train / validation / test)",
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("data=images", "data.path=/nowhere"), 4, "data.path must be an .npz, an .npy or a folder of pictures"),
        (("data=mnist", "resume=outputs/RUN"), 1, "data are fetched by the words of a training, got resume"),
        (("data=kmnist", "data.download=false", "data.root=/nowhere"), 4, "Set data.download=true, or copy them"),
        (("mnist",), 2, "every override is key=value without spaces, got mnist"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(fetch, words, code, said):
    done = fetch(*words)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
