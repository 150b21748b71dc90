"""The names of a sweep and of its members: the same command names the same directories, and so goes on with them."""

import hashlib
import re
from collections.abc import Collection, Sequence

from hydra.core.override_parser.types import Override

from vae.app.command_line.composition import quoted

LONGEST_NAME = 120  # characters; file systems end at 255 bytes


def named(overrides: Sequence[Override], groups: Collection[str]) -> list[str]:
    """The overrides that name the directories of a sweep, where the user has not named them.

    Args:
        overrides: of the command and of the sweep that a preset describes.
        groups: the groups of options, whose chosen option is shown.
    """
    given = {o.get_key_element() for o in overrides}
    own = [o for o in overrides if not o.is_hydra_override()]
    names = {
        "hydra.sweep.dir": f"outputs/sweep_{short('_'.join(str(o.input_line) for o in own))}",
        "hydra.sweep.subdir": member_name(own, groups),
    }
    return [f"{key}={quoted(value)}" for key, value in names.items() if key not in given]


def member_name(overrides: Sequence[Override], groups: Collection[str]) -> str:
    """What tells the members apart, for Hydra to fill in: beta and seed always, and whatever else is swept."""
    swept = [o for o in overrides if o.is_sweep_override()]
    short_ones = [o.get_key_element() for o in swept if re.fullmatch(r"[\w.,=+()\[\]-]+", str(o.input_line))]
    number = ["${hydra:job.num}"] if len(short_ones) < len(swept) else []  # instead of a path or a sentence
    return "_".join(number + [member_key(key, groups) for key in dict.fromkeys(["beta", "seed", *short_ones])])


def member_key(key: str, groups: Collection[str]) -> str:
    """`key=value` for Hydra to fill in."""
    return f"{key}=${{hydra:runtime.choices.{key}}}" if key in groups else f"{key}=${{{key}}}"


def short(name: str) -> str:
    """A file name from a command: readable, without separators, and cut where it is long."""
    plain = "".join(c if c.isalnum() or c in "=,._-+[]" else "-" for c in name)
    if len(plain.encode(errors="replace")) <= LONGEST_NAME and plain == name:
        return plain
    whole = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{plain.encode(errors='replace')[:LONGEST_NAME].decode(errors='ignore')}_{whole[:8]}"
