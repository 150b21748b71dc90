"""An event file of TensorBoard with a name of our choice, which neither torch's nor TensorBoard's writer allows."""

import os
import re
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

LAST_SECOND = 9_999_999_998  # in the names of event files, which sort as numbers up to ten digits


class EventFile:
    """An event file of TensorBoard. Each event is flushed to the operating system when it is added.

    TensorBoard reads the files of a folder in the order of their names, which begin with a time. If two files have
    the same step, it shows that of the later file. So the time of a new file is later than that of every file in the
    folder, even after the clock was set back.

    Args:
        directory: of the run.
        suffix: of the file's name.
        purge_step: TensorBoard hides this step and later ones of earlier files.

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
        """Add a summary at a step.

        Raises:
            OSError: it cannot be written.
        """
        self._write(Event(summary=summary, step=step))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time() + self.ahead
        self.file.write(event.SerializeToString())
        self.file.flush()


def empty_event_files(directory: Path, suffix: str) -> None:
    """Empty the event files with this suffix. A TensorBoard that reads one of them could not go on if it were gone."""
    for path in directory.glob(f"events.out.tfevents.*{suffix}"):
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK))


def _time_of(event_file: Path) -> int:
    """The time in the name of an event file or that of its last change, whichever is later, in seconds."""
    found = re.match(r"events\.out\.tfevents\.(\d{10})\.", event_file.name)
    named = int(found[1]) if found else 0
    return min(max(named, int(event_file.lstat().st_mtime)), LAST_SECOND)
