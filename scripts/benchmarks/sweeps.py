"""Members of a sweep side by side, or one after another: real processes on a small configuration."""

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.plan import Plan
from benchmarks.processes import python, run_to_end
from benchmarks.rows import Absent, Row, Target
from benchmarks.turns import ratio

WORKERS = (1, 2)


def why_absent() -> str | None:
    """The line to print where members cannot run side by side."""
    if find_spec("hydra_plugins") is not None and find_spec("hydra_plugins.hydra_joblib_launcher") is not None:
        return None
    return "hydra-joblib-launcher is not installed: pip install '.[bench]'"


def command(folder: Path, workers: int, members: int, epochs: int) -> list[str]:
    """The sweep as a user starts it. One worker gets all threads, two share them out."""
    betas = ",".join(str(beta) for beta in range(1, members + 1))
    words = (f"beta={betas}", f"epochs={epochs}", "model.latent_dim=10", f"hydra.sweep.dir='{folder}'", "device=cpu")
    return python("train.py", "-m", *words, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}")


def rows(plan: Plan) -> list[Row | Absent]:
    """Members an hour with one and with two workers, and their ratio."""
    absent = why_absent()
    if absent is not None:
        return [Absent(absent)]
    seconds: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for _ in range(plan.sweeps):
        for workers, taken in seconds.items():
            with TemporaryDirectory() as name:
                sweep = command(Path(name) / "sweep", workers, plan.members, plan.member_epochs)
                taken.append(run_to_end(sweep).seconds)
    hourly = [
        Row(f"members an hour, {workers} at a time", 3600 * plan.members / median(taken), "members/h")
        for workers, taken in seconds.items()
    ]
    return [*hourly, ratio("members an hour: 2 at a time over 1", seconds[1], seconds[2], Target(1.5, 1.8))]
