"""Download, draw or decode data once, before trainings without a network: `beta-vae fetch data=mnist`.

The words are those of a training, of which those of `data` count. Commas give several data sets:

  beta-vae fetch data=mnist,sprites32
  beta-vae fetch data=mnist data.root=/PLACE/data     a folder that the nodes of a cluster share

Data that are there and whole are only read. A training with the same words then finds them, and writes nothing there:
the folder may be read-only.
"""

import argparse
import logging
import sys

from vae.app import console
from vae.app.command_line import compose_members
from vae.app.invocation import configs_directory
from vae.config import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("words", nargs="+", metavar="key=value", help="as for a training: data=mnist data.root=PLACE")


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each data set when it is whole. Returns the exit code.

    Raises:
        UsageError, ConfigError: the words are wrong.
        DataError: the data cannot be found, downloaded, read or written.
    """
    members = compose_members(arguments.words, configs_directory())
    if any(member.resume is not None for member in members):
        raise ConfigError("data are fetched by the words of a training, got resume. Give data=... instead")
    from vae.app.data import build_data  # loads torch: a second

    package, shown = logging.getLogger("vae"), logging.StreamHandler(sys.stderr)
    level = package.level
    package.addHandler(shown)  # which source is tried
    package.setLevel(logging.INFO)
    try:
        seen = []
        for member in members:
            if member.data in seen:
                continue
            seen.append(member.data)
            data = build_data(member)
            sizes = " / ".join(f"{len(images):,}".replace(",", " ") for images in data.read().sets)
            place = getattr(member.data, "root", getattr(member.data, "path", ""))
            console.say(f"data   {data.describe()}; {sizes} (train / validation / test), in {place}")
    finally:
        package.removeHandler(shown)
        package.setLevel(level)
    return 0
