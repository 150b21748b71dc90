"""A run that is killed while it concludes, just before or after it says that it is done, lacks nothing in the end."""

import json
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from command import ROOT, SMALL, run_train
from results import logged, result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from vae import stored
from vae.run_directory import METRICS, SUMMARY
from vae.tracking import Tracker

KILLED = """
import os, runpy, signal, sys
from vae import conclusion
moment, usual = sys.argv[1], conclusion.write_json

def killed(path, content):
    done = path.name == conclusion.SUMMARY and content["status"] == "done"
    if done and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    usual(path, content)
    if done:
        os.kill(os.getpid(), signal.SIGKILL)

conclusion.write_json = killed
sys.argv = ["train.py", *sys.argv[2:]]
runpy.run_path("train.py", run_name="__main__")
"""


def events(run):
    """The steps of each scalar in the event files, and the tags of the HParams row."""
    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    scalars = {tag: [event.step for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}
    return scalars, {tag for tag in accumulator.summary_metadata if tag.startswith("_hparams_/")}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_killed_while_it_concludes_is_whole_after_it_was_continued(tmp_path, finished_run, moment):
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, moment, "beta=4", *SMALL, f"hydra.run.dir={run}"]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -9, killed.stderr
    assert (run / SUMMARY).exists() == (moment == "after")
    if moment == "after":
        assert events(run) == events(finished_run)  # nothing is missing where a run is done
    done = run_train(f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert ("has its 2 epochs" in done.stdout) == (moment == "after")
    assert result(run) == result(finished_run)
    assert logged(run) == logged(finished_run)
    assert events(run) == events(finished_run)
    assert events(run)[1] == {"_hparams_/session_start_info", "_hparams_/session_end_info"}


def test_a_run_that_ends_sooner_than_it_was_asked_to_first_leaves_all_that_a_run_leaves(tmp_path, few_run):
    run = shutil.copytree(few_run, tmp_path / "run")
    (run / SUMMARY).unlink()
    (run / "projector_config.pbtxt").unlink()
    shutil.rmtree(run / "projector")
    (run / "figures/rates_in_training.png").unlink()
    stored.write(run, stored.read(run).changed(epochs=7))  # killed in its fifth epoch
    done = run_train(f"resume={run}", "epochs=4")
    assert done.returncode == 0, done.stderr
    assert files(run) == files(few_run)
    assert result(run) == result(few_run)


def files(run):
    """All files of a run but TensorBoard's, which are named by the time."""
    paths = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    return {path for path in paths if not path.startswith("events.out.tfevents.")}


@pytest.mark.parametrize("tensorboard", [True, False])
def test_a_conclusion_that_comes_again_replaces_the_one_before_it(tmp_path, tensorboard):
    for value in (1.0, 2.0, 3.0):
        with closing(Tracker(tmp_path, 10 if value > 1 else 0, tensorboard=tensorboard)) as tracker:
            if value == 1:
                tracker.scalars({"validation/elbo": 0.5}, 10)
            tracker.begin_conclusion(10)
            tracker.scalars({"disentanglement/mig": value}, 10)
            tracker.scalars({"test/elbo": value}, 10)
    assert [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()] == [
        {"step": 10, "validation/elbo": 0.5},
        {"step": 10, "disentanglement/mig": 3.0},
        {"step": 10, "test/elbo": 3.0},
    ]
    shown, _ = events(tmp_path)
    tags = ("validation/elbo", "disentanglement/mig", "test/elbo") if tensorboard else ()
    assert shown == {tag: [10] for tag in tags}


def test_the_conclusion_of_fewer_epochs_stays(tmp_path):
    for first, last in ((0, 10), (10, 20)):
        with closing(Tracker(tmp_path, first, tensorboard=True)) as tracker:
            tracker.begin_conclusion(last)
            tracker.scalars({"test/elbo": float(last)}, last)
    shown, _ = events(tmp_path)
    assert shown == {"test/elbo": [10, 20]}


def test_a_reader_that_has_seen_an_unfinished_conclusion_goes_on_to_the_next(tmp_path):
    def conclude(first, last):
        with closing(Tracker(tmp_path, first, tensorboard=True)) as tracker:
            tracker.scalars({"train/loss": float(last)}, last)
            tracker.begin_conclusion(last)
            tracker.scalars({"test/elbo": float(last)}, last)

    conclude(0, 10)
    reader = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    reader.Reload()
    with closing(Tracker(tmp_path, 10, tensorboard=True)) as tracker:  # its summary was never written
        tracker.begin_conclusion(10)
        tracker.scalars({"test/elbo": 10.0}, 10)
    conclude(10, 20)
    reader.Reload()
    assert [event.step for event in reader.Scalars("train/loss")] == [10, 20]
    assert [event.step for event in reader.Scalars("test/elbo")] == [10, 10, 20]  # it has seen both, and one is true
    shown, _ = events(tmp_path)
    assert shown == {"train/loss": [10, 20], "test/elbo": [10, 20]}


def test_the_hparams_row_is_that_of_the_last_conclusion(tmp_path):
    for first, last in ((0, 10), (10, 20)):
        with closing(Tracker(tmp_path, first, tensorboard=True)) as tracker:
            tracker.begin_conclusion(last)
            tracker.scalars({"test/elbo": float(last)}, last)
            tracker.hyperparameters({"epochs": float(last)}, {"test/elbo": float(last)}, last)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    content = accumulator.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert HParamsPluginData.FromString(content).session_start_info.hparams["epochs"].number_value == 20
    assert events(tmp_path)[0] == {"test/elbo": [10, 20]}
