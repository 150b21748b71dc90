"""The text of `python train.py --help`, and the only call of Hydra's main function."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import hydra

from vae.app import console
from vae.app.invocation import training_command

PRESET = "# @package"  # how the file of a preset begins
USAGE = """Train a β-VAE on images: python train.py [options] [key=value ...]

  one run                      python train.py beta=4 model=conv epochs=20
  a sweep, every combination   python train.py -m beta=1,2,4 seed=range(0,3)
  a sweep with a name          python train.py -m sweep=NAME beta=1,2,4: only what is missing in outputs/NAME
  a preset, see experiment     python train.py experiment=smoke
  resume a run                 python train.py resume=outputs/RUN epochs=50

Options:
  -m, --multirun                a sweep: commas separate values
  -c, --cfg job                 print the configuration and train nothing
  -cd, --config-dir DIRECTORY   look for groups and presets of your own there too
  -i, --info                    how Hydra composes the configuration
  -sc, --shell-completion       install=bash, fish or zsh: eval "$(python train.py -sc install=bash)"
"""


def help_text(configs: Path, groups: Mapping[str, Sequence[str]]) -> str:
    """All groups with their options, and all keys with the comments that explain them, by the command typed.

    Args:
        configs: the directory of `config.yaml`.
        groups: the options of each group.
    """
    parts = [USAGE, "Keys:", keys_of(configs / "config.yaml", 2)]
    for group, options in groups.items():
        parts.append(f"\n{group}: {', '.join(options)}")
        for option in options:
            path = configs / group / f"{option}.yaml"
            if path.exists():  # else it is in another directory of the searchpath
                parts += ["", f"  {group}={option}", keys_of(path, 4)]
    return "\n".join(parts).replace("python train.py", training_command())


def keys_of(path: Path, margin: int) -> str:
    """The comments and keys of a file, indented. Of a preset only the line that describes it."""
    text = path.read_text(encoding="utf-8")
    if text.startswith(PRESET):
        text = next(line for line in text.splitlines() if not line.startswith((PRESET, "# python", "# Both")))
    text = re.sub(r"(?m)^(defaults|hydra):.*\n([ -].*\n)*", "", text)
    return "\n".join(" " * margin + line for line in text.strip().splitlines())


def show_by_hydra(words: Sequence[str], configs: Path) -> None:
    """Call Hydra's main function with arguments that make it print something. Errors of Hydra are raised."""
    given = list(sys.argv)
    sys.argv = [given[0], *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra prints an error and ends the process
    try:
        hydra.main(version_base="1.3", config_path=str(configs), config_name="config")(lambda _: None)()
    except BrokenPipeError:  # the reader of the output has ended
        console.discard()
    finally:
        sys.argv = given
