"""A mirror that stalls, drips, cuts, refuses or lies: torchvision asks a real server that does."""

import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from data_files import state

from vae.config import Dataset
from vae.data import DataError, ensure_files, fetch

TIMEOUT = 8.0  # seconds of a source that never ends; the default is 30
OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: 9912422\r\n\r\n"


def stall(_) -> None:
    time.sleep(60)


def stall_after_the_header(send) -> None:
    send(OK)
    time.sleep(60)


def drip(send) -> None:
    send(OK)
    while True:
        send(b"\x1f")
        time.sleep(0.2)


def cut(send) -> None:
    send(OK + bytes(10_000))


def say_nothing(_) -> None:
    pass


def lie(send) -> None:
    page = b"<!DOCTYPE html><title>login</title>" * 30
    send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)


def fail(send) -> None:
    send(b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def circle(send) -> None:
    send(b"HTTP/1.0 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


def babble(send) -> None:
    send(b"\x00\xff" * 1_000)


ENDLESS = (stall, stall_after_the_header, drip)
FAULTS = (*ENDLESS, cut, say_nothing, lie, fail, circle, babble)


@contextmanager
def server(fault, *, expected: bool = True) -> Iterator[str]:
    """The address of a server on loopback that answers every request with the fault, and is `expected` to be asked."""

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
    assert asked.is_set() or not expected, "nobody asked the server"


@pytest.fixture
def only_mirror(monkeypatch):
    """Have torchvision ask this address alone, and the package be nowhere."""

    def ask(address: str) -> None:
        program = (
            "import sys, torchvision; kind = getattr(torchvision.datasets, sys.argv[1]);"
            "kind.mirrors = [sys.argv[3]]; kind(sys.argv[2], download=True)"
        )
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(
            fetch,
            "mirrors_command",
            lambda name, scratch, _: [sys.executable, "-P", "-c", program, name.value, str(scratch), address],
        )
        gone = [sys.executable, "-ISc", "import sys; sys.exit('asked the package')"]
        monkeypatch.setattr(fetch, "package_command", lambda _: gone)

    return ask


def asked_in_vain(tmp_path, timeout_seconds: float) -> tuple[str, float]:
    started = time.monotonic()
    with pytest.raises(DataError) as caught:
        ensure_files(Dataset.MNIST, tmp_path / "root", download=True, timeout_seconds=timeout_seconds)
    return str(caught.value), time.monotonic() - started


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_after_a_faulty_mirror_the_next_source_is_asked_in_time(fault, only_mirror, tmp_path):
    with server(fault) as address:
        only_mirror(address)
        limit = TIMEOUT if fault in ENDLESS else 60.0
        said, seconds = asked_in_vain(tmp_path, limit)
    assert len(said.splitlines()) == 1
    assert said.index("torchvision's mirrors: ") < said.index("asked the package")
    assert (f"no answer within {TIMEOUT:g} s" in said) == (fault in ENDLESS)
    assert seconds < limit + 5
    assert not state(tmp_path / "root")


def test_after_a_mirror_that_refuses_the_next_source_is_asked(only_mirror, tmp_path):
    with server(cut, expected=False) as address:
        pass  # nobody listens there any more
    only_mirror(address)
    said, _ = asked_in_vain(tmp_path, 60.0)
    assert "asked the package" in said
    assert not state(tmp_path / "root")
