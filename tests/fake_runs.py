"""Files of runs as a report reads them, with made-up numbers that follow the law of rate and distortion."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae.report import PAGE, RESULTS, Member, read_members, settings, write_report

LATENTS = 4
FACTORS = ["shape", "scale", "rotation", "column", "row"]
SCORES = ["mig", "sap", "dci_disentanglement", "factor_vae_score", "modularity"]
CHANCE = {"mig": 0.0, "modularity": 0.7, "codes_total_correlation": 0.001}
DEPENDENCE = ["codes_total_correlation", "gaussian_wasserstein"]
ORIGIN = {
    "started": "2026-01-01T12:00:00+00:00",
    "revision": "0123456789ab",
    "versions": {"torch": "2.9.0"},
    "device": "cpu",
    "threads": 2,
}
LOG = """MNIST: trying torchvision's mirrors
data   sprites, 40 000 / 5 000 / 5 000 images (train / validation / test) of 1x32x32
model  mlp, 4 latents, 469,173 parameters, Bernoulli likelihood
device cpu, fp32, 2 threads
steps  2,520 of 128 images, 7 epochs
epoch 1/7  validation elbo  -195.85
"""


def summary_of(beta: float, seed: int, *, scores: bool = True) -> dict[str, Any]:
    """As a run writes it. Distortion and rate are those of an optimum, with a little noise from the seed.

    They are 80 + 6 beta and 25 - 6 ln beta, so that dD = -beta dR.
    """
    generator = np.random.default_rng([seed, int(1000 * beta)])
    noise = 0.05 * generator.standard_normal()
    distortion, rate = 80 + 6 * beta + noise, 25 - 6 * math.log(beta) - noise / beta
    shares = np.array([0.5, 0.3, 0.2, 0.0])
    test = {
        "images": 5000,
        "distortion": distortion,
        "rate": rate,
        "elbo": -distortion - rate,
        "loss": distortion + beta * rate,
        "loss_weight": beta,
        "importance_weighted_bound": {
            "images": 1000,
            "samples": 100,
            "bound": 3 - distortion - rate,
            "rise_from_half": 0.25 + 0.01 * noise,
        },
        "refitted_bound": {
            "images": 500,
            "samples": 100,
            "bound": 4 - distortion - rate,
            "rise_from_half": 0.05 + 0.01 * noise,
        },
        "active_units": 3.0,
        "active_units_by_rate": 3.0,
        "gaussian_total_correlation": 0.0018,
        "mutual_information": min(rate, 8.5) - 0.5,
        "mutual_information_shuffled": min(rate, 8.5) - 0.4,
        "information_ceiling": math.log(5000),
        "total_correlation": 0.4 + noise,
        "total_correlation_shuffled": 0.3 + noise,
        "dimension_wise_kl": 0.1,
        "rate_per_latent": (rate * shares).tolist(),
        "label_information_per_latent": [],
    }
    summary = {
        "status": "done",
        "objective": "beta",
        "beta": beta,
        "seed": seed,
        "asked": {"epochs": 7, "early_stopping_epochs": None},
        "conditions": {"objective": "beta", "model": "mlp", "model.latent_dim": LATENTS, "data.side": 32},
        "unfinished": {},
        "loss_change_per_epoch": 0.0,
        "epochs": 7,
        "steps": 2520,
        "seconds": 100.0 + seed,
        "test": test,
    }
    if scores:
        numbers = {f"{n}{end}": generator.uniform() for n in SCORES + DEPENDENCE for end in ("", "_sampled")}
        numbers |= {f"{name}_shuffled": CHANCE.get(name, 0.1) + 0.01 * seed for name in SCORES + DEPENDENCE}
        matrix = generator.uniform(size=(LATENTS, len(FACTORS))).tolist()
        summary["disentanglement"] = {
            "factors": FACTORS,
            "binned": {},
            "left_out": {},
            "numbers": numbers,
            "collapsed": {"beta_vae_score": 0.2, "explicitness": 0.5},
            "matrices": {"mutual_information": matrix, "dci_importance": matrix},
        }
    return summary


def put_run(directory: Path, summary: dict[str, Any] | None) -> Path:
    """Make a run's directory with a log, an origin and a summary. Without a summary the run has not ended."""
    directory.mkdir(parents=True)
    (directory / "train.log").write_text(LOG)
    (directory / "run.json").write_text(json.dumps(ORIGIN))
    if summary is not None:
        (directory / "summary.json").write_text(json.dumps(summary))
    return directory


def put_codes(directory: Path, seed: int, *, alike: bool, images: int = 300) -> None:
    """Posteriors of the same images. If `alike`, seeds differ only in order and sign; else each has a rotation."""
    found = np.random.default_rng(0).standard_normal((images, LATENTS))
    generator = np.random.default_rng(seed + 1)
    if alike:
        change = np.eye(LATENTS)[generator.permutation(LATENTS)] * generator.choice([-1, 1], LATENTS)
    else:
        change = np.linalg.qr(generator.standard_normal((LATENTS, LATENTS)))[0]
    mean = (found @ change).astype(np.float32)
    np.savez(directory / "codes.npz", mean=mean, logvar=np.full_like(mean, -3))


def put_picture(directory: Path, *, width: int = 300, height: int = 120, noise: bool = False) -> None:
    """A traversal figure: black on white, or one that cannot be compressed."""
    generator = np.random.default_rng(0)
    pixels = np.full((height, width), 255, dtype=np.uint8)
    if noise:
        pixels = generator.integers(256, size=pixels.shape, dtype=np.uint8)
    pixels[10:-10, 10:-10] //= 2
    (directory / "figures").mkdir()
    Image.fromarray(pixels).save(directory / "figures" / "traversals.png", compress_level=1)


def put_sweep(folder: Path, betas: list[float], seeds: int, *, scores: bool = True, alike: float = 4) -> Path:
    """A sweep in which all runs are done. Only the seeds of the beta `alike` have similar codes."""
    for beta in betas:
        for seed in range(seeds):
            directory = put_run(folder / f"beta={beta}_seed={seed}", summary_of(beta, seed, scores=scores))
            put_codes(directory, seed, alike=beta == alike)
            put_picture(directory)
    return folder


def reported(folder: Path) -> tuple[str, str]:
    """The text that a report prints, and its page."""
    text = write_report(folder, output=folder)
    assert text is not None
    return text, (folder / PAGE).read_text(encoding="utf-8")


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / RESULTS).open(newline="", encoding="utf-8") as file:
        return {row["member"]: row for row in csv.DictReader(file)}


def grouped_of(folder: Path) -> dict[str, list[Member]]:
    return settings(read_members(folder))
