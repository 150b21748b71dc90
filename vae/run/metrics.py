"""`metrics.jsonl`: all scalars of a run. Each line is a JSON object with a step and numbers by tag."""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from vae.run.files import IrregularFileError, read_end, read_regular, set_aside, write_atomically
from vae.run.names import METRICS
from vae.run.summary import is_count, is_finite

log = logging.getLogger(__name__)

Line = dict[str, int | float]


class MetricsFile:
    """The `metrics.jsonl` of a run, opened to append. Each line is written when it is added.

    Args:
        directory: of the run.
        keep: whether to keep a line that an earlier process wrote. Damaged lines are always dropped, with a warning.

    Attributes:
        kept: the lines that were kept.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, directory: Path, keep: Callable[[Line], bool]) -> None:
        path = directory / METRICS
        self.kept = _keep_lines(path, keep)
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add a line. Numbers that are not finite are left out, as JSON cannot represent them."""
        finite = {tag: value for tag, value in values.items() if math.isfinite(value)}
        self.file.write(json.dumps({"step": step} | finite) + "\n")

    def flush(self) -> None:
        """Wait until all lines are on the disk, so that a power failure cannot lose them."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(path: Path, last_bytes: int | None = None) -> tuple[list[Line], int]:
    """The lines of a `metrics.jsonl`, and the number of damaged lines, which are left out.

    The last line of a killed process may be incomplete. It does not count as damaged.

    Args:
        path: of the file.
        last_bytes: read no more than so many bytes at the end, from the first whole line on. None: read all.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    *complete, last = (read_regular(path) if last_bytes is None else read_end(path, last_bytes)).split(b"\n")
    lines = [_parsed_line(line) for line in complete if line.strip()]
    found = [line for line in (*lines, _parsed_line(last)) if line is not None]
    return found, lines.count(None)


def _parsed_line(line: bytes) -> Line | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(values, dict) and is_count(values.get("step")) and all(map(is_finite, values.values()))
    return values if known else None


def _keep_lines(path: Path, keep: Callable[[Line], bool]) -> list[Line]:
    try:
        if path.is_symlink():
            raise IrregularFileError(f"{path} is a link")
        lines, damaged = read_metrics(path)
    except FileNotFoundError:
        return []
    except IrregularFileError:
        log.warning(f"warning: {METRICS} is not a regular file. It was renamed to {set_aside(path).name}")
        return []
    if damaged:
        log.warning(f"warning: {METRICS} had {damaged} damaged lines. They were removed, and their numbers are lost")
    kept = [line for line in lines if keep(line)]
    content = "".join(json.dumps(line) + "\n" for line in kept).encode()
    if content != read_regular(path):
        write_atomically(path, content)
    return kept
