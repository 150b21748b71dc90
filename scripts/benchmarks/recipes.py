"""The time of two recipes for the VAE of Burda, Grosse & Salakhutdinov (2016): the paper's and the short one."""

from statistics import median

from benchmarks import ours
from benchmarks.plan import Plan
from benchmarks.rows import Row
from benchmarks.steps import steps
from benchmarks.turns import ratio, take_turns

PAPER = "experiment=burda2016_vae_full"


def rows(plan: Plan) -> list[Row]:
    """The time of a step of each recipe times its number of steps, without evaluation and compiling.

    The short recipe is in bf16 where the CPU has instructions for it.
    """
    short = "experiment=burda2016_vae" + (" precision=fp32" if ours.without_bf16() else "")
    compiled = f"{short} compile=true"
    with ours.Runs() as started:
        runs = {words: started.of_words([*words.split(), "device=cpu"]) for words in (PAPER, short, compiled)}
        bursts = take_turns({words: steps(run, plan.steps) for words, run in runs.items()}, plan.rounds)
        number = {words: run.options.epochs * run.steps_per_epoch for words, run in runs.items()}
    whole = {words: [seconds / plan.steps * number[words] for seconds in bursts[words]] for words in runs}
    return [
        *(
            Row(f"all steps of {words}", median(taken) / 3600, "hours", note=f"{number[words]:,} steps")
            for words, taken in whole.items()
        ),
        ratio(f"{short}: times shorter than the paper's", whole[PAPER], whole[short], at_least=5.0),
        ratio(f"{compiled}: times shorter than the paper's", whole[PAPER], whole[compiled]),
    ]
