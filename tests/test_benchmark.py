"""What `scripts/benchmark.py` counts, trains and prints. No test depends on how long something takes."""

import doctest
import json
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from math import sqrt

import pytest
import torch
from command import ROOT, one_error_line, run

import benchmark
from benchmarks import beside, epochs, growth, logging_cost, ours, plan, rows, steps, sweeps, turns, whole_runs
from benchmarks.apart import Apart
from benchmarks.processes import python, run_to_end, seconds_to_text
from benchmarks.rivals import RIVALS, TUTORIAL, Rival, load_loop
from benchmarks.rows import Absent, Row, line

pytestmark = pytest.mark.usefixtures("mnist_root")

FEW = 1_280
SHORTEST = replace(plan.QUICK, rounds=1, images=FEW, steps=1, logged_epochs=1, nll_images=5)


@pytest.fixture(scope="module")
def grey_run(mnist_root):  # noqa: ARG001
    with ours.Runs() as started:
        yield started.of_words(ours.GREY, FEW)


# The arithmetic


def test_a_step_has_three_products_a_layer_but_for_the_gradient_of_the_images(grey_run):
    weights = 784 * 400 + 400 * 40 + 20 * 400 + 400 * 784
    assert steps.step_flops(grey_run) == 2 * 128 * (3 * weights - 784 * 400)


@pytest.mark.parametrize(
    ("limits", "met"), [({"at_least": 2}, True), ({"at_least": 3}, False), ({"at_most": 2}, False), ({}, None)]
)
def test_a_row_says_whether_its_limit_is_met(limits, met):
    row = Row("epoch", 2.5, "x", **limits)
    assert row.as_json()["met"] is met
    assert ("MISSED" in line(row)) is (met is False)


@pytest.mark.parametrize("module", [rows, turns])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_a_share_is_in_percent():
    share = turns.ratio("share", [1.0], [4.0], percent=True)
    assert (share.value, share.unit) == (25.0, "%")


def test_every_call_has_its_turn_after_the_rehearsals():
    calls = []
    seconds = turns.take_turns({name: partial(calls.append, name) for name in "ab"}, rounds=2, rehearsals=1)
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_our_epochs_are_compared_with_each_loop_that_was_there():
    seconds = {TUTORIAL.name: [6.0], f"pythae{epochs.LENT}": [3.0], epochs.FP32: [2.0], epochs.COMPILED: [1.5]}
    assert {(row.name, row.value, row.at_least) for row in epochs.ratios(seconds)} == {
        (f"epoch, {epochs.FP32}: times as fast as tutorial", 3.0, 2.0),
        (f"epoch, {epochs.FP32}: times as fast as pythae{epochs.LENT}", 1.5, 1.5),
        (f"epoch, {epochs.COMPILED}: times as fast as tutorial", 4.0, 2.5),
    }


def test_a_stopwatch_counts_a_nested_call_once():
    watch = logging_cost.Stopwatch()
    assert watch.timed(watch.timed(lambda: 3))() == 3
    assert watch.calls == 1


# The loops


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_a_rival_trains_the_same_network_on_the_same_images_to_a_like_loss(rival, grey_run, tmp_path, mnist_root):
    pytest.importorskip(rival.package)
    images = grey_run.splits.train.batch(torch.arange(FEW), torch.Generator())
    loop = load_loop(rival, images, mnist_root, tmp_path)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (loop.model, grey_run.state.vae)]
    assert sizes == [652_824] * 2
    losses = [loop.epoch() for _ in range(3)]
    assert 500 > losses[0] > losses[1] > losses[2] > 100
    with ours.Runs() as started:
        run = started.of_words(ours.GREY, FEW)
        our_losses = [ours.epoch(run) for _ in range(3)]
    # Our decoder starts at the mean image, which puts our loss some nats below for the first epochs.
    assert our_losses[2] < losses[2] < our_losses[2] + 60


@pytest.mark.parametrize("layers", [1, 2])
def test_pythaes_own_training_of_a_published_number_runs(layers):
    pytest.importorskip("pythae")
    done = run("scripts/pythae_static.py", f"--layers={layers}", "--epochs=1", "--images=10")
    assert done.returncode == 0, done.stderr
    elbo, nll = (float(line.split()[1]) for line in done.stdout.splitlines()[-2:])
    assert -260 < elbo < -150
    assert 150 < nll < 260


def of_a_constant(value):
    return nullcontext(partial(sqrt, value))


def test_a_loop_apart_gives_the_losses_of_its_epochs_or_what_it_failed_with():
    with Apart(partial(of_a_constant, 4.0)) as epoch, Apart(partial(of_a_constant, -4.0)) as failing:
        assert [epoch(), epoch()] == [2.0, 2.0]
        with pytest.raises(ValueError, match="math domain error"):
            failing()


def test_a_rival_that_does_not_train_or_is_not_installed_is_a_line():
    broken = Rival("broken", "json", "benchmarks.none", 1.0, 1.0)
    missing = Rival("missing", "not_there", "benchmarks.none", 1.0, 1.0)
    found = epochs.rows(SHORTEST, [TUTORIAL, broken, missing], {epochs.FP32: ours.GREY})
    seconds = [row.name for row in found if isinstance(row, Row) and row.unit == "s"]
    names = [TUTORIAL.name, epochs.FP32, f"{TUTORIAL.name}{epochs.LENT}"]
    assert seconds == [f"epoch of {FEW} images, {name}" for name in names]
    said = "it is installed, but does not train: ModuleNotFoundError: No module named 'benchmarks.none'"
    lines = [row.line for row in found if isinstance(row, Absent) and "bf16" not in row.line]
    assert lines == [
        "missing is not installed: pip install '.[bench]'",
        f"broken: {said}",
        f"broken{epochs.LENT}: {said}",
    ]


# Other processes


def test_the_memory_of_a_process_is_its_own_and_not_that_of_its_parent():
    held = torch.ones(100_000_000)  # 400 MB
    small = run_to_end(python("-c", "pass"))
    large = run_to_end(python("-c", "bytes(bytearray(b'1') * 200_000_000)"))
    assert small.peak_bytes < 100e6 < 200e6 < large.peak_bytes < held.nbytes + 100e6


def test_a_process_that_fails_is_not_measured(tmp_path):
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        run_to_end(python("-c", "raise SystemExit(3)"))
    with pytest.raises(RuntimeError, match="never wrote step"):
        seconds_to_text(python("-c", "pass"), tmp_path / "printed", "step", printed=True)
    program = "import time; print('step 0', flush=True); time.sleep(600)"
    assert seconds_to_text(python("-c", program), tmp_path / "printed", "step", printed=True) < 300


def test_the_commands_are_those_of_a_user(tmp_path):
    words = sweeps.sweep_command(tmp_path, workers=2)[1:]
    assert words[:2] == ["train.py", "-m"]
    assert {"beta=1,2,3,4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"} <= set(words)
    words = whole_runs.our_command(tmp_path, "epochs=1")[1:]
    assert words == ["train.py", *ours.GREY, f"hydra.run.dir='{tmp_path}'", "epochs=1"]


# The command


def test_quick_measures_a_subject_and_writes_what_it_prints(tmp_path, called, monkeypatch):
    monkeypatch.setattr(benchmark, "QUICK", SHORTEST)
    done = called(benchmark, "--quick", "evaluation", "--json", str(tmp_path / "numbers.json"))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert {"revision", "machine", "threads", "torch", "plan"} <= set(written)
    names = [row["name"] for row in written["rows"]["evaluation"]]
    assert len(names) == 3
    assert all(name in done.stdout for name in names)


@pytest.mark.parametrize("subject", [logging_cost.rows, growth.rows, partial(steps.rows, compiled=())])
def test_other_subjects_have_rows(subject):
    found = subject(SHORTEST)
    assert len(found) >= 3
    assert all(row.value > 0 for row in found)


def test_a_step_is_timed_beside_other_work(monkeypatch):
    monkeypatch.setattr(beside, "usable_cores", lambda: 2)
    found = {row.name: row for row in beside.rows(SHORTEST, seconds=0.01, pause=0.0)}
    assert all(row.value > 0 for row in found.values())
    assert {name: row.at_most for name, row in found.items() if row.at_most is not None} == {
        "train step, idle: over threads always awake": 1.05,
        "train step, beside 1 busy, as a run waits: over idle": 2.5,
        "train step, beside 2 busy, as a run waits: over idle": 4.0,
    }
    monkeypatch.setattr(beside, "usable_cores", lambda: 1)
    (line,) = beside.rows(SHORTEST)
    assert "there is one core" in line.line


def test_an_unknown_subject_is_refused(called):
    done = called(benchmark, "speed")
    assert done.returncode == 2
    assert "invalid choice: 'speed' (choose from 'epoch', 'step'" in done.stderr


def test_before_anything_is_timed_the_data_is_there(tmp_path, monkeypatch, called):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "beta-vae").touch()  # no folder, so that nothing can be downloaded into it
    done = called(benchmark, "--quick", "epoch")
    assert done.returncode == 4
    assert f"{tmp_path}/beta-vae/MNIST must be a folder that can be written" in one_error_line(done)
    assert "training epoch" not in done.stdout


# The record


def test_there_is_one_reference_file_for_each_kind_of_machine_and_the_table_says_its_numbers():
    table = (ROOT / "scripts" / "benchmarks" / "README.md").read_text().split("## Results")[1].splitlines()
    files = sorted((ROOT / "outputs" / "reference").glob("benchmark_*.json"))
    assert 1 <= len(files) <= 5
    (heading,) = (line for line in table if "benchmark_" in line)
    kinds = [path.stem for path in files]
    places = {kind: [kind in cell for cell in heading.split("|")].index(True) for kind in kinds}
    (line,) = (line for line in table if line.startswith("| epoch, fp32: as the loop of tutorials"))
    for path in files:
        found = {row["name"]: row["value"] for row in json.loads(path.read_text())["rows"]["epoch"]}
        cell = float(line.split("|")[places[path.stem]])
        assert cell == pytest.approx(found["epoch, fp32: times as fast as tutorial"], abs=0.006)
