"""How far apart two cores are: the time in which a byte goes from one to the other and back.

Two cores that share a cache hand over what they have written within tens of nanoseconds, two that do not need hundreds.
A virtual machine is not told which it has, and may be moved from one to the other while a run goes on. Products of
matrices hardly notice; what one thread writes and both read, as the weights are, then costs several times as much.
"""

import mmap
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

OURS, THEIRS = 0, 1  # whose turn it is
CHUNKS, CHUNK_SECONDS = 5, 0.002


def there_and_back() -> float:
    """The median over chunks of turns, in seconds. Python's own loops take most of what it is at best, 280 ns.

    Raises:
        RuntimeError: the process that is to answer did not come up.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "byte"
        path.write_bytes(bytes([THEIRS]))
        with (
            subprocess.Popen([sys.executable, __file__, str(path)]) as other,
            path.open("r+b") as file,
            mmap.mmap(file.fileno(), 1) as byte,
        ):
            try:
                while byte[0] == THEIRS:
                    if other.poll() is not None:
                        raise RuntimeError(f"{__file__} ended with code {other.returncode}")
                return median(one_chunk(byte) for _ in range(CHUNKS))
            finally:
                other.kill()


def one_chunk(byte: mmap.mmap) -> float:
    """Seconds a turn."""
    turns, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < CHUNK_SECONDS:
        byte[0] = THEIRS
        while byte[0] == THEIRS:
            pass
        turns += 1
    return passed / turns


def answer(path: Path) -> None:
    """Give every turn back, until killed."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 1) as byte:
        while True:
            if byte[0] == THEIRS:
                byte[0] = OURS


if __name__ == "__main__":
    answer(Path(sys.argv[1]))
