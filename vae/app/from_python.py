"""`vae.train`: a run from Python, in a process of its own, by the words of the command line."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae.app.foreign import imported
from vae.app.invocation import FROM_PYTHON, Starter
from vae.config import ConfigError
from vae.config.words import as_word

if TYPE_CHECKING:
    from vae.trained.model import TrainedModel


def train(*words: str, **values: Any) -> "TrainedModel":
    """Train one run as `python train.py` does, and load its model.

    The run trains in a process of its own, so that this process stays as it is. Its lines are printed here. An
    interrupt, as by Ctrl-C, is passed on to it: the run is saved and can be resumed by `resume=`.

    Args:
        words: overrides in the form of the command line, as in `"model.latent_dim=5"`. They come first.
        values: the value of each key. A key with dots is given as `**{"data.path": "pictures"}`.

    Returns:
        The model, as `vae.load` returns it. The run's directory is in the last lines that are printed.

    Raises:
        ConfigError: the configuration cannot be run.
        DataError: the data cannot be read.
        NonFiniteError: the loss is no longer finite.
        CheckpointError: the run cannot be resumed from its checkpoints.
        OSError: the disk is full.
        RuntimeError: the run failed otherwise, or a signal that came from elsewhere has stopped it.
        KeyboardInterrupt: it was interrupted here, and has been saved.

    Example:
        >>> model = vae.train(beta=4, model="conv", epochs=2)  # doctest: +SKIP
        >>> model = vae.train("model.latent_dim=5", data="images", **{"data.path": "pictures"})  # doctest: +SKIP
    """
    options = [word for word in words if word.startswith("-")]
    if options:
        raise ConfigError(f"{FROM_PYTHON} takes words of the form key=value, got {options[0]}. Leave it out")
    told = trained([*words, *(override(key, value) for key, value in values.items())])
    encoder, decoder = (
        None if told[side] is None else imported(told[side], f"model.{side}") for side in ("encoder", "decoder")
    )
    from vae.trained.load import load  # loads torch

    return load(told["directory"], device=told["device"], encoder=encoder, decoder=decoder)


def trained(words: list[str]) -> Mapping[str, Any]:
    """Train by these words in a new process, and print its lines. Returns what it told, see `vae.app.child`.

    Raises:
        KeyboardInterrupt: it was interrupted, and has ended.
        Exception: it failed. The types are listed at `train`.
    """
    reader, writer = os.pipe()
    with open(reader, encoding="ascii") as pipe:
        try:
            process = subprocess.Popen(
                Starter.of_this_process(FROM_PYTHON).command(words, tell=writer),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=[writer],
                process_group=0,  # a notebook signals its whole group: so the run gets one signal, from below
            )
        finally:
            os.close(writer)
        error, interrupted = printed_to_end(process)
        text = pipe.read()
    told = json.loads(text) if text else None
    if interrupted:
        raise KeyboardInterrupt
    if process.returncode != 0 or told is None:
        raise failure(process.returncode, error, has_begun=told is not None)
    if error is not None:
        print(f"error: {error}", flush=True)
    return told  # type: ignore[no-any-return]


def printed_to_end(process: "subprocess.Popen[str]") -> tuple[str | None, bool]:
    """Print the lines of a process until it ends. `KeyboardInterrupt` is passed on to it.

    Returns:
        Its last line that begins with `error: `, without that, which is not printed; and whether it was interrupted.
    """
    error, interrupted = None, False
    assert process.stdout is not None
    with process:
        while True:
            try:
                for line in iter(process.stdout.readline, ""):  # each as soon as it is written
                    if line.startswith("error: "):
                        error = line.removeprefix("error: ").rstrip("\n")
                    else:
                        print(line, end="", flush=True)
                process.wait()
                return error, interrupted
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
            except BaseException:  # the lines cannot be printed
                process.terminate()
                process.stdout.close()
                raise


def failure(code: int, error: str | None, *, has_begun: bool) -> Exception:
    """The exception of a run that has failed.

    Args:
        code: the exit code of its process.
        error: its line, if it wrote one.
        has_begun: whether its configuration was in order.
    """
    from vae.data import DataError  # loads torch
    from vae.probability.finite import NonFiniteError
    from vae.run.checkpoint import CheckpointError

    number = -code if code < 0 else code - 128
    if number > 0:
        return RuntimeError(
            error or f"the training was stopped by signal {number}. What it printed says what was saved"
        )
    text = error or f"the training ended with code {code}"
    kinds: dict[int, type[Exception]] = {3: NonFiniteError, 4: DataError, 5: CheckpointError, 6: OSError}
    if not has_begun and code in (1, 2):
        return ConfigError(text)
    return kinds.get(code, RuntimeError)(text)


def override(key: str, value: Any) -> str:
    r"""The word of the command line that gives a key this value.

    Args:
        key: as in `beta` or `data.path`.
        value: None, a bool, a number, text, a path, a list or a mapping of such.

    Raises:
        ConfigError: the value is of another type.

    Example:
        >>> override("model", "conv"), override("model.hidden", [64, 32]), override("threads", None)
        ('model=conv', 'model.hidden=[64,32]', 'threads=null')
        >>> override("data.path", "it's here")
        "data.path='it\\'s here'"
    """
    return f"{key}={in_grammar(key, value)}"


def in_grammar(key: str, value: Any) -> str:
    """A value in the grammar of Hydra's overrides. `key` is for the error."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        value = value.item()
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str() | Path():
            return as_word(str(value))
        case list() | tuple():
            return f"[{','.join(in_grammar(key, entry) for entry in value)}]"
        case dict():
            odd = [name for name in value if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name))]
            if odd:
                raise ConfigError(f"{key} must have names of letters, digits and _, got {odd[0]!r}")
            return f"{{{','.join(f'{name}:{in_grammar(key, entry)}' for name, entry in value.items())}}}"
    raise ConfigError(
        f"{key} must be None, a bool, a number, text, a path, a list or a dict, got {type(value).__name__}. "
        "Convert it first"
    )
