"""Speed and memory of training, beside a plain DataLoader loop: `python scripts/benchmark.py`, or `make bench`.

Everything is measured in one run on this machine. The two loops take turns, epoch by epoch, and the ratio is the
median over the pairs: a shared machine changes its speed, but not between one epoch and the next.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vae import monitoring, training
from vae.build import build_objective, build_options, build_vae, new_state, prepare_torch, read_data
from vae.command_line import compose
from vae.config import Config
from vae.data import Splits
from vae.provenance import revision
from vae.tracking import Progress, Tracker

ROOT = Path(__file__).resolve().parents[1]
LOGGING = (
    (training, "log_interval"),
    (monitoring, "report_numbers"),
    (monitoring, "show_pictures"),
    (monitoring, "show_embedding"),
)


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="epochs of each loop (5)")
    parser.add_argument("--epochs", type=int, default=25, help="length of the run whose logging is timed (25)")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    arguments = parser.parse_args()
    # Before anything computes, as a run does it: torch's threads take the treatment of denormals from the one that
    # starts them. The plain loop gains from it too.
    prepare_torch(compose(["device=cpu"], ROOT / "configs"))
    numbers: dict[str, Any] = {
        "revision": revision(),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    numbers |= epochs_side_by_side(arguments.pairs)
    numbers |= share_of_logging(arguments.epochs)
    numbers |= peak_memory()
    for name, value in numbers.items():
        print(f"{name:44} {value if isinstance(value, str | None) else f'{value:.4g}'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


def epochs_side_by_side(pairs: int) -> dict[str, float]:
    """One epoch of `experiment=pytorch_example` against the same network and data in a plain loop."""
    grey = compose(["experiment=pytorch_example", "device=cpu"], ROOT / "configs")
    binarised = compose(["data.validation_size=0", "device=cpu"], ROOT / "configs")
    with tempfile.TemporaryDirectory() as folder:
        loops = {
            "plain": plain_loop(grey),
            "grey": our_epochs(grey, Path(folder) / "grey"),
            "binarised": our_epochs(binarised, Path(folder) / "binarised"),
            "bf16": our_epochs(replace(grey, precision=type(grey.precision).bf16), Path(folder) / "bf16"),
        }
        for epoch in loops.values():  # caches and lazy initialisation
            epoch()
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(pairs):
            for name, epoch in loops.items():
                started = time.perf_counter()
                epoch()
                seconds[name].append(time.perf_counter() - started)
    ratios = {
        f"speed-up over the plain loop, {name}": median(a / b for a, b in zip(seconds["plain"], times, strict=True))
        for name, times in seconds.items()
        if name != "plain"
    }
    return {f"epoch of 60 000 images, {name}, s": median(times) for name, times in seconds.items()} | ratios


def our_epochs(config: Config, directory: Path) -> Callable[[], None]:
    """Our loop as a run has it, its numbers logged; each call trains one more epoch."""
    run = assemble(config, read_data(config), directory, tensorboard=True)

    def epoch() -> None:
        training.train_epoch(run)

    return epoch


def assemble(config: Config, splits: Splits, directory: Path, *, tensorboard: bool) -> training.Training:
    """A run without its banner."""
    directory.mkdir(parents=True)
    device = prepare_torch(config)
    vae = build_vae(config, splits.train.shape)
    vae.start_at(splits.train.mean(), splits.train.variance())
    objective = build_objective(config, len(splits.train), device)
    return training.Training(
        state=new_state(config, vae, device, objective),
        splits=splits,
        objective=objective,
        options=build_options(config, len(splits.train)),
        tracker=Tracker(directory, 0, tensorboard=tensorboard),
        progress=Progress(1, 0, shown=False),
        directory=directory,
    )


def plain_loop(config: Config) -> Callable[[], None]:
    """The loop of the tutorials: images one by one through ToTensor, a DataLoader, losses from torch.nn.functional."""
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    torch.manual_seed(config.seed)
    images = MNIST(Path(config.data.root).expanduser(), train=True, transform=ToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=config.batch_size, shuffle=True)
    encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=config.learning_rate)

    def epoch() -> None:
        total = 0.0
        for x, _ in loader:
            x = x.view(-1, 784)
            mean, logvar = encoder(x).chunk(2, 1)
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
            distortion = functional.binary_cross_entropy(decoder(z), x, reduction="sum")
            rate = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
            loss: Tensor = distortion + rate
            optimizer.zero_grad()
            loss.backward()
            total += loss.item()
            optimizer.step()

    return epoch


def share_of_logging(epochs: int) -> dict[str, float]:
    """The time that everything about TensorBoard and metrics.jsonl takes in the default run."""
    config = compose(["device=cpu", f"epochs={epochs}"], ROOT / "configs")
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            nonlocal spent
            started = time.perf_counter()
            result = function(*arguments)
            spent += time.perf_counter() - started
            return result

        return wrapper

    originals = [(module, name, getattr(module, name)) for module, name in LOGGING]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = assemble(config, read_data(config), Path(folder) / "run", tensorboard=True)
        for module, name, function in originals:
            setattr(module, name, timed(function))
        try:
            training.fit(run)
        finally:
            for module, name, function in originals:
                setattr(module, name, function)
        total = time.perf_counter() - started
    return {
        f"{epochs} epochs with validation and logging, s": total,
        "of it training, s": run.state.seconds,
        "of it logging, s": spent,
        "logging as % of training": 100 * spent / run.state.seconds,
    }


def peak_memory() -> dict[str, float]:
    """The largest resident memory of `python train.py` with its default network and data, one epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "epochs=1", "device=cpu", f"hydra.run.dir={folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB here
    return {"peak memory of a run, GB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9}


if __name__ == "__main__":
    main()
