"""The cores that this process may use, the threads that follow from them, and how busy others keep them.

Linux only: elsewhere nothing is known of limits and load. torch is not loaded here.
"""

import math
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CGROUP_OF_PROCESS = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
STAT = Path("/proc/stat")
WORKING = (0, 1, 2, 5, 6, 7)  # columns of /proc/stat: user, nice, system, irq, softirq, steal
SET_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT")
SHORTEST_SECONDS = 0.1  # between two readings; the kernel counts in hundredths of a second


@dataclass(frozen=True)
class Threads:
    """How many threads a run computes with, and why, as words for its log; empty for all cores, or as asked."""

    number: int
    why: str = ""

    def __str__(self) -> str:
        """As in `2 threads` or `1 thread as before`."""
        count = f"{self.number} thread{'s' if self.number != 1 else ''}"
        return f"{count} {self.why}" if self.why else count


def choose_threads(
    asked: int | None,
    default: int,
    before: int | None = None,
    environment: Mapping[str, str] | None = None,
    usable: int | None = None,
) -> Threads:
    """The number of threads of a run.

    The last digits of its numbers may depend on it. So it follows from the machine and never from its load, and a run
    is resumed with the number it has had.

    Args:
        asked: the key `threads`.
        default: what torch would take: all cores that the scheduler allows, or what the user's variables say.
        before: what the run has had, if it is resumed.
        environment: of the process. What it says of threads is left to torch. None for `os.environ`.
        usable: cores. None for `usable_cores()`.

    Example:
        >>> str(choose_threads(None, default=64, environment={}, usable=2))
        '2 threads for the 2 cores of the container'
    """
    usable = usable_cores() if usable is None else usable
    if asked is not None:
        return Threads(asked)
    given = os.environ if environment is None else environment
    for name in SET_BY_USER:
        if name in given:
            return Threads(default, f"by {name}")
    most = min(default, usable)
    if before is not None and before != most:
        if before <= usable:
            return Threads(before, "as before")
        return Threads(most, f"on {most} core{'s' if most > 1 else ''}, {before} before")
    if most < default:
        return Threads(most, f"for the {most} cores of the container" if most > 1 else "for the core of the container")
    return Threads(most)


def usable_cores() -> int:
    """How many cores this process may use at a time: by its affinity and by the limits of its cgroups. At least 1."""
    limit = cgroup_cores()
    return max(1, math.floor(min(len(allowed_cores()), math.inf if limit is None else limit)))


def allowed_cores() -> Collection[int]:
    """The numbers of the cores on which the scheduler may run this process."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def cgroup_cores(of_process: Path = CGROUP_OF_PROCESS, root: Path = CGROUPS) -> float | None:
    """The processor time a second that the cgroups of this process may use, in cores. None without a limit.

    The limit of version 2 is in `cpu.max`, that of version 1 in `cpu.cfs_quota_us`. A cgroup is also limited by those
    above it. Inside a container the path may be that on the host; then the root of the mount is its cgroup.

    Args:
        of_process: the file that names the cgroups.
        root: where they are mounted.
    """
    limits = []
    with suppress(OSError, ValueError):
        for line in of_process.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                limits += [limit_of(folder / "cpu.max") for folder in upwards(root, path)]
            elif "cpu" in controllers.split(","):
                for mount in {root / "cpu", root / controllers}:
                    limits += [
                        limit_of(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
                        for folder in upwards(mount, path)
                    ]
    return min((limit for limit in limits if limit is not None), default=None)


def upwards(root: Path, path: str) -> list[Path]:
    """The folder of a cgroup and all folders above it, up to the root."""
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def limit_of(*files: Path) -> float | None:
    """The quota over the period, in cores, from one file with both or from a file each. None without a limit."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


@dataclass(frozen=True)
class Reading:
    """What the cores have done until now.

    Attributes:
        at: the time in seconds.
        worked: seconds of work since the start of the machine, on the cores that this process may use.
        own: seconds of work of this process.
    """

    at: float
    worked: float
    own: float


def read_load(stat: Path = STAT, cores: Collection[int] | None = None) -> Reading | None:
    """The reading at this moment. None if the system does not tell.

    Args:
        stat: the file of the kernel's counters.
        cores: their numbers. None for `allowed_cores()`.
    """
    names = {f"cpu{core}" for core in (allowed_cores() if cores is None else cores)}
    try:
        rows = [line.split() for line in stat.read_text().splitlines() if line.startswith("cpu")]
        ticks = sum(int(row[1 + column]) for row in rows if row[0] in names for column in WORKING)
    except (OSError, ValueError, IndexError):
        return None
    return Reading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time())


def busy_with_others(before: Reading | None, now: Reading | None) -> float | None:
    """How many cores other processes have kept busy between two readings, on average. None if that is not known."""
    if before is None or now is None or now.at - before.at < SHORTEST_SECONDS:
        return None
    return max(0.0, (now.worked - before.worked - (now.own - before.own)) / (now.at - before.at))
