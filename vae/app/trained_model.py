"""The arguments that all commands of a trained model share, and the model that they name."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vae.app.foreign import values_of_words
from vae.app.networks import own_networks
from vae.config import ConfigError, Device, Resize
from vae.run.names import BEST, LAST
from vae.trained.load import load
from vae.trained.model import TrainedModel


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the run and what is done with it."""
    parser.add_argument("run", type=Path, help="the directory of a run, or an exported folder")
    parser.add_argument("--checkpoint", choices=(LAST, BEST), default=LAST)
    parser.add_argument("--device", choices=list(Device.__members__), default=Device.auto.name)


def add_input_arguments(parser: ArgumentParser, *names: str) -> None:
    """Add the inputs, whose names are given, and how pictures of another size are read."""
    for name in names:
        parser.add_argument(name, help="a picture, a folder of pictures, an .npz, an .npy or a .csv")
    parser.add_argument(
        "--resize",
        choices=list(Resize.__members__),
        help="how pictures of another size are brought to the model's (as in training, or not at all)",
    )


def add_parts(parser: ArgumentParser) -> None:
    """Add the user's own networks. They come last, after the other words."""
    parser.add_argument(
        "parts", nargs="*", metavar="key=value", help="the run's own networks: model.encoder=, model.decoder="
    )


def load_model(arguments: Namespace) -> TrainedModel:
    """The model that a command names.

    Raises:
        ConfigError: there is none, or its networks are the user's own and the command does not name them.
        CheckpointError: the checkpoint is missing or damaged.
    """
    networks = own_networks(arguments.run, arguments.parts)
    named = [key for key in values_of_words(arguments.parts) if key.startswith("model.")]
    if named and not networks:
        raise ConfigError(f"{arguments.run} has no networks of your own. Leave {named[0]} out")
    return load(arguments.run, device=arguments.device, checkpoint=arguments.checkpoint, **networks)
