"""Write the codes and the ELBO of your own files into a table: `beta-vae encode outputs/RUN pictures/`.

A row begins with the file, or with the number of the input, and the label. Then come the posterior's mean z_00 … and
standard deviation sd_00 … of each latent, and distortion, rate and ELBO in nats. Inputs are prepared as in training.
An .npz has the arrays files, labels, mean, sd, distortion, rate and elbo instead.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vae.app import console
from vae.app.codes import write_codes_csv, write_npz
from vae.app.invocation import UsageError
from vae.app.outputs import check_file, new_file, progress_bar
from vae.app.trained_model import add_inputs, add_model_arguments, given_inputs, load_model


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_model_arguments(parser)
    add_inputs(parser)
    parser.add_argument("--output", type=Path, default=Path("codes.csv"), help="a .csv or an .npz (codes.csv)")
    parser.add_argument("--samples", type=int, default=1, help="of z for each distortion; more are less noisy (1)")


def run(arguments: Namespace) -> int:
    """Write the table and print its path.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the inputs cannot be used.
        OSError: the table cannot be written.
    """
    if arguments.samples < 1:
        raise UsageError(f"--samples must be 1 or more, got {arguments.samples}")
    given, parts = given_inputs(arguments.inputs)
    check_file(arguments.output, (".csv", ".npz"), *arguments.inputs)
    model = load_model(arguments, parts)
    inputs = model.inputs(given, resize=arguments.resize)
    write = write_npz if arguments.output.suffix.lower() == ".npz" else write_codes_csv
    with new_file(arguments.output) as temporary, progress_bar(inputs.count) as bar:
        write(temporary, inputs, model.coded(inputs, samples=arguments.samples, progress=bar.update), model.latent_dim)
    console.say(str(arguments.output))
    return 0
