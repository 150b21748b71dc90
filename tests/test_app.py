"""Whole runs by the real command line, on real MNIST."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command import QUIET, ROOT, SMALL, one_error_line, run, run_train
from configured import record_of

from vae.app import main as app
from vae.run import checkpoint
from vae.run.directory import RunExistsError, locked
from vae.run.record import Task

pytestmark = pytest.mark.usefixtures("mnist_root")

QUICK = (*SMALL, *QUIET)


def summary(directory):
    return json.loads((directory / "summary.json").read_text())


def weights(directory):
    return checkpoint.load(directory / "checkpoints" / "last")["vae"]


def test_a_run_leaves_what_the_readme_says(finished_run):
    names = {path.name for path in finished_run.iterdir() if not path.name.startswith("events.out.tfevents.")}
    logs = {".hydra", "train.log", "run.json", "metrics.jsonl", "summary.json", "projector_config.pbtxt"}
    assert names == logs | {"checkpoints", "figures", "projector", "codes.npz", "explorer.html", ".lock"}
    assert {p.name for p in (finished_run / "checkpoints").iterdir()} == {"last", "previous", "best", "config.yaml"}
    pictures = {p.name for p in (finished_run / "figures").iterdir()}
    drawn = "reconstructions samples traversals rate_per_latent rates_in_training correlation latent_scatter manifold"
    assert pictures == {f"{name}.png" for name in drawn.split()}
    origin = json.loads((finished_run / "run.json").read_text())
    assert origin["command"][2] == "beta=4"
    assert torch.__version__.startswith(origin["versions"]["torch"])
    assert len(origin["data_sha256"]) == 4


def test_the_summary_holds_the_numbers_of_the_test(finished_run):
    found = summary(finished_run)
    assert (found["status"], found["beta"], found["seed"]) == ("done", 4.0, 0)
    assert (found["epochs"], found["steps"]) == (2, 200)
    assert found["normalised_beta"] == pytest.approx(4 * 2 / 784)
    test = found["test"]
    assert test["images"] == 10_000
    assert test["elbo"] == pytest.approx(-test["distortion"] - test["rate"])
    assert test["loss"] == pytest.approx(test["distortion"] + 4 * test["rate"])
    assert sum(test["rate_per_latent"]) == pytest.approx(test["rate"], rel=1e-5)
    assert test["importance_weighted_bound"]["bound"] > test["elbo"]
    # Two epochs do better than a decoder that ignores z, and worse than the best of models.
    assert 85 < -test["elbo"] < test["baseline_distortion"] < 210


def test_beta_on_the_command_line_is_the_factor_of_the_rate(finished_run):
    lines = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    training = [line for line in lines if "train/loss" in line]
    assert len(training) == 10
    for line in training:
        factor = (line["train/loss"] - line["train/distortion"]) / line["train/rate"]
        assert factor == pytest.approx(4.0, rel=1e-3)


def test_the_log_says_what_was_trained_and_where_to_look(finished_run):
    log = (finished_run / "train.log").read_text()
    assert (
        "data   MNIST, binarisation dynamic; 50 000 / 10 000 / 10 000 images (train / validation / test) of 1x28x28"
        in log
    )
    assert "beta   4, normalised beta*M/N 0.0102" in log
    assert re.search(r"^epoch 2/2  train elbo .*  validation elbo .* nats$", log, re.M)
    assert f"run    {finished_run}" in log
    assert "look   tensorboard --logdir" in log


@pytest.mark.parametrize(
    "options",
    [
        ["model=conv", "model.channels=4", "model.width=16", "data.binarisation=static"],
        ["likelihood=gaussian", "likelihood.learned=true", "data.binarisation=none", "model.latent_dim=1"],
        ["precision=bf16", "gradient_norm_limit=10", "early_stopping_epochs=3", "beta_warmup_steps=50"],
        ["experiment=latent2d", "threads=1", "data.validation_size=0", "logvar_min=-4", "logvar_max=4"],
    ],
    ids=["conv", "gaussian", "bf16", "latent2d"],
)
def test_every_part_can_be_chosen(tmp_path, few_images, options, trained):
    done = trained(*few_images, "epochs=1", *options, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    found = summary(tmp_path / "run")
    assert found["status"] == "done"
    assert found["test"]["rate"] >= 0


OBJECTIVES = {
    "capacity": ["objective.steps=20", "precision=bf16"],
    "dip": ["objective.covariance=means", "precision=bf16"],
    "factor": ["objective.hidden=[50,50]", "beta=2", "precision=bf16"],
    "free_bits": ["beta=4", "beta_warmup_steps=10"],
    "importance_weighted": ["objective.samples=3", "gradient_norm_limit=100"],
    "multi_rate": ["beta=2", "objective.beta_min=0.5", "precision=bf16"],
    "target_distortion": ["objective.distortion=200"],
    "target_rate": ["objective.rate=8"],
    "total_correlation": ["beta=4", "objective.stratified=true", "precision=bf16"],
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_can_be_chosen(tmp_path, few_images, trained, objective):
    found = run_objective(trained, tmp_path / "run", objective, *few_images)
    assert f"loss   {objective}, " in (tmp_path / "run" / "train.log").read_text()
    assert (found["status"], found["objective"]) == ("done", objective)
    assert -found["test"]["elbo"] < 260


def test_a_run_with_a_discriminator_continues_with_it(tmp_path, few_images, trained):
    run_objective(trained, tmp_path / "whole", "factor", *few_images)
    run_objective(trained, tmp_path / "parts", "factor", *few_images, "epochs=2")
    done = trained(f"resume={tmp_path / 'parts'}", "epochs=4")
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "parts")["test"] == summary(tmp_path / "whole")["test"]
    learnt = [checkpoint.load(tmp_path / run / "checkpoints" / "last")["objective"] for run in ("whole", "parts")]
    assert all(torch.equal(v, learnt[1]["discriminator"][k]) for k, v in learnt[0]["discriminator"].items())


def run_objective(trained, directory, objective, *words):
    small = ("model.hidden=[16]", "model.latent_dim=4", *QUIET)
    done = trained(f"objective={objective}", *OBJECTIVES[objective], *small, *words, directory=directory)
    assert done.returncode == 0, done.stderr
    return summary(directory)


def test_a_compiled_run_in_bf16_learns_the_same(tmp_path, few_words, few_run):
    words = (*few_words, "compile=true", "precision=bf16", *QUIET)
    done = run_train(*words, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "run").keys() == weights(few_run).keys()
    assert summary(tmp_path / "run")["test"]["elbo"] == pytest.approx(summary(few_run)["test"]["elbo"], rel=0.001)


def test_a_finished_run_continues_as_one_that_was_longer_from_the_start(tmp_path, few_words, few_run, trained):
    short = tmp_path / "short=1"
    for words in (["epochs=1"], [f"resume={short}", "epochs=4"]):
        first = [*few_words, *QUIET] if words == ["epochs=1"] else []
        done = trained(*first, *words, directory=short if first else None)
        assert done.returncode == 0, done.stderr
    assert "continued at step 10" in (short / "train.log").read_text()
    assert summary(short)["test"] == summary(few_run)["test"]
    assert all(torch.equal(value, weights(few_run)[name]) for name, value in weights(short).items())
    assert len(json.loads((short / "run.json").read_text())["continued"]) == 1


def test_a_run_that_is_continued_has_no_summary_of_fewer_epochs_until_it_ends(tmp_path, few_run, trained, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(_):
        raise Killed

    run = shutil.copytree(few_run, tmp_path / "run")
    monkeypatch.setattr(app, "fit", killed)
    with pytest.raises(Killed, match=r"^$"):
        trained(f"resume={run}", "epochs=9")
    assert not (run / "summary.json").exists()


def test_a_run_that_has_ended_is_left_as_it_is(tmp_path, few_run, trained):
    run = shutil.copytree(few_run, tmp_path / "run")
    done = trained(f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert "has its 4 epochs" in done.stdout + done.stderr
    for name in ("metrics.jsonl", "summary.json", "checkpoints/last"):
        assert (run / name).read_bytes() == (few_run / name).read_bytes()


def test_a_run_does_not_go_on_with_other_images(tmp_path, few_images, trained):
    run = tmp_path / "run"
    images = np.load(few_images[1].removeprefix("data.path="))["images"]
    np.savez(tmp_path / "own.npz", images=images)
    words = (*few_images, f"data.path={tmp_path}/own.npz", "epochs=1", *QUIET)
    assert trained(*words, directory=run).returncode == 0
    before = {name: (run / name).read_bytes() for name in ("summary.json", "metrics.jsonl", "run.json")}
    np.savez(tmp_path / "own.npz", images=images[::-1])
    done = trained(f"resume={run}", "epochs=2")
    assert done.returncode == 4
    assert "a run goes on with the data it was trained on, but own.npz is not what it was" in one_error_line(done)
    assert {name: (run / name).read_bytes() for name in before} == before


def run_at(step, whole, directory, **changed):
    """A copy of a whole run as it would be if it had been stopped at this step."""
    run = shutil.copytree(whole, directory)
    state = checkpoint.load(run / "checkpoints" / "last")
    checkpoint.save(run / "checkpoints" / "last", state | {"step": step} | changed)
    return run


def test_a_run_that_stopped_early_is_left_as_it_is(tmp_path, few_run, trained):
    run = run_at(40, few_run, tmp_path / "run", epochs_without_better=3)
    done = trained(f"resume={run}", "early_stopping_epochs=3", "epochs=7")
    assert done.returncode == 0, done.stderr
    assert "stopped early. Set early_stopping_epochs=null to go on" in done.stdout + done.stderr
    assert (run / "metrics.jsonl").read_bytes() == (few_run / "metrics.jsonl").read_bytes()


def test_an_epoch_that_has_begun_is_made_to_its_end_however_few_are_asked_for(tmp_path, few_run, trained):
    run = run_at(35, few_run, tmp_path / "run")
    (run / "summary.json").unlink()
    for said in ("continued at step 35", "has its 4 epochs"):  # and the second time nothing is made
        done = trained(f"resume={run}", "epochs=1")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr
        assert (summary(run)["epochs"], summary(run)["steps"]) == (4, 40)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGUSR1, 138)])
def test_a_signal_saves_and_the_run_continues_to_the_same_end(tmp_path, finished_run, number, code, trained):
    directory = tmp_path / "run"
    words = ["beta=4", *QUICK, f"hydra.run.dir={directory}"]
    process = subprocess.Popen([sys.executable, "train.py", *words], cwd=ROOT, stderr=subprocess.PIPE)
    metrics = directory / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (directory / "checkpoints" / "last").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # the first epoch is over, the second has begun
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    stopped = checkpoint.load(directory / "checkpoints" / "last")["step"]
    assert 100 <= stopped < 200
    done = trained(f"resume={directory}")
    assert done.returncode == 0, done.stderr
    assert summary(directory)["test"] == summary(finished_run)["test"]
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("where", "saved"),
    [
        ("vae.data.own.read_own", None),
        ("vae.training.loop.encode_images", 9),
        ("vae.training.monitoring.draw_figures", 39),
        ("vae.training.conclusion.final_numbers", 40),
    ],
)
def test_a_signal_where_no_step_is_made_stops_at_once_and_the_run_continues(
    tmp_path, few_words, few_run, trained, where, saved
):
    run = tmp_path / "run"

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal waited")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, interrupted)
        assert trained(*few_words, directory=run).returncode == 143
    last = run / "checkpoints" / "last"
    assert (checkpoint.load(last)["step"] if last.exists() else None) == saved
    again = trained(f"resume={run}") if saved else trained(*few_words, directory=run)
    assert again.returncode == 0, again.stderr
    assert summary(run)["test"] == summary(few_run)["test"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [(line["step"], tag) for line in lines for tag in line if tag != "step"]
    assert len(logged) == len(set(logged))  # nothing twice


def test_a_run_that_is_trained_by_another_process_is_left_to_it(tmp_path, caplog):
    refused = pytest.raises(RunExistsError, match="is being trained by another process")
    with locked(tmp_path / "run"), refused, locked(tmp_path / "run", timeout_seconds=0.1):
        pass
    assert len(caplog.messages) == 1
    assert f"{tmp_path}/run is being trained by another process" in caplog.messages[0]
    with locked(tmp_path / "run"):
        pass
    assert len(caplog.messages) == 1


def test_an_error_that_nobody_expects_is_shown_with_its_traceback(tmp_path, monkeypatch, caplog):
    task = Task(tmp_path / "run", record_of(beta=4))
    monkeypatch.setattr(app, "train", lambda *_: 1 / 0)
    assert app.run(task) == 1
    assert caplog.records[-1].exc_info is not None
    assert (summary(tmp_path / "run")["status"], summary(tmp_path / "run")["error"]) == ("failed", "division by zero")


def test_a_signal_does_not_wait_for_a_run_that_another_process_trains(tmp_path):
    directory = tmp_path / "run"
    with locked(directory):
        words = [sys.executable, "train.py", *QUICK, f"hydra.run.dir={directory}"]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert "Waiting up to 30 s" in process.stdout.readline()
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert time.monotonic() - asked < 10
    assert "stop   before this process did anything" in process.communicate()[0]


@pytest.mark.parametrize("removed", [(), ("last", "previous", "best")], ids=["whole", "without checkpoints"])
def test_a_directory_that_holds_a_run_is_not_used_again(tmp_path, few_run, removed, trained):
    run = shutil.copytree(few_run, tmp_path / "run")
    for name in removed:
        (run / "checkpoints" / name).unlink()
    done = trained("beta=8", *QUICK, directory=run)
    assert done.returncode == 1
    assert "already holds a run" in done.stdout + done.stderr
    for name in ("metrics.jsonl", "summary.json", "run.json", ".hydra/config.yaml"):
        assert (run / name).read_bytes() == (few_run / name).read_bytes()
    if not removed:
        assert (run / "checkpoints/last").read_bytes() == (few_run / "checkpoints/last").read_bytes()


def test_a_run_that_ended_before_it_saved_anything_is_started_again_by_the_same_command(tmp_path, few_images, trained):
    run = tmp_path / "run"
    failed = trained(*few_images, f"data.path={tmp_path}/late.npz", directory=run)
    assert failed.returncode == 4
    done = trained(*few_images, *QUIET, directory=run)
    assert done.returncode == 0, done.stdout
    assert summary(run)["status"] == "done"


def test_missing_data_is_one_line_and_code_4(tmp_path, trained):
    done = trained(*QUICK, f"data.root={tmp_path}/none", "data.download=false", directory=tmp_path / "run")
    assert done.returncode == 4
    line = one_error_line(done)
    assert "train-images-idx3-ubyte" in line
    assert f"{tmp_path}/none/MNIST/raw" in line
    assert summary(tmp_path / "run")["status"] == "failed"


def test_a_loss_that_diverges_is_one_line_and_code_3(tmp_path, few_images, trained):
    wild = ("learning_rate=10", "model.hidden=[64,64,64,64,64,64]", "logvar_max=80", "beta=1e6", "epochs=30")
    done = trained(*few_images, *wild, directory=tmp_path / "run")
    assert done.returncode == 3, done.stderr
    assert "at step" in one_error_line(done)
    assert (summary(tmp_path / "run")["status"], summary(tmp_path / "run")["code"]) == ("failed", 3)


def test_a_damaged_checkpoint_is_one_line_and_code_5(tmp_path, few_run, trained):
    run = shutil.copytree(few_run, tmp_path / "run")
    for name in ("last", "previous"):
        checkpointed = run / "checkpoints" / name
        checkpointed.write_bytes(checkpointed.read_bytes()[:-1])
    done = trained(f"resume={run}", "epochs=5")
    assert done.returncode == 5
    assert "is damaged: its length is wrong" in one_error_line(done)
    assert summary(run) == summary(few_run)  # it is as done as before


def test_what_a_kill_left_half_written_is_removed_by_the_next_start(tmp_path, few_run, trained):
    run = shutil.copytree(few_run, tmp_path / "run")
    left = [run / f"{name}.0123456789abcdef.tmp" for name in ("summary.json", "checkpoints/last")]
    mine = run / "mine.tmp"
    for path in (*left, mine):
        path.write_bytes(b"half")
    done = trained(f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in left)
    assert mine.exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda last: os.truncate(last, 1_000)], ids=["missing", "damaged"])
def test_without_its_last_checkpoint_a_run_goes_on_from_the_one_before_it(tmp_path, few_run, trained, damage):
    run = shutil.copytree(few_run, tmp_path / "run")
    damage(run / "checkpoints" / "last")
    done = trained(f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: ") == 1
    assert all(torch.equal(weights(few_run)[name], value) for name, value in weights(run).items())
    assert summary(run)["test"] == summary(few_run)["test"]


def test_where_beta_still_warms_up_at_the_end_no_epoch_was_the_best(tmp_path, few_images, trained):
    done = trained(*few_images, "beta_warmup_steps=1000", *QUIET, directory=tmp_path / "run")
    assert done.returncode == 0, done.stdout
    assert summary(tmp_path / "run")["best"] == {"epoch": None, "validation_elbo": None}
    best = run("scripts/evaluate.py", str(tmp_path / "run"), "--checkpoint", "best")
    assert best.returncode == 5
    assert "was still warming up. Take its last checkpoint" in one_error_line(best)
