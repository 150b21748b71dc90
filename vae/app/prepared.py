"""A process that has loaded torch, from which the processes of a sweep's members are forked.

Loading torch and matplotlib takes seconds, for which a forked process need not wait. Each member still has a process
of its own, which can fail and be killed alone. Only on Linux can a process that has loaded these libraries be forked
safely. On other systems it trains one member itself, and the next member gets a new one.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from vae.app import child, console
from vae.app.invocation import Starter, end_with
from vae.run.signals import SIGNALS

FORKS = sys.platform == "linux"


class PreparedProcess:
    """Trains by the words of a command line, one training at a time. The first training starts the process.

    One thread starts, uses and closes it: Linux ends a process with the thread that started it.

    Args:
        starter: of the process of the sweep.
    """

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        self.process: subprocess.Popen[bytes] | None = None
        self.trains: int | None = None  # the forked process
        self._is_stopped = False

    def train(self, words: Sequence[str], environment: Mapping[str, str], *, quiet: bool) -> None:
        """Begin a training.

        Args:
            words: as after `python train.py`.
            environment: variables that its process gets besides those of this one.
            quiet: discard what it prints, besides what it writes to stderr.

        Raises:
            ChildProcessError: no process could be started, or `stop` was called before the training began.
        """
        request = {"words": list(words), "environment": dict(environment), "quiet": quiet}
        for _ in range(2):  # a process that was killed after the last training is replaced
            if self.process is None:
                self._start()
            if self._is_stopped:
                break
            with suppress(BrokenPipeError):
                os.write(self._requests, json.dumps(request).encode() + b"\n")
                if (answer := self._answer()) is not None:
                    self.trains = answer
                    return
            self.close()
        raise ChildProcessError("a member could not be started. Is everything installed, and is there enough memory?")

    def wait(self, timeout_seconds: float) -> int | None:
        """The exit code of the training; -9 after the signal 9. None if it has not ended in time.

        If the prepared process was killed, its own exit code is returned. The training has then been asked to stop.
        """
        assert self.process is not None
        has_come = b"\n" in self._received  # with the number of the process, if the training was short
        if not has_come and not select.select([self._answers], [], [], timeout_seconds)[0]:
            return None
        code = self._answer()
        if code is None:
            code = self.process.wait()
            while FORKS and self.trains is not None and is_alive(self.trains):  # it saves
                time.sleep(0.1)
            self.close()
        self.trains = None
        return code

    def stop(self, number: int) -> None:
        """Send a signal to the training. If there is none yet, the process ends, and `train` raises.

        It may be called by a signal handler, or by another thread.
        """
        if (trains := self.trains) is not None:
            with suppress(ProcessLookupError):
                os.kill(trains, number)
            return
        self._is_stopped = True
        if (process := self.process) is not None:
            process.kill()

    def close(self) -> None:
        """End the prepared process."""
        if self.process is not None:
            if self._is_stopped:
                self.process.kill()  # it may have been started since
            os.close(self._requests)
            os.close(self._answers)
            self.process.wait()
            self.process = None

    def _start(self) -> None:
        reads, self._requests = os.pipe()
        self._answers, writes = os.pipe()
        self._received = b""
        command = self.starter.prepared(reads, writes)
        try:
            # The terminal signals a whole process group. In its own group a training gets one signal, by this class.
            self.process = subprocess.Popen(command, pass_fds=[reads, writes], process_group=0)
        finally:
            os.close(reads)
            os.close(writes)

    def _answer(self) -> int | None:
        """The next number that the process writes; None if it has ended."""
        while b"\n" not in self._received:
            more = os.read(self._answers, 4096)
            if not more:
                return None
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return int(line)


def is_alive(process: int) -> bool:
    """Whether a process of this number has not ended. Linux only.

    One that has ended may keep its number for ever: the first process of a container need not wait for others.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def serve(parent: int, requests: int, answers: int) -> int:
    """Train what is asked for until the requests end. Returns the exit code.

    Args:
        parent: the process that has started this one.
        requests: the descriptor of a pipe, with a JSON object a line: the arguments of `PreparedProcess.train`.
        answers: the descriptor of a pipe. For each training its process and then its exit code are written there.
    """
    trains: int | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # Only the end of the parent is passed on. A cluster signals all processes of a job. The training has got its
        # signals too then, and a second one would keep it from saving.
        if trains and os.getppid() != parent:
            os.kill(trains, signal.SIGTERM)

    for number in SIGNALS:
        signal.signal(number, pass_on)
    end_with(parent)
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    load()
    with open(requests, encoding="ascii") as lines:
        for line in lines:
            if not FORKS:
                tell(answers, os.getpid())
                return train(json.loads(line), parent)
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the training handles them
            if trains is not None:
                os.waitpid(trains, 0)
            if os.getppid() != parent:  # it ended before there was a training to stop
                return 0
            server = os.getpid()
            trains = os.fork()
            if trains == 0:
                os.close(answers)
                os.close(requests)
                end(train(json.loads(line), parent=server))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            tell(answers, trains)
            # Its number stays reserved until the next request, so that a signal cannot reach another process.
            ended = os.waitid(os.P_PID, trains, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            tell(answers, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
    return 0


def load() -> None:
    """Import what every training imports. What cannot be imported is left to the trainings, which report it."""
    with suppress(Exception):  # a library that does not fit the machine is an OSError
        import torch

        from vae.app import main  # noqa: F401
        from vae.figures import plots  # noqa: F401

        torch.optim.Adam([torch.zeros(1)])  # torch imports the half of its optimisers at the first one
    gc.freeze()  # the forked processes need not search these objects again


def tell(answers: int, number: int) -> None:
    """Write a number to the pipe. If its other end is closed, the requests end too."""
    with suppress(BrokenPipeError):
        os.write(answers, b"%d\n" % number)


def train(request: Mapping[str, Any], parent: int) -> int:
    """Train in this process, as it was asked for. Returns the exit code.

    Args:
        request: the arguments of `PreparedProcess.train`.
        parent: the process with which this one ends.
    """
    console.prepare()
    if FORKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.environ.update(request["environment"])
    sys.argv[1:] = request["words"]
    if request["quiet"]:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        return child.main(parent, tell=None)
    except SystemExit as end:
        if isinstance(end.code, str):  # what Python would print, as of a module of the user's own
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # a fault of the program
        traceback.print_exc()
        return 1


def end(code: int) -> NoReturn:
    """End a forked process with the exit code, as those of `multiprocessing` end.

    Python's own end would take half a second to free what torch has loaded.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
