"""The time of the test numbers, the NLL and the scores of disentanglement of a trained model."""

from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.turns import seconds_of, take_turns
from vae.disentanglement.scores import disentanglement_numbers
from vae.measures.evaluation import encode_images, final_numbers, tight_bound

SAMPLES = 5_000
TEST_IMAGES = 10_000


def rows(plan: Plan) -> list[Row]:
    """The default model, after an epoch."""
    with ours.Runs() as started:
        run = started.of_words(["device=cpu"], plan.images)
        ours.epoch(run)
    vae, test, mean = run.state.vae, run.splits.test, run.splits.train.mean()
    few = test.first(plan.nll_images)
    nll = seconds_of(lambda: tight_bound(vae, few, limit=len(few), samples=SAMPLES)) * TEST_IMAGES / len(few)
    turns = {
        f"ELBO of {len(test)} test images": lambda: encode_images(vae, test),
        f"all numbers of {len(test)} test images": lambda: final_numbers(vae, test, mean, 1.0),
    }
    note = f"extrapolated from {len(few)}"
    return [
        *(Row(name, median(taken), "s") for name, taken in take_turns(turns, plan.rounds).items()),
        Row(f"NLL by {SAMPLES} samples of {TEST_IMAGES} test images", nll, "s", note=note),
    ]


def rows_of_scores(_plan: Plan) -> list[Row]:
    """All scores of disentanglement, with ten latents on sprites32, after an epoch."""
    with ours.Runs() as started:
        run = started.of_words(["data=sprites32", "model.latent_dim=10", "model.hidden=[512,256]", "device=cpu"])
        ours.epoch(run)
    seconds = seconds_of(lambda: disentanglement_numbers(run.state.vae, run.splits.train))
    return [Row(f"all scores of disentanglement, {len(run.splits.train)} sprites", seconds, "s")]
