"""Write the images of a file of `beta-vae compress`: `beta-vae decompress outputs/RUN images.bvae`.

The .npz has the array images of booleans, of shape (images, channels, height, width). It can be the input of the other
commands. The model must be the one that compressed them.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from vae.app import console
from vae.app.outputs import check_file, new_file
from vae.app.trained_model import add_checkpoint, add_parts, own_networks
from vae.data.files import DataError, reason
from vae.trained.compression import decompress
from vae.trained.load import load


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, help="the directory of the run, or the exported folder")
    parser.add_argument("file", type=Path, help="a file of beta-vae compress")
    add_parts(parser)
    parser.add_argument("--output", type=Path, default=Path("images.npz"), help="an .npz (images.npz)")
    add_checkpoint(parser)


def run(arguments: Namespace) -> int:
    """Write the images and print the path.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the file cannot be used.
        OSError: the images cannot be written.
    """
    check_file(arguments.output, (".npz",), str(arguments.file))
    networks = own_networks(arguments.run, arguments.parts)
    try:
        content = arguments.file.read_bytes()
    except OSError as error:
        raise DataError(f"{arguments.file} cannot be read: {reason(error)}. Name another") from None
    model = load(arguments.run, device="cpu", checkpoint=arguments.checkpoint, **networks)
    with new_file(arguments.output) as temporary:
        images = decompress(model, content, arguments.file).numpy()
        with temporary.open("wb") as file:
            np.savez_compressed(file, images=images)
    console.say(str(arguments.output))
    return 0
