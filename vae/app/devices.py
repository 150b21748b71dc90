"""The GPU of each member of a sweep whose members train side by side.

A member sees one GPU, by `CUDA_VISIBLE_DEVICES`: that with the fewest members. With more members than GPUs several
share one. As members end at different times, a GPU that followed from a member's number could have two while another
has none. The sweep holds a lock file for each member, which the system releases when the sweep ends. Sweeps that run
at the same time thereby share the GPUs evenly, too.
"""

import getpass
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from vae.config import Device

VARIABLE = "CUDA_VISIBLE_DEVICES"
PATIENCE_SECONDS = 30.0  # for the driver, which some machines load first
turns = itertools.count(os.getpid())  # so that two sweeps need not begin with the same GPU


def visible_devices(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a process sees, as `CUDA_VISIBLE_DEVICES` names them: by index, or by UUID (of MIG slices, too).

    What the variable already says is kept. Without it, `nvidia-smi` lists the GPUs; where there is none, there are no
    GPUs to share. torch is not loaded.

    Args:
        environment: of the process.

    Example:
        >>> visible_devices({"CUDA_VISIBLE_DEVICES": "3,GPU-8f6d"}), visible_devices({"CUDA_VISIBLE_DEVICES": ""})
        (['3', 'GPU-8f6d'], [])
    """
    if VARIABLE in environment:
        named = (name.strip() for name in environment[VARIABLE].split(","))
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), named))  # CUDA ignores what follows
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed_devices(answer.stdout) if answer.returncode == 0 else []


@cache
def own_devices() -> list[str]:
    """The GPUs that this process sees. They are listed once."""
    return visible_devices(os.environ)


def listed_devices(text: str) -> list[str]:
    r"""The UUIDs in the output of `nvidia-smi -L`: of each GPU, or of its MIG slices if it is divided.

    Indices are not taken, as CUDA may number the GPUs in another order than `nvidia-smi`.

    Example:
        >>> listed_devices("GPU 0: A (UUID: GPU-1)\n  MIG 1g Device 0: (UUID: MIG-2)\nGPU 1: A (UUID: GPU-3)")
        ['MIG-2', 'GPU-3']
    """
    found: list[str] = []
    for kind, uuid in re.findall(r"^\s*(GPU|MIG) .*\(UUID: ([\w/-]+)\)", text, re.MULTILINE):
        if kind == "MIG" and found and found[-1].startswith("GPU"):
            found.pop()  # the GPU that this slice is of
        found.append(uuid)
    return found


@contextmanager
def device_of_member(
    devices: Sequence[str], device: Device, places: Path | None = None
) -> Iterator[Mapping[str, str]]:
    """A place on a GPU while the block runs, as variables to add to the member's environment.

    They are empty if there are no two GPUs to choose from, and for a member on the CPU or an Apple GPU. If no lock
    file can be written, the members of this process take the GPUs in turn.

    Args:
        devices: as from `visible_devices`.
        device: that the member's configuration asks for.
        places: the folder of the lock files. None for one in the system's folder of temporary files.
    """
    if len(devices) < 2 or device in (Device.cpu, Device.mps):
        yield {}
        return
    with ExitStack() as stack:
        try:
            folder = Path(tempfile.gettempdir()) / f"beta-vae-{getpass.getuser()}" if places is None else places
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            chosen = stack.enter_context(least_used(devices, folder))
        except (OSError, KeyError):  # of getpass, if the user has no name
            chosen = devices[next(turns) % len(devices)]
        yield {VARIABLE: chosen}


@contextmanager
def least_used(devices: Sequence[str], folder: Path) -> Iterator[str]:
    """Hold a place on the device with the fewest members, the first of such. Gives the device.

    Raises:
        OSError: the lock files cannot be written.
    """
    with FileLock(folder / "choosing.lock"):
        chosen = min(devices, key=lambda device: sum(map(is_held, places_on(device, folder))))
        place = next(path for path in places_on(chosen, folder) if not is_held(path))
        lock = FileLock(place)
        lock.acquire()
    try:
        yield chosen
    finally:
        lock.release()


def places_on(device: str, folder: Path) -> list[Path]:
    """The lock files of a device, with a new one at the end."""
    name = re.sub(r"[^\w-]", "_", device)
    known = sorted(int(path.name.split(".")[-2]) for path in folder.glob(f"{name}.*.lock"))
    return [folder / f"{name}.{place}.lock" for place in (*known, known[-1] + 1 if known else 0)]


def is_held(place: Path) -> bool:
    """Whether a member has this place."""
    if not place.exists():
        return False
    try:
        with FileLock(place, timeout=0):
            return False
    except Timeout:
        return True
