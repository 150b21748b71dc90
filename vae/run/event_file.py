"""Event files of TensorBoard with chosen names, which neither torch's nor TensorBoard's writer supports."""

import os
import re
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

LAST_SECOND = 9_999_999_998  # the time in a name has ten digits, so that names sort by time


class EventFile:
    """An event file of TensorBoard. Each event is flushed to the operating system when it is added.

    TensorBoard reads the files of a folder in the order of their names, which contain a time. If two files have the
    same step, it shows the step of the later file. So the time of a new file is later than that of every file in the
    folder, even if the clock was set back.

    Args:
        directory: of the run.
        suffix: the end of the file's name.
        purge_step: TensorBoard hides this step and later steps in earlier files.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, directory: Path, suffix: str = "", purge_step: int | None = None) -> None:
        now = time.time()
        seconds = max(int(now), 1 + max(map(_time_of, directory.glob("events.out.tfevents.*")), default=0))
        self.ahead = max(0.0, seconds - now)  # seconds, added to the times of this file's events
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0{suffix}"
        self.file = RecordWriter((directory / name).open("xb"))
        self._write(Event(file_version="brain.Event:2"))  # the version that knows purge_step
        if purge_step is not None:
            self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, summary: Summary, step: int) -> None:
        """Add a summary at a step. Raises `OSError` if it cannot be written."""
        self._write(Event(summary=summary, step=step))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time() + self.ahead
        self.file.write(event.SerializeToString())
        self.file.flush()


def empty_event_files(directory: Path, suffix: str) -> None:
    """Empty the event files with this suffix. If they were removed, a TensorBoard that reads one could not go on."""
    for path in directory.glob(f"events.out.tfevents.*{suffix}"):
        if not path.is_symlink():
            os.truncate(path, 0)


def _time_of(event_file: Path) -> int:
    """The time in the name of an event file, or of its last change if that is later, in seconds."""
    found = re.match(r"events\.out\.tfevents\.(\d{10})\.", event_file.name)
    named = int(found[1]) if found else 0
    return min(max(named, int(event_file.lstat().st_mtime)), LAST_SECOND)
