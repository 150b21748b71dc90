"""Explorers to test: small models, pages of them, and what a browser says of a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from browsing import WebDriverWait, asked, show
from torch import Tensor

from vae.config.preparation import ImagePreparation
from vae.data import ImageSet
from vae.model.vae import VAE
from vae.pages import ExploredModel, explorer_page
from vae.pages.explorer import drawn, wall_of
from vae.probability.divergences import kl_to_standard_normal

PROMISED = 1e-3  # of a pixel, in units of black to white, and of the KL of a latent, in nats
PROMISED_DISTORTION = 1e-4  # relative

# What the page computes of all images of its wall, and of z that it is given: of the image i at the z number i.
COMPUTED = """
const { models, wall, encode, pixels, distortion } = window.explorer, one = models[arguments[0]], zs = arguments[1];
const posteriors = wall.map(({ x }) => encode(one, x));
return {
    x: wall.map(({ x }) => Array.from(x)),
    mean: posteriors.map(({ mean }) => Array.from(mean)),
    logvar: posteriors.map(({ logvar }) => Array.from(logvar)),
    pixels: zs.map((z) => Array.from(pixels(one, z))),
    distortion: zs.map((z, i) => distortion(one, wall[i % wall.length].x, z)),
};
"""

STATE = """
const { state } = window.explorer;
return {
    model: state.model, x: Array.from(state.x), z: Array.from(state.z), name: state.name, image: state.wallIndex,
    mean: Array.from(state.posterior.mean), logvar: Array.from(state.posterior.logvar), held: [...state.held],
    animated: state.animated, selected: state.selected, reach: state.reach, mapReach: state.mapReach,
    numbers: JSON.parse(document.getElementById("numbers").dataset.values),
};
"""

# Two frames later, and when nothing is left to be done in the background.
SETTLED = """
const done = arguments[0];
const wait = () => document.documentElement.dataset.busy === "true" ? setTimeout(wait, 5) : done();
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(wait, 0)));
"""

CANVAS = """
const canvas = document.querySelector(arguments[0]);
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
return [canvas.height, canvas.width, Array.from(data)];
"""


class Differences(NamedTuple):
    """The largest ones between a page and torch: in nats, in units of black to white, and relative."""

    kl: float
    pixels: float
    distortion: float


def barely_trained(vae: VAE, x: Tensor, steps: int = 3, beta: float = 1.0, rate: float = 1e-2) -> VAE:
    """The model after a few steps on these images."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(vae.parameters(), lr=rate)
    for _ in range(steps):
        posterior = vae.encode(x)
        z = posterior.rsample(torch.randn(posterior.mean.shape, generator=generator))
        loss = (beta * posterior.kl_to_standard().sum(1) - vae.decode(z).log_prob(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return vae.eval()


def random_images(shape: tuple[int, int, int], count: int, *, redrawn: bool = False) -> ImageSet:
    """Bytes: random squares, upsampled so that they are smooth in parts, of three labels."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(count, shape[0], 4, 4, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear", align_corners=False)
    return ImageSet((pixels * 255).byte(), torch.arange(count) % 3, redrawn)


def written(folder: Path, models: Sequence[ExploredModel], images: ImageSet, **options: Any) -> Path:
    """The page of these models in a folder."""
    preparation = options.pop("preparation", None) or ImagePreparation(images.shape, binarised=images.redrawn)
    title = options.pop("title", "an explorer")
    path = folder / "explorer.html"
    path.write_text(explorer_page(models, images, preparation, title=title, **options), encoding="utf-8")
    return path


def explore(browser: Any, page: Path, **window: Any) -> None:
    """Load an explorer, and wait until it has computed what it shows first."""
    show(browser, page, **window)
    begun = "return document.documentElement.dataset.ready || document.getElementById('failure').textContent"
    assert WebDriverWait(browser, 60).until(lambda _: browser.execute_script(begun)) == "true"
    settle(browser)


def settle(browser: Any) -> None:
    """Wait until the page shows what was asked for."""
    browser.execute_async_script(SETTLED)


def state_of(browser: Any) -> dict[str, Any]:
    """What is chosen on the page, after it is shown."""
    settle(browser)
    found = browser.execute_script(STATE)
    return found | {key: np.array(found[key]) for key in ("x", "z", "mean", "logvar")}


def canvas_of(browser: Any, selector: str) -> np.ndarray:
    """The pixels of a canvas, (height, width, 3), in 0 … 255."""
    height, width, rgba = browser.execute_script(CANVAS, selector)
    return np.array(rgba, dtype=np.uint8).reshape(height, width, 4)[:, :, :3]


def complaints(browser: Any, page: Path) -> list[Any]:
    """The messages of the console, and what the page asked for besides itself."""
    return [entry["message"] for entry in browser.get_log("browser")] + [
        u for u in asked(browser) if u != page.as_uri()
    ]


@torch.no_grad()
def differences(browser: Any, vae: VAE, images: ImageSet, unit: float = 1.0, number: int = 0) -> Differences:
    """Between the model `number` of the page and `vae`, over the wall, its posterior means, and random z."""
    x = drawn(images, wall_of(images))
    posterior = vae.encode(x)
    z = torch.cat([posterior.mean, 1.5 * torch.randn(8, vae.latent_dim, generator=torch.Generator().manual_seed(3))])
    found = browser.execute_script(COMPUTED, number, z.tolist())
    assert np.array_equal(np.array(found["x"], dtype=np.float32), x.flatten(1).numpy())
    mean, logvar = (torch.tensor(found[key], dtype=torch.float64) for key in ("mean", "logvar"))
    likelihood = vae.decode(z)
    distortion = -likelihood.log_prob(x[torch.arange(len(z)) % len(x)]).double()
    return Differences(
        kl=float((kl_to_standard_normal(mean, logvar) - posterior.kl_to_standard()).abs().max()),
        pixels=float((torch.tensor(found["pixels"]) - likelihood.mean.flatten(1)).abs().max()) / unit,
        distortion=float(((torch.tensor(found["distortion"]) - distortion) / distortion).abs().max()),
    )


def bars_of(browser: Any) -> dict[str, float]:
    """The numbers that the page writes beside the bars of the chosen latent, by name."""
    words = browser.execute_script(
        "return [...document.querySelectorAll('#latent .bars > *')].map(e => e.textContent)"
    )
    return {name: number_in(number) for name, number in zip(words[::3], words[2::3], strict=True)}


def number_in(text: str) -> float:
    """Of a text that the page writes, with a true minus sign."""
    return float(json.loads(text.replace("−", "-")))
