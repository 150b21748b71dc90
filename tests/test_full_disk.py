"""What a full disk leaves: a limit of file size, a disk that takes nothing, and a device that is really full."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
import torch
from command import ROOT, SMALL, one_error_line, run_train

from vae.run import summary
from vae.run.summary import read_summary
from vae.run.tracking import Tracker

pytestmark = pytest.mark.usefixtures("mnist_root")

LIMITED = """
import resource, runpy, signal, sys
limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = ["train.py", *sys.argv[2:]]
runpy.run_path("train.py", run_name="__main__")
"""


def run_with_files_of(limit, *words):
    """The full disk that a test can make: no file may be larger than so many bytes."""
    command = [sys.executable, "-c", LIMITED, str(limit), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_full_disk_is_one_line_and_code_6(tmp_path, few_images):
    words = (*few_images, "tracking.tensorboard=false", f"hydra.run.dir={tmp_path}/run")
    done = run_with_files_of(300_000, *words)  # the checkpoint is the first above it
    assert done.returncode == 6, done.stderr
    assert "File too large" in one_error_line(done)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["config.yaml"]


def test_a_disk_that_takes_nothing_loses_nothing_of_a_run(tmp_path, few_images):
    run = tmp_path / "run"
    whole = run_train(*few_images, "epochs=2", "tracking.tensorboard=false", directory=run)
    assert whole.returncode == 0, whole.stdout
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    done = run_with_files_of(0, f"resume={run}", "epochs=4")
    assert done.returncode == 6
    assert "File too large" in one_error_line(done)
    assert {path: path.read_bytes() for path in before} == before
    again = run_train(f"resume={run}", "epochs=4")
    assert again.returncode == 0, again.stdout
    assert read_summary(run)["epochs"] == 4


ON_A_DEVICE = """
mount -t tmpfs -o size=20m none "$1" || exit 99
run="$1/run"; out="$2"; python="$3"; shift 3
"$python" train.py "$@" epochs=2 hydra.run.dir="$run" || exit 98
cp "$run/checkpoints/last" "$out/before"
dd if=/dev/zero of="$run/../filler" bs=4k 2> "$out/filled"
truncate -s -"$FREE" "$run/../filler"
"$python" train.py resume="$run" epochs=4 > "$out/said" 2>&1; code=$?
ls "$run/checkpoints" > "$out/left"
cp "$run/checkpoints/last" "$out/after"
rm "$run/../filler"
"$python" train.py resume="$run" epochs=4 || exit 97
cp "$run/summary.json" "$out"
exit $code
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="a device of one's own takes Linux's unshare")
@pytest.mark.parametrize("free", ["0", "64k"], ids=["no log either", "no checkpoint"])
def test_on_a_full_device_the_last_checkpoint_stays_and_the_run_goes_on_when_there_is_room(tmp_path, few_images, free):
    device = tmp_path / "device"
    device.mkdir()
    words = [*few_images, "model.hidden=[64]", "tracking.tensorboard=false"]
    # A mount of this command's own, which ends with it.
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_DEVICE, "sh", str(device), str(tmp_path)]
    environment = os.environ | {"FREE": free}
    done = subprocess.run(
        [*command, sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    if done.returncode == 99 or "unshare: " in done.stderr:
        pytest.skip(f"this machine lends no device: {done.stderr.strip()}")
    said = (tmp_path / "said").read_text()
    assert done.returncode == 6, said + done.stderr
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    assert (tmp_path / "left").read_text().split() == ["best", "config.yaml", "last", "previous"]
    assert (read_summary(tmp_path)["status"], read_summary(tmp_path)["epochs"]) == ("done", 4)


def test_where_tensorboards_files_cannot_be_written_the_run_says_so_once_and_goes_on(tmp_path, few_images):
    tiny = ("model.hidden=[8]", "model.latent_dim=2", "epochs=2")
    done = run_with_files_of(250_000, *few_images, *tiny, f"hydra.run.dir={tmp_path}/run")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("warning: TensorBoard's files cannot be written: File too large.") == 1
    assert "Traceback" not in said
    assert read_summary(tmp_path / "run")["status"] == "done"


@pytest.mark.parametrize("words", [("-m", "beta=1,2"), ()], ids=["a sweep", "one run"])
def test_where_not_even_a_directory_can_be_made_it_is_one_line_and_code_6(tmp_path, words):
    where = f"hydra.sweep.dir='{tmp_path}/sweep'" if words else f"hydra.run.dir='{tmp_path}/run'"
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, *words, *SMALL, where], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 6, done.stderr
    assert "No space left on device" in one_error_line(done)


NO_ROOM = """
import errno, os, pathlib, runpy, sys

def mkdir(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

pathlib.Path.mkdir = os.makedirs = mkdir
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def test_a_failure_that_cannot_be_written_down_is_a_warning(tmp_path, caplog, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(summary, "write_json", refused)
    summary.write_failure(tmp_path, 6, "see its train.log", beta=4.0, seed=0)
    assert "summary.json could not be written: No space left on device" in caplog.text


def test_a_figure_that_does_not_fit_leaves_the_one_before(tmp_path, caplog):
    def take(picture, limit):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with closing(Tracker(tmp_path, 0, tensorboard=True)) as tracker:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                tracker.picture("noise", picture, 1)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    take(torch.full((8, 8, 3), 128, dtype=torch.uint8), 1_000_000)
    old = (tmp_path / "figures/noise.png").read_bytes()
    take(torch.randint(0, 256, (100, 100, 3), dtype=torch.uint8), 10_000)
    assert "TensorBoard's files cannot be written: File too large" in caplog.text
    assert (tmp_path / "figures/noise.png").read_bytes() == old
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["noise.png"]
