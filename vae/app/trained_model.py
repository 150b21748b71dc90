"""The arguments that all commands of a trained model share, and the model that they name."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae.app.foreign import imported, refuse_unnamed, values_of_words
from vae.app.invocation import UsageError
from vae.config import ConfigError, Device, Resize
from vae.config.model import CustomModelConfig
from vae.run.names import BEST, LAST
from vae.trained.load import configured_model, load
from vae.trained.model import TrainedModel


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the run and what is done with it."""
    parser.add_argument("run", type=Path, help="the directory of a run, or an exported folder")
    add_checkpoint(parser)
    add_beta(parser)
    parser.add_argument("--device", choices=list(Device.__members__), default=Device.auto.name)


def add_checkpoint(parser: ArgumentParser) -> None:
    """Add which checkpoint of a run is used."""
    parser.add_argument("--checkpoint", choices=(LAST, BEST), default=LAST)


def add_beta(parser: ArgumentParser) -> None:
    """Add the beta of a multi-rate model."""
    parser.add_argument("--beta", type=float, help="of a run with objective=multi_rate (the run's own)")


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
    """Add the user's own parts. They come last, after the other words."""
    parser.add_argument(
        "parts", nargs="*", metavar="key=value", help="parts of your own, named again: model.encoder=my_nets:encoder"
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
    return load(
        arguments.run, device=arguments.device, checkpoint=arguments.checkpoint, beta=arguments.beta, **networks
    )


def own_networks(place: Path, words: Sequence[str]) -> dict[str, Any]:
    """The arguments `encoder` and `decoder` of `vae.load`. Empty if the networks of the model are built in.

    Args:
        place: the directory of a run, or an exported folder.
        words: name the networks, as in `["model.encoder=my_nets:encoder", "model.decoder=my_nets:decoder"]`. Other
            parts may be named, too, and are not imported.

    Raises:
        ConfigError: the words do not name the networks as the run does, or they cannot be imported.
    """
    named, model = values_of_words(words), configured_model(place)
    if not isinstance(model, CustomModelConfig):
        needless = next((key for key in named if key.startswith("model.")), None)
        if needless is not None:
            raise ConfigError(f"{place} has no networks of your own. Leave {needless} out")
        return {}
    stored = {"model.encoder": model.encoder, "model.decoder": model.decoder}
    refuse_unnamed(place, stored, named)
    return {key.partition(".")[2]: imported(text, key) for key, text in stored.items()}
