"""Draw a run's latent traversals: `beta-vae traverse outputs/RUN`, or of several runs side by side.

Each row moves one latent. The others stay at the posterior mean of one test image, the same for all runs. The latent
with the highest rate comes first.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from vae.app import console
from vae.app.invocation import UsageError
from vae.app.load import load_run
from vae.app.main import exit_code, said
from vae.app.trained_model import add_checkpoint
from vae.config.options import FOREIGN
from vae.figures import images as figures
from vae.measures.evaluation import encode_images
from vae.run.files import write_atomically
from vae.training.monitoring import draw_traversals

MARGIN = 24  # pixels between runs
FARTHEST = 1e6  # standard deviations of the prior


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="run",
        help="the directory of a run, or a part of your own, named again as key=value",
    )
    add_checkpoint(parser)
    parser.add_argument("--image", type=int, default=0, help="number of the test image to start from (0)")
    parser.add_argument("--rows", type=int, default=10, help="latents to show (10)")
    parser.add_argument("--reach", type=float, default=3.0, help="move each latent from -reach to reach (3)")
    parser.add_argument("--output", type=Path, help="the PNG file (<run>/figures/traversals_test.png)")


def run(arguments: Namespace) -> int:
    """Write the figure and print its path.

    Raises:
        UsageError: an argument is out of range, or no run is named.
        ConfigError, CheckpointError, DataError: a run cannot be loaded.
    """
    parts = [word for word in arguments.runs if word.startswith(FOREIGN)]
    runs = [Path(word) for word in arguments.runs if word not in parts]
    if not runs:
        raise UsageError("a run is needed, got only parts of your own")
    if arguments.image < 0 or arguments.rows < 1:
        raise UsageError("--image must be 0 or more and --rows 1 or more")
    if not 0 < arguments.reach <= FARTHEST:
        raise UsageError(f"--reach must be above 0, and {FARTHEST:g} at most, got {arguments.reach:g}")
    pictures = []
    for directory in runs:
        loaded = load_run(directory, arguments.checkpoint, parts)
        if arguments.image >= len(loaded.splits.test):
            raise UsageError(f"--image must be below {len(loaded.splits.test)}, got {arguments.image}")
        encoding = encode_images(loaded.vae, loaded.splits.test)
        pictures.append(
            draw_traversals(
                loaded.vae,
                encoding.mean[arguments.image].to(loaded.device),
                encoding.rate_per_latent,
                loaded.splits.preparation,
                rows=arguments.rows,
                reach=arguments.reach,
                title=f"{directory.resolve().name}: latents by rate in nats",
            )
        )
    output = arguments.output or runs[0] / "figures" / "traversals_test.png"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, figures.as_png(beside(pictures)), durable=False)
    except OSError as error:
        print(f"error: the figure could not be written: {said(error)}. Name a file with --output", file=sys.stderr)
        return exit_code(error)
    console.say(str(output))
    return 0


def beside(pictures: list[Tensor]) -> Tensor:
    """The pictures side by side on white. Each is (down, across, channels), of its own size."""
    height, _, channels = (max(sizes) for sizes in zip(*(picture.shape for picture in pictures), strict=True))
    coloured = [picture.expand(-1, -1, channels) for picture in pictures]
    padded = [pad(p, (0, 0, 0, MARGIN, 0, height - len(p)), value=figures.BACKGROUND) for p in coloured]
    return torch.cat(padded, 1)[:, :-MARGIN]
