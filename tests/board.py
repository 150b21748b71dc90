"""The real TensorBoard server, started on a folder and asked over HTTP as its page would."""

import contextlib
import functools
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from PIL import Image

LOADERS = ("--load_fast=false", "--load_fast=auto")  # in Python, and the default
HTTP = build_opener(ProxyHandler({}))  # loopback only, whatever proxy the environment names


@dataclass(frozen=True, eq=False)  # a port may be used twice, by servers that answer otherwise
class Server:
    """A TensorBoard server, and the run that it is asked about."""

    address: str
    run: str

    def bytes(self, path: str, **query: str) -> bytes:
        with HTTP.open(f"{self.address}data/{path}?{urlencode(query)}", timeout=20) as answer:
            return answer.read()

    def ask(self, path: str, **query: str) -> Any:
        return json.loads(self.bytes(path, **query))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.address}data/{path}", data=json.dumps(body).encode(), headers=headers)
        with HTTP.open(request, timeout=20) as answer:
            return json.loads(answer.read())

    def tags(self, plugin: str) -> set[str]:
        return set(self.ask(f"plugin/{plugin}/tags").get(self.run, ()))

    @functools.cache  # noqa: B019 - there are few
    def series(self, tag: str) -> list[tuple[int, float]]:
        points = self.ask("plugin/scalars/scalars", run=self.run, tag=tag)
        return [(step, value) for _, step, value in points]

    def steps(self, tag: str) -> list[int]:
        return [step for step, _ in self.series(tag)]

    def values(self, tag: str) -> list[float]:
        return [value for _, value in self.series(tag)]

    def text(self, tag: str) -> list[dict[str, Any]]:
        return self.ask("plugin/text/text", run=self.run, tag=f"{tag}/text_summary")

    def pictures(self, name: str) -> dict[int, np.ndarray]:
        """The pictures of a name by step, decoded from the PNG that the page would get."""
        found = {}
        for entry in self.ask("plugin/images/images", run=self.run, tag=f"figures/{name}"):
            with HTTP.open(f"{self.address}data/plugin/images/individualImage?{entry['query']}", timeout=20) as answer:
                assert answer.headers["Content-Type"] == "image/png"
                found[entry["step"]] = decoded(answer.read())
        return found

    def session_groups(self) -> list[dict[str, Any]]:
        request = {
            "startIndex": 0,
            "sliceSize": 100,
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
            "colParams": [],
        }
        return self.post("plugin/hparams/session_groups", request).get("sessionGroups", [])

    @property
    def loaded(self) -> bool:
        """Whether the events of a run have been read up to the last."""
        return any(
            session.get("status") == "STATUS_SUCCESS"
            for group in self.session_groups()
            for session in group["sessions"]
        )


@contextlib.contextmanager
def serving(run: Path, output: Path, *flags: str) -> Iterator[Server]:
    """The server of `python -m tensorboard.main` on the folder of a run, up and loaded; it ends with the block."""
    words = ["-m", "tensorboard.main", "--logdir", str(run.parent), "--host", "localhost", "--port", "0", *flags]
    deadline = time.monotonic() + 120
    with (
        output.open("wb") as file,
        subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file) as process,
    ):
        try:
            while not (address := re.search(r"http://localhost:\d+/", output.read_text())):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.1)
            server = Server(address[0], run.name)
            while not server.loaded:
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.2)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def decoded(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image)
