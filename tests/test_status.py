"""`beta-vae status`: how far the members of a sweep are, while it trains and after it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import MEMBER, ROOT, run
from fake_runs import put_run, summary_of

from vae.app.program import main
from vae.report.status import State, Status, counted, duration, read_status
from vae.run.files import write_json
from vae.run.names import LOCK_HOLDER, MEMBERS, METRICS, RUN


def test_a_status_knows_the_part_of_an_epoch():
    assert Status("a", State.running, step=150, steps=400, epochs=4).epoch == 1.5
    assert Status("a", State.running, step=None, steps=400, epochs=4).epoch is None
    assert Status("a", State.stopped, step=3, steps=None, epochs=4).epoch is None
    assert [duration(seconds) for seconds in (42.0, 150.0, 9000.0)] == ["42 s", "2.5 min", "2.5 h"]


def running(folder: Path, process: int, host: str) -> None:
    """A member that a process has begun: 40 of 100 steps of 128 images, at 1 280 images a second."""
    put_run(folder, None)
    write_json(folder / RUN, {**json.loads((folder / RUN).read_text()), "steps": 100})
    lines = [{"step": 20, "train/images_per_second": 1.0}, {"step": 40, "train/images_per_second": 1280.0}]
    lines[1] |= {"train/elbo": -100.0, "train/distortion": 80.0, "train/rate": 20.0}
    (folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / LOCK_HOLDER, {"process": process, "host": host, "since": "2026-01-01 12:00:00 +0000"})


def test_members_are_done_running_stopped_failed_and_waiting(tmp_path):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0))
    put_run(tmp_path / "beta=2.0_seed=0", {"status": "failed", "code": 3, "error": "the loss is nan"})
    running(tmp_path / "beta=4.0_seed=0", os.getpid(), socket.gethostname())
    running(tmp_path / "beta=4.0_seed=1", 2**22 + 1, socket.gethostname())  # no such process: it was killed
    running(tmp_path / "beta=4.0_seed=2", 2**22 + 1, "another-machine")
    write_json(tmp_path / MEMBERS, {"members": ["beta=1.0_seed=0", "beta=8.0_seed=0"]})
    found = {status.name: status for status in read_status(tmp_path)}
    assert [status.state for status in found.values()] == [
        "done",
        "failed",
        "running",
        "stopped",
        "running",
        "waiting",
    ]
    assert found["beta=1.0_seed=0"].numbers["elbo"] == pytest.approx(-111, abs=1)
    assert found["beta=2.0_seed=0"].note == "code 3: the loss is nan"
    assert found["beta=4.0_seed=0"].step == 40
    assert found["beta=4.0_seed=0"].numbers == {"elbo": -100.0, "distortion": 80.0, "rate": 20.0}
    assert found["beta=4.0_seed=2"].note == f"process {2**22 + 1} on another-machine"
    assert counted(list(found.values())) == {"done": 1, "running": 2, "stopped": 1, "failed": 1, "waiting": 1}


def test_a_damaged_list_of_members_is_no_list(tmp_path):
    put_run(tmp_path / "beta=1.0_seed=0", summary_of(1.0, 0))
    for text in ("{", "[]", '{"members": 3}', '{"members": [3]}'):
        (tmp_path / MEMBERS).write_text(text)
        assert [status.state for status in read_status(tmp_path)] == ["done"]


def test_three_hundred_members_are_listed_at_once(tmp_path):
    for seed in range(300):
        put_run(tmp_path / f"beta=1.0_seed={seed}", summary_of(1.0, seed))
    assert counted(read_status(tmp_path)) == {"done": 300}


@pytest.mark.parametrize("lines_between", [0, 300, 3_000])
def test_the_numbers_of_a_long_log_are_those_of_its_end(tmp_path, lines_between):
    run = put_run(tmp_path / "run", None)
    numbers = {"train/images_per_second": 50.0, "validation/elbo": -9.0, "validation/distortion": 8.0}
    lines = [{"step": 1, **numbers, "validation/rate": 1.0}]
    lines += [{"step": 2 + number, "z/kl/00": 0.123456789} for number in range(lines_between)]
    (run / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9')
    (status,) = read_status(tmp_path)
    assert (status.state, status.step) == (State.stopped, 1 + lines_between)
    assert status.numbers == {"elbo": -9.0, "distortion": 8.0, "rate": 1.0}


def test_a_sweep_that_trains_is_listed_with_what_is_left_and_goes_on(few_images, tmp_path):
    words = (*few_images, *MEMBER, "beta=1,8", "epochs=400", "tracking.log_every_steps=1", "tracking.progress=false")
    command = [sys.executable, "train.py", "-m", *words, f"hydra.sweep.dir={tmp_path}/sweep"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        try:
            deadline, states = time.monotonic() + 120, {}
            while states.get("running") is None and time.monotonic() < deadline:
                time.sleep(0.2)
                found = read_status(tmp_path / "sweep") if (tmp_path / "sweep").is_dir() else []
                states = {status.state: status for status in found if status.state != "running" or status.seconds_left}
            assert set(states) == {"running", "waiting"}
            assert 0 < states["running"].epoch < 400
            said = run("-m", "vae", "status", str(tmp_path / "sweep"))
            assert said.returncode == 0, said.stderr
            assert said.stdout.splitlines()[-1] == "1 running, 1 waiting, 2 in all"
            assert "/400 " in said.stdout
        finally:
            sweep.send_signal(signal.SIGINT)
            sweep.wait(60)
    assert [status.state for status in read_status(tmp_path / "sweep")] == ["stopped", "waiting"]


def status(capsys, *words: str) -> tuple[int, str, str]:
    """`beta-vae status WORDS` in this process."""
    capsys.readouterr()
    code = main(["status", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_prints_a_line_a_member_or_json(finished_sweep, capsys):
    code, out, _ = status(capsys, str(finished_sweep))
    assert code == 0
    header, first, second, counts = out.splitlines()
    assert header.split() == ["member", "state", "epoch", "left", "ELBO"]
    assert first.split()[:3] == ["beta=1.0_seed=0", "done", "3/3"]
    assert second.split()[1] == "done"
    assert counts == "2 done, 2 in all"
    code, out, _ = status(capsys, str(finished_sweep), "--json")
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["done", "done"]


def test_what_is_no_sweep_is_refused_in_one_line(tmp_path, capsys):
    for given, why in (
        (str(tmp_path / "none"), "is not a folder"),
        (str(tmp_path), "has no runs"),
        ("", "an empty name"),
    ):
        code, out, err = status(capsys, given)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert why in err
