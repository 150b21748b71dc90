"""The real command line, as a user starts it."""

import os
import pty
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "tests" / "examples"  # parts of one's own, as the README shows them

# A run of a few seconds on real MNIST.
SMALL = ("epochs=2", "batch_size=500", "model.hidden=[64]", "model.latent_dim=2", "tracking.log_every_steps=20")

# A run that leaves neither TensorBoard's files nor an explorer page.
QUIET = ("tracking.tensorboard=false", "tracking.explorer=false")

# With `few_images`, a member of a sweep: of more steps, so that a test has the time to disturb it.
MEMBER = ("epochs=3", "batch_size=50", "model.hidden=[64]", "model.latent_dim=2")
MEMBER += (*QUIET, "threads=1")


class Answer(NamedTuple):
    """What came of a script that was called, under the names that subprocess gives it."""

    returncode: int
    stdout: str
    stderr: str


def run_train(
    *overrides: str, directory: Path | None = None, timeout: float = 300, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`python train.py` from the top of the checkout or elsewhere, its run in `directory` if one is given."""
    where = [] if directory is None else [f"hydra.run.dir='{directory}'"]
    return run(str(ROOT / "train.py"), *overrides, *where, timeout=timeout, cwd=cwd)


def run(*words: str, timeout: float = 300, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python WORDS` from the top of the checkout, or elsewhere."""
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def on_a_terminal(*words: str) -> str:
    """What `python WORDS` writes to a terminal of 160 columns."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 160))
    said = b""
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, stdin=inner, stdout=inner, stderr=inner) as process:
        os.close(inner)
        try:
            while chunk := os.read(outer, 65536):
                said += chunk
        except OSError:  # Linux: the other end has closed
            pass
        os.close(outer)
        assert process.wait(timeout=300) == 0, said.decode()
    return said.decode()


def made_once(directory: Path, words: tuple[str, ...]) -> Path:
    """The directory of the run, or sweep, of `python train.py WORDS`: the first worker that asks makes it.

    What failed, or was ended, is made again by the next, which shall see what is wrong, too. Runs that a test looks at
    through their parent's folder need one of their own.
    """
    made = Path(f"{directory}.made")
    made.parent.mkdir(exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if not made.exists():
            shutil.rmtree(directory, ignore_errors=True)
            done = run_train(*words, f"hydra.{'sweep' if '-m' in words else 'run'}.dir='{directory}'")
            assert done.returncode == 0, done.stderr
            made.touch()
    return directory


def one_error_line(done: subprocess.CompletedProcess[str] | Answer) -> str:
    """The line of a failed command that says why: there is one, and no traceback."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert "Traceback" not in done.stdout + done.stderr
    assert len(lines) == 1
    return lines[0]


def gone(process: int) -> bool:
    """Whether a process ends, within 30 seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
