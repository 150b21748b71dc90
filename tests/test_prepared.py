"""The process from which the members of a sweep are forked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import MEMBER, ROOT, gone

from vae.app.invocation import Starter
from vae.app.prepared import PreparedProcess, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="members are forked on Linux only")

LONG = ("epochs=2000", "tracking.save_every_steps=1")


class Spawning(Starter):
    """A starter whose processes do not fork, as on other systems than Linux."""

    def prepared(self, requests: int, answers: int) -> list[str]:
        *python, code = super().prepared(requests, answers)
        start, module, rest = code.partition("from vae.app.prepared")
        return [*python, f"{start}import vae.app.prepared; vae.app.prepared.FORKS = False; {module}{rest}"]


class Instant(Starter):
    """A starter of a process that answers at once with both numbers of a training: its process and its exit code."""

    def prepared(self, requests: int, answers: int) -> list[str]:
        code = f"import os; os.read({requests}, 9999); os.write({answers}, b'7\\n3\\n'); os.read({requests}, 1)"
        return [sys.executable, "-c", code]


# The prepared process kills its parent while it loads, and sees it end. A training would say that `beat` is unknown.
ORPHAN = """
import sys
from vae.app.invocation import Starter
from vae.app.prepared import PreparedProcess

KILLS = '''
import os, signal, time
import vae.app.prepared

def load():
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.01)

vae.app.prepared.load = load
'''


class Killing(Starter):
    def prepared(self, requests, answers):
        *python, code = super().prepared(requests, answers)
        start, module, rest = code.partition("from vae.app.prepared")
        return [*python, start + KILLS + module + rest]


PreparedProcess(Killing("train.py", Starter.of_this_process().path)).train(["beat=4"], {}, quiet=False)
"""


def ready(kind: type[Starter]) -> PreparedProcess:
    return PreparedProcess(kind("train.py", Starter.of_this_process().path))


@pytest.fixture
def prepared(monkeypatch, tmp_path) -> Iterator[PreparedProcess]:
    monkeypatch.syspath_prepend(str(tmp_path))
    process = ready(Starter)
    yield process
    process.close()


@pytest.fixture
def words(few_images, tmp_path) -> tuple[str, ...]:
    return (*few_images, *MEMBER, f"hydra.run.dir={tmp_path / 'run'}")


def trained(prepared: PreparedProcess, words: tuple[str, ...], **environment: str) -> int:
    prepared.train(words, environment, quiet=True)
    code = prepared.wait(timeout_seconds=120.0)
    assert code is not None
    return code


def started(prepared: PreparedProcess, words: tuple[str, ...], run: Path) -> int:
    """Begin a training. Returns its process, once there is a checkpoint."""
    prepared.train((*words, *LONG), {}, quiet=True)
    deadline = time.monotonic() + 120
    while not (run / "checkpoints/last").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert prepared.trains is not None
    return prepared.trains


def test_without_fork_each_training_gets_a_new_process(words, tmp_path, monkeypatch):
    monkeypatch.setattr("vae.app.prepared.FORKS", False)
    prepared = ready(Spawning)
    assert trained(prepared, ("beat=4",)) == 1
    assert trained(prepared, words) == 0
    assert prepared.process is None
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "done"


def test_trainings_follow_one_another_and_an_error_of_one_leaves_the_next(prepared, words, tmp_path):
    assert trained(prepared, ("beat=4",)) == 1
    assert trained(prepared, words) == 0
    assert trained(prepared, ("resume=nowhere",)) == 1
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "done"


def test_a_variable_is_that_of_one_training_alone(prepared, words, tmp_path):
    (tmp_path / "weather.py").write_text(
        "import os\n\ndef score(codes, factors):\n    return {'wind': float(os.environ.get('WIND', 0))}\n"
    )

    def wind(directory: Path, **environment: str) -> float:
        more = ("epochs=1", "metrics=[weather:score]", f"hydra.run.dir={directory}")
        assert trained(prepared, (*words, *more), **environment) == 0
        return json.loads((directory / "summary.json").read_text())["metrics"]["wind"]

    assert wind(tmp_path / "a", WIND="5") == 5
    assert wind(tmp_path / "b") == 0


def test_the_last_words_of_a_module_are_shown(prepared, words, tmp_path, capfd):
    (tmp_path / "calm.py").write_text("raise SystemExit('there is no wind')")
    assert trained(prepared, (*words, "metrics=[calm:score]")) == 1
    assert capfd.readouterr().err == "there is no wind\n"


def test_a_killed_training_leaves_the_next(prepared, words, tmp_path):
    os.kill(started(prepared, words, tmp_path / "run"), signal.SIGKILL)
    assert prepared.wait(timeout_seconds=60.0) == -signal.SIGKILL
    assert trained(prepared, (*words, f"hydra.run.dir={tmp_path / 'next'}")) == 0


def test_a_killed_prepared_process_has_its_training_saved_and_is_replaced(prepared, words, tmp_path):
    training = started(prepared, words, tmp_path / "run")
    assert prepared.process is not None
    prepared.process.kill()
    assert prepared.wait(timeout_seconds=60.0) == -signal.SIGKILL
    assert gone(training)
    assert "saved" in (tmp_path / "run/train.log").read_text().splitlines()[-1]
    assert trained(prepared, (*words, f"hydra.run.dir={tmp_path / 'next'}")) == 0


def test_a_signal_to_all_processes_of_a_job_stops_the_training_once(prepared, words, tmp_path):
    training = started(prepared, words, tmp_path / "run")
    assert prepared.process is not None
    for number in (signal.SIGUSR1, signal.SIGTERM):
        prepared.process.send_signal(number)
    os.kill(training, signal.SIGUSR1)
    assert prepared.wait(timeout_seconds=60.0) == 128 + signal.SIGUSR1
    assert "saved" in (tmp_path / "run/train.log").read_text().splitlines()[-1]
    server = prepared.process
    assert trained(prepared, (*words, f"hydra.run.dir={tmp_path / 'next'}")) == 0
    assert prepared.process is server
    prepared.close()
    assert server.returncode == 0


def test_an_exit_code_that_comes_with_the_number_of_the_process_is_not_waited_for():
    prepared = ready(Instant)
    prepared.train([], {}, quiet=True)
    assert prepared.wait(timeout_seconds=30.0) == 3
    prepared.close()


def test_a_process_that_has_ended_is_not_alive_although_nobody_has_waited_for_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(process.pid)
        process.kill()
        assert gone(process.pid)
        assert not is_alive(process.pid)
    assert not is_alive(process.pid)


def test_a_parent_that_was_killed_while_torch_was_loaded_has_nothing_trained():
    done = subprocess.run([sys.executable, "-c", ORPHAN], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")
