"""What can happen around a run: closed streams, early signals, too little memory, a directory that is taken away."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import QUIET, ROOT, one_error_line

import traverse
from vae.run.summary import read_summary

TRAIN = [sys.executable, str(ROOT / "train.py")]


def quick(few_images):
    return (*few_images, "epochs=1", "model.hidden=[8]", *QUIET)


def shell(line, *words, **options):
    """`bash -c LINE` with the words as `"$@"`."""
    command = ["bash", "-c", line, "-", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def test_a_run_whose_streams_are_closed_trains_without_a_bar(tmp_path, few_images):
    run = tmp_path / "run"
    done = shell('exec "$@" >&- 2>&-', *TRAIN, *quick(few_images), f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_summary(run)["status"] == "done"
    assert "Traceback" not in (run / "train.log").read_text()


def test_a_reader_that_goes_away_ends_no_run(tmp_path, few_images):
    words = (*TRAIN, *quick(few_images), f"hydra.run.dir={tmp_path}/run")
    done = shell('"$@" | head -1; exit ${PIPESTATUS[0]}', *words)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert read_summary(tmp_path / "run")["status"] == "done"


@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, 0.15), (signal.SIGUSR1, 1.0)])
def test_a_signal_that_comes_before_the_run_is_one_line(tmp_path, few_images, number, moment):
    words = [*TRAIN, *quick(few_images), f"hydra.run.dir={tmp_path}/run", "epochs=1000"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Python itself needs some hundredths of a second before our first line; until then the kernel ends it.
    deadline = time.monotonic() + 20
    while "site-packages" not in Path(f"/proc/{process.pid}/maps").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (128 + number, -number), out
    assert "Traceback" not in out


def test_too_little_memory_is_one_line(tmp_path, few_images):
    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))

    words = [*TRAIN, *quick(few_images), "model.hidden=[100000,100000]", f"hydra.run.dir={tmp_path}/run"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, preexec_fn=limited)
    assert done.returncode == 1
    assert "there is not enough memory" in one_error_line(done)
    assert "there is not enough memory" in read_summary(tmp_path / "run")["error"]  # MemoryError itself has no words


def test_a_run_that_is_removed_while_it_trains_is_one_line(tmp_path, few_images):
    run = tmp_path / "run"
    words = [*TRAIN, *quick(few_images), "epochs=100000", "tracking.save_every_steps=1", f"hydra.run.dir={run}"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (run / "checkpoints/last").exists():
        assert process.poll() is None
        time.sleep(0.02)
    run.rename(tmp_path / "away")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in out
    assert sum(line.startswith("error:") for line in out.splitlines()) == 1
    assert (tmp_path / "away/checkpoints/last").exists()


def test_a_damaged_run_json_is_begun_anew(tmp_path, few_run, trained):
    for damage in (lambda path: os.truncate(path, 100), Path.unlink, lambda path: path.write_text("[]")):
        run = shutil.copytree(few_run, tmp_path / "run")
        damage(run / "run.json")
        done = trained(f"resume={run}", "epochs=5")
        assert done.returncode == 0, done.stdout
        assert re.search(r"warning: run.json is (missing|damaged).*, and is begun anew", done.stdout)
        assert (run / "run.json").read_text().startswith('{\n  "started"')
        shutil.rmtree(run)


def test_a_figure_that_cannot_be_written_is_one_line(few_run, called):
    done = called(traverse, str(few_run), "--output", "/dev/null/x.png")
    assert done.returncode == 1
    assert "the figure could not be written" in one_error_line(done)


def test_what_no_character_set_has_is_written_all_the_same(tmp_path, few_images):
    folder = tmp_path / os.fsdecode(b"bad\xff")
    folder.mkdir()
    data = folder / "t.npz"
    shutil.copy(few_images[1].removeprefix("data.path="), data)
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [*TRAIN, *few_images, f"data.path={data}", "epochs=1", "model.hidden=[8]", f"hydra.run.dir={folder}/run"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, env=plain, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert read_summary(folder / "run")["status"] == "done"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_in_the_place_of_the_log_is_set_aside(tmp_path, few_run, kind, trained):
    run, victim = shutil.copytree(few_run, tmp_path / "run"), tmp_path / "victim"
    (run / "train.log").unlink()
    victim.write_text("mine")
    {"folder": Path.mkdir, "pipe": os.mkfifo, "link": lambda path: path.symlink_to(victim)}[kind](run / "train.log")
    done = trained(f"resume={run}", "epochs=5")
    assert done.returncode == 0, done.stderr
    assert "train.log is not a regular file. It was renamed to train.log.damaged" in done.stderr
    assert "continued at step" in (run / "train.log").read_text()
    assert victim.read_text() == "mine"


def test_folders_in_the_place_of_files_are_set_aside(tmp_path, few_run, trained):
    run = shutil.copytree(few_run, tmp_path / "run")
    names = ("codes.npz", "run.json", "summary.json")
    for name in names:
        (run / name).unlink()
        (run / name / "mine").mkdir(parents=True)
    done = trained(f"resume={run}", "epochs=5")
    assert done.returncode == 0, done.stdout
    assert all((run / name).is_file() and (run / f"{name}.damaged" / "mine").exists() for name in names)


def test_no_script_and_no_sweep_needs_a_reader(tmp_path, few_run, few_images):
    for words in (
        ["scripts/evaluate.py", str(few_run)],
        ["scripts/traverse.py", str(few_run), "--output", f"{tmp_path}/x.png"],
        ["scripts/report.py", str(shutil.copytree(few_run, tmp_path / "few"))],
        ["train.py", "-m", "beta=1,2", *quick(few_images), f"hydra.sweep.dir={tmp_path}/sweep"],
    ):
        done = shell('"$@" > /dev/full', sys.executable, *words)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 2
