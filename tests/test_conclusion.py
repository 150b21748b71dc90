"""How a run ends: what it says of itself, and that one which is killed while it concludes lacks nothing in the end."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from command import QUIET, ROOT, SMALL, run, run_train
from configured import changed
from results import logged, result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from vae.data.images import ImageSet
from vae.run import record as stored
from vae.run.names import METRICS, SUMMARY
from vae.run.tracking import Tracker
from vae.training.conclusion import scores_line, scores_text, write_codes

KILLED = """
import os, runpy, signal, sys
from vae.training import conclusion
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
    stored.write(run, changed(stored.read(run), epochs=7))  # killed in its fifth epoch
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


def test_a_damaged_event_file_is_kept_up_to_its_damage_and_ends_no_run(tmp_path, caplog):
    with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
        tracker.scalars({"train/loss": 1.0}, 10)
        tracker.begin_conclusion(10)
        tracker.scalars({"test/elbo": 1.0}, 10)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    whole = path.read_bytes()
    for end in (whole[:-3], whole[:-20], whole + b"\xff" * 40):  # killed while writing, and a damaged disk
        path.write_bytes(end)
        with closing(Tracker(tmp_path, 10, tensorboard=True)) as tracker:
            tracker.begin_conclusion(10)
            tracker.hyperparameters({"epochs": 1.0}, {"test/elbo": 1.0}, 10)
        assert events(tmp_path)[0] == {"train/loss": [10]}
    assert not caplog.records


# What a run says of itself

WEIGHTS = {  # of the rate, after 40 steps
    "total_correlation": (("beta=6", "objective.stratified=true"), 1.0),
    "factor": (("beta=2", "objective.hidden=[8]", "beta_warmup_steps=400"), 2 * 39 / 400),
    "target_rate": (("objective.rate=5",), None),  # as the controller has it
    "target_distortion": (("objective.distortion=200",), None),
    "multi_rate": (("beta=4",), 4.0),
}


@pytest.mark.parametrize("objective", WEIGHTS)
def test_one_loss_is_validated_tested_printed_and_found_again(tmp_path, few_images, objective):
    more, weight = WEIGHTS[objective]
    small = ("model.hidden=[16]", "model.latent_dim=2", *QUIET, "tracking.log_every_steps=10")
    done = run_train(*few_images, *small, f"objective={objective}", *more, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / SUMMARY).read_text())
    validation = [line for line in logged(tmp_path / "run") if "validation/loss" in line][-1]
    parts = {
        "test": summary["test"],
        "train": summary["train"],
        "validation": {name.removeprefix("validation/"): value for name, value in validation.items()},
    }
    for numbers in parts.values():
        expected = numbers["distortion"] + numbers["loss_weight"] * numbers["rate"]
        assert numbers["loss"] == pytest.approx(expected, rel=1e-6)
    (used,) = {numbers["loss_weight"] for numbers in parts.values()}
    assert weight is None or used == pytest.approx(weight)
    assert f"loss {summary['test']['loss']:.2f} = distortion + {used:.4g} * rate" in done.stdout
    assert ("warning: beta is 0.195 at the last step, not 2" in done.stdout + done.stderr) == (objective == "factor")
    found = run("scripts/evaluate.py", str(tmp_path / "run"))
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["loss_weight"] == used


UNFINISHED = {
    "beta": (("beta=4", "beta_warmup_steps=100000"), 4 * 39 / 100_000, 4.0, 100_000),
    "capacity": (("objective=capacity", "objective.steps=390", "objective.c_min=0", "objective.c_max=20"), 2, 20, 390),
    "learning_rate": (("learning_rate_epochs=[0,10]", "learning_rate_factors=[1,0]"), 6.1e-4, 0.0, 100),
}


@pytest.mark.parametrize("case", UNFINISHED)
def test_a_schedule_that_training_ends_before_is_said_at_the_start_at_the_end_and_in_the_summary(
    tmp_path, few_images, case
):
    words, reached, end, steps = UNFINISHED[case]
    small = ("model.hidden=[16]", "model.latent_dim=2", *QUIET)
    done = run_train(*few_images, *small, *words, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    said = [line for line in (tmp_path / "run/train.log").read_text().splitlines() if line.startswith("warning: ")]
    name = case if case in ("capacity", "learning_rate") else "beta"
    assert len(said) == 2
    for line in said:
        assert f"warning: {name} is {reached:.3g} at the last step, not {end:.3g}" in line
        assert f"its schedule ends at step {steps:,}, training at step 40" in line
    assert said[0].endswith("Train longer, shorten it, or continue the run later")
    (found,) = json.loads((tmp_path / "run" / SUMMARY).read_text())["unfinished"].items()
    assert found == (name, {"reached": pytest.approx(reached), "end": end, "steps": 40, "schedule_steps": steps})


def test_a_run_says_how_its_loss_still_changed_and_what_it_can_be_compared_with(few_run):
    summary = json.loads((few_run / SUMMARY).read_text())
    assert summary["unfinished"] == {}
    losses = [line["validation/loss"] for line in logged(few_run) if "validation/loss" in line]
    assert len(losses) == 4
    assert summary["loss_change_per_epoch"] == pytest.approx(losses[-1] - losses[-2], rel=1e-6)
    conditions = summary["conditions"]
    assert (conditions["model"], conditions["model.latent_dim"], conditions["batch_size"]) == ("mlp", 2, 250)
    assert {"beta", "seed", "epochs", "threads", "tracking.tensorboard"}.isdisjoint(conditions)
    log = (few_run / "train.log").read_text()
    assert re.search(
        r"\(100 samples of refitted posteriors, 500 images; still rose by \d\.\d\d from 50 samples\)", log
    )


def test_a_continuous_factor_is_binned_and_words_without_levels_are_left_out_and_that_is_said(tmp_path):
    generator = np.random.default_rng(0)
    factors = {"shape": np.arange(300) % 3, "angle": generator.uniform(size=300)}
    factors["file"] = np.array([f"file {number}" for number in range(300)])
    images = (80 * factors["shape"])[:, None, None] + generator.integers(60, size=(300, 8, 8))
    path = tmp_path / "own.npz"
    np.savez(path, images=images.astype(np.uint8), factors=np.stack([*factors.values()], 1), factor_names=[*factors])
    words = ("data=images", f"data.path={path}", "data.validation_size=50", "data.test_size=50", "epochs=1")
    small = ("model.hidden=[16]", "model.latent_dim=2", "data.binarisation=none", "batch_size=50")
    done = run_train(*words, *small, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    few = "1.0 images each, fewer than 10"
    angle, file = f"200 values, {few}: 10 bins", f"200 different words, {few}"
    assert "scores of disentanglement: 2 factors, less than a minute of a core; disentanglement=false" in done.stdout
    assert f"binned for the scores: angle ({angle})" in done.stdout
    assert f"not scored: file ({file})" in done.stdout
    summary = json.loads((tmp_path / "run" / SUMMARY).read_text())
    assert summary["loss_change_per_epoch"] is None  # after one epoch
    found = summary["disentanglement"]
    assert found["factors"] == ["shape", "angle"]
    assert (found["binned"], found["left_out"]) == ({"angle": angle}, {"file": file})
    again = run("scripts/evaluate.py", str(tmp_path / "run"))
    assert again.returncode == 0, again.stderr
    report = run("scripts/report.py", str(tmp_path / "run"))
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"Cut into bins of equal counts: angle ({angle})." in page
    assert f"Not scored: file ({file})." in page


def test_scores_are_printed_beside_chance():
    scores = {"mig": 0.3, "mig_sampled": 0.25, "mig_shuffled": 0.001, "mig_chen": 0.2, "mig_chen_shuffled": 0.01}
    assert scores_line(scores) == "MIG 0.300 (chance 0.001), of posterior means"
    assert scores_line({}) == "none, for want of factors, of posterior means"
    assert scores_text(scores).splitlines() == [
        "| score | posterior means | samples | shuffled means: chance |",
        "|---|---:|---:|---:|",
        "| mig | 0.300 | 0.250 | 0.001 |",
        "| mig_chen | 0.200 |  | 0.010 |",
    ]


def test_the_codes_have_the_label_and_the_file_of_each_test_image(tmp_path):
    pixels = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 1, 2, 2)
    images = ImageSet(pixels, torch.tensor([1, 0, 1]), redrawn=False, names=("a/1.png", "b/2.png", "a/3.png"))
    write_codes(tmp_path, images.first(2), ("cat", "dog"), torch.ones(2, 4), torch.zeros(2, 4))
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as codes:
        assert codes["files"].tolist() == ["a/1.png", "b/2.png"]
        assert codes["label_names"][codes["labels"]].tolist() == ["dog", "cat"]
        assert codes["mean"].shape == codes["logvar"].shape == (2, 4)
    write_codes(
        tmp_path, ImageSet(pixels, torch.zeros(3).long(), redrawn=False), None, torch.ones(3, 4), torch.ones(3, 4)
    )
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as codes:
        assert set(codes) == {"mean", "logvar", "labels"}
