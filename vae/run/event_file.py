"""The event file of a process for TensorBoard: its name, and how its end is removed, which other writers cannot do."""

import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

LAST_SECOND = 9_999_999_998  # the time in a name has ten digits, so that names sort by time
LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")  # a record: its length, a checksum, itself, a checksum


class EventFile:
    """An event file of TensorBoard. Each event is flushed to the operating system when it is added.

    TensorBoard reads the files of a folder in the order of their names, which contain a time. If two files have the
    same step, it shows the step of the later file. So the time of a new file is later than that of every file in the
    folder, even if the clock was set back.

    Args:
        directory: of the run.
        purge_step: TensorBoard hides this step and later steps in earlier files.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        now = time.time()
        seconds = max(int(now), 1 + max(map(_time_of, directory.glob("events.out.tfevents.*")), default=0))
        self.ahead = max(0.0, seconds - now)  # seconds, added to the times of this file's events
        self.path = directory / f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self.file = RecordWriter(self.path.open("xb"))
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


def cut_event_files(directory: Path, keep: Path, is_removed: Callable[[Event], bool]) -> None:
    """Cut each event file but one before its first event that `is_removed`.

    No file is removed: a TensorBoard that reads it could not go on to the next one.

    Args:
        directory: of the run.
        keep: the file that stays as it is.
        is_removed: whether an event, and all that follow it in its file, shall go.

    Raises:
        OSError: a file cannot be read or written.
    """
    for path in directory.glob("events.out.tfevents.*"):
        if path == keep or path.is_symlink() or not path.is_file():
            continue
        start = next((start for start, event in events_of(path) if is_removed(event)), None)
        if start is not None:
            os.truncate(path, start)


def events_of(path: Path) -> Iterator[tuple[int, Event]]:
    """The events in a file, each with the position at which its record begins. The first damaged one ends them."""
    before = LENGTH.size + CHECKSUM.size
    with path.open("rb") as file:
        size, start = os.fstat(file.fileno()).st_size, 0
        while len(head := file.read(before)) == before:
            length = LENGTH.unpack_from(head)[0]
            try:
                event = Event.FromString(file.read(min(length, size)))
            except DecodeError:
                return
            yield start, event
            file.read(CHECKSUM.size)
            start += before + length + CHECKSUM.size


def _time_of(event_file: Path) -> int:
    """The time in the name of an event file, or of its last change if that is later, in seconds."""
    found = re.match(r"events\.out\.tfevents\.(\d{10})\.", event_file.name)
    named = int(found[1]) if found else 0
    return min(max(named, int(event_file.lstat().st_mtime)), LAST_SECOND)
