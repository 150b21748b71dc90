"""How this program was started, how that is written in a message, and how a process of it is started."""

import ctypes
import os
import shlex
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vae.app import console
from vae.config import ConfigError
from vae.run.files import relative_to_cwd

PROGRAM = "beta-vae"
MODULE = "python -m vae train"
FROM_PYTHON = "vae.train"  # the name of a process that `vae.train` has started
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
PROCESS = "import sys; sys.argv[0], sys.path[:] = {name}, {path}; "
CHILD = "from vae.app.child import main; sys.exit(main(parent={parent}, tell={tell}))"
PREPARED = "from vae.app.prepared import serve; sys.exit(serve({parent}, {requests}, {answers}))"


class UsageError(ConfigError):
    """The arguments do not have the form of a command. The exit code is 2."""


class Parser(ArgumentParser):
    """A parser whose errors are one line with the exit code 2."""

    def __init__(self, program: str, description: str) -> None:
        super().__init__(program, description=description, formatter_class=RawDescriptionHelpFormatter)

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print the error and end the process."""
        sys.stderr.write(f"error: {console.one_line(message)}\n")
        sys.exit(2)


def configs_directory() -> Path:
    """The directory of `config.yaml`: in the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def training_command() -> str:
    """What is typed before the words of a run: `python train.py`, `beta-vae train` or `python -m vae train`."""
    given = sys.argv[0] if sys.argv else ""
    match Path(given).name:
        case "train.py":
            return shlex.join(["python", given])
        case "beta-vae" | "beta-vae.exe":
            return f"{PROGRAM} train"
        case "vae.train":
            return FROM_PYTHON
    return MODULE


def typed_words() -> list[str]:
    """The command that started this process, in words. For `vae.train`, the command line that does the same."""
    words, command = sys.argv[1:], training_command()
    start = shlex.split(MODULE if command == FROM_PYTHON else command)
    return [*start, *(words[1:] if words[:1] == ["train"] else words)]


def resuming_command(run: Path) -> str:
    """The command that resumes a run, in the form in which this process was started."""
    place, command = relative_to_cwd(run), training_command()
    return f"{FROM_PYTHON}(resume={str(place)!r})" if command == FROM_PYTHON else f"{command} resume={place}"


@dataclass(frozen=True)
class Starter:
    """Starts processes that train with the code of this one, wherever it was found. It can be sent to another process.

    Attributes:
        name: the first of `sys.argv`, for the messages of the new process.
        path: where Python looks for modules.
    """

    name: str
    path: tuple[str, ...]

    @classmethod
    def of_this_process(cls, name: str | None = None) -> "Starter":
        """The starter of this process. `name` is given if it was not started by the program."""
        path = (str(Path.cwd()) if place == "" else place for place in sys.path if isinstance(place, str))
        return cls(sys.argv[0] if name is None else name, tuple(path))

    def command(self, words: Sequence[str], tell: int | None = None) -> list[str]:
        """The command of a process that trains by these words, and is asked to stop when this process ends.

        Args:
            words: as after `python train.py`.
            tell: the descriptor of a pipe to which it writes what it will train, see `vae.app.child`.
        """
        return [*self._python(CHILD.format(parent=os.getpid(), tell=tell)), *words]

    def prepared(self, requests: int, answers: int) -> list[str]:
        """The command of a process that waits for what to train, see `vae.app.prepared`, and ends with this one.

        Args:
            requests: the descriptor of a pipe from which it reads.
            answers: the descriptor of a pipe to which it writes.
        """
        return self._python(PREPARED.format(parent=os.getpid(), requests=requests, answers=answers))

    def _python(self, code: str) -> list[str]:
        start = PROCESS.format(name=ascii(self.name), path=ascii(list(self.path)))
        return [sys.executable, "-c", start + code]


def end_with(parent: int) -> None:
    """Have Linux send SIGTERM to this process when its parent ends. On other systems it goes on.

    Linux takes the thread that started it for the parent.

    Args:
        parent: the process that has started this one. If it has ended already, so does this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            console.end_at_once(signal.SIGTERM, None)
