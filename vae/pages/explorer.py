"""The explorer: trained models on one page, with their weights and some test images inside.

The page encodes and decodes in the browser. Before it is written, the rounding of the weights is measured against
torch: they are as coarse as every pixel and the KL of every latent allow, which stay within `TOLERANCE`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae.config import Config, ConfigError
from vae.config.objective import BetaConfig, MultiRateConfig, TargetDistortionConfig, TargetRateConfig
from vae.config.preparation import ImagePreparation, Preparation
from vae.data.factors import Factors, Kind
from vae.data.images import ImageSet
from vae.model.vae import VAE, count_parameters
from vae.pages.assemble import page
from vae.pages.networks import layers_of, likelihood_of
from vae.pages.packing import compressed
from vae.pages.rounding import rounded
from vae.probability.distributions import DiagonalNormal, LogvarBounds

PARTS = ("pixels", "latents", "models", "map", "sources", "begin")  # of the scripts, in their order
WALL_IMAGES = 200  # that one can choose from
IMAGE_BYTES = 600_000  # at most, compressed; fewer images are taken if they are larger
MAP_IMAGES = 1_000
CHECKED_IMAGES = 400  # on which the rounding is measured, besides those of the wall
UNUSUAL_IMAGES = 100  # of each kind, on which it is measured as well
FEWEST_CHECKED = 100  # images, however large they are
CHECKED_DRAWS = 400  # of z, at least, on which it is measured
MOST_VALUES = 3 * 128 * 128  # of an image
CHECKED_VALUES = 3_000_000  # of all images that are checked at once, which bounds the memory
MOST_PARAMETERS = 5_000_000  # of a model: about 8 MB of the page
TOLERANCE = 6e-4  # of a pixel and of the KL of a latent in nats; the page promises 1e-3
CHECK_SEED = 0
SPREAD = 2.0  # standard deviations of the z, besides posterior means, on which the rounding is measured
MUTUAL_INFORMATION = "mutual_information"


@dataclass(frozen=True)
class ExploredModel:
    """A trained model that the page shows.

    Attributes:
        name: of the run or setting.
        vae: on the CPU, in evaluation mode.
        beta: of the run; the one that was found, if the objective searches for it.
        test: the numbers of the test as in `summary.json`; may be empty.
        disentanglement: the scores and matrices as in `summary.json`. None if the factors are not known.
        minimised: whether the training minimised distortion + beta * rate. If not, the page shows no such loss.
    """

    name: str
    vae: VAE
    beta: float
    test: Mapping[str, Any]
    disentanglement: Mapping[str, Any] | None = None
    minimised: bool = True


def explorer_page(
    models: Sequence[ExploredModel],
    test: ImageSet,
    preparation: Preparation,
    *,
    title: str,
    label_names: Sequence[str] | None = None,
    train: ImageSet | None = None,
) -> str:
    """The page as text.

    Args:
        models: one or more, of the same images.
        test: the images that one can choose from are its first ones of each label.
        preparation: how images became x.
        title: of the page.
        label_names: the name of each label, where labels have names.
        train: the training images. If their factors are known, the map shows some of them by factor.

    Raises:
        ConfigError: the page cannot show such data or such a model.
    """
    if not isinstance(preparation, ImagePreparation):
        raise ConfigError("the explorer shows images, got a table. Use traverse for it")
    channels, *_ = preparation.image
    values = math.prod(preparation.image)
    if values > MOST_VALUES:
        raise ConfigError(
            f"the explorer shows images of up to {MOST_VALUES:,} values, as 3x128x128 have, got {values:,}. "
            "Use traverse for them"
        )
    if channels not in (1, 3):
        raise ConfigError(f"the explorer shows images of 1 or 3 channels, got {channels}. Use traverse for them")
    wall = wall_of(test)
    x = drawn(test, wall)
    kept, form, pixels = stored_images(x)
    wall, x = wall[kept], x[kept]
    on_map = test if train is None or train.factors is None else train
    index = torch.from_numpy(np.random.default_rng(CHECK_SEED).permutation(len(on_map))[:MAP_IMAGES])
    mapped = drawn(on_map, index)
    checked = torch.cat([x, drawn(test, torch.arange(min(len(test), CHECKED_IMAGES)))])
    checked = torch.cat([checked, unusual(checked, preparation)])
    checked = checked[
        torch.randperm(len(checked), generator=seeded())[: max(FEWEST_CHECKED, CHECKED_VALUES // values)]
    ]
    described = [explored(model, checked, mapped, preparation.shown) for model in models]
    labels = test.labels.cpu()
    # Without labels, every label is 0.
    has_labels = label_names is not None or bool(labels.any()) or bool(on_map.labels.any())
    images = {
        "count": len(wall),
        "labels": labels[wall].tolist() if has_labels else None,
        "format": form,
    }
    points = {
        "count": len(index),
        "labels": on_map.labels.cpu()[index].tolist() if has_labels else None,
        "factors": None if on_map.factors is None else levels_of(on_map.factors, index),
    }
    data = {
        "title": title,
        "shape": list(preparation.image),
        "binarised": preparation.binarised,
        "unitInterval": preparation.unit_interval,
        "shown": list(preparation.shown),
        "background": preparation.background.value,
        "resize": None if preparation.resize is None else preparation.resize.value,
        "labelNames": None if label_names is None else list(label_names),
        "labelFactor": label_factor(on_map),
        "images": images,
        "map": points,
        "models": [plain for plain, _ in described],
    }
    blobs = {"images": pixels} | {f"model{i}": content for i, (_, content) in enumerate(described)}
    return page(
        "explorer.html.j2",
        styles=("page.css", "explorer.css"),
        scripts=("formulas.js", "parts.js", "engine.js", "explorer.js", *(f"explorer_{part}.js" for part in PARTS)),
        title=title,
        data={"explorer": data},
        blobs=blobs,
    )


def beta_of(config: Config, weight: float) -> tuple[float, bool]:
    """The beta that a run is known by, and whether its training minimised distortion + beta * rate.

    Args:
        config: of the run.
        weight: of the rate in its loss, at the end of the training. It is below beta if the warm-up has not ended.
    """
    match config.objective:
        case TargetRateConfig() | TargetDistortionConfig():  # they search for the weight
            return weight, True
        case BetaConfig() | MultiRateConfig():
            return config.beta, weight == config.beta
        case _:
            return config.beta, False


def wall_of(images: ImageSet) -> Int64[Tensor, " wall"]:
    """The numbers of the images that one can choose from, sorted by label: the first ones of each, in equal shares."""
    labels = images.labels.cpu()
    by_label = labels.argsort(stable=True)
    _, counts = labels.unique(return_counts=True)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)  # within its label
    wall = by_label[rank.argsort(stable=True)[:WALL_IMAGES]].sort().values
    return wall[labels[wall].argsort(stable=True)]


def drawn(images: ImageSet, index: Int64[Tensor, " chosen"]) -> Float[Tensor, "chosen channels height width"]:
    """x of these images on the CPU. Pixels that are redrawn are drawn once, with a fixed seed."""
    generator = torch.Generator(images.device).manual_seed(CHECK_SEED)
    return images.batch(index.to(images.device), generator).cpu()


def unusual(
    x: Float[Tensor, "images channels height width"], preparation: ImagePreparation
) -> Float[Tensor, "unusual channels height width"]:
    """Images unlike those of the data, as one may draw or open them: noise, black and white swapped, out of place."""
    black, white = preparation.shown
    some = x[torch.arange(min(len(x), UNUSUAL_IMAGES)) * len(x) // min(len(x), UNUSUAL_IMAGES)]
    noise = torch.rand(UNUSUAL_IMAGES, *preparation.image, generator=seeded())
    noise = noise.round() if preparation.binarised else noise
    _, height, width = preparation.image
    shifted = some.roll((height // 4, width // 4), (2, 3))
    return torch.cat([black + (white - black) * noise, black + white - some, shifted])


def stored_images(
    x: Float[Tensor, "wall channels height width"],
) -> tuple[Int64[Tensor, " kept"], str, bytes]:
    """Which of the images fit into `IMAGE_BYTES`, how they are stored, and their bytes, compressed."""
    kept = len(x)
    while True:
        numbers = torch.arange(kept) * len(x) // kept  # evenly spaced
        form, content = pixel_bytes(x[numbers])
        content = compressed([content])
        if len(content) <= IMAGE_BYTES or kept == 1:
            return numbers, form, content
        kept = max(1, int(kept * min(0.9, IMAGE_BYTES / len(content))))


def pixel_bytes(x: Float[Tensor, "images channels height width"]) -> tuple[str, bytes]:
    """The values of x without loss: `bits` if all are 0 or 1, `bytes` if all are a byte / 255, else `floats`.

    Example:
        >>> pixel_bytes(torch.tensor([[[[0.0, 1.0, 1.0]]]]))
        ('bits', b'`')
    """
    values = x.numpy()
    if np.isin(values, (0.0, 1.0)).all():
        return "bits", np.packbits(values.astype(bool).ravel()).tobytes()
    whole = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    if np.array_equal(whole.astype(np.float32) / np.float32(255), values):
        return "bytes", whole.tobytes()
    return "floats", values.astype("<f4").tobytes()


def label_factor(images: ImageSet) -> str | None:
    """The name of the first factor if the labels are its levels, as they are of images without labels of their own."""
    factors = images.factors
    if factors is None or not factors.names or not np.array_equal(images.labels.cpu().numpy(), factors.levels[:, 0]):
        return None
    return factors.names[0]


def levels_of(factors: Factors, index: Int64[Tensor, " images"]) -> list[dict[str, Any]]:
    """The level of each factor in these images, by which the map is coloured."""
    return [
        {
            "name": name,
            "ordered": factors.kinds[k] is not Kind.words,
            "values": factors.levels[index.numpy(), k].tolist(),
        }
        for k, name in enumerate(factors.names)
    ]


def explored(
    model: ExploredModel,
    x: Float[Tensor, "checked channels height width"],
    mapped: Float[Tensor, "images channels height width"],
    shown: tuple[float, float],
) -> tuple[dict[str, Any], bytes]:
    """A model as plain data and bytes.

    Args:
        model: with its numbers.
        x: the images on which the rounding is measured: those of the wall, others of the data, and unusual ones.
        mapped: the images of the map.
        shown: the values that are black and white, the unit of the pixels' error.

    Raises:
        ConfigError: the page cannot show such a model.
    """
    vae = model.vae
    parameters = count_parameters(vae)
    if parameters > MOST_PARAMETERS:
        raise ConfigError(
            f"the explorer shows models of up to {MOST_PARAMETERS:,} parameters, got {parameters:,} in {model.name}. "
            "Use traverse for it"
        )
    with torch.no_grad():
        posterior = vae.encode(x)
        draws = max(len(x), CHECKED_DRAWS), vae.latent_dim
        noise = torch.randn(draws, generator=seeded())
        z = torch.cat([posterior.mean, SPREAD * noise])
        encoder = rounded(
            layers_of(vae.encoder, "encoder"),
            x,
            lambda output: kl_of(output, vae.bounds),
            posterior.kl_to_standard(),
            TOLERANCE,
        )
        decoder = rounded(
            layers_of(vae.decoder, "decoder"),
            z,
            lambda output: vae.head(output).mean / (shown[1] - shown[0]),
            vae.decode(z).mean / (shown[1] - shown[0]),
            TOLERANCE,
        )
        outputs = torch.cat([torch.cat([q.mean, q.logvar], 1) for q in map(vae.encode, mapped.split(100))])
    means = outputs.chunk(2, dim=1)[0]
    rates = model.test.get("rate_per_latent") or kl_of(outputs, vae.bounds).mean(0).tolist()
    reach = float(means.abs().max()) or 1.0
    likelihood, logvars = likelihood_of(vae)
    plain = {
        "name": model.name,
        "beta": model.beta,
        "minimised": model.minimised,
        "latents": vae.latent_dim,
        "logvarBounds": [vae.bounds.low, vae.bounds.high],
        "likelihood": likelihood,
        "encoder": encoder.plain,
        "decoder": decoder.plain,
        "errors": [encoder.error, decoder.error],
        "ratePerLatent": [float(rate) for rate in rates],
        "test": {
            key: float(model.test[key]) for key in ("elbo", "distortion", "rate") if is_finite(model.test.get(key))
        },
        "mapScale": reach / 127,
        "factors": factor_matrix(model.disentanglement),
    }
    points = torch.round(means * (127 / reach)).to(torch.int8).numpy().tobytes()
    logvar_bytes = b"" if logvars is None else logvars.cpu().numpy().astype("<f4").tobytes()
    return plain, compressed([encoder.content, decoder.content, logvar_bytes, points])


def seeded() -> torch.Generator:
    """The same draws for every page."""
    return torch.Generator().manual_seed(CHECK_SEED)


def is_finite(value: object) -> bool:
    """Whether it is a finite number: a summary may be damaged."""
    return isinstance(value, int | float) and math.isfinite(value)


def kl_of(output: Float[Tensor, "batch two_latents"], bounds: LogvarBounds) -> Float[Tensor, "batch latent"]:
    """The KL of each latent in nats, from the output of an encoder."""
    mean, logvar = output.chunk(2, dim=1)
    return DiagonalNormal(mean, logvar, bounds).kl_to_standard()


def factor_matrix(disentanglement: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The mutual information of each latent and each factor, in nats, where it is known."""
    if disentanglement is None or MUTUAL_INFORMATION not in disentanglement.get("matrices", {}):
        return None
    matrix = disentanglement["matrices"][MUTUAL_INFORMATION]
    if not all(is_finite(value) for row in matrix for value in row):  # a damaged summary
        return None
    return {"names": list(disentanglement["factors"]), "matrix": [[float(value) for value in row] for row in matrix]}
