"""CPU seconds of the scores of ten latents on the full grid of sprites: `python -m benchmarks.scores`.

To be started in `scripts/`, or with it on PYTHONPATH. The codes are made up: mixtures of the factors, copies of them,
latents without information, and noise. To compare two revisions, run both at the same time.
"""

import time

import numpy as np

from vae.data.factors import Factors
from vae.disentanglement.representation import Representation, Sizes
from vae.disentanglement.scores import METRICS, expected_seconds, generator_for, score

LEVELS = (3, 6, 40, 32, 32)  # of shape, scale, orientation, x and y
LOGVAR = -3.0  # of all posteriors


def main() -> None:
    """Print the seconds of each metric for one set of codes, then of everything that a run computes."""
    axes = np.meshgrid(*(np.arange(size) for size in LEVELS), indexing="ij")
    factors = Factors.of({f"factor {k}": axis.ravel() for k, axis in enumerate(axes)})
    generator = np.random.default_rng(0)
    levels = np.stack([axis.ravel() / size for axis, size in zip(axes, LEVELS, strict=True)], axis=1)
    mixed = levels @ generator.standard_normal((5, 5)) * 0.5 + 2 * levels
    codes = np.hstack([mixed, levels[:, :3] * 1.5, np.zeros((len(levels), 2))])
    mean = (codes + 0.2 * generator.standard_normal(codes.shape)).astype(np.float32)
    few = Factors.of({"few": np.arange(200) % 4})
    score(mean[:200], np.full_like(mean[:200], LOGVAR), few)  # compiles, and loads the libraries
    representation = Representation(mean, factors)
    for purpose, metric in METRICS.items():
        start = time.process_time()
        metric.function(representation, Sizes(), generator_for(0, purpose), 1)
        print(f"{purpose:18} {time.process_time() - start:6.2f}")
    start = time.process_time()
    score(mean, np.full_like(mean, LOGVAR), factors)
    print(f"{'all of a run':18} {time.process_time() - start:6.2f}  (expected {expected_seconds(factors, 10):.0f})")


if __name__ == "__main__":
    main()
