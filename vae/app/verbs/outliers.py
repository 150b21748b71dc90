"""List your own files by their ELBO, the lowest first: `beta-vae outliers outputs/RUN pictures/`.

The ELBO is a lower bound on ln p(x), in nats. A file with a low ELBO is unusual among files like those of the
training. It is a weak detector across data sets: simpler images of another kind may get a higher ELBO than those of
the training (Nalisnick et al., 2019, "Do Deep Generative Models Know What They Don't Know?").

The table has the file, the label, and ELBO, distortion and rate in nats. Beside it is a contact sheet of the pictures.
"""

import heapq
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae.app import console
from vae.app.codes import NUMBER, quoted
from vae.app.invocation import UsageError
from vae.app.outputs import check_output, new_file, progress_bar
from vae.app.pictures import SHEET, sheet
from vae.app.trained_model import add_inputs, add_model_arguments, given_inputs, load_model
from vae.config.preparation import TablePreparation
from vae.data.inputs import Inputs
from vae.trained.model import Coded

CAVEAT = (
    "A low ELBO means unusual among files like those of the training. Across data sets it is a weak detector: "
    "simpler images of another kind may get a higher one (Nalisnick et al., 2019)."
)


class Found(NamedTuple):
    """An input with a low ELBO. The order of these is that of the ELBO, the highest first."""

    minus_elbo: float
    minus_number: int
    distortion: float
    rate: float
    x: Tensor


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_model_arguments(parser)
    add_inputs(parser)
    parser.add_argument("-n", "--count", type=int, default=25, help="how many (25)")
    parser.add_argument("--samples", type=int, default=1, help="of z for each distortion; more are less noisy (1)")
    parser.add_argument(
        "--output", type=Path, default=Path("outliers.csv"), help="a .csv; the pictures go into a .png (outliers.csv)"
    )


def run(arguments: Namespace) -> int:
    """Write the table and the contact sheet, and print their paths and what they mean.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the inputs cannot be used.
        OSError: a file cannot be written.
    """
    if arguments.count < 1 or arguments.samples < 1:
        raise UsageError(f"-n and --samples must be 1 or more, got {arguments.count} and {arguments.samples}")
    given, parts = given_inputs(arguments.inputs)
    check_output(arguments.output, (".csv",), *arguments.inputs)
    picture = arguments.output.with_suffix(".png")
    check_output(picture, (".png",), *arguments.inputs)
    model = load_model(arguments, parts)
    inputs = model.inputs(given, resize=arguments.resize)
    with progress_bar(inputs.count) as bar:
        found = lowest(model.coded(inputs, samples=arguments.samples, progress=bar.update), arguments.count)
    lines = ["file,label,elbo,distortion,rate", *lines_of(found, inputs)]
    is_table = isinstance(model.preparation, TablePreparation)
    with new_file(arguments.output) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="backslashreplace")
        if not isinstance(model.preparation, TablePreparation):
            with new_file(picture) as drawn:
                images = torch.stack([one.x for one in found[:SHEET]])
                labels = [f"{-one.minus_elbo:.1f}" for one in found]
                title = "ELBO in nats of the first in each row"
                drawn.write_bytes(sheet(images, model.preparation, labels=labels, title=title))
    console.say("\n".join([CAVEAT, str(arguments.output), *([] if is_table else [str(picture)])]))
    return 0


def lowest(coded: Iterator[Coded], count: int) -> list[Found]:
    """The inputs with the lowest ELBO, the lowest first. Only so many are in the memory."""
    heap: list[Found] = []
    at = 0
    for batch in coded:
        for k, elbo in enumerate(batch.scores.elbo.tolist()):
            if len(heap) < count or -elbo > heap[0].minus_elbo:
                distortion, rate = (float(values[k]) for values in batch.scores[:2])
                one = Found(-elbo, -(at + k), distortion, rate, batch.x[k].clone())
                (heapq.heappush if len(heap) < count else heapq.heapreplace)(heap, one)
        at += len(batch.x)
    return sorted(heap, key=lambda one: (-one.minus_elbo, -one.minus_number))


def lines_of(found: list[Found], inputs: Inputs) -> Iterator[str]:
    """The lines of the table."""
    for one in found:
        number = -one.minus_number
        label = "" if inputs.labels is None else quoted(inputs.labels[number])
        numbers = ",".join(NUMBER % value for value in (-one.minus_elbo, one.distortion, one.rate))
        yield f"{quoted(str(inputs.names[number]))},{label},{numbers}"
