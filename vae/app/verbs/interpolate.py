"""Draw the images between two images: `beta-vae interpolate outputs/RUN one.png other.png`.

They are decoded from points on the straight line between the two posterior means, both ends included. Of a table's
model, a CSV gets a row for each point in the table's own units.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vae.app import console
from vae.app.codes import EXACT, write_csv
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file
from vae.app.pictures import sheet
from vae.app.trained_model import add_model_arguments, add_parts, add_resize, load_model
from vae.config.preparation import TablePreparation


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_model_arguments(parser)
    for name in ("one", "other"):
        parser.add_argument(name, help="a picture, or an .npz, an .npy or a .csv of one image or row")
    add_parts(parser)
    add_resize(parser)
    parser.add_argument("--steps", type=int, default=10, help="the number of points, both ends included (10)")
    parser.add_argument("--output", type=Path, help="a PNG (interpolation.png); of a table, a CSV (interpolation.csv)")


def run(arguments: Namespace) -> int:
    """Write the picture and print its path.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the inputs cannot be used.
        OSError: the picture cannot be written.
    """
    if arguments.steps < 2:
        raise UsageError(f"--steps must be 2 or more, got {arguments.steps}")
    model = load_model(arguments, arguments.parts)
    preparation = model.preparation
    suffix = ".csv" if isinstance(preparation, TablePreparation) else ".png"
    output = arguments.output or Path(f"interpolation{suffix}")
    check_file(output, (suffix,), arguments.one, arguments.other)
    ends = [model.inputs(given, resize=arguments.resize) for given in (arguments.one, arguments.other)]
    points = model.interpolate(*ends, steps=arguments.steps)
    with new_file(output) as temporary:
        if isinstance(preparation, TablePreparation):
            write_csv(temporary, preparation.columns, points.tolist(), number=EXACT)
        else:
            temporary.write_bytes(sheet(points, preparation, columns=arguments.steps))
    console.say(str(output))
    return 0
