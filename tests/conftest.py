"""What several test files stand on."""

import logging
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from command import MEMBER, SMALL, Answer, made_once
from data_files import filled, only_mirror, write_good
from small_trainings import begin, splits  # noqa: F401 - fixtures

import train
from vae.config import Dataset
from vae.data import ImageSet
from vae.data.mnist import ensure_files, read_idx
from vae.training.hardware import choose_library


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A second thread gains small tensors nothing, and on a busy machine they wait for it. Runs inherit this."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONUNBUFFERED", None)  # runs must flush their lines themselves


@pytest.fixture
def two_threads():
    """As a run has them that is not told otherwise, with the library that makes its products."""
    torch.set_num_threads(2)
    choose_library(torch.device("cpu"))
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def as_torch_comes():
    """A run flushes denormals, with which hypothesis would not go on, and chooses who makes its products."""
    yield
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The default root, with the real MNIST in it; fetched the first time."""
    root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "beta-vae"
    ensure_files(Dataset.MNIST, root, download=True, timeout_seconds=60.0)
    return root


@pytest.fixture(scope="session")
def few_images(mnist_root, shared, worker_id) -> tuple[str, ...]:
    """The words of a run of 40 steps on 3 500 real digits, for what needs no more: half the time of a run on all."""
    path = shared / "digits.npz"  # the same for all workers, and for the sweep that they share
    own = path.with_name(f"digits_{worker_id}.npz")
    np.savez(own, images=read_idx(mnist_root / "MNIST/raw/t10k-images-idx3-ubyte")[:3_500])
    own.rename(path)
    data = ("data=images", f"data.path={path}", "data.validation_size=500", "data.test_size=500")
    return (*data, "data.binarisation=dynamic", "likelihood=bernoulli", "epochs=4", "batch_size=250")


@pytest.fixture(scope="session")
def few_words(few_images) -> tuple[str, ...]:
    """The words of `few_run`."""
    return (*few_images, "beta=4", "model.hidden=[64]", "model.latent_dim=2", "tracking.log_every_steps=4")


@pytest.fixture(scope="session")
def few_run(few_words, shared) -> Path:
    """The directory of a run on few images, four epochs of ten steps. Read only, like `finished_run`."""
    return made_once(shared / "few" / "run", few_words)


@pytest.fixture(scope="session")
def multi_rate(few_images, shared) -> Path:
    """The directory of a run with a model for each beta from 0.1 to 10. Read only, like `finished_run`."""
    small = ("model.hidden=[16]", "model.latent_dim=3", "epochs=1", "tracking.tensorboard=false")
    return made_once(shared / "multi_rate" / "run", (*few_images, *small, "objective=multi_rate", "beta=2"))


@pytest.fixture(scope="session")
def tiny_images() -> ImageSet:
    """256 grey images of a soft bar, 1 x 28 x 28, the same at every call; the label is the bar's angle."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 10
    angle = labels * math.pi / 10
    centre = 13.5 + 3 * torch.randn(256, 2, generator=generator)
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    dy, dx = y - centre[:, 0, None, None], x - centre[:, 1, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    pixels = 255 * torch.exp(-((along / 7) ** 4) - (across / 1.5) ** 2)
    return ImageSet(pixels=pixels.byte().unsqueeze(1), labels=labels, redrawn=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window, for test files that import from `browsing`."""
    from browsing import opened  # not above: importing it skips the file where there is no browser

    with opened() as driver:
        yield driver


@pytest.fixture(scope="session")
def kmnist_files(tmp_path_factory) -> Path:
    """A folder with four files of KMNIST's structure, and their .gz."""
    folder = tmp_path_factory.mktemp("kmnist")
    write_good(folder)
    return folder


@pytest.fixture
def kmnist_folder(tmp_path, kmnist_files) -> Path:
    """<root>/KMNIST/raw with the four files; as links, so that a test may replace them at no cost."""
    return filled(tmp_path / "root" / "KMNIST" / "raw", kmnist_files)


@pytest.fixture
def offline(monkeypatch) -> None:
    """Both sources of files fail at once, as without a network."""
    for name in Dataset:
        only_mirror(monkeypatch, "http://127.0.0.1:9/", name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder of this session that all its workers see."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def finished_sweep(few_images, shared) -> Path:
    """The directory of a sweep of two members on few images, beta 1 and 8. Read only, like `finished_run`."""
    return made_once(shared / "sweeps" / "sweep", ("-m", *few_images, *MEMBER, "beta=1,8"))


@pytest.fixture(scope="session")
def finished_run(request, shared):
    """The directory of a small run that the real command line made on real MNIST: two latents, two epochs, beta 4.

    All workers read it; a test that writes in it takes a copy.
    """
    request.getfixturevalue("mnist_root")  # a first start fetches it under its own time limit
    return made_once(shared / "runs" / "beta=4", ("beta=4", *SMALL))


@pytest.fixture
def trained(monkeypatch, capfd) -> Callable[..., Answer]:
    """`python train.py WORDS` in this process, which has loaded torch already; a sweep starts its members as ever."""

    def answer(*words: str, directory: Path | None = None) -> Answer:
        where = [] if directory is None else [f"hydra.run.dir='{directory}'"]
        monkeypatch.setattr("sys.argv", ["train.py", *words, *where])
        package, interrupted = logging.getLogger("vae"), signal.getsignal(signal.SIGINT)
        before, level = list(package.handlers), package.level
        capfd.readouterr()
        try:
            code = train.main()
        except SystemExit as stopped:
            code = stopped.code
        finally:
            signal.signal(signal.SIGINT, interrupted)
            package.setLevel(level)
            for handler in set(package.handlers) - set(before):
                package.removeHandler(handler)
                handler.close()
        return Answer(code, *capfd.readouterr())

    return answer


@pytest.fixture
def called(monkeypatch, capsys, caplog) -> Callable[..., Answer]:
    """`python scripts/SCRIPT.py WORDS` in this process, which has loaded torch already: its code and what it said.

    What it logs goes to pytest instead of stderr, and is put there again.
    """

    def answer(script: ModuleType, *words: str) -> Answer:
        monkeypatch.setattr("sys.argv", [f"{script.__name__}.py", *words])
        capsys.readouterr()
        caplog.clear()
        try:
            code = script.main()
        except SystemExit as stopped:
            code = stopped.code
        out, err = capsys.readouterr()
        logged = [f"{record.getMessage()}\n" for record in caplog.records if record.levelno >= logging.WARNING]
        return Answer(code, out, "".join(logged) + err)

    return answer
