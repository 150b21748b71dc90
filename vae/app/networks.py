"""The user's own networks for a trained model, which a command names again."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vae.app.foreign import imported, values_of_words
from vae.config import ConfigError
from vae.config.model import CustomModelConfig
from vae.trained.load import configured_model


def own_networks(place: Path, words: Sequence[str]) -> dict[str, Callable[..., Any]]:
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
        return {}
    stored = {f"model.{name}": getattr(model, name) for name in ("encoder", "decoder")}
    missing = [f"{key}={text}" for key, text in stored.items() if named.get(key) != text]
    if missing:
        raise ConfigError(
            f"{place} has networks of your own, which are imported only if the command names them too. "
            f"Add {shlex.join(missing)}"
        )
    return {key.partition(".")[2]: imported(text, key) for key, text in stored.items()}
