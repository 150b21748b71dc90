"""Reconstructions, samples and traversals as images: (height, width, 1 or 3) bytes."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import pad

from vae.model.vae import VAE

ImageBytes = UInt8[Tensor, "down across channels"]  # grey (one channel) or colour (three)
Images = Float[Tensor, "rows columns channels height width"]

BACKGROUND = 255
GAP = 2  # pixels between images
UNIT_INTERVAL = (0.0, 1.0)  # usual pixels: 0 is black and 1 is white
TEXT_SIZE = 18


def grid(
    images: Images,
    labels: Sequence[str] = (),
    title: str = "",
    scale: int = 2,
    shown: tuple[float, float] = UNIT_INTERVAL,
) -> ImageBytes:
    """Rows of images on white, each row with its label on the left.

    Args:
        images: the values between those of `shown` are grey. Others are clamped.
        labels: one for each row, or none at all.
        title: above the grid.
        scale: each pixel becomes a square with this side.
        shown: the values that are black and white.
    """
    bytes_ = (in_unit_interval(images, shown).clamp(0, 1) * 255).round().byte()
    bytes_ = bytes_.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    # (rows, columns, channels, y, x) becomes (rows * y, columns * x, channels), with gaps between the images.
    cells = pad(bytes_, (0, GAP, 0, GAP), value=BACKGROUND).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    font = ImageFont.load_default(size=TEXT_SIZE)
    left = max((int(font.getlength(label)) for label in labels), default=-3 * GAP) + 4 * GAP
    top = TEXT_SIZE + 4 * GAP if title else GAP
    needed = max(left + cells.shape[1], int(font.getlength(title)) + 2 * GAP)
    canvas = torch.full((top + len(cells), needed, images.shape[2]), BACKGROUND, dtype=torch.uint8)
    canvas[top:, left : left + cells.shape[1]] = cells
    picture = as_image(canvas)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), title, fill=0, font=font)
    for row, label in enumerate(labels):
        middle = top + (2 * row + 1) * len(cells) // (2 * len(images)) - GAP // 2
        draw.text((GAP, middle), label, fill=0, font=font, anchor="lm")
    return torch.from_numpy(np.array(picture)).view_as(canvas)


def in_unit_interval(x: Float[Tensor, "*shape"], shown: tuple[float, float]) -> Float[Tensor, "*shape"]:
    """The values on the scale where those of `shown`, black and white, are 0 and 1."""
    black, white = shown
    return x if shown == UNIT_INTERVAL else (x - black) / max(white - black, 1e-30)


def as_image(image: ImageBytes) -> Image.Image:
    """The image as a Pillow image, to be written to a file or drawn on."""
    return Image.fromarray(image.squeeze(2).numpy())


def as_png(image: ImageBytes) -> bytes:
    """The image as the content of a PNG."""
    content = io.BytesIO()
    as_image(image).save(content, "png", compress_level=3)
    return content.getvalue()


def in_rows(
    images: Float[Tensor, "images channels height width"], columns: int, shown: tuple[float, float] = UNIT_INTERVAL
) -> Images:
    """The images in rows. The last row is filled with white."""
    white = images.new_full((-len(images) % columns, *images.shape[1:]), shown[1])
    return torch.cat([images, white]).view(-1, columns, *images.shape[1:])


def reconstructions(
    x: Float[Tensor, "images channels height width"],
    means: Float[Tensor, "images channels height width"],
    shown: tuple[float, float] = UNIT_INTERVAL,
    scale: int = 2,
) -> ImageBytes:
    """Rows of at most ten inputs, each with its reconstruction below it. `grid` describes the other arguments."""
    parts = [in_rows(part, min(10, len(x)), shown) for part in (x, means)]
    return grid(torch.stack(parts, 1).flatten(0, 1), ["input", "output"] * len(parts[0]), scale=scale, shown=shown)


@torch.inference_mode()
def samples(
    vae: VAE,
    noise: Float[Tensor, "images latent"],
    columns: int = 10,
    shown: tuple[float, float] = UNIT_INTERVAL,
) -> ImageBytes:
    """The mean images that the decoder gives for latents `noise`, drawn from the prior."""
    return grid(vae.sample(noise).cpu().unflatten(0, (-1, columns)), shown=shown)


def moved(
    z: Float[Tensor, " latent"], latents: Sequence[int], values: Float[Tensor, " steps"]
) -> Float[Tensor, "rows steps latent"]:
    """`z` once for each latent and value: in a row one of `latents` takes the values while the others stay."""
    rows = z.expand(len(latents), len(values), -1).clone()
    for row, latent in enumerate(latents):
        rows[row, :, latent] = values
    return rows


@torch.inference_mode()
def traversals(
    vae: VAE,
    z: Float[Tensor, " latent"],
    rate_per_latent: Float[Tensor, " latent"],
    rows: int = 10,
    columns: int = 11,
    reach: float = 3.0,
    title: str = "",
    shown: tuple[float, float] = UNIT_INTERVAL,
) -> ImageBytes:
    """Latent traversals (Higgins et al., 2017): in each row one latent moves while the others stay at `z`.

    The latents with the highest rates are shown, the highest first. A row is labelled with its latent and its rate.

    Args:
        vae: decodes the latents.
        z: the latents that are varied one at a time.
        rate_per_latent: in nats.
        rows: the largest number of latents to show.
        columns: the number of values of each latent.
        reach: values go from -reach to reach.
        title: above the grid.
        shown: the values that are black and white.
    """
    order = rate_per_latent.argsort(descending=True)[:rows].tolist()
    values = torch.linspace(-reach, reach, columns, device=z.device)
    images = vae.decode(moved(z, order, values).flatten(0, 1)).mean.cpu().unflatten(0, (len(order), columns))
    labels = [f"z{latent:02d}  {float(rate_per_latent[latent]):.2f}" for latent in order]
    return grid(images, labels, title, shown=shown)


@torch.inference_mode()
def manifold(vae: VAE, device: torch.device, side: int = 20, shown: tuple[float, float] = UNIT_INTERVAL) -> ImageBytes:
    """The mean images of a model with two latents, at evenly spaced quantiles of the prior.

    As Figure 4 of Kingma & Welling (2014).
    """
    steps = (torch.arange(side, device=device) + 0.5) / side
    quantiles = torch.special.ndtri(steps)
    z = torch.stack(torch.meshgrid(quantiles, quantiles, indexing="xy"), -1).flip(0)  # upwards, as axes go
    return grid(vae.decode(z.flatten(0, 1)).mean.cpu().unflatten(0, (side, side)), scale=1, shown=shown)
