"""Recompute a run's test numbers from a checkpoint: `python scripts/evaluate.py outputs/RUN`.

Those of the last checkpoint must agree with what the run wrote into summary.json; the exit code is 1 if they do not.

With --samples it also estimates the NLL of the test images, -ln p(x) in nats, by the importance-weighted bound with
that many samples an image: 5000 on all images is what papers report (Burda et al., 2016), and takes ten to fifteen
minutes of a CPU core for the default network. summary.json does not hold it, so it is compared with nothing.

Where the factors of the images are known, the scores of disentanglement are among the numbers; a summary.json that
lacks them gets them. Metrics of your own are computed again if the command names them, as in
`python scripts/evaluate.py outputs/RUN "metrics=[my_metrics:score]"`.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae.app import console
from vae.app.load import Run, load_run
from vae.app.main import EXPECTED, exit_code, said
from vae.app.metrics import own_metrics
from vae.disentanglement.own_metrics import own_numbers
from vae.disentanglement.scores import disentanglement_numbers
from vae.measures.evaluation import final_numbers, tight_bound
from vae.run.directory import locked
from vae.run.files import write_json
from vae.run.names import BEST, LAST, SUMMARY
from vae.run.summary import is_number, read_summary

TOLERANCE = 1e-5  # relative, for another machine or thread count; the same one agrees to the last digit
SCORE_TOLERANCE = 0.01  # a classifier's answer to one image in a hundred may turn on the last digit of a code


def main() -> int:
    """Print the numbers as JSON on stdout and the verdict on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the directory of a run")
    parser.add_argument("parts", nargs="*", metavar="key=value", help="the run's parts of your own, named again")
    parser.add_argument("--checkpoint", choices=(LAST, BEST), default=LAST)
    parser.add_argument("--samples", type=int, help="importance samples an image for the NLL (none: no NLL)")
    parser.add_argument("--images", type=int, help="the NLL is of the first so many test images (all)")
    arguments = parser.parse_intermixed_args()
    if any(number is not None and number < 1 for number in (arguments.samples, arguments.images)):
        parser.error("--samples and --images must be 1 or more")
    if arguments.images is not None and arguments.samples is None:
        parser.error("--images is of the NLL. Add --samples, as in --samples 5000")
    try:
        run = load_run(arguments.run, arguments.checkpoint, arguments.parts)
        metrics = own_metrics(run.config.metrics, run.vae.latent_dim, run.splits.train.factors)
    except EXPECTED as error:
        print(f"error: {said(error)}", file=sys.stderr)
        return exit_code(error)
    numbers = final_numbers(run.vae, run.splits.test, run.splits.train.mean(), run.loss_weight)
    factors_known = run.splits.train.factors is not None
    scores = disentanglement_numbers(run.vae, run.splits.train) if factors_known else None
    shown = numbers if arguments.samples is None else numbers | {"nll": nll(run, arguments.samples, arguments.images)}
    own = own_numbers(metrics, run.vae, run.splits.train)
    more = {"disentanglement": scores, "metrics": own}
    console.say(json.dumps(shown | {name: found for name, found in more.items() if found}, indent=2))
    try:
        return 0 if arguments.checkpoint == BEST else compare(numbers, scores, own, arguments.run / SUMMARY)
    except EXPECTED as error:
        print(f"error: {said(error)}", file=sys.stderr)
        return exit_code(error)


def nll(run: Run, samples: int, images: int | None) -> dict[str, int | float]:
    """The negative importance-weighted bound on ln p(x) of the test images, in nats."""
    test = run.splits.test
    found = tight_bound(run.vae, test, limit=len(test) if images is None else images, samples=samples)
    return {"images": found["images"], "samples": found["samples"], "nll": -found["bound"]}


def compare(
    numbers: Mapping[str, Any], scores: Mapping[str, Any] | None, own: Mapping[str, float], summary: Path
) -> int:
    """0 if the numbers are those that `summary` records, else 1. Scores that it lacks are added if they are.

    Raises:
        RunExistsError: they cannot be added, because the run is being trained.
    """
    recorded = read_summary(summary.parent)
    if recorded["status"] == "unfinished":
        reason = recorded.get("error", "it does not exist: the run has not ended")
        print(f"{summary} has no numbers to compare: {reason}", file=sys.stderr)
        return 1
    if recorded["status"] == "failed":
        print(f"{summary} has no numbers to compare: the run failed, {recorded.get('error')}", file=sys.stderr)
        return 1
    test = recorded.get("test", {})
    if "loss_weight" in test:
        apart = [name for name, value in numbers.items() if not agree(value, test.get(name), TOLERANCE)]
    else:  # of an older version: it has fewer numbers, and its loss was by config.beta under every objective
        older = dict(numbers) | {"loss": numbers["distortion"] + recorded["beta"] * numbers["rate"]}
        apart = [name for name, value in test.items() if not agree(value, older.get(name), TOLERANCE)]
    known = recorded.get("metrics", {})
    apart += [name for name in own if name in known and not agree(own[name], known[name], SCORE_TOLERANCE)]
    if scores is not None and "disentanglement" in recorded:
        before, now = recorded["disentanglement"]["numbers"], scores["numbers"]
        names = now if "left_out" in recorded["disentanglement"] else before  # of which an older version has fewer
        apart += [name for name in names if not agree(now.get(name), before.get(name), SCORE_TOLERANCE)]
    elif scores is not None and recorded["status"] == "done" and not apart:
        with locked(summary.parent):
            if read_summary(summary.parent) != recorded:
                print(f"{summary} has changed meanwhile: the run was continued", file=sys.stderr)
                return 1
            write_json(summary, recorded | {"disentanglement": scores})
        print(f"added the scores of disentanglement to {summary}", file=sys.stderr)
    print(f"differs from {summary} in {', '.join(apart)}" if apart else f"agrees with {summary}", file=sys.stderr)
    return 1 if apart else 0


def agree(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two numbers, or all numbers of two lists or tables, are the same but for rounding."""
    match one:
        case dict():
            same = isinstance(other, dict)
            return same and all(agree(value, other.get(key), tolerance) for key, value in one.items())
        case list():
            same = isinstance(other, list) and len(one) == len(other)
            return same and all(agree(*pair, tolerance) for pair in zip(one, other, strict=True))
        case _:
            alike = is_number(one) and is_number(other)
            return one is other or (alike and math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance))


if __name__ == "__main__":
    console.prepare()
    sys.exit(main())
