"""The arguments that all commands of a trained model share, and the model that they name."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vae.app.foreign import values_of_words
from vae.app.invocation import UsageError
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


def add_inputs(parser: ArgumentParser) -> None:
    """Add the inputs, and the user's own networks among them, which `given_inputs` separates."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="input",
        help="a picture or several, a folder of pictures, an .npz, an .npy or a .csv; "
        "and the run's own networks as model.encoder=module:name model.decoder=module:name",
    )
    add_resize(parser)


def add_resize(parser: ArgumentParser) -> None:
    """Add how pictures of another size are read."""
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


def given_inputs(words: Sequence[str]) -> tuple[str | list[str], list[str]]:
    """The input, or the list of several pictures; and the words that name the user's own networks.

    Raises:
        UsageError: there is no input.
    """
    parts = [word for word in words if "=" in word and not os.path.lexists(word)]
    given = [word for word in words if word not in parts]
    if not given:
        raise UsageError("an input is needed, got only parts of your own")
    return given[0] if len(given) == 1 else given, parts


def load_model(arguments: Namespace, parts: Sequence[str]) -> TrainedModel:
    """The model that a command names. `parts` are its words about the user's own networks.

    Raises:
        ConfigError: there is none, or its networks are the user's own and the command does not name them.
        CheckpointError: the checkpoint is missing or damaged.
    """
    networks = own_networks(arguments.run, parts)
    named = [key for key in values_of_words(parts) if key.startswith("model.")]
    if named and not networks:
        raise ConfigError(f"{arguments.run} has no networks of your own. Leave {named[0]} out")
    return load(arguments.run, device=arguments.device, checkpoint=arguments.checkpoint, **networks)
