"""Recompute a run's test numbers from a checkpoint: `beta-vae evaluate outputs/RUN`.

Those of the last checkpoint must agree with what the run wrote into summary.json; the exit code is 1 if they do not.

With --samples it also estimates the NLL of the test images, -ln p(x) in nats, by the importance-weighted bound with
that many samples an image. Papers report it by 5000 samples of the encoder's posteriors on all images (Burda et al.,
2016), which takes ten to fifteen minutes of a CPU core for the default network. With --refit the samples are drawn
from posteriors refitted to the decoder, image by image. The bound is then tighter, and about equally tight for every
beta: on MNIST 100 such samples are better than 5000 of the encoder's. Neither NLL is added to summary.json.

If the factors of the images are known, the scores of disentanglement are computed, too. They are added to a
summary.json that has none. Metrics of your own are computed again if the command names them, as in
`beta-vae evaluate outputs/RUN "metrics=[my_metrics:score]"`.
"""

import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vae.app import console
from vae.app.invocation import UsageError
from vae.app.load import Run, load_run
from vae.app.metrics import own_metrics
from vae.app.trained_model import add_checkpoint, add_parts
from vae.disentanglement.names import FORMER
from vae.disentanglement.own_metrics import own_numbers
from vae.disentanglement.scores import disentanglement_numbers
from vae.measures.evaluation import final_numbers, tight_bound
from vae.run.directory import locked
from vae.run.files import write_json
from vae.run.names import BEST, SUMMARY
from vae.run.summary import is_number, read_summary

TOLERANCE = 1e-5  # relative; machines and numbers of threads differ in the last digits
SCORE_TOLERANCE = 0.01  # the last digits of the codes may change some predictions of a classifier


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, help="the directory of a run")
    add_parts(parser)
    add_checkpoint(parser)
    parser.add_argument("--samples", type=int, help="importance samples an image for the NLL (none: no NLL)")
    parser.add_argument(
        "--refit", action="store_true", help="NLL by posteriors refitted to the decoder (the encoder's)"
    )
    parser.add_argument("--images", type=int, help="how many test images the NLL is of (all)")


def run(arguments: Namespace) -> int:
    """Print the numbers as JSON to stdout, and to stderr whether they agree with summary.json.

    Raises:
        UsageError: these arguments cannot be given together.
        ConfigError, CheckpointError, DataError, RunExistsError: the run cannot be evaluated.
    """
    if any(number is not None and number < 1 for number in (arguments.samples, arguments.images)):
        raise UsageError("--samples and --images must be 1 or more")
    if arguments.images is not None and arguments.samples is None:
        raise UsageError("--images is of the NLL. Add --samples, as in --samples 5000")
    if arguments.refit and arguments.samples is None:
        raise UsageError("--refit is of the NLL. Add --samples, as in --samples 100 --refit")
    loaded = load_run(arguments.run, arguments.checkpoint, arguments.parts)
    train = loaded.splits.train
    metrics = own_metrics(loaded.config.metrics, loaded.vae.latent_dim, train.factors)
    numbers = final_numbers(loaded.vae, loaded.splits.test, train.mean(), loaded.loss_weight)
    scores = None if train.factors is None else disentanglement_numbers(loaded.vae, train)
    own = own_numbers(metrics, loaded.vae, train)
    found = nll(loaded, arguments.samples, arguments.images, refit=arguments.refit) if arguments.samples else None
    more = {"nll": found, "disentanglement": scores, "metrics": own}
    console.say(json.dumps(numbers | {name: value for name, value in more.items() if value}, indent=2))
    return 0 if arguments.checkpoint == BEST else compare(numbers, scores, own, arguments.run / SUMMARY)


def nll(loaded: Run, samples: int, images: int | None, *, refit: bool) -> dict[str, int | float]:
    """The negative importance-weighted bound on ln p(x) of the test images, in nats."""
    test = loaded.splits.test
    found = tight_bound(loaded.vae, test, limit=len(test) if images is None else images, samples=samples, refit=refit)
    more = {"refitted": True} if refit else {}
    return {"images": found["images"], "samples": found["samples"], **more, "nll": -found["bound"]}


def compare(
    numbers: Mapping[str, Any], scores: Mapping[str, Any] | None, own: Mapping[str, float], summary: Path
) -> int:
    """Compare the numbers with those in the file `summary`, and print the result to stderr.

    If they agree and the file has no scores of disentanglement, the scores are added to it.

    Returns:
        The exit code: 0 if the numbers agree, else 1.

    Raises:
        RunExistsError: the scores cannot be added, because the run is being trained.
    """
    recorded = read_summary(summary.parent)
    if recorded["status"] != "done":
        failed = "the run failed, " if recorded["status"] == "failed" else ""
        reason = recorded.get("error", "it does not exist: the run has not ended")
        print(f"{summary} has no numbers to compare: {failed}{reason}", file=sys.stderr)
        return 1
    test = recorded["test"]
    if "loss_weight" in test:
        new = {"refitted_bound"} - test.keys()  # an older version had none
        known = {name: value for name, value in numbers.items() if name not in new}
        apart = [name for name, value in known.items() if not agree(value, test.get(name), TOLERANCE)]
    else:  # by an older version, which had fewer numbers and always took config.beta as the weight of the rate
        older = dict(numbers) | {"loss": numbers["distortion"] + recorded["beta"] * numbers["rate"]}
        apart = [name for name, value in test.items() if not agree(value, older.get(name), TOLERANCE)]
    metrics = recorded.get("metrics", {})
    apart += [name for name in own if name in metrics and not agree(own[name], metrics[name], SCORE_TOLERANCE)]
    if scores is not None and "disentanglement" in recorded:
        former = recorded["disentanglement"]["numbers"]  # by an older version, it has fewer scores, and other names
        before, now = {FORMER.get(name, name): value for name, value in former.items()}, scores["numbers"]
        apart += [name for name in before if not agree(now.get(name), before[name], SCORE_TOLERANCE)]
    elif scores is not None and not apart:
        with locked(summary.parent):
            if read_summary(summary.parent) != recorded:
                print(f"{summary} has changed meanwhile: the run was continued", file=sys.stderr)
                return 1
            write_json(summary, recorded | {"disentanglement": scores})
        print(f"added the scores of disentanglement to {summary}", file=sys.stderr)
    print(f"differs from {summary} in {', '.join(apart)}" if apart else f"agrees with {summary}", file=sys.stderr)
    return 1 if apart else 0


def agree(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two numbers, or all numbers in two lists or dictionaries, are equal up to `tolerance`."""
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
