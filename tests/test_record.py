"""The record of a configuration in a run's directory: whole, checked, and never obeyed beyond its keys."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml
from command import QUIET, ROOT, one_error_line, run_train
from configured import changed, record_of, values_of

import evaluate
import traverse
from vae.app.load import load_run
from vae.config import ConfigError
from vae.run import checkpoint, record
from vae.run.record import Record

FILES = (".hydra/config.yaml", "checkpoints/config.yaml")


@pytest.mark.parametrize(
    ("choices", "values"),
    [
        ({}, {"beta": 4}),
        ({"model": "conv", "objective": "factor", "data": "sprites32"}, {}),
        ({}, {"learning_rate_epochs": [0, 9], "learning_rate_factors": [1, 0], "threads": 2, "adam_epsilon": 1e-8}),
        ({"objective": "dip"}, {"objective": {"covariance": "means"}, "tracking": {"save_every_seconds": 1.5}}),
        *[
            ({"data": "images"}, {"data": {"path": f"/{place}/t.npz"}})
            for place in ("it's", "tick\\'q", "${oc.env:HOME}", "a,b=(c)", "${", "\udcff", "ünï", "a\\${b\\\\${c}")
        ],
    ],
)
def test_what_is_stored_is_read_back(choices, values, tmp_path):
    stored = record_of(choices, **values)
    record.write(tmp_path, stored)
    assert record.read(tmp_path) == stored


def test_no_flipped_bit_changes_or_loses_it(tmp_path, caplog):
    stored = record_of(beta=4)
    record.write(tmp_path, stored)
    good = (tmp_path / FILES[0]).read_bytes()
    for name in FILES:
        for bit in range(0, 8 * len(good), 211):
            (tmp_path / name).write_bytes(
                good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :]
            )
            assert record.read(tmp_path) == stored
        (tmp_path / name).write_bytes(good)
    caplog.clear()
    (tmp_path / FILES[0]).write_bytes(good.replace(b"beta: 4.0", b"beta: 8.0"))
    assert record.read(tmp_path) == stored
    assert "was edited or is damaged: its checksum does not match" in caplog.text
    assert f"{FILES[1]} is used" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "pipe", "empty", "huge", "missing"])
@pytest.mark.parametrize("both", [False, True])
def test_what_is_no_record_is_never_waited_for(tmp_path, kind, both):
    stored = record_of(beta=4)
    record.write(tmp_path, stored)
    for name in FILES if both else FILES[:1]:
        path = tmp_path / name
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind != "missing":
            path.write_bytes(b"" if kind == "empty" else bytes(2_000_000))
    started = time.monotonic()
    if both:
        with pytest.raises(ConfigError, match=r"config\.yaml"):
            record.read(tmp_path)
    else:
        assert record.read(tmp_path) == stored
    assert time.monotonic() - started < 5


def test_a_few_lines_that_stand_for_gigabytes_are_refused_at_once():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True))
    for text in (bomb, bomb + "[" * 50_000, "!!python/object/apply:os.system [id]"):
        with pytest.raises(ConfigError, match="it is damaged"):
            record.safe_yaml(text.encode())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"choices": {"data": "mnist", "model": "transformer"}}, "model must be one of .*, got transformer"),
        ({"choices": None}, "must name the choices"),
        ({"beat": 4}, "unknown key beat"),
        ({"beta": "much"}, "beta must be a number from 0 to 1000000, got much"),
        ({"beta": -1.0}, "beta must be a number from 0 to 1000000"),
        ({"model": {"latent_dim": 3}}, "model.hidden must be given"),
        ({"hydra": {"callbacks": {"x": {"_target_": "os.abort"}}}}, "unknown key hydra"),
    ],
)
def test_a_record_with_the_right_checksum_and_wrong_content_is_one_line(change, line):
    stored = record_of()
    with pytest.raises(ConfigError, match=line) as caught:
        record.record_of({"choices": dict(stored.choices), **values_of(), **change})
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ by the command


def test_no_word_in_a_directory_is_obeyed(tmp_path, few_run):
    """Hydra would import what a callback names, and write its log where it is told."""
    run = shutil.copytree(few_run, tmp_path / "run")
    attack = {"_target_": "shutil.copyfile", "src": str(run / "run.json"), "dst": str(tmp_path / "written")}
    words = [f"+hydra.callbacks.x={{_target_: shutil.copyfile, src: {attack['src']}, dst: {attack['dst']}}}"]
    words.append(f"hydra.job_logging.handlers.file.filename={tmp_path}/written")
    (run / ".hydra/overrides.yaml").write_text(yaml.safe_dump(words))
    (run / ".hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"callbacks": {"x": attack}}}))
    done = run_train(f"resume={run}", "epochs=5")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "written").exists()


def test_runs_and_sweeps_lie_where_they_were_asked_to_whatever_the_name_is(tmp_path, few_images):
    folder = tmp_path / "it's tick\\'q, a=(ü)"
    folder.mkdir()
    shutil.copy(few_images[1].removeprefix("data.path="), folder / "t.npz")
    quick = (*few_images, "epochs=1", "model.hidden=[8]", *QUIET, "data.path=t.npz")
    for words in (
        (*quick, "hydra.run.dir=run"),
        ("resume=run", "epochs=2"),
        ("-m", "beta=1,2", *quick, "hydra.sweep.dir=sweep"),
    ):
        command = [sys.executable, str(ROOT / "train.py"), *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["run", "sweep", "t.npz"]
    assert sorted(path.parent.name for path in folder.glob("sweep/*/summary.json")) == [
        "beta=1.0_seed=0",
        "beta=2.0_seed=0",
    ]


def test_a_configuration_of_another_run_is_refused(tmp_path):
    record.write(tmp_path / "one", record_of(beta=1))
    record.write(tmp_path / "other", record_of(beta=3, seed=5))
    shutil.copy(tmp_path / "other" / FILES[0], tmp_path / "one" / FILES[0])
    with pytest.raises(ConfigError, match=r"are of two runs: beta 3\.0 -> 1\.0, seed 5 -> 0\. Remove the wrong one"):
        record.read(tmp_path / "one")
    # A kill between the two writes may leave different epochs; the copy is written first.
    record.write(tmp_path / "other", record_of(beta=1, epochs=9))
    shutil.copy(tmp_path / "other" / FILES[1], tmp_path / "one" / FILES[1])
    record.write(tmp_path / "same", record_of(beta=1))
    shutil.copy(tmp_path / "same" / FILES[0], tmp_path / "one" / FILES[0])
    assert record.read(tmp_path / "one").config.epochs == 9


def test_a_checkpoint_of_another_run_is_refused(tmp_path, few_run, called):
    run = shutil.copytree(few_run, tmp_path / "run")
    other = record.fingerprint(changed(record.read(run), seed=5))
    checkpoint.save(run / "checkpoints/last", checkpoint.load(run / "checkpoints/last") | {"configuration": other})
    for done in (run_train(f"resume={run}", "epochs=9"), called(evaluate, str(run))):
        assert done.returncode == 5
        assert "it was saved by a run of another configuration" in one_error_line(done)


def test_data_that_moved_are_known_by_their_checksum(tmp_path, few_run, few_images):
    run = shutil.copytree(few_run, tmp_path / "run")
    moved = tmp_path / "elsewhere" / "other.npz"
    moved.parent.mkdir()
    shutil.copy(few_images[1].removeprefix("data.path="), moved)
    done = run_train(f"resume={run}", "epochs=5", f"data.path={moved}")
    assert done.returncode == 0, done.stdout
    assert record.read(run).config.data.path == str(moved)
    moved.write_bytes(moved.read_bytes() + b"x")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    done = run_train(f"resume={run}", "epochs=6")
    assert done.returncode == 4
    assert {path: path.read_bytes() for path in before} == before


def test_scripts_refuse_data_that_were_replaced(tmp_path, few_run, called):
    run = shutil.copytree(few_run, tmp_path / "run")
    stored = record.read(run)
    moved = shutil.copy(stored.config.data.path, tmp_path / "own.npz")
    record.write(run, changed(stored, data=replace(stored.config.data, path=str(moved))))
    moved.write_bytes(moved.read_bytes() + b"x")
    for script in (evaluate, traverse):
        done = called(script, str(run))
        assert done.returncode == 4
        assert "own.npz is not what it was" in one_error_line(done)


def test_members_are_trained_as_they_were_checked_though_the_files_change_meanwhile(tmp_path, few_images):
    """The files of configuration are changed, and spoilt, while the first member trains."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("vae", "configs"):
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "train.py", project)
    quick = (*few_images, "epochs=3", "model.hidden=[8]", *QUIET)
    command = [sys.executable, "train.py", "-m", "beta=1,2", *quick, "hydra.sweep.dir=sweep"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = project / "sweep/beta=1.0_seed=0/train.log"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.02)
    text = (project / "configs/config.yaml").read_text()
    (project / "configs/config.yaml").write_text(
        text.replace("learning_rate: 1.0e-3", "learning_rate: 0.5") + "\nbeat: ["
    )
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    rates = [record.read(path).config.learning_rate for path in sorted((project / "sweep").glob("beta=*"))]
    assert rates == [0.001] * 2


@pytest.mark.parametrize("name", [".hydra/config.yaml", ".hydra/hydra.yaml"])
def test_an_older_record_that_is_no_file_is_never_waited_for(tmp_path, name):
    shutil.copytree(ROOT / "tests/golden/run", tmp_path / "run")
    assert record.read(tmp_path / "run").data_sha256  # of run.json, which older runs have instead
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ConfigError, match="not a regular file"):
        record.read(tmp_path / "run")


def test_a_damaged_record_whose_copy_is_gone_is_called_damaged(tmp_path):
    record.write(tmp_path, record_of(beta=4))
    (tmp_path / FILES[1]).unlink()
    (tmp_path / FILES[0]).write_bytes((tmp_path / FILES[0]).read_bytes() + b"x")
    with pytest.raises(ConfigError, match="was edited or is damaged"):
        record.read(tmp_path)


def test_options_that_mean_the_same_have_one_fingerprint():
    one = record_of({"data": "sprites32"})
    other = Record({**one.choices, "data": "sprites"}, one.config)
    assert record.fingerprint(other) == record.fingerprint(one)
    assert record.changes(other, one) == []
    assert record.fingerprint(record_of(beta=2)) != record.fingerprint(record_of(beta=1))
    assert record.fingerprint(record_of(epochs=2, threads=1)) == record.fingerprint(record_of(beta=1))


def test_no_directory_decides_where_data_are_written(tmp_path):
    """Sprites are drawn, and files fetched, to the user's own cache, or to a place that this command names."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    grid = ("data.side=16", "data.shapes=2", "data.scales=2", "data.orientations=2", "data.positions_x=8")
    tiny = ("data=sprites", *grid, "data.positions_y=8", "data.validation_size=20", "data.test_size=20")
    words = (*tiny, f"data.root={elsewhere}", "epochs=1", "model.hidden=[8]", "disentanglement=false")
    assert run_train(*words, *QUIET, directory=run).returncode == 0
    assert elsewhere.exists()
    shutil.rmtree(elsewhere)
    done = run_train(f"resume={run}", "epochs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    load_run(run)
    assert not elsewhere.exists()
