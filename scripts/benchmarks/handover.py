"""How far apart two cores are: the time in which a byte goes from one to the other and back.

Two cores that share a cache hand over what they have written within tens of nanoseconds, others need hundreds. A
virtual machine is not told which it has, and may be moved from one to the other while a run goes on. Products of
matrices hardly notice; what one thread writes and both read, as the weights are, then costs several times as much.
"""

import math
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

OURS, THEIRS = 0, 1  # whose turn it is
CHUNKS, CHUNK_SECONDS = 5, 0.002
LOOKS = range(10_000)  # at the byte, before it is asked whether the other still lives


def there_and_back() -> float:
    """The median over chunks of turns, in seconds, most of 300 ns Python's own. NaN if nobody answers.

    Where there is but one core it is the time that the system gives each of two processes.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "byte"
        path.write_bytes(bytes([THEIRS]))
        with (
            subprocess.Popen([sys.executable, __file__, str(path), str(os.getpid())]) as other,
            path.open("r+b") as file,
            mmap.mmap(file.fileno(), 1) as byte,
        ):
            try:
                answered = wait(byte, other)  # it has come up
                return median(one_chunk(byte, other) for _ in range(CHUNKS)) if answered else math.nan
            finally:
                other.kill()


def one_chunk(byte: mmap.mmap, other: subprocess.Popen[bytes]) -> float:
    """Seconds a turn."""
    turns, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < CHUNK_SECONDS:
        byte[0] = THEIRS
        if not wait(byte, other):
            return math.nan
        turns += 1
    return passed / turns


def wait(byte: mmap.mmap, other: subprocess.Popen[bytes]) -> bool:
    """Until it is our turn; False if it will never be."""
    while True:
        for _ in LOOKS:
            if byte[0] == OURS:
                return True
        if other.poll() is not None:
            return False


def answer(path: Path, asker: int) -> None:
    """Give every turn back, until killed, or until the process that asks is gone."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 1) as byte:
        while os.getppid() == asker:
            for _ in LOOKS:
                if byte[0] == THEIRS:
                    byte[0] = OURS


if __name__ == "__main__":
    answer(Path(sys.argv[1]), int(sys.argv[2]))
