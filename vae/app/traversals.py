"""Traversals of runs that have left no such figure, as the members of a sweep."""

import io
from collections.abc import Sequence
from pathlib import Path

from vae.run.files import read_regular
from vae.run.names import CODES


def draw_traversals_of(directory: Path, parts: Sequence[str] = ()) -> bytes | None:
    """The traversals of a trained run around its first test image, as a PNG. It needs no data.

    Args:
        directory: of the run.
        parts: words that name the user's own networks, as in `["model.encoder=my_nets:encoder"]`.

    Returns:
        None if the run's checkpoint or codes are missing or damaged, or its networks are not named. A report that
        lacks a picture is better than none.
    """
    import numpy as np
    import torch  # takes a second, which a report whose runs have figures does not need

    from vae.app.trained_model import own_networks
    from vae.figures.images import as_png
    from vae.trained.load import load_trained
    from vae.training.monitoring import draw_traversals

    try:
        trained = load_trained(directory, **own_networks(directory, parts))
        rates, preparation = trained.summary["test"].get("rate_per_latent", []), trained.stored.preparation
        if preparation is None or len(rates) != trained.vae.latent_dim:
            return None
        with np.load(io.BytesIO(read_regular(directory / CODES)), allow_pickle=False) as stored:
            z = torch.from_numpy(stored["mean"][0])
        weight = trained.summary["test"].get("loss_weight", trained.summary["beta"])
        title = f"{directory.name}: weight of the rate {weight:g}, latents by rate in nats"
        with torch.inference_mode():
            picture = draw_traversals(trained.vae.eval(), z, torch.tensor(rates), preparation, title=title)
        return as_png(picture)
    except Exception:  # of many kinds for damaged files
        return None
