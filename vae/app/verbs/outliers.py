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
from vae.app.codes import write_csv
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file, progress_bar, refuse_inside
from vae.app.pictures import SHEET, sheet
from vae.app.trained_model import add_inputs, add_model_arguments, given_inputs, load_model
from vae.config.preparation import ImagePreparation
from vae.trained.model import Coded

CAVEAT = (
    "A low ELBO means unusual among files like those of the training. Across data sets it is a weak detector: "
    "simpler images of another kind may get a higher one (Nalisnick et al., 2019)."
)


class Outlier(NamedTuple):
    """An input with a low ELBO."""

    number: int
    elbo: float
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
    check_file(arguments.output, (".csv",), *arguments.inputs)
    picture = arguments.output.with_suffix(".png")
    check_file(picture, (".png",), *arguments.inputs)
    refuse_inside(picture, *arguments.inputs)
    model = load_model(arguments, parts)
    inputs = model.inputs(given, resize=arguments.resize)
    written = [arguments.output]
    with new_file(arguments.output) as temporary:
        with progress_bar(inputs.count) as bar:
            found = lowest(model.coded(inputs, samples=arguments.samples, progress=bar.update), arguments.count)
        rows = [(inputs.name(o.number), inputs.label(o.number), o.elbo, o.distortion, o.rate) for o in found]
        write_csv(temporary, ["file", "label", "elbo", "distortion", "rate"], rows, texts=2)
        if isinstance(model.preparation, ImagePreparation):
            with new_file(picture) as drawn:
                images = torch.stack([one.x for one in found[:SHEET]])
                labels = [f"{one.elbo:.1f}" for one in found]
                title = "ELBO in nats of the first in each row"
                drawn.write_bytes(sheet(images, model.preparation, labels=labels, title=title))
            written.append(picture)
    console.say("\n".join([CAVEAT, *map(str, written)]))
    return 0


def lowest(coded: Iterator[Coded], count: int) -> list[Outlier]:
    """The inputs with the lowest ELBO, the lowest first. Only so many are in the memory."""
    heap: list[tuple[float, int, Outlier]] = []  # by -ELBO and -number, so that the first may be replaced
    number = 0
    for batch in coded:
        terms = zip(*(values.tolist() for values in batch.terms), strict=True)
        for x, (distortion, rate, elbo) in zip(batch.x, terms, strict=True):
            if len(heap) < count or -elbo > heap[0][0]:
                one = Outlier(number, elbo, distortion, rate, x.clone())
                (heapq.heappush if len(heap) < count else heapq.heapreplace)(heap, (-elbo, -number, one))
            number += 1
    return [one for *_, one in sorted(heap, reverse=True)]
