"""The spectrum of images: the eigenvalues of the covariance of their pixels."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from vae.data.images import ImageSet
from vae.measures.linear_vae import Spectrum
from vae.probability.prior import standard_normal

WIDEST = 2_048  # pixels, up to which the whole covariance is computed: its eigenvalues then take half a second
MOST_PRODUCTS = 5e10  # images * pixels^2 of that, about a second: all of MNIST, or of 32x32 sprites
EXACT_WIDEST = 12_288  # pixels, if it may take minutes; their covariance takes 1.2 GB, and as much for its eigenvalues
EXACT_PRODUCTS = 2e13
SUMMED_AT_ONCE = 256  # images; 256 squares of bytes stay below 2^24, up to which float32 is exact
SEED = 20191106
ITERATIONS = 8
SAMPLED_PRODUCTS = 5e8  # images * pixels * vectors of one product of an iteration; all take about a second
SAMPLED_NUMBERS = 5e7  # images * pixels in the memory: 200 MB
MORE_VECTORS = 10  # than the eigenvalues that are asked for
FEWEST_FOR_A_VECTOR = 4  # images


def spectrum_of(images: ImageSet, latents: int, *, exact: bool = False) -> Spectrum:
    """The spectrum of the covariance of x, where the sums are divided by the number of images. In float64.

    If x is drawn anew at each step, the covariance is that of the draws: p (1 - p) is added to the variance of each
    pixel. The same images give the same numbers.

    All images are used if that takes about a second: for up to 2 048 pixels, and images * pixels^2 up to 5e10. Then
    the covariance is exact. Otherwise a randomised subspace iteration finds the largest eigenvalues of as many images,
    chosen by a fixed seed, as a second and 200 MB allow (Halko, Martinsson & Tropp, 2011, "Finding Structure with
    Randomness", Algorithm 4.4). A sample's largest eigenvalues are a little too large. The trace is from all images.

    Args:
        images: usually those of the training.
        latents: the number of eigenvalues that are needed. There are more if all are known.
        exact: use all images even if that takes minutes.

    Raises:
        ValueError: a sample would be too small for so many latents, or `exact` would take too long.
    """
    pixels, count = math.prod(images.shape), len(images)
    widest, most = (EXACT_WIDEST, EXACT_PRODUCTS) if exact else (WIDEST, MOST_PRODUCTS)
    if pixels <= widest and count * pixels**2 <= most:
        found = covariance(images)
        eigenvalues = torch.linalg.eigvalsh(found).flip(0).clamp_min(0)
        return Spectrum(eigenvalues, float(found.trace()), pixels, f"all {spaced(count)} images")
    if exact:
        raise ValueError(f"the covariance of {spaced(count)} images of {pixels} pixels is too large. Use a sample")
    kept = min(latents, pixels)
    vectors = min(kept + MORE_VECTORS, pixels)
    used = int(min(count, SAMPLED_PRODUCTS / (pixels * vectors), SAMPLED_NUMBERS / pixels))
    if used < FEWEST_FOR_A_VECTOR * vectors:
        raise ValueError(
            f"a sample of {used} images of {pixels} pixels is too small for {latents} latents. Use fewer latents"
        )
    eigenvalues = largest_eigenvalues(sample(images, used), vectors)[:kept]
    source = f"{spaced(used)} of {spaced(count)} images" if used < count else f"all {spaced(count)} images"
    return Spectrum(eigenvalues, float(images.variance().double().sum()), pixels, source)


def covariance(images: ImageSet) -> Float64[Tensor, "pixels pixels"]:
    """The covariance of x, on the CPU. It takes images * pixels^2 multiplications. For bytes no sum is rounded."""
    pixels, count = math.prod(images.shape), len(images)
    parts = torch.arange(count, device=images.device).split(SUMMED_AT_ONCE)
    total = torch.zeros(pixels, dtype=torch.float64)
    products = torch.zeros(pixels, pixels, dtype=torch.float64)
    if isinstance(images.pixels, Tensor) and images.pixels.is_floating_point():
        for index in parts:
            total += images.pixels.index_select(0, index).cpu().double().flatten(1).sum(0)
        mean = total / count
        for index in parts:
            residual = images.pixels.index_select(0, index).cpu().double().flatten(1) - mean
            products.addmm_(residual.T, residual)
        return products / count
    for index in parts:
        part = images.pixels.index_select(0, index).cpu().float().flatten(1)
        total += part.sum(0)
        products += part.T @ part
    mean = total / count
    found = (products / count - mean[:, None] * mean) / 255**2
    if images.redrawn:
        found.diagonal().add_((255 * mean - products.diagonal() / count) / 255**2)
    return found


def sample(images: ImageSet, count: int) -> Tensor:
    """So many images x, (images, pixels), on the CPU in float32, chosen by a fixed seed."""
    index = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))[:count].sort().values
    generator = torch.Generator(images.device).manual_seed(SEED)
    parts = index.to(images.device).split(SUMMED_AT_ONCE)
    return torch.cat([images.batch(part, generator).cpu().flatten(1) for part in parts])


def largest_eigenvalues(x: Tensor, vectors: int) -> Float64[Tensor, " vectors"]:
    """Approximations to the largest eigenvalues of the covariance of x, falling. They are never too large.

    Args:
        x: (images, pixels), changed in place.
        vectors: some more than the eigenvalues that are needed, as the last ones are the least accurate.
    """
    x -= x.mean(0)
    basis = standard_normal((x.shape[1], vectors), torch.Generator().manual_seed(SEED))
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    projected = (x @ basis).double()
    found: Tensor = torch.linalg.eigvalsh(projected.T @ projected / len(x))
    return found.flip(0).clamp_min(0)


def spaced(number: int) -> str:
    """A number with a space before each three digits."""
    return f"{number:,}".replace(",", " ")
