"""`beta-vae explore`, and the explorer pages that runs and sweeps leave: what they show, and what they refuse."""

import errno
import json
import os
import re
import resource
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from command import EXAMPLES, MEMBER, one_error_line
from configured import changed
from examples import my_nets
from fake_runs import LOG, put_run
from stored_runs import stored_run

import explore
import report
from vae.app import exploring
from vae.app.sweep import report_members
from vae.config.preparation import ImagePreparation, TablePreparation
from vae.measures.curve import few_betas
from vae.run import record
from vae.run.names import EXPLORER, SUMMARY
from vae.run.record import Task
from vae.run.summary import read_summary
from vae.training import explorer

NOT_DONE = {"status": "failed", "code": 3, "error": "the loss is nan"}
MARKUP = "<script>alert(1)<img src=x onerror=alert(2)>&\"'"
ONE, EIGHT = "beta=1.0_seed=0", "beta=8.0_seed=0"


@pytest.fixture
def run(few_run, tmp_path):
    """A copy of a run."""
    return shutil.copytree(few_run, tmp_path / "run")


@pytest.fixture
def sweep(finished_sweep, tmp_path):
    """A copy of a sweep of beta 1 and 8."""
    return shutil.copytree(finished_sweep, tmp_path / "sweep")


def models(done):
    """The names of the models that the command printed."""
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("models: "))
    return line.removeprefix("models: ").split(", ")


def renamed(directory, **values):
    """A member under another beta or seed, as if it had been trained with it."""
    path = directory / SUMMARY
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def members(sweep, count):
    """So many members more, of beta 2, 3, ... They share the files of the first."""
    for beta in range(2, 2 + count):
        copy = shutil.copytree(sweep / ONE, sweep / f"beta={beta}")
        renamed(copy, beta=float(beta))


# ------------------------------------------------------------------------------------------------ what it shows


def test_a_run_gets_its_page_and_the_command_says_where_and_how_large_it_is(run, called):
    (run / EXPLORER).unlink()
    done = called(explore, str(run))
    assert done.returncode == 0, done.stderr
    size = (run / EXPLORER).stat().st_size
    assert done.stdout.splitlines() == [f"{run / EXPLORER}, {size / 1e6:.2f} MB", "models: run"]
    assert done.stderr == ""


def test_the_command_makes_the_page_that_the_run_has_left(few_run, tmp_path, called):
    done = called(explore, str(few_run), "--output", str(tmp_path / "new" / "page.html"))
    assert done.returncode == 0, done.stderr
    one, other = ((folder / name).read_text() for folder, name in ((few_run, EXPLORER), (tmp_path, "new/page.html")))
    assert len(one) == pytest.approx(len(other), rel=0.01)  # the last digits are of the process
    distortion = json.dumps(read_summary(few_run)["test"]["distortion"])
    assert distortion in one
    assert distortion in other


def test_a_sweep_gets_one_page_over_its_betas(sweep, called):
    done = called(explore, str(sweep))
    assert done.returncode == 0, done.stderr
    assert models(done) == ["beta=1", "beta=8"]
    assert (sweep / EXPLORER).exists()
    assert not list(sweep.glob(f"*/{EXPLORER}"))


def test_of_each_setting_the_lowest_seed_that_is_done_is_shown(sweep, called, tmp_path):
    shutil.copytree(sweep / EIGHT, tmp_path / "eight")
    renamed(sweep / EIGHT, beta=1.0, seed=3)
    shutil.copytree(sweep / ONE, sweep / "again")
    renamed(sweep / "again", seed=5)
    (sweep / ONE / SUMMARY).write_text(json.dumps(NOT_DONE))
    done = called(explore, str(sweep), str(tmp_path / "eight"), "--output", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    assert models(done) == ["beta=1", "beta=8"]
    assert [member.directory.name for member in exploring.members_of([sweep])[0]] == [EIGHT]


def test_a_member_that_failed_or_has_not_ended_is_left_out_with_its_reason(sweep, called):
    (sweep / ONE / SUMMARY).write_text(json.dumps(NOT_DONE))
    put_run(sweep / "late", None)
    done = called(explore, str(sweep))
    assert done.returncode == 0, done.stderr
    assert models(done) == [EIGHT]
    assert sorted(done.stdout.splitlines()[2:]) == [
        f"left out: {ONE}, which failed, code 3: the loss is nan",
        "left out: late, which has not ended",
    ]


def test_of_more_than_eight_settings_some_are_left_out_evenly_and_named(sweep, called):
    members(sweep, 10)
    (sweep / EIGHT).rename(sweep.parent / "eight")
    done = called(explore, str(sweep))
    assert done.returncode == 0, done.stderr
    assert models(done) == [f"beta={beta}" for beta in (1, 2, 4, 5, 7, 8, 10, 11)]
    assert done.stdout.splitlines()[2:] == ["left out, as a page has at most 8 models: beta=3, beta=6, beta=9"]


def test_runs_that_are_named_are_all_shown_whatever_their_seed(sweep, called, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(sweep / ONE, tmp_path / "again")
    renamed(tmp_path / "again", seed=1)
    done = called(explore, f"../sweep/{ONE}", "../again")
    assert done.returncode == 0, done.stderr
    assert models(done) == [f"sweep/{ONE}", "again"]
    assert os.listdir() == [EXPLORER]


def test_a_multi_rate_run_shows_a_few_betas_of_its_range_or_those_that_one_asks_for(multi_rate, called, tmp_path):
    output = str(tmp_path / "page.html")
    done = called(explore, str(multi_rate), "--output", output)
    assert done.returncode == 0, done.stderr
    assert models(done) == ["beta=0.125", "beta=0.5", "beta=2", "beta=8"]
    assert all(name in (multi_rate / EXPLORER).read_text() for name in models(done))  # what the run has left
    done = called(explore, str(multi_rate), "--beta", "5", "0.3", "--output", output)
    assert models(done) == ["beta=0.3", "beta=5"]
    done = called(explore, str(multi_rate), "--beta", "11", "--output", output)
    assert (done.returncode, "beta must be from 0.1 to 10" in one_error_line(done)) == (1, True)


def test_the_models_of_a_multi_rate_run_have_the_numbers_of_its_curve(multi_rate):
    summary = read_summary(multi_rate)
    curve = {point["beta"]: point for point in summary["curve"]}
    (member,), _ = exploring.members_of([multi_rate])
    candidates = exploring.candidates_of([member], [record.read(multi_rate)], [])
    test = exploring.images_of(candidates[0], []).test
    found = [exploring.explored_model(each, exploring.Asked(), test) for each in candidates]
    assert [model.beta for model in found] == [0.125, 0.5, 2.0, 8.0]
    assert found[2].test == summary["test"]
    assert found[3].test["distortion"] == pytest.approx(curve[8.0]["distortion"], rel=1e-5)
    assert sum(found[3].test["rate_per_latent"]) == pytest.approx(curve[8.0]["rate"], rel=1e-5)


def test_the_best_checkpoint_has_numbers_of_its_own(few_run):
    (member,), _ = exploring.members_of([few_run])
    (candidate,) = exploring.candidates_of([member], [record.read(few_run)], [])
    test = exploring.images_of(candidate, []).test
    last, best = (exploring.explored_model(candidate, exploring.Asked(name), test).test for name in ("last", "best"))
    assert last == read_summary(few_run)["test"]
    assert best["elbo"] == pytest.approx(last["elbo"], rel=0.1)


@pytest.mark.parametrize(
    ("low", "high", "own", "betas"),
    [
        (0.1, 10.0, 1.0, [0.25, 1.0, 4.0]),
        (0.1, 10.0, 3.0, [0.25, 1.0, 3.0, 8.0]),
        (1.0, 4.0, 2.0, [1.0, 2.0, 4.0]),
        (0.3, 0.4, 0.35, [0.35]),
    ],
)
def test_the_betas_of_a_range_are_few_and_the_runs_own_is_one_of_them(low, high, own, betas):
    assert few_betas(low, high, own) == betas


def test_markup_in_a_name_is_text(run, called, tmp_path):
    odd = run.rename(tmp_path / MARKUP)
    done = called(explore, str(odd))
    assert done.returncode == 0, done.stderr
    page = (odd / EXPLORER).read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page


def test_networks_of_ones_own_are_named_again_and_shown_if_their_layers_are_known(tmp_path, called, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    own = {"latent_dim": 3, "encoder": "my_nets:encoder", "decoder": "my_nets:decoder", "options": {"width": 8}}
    networks = (my_nets.encoder((1, 6, 6), 3, 8), my_nets.decoder((1, 6, 6), 3, 8))
    run = stored_run(
        tmp_path / "run",
        ImagePreparation((1, 6, 6)),
        {"model": "custom", "data": "images", "likelihood": "gaussian"},
        networks,
        model=own,
        data=small_images(tmp_path),
    )
    (run / "train.log").write_text(LOG)
    done = called(explore, str(run))
    assert done.returncode == 1
    assert "Add model.encoder=my_nets:encoder model.decoder=my_nets:decoder" in one_error_line(done)
    done = called(explore, str(run), "model.encoder=my_nets:encoder", "model.decoder=my_nets:decoder")
    assert done.returncode == 1
    assert "Residual" in one_error_line(done)  # a module of its own
    assert not (run / EXPLORER).exists()


def small_images(folder):
    """The values of `data` for twelve random images of 6 x 6."""
    np.savez(folder / "small.npz", images=np.random.default_rng(0).integers(0, 256, (12, 6, 6), dtype=np.uint8))
    return {"path": str(folder / "small.npz"), "validation_size": 2, "test_size": 4}


# ------------------------------------------------------------------------------------------------ what it refuses


def no_checkpoint(run):
    shutil.rmtree(run / "checkpoints")


def damaged_checkpoint(run):
    content = bytearray((run / "checkpoints" / "last").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "checkpoints" / "last").write_bytes(content)


def damaged_configuration(run):
    for name in (".hydra", "checkpoints"):
        (run / name / "config.yaml").write_text("beta: 4")


def failed(run):
    (run / SUMMARY).write_text(json.dumps(NOT_DONE))


def unfinished(run):
    (run / SUMMARY).unlink()


def damaged_summary(run):
    (run / SUMMARY).write_text("{")


def no_run(run):
    shutil.rmtree(run)
    run.mkdir()


@pytest.mark.parametrize(
    ("damage", "code", "line"),
    [
        (no_checkpoint, 5, "cannot read .*checkpoints/last"),
        (damaged_checkpoint, 5, "last is damaged|checksum"),
        (damaged_configuration, 1, "was edited or is damaged"),
        (failed, 1, "an explorer page needs a finished run, .*run failed, code 3: the loss is nan. Resume it"),
        (unfinished, 1, "an explorer page needs a finished run, .*run has not ended. Resume it"),
        (damaged_summary, 1, "an explorer page needs a finished run, .*run has not ended: summary.json is damaged"),
        (no_run, 1, "an explorer page needs a finished run, .*run has none"),
        (shutil.rmtree, 1, "name a folder of runs, got .*run, which is not a folder"),
    ],
)
def test_a_run_that_cannot_be_shown_is_one_line(run, called, damage, code, line):
    (run / EXPLORER).unlink()
    damage(run)
    done = called(explore, str(run))
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(line, one_error_line(done))
    assert not (run / EXPLORER).exists()


def test_a_sweep_in_which_nothing_is_done_is_one_line(sweep, called):
    for name in (ONE, EIGHT):
        failed(sweep / name)
    done = called(explore, str(sweep))
    assert done.returncode == 1
    assert one_error_line(done) == f"error: an explorer page needs a finished run, {sweep} has none"


def test_runs_of_different_data_are_one_line(run, tmp_path, called):
    other, stored = shutil.copytree(run, tmp_path / "other"), record.read(run)
    renamed(other, seed=9)
    for change, said in (
        ({"data_sha256": {"other.npz": "0" * 64}}, "the checksums of the files"),
        ({"preparation": ImagePreparation((1, 28, 28))}, "the preparation of the images"),
    ):
        record.write(other, replace(stored, **change))
        done = called(explore, str(run), str(other), "--output", str(tmp_path / "page.html"))
        assert done.returncode == 4
        assert one_error_line(done) == (
            f"error: the models of one page must have the same data, run and other differ in {said}. "
            "Make a page of each"
        )
    assert not (tmp_path / "page.html").exists()


def move_data(run, place):
    """As if the data of the run lay elsewhere."""
    stored = record.read(run)
    record.write(run, changed(stored, data=replace(stored.config.data, path=str(place))))


def test_data_that_have_moved_are_the_same(run, tmp_path, called):
    other = shutil.copytree(run, tmp_path / "second")
    renamed(other, seed=9)
    move_data(other, tmp_path / "moved.npz")  # which is not read: the first run has the images
    done = called(explore, str(run), str(other), "--output", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr


def test_images_that_are_gone_or_are_others_are_one_line(run, tmp_path, called):
    move_data(run, tmp_path / "gone.npz")
    done = called(explore, str(run))
    assert (done.returncode, "gone.npz" in one_error_line(done)) == (4, True)


def test_a_table_has_no_page(tmp_path, called):
    (tmp_path / "rows.csv").write_text("mass,age\n" + "".join(f"{k},{k * k % 7}\n" for k in range(30)))
    run = stored_run(
        tmp_path / "run",
        TablePreparation(("mass", "age"), (15.0, 3.0), (8.0, 2.0), None),
        {"data": "table", "likelihood": "gaussian_columns"},
        model={"latent_dim": 2, "hidden": [8]},
        data={"path": str(tmp_path / "rows.csv"), "validation_size": 5, "test_size": 5},
    )
    (run / "train.log").write_text(LOG)
    done = called(explore, str(run))
    assert done.returncode == 1
    assert "table" in one_error_line(done)
    assert not (run / EXPLORER).exists()


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--output", "folder.html"], 2, "--output must be a file, got folder.html, which is a folder"),
        (["--output", "page.txt"], 2, "--output must end in .html or .htm, got page.txt"),
        (["--output", "file/page.html"], 1, "file/page.html: Not a directory"),
        (["--checkpoint", "worst"], 2, "argument --checkpoint: invalid choice: 'worst'"),
        (["--beta", "x"], 2, "argument --beta: invalid float value: 'x'"),
        (["--beta", "2"], 1, "--beta is of runs with objective=multi_rate, got 2 for "),
        (["model.encoder=", "--output", "page.html"], 1, "only objective.target, model.encoder"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(few_run, tmp_path, called, monkeypatch, words, code, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("mine")
    done = called(explore, str(few_run), *words)
    assert done.returncode == code
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.html"]


def test_a_page_of_several_places_does_not_replace_that_of_a_sweep(sweep, few_run, called, monkeypatch):
    monkeypatch.chdir(sweep)
    done = called(explore, ".", str(few_run))
    assert done.returncode == 1
    assert "would replace the explorer.html of the working directory, which holds runs" in one_error_line(done)


def test_an_exported_model_has_no_test_images(tmp_path, called):
    (tmp_path / "model.safetensors").write_bytes(b"")
    done = called(explore, str(tmp_path))
    assert done.returncode == 1
    assert "is an exported model, which has none. Name the run that it came from" in one_error_line(done)


def test_a_full_disk_is_one_line_and_code_6_and_leaves_the_page_before(run, called):
    before, limits = (run / EXPLORER).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        done = called(explore, str(run))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 6, done.stderr
    assert one_error_line(done) == f"error: {run / EXPLORER}: File too large"
    assert (run / EXPLORER).read_bytes() == before
    assert not list(run.glob("*.tmp"))


# ------------------------------------------------------------------------------------------------ at the end


QUICK = ("tracking.tensorboard=false", "model.hidden=[16]", "model.latent_dim=2", "epochs=1")


def test_a_run_names_its_page_beside_what_else_to_look_at(few_run):
    last = (few_run / "train.log").read_text().splitlines()[-3:]
    assert [line.split()[0] for line in last] == ["run", "look", "explore"]
    assert last[2].endswith(f"run/{EXPLORER}")


def test_a_run_with_pages_switched_off_leaves_none(run, trained):
    (run / EXPLORER).unlink()
    done = trained(f"resume={run}", "epochs=5", "tracking.explorer=false")
    assert done.returncode == 0, done.stderr
    assert "explore" not in done.stdout
    assert not (run / EXPLORER).exists()


def test_a_table_ends_without_a_page_and_a_line_says_why(tmp_path, trained):
    (tmp_path / "rows.csv").write_text("mass,age\n" + "".join(f"{k},{k * k % 7}\n" for k in range(30)))
    data = ("data=table", f"data.path={tmp_path}/rows.csv", "data.validation_size=5", "data.test_size=5")
    done = trained(*data, *QUICK, directory=tmp_path / "run")
    assert done.returncode == 0, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("explore "))
    assert re.match("explore none: .*table", line)
    assert not (tmp_path / "run" / EXPLORER).exists()
    assert read_summary(tmp_path / "run")["status"] == "done"


def test_a_page_that_fails_ends_no_run(run, trained, monkeypatch):
    def refused(*_, **__):
        raise ValueError("a mistake\nof ours")

    monkeypatch.setattr(explorer, "explorer_page", refused)
    done = trained(f"resume={run}", "epochs=5")
    assert done.returncode == 0, done.stdout
    assert "explore none: the page failed, ValueError: a mistake of ours" in done.stdout.splitlines()
    assert not (run / EXPLORER).exists()  # it was of fewer epochs
    assert read_summary(run)["epochs"] == 5


def test_a_full_disk_at_the_page_is_code_6(run, trained, monkeypatch):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(explorer, "write_atomically", full)
    done = trained(f"resume={run}", "epochs=5")
    assert done.returncode == 6
    assert one_error_line(done).endswith(f"{EXPLORER}: No space left on device")
    assert read_summary(run)["status"] == "failed"


def test_a_signal_while_the_page_is_made_loses_nothing_and_a_continued_run_has_a_new_page(run, trained, monkeypatch):
    before = (run / EXPLORER).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(explorer, "explorer_page", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        stopped = trained(f"resume={run}", "epochs=5")
    assert stopped.returncode == 128 + signal.SIGTERM
    assert "all steps are saved" in stopped.stdout
    assert read_summary(run)["status"] == "unfinished"
    assert (run / EXPLORER).read_bytes() == before
    done = trained(f"resume={run}")
    assert done.returncode == 0, done.stdout
    assert f"explore {run / EXPLORER}" in done.stdout.splitlines()
    assert (run / EXPLORER).read_bytes() != before
    without = trained(f"resume={run}", "epochs=6", "tracking.explorer=false")
    assert without.returncode == 0, without.stdout
    assert not (run / EXPLORER).exists()  # it would show the model of before


def test_a_run_of_before_there_were_pages_leaves_one_when_it_is_continued(run):
    text = {name: (run / name / "config.yaml").read_text() for name in (".hydra", "checkpoints")}
    assert "explorer: true" in text["checkpoints"]
    body = record.safe_yaml(text["checkpoints"].encode())
    del body["tracking"]["explorer"]
    assert record.record_of(body).config.tracking.explorer is True


# ------------------------------------------------------------------------------------------------ of a sweep


def tasks_of(sweep, *, explorer):
    """The tasks of the command of a sweep, with or without a page."""
    stored = {name: record.read(sweep / name) for name in (ONE, EIGHT)}
    tracking = replace(stored[ONE].config.tracking, explorer=explorer)
    return [Task(sweep / name, changed(each, tracking=tracking)) for name, each in stored.items()]


def test_a_sweep_leaves_one_page_over_its_betas_and_its_members_none(sweep, few_images, trained):
    shutil.rmtree(sweep / EIGHT)
    done = trained("-m", *few_images, *MEMBER, "tracking.explorer=true", "beta=1,8", f"hydra.sweep.dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(sweep / EXPLORER)
    assert (sweep / EXPLORER).exists()
    assert not list(sweep.glob(f"*/{EXPLORER}"))
    assert f'<a href="{EXPLORER}">' in (sweep / "report.html").read_text()


def test_a_sweep_without_pages_leaves_none_and_its_report_links_none(sweep, capsys):
    (sweep / "report.html").unlink()
    assert report_members(sweep, tasks_of(sweep, explorer=False)) == 0
    assert EXPLORER not in capsys.readouterr().out
    assert not (sweep / EXPLORER).exists()
    assert EXPLORER not in (sweep / "report.html").read_text()


def test_a_page_that_cannot_be_made_is_a_line_of_the_sweep_and_changes_nothing_else(sweep, capsys):
    tasks = tasks_of(sweep, explorer=True)
    (sweep / ONE / "checkpoints" / "last").unlink()
    assert report_members(sweep, tasks) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^explore none: .*checkpoints/last", out, re.MULTILINE)
    assert err == ""
    assert (sweep / "report.html").exists()
    assert not (sweep / EXPLORER).exists()


def test_a_page_that_cannot_be_written_is_a_line_of_the_sweep_and_changes_nothing_else(sweep, capsys, monkeypatch):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("vae.app.sweep.write_atomically", full)
    assert report_members(sweep, tasks_of(sweep, explorer=True)) == 0
    assert "error: the explorer page could not be written: " in capsys.readouterr().err
    assert (sweep / "report.html").exists()


def test_the_report_of_a_run_links_its_page(run, called):
    assert called(report, str(run)).returncode == 0
    assert f'<a href="{EXPLORER}">{EXPLORER}</a>' in (run / "report.html").read_text()
