"""A sweep with a name: other commands find its members, and add those that are missing."""

import shutil
from pathlib import Path

import pytest
from command import MEMBER, ROOT

from vae.app.command_line import Command, checked
from vae.config.options import FREE
from vae.run import record
from vae.run.summary import read_summary

CONFIGS = ROOT / "configs"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*words: str) -> Command:
    return checked([*words], CONFIGS)


def names(*words: str) -> list[str]:
    return [task.directory.name for task in command(*words).tasks]


def begin(*words: str) -> list[str]:
    """Leave each member as if it had been trained. Returns their names."""
    for task in command(*words).tasks:
        record.write(task.directory, task.record)
        (task.directory / "checkpoints/last").touch()
    return names(*words)


def refused(capsys, *words: str) -> str:
    with pytest.raises(SystemExit, match="1"):
        checked([*words], CONFIGS)
    line, *more = capsys.readouterr().err.splitlines()
    assert more == []
    return line.removeprefix("error: ")


# Places


def test_a_sweep_with_a_name_lies_in_a_folder_of_that_name(tmp_path):
    found = command("-m", "sweep=N", "beta=1,2", "seed=0,1")
    assert found.sweep == tmp_path / "outputs/N"
    assert [task.directory.relative_to(found.sweep) for task in found.tasks] == [
        Path(f"beta={beta}_seed={seed}") for beta in (1.0, 2.0) for seed in (0, 1)
    ]


def test_one_run_is_a_member_of_the_sweep_too():
    found = command("sweep=N", "beta=4")
    assert [task.directory for task in found.tasks] == [Path("outputs/N/beta=4.0_seed=0").absolute()]
    assert found.sweep == Path("outputs/N").absolute()


def test_the_name_is_no_part_of_a_run(capsys):
    assert "sweep" in FREE
    begin("sweep=N", "beta=4")
    assert record.read(Path("outputs/N/beta=4.0_seed=0")).config.sweep is None  # the folder may be renamed
    assert refused(capsys, "resume=outputs/N/beta=4.0_seed=0", "sweep=M") == (
        "resume goes on in the run's own directory, got sweep=M. Leave that out"
    )


@pytest.mark.parametrize("name", ["''", ".", "..", "a/b", "/a", "x" * 256, "'a\tb'"])
def test_a_name_that_no_folder_can_have_is_refused(name, capsys):
    assert refused(capsys, f"sweep={name}").startswith("sweep must be the name of a folder in outputs, without / and")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-m", "sweep=A,B"], "all members of a sweep share its name, got several values of sweep"),
        (["sweep=N", "beta=1,2"], "one run takes one value of beta, got beta=1,2. Add -m for a sweep"),
        (["-m", "sweep=N", "hydra.sweep.dir=x"], "sweep=N goes to outputs/N, got hydra.sweep.dir or hydra.run.dir"),
        (["sweep=N", "hydra.run.dir=x"], "sweep=N goes to outputs/N, got hydra.sweep.dir or hydra.run.dir too"),
        (["sweep=true"], "sweep must be text, or null, got true"),
    ],
)
def test_a_place_that_contradicts_the_name_is_refused(words, line, capsys):
    assert refused(capsys, *words).startswith(line)


def test_a_single_run_is_no_sweep(capsys):
    (Path("outputs/R/checkpoints")).mkdir(parents=True)
    Path("outputs/R/checkpoints/last").touch()
    assert refused(capsys, "sweep=R").startswith("sweep must name a sweep, got R, but ")


# Members


def test_more_values_of_a_swept_key_add_members():
    first = begin("-m", "sweep=N", "beta=1,2", "seed=0,1")
    more = names("-m", "sweep=N", "beta=1,2,4", "seed=0,1,2")
    assert len(more) == len(set(more)) == 9
    assert set(first) < set(more)
    assert names("-m", "sweep=N", "seed=0,1,2,3") == [f"beta=1.0_seed={seed}" for seed in range(4)]


def test_a_member_is_found_by_its_configuration_whatever_it_is_called():
    begin("-m", "sweep=N", "beta=1,2", "epochs=3")
    words = ("-m", "sweep=N", "beta=1,2", "model=mlp,conv", "epochs=5")  # all may train longer
    assert begin(*words) == [f"beta={beta}_seed=0{end}" for beta in (1.0, 2.0) for end in ("", "_model=conv")]
    assert names("sweep=N", "model=conv", "beta=2", "threads=1") == ["beta=2.0_seed=0_model=conv"]
    assert names("-m", "sweep=N", "model.latent_dim=20,5") == ["beta=1.0_seed=0", "beta=1.0_seed=0_model.latent_dim=5"]


def test_a_key_that_changes_no_numbers_tells_members_apart_where_it_is_swept(capsys):
    begin("sweep=N", "epochs=25")
    assert begin("-m", "sweep=N", "epochs=25,50") == ["beta=1.0_seed=0", "beta=1.0_seed=0_epochs=50"]
    assert names("sweep=N", "epochs=50") == ["beta=1.0_seed=0_epochs=50"]
    line = refused(capsys, "sweep=N", "epochs=30")
    assert "has two such members, beta=1.0_seed=0 and beta=1.0_seed=0_epochs=50. Say which by epochs" in line


def test_the_data_of_a_member_may_have_moved():
    begin("-m", "sweep=N", "data=images", "data.path=t.npz", "beta=1,2")
    moved = ("-m", "sweep=N", "data=images", "data.path=moved.npz")
    assert names(*moved, "beta=2,4") == ["beta=2.0_seed=0", "beta=4.0_seed=0"]
    assert names(*moved[:-1], "data.path=t.npz,moved.npz") == [
        "beta=1.0_seed=0",
        "beta=1.0_seed=0_data.path=moved.npz",
    ]


def test_what_a_command_names_and_others_have_otherwise_is_in_the_name():
    begin("-m", "sweep=N", "beta=1,2", "batch_size=64")
    words = ("sweep=N", "batch_size=64", "learning_rate=1e-4")
    assert names(*words) == ["beta=1.0_seed=0_learning_rate=1e-4"]
    assert names(*words[:-1], "learning_rate=1e-3", "beta=8") == ["beta=8.0_seed=0"]


def test_a_value_that_a_command_forgets_is_refused_and_named(capsys):
    begin("-m", "sweep=N", "model=conv", "beta=1,2")
    line = refused(capsys, "-m", "sweep=N", "seed=0,1")
    assert line.endswith(
        "outputs/N has members with model=conv, this command leaves that to the configuration: model=mlp. "
        "Name the first to extend the sweep, or the second for members beside them"
    )
    assert names("sweep=N", "model=conv", "seed=1") == ["beta=1.0_seed=1"]
    assert names("sweep=N", "model=mlp", "seed=1") == ["beta=1.0_seed=1_model=mlp"]
    assert names("sweep=N", "experiment=smoke")  # a preset names all that it changes
    images = ["data=images", "data.path=t.npz"]  # whose likelihood is another one
    assert names("sweep=N", "model=conv", *images) == ["beta=1.0_seed=0_data=images"]


def test_a_member_that_never_began_forbids_nothing():
    (task,) = command("sweep=N", "model=conv").tasks
    record.write(task.directory, task.record)  # and then its data were missing
    assert names("sweep=N", "beta=2") == ["beta=2.0_seed=0"]


def test_a_name_that_is_taken_by_another_configuration_is_refused(capsys):
    begin("sweep=N", "model=conv")
    words = ("-m", "sweep=N", "model=mlp", "hydra.sweep.subdir='beta=1.0_seed=0'")
    line = refused(capsys, *words)
    assert "was trained with another configuration: model conv -> mlp. Set hydra.sweep.dir to a new one, or" in line


# Training


def test_a_sweep_is_extended_and_one_member_trained_again(finished_sweep, few_images, trained):
    sweep = Path("outputs/N")
    shutil.copytree(finished_sweep, sweep)
    one, eight, two = (sweep / f"beta={beta}_seed=0" for beta in (1.0, 8.0, 2.0))
    before = {path: (path / "train.log").read_bytes() for path in (one, eight)}
    words = ("sweep=N", *few_images, *MEMBER, "epochs=1")
    done = trained("-m", *words, "beta=1,2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 members done" in done.stdout
    assert read_summary(two)["status"] == "done"
    assert {path: (path / "train.log").read_bytes() for path in before} == before
    assert all(beta in (sweep / "results.csv").read_text() for beta in ("beta=1,", "beta=2,", "beta=8,"))
    test = read_summary(two)["test"]
    shutil.rmtree(two)
    done = trained(*words, "beta=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 members done" in done.stdout
    assert read_summary(two)["test"] == test
    assert not list(Path("outputs").glob("[!N]*"))
