"""The words of the command line that give a stored configuration again."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from vae.app.command_line import PATHS
from vae.app.command_line.composition import Composer, parse_override
from vae.app.from_python import override
from vae.app.invocation import configs_directory, training_command
from vae.config import ConfigError, flat
from vae.config.options import FREE, OPTIONS
from vae.run import record
from vae.run.files import relative_to_cwd
from vae.run.record import Record

KEPT = {"epochs", "early_stopping_epochs", "data.root", "metrics"}  # of the keys that a resumed run may change
OF_MANY_BETAS = "multi_rate"  # the objective of one training of a whole curve
NEEDED = ("data.path", "data.target", "model.encoder", "model.decoder", "objective.target")  # have no value in a file


def words_of(stored: Record) -> list[str]:
    """The shortest words after `python train.py` that compose this configuration, without beta and the seed.

    Keys that change neither the model nor its numbers are left out, as `device`.

    Raises:
        ConfigError: the files of this version have no such configuration.
    """
    composer, values = Composer(configs_directory()), flat(stored.config)
    options = [f"data={stored.choices['data']}"] if "data" in stored.choices else []
    needed = [word_of(key, values[key]) for key in NEEDED if key in values]
    given, shown = list(options), []
    for _ in range(2):  # an option of data may choose another likelihood, which the second pass sees
        own, _ = composer.files([parse_override(word) for word in given])
        default = own.runtime.choices
        given += [
            f"{g}={stored.choices[g]}" for g in OPTIONS if g in stored.choices and default[g] != stored.choices[g]
        ]
    root, _ = composer.files([])
    shown = [
        word for word in dict.fromkeys(given) if root.runtime.choices[word.partition("=")[0]] != word.partition("=")[2]
    ]
    shown += [word for word in given if word not in shown and not word.startswith("data=")]
    defaults = flat(composer.composed([*map(parse_override, [*given, *map(quoted_word, needed)])]).record.config)
    for key, value in values.items():
        if key in ("beta", "seed") or (key not in KEPT and (key in FREE or key.partition(".")[0] in FREE)):
            continue
        if key in NEEDED or key not in defaults or defaults[key] != value:
            shown.append(word_of(key, value))
    return list(dict.fromkeys(shown))


def word_of(key: str, value: object) -> str:
    """One word. Places are read as they are, and other texts in the grammar of Hydra."""
    if key in PATHS:
        return f"{key}={relative_to_cwd(Path(str(value)))}"
    return f"{key}={value}" if key in NEEDED else override(key, value)


def quoted_word(word: str) -> str:
    """The word of a place in the grammar of Hydra."""
    key, _, value = word.partition("=")
    return override(key, value)


def command_like(run: Path | None, first: Sequence[str], *, is_sweep: bool = False) -> tuple[str, bool]:
    """The command that trains with the words `first`, and else with the configuration of a run.

    Args:
        run: its directory; None for none.
        first: as in `["beta=3.2"]`.
        is_sweep: whether the words have several values.

    Returns:
        The command, and whether the run's configuration could be read. If not, only `first` is in the command.
    """
    try:
        stored = None if run is None else record.read(run)
        words = [] if stored is None else words_of(stored)
        if stored is not None and stored.choices.get("objective") == OF_MANY_BETAS:  # the command trains one beta
            words = [word for word in words if not word.startswith(("objective=", "objective."))]
        known = True
    except ConfigError:
        words, known = [], False
    joined = f"sweep={run.parent.name}" if known and run is not None and is_in_sweep(run) else ""
    more = [joined] if joined else []
    return " ".join([training_command(), *["-m"] * is_sweep, shlex.join([*more, *first, *words])]), known


def is_in_sweep(run: Path) -> bool:
    """Whether the run is a member of a sweep in `outputs`, which a word `sweep=NAME` finds from here."""
    sweep = run.resolve().parent
    return sweep.parent == Path("outputs").resolve() and re.fullmatch(r"[A-Za-z][\w-]*", sweep.name) is not None
