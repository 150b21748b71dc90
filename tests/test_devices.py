"""Which GPU a member of a parallel sweep sees."""

import doctest
import os
import stat
import subprocess
import sys
from contextlib import ExitStack

import pytest
from command import QUIET, ROOT, run_train

from vae.app import devices
from vae.app.devices import device_of_member, listed_devices, visible_devices
from vae.config import Device

DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-e91edf3b-b297-37c1-a2a7-7601c3238fa2/1/0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-ba745dfd-2c50-0d1b-a4c6-fc5a7a6b61c6)
"""
SLICES = ["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-GPU-e91edf3b-b297-37c1-a2a7-7601c3238fa2/1/0"]
WHOLE = "GPU-ba745dfd-2c50-0d1b-a4c6-fc5a7a6b61c6"


def driver(folder, text: str, code: int = 0) -> None:
    """Put a program nvidia-smi with this output into the folder."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def seen(stack: ExitStack, places, asked: Device = Device.auto, names=("0", "1")) -> str | None:
    """The GPU of one more member, which trains until the stack is closed."""
    return stack.enter_context(device_of_member(names, asked, places)).get("CUDA_VISIBLE_DEVICES")


def test_the_examples_are_true():
    assert doctest.testmod(devices).failed == 0


@pytest.mark.parametrize(
    ("said", "names"), [("0", ["0"]), ("2, 0", ["2", "0"]), ("", []), ("-1", []), ("1,-1,0", ["1"]), (WHOLE, [WHOLE])]
)
def test_gpus_that_the_user_has_chosen_are_kept(said, names):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": said}) == names


def test_else_the_driver_lists_them_and_slices_stand_for_their_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    driver(tmp_path, DIVIDED)
    assert visible_devices({}) == listed_devices(DIVIDED) == [*SLICES, WHOLE]


def test_a_machine_without_gpus_or_without_their_driver_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    driver(tmp_path, "No devices were found", code=6)
    assert visible_devices({}) == []
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert visible_devices({}) == []


def test_members_fill_the_gpus_evenly(tmp_path):
    with ExitStack() as running:
        assert [seen(running, tmp_path) for _ in range(5)] == ["0", "1", "0", "1", "0"]


def test_the_next_member_takes_the_gpu_whose_member_has_ended(tmp_path):
    with ExitStack() as long:
        assert seen(long, tmp_path) == "0"
        for _ in range(3):  # members that end while the first still trains
            with ExitStack() as short:
                assert seen(short, tmp_path) == "1"


def test_a_gpu_whose_members_have_all_ended_comes_before_one_with_a_member(tmp_path):
    with ExitStack() as last, ExitStack() as first:
        assert [seen(first, tmp_path) for _ in range(2)] == ["0", "1"]
        assert seen(last, tmp_path) == "0"
        first.close()
        assert [seen(last, tmp_path) for _ in range(2)] == ["1", "0"]


def test_a_member_that_is_killed_gives_its_gpu_back(tmp_path):
    program = (
        "import os\nfrom pathlib import Path\nfrom vae.config import Device\n"
        "from vae.app.devices import device_of_member\n"
        f"with device_of_member(['0', '1'], Device.auto, Path({str(tmp_path)!r})) as found:\n"
        "    print(found, flush=True)\n    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert killed.stdout == "{'CUDA_VISIBLE_DEVICES': '0'}\n"
    with ExitStack() as running:
        assert seen(running, tmp_path) == "0"


def test_two_slices_are_two_devices_whatever_is_in_their_names(tmp_path):
    with ExitStack() as running:
        assert [seen(running, tmp_path, names=SLICES) for _ in range(3)] == [*SLICES, SLICES[0]]


@pytest.mark.parametrize(
    ("names", "asked"), [((), "auto"), (("1",), "cuda"), (("0", "1"), "cpu"), (("0", "1"), "mps")]
)
def test_a_member_with_nothing_to_choose_keeps_the_environment_as_it_is(tmp_path, names, asked):
    with ExitStack() as running:
        assert seen(running, tmp_path, Device(asked), names) is None


def test_where_no_lock_can_be_written_members_take_the_gpus_in_turn(tmp_path):
    (tmp_path / "file").touch()
    found = []
    for _ in range(4):
        with device_of_member(("0", "1"), Device.cuda, tmp_path / "file") as environment:
            found.append(environment["CUDA_VISIBLE_DEVICES"])
    assert found in (["0", "1"] * 2, ["1", "0"] * 2)


# The command

SEEN = """
import os, time
import numpy as np

def read(path):
    (path / str(os.getpid())).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    deadline = time.monotonic() + 60
    while len(os.listdir(path)) < 2 and time.monotonic() < deadline:  # until two members train at the same time
        time.sleep(0.02)
    return np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
"""


def test_members_side_by_side_see_a_gpu_each(tmp_path, monkeypatch):
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "places").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")  # this machine need not have them
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    data = ("data=custom", "data.target=seen:read", f"data.path={tmp_path}/places", "data.validation_size=10")
    small = ("data.test_size=10", "epochs=1", "model.hidden=[4]", "model.latent_dim=2", *QUIET)
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={tmp_path}/sweep")
    done = run_train("-m", "beta=1,2,3", *data, *small, *launcher, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = [
        path.read_text() for path in sorted((tmp_path / "places").iterdir(), key=lambda path: path.stat().st_mtime)
    ]
    assert len(seen) == 3
    assert set(seen[:2]) == {"5", "GPU-7"}
    assert seen[2] in seen[:2]
