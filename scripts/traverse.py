"""Draw a run's latent traversals: `python scripts/traverse.py outputs/RUN`, or of several runs side by side.

Each row moves one latent while the others stay at the posterior mean of one test image; the latent with the highest
rate comes first. Of several runs, the same image is taken.
"""

import argparse
import io
import sys
from pathlib import Path

import torch

from vae.app import console
from vae.app.load import load_run
from vae.app.main import EXPECTED, exit_code, said
from vae.config.options import FOREIGN
from vae.figures import images as figures
from vae.measures.evaluation import encode_images
from vae.run.files import write_atomically
from vae.run.names import BEST, LAST

MARGIN = 24  # pixels between runs


def main() -> int:
    """Write the figure and print where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="run",
        help="the directory of a run, or a part of your own, named again as key=value",
    )
    parser.add_argument("--checkpoint", choices=(LAST, BEST), default=LAST)
    parser.add_argument("--image", type=int, default=0, help="number of the test image to start from (0)")
    parser.add_argument("--rows", type=int, default=10, help="latents to show (10)")
    parser.add_argument("--reach", type=float, default=3.0, help="move each latent from -reach to reach (3)")
    parser.add_argument("--output", type=Path, help="the PNG file (<run>/figures/traversals_test.png)")
    arguments = parser.parse_intermixed_args()
    parts = [word for word in arguments.runs if word.startswith(FOREIGN)]
    runs = [Path(word) for word in arguments.runs if word not in parts]
    if not runs:
        parser.error("a run is needed, got only parts of your own")
    if arguments.image < 0 or arguments.rows < 1:
        parser.error("--image must be 0 or more and --rows 1 or more")
    pictures = []
    for directory in runs:
        try:
            run = load_run(directory, arguments.checkpoint, parts)
        except EXPECTED as error:
            print(f"error: {said(error)}", file=sys.stderr)
            return exit_code(error)
        if arguments.image >= len(run.splits.test):
            parser.error(f"--image must be below {len(run.splits.test)}, got {arguments.image}")
        encoding = encode_images(run.vae, run.splits.test)
        pictures.append(
            figures.traversals(
                run.vae,
                encoding.mean[arguments.image].to(run.device),
                encoding.rate_per_latent,
                rows=arguments.rows,
                reach=arguments.reach,
                title=f"{directory.resolve().name}: latents by rate in nats",
            )
        )
    output = arguments.output or runs[0] / "figures" / "traversals_test.png"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        encoded = io.BytesIO()
        figures.as_image(beside(pictures)).save(encoded, "png")
        write_atomically(output, encoded.getvalue(), durable=False)
    except OSError as error:
        print(f"error: the figure could not be written: {said(error)}. Name a file with --output", file=sys.stderr)
        return exit_code(error)
    console.say(str(output))
    return 0


def beside(pictures: list[figures.ImageBytes]) -> figures.ImageBytes:
    """Pictures from left to right, on white."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + MARGIN * (len(pictures) - 1)
    channels = max(picture.shape[2] for picture in pictures)
    canvas = torch.full((height, width, channels), figures.BACKGROUND, dtype=torch.uint8)
    left = 0
    for picture in pictures:
        canvas[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + MARGIN
    return canvas


if __name__ == "__main__":
    console.prepare()
    sys.exit(main())
