"""The time of two recipes for the same network: that of Burda, Grosse & Salakhutdinov (2016), and our short one."""

from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row, Target
from benchmarks.steps import steps
from benchmarks.turns import Seconds, ratio, take_turns
from vae.training import loop as training

PAPER = "the paper's recipe"


def rows(plan: Plan) -> list[Row]:
    """The time of a step of each, taken in turns, times the steps that the recipe has; evaluation is not in it.

    Compiling, seconds once a run, happens in the rehearsal. The short recipe is in bf16 where the CPU has it.
    """
    short = "experiment=burda2016_vae" + (" precision=fp32" if ours.without_bf16() else "")
    compiled = f"{short} compile=true"
    recipes = {PAPER: "experiment=burda2016_vae_full", short: short, compiled: compiled}
    with ours.Runs() as started:
        runs = {recipe: started.of_words([*words.split(), "device=cpu"]) for recipe, words in recipes.items()}
        bursts = take_turns({recipe: steps(run, plan.steps) for recipe, run in runs.items()}, plan.rounds)
        whole = {recipe: whole_recipe(run, bursts[recipe], plan) for recipe, run in runs.items()}
        taken = [
            Row(
                f"VAE of 50 latents, all steps of {recipe}",
                median(whole[recipe]) / 3600,
                "hours",
                note=f"{number_of_steps(run):,} of {1e3 * median(bursts[recipe]) / plan.steps:.3g} ms",
            )
            for recipe, run in runs.items()
        ]
    return [
        *taken,
        ratio(f"{short}: times shorter than the paper's", whole[PAPER], whole[short], Target(5.0, 15.0)),
        ratio(f"{compiled}: times shorter than the paper's, uncompiled", whole[PAPER], whole[compiled]),
    ]


def whole_recipe(run: training.Training, bursts: Seconds, plan: Plan) -> Seconds:
    """The seconds of all steps of a run, by each of the bursts of some."""
    return [seconds / plan.steps * number_of_steps(run) for seconds in bursts]


def number_of_steps(run: training.Training) -> int:
    """Of the whole run."""
    return run.options.epochs * run.steps_per_epoch
