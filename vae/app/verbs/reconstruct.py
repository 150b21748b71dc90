"""Show your own images beside their reconstructions: `beta-vae reconstruct outputs/RUN pictures/`.

A folder gets grid.png, with the first inputs above their reconstructions, and a PNG of each reconstruction: the mean
of p(x|z) at the posterior mean. If the model was trained on floats in a unit of their own, reconstructions.npy has the
values. Of a table's model, a CSV gets a row for each of them, in the table's own units.
"""

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from vae.app import console
from vae.app.codes import EXACT, numbered, write_csv, write_header
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file, new_folder, progress_bar, refuse_inside
from vae.app.pictures import file_names, pairs, save_picture
from vae.app.trained_model import add_inputs, add_model_arguments, given_inputs, load_model
from vae.config.preparation import TablePreparation


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_model_arguments(parser)
    add_inputs(parser)
    parser.add_argument("-n", "--count", type=int, default=20, help="how many grid.png shows (20)")
    parser.add_argument(
        "--output", type=Path, help="a new folder (reconstructions); of a table, a CSV (reconstructions.csv)"
    )


def run(arguments: Namespace) -> int:
    """Write the reconstructions and print where.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the inputs cannot be used.
        OSError: the reconstructions cannot be written.
    """
    if arguments.count < 1:
        raise UsageError(f"-n must be 1 or more, got {arguments.count}")
    given, parts = given_inputs(arguments.inputs)
    model = load_model(arguments, parts)
    preparation = model.preparation
    inputs = model.inputs(given, resize=arguments.resize)
    if isinstance(preparation, TablePreparation):
        output = arguments.output or Path("reconstructions.csv")
        check_file(output, (".csv",), *arguments.inputs)
        with new_file(output) as temporary, progress_bar(inputs.count) as bar:
            batches = model.reconstructions(inputs, progress=bar.update)
            rows = (row for _, means in batches for row in means.tolist())
            write_csv(temporary, preparation.columns, rows, number=EXACT)
    else:
        output = arguments.output or Path("reconstructions")
        refuse_inside(output, *arguments.inputs)
        names = iter(file_names(numbered(inputs.count) if isinstance(inputs.names, range) else inputs.names))
        first: list[tuple[torch.Tensor, torch.Tensor]] = []
        with new_folder(output) as folder, progress_bar(inputs.count) as bar, ExitStack() as stack:
            values = None
            if not preparation.unit_interval:
                values = stack.enter_context((folder / "reconstructions.npy").open("xb"))
                write_header(values, np.dtype(np.float32), (inputs.count, *preparation.image))
            for x, means in model.reconstructions(inputs, progress=bar.update):
                if values is not None:
                    values.write(means.numpy().tobytes())
                for image, mean in zip(x, means, strict=True):
                    save_picture(folder / next(names), mean, preparation)
                    if len(first) < arguments.count:
                        first.append((image, mean))
            x, means = (torch.stack(part) for part in zip(*first, strict=True))
            (folder / "grid.png").write_bytes(pairs(x, means, preparation))
    console.say(str(output))
    return 0
