"""The names of the directories of runs, sweeps and members. They tell what differs, in at most 255 bytes."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

from hydra.core.override_parser.types import Override

from vae.app.command_line.composition import bare
from vae.run.record import Record

LONGEST_NAME = 255  # bytes, on most file systems
ALWAYS_NAMED = {"data", "model", "objective", "model.latent_dim", "seed", "resume"}  # not repeated as overrides


def run_name(record: Record, overrides: Sequence[Override], now: datetime) -> str:
    """The name of one run: data, model, objective, number of latents, seed, all overrides, time.

    For the objective `beta` the name has the value: `mnist_mlp_beta=4.0_latent_dim=20_seed=0_epochs=3_<time>`.
    """
    chosen, config = record.choices, record.config
    is_beta = chosen["objective"] == "beta"
    objective = f"beta={config.beta}" if is_beta else chosen["objective"]
    named = ALWAYS_NAMED | ({"beta"} if is_beta else set())
    words = {bare(o): str(o.input_line) for o in overrides if not o.is_hydra_override() and bare(o) not in named}
    start = f"{chosen['data']}_{chosen['model']}_{objective}_latent_dim={config.model.latent_dim}_seed={config.seed}"
    return file_name(start, list(words.values()), now.strftime("%Y-%m-%d_%H-%M-%S-%f"))


def sweep_name(overrides: Sequence[Override]) -> str:
    """The name of a sweep: its overrides. The same command therefore continues the same sweep."""
    return file_name("sweep", [str(o.input_line) for o in overrides if not o.is_hydra_override()])


def member_name(record: Record, swept: Sequence[Override]) -> str:
    """The name of a member of a sweep: beta, seed, and the value of each other swept key."""
    others = [str(o.input_line) for o in swept if bare(o) not in ("beta", "seed")]
    return file_name(f"beta={record.config.beta}_seed={record.config.seed}", others)


def file_name(start: str, words: Sequence[str], end: str = "") -> str:
    """`start`, `words` and `end`, joined by `_`. A hash is added if words were cut or characters were replaced.

    Example:
        >>> file_name("beta=4.0_seed=0", ["model.hidden=[64]"])
        'beta=4.0_seed=0_model.hidden=[64]'
        >>> file_name("beta=4.0_seed=0", ["data.path=a/b.npz"])
        'beta=4.0_seed=0_data.path=a-b.npz_0a82a8c7'
    """
    given = "_".join(words)
    readable = re.sub(r"[^\w=,.+\[\]-]", "-", given)
    room = LONGEST_NAME - len("__".join([start, end]).encode())
    if readable != given or len(readable.encode()) > room:
        sha256 = hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()
        readable = f"{readable.encode()[: room - 9].decode(errors='ignore')}_{sha256[:8]}"
    return "_".join(part for part in (start, readable, end) if part)
