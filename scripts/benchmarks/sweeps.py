"""Members of a sweep side by side, or one after another: real processes on a small configuration."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.plan import Plan
from benchmarks.processes import python, run_to_end
from benchmarks.rows import Row
from benchmarks.turns import ratio

MEMBERS = 4
EPOCHS = 5


def rows(plan: Plan) -> list[Row]:
    """Members an hour with one and with two workers, and their ratio."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(plan.processes):
        for workers, taken in seconds.items():
            with TemporaryDirectory() as name:
                taken.append(run_to_end(sweep_command(Path(name) / "sweep", workers)).seconds)
    hourly = [
        Row(f"members an hour, {workers} at a time", 3600 * MEMBERS / median(taken), "members/h")
        for workers, taken in seconds.items()
    ]
    return [*hourly, ratio("members an hour: 2 at a time over 1", seconds[1], seconds[2])]


def sweep_command(folder: Path, workers: int) -> list[str]:
    """The sweep as a user starts it. One worker uses all threads, two share them out."""
    betas = ",".join(str(beta) for beta in range(1, MEMBERS + 1))
    words = (f"beta={betas}", f"epochs={EPOCHS}", "model.latent_dim=10", f"hydra.sweep.dir='{folder}'", "device=cpu")
    return python("train.py", "-m", *words, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}")
