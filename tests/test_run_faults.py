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
from command import ROOT, one_error_line, run_train

from vae.run.summary import read_summary

TRAIN = [sys.executable, str(ROOT / "train.py")]


def quick(few_images):
    return (*few_images, "epochs=1", "model.hidden=[8]", "tracking.tensorboard=false")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_run_whose_streams_are_closed_trains_without_a_bar(tmp_path, few_images, closed):
    run = tmp_path / "run"
    line = f'exec "$0" "$@" {closed}'
    words = ["bash", "-c", line, *TRAIN, *quick(few_images), f"hydra.run.dir={run}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_summary(run)["status"] == "done"
    assert "Traceback" not in (run / "train.log").read_text()


def test_a_reader_that_goes_away_ends_neither_run_nor_sweep(tmp_path, few_images):
    for words, directory in (((), tmp_path / "run"), (("-m", "beta=1,2"), tmp_path / "sweep")):
        where = f"hydra.{'sweep' if words else 'run'}.dir={directory}"
        command = [
            "bash",
            "-c",
            '"$@" | head -1; exit ${PIPESTATUS[0]}',
            "-",
            *TRAIN,
            *words,
            *quick(few_images),
            where,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
    assert (tmp_path / "sweep/report.html").exists()
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 2


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, 0.15), (signal.SIGINT, 1.0), (signal.SIGTERM, 0.4), (signal.SIGUSR1, 0.4)]
)
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


def test_a_damaged_run_json_is_begun_anew(tmp_path, few_run):
    for damage in (lambda path: os.truncate(path, 100), Path.unlink, lambda path: path.write_text("[]")):
        run = shutil.copytree(few_run, tmp_path / "run")
        damage(run / "run.json")
        done = run_train(f"resume={run}", "epochs=5")
        assert done.returncode == 0, done.stdout
        assert re.search(r"warning: run.json is (missing|damaged).*, and is begun anew", done.stdout)
        assert (run / "run.json").read_text().startswith('{\n  "started"')
        shutil.rmtree(run)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_figure_of_a_run_that_cannot_be_written_is_one_line(tmp_path, few_run):
    run = shutil.copytree(few_run, tmp_path / "run")
    (run / "figures").chmod(0o500)
    done = subprocess.run([sys.executable, "scripts/traverse.py", str(run)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the figure could not be written" in one_error_line(done)


def test_a_figure_that_cannot_be_written_is_one_line(few_run):
    words = [sys.executable, "scripts/traverse.py", str(few_run), "--output", "/dev/null/x.png"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
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
def test_what_is_no_file_in_the_place_of_the_log_is_set_aside(tmp_path, few_run, kind):
    run, victim = shutil.copytree(few_run, tmp_path / "run"), tmp_path / "victim"
    (run / "train.log").unlink()
    victim.write_text("mine")
    {"folder": Path.mkdir, "pipe": os.mkfifo, "link": lambda path: path.symlink_to(victim)}[kind](run / "train.log")
    done = run_train(f"resume={run}", "epochs=5", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "train.log is not a regular file. It was renamed to train.log.damaged" in done.stderr
    assert "continued at step" in (run / "train.log").read_text()
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["codes.npz", "run.json", "summary.json"])
def test_a_folder_in_the_place_of_a_file_is_set_aside(tmp_path, few_run, name):
    run = shutil.copytree(few_run, tmp_path / "run")
    (run / name).unlink()
    (run / name).mkdir()
    (run / name / "mine").touch()
    done = run_train(f"resume={run}", "epochs=5")
    assert done.returncode == 0, done.stdout
    assert (run / name).is_file()
    assert (run / f"{name}.damaged" / "mine").exists()


@pytest.mark.parametrize(
    "word",
    [
        "hydra.callbacks.x._target_=os.system",
        "hydra.job.env_set.LD_PRELOAD=/x",
        "+hydra.callbacks.x={_target_: subprocess.check_output}",
    ],
)
def test_words_that_hydra_cannot_use_are_one_line(tmp_path, few_run, few_images, word):
    for words in ((f"resume={few_run}", "epochs=5"), (*few_images, f"hydra.run.dir={tmp_path}/run")):
        done = run_train(*words, word)
        assert done.returncode == 1
        one_error_line(done)


def test_no_script_and_no_sweep_needs_a_reader(tmp_path, few_run, few_images):
    for words in (
        ["scripts/evaluate.py", str(few_run)],
        ["scripts/traverse.py", str(few_run), "--output", f"{tmp_path}/x.png"],
        ["scripts/report.py", str(shutil.copytree(few_run, tmp_path / "few"))],
        ["train.py", "-m", "beta=1,2", *quick(few_images), f"hydra.sweep.dir={tmp_path}/sweep"],
    ):
        command = ["bash", "-c", '"$@" > /dev/full', "-", sys.executable, *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 2
