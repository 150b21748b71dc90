"""Try the promises of tests/README.md on the real command many times: `python tests/programs/trials.py NAME [COUNT]`.

Every trial runs `python train.py` on MNIST's test digits. A full count takes minutes; the test suite runs a few.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from board import LOADERS, serving
from command import ROOT
from results import logged, result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_bad_command_lines import TABLE

from vae.config import Dataset
from vae.data.mnist import ensure_files, read_idx
from vae.run.names import LAST_CHECKPOINT, METRICS

TRAIN = [sys.executable, str(ROOT / "train.py")]
SHORT = ("epochs=6", "batch_size=100", "model.hidden=[64]", "model.latent_dim=2", "threads=1")
OFTEN = ("tracking.log_every_steps=3", "tracking.save_every_steps=1")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def digits(folder: Path) -> tuple[str, ...]:
    """The overrides of a run on 3 500 digits."""
    root = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "beta-vae"
    ensure_files(Dataset.MNIST, root, download=True, timeout_seconds=60.0)
    np.savez(folder / "digits.npz", images=read_idx(root / "MNIST/raw/t10k-images-idx3-ubyte")[:3_500])
    return ("data=images", f"data.path={folder}/digits.npz", "data.validation_size=500", "data.test_size=500", *SHORT)


def start(*words: str, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
    """Start `python train.py WORDS` without output."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*TRAIN, *words], cwd=cwd, **silent)  # type: ignore[call-overload, no-any-return]


def to_end(*words: str) -> float:
    """Run `python train.py WORDS`, which must succeed. Returns the seconds."""
    started = time.perf_counter()
    done = subprocess.run([*TRAIN, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"python train.py {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


def family(process: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return [process]
    return [process, *(member for child in children for member in family(int(child)))]


def kill(processes: list[int]) -> None:
    """Send SIGKILL to the processes that still exist."""
    for process in processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def killed_runs(count: int, folder: Path, moments: random.Random) -> int:
    """Runs killed one to three times end like one that was not, and TensorBoard shows every step once."""
    words = (*digits(folder), *OFTEN)
    whole = folder / "whole"
    seconds = to_end(*words, f"hydra.run.dir='{whole}'")
    kept = 0
    for trial in range(count):
        run = folder / f"trial{trial}" / "run"  # a folder with one run, for TensorBoard
        for last in [False] * moments.randint(1, 3) + [True]:
            begun = (run / LAST_CHECKPOINT).exists()
            again = [f"resume={run}"] if begun else [*words, f"hydra.run.dir='{run}'"]
            if last:
                to_end(*again)
            else:
                process = start(*again)
                time.sleep(moments.uniform(0, seconds))
                kill([process.pid])
                process.wait()
        same = result(run) == result(whole) and logged(run) == logged(whole)
        kept += same and shown_once(run, folder / f"server{trial}")
    return kept


def asked_to_stop(count: int, folder: Path, moments: random.Random) -> int:
    """Runs stop within 2 s of a signal, with the signal's exit code, and resume to the undisturbed result."""
    words = digits(folder)
    whole = folder / "whole"
    seconds = to_end(*words, f"hydra.run.dir='{whole}'")
    kept, waits = 0, []
    for trial in range(count):
        run = folder / f"run{trial}"
        process = start(*words, f"hydra.run.dir='{run}'")
        time.sleep(moments.uniform(0.1, 0.9) * seconds)
        number = moments.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        process.send_signal(number)
        sent = time.perf_counter()
        code = process.wait()
        waits.append(time.perf_counter() - sent)
        stopped = code in (128 + number, -number)  # -number: before Python has reached train.py
        if code != 0 and not stopped:  # 0: it had ended already
            print(f"run {trial}: signal {number} gave code {code}")
            continue
        if stopped:
            begun = (run / LAST_CHECKPOINT).exists()
            to_end(*([f"resume={run}"] if begun else [*words, f"hydra.run.dir='{run}'"]))
        same = result(run) == result(whole) and logged(run) == logged(whole)
        if not same or waits[-1] >= 2.0:
            kind = "the same" if same else "another"
            print(f"run {trial}: {kind} result, code {code} {waits[-1]:.2f} s after signal {number}")
        kept += same and waits[-1] < 2.0
    print(f"from the signal to the exit: median {median(waits):.2f} s, longest {max(waits):.2f} s")
    return kept


def shown_once(run: Path, output: Path) -> bool:
    """Whether the event files and both of TensorBoard's loaders show the steps of metrics.jsonl, each once."""
    expected: dict[str, list[int]] = {}
    for line in logged(run):
        for tag in line.keys() - {"step"}:
            expected.setdefault(tag, []).append(int(line["step"]))
    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    seen = [{tag: [event.step for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}]
    for loader in LOADERS:
        with serving(run, output, loader, "--samples_per_plugin=scalars=100000") as server:
            seen.append({tag: server.steps(tag) for tag in server.tags("scalars")})
    for tags in seen:
        tags.pop("train/images_per_second", None)
    rising = all(a < b for steps in expected.values() for a, b in pairwise(steps))
    return rising and all(tags == expected for tags in seen)


def killed_sweeps(count: int, folder: Path, moments: random.Random) -> int:
    """Sweeps killed at a random moment, alone or with their members, are completed by the same command."""
    words = ("-m", *digits(folder), "beta=1,8", "tracking.tensorboard=false", "tracking.save_every_steps=5")
    whole = folder / "whole"
    seconds = to_end(*words, f"hydra.sweep.dir={whole}")
    kept = 0
    for trial in range(count):
        sweep = folder / f"sweep{trial}"
        again = (*words, f"hydra.sweep.dir={sweep}", *(JOBLIB if trial % 2 else ()))
        process = start(*again)
        time.sleep(moments.uniform(0, seconds))
        kill(family(process.pid)[: None if trial % 4 < 2 else 1])
        process.wait()
        to_end(*again)
        names = sorted(member.parent.name for member in whole.glob("*/summary.json"))
        kept += len(names) == 2 and all(result(sweep / name) == result(whole / name) for name in names)
    return kept


def starts(count: int, folder: Path, _: random.Random) -> int:
    """Runs that start at the same moment each get a directory."""
    words = (*digits(folder), "epochs=1", "tracking.tensorboard=false")
    processes = [start(*words, cwd=folder) for _ in range(count)]
    ended = sum(process.wait() == 0 for process in processes)
    found = sum((run / "summary.json").exists() for run in (folder / "outputs").iterdir())
    return min(ended, found)


def usage_of(process: subprocess.Popen[bytes], progress: Callable[[], int]) -> dict[int, tuple[int, int]]:
    """The number of open files and the KiB of memory of a process, by its progress."""
    found: dict[int, tuple[int, int]] = {}
    while process.poll() is None:
        time.sleep(0.2)
        done = progress()
        try:
            status = Path(f"/proc/{process.pid}/status").read_text().split("VmRSS:")[1]
            found[done] = len(os.listdir(f"/proc/{process.pid}/fd")), int(status.split()[0])
        except (OSError, IndexError):
            continue
    return found


def has_not_grown(found: dict[int, tuple[int, int]], start: float, end: float, mebibytes: int) -> bool:
    """Whether the process kept no files open and its memory grew by less than `mebibytes`.

    Compares the first and the last third of the progress from `start` to `end`, by the fewest open files of each: a
    file that is being saved is open for a moment.
    """
    third = max(1.0, (end - start) / 3)
    early = [seen for done, seen in found.items() if start <= done <= start + third and done < end]
    late = [seen for done, seen in found.items() if end - third <= done < end]
    files = [min(seen[0] for seen in part) for part in (early, late)]
    memory = [median(seen[1] for seen in part) / 1024 for part in (early, late)]
    print(f"open files {files[0]} -> {files[1]}, memory {memory[0]:.0f} -> {memory[1]:.0f} MiB")
    return files[1] <= files[0] and memory[1] - memory[0] < mebibytes


def members(count: int, folder: Path, _: random.Random) -> int:
    """A long sweep leaves no files open, and its memory grows by less than 50 MiB after the second member."""
    words = (*digits(folder), "epochs=1", "tracking.tensorboard=false", f"seed=range(0,{count})")
    process = start("-m", *words, f"hydra.sweep.dir={folder}/sweep")
    found = usage_of(process, lambda: len(list((folder / "sweep").glob("*/summary.json"))))
    return count if has_not_grown(found, 2, count, 50) and process.returncode == 0 else 0


def epochs(count: int, folder: Path, _: random.Random) -> int:
    """A long run leaves no files open, and its memory grows by less than 10 MiB after a quarter of its epochs."""
    run = folder / "run"
    process = start(*digits(folder), f"epochs={count}", f"hydra.run.dir={run}")
    found = usage_of(process, lambda: sum(path.read_text().count("validation/elbo") for path in run.glob(METRICS)))
    return count if has_not_grown(found, count / 4, count, 10) and process.returncode == 0 else 0


def bad_lines(count: int, folder: Path, moments: random.Random) -> int:
    """Bad command lines get one line and code 1 or 2, and leave no files. Prints how long that takes."""
    rows = [(words.split(" "), code) for words, code, _ in TABLE if "\x00" not in words]
    listed = list(rows)
    while len(rows) < count:  # the same lines with an unknown key added
        words, _ = moments.choice(listed)
        rows.append(([*words, f"q{moments.randrange(10**6)}x=1"], 0))
    taken, kept = [], 0
    for words, code in rows[:count]:
        started = time.perf_counter()
        done = subprocess.run([*TRAIN, *words], cwd=folder, capture_output=True, text=True, check=False)
        taken.append(time.perf_counter() - started)
        answered = done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and done.stdout == ""
        right = done.returncode == code if code else done.returncode in (1, 2)
        kept += answered and right and "Traceback" not in done.stderr and list(folder.iterdir()) == []
    slowest = max(range(len(taken)), key=taken.__getitem__)
    print(f"median {median(taken):.2f} s, slowest {taken[slowest]:.2f} s: {' '.join(rows[slowest][0])[:60]}")
    return kept


TRIALS: dict[str, tuple[int, Callable[[int, Path, random.Random], int]]] = {
    "killed_runs": (30, killed_runs),
    "asked_to_stop": (50, asked_to_stop),
    "killed_sweeps": (20, killed_sweeps),
    "starts": (20, starts),
    "members": (50, members),
    "epochs": (200, epochs),
    "bad_lines": (200, bad_lines),
}


def main() -> int:
    """Print the number of good trials. The exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TRIALS)
    parser.add_argument("count", type=int, nargs="?", help="number of trials")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    arguments = parser.parse_args()
    usual, trial = TRIALS[arguments.name]
    count = arguments.count or usual
    # A shell ignores SIGINT in background jobs, and the runs started here would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        kept = trial(count, Path(folder), random.Random(arguments.seed))
    print(f"{arguments.name}: {kept} of {count}")
    return 0 if kept == count else 1


if __name__ == "__main__":
    sys.exit(main())
