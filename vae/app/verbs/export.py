"""Write a run's model into a folder of its own: `beta-vae export outputs/RUN --to FOLDER`.

The folder has the weights as safetensors, the configuration as JSON, and a model card. `vae.load` reads it without the
run, and `vae.push_to_hub` uploads it. With --onnx it also has the encoder and the decoder as ONNX, which are compared
with torch before anything is written.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vae.app import console
from vae.app.outputs import ending_by_exception
from vae.app.trained_model import add_beta, add_checkpoint, add_parts, own_networks
from vae.trained.export import export


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, help="the directory of a run")
    add_parts(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the new folder")
    parser.add_argument("--onnx", action="store_true", help="add encoder.onnx and decoder.onnx")
    add_checkpoint(parser)
    add_beta(parser)


def run(arguments: Namespace) -> int:
    """Write the folder and print its path.

    Raises:
        ConfigError, CheckpointError, OSError: as `vae.export`.
    """
    networks = own_networks(arguments.run, arguments.parts)
    with ending_by_exception():
        folder = export(
            arguments.run,
            arguments.to,
            onnx=arguments.onnx,
            checkpoint=arguments.checkpoint,
            beta=arguments.beta,
            **networks,
        )
    console.say(str(folder))
    return 0
