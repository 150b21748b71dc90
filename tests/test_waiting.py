"""How the threads of a step wait: asleep while others need their cores, which changes no number."""

import doctest
import json
import threading
import time
from pathlib import Path

import pytest
import torch
from command import QUIET

from vae.training import cores, waiting
from vae.training.cores import Threads
from vae.training.loop import fit
from vae.training.waiting import Sleepers, may_wait_by_load, waiting_by_load, words_on_threads

on_linux = pytest.mark.skipif(not waiting.has_gnu_openmp(), reason="this torch has another OpenMP than GNU's")


def threads_of_process() -> int:
    """All that the kernel knows of, those of OpenMP among them."""
    return len(list(Path("/proc/self/task").iterdir()))


def until(holds) -> bool:
    """Whether a condition comes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


@pytest.fixture
def two_cores(monkeypatch, two_threads):  # noqa: ARG001
    """A machine of two cores, and a user who has said nothing of waiting."""
    monkeypatch.setattr(waiting, "allowed_cores", lambda: {0, 1})
    for name in waiting.SET_BY_USER:
        monkeypatch.delenv(name, raising=False)


def test_the_examples_are_true():
    assert doctest.testmod(waiting).failed == 0


@on_linux
@pytest.mark.usefixtures("two_cores")
def test_while_others_are_busy_there_are_more_threads_than_cores_and_then_no_longer(monkeypatch):
    busy = [1.0]
    monkeypatch.setattr(waiting, "busy_with_others", lambda *_: busy[0])
    monkeypatch.setattr(waiting, "PERIOD_SECONDS", 0.01)
    torch.ones(100_000)  # starts the second thread
    before = threads_of_process()
    with waiting_by_load(2, busy=None):
        assert until(lambda: threads_of_process() == before + 3)  # it watches, and two sleep
        busy[0] = 0.0
        assert until(lambda: threads_of_process() == before + 1)
        busy[0] = 1.0
        assert until(lambda: threads_of_process() == before + 3)
    assert until(lambda: threads_of_process() == before)


@on_linux
@pytest.mark.parametrize(("threads", "of_cores", "teams"), [(2, 2, 1), (8, 8, 1), (2, 4, 3), (8, 16, 2), (3, 16, 7)])
def test_so_many_sleep_that_there_are_more_threads_than_cores(threads, of_cores, teams):
    found = Sleepers(threads, of_cores).teams
    assert found == teams
    assert threads + found * (threads - 1) > of_cores >= threads + (found - 1) * (threads - 1)


@on_linux
@pytest.mark.usefixtures("two_cores")
def test_the_numbers_are_the_same_whether_threads_sleep_or_not(begin, tmp_path, splits):
    weights = []
    for name, asleep in (("awake", False), ("asleep", True)):
        run = begin(tmp_path / name, splits, epochs=1)
        with Sleepers(2, 2) as sleepers:
            sleepers.hold(asleep)
            fit(run)
        weights.append(run.state.vae.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("threads", "environment"),
    [(1, {}), (3, {}), (2, {"OMP_WAIT_POLICY": "passive"}), (2, {"GOMP_SPINCOUNT": "5"}), (2, {"KMP_BLOCKTIME": "0"})],
)
def test_one_thread_more_threads_than_cores_and_what_the_user_has_set_are_left_alone(threads, environment):
    before = threading.active_count()
    assert not may_wait_by_load(threads, environment)
    with waiting_by_load(threads, 1.0, environment):
        assert threading.active_count() == before


@on_linux
@pytest.mark.usefixtures("two_cores")
def test_the_log_says_how_threads_wait_and_why():
    assert words_on_threads(Threads(2), None) == words_on_threads(Threads(2), 0.1) == "2 threads"
    assert words_on_threads(Threads(1, "as before"), 1.0) == "1 thread as before"
    said = "2 threads, which wait asleep as others use 1.0 of 2 cores (threads=1 may be faster)"
    assert words_on_threads(Threads(2), 1.0) == said


# The command


@pytest.mark.usefixtures("two_threads")
def test_a_resumed_run_keeps_its_threads_unless_it_is_told_otherwise(few_images, tmp_path, trained, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(cores, "usable_cores", lambda: 2)
    for name in cores.SET_BY_USER:
        monkeypatch.delenv(name, raising=False)

    def line_of(default: int, *words: str) -> str:
        """The line on the device of a run where torch would take so many threads."""
        torch.set_num_threads(default)
        done = trained(*words)
        assert done.returncode == 0, done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("device"))
        return line

    small = (*few_images, *QUIET, "model.hidden=[16]", "model.latent_dim=2", "device=cpu")
    assert line_of(1, *small, "epochs=1", f"hydra.run.dir='{run}'") == "device cpu, fp32, 1 thread"
    assert line_of(2, f"resume={run}", "epochs=2") == "device cpu, fp32, 1 thread as before"
    assert line_of(1, f"resume={run}", "epochs=3", "threads=2").startswith("device cpu, fp32, 2 threads")
    origin = json.loads((run / "run.json").read_text())
    assert [origin["threads"], *(again["threads"] for again in origin["continued"])] == [1, 1, 2]
