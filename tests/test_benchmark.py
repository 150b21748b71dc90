"""What `scripts/benchmark.py` counts, trains and prints. No test looks at a time."""

import doctest
import json
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from math import isnan, sqrt

import pytest
import torch
from command import gone, one_error_line, run

import benchmark
from benchmarks import convolutions, epochs, growth, handover, logging_cost, ours, plan, rows, steps, sweeps, turns
from benchmarks.apart import Apart
from benchmarks.limits import step_flops
from benchmarks.processes import python, run_to_end
from benchmarks.rivals import RIVALS, Rival, load_loop, why_absent
from benchmarks.rows import Absent, Row, Target, line
from benchmarks.tutorial import TutorialLoop, TutorialVAE

pytestmark = pytest.mark.usefixtures("mnist_root")

FEW = 1_280
SHORTEST = replace(plan.QUICK, rounds=1, images=FEW, steps=1, drawn_images=256)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def grey_run(mnist_root):  # noqa: ARG001
    with ours.Runs() as started:
        yield started.of_words(ours.GREY, FEW)


@pytest.fixture(scope="module")
def grey_images(grey_run):
    return grey_run.splits.train.batch(torch.arange(FEW), torch.Generator())


@pytest.mark.parametrize("module", [rows, steps, turns])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_a_step_has_three_products_a_layer_but_for_the_gradient_of_the_images(grey_run):
    weights = 784 * 400 + 400 * 40 + 20 * 400 + 400 * 784
    assert step_flops(grey_run) == 2 * 128 * (3 * weights - 784 * 400)


def test_the_tutorial_trains_the_same_network(grey_run):
    assert parameters(TutorialVAE()) == parameters(grey_run.state.vae) == 652_824


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_a_rival_trains_the_same_network_on_the_same_images(rival, grey_images, tmp_path):
    pytest.importorskip(rival.name)
    loop = load_loop(rival, grey_images, tmp_path)
    assert parameters(loop.model) == 652_824
    losses = [loop.epoch() for _ in range(3)]
    assert 500 > losses[0] > losses[1] > losses[2] > 100


@pytest.mark.parametrize("layers", [1, 2])
def test_pythaes_own_training_of_a_published_number_runs(layers):
    pytest.importorskip("pythae")
    done = run("scripts/pythae_static.py", f"--layers={layers}", "--epochs=1", "--images=10")
    assert done.returncode == 0, done.stderr
    elbo, nll = (float(line.split()[1]) for line in done.stdout.splitlines()[-2:])
    assert -260 < elbo < -150
    assert 150 < nll < 260


def test_all_loops_come_to_the_same_loss(grey_run, mnist_root):
    tutorial = TutorialLoop(mnist_root, FEW)
    for _ in range(4):
        of_ours, of_tutorial = ours.epoch(grey_run), tutorial.epoch()
    # Ours starts at the data's mean, and is a few nats ahead for an epoch or two.
    assert of_ours < of_tutorial < of_ours + 60


def of_a_constant(value):
    return nullcontext(partial(sqrt, value))


def test_a_loop_apart_gives_the_losses_of_its_epochs_and_ends_with_its_block():
    with Apart(partial(of_a_constant, 4.0)) as epoch:
        epoch.ready()
        assert [epoch(), epoch()] == [2.0, 2.0]
    assert epoch.process.exitcode == 0


def test_a_loop_apart_that_fails_says_what_with():
    with Apart(partial(of_a_constant, -4.0)) as epoch:
        epoch.ready()
        with pytest.raises(RuntimeError, match="ValueError: math domain error"):
            epoch()
    with Apart(partial(of_a_constant)) as epoch, pytest.raises(RuntimeError, match="TypeError: of_a_constant"):
        epoch.ready()


def test_every_loop_that_is_there_has_its_epochs_and_one_that_does_not_train_is_a_line_for_each_process(monkeypatch):
    broken = Rival("json", "benchmarks.none", Target(1.0, 2.0))
    monkeypatch.setattr(epochs, "RIVALS", [*RIVALS, broken])
    monkeypatch.setattr(epochs, "WORDS", dict.fromkeys(epochs.WORDS, epochs.WORDS[epochs.FP32]))  # none compiled
    monkeypatch.setattr(ours, "emulates_bf16", lambda _: False)
    found = epochs.rows(SHORTEST)
    others = [epochs.TUTORIAL, *(rival.name for rival in RIVALS if why_absent(rival) is None)]
    own = list(epochs.WORDS)
    there = [*others, *own[:2], *(name + epochs.LENT for name in others), *own[2:]]
    assert [row.name for row in found if isinstance(row, Row) and row.unit == "s"] == [
        f"epoch of {FEW} images, {name}" for name in there
    ]
    absent = [row.line for row in found if isinstance(row, Absent)]
    said = "it is installed, but does not train: ModuleNotFoundError: No module named 'benchmarks.none'"
    assert {f"json: {said}", f"json{epochs.LENT}: {said}"} <= set(absent)
    assert len(absent) == 2 + len(RIVALS) + 1 - len(others)


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.name)
def test_a_rival_that_is_not_installed_is_one_line(rival):
    assert why_absent(rival, lambda _: None) == f"{rival.name} is not installed: pip install '.[bench]'"
    assert why_absent(rival, lambda _: rival) is None


def test_a_row_says_whether_its_target_is_met():
    faster, share = Target(2.0, 2.6), Target(8.0, 3.0, at_most=True)
    rows_and_verdicts = [(2.5, faster, True), (1.9, faster, False), (2.5, share, True), (8.1, share, False)]
    for value, target, met in rows_and_verdicts:
        row = Row("epoch", value, "x", target)
        assert row.as_json()["met"] is met
        assert ("MISSED" in line(row)) is not met
    assert Row("epoch", 1.0, "s").as_json()["met"] is None


def test_a_ratio_is_that_of_neighbours():
    row = turns.ratio("speed-up", [1.0, 10.0, 100.0], [0.5, 5.0, 20.0])
    assert row.value == 2.0


def test_every_thing_has_its_turn_after_the_rehearsals():
    calls = []
    seconds = turns.take_turns({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2, rehearsals=1)
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_a_stopwatch_counts_a_nested_call_once(monkeypatch):
    clock = iter(range(10))
    monkeypatch.setattr(logging_cost.time, "perf_counter", lambda: float(next(clock)))
    watch = logging_cost.Stopwatch()
    inner = watch.timed(lambda: None)
    watch.timed(inner)()
    assert watch.seconds == 2.0  # from 0 to 2: the inner call began at 1 and was not the one that ended


def test_copies_are_the_same_images_several_times():
    once, thrice = (growth.copied(ours.GREY, FEW, copies).train for copies in (1, 3))
    assert len(thrice) == 3 * len(once) == 3 * FEW
    assert torch.equal(thrice.pixels[FEW : 2 * FEW], once.pixels)


def test_random_images_are_binary_and_as_sparse_as_sprites():
    images = ours.random_binary(64, side=32).train
    x = images.batch(torch.arange(64), torch.Generator())
    assert x.shape == (64, 1, 32, 32)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert 0.04 < float(x.mean()) < 0.06


def test_the_memory_of_a_process_is_its_own_and_not_that_of_who_starts_it():
    held = torch.ones(100_000_000)  # 400 MB
    small = run_to_end(python("-c", "pass"))
    large = run_to_end(python("-c", "bytes(bytearray(b'1') * 200_000_000)"))
    assert small.peak_bytes < 100e6 < 200e6 < large.peak_bytes < held.nbytes + 100e6


def test_a_process_that_fails_is_not_measured():
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        run_to_end(python("-c", "raise SystemExit(3)"))


def test_a_sweep_is_started_as_a_user_starts_it(tmp_path):
    words = sweeps.command(tmp_path, workers=2, members=3, epochs=4)[1:]
    assert words[:2] == ["train.py", "-m"]
    assert {"beta=1,2,3", "epochs=4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"} <= set(words)


def test_a_share_of_the_limit_is_a_percentage_with_its_target():
    found = {row.name: row for row in steps.rows(SHORTEST, compiled=()) if isinstance(row, Row)}
    for how in ("fp32", "fp32, compiled"):
        share = found[f"train step, {how}: share of the GEMM limit"]
        assert (share.unit, share.target) == ("%", Target(55.0, 70.0))
        assert 0 < share.value < 100


@pytest.mark.parametrize("another", [True, False])
def test_where_a_run_has_another_library_for_products_it_is_measured_beside_torchs(monkeypatch, another):
    monkeypatch.setattr(steps, "uses_onednn", lambda: another)
    monkeypatch.setattr(
        steps, "gemm_rate", lambda _: 2e9 if torch.get_float32_matmul_precision() == "highest" else 5e9
    )
    torch.set_float32_matmul_precision("medium")
    assert [row.value for row in steps.as_torch_comes(SHORTEST)] == [2.0, 2.5] * another


@pytest.mark.parametrize("emulated", [True, False])
def test_bf16_is_measured_where_a_cpu_has_it_and_a_line_elsewhere(monkeypatch, emulated):
    monkeypatch.setattr(ours, "emulates_bf16", lambda _: emulated)
    for subject in (epochs, convolutions, steps):
        monkeypatch.setattr(subject, "take_turns", lambda loops, *_, **__: {name: [1.0] for name in loops})
    monkeypatch.setattr(epochs, "compared", lambda seconds, *_: list(map(named, seconds)))
    monkeypatch.setattr(epochs, "Apart", NoLoop)
    monkeypatch.setattr(steps, "beside_the_limit", lambda *given: [named(given[3])] * 2)
    for found in (epochs.rows(SHORTEST), convolutions.rows(SHORTEST), steps.rows(SHORTEST, compiled=())):
        assert any("bf16" in row.name for row in found if isinstance(row, Row)) is not emulated
        assert any(row.line.startswith("bf16 is left out") for row in found if isinstance(row, Absent)) is emulated


def named(name):
    return Row(name, 1.0, "s")


class NoLoop(nullcontext):
    def __enter__(self):
        return self

    def ready(self):
        pass

    def __call__(self):
        return 0.0


def test_a_byte_goes_there_and_back_and_who_answered_has_ended(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words: started.append(popen(*words)) or started[0])
    assert handover.there_and_back() > 0
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_where_nobody_answers_a_byte_there_is_no_number(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert isnan(handover.there_and_back())


def test_who_answers_ends_when_left_alone(tmp_path):
    (byte := tmp_path / "byte").write_bytes(b"\1")
    words = [sys.executable, handover.__file__, str(byte)]
    starts = f"import os, subprocess; print(subprocess.Popen([*{words!r}, str(os.getpid())]).pid)"
    done = subprocess.run([sys.executable, "-c", starts], capture_output=True, text=True, check=True, timeout=60)
    assert gone(int(done.stdout))


def test_the_table_keeps_what_is_absent(capsys, monkeypatch):
    found = [Row("epoch", 2.0, "s"), Absent("pythae is not installed")]
    monkeypatch.setitem(benchmark.SUBJECTS, "epoch", ("a training epoch", lambda _: found))
    table = benchmark.measure(["epoch"], SHORTEST)
    assert "pythae is not installed" in capsys.readouterr().out.splitlines()[-1]
    written = benchmark.as_json(table)
    assert [row["name"] for row in written["rows"]["epoch"]] == ["epoch"]
    assert written["absent"] == ["pythae is not installed"]


def test_the_script_prints_a_table_and_writes_the_same_rows(tmp_path):
    done = run("scripts/benchmark.py", "--quick", "evaluation", "--json", str(tmp_path / "numbers.json"))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert {"revision", "machine", "threads", "torch", "plan"} <= set(written)
    names = [row["name"] for row in written["rows"]["evaluation"]]
    assert len(names) == 3
    assert all(name in done.stdout for name in names)


def test_an_unknown_subject_is_refused(called):
    done = called(benchmark, "speed")
    assert done.returncode == 2
    assert "unknown subject speed, the subjects are epoch, step" in done.stderr


def test_before_anything_is_timed_the_data_is_there(tmp_path, monkeypatch, called):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "beta-vae").touch()  # no folder, so that nothing can be fetched into it
    done = called(benchmark, "--quick", "epoch")
    assert done.returncode == 4
    assert f"{tmp_path}/beta-vae/MNIST/raw must be a folder that can be written" in one_error_line(done)
    assert "training epoch" not in done.stdout
    monkeypatch.setattr(benchmark, "measure", lambda *_: {})
    done = called(benchmark, *benchmark.WITHOUT_MNIST)  # which has images of its own
    assert done.returncode == 0, done.stderr
