"""What is done with a trained model: its test numbers, the NLL that papers report, the scores of disentanglement."""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.turns import seconds_of
from vae.evaluation import disentanglement_numbers, encode_images, final_numbers, tight_bound

SAMPLES = 5_000
TEST_IMAGES = 10_000


def rows(plan: Plan) -> list[Row]:
    """Of the default model after an epoch."""
    with TemporaryDirectory() as folder:
        run = ours.trained_on(["device=cpu"], plan.images, Path(folder) / "run")
        ours.epoch(run)
    vae, test, mean = run.state.vae, run.splits.test, run.splits.train.mean()
    few = test.first(plan.nll_images)
    once = f"of {len(few)}, times {TEST_IMAGES / len(few):.4g}"
    nll = seconds_of(lambda: tight_bound(vae, few, limit=len(few), samples=SAMPLES))
    return [
        Row(f"terms of {len(test)} test images", seconds_of(lambda: encode_images(vae, test)), "s"),
        Row(f"all numbers of {len(test)} test images", seconds_of(lambda: final_numbers(vae, test, mean, 1.0)), "s"),
        Row(
            f"NLL, k = {SAMPLES}, of {TEST_IMAGES} images: extrapolated", nll * TEST_IMAGES / len(few), "s", None, once
        ),
    ]


def rows_of_scores(_plan: Plan) -> list[Row]:
    """All metrics of disentanglement, of ten latents on sprites32 after an epoch."""
    words = ["data=sprites32", "model.latent_dim=10", "model.hidden=[512,256]", "device=cpu"]
    with TemporaryDirectory() as folder:
        run = ours.trained_on(words, 10**9, Path(folder) / "run")
        ours.epoch(run)
    seconds = seconds_of(lambda: disentanglement_numbers(run.state.vae, run.splits.train))
    return [Row(f"all scores of disentanglement, {len(run.splits.train)} sprites", seconds, "s")]
