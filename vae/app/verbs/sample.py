"""Draw new images from the prior: `beta-vae sample outputs/RUN -n 64 --seed 1`.

A folder gets grid.png and a PNG of each sample: the mean of p(x|z) for z from N(0, I). If the model was trained on
floats in a unit of their own, samples.npy has the values. Of a table's model, a CSV gets a row for each sample, in the
table's own units.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from vae.app import console
from vae.app.codes import EXACT, numbered, write_csv
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file, new_folder
from vae.app.pictures import save_picture, sheet
from vae.app.trained_model import add_model_arguments, add_parts, load_model
from vae.config.preparation import TablePreparation

LARGEST_SEED = 2**64 - 1


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_model_arguments(parser)
    add_parts(parser)
    parser.add_argument("-n", "--count", type=int, default=64, help="how many (64)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same samples (0)")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="standard deviation of z; below 1 is more typical (1)"
    )
    parser.add_argument("--output", type=Path, help="a new folder (samples); of a table, a CSV (samples.csv)")


def run(arguments: Namespace) -> int:
    """Write the samples and print where.

    Raises:
        UsageError, ConfigError, CheckpointError: the arguments or the model cannot be used.
        OSError: the samples cannot be written.
    """
    if arguments.count < 1 or not 0 <= arguments.temperature < float("inf"):
        raise UsageError(
            f"-n must be 1 or more and --temperature 0 or more, got {arguments.count} and {arguments.temperature:g}"
        )
    if not 0 <= arguments.seed <= LARGEST_SEED:
        raise UsageError(f"--seed must be from 0 to {LARGEST_SEED}, got {arguments.seed}")
    model = load_model(arguments, arguments.parts)
    preparation = model.preparation
    if isinstance(preparation, TablePreparation):
        output = arguments.output or Path("samples.csv")
        check_file(output, (".csv",))
        samples = model.sample(arguments.count, seed=arguments.seed, temperature=arguments.temperature)
        with new_file(output) as temporary:
            write_csv(temporary, preparation.columns, samples.tolist(), number=EXACT)
    else:
        output = arguments.output or Path("samples")
        with new_folder(output) as folder:
            samples = model.sample(arguments.count, seed=arguments.seed, temperature=arguments.temperature)
            (folder / "grid.png").write_bytes(sheet(samples, preparation))
            for name, image in zip(numbered(len(samples)), samples, strict=True):
                save_picture(folder / f"{name}.png", image, preparation)
            if not preparation.unit_interval:
                np.save(folder / "samples.npy", samples.numpy())
    console.say(str(output))
    return 0
