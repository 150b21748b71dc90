"""Make a page to move the latents of models by hand: `beta-vae explore outputs/RUN`, or of a sweep.

Writes explorer.html, one file that needs no network, with the decoder and the encoder of each model and up to 200
test images. A run leaves such a page at its end, a sweep one over its settings, with the lowest seed of each.

The page goes into the run or the folder if one is named, and else into the working directory, unless that is a sweep
or a run itself. --output names another file. A page has at most 8 models. Of more it shows some, evenly chosen by
beta, and a line says which are left out. A run with objective=multi_rate gives up to four models of its range.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vae.app import console
from vae.app.exploring import Asked, explore
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file
from vae.app.trained_model import add_checkpoint
from vae.app.verbs.report import holds_runs, refuse_without_runs
from vae.config import ConfigError
from vae.config.options import FOREIGN
from vae.run.names import EXPLORER
from vae.trained.exported import is_exported


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "places",
        nargs="+",
        metavar="place",
        help="a run, a sweep or another folder of runs; or a part of your own, named again as key=value",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--beta", type=float, nargs="+", default=[], help="of runs with objective=multi_rate (powers of two)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (explorer.html)")


def run(arguments: Namespace) -> int:
    """Write the page, and print its path, its size, and what it leaves out.

    Raises:
        UsageError: no place is named, or the page cannot go where it should.
        ConfigError, CheckpointError, DataError: the runs cannot be shown on a page.
        OSError: the page cannot be written.
    """
    parts = [word for word in arguments.places if word.partition("=")[0] in FOREIGN and not Path(word).exists()]
    given = [word for word in arguments.places if word not in parts]
    if not given:
        raise UsageError("a run is needed, got only parts of your own")
    for word in given:
        if not is_exported(Path(word)):
            refuse_without_runs(word, "an explorer page")
    places = list(map(Path, given))
    output = arguments.output or default_output(places)
    check_file(output, (".html", ".htm"))
    found = explore(places, Asked(arguments.checkpoint, arguments.beta, parts))
    content = found.page.encode(errors="replace")
    with new_file(output) as temporary:
        temporary.write_bytes(content)
    console.say(f"{output}, {len(content) / 1e6:.2f} MB")
    for line in (f"models: {', '.join(found.models)}", *found.not_done, *found.surplus):
        console.say(console.one_line(line))
    return 0


def default_output(places: Sequence[Path]) -> Path:
    """Where the page goes if the command does not say.

    Raises:
        ConfigError: it would replace that of the working directory, which is a run or holds runs.
    """
    if len({place.resolve() for place in places}) == 1:
        return places[0] / EXPLORER
    if holds_runs(Path()):
        raise ConfigError(
            f"a page of several folders would replace the {EXPLORER} of the working directory, which holds runs. "
            "Name another place, as in --output FILE.html"
        )
    return Path(EXPLORER)
