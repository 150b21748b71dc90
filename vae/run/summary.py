"""`summary.json` and `run.json` of a run, which are checked when they are read."""

import logging
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from vae.config import Config
from vae.run.files import DamagedFileError, MissingFileError, read_json, write_json
from vae.run.names import RUN, SUMMARY

log = logging.getLogger(__name__)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number. True and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number that a float can hold."""
    return is_number(value) and abs(value) <= sys.float_info.max


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Rule(NamedTuple):
    """A condition on a JSON value, and its words in an error message."""

    holds: Callable[[Any], bool]
    words: str

    def or_null(self) -> "Rule":
        """The same rule for a value that may be null."""
        return Rule(lambda value: value is None or self.holds(value), f"{self.words}, or null")


# A schema is a rule, `[schema of each entry]`, `{ANY: schema of each value}`, or `{key: schema}`. With the last, keys
# may be absent, and other keys may be present.
Schema = Any
ANY = "*"

TEXT = Rule(lambda value: isinstance(value, str), "text")
COUNT = Rule(is_count, "a whole number, 0 or more")
FINITE = Rule(is_finite, "a finite number")
NOT_NEGATIVE = Rule(lambda value: is_finite(value) and value >= 0, "a finite number, 0 or more")
NUMBER = Rule(is_number, "a number")  # or NaN, for a score that is not defined
ENTRY = Rule(lambda value: is_number(value) and abs(value) != math.inf, "a number, not infinite")

SUMMARY_SCHEMA: Schema = {
    "status": Rule(lambda value: value in ("done", "failed", "unfinished"), "done, failed or unfinished"),
    "code": COUNT,
    "error": TEXT,
    "objective": TEXT,
    "beta": NOT_NEGATIVE,
    "seed": COUNT,
    "epochs": COUNT,
    "steps": COUNT,
    "seconds": NOT_NEGATIVE,
    "conditions": {},
    "unfinished": {},
    "loss_change_per_epoch": FINITE.or_null(),
    "asked": {"epochs": COUNT, "early_stopping_epochs": COUNT.or_null()},
    "test": {
        "distortion": FINITE,
        "rate": FINITE,
        "elbo": FINITE,
        "importance_weighted_bound": {"bound": FINITE, "rise_from_half": FINITE},
        "refitted_bound": {"bound": FINITE, "rise_from_half": FINITE},
        "rate_per_latent": [FINITE],
    },
    "train": {ANY: NUMBER},
    "curve": [{"beta": FINITE, "distortion": FINITE, "rate": FINITE}],
    "metrics": {ANY: NUMBER},
    "linear": {
        "beta": NOT_NEGATIVE,
        "variance": NOT_NEGATIVE,
        "variance_learned": Rule(lambda value: isinstance(value, bool), "true or false"),
        "distortion": FINITE,
        "rate": NOT_NEGATIVE,
        "loss": FINITE,
        "active": COUNT,
        "rates": [NOT_NEGATIVE],
        "trained_rates": [FINITE],
        "spectrum": {"eigenvalues": [NOT_NEGATIVE], "trace": NOT_NEGATIVE, "dimensions": COUNT, "source": TEXT},
    },
    "disentanglement": {
        "numbers": {ANY: NUMBER},
        "factors": [TEXT],
        "binned": {ANY: TEXT},
        "left_out": {ANY: TEXT},
        "collapsed": {ANY: NUMBER},
        "matrices": {ANY: [[ENTRY]]},
    },
}


def tightest_bound(test: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The bound on ln p(x) of a run's test numbers, and whether its posteriors were refitted to the decoder.

    Older versions had only that with the encoder's posteriors, which is looser. The bound is empty if there is none.
    """
    refitted = "refitted_bound" in test
    return test.get("refitted_bound" if refitted else "importance_weighted_bound", {}), refitted


# The scores that most papers compare, with their titles.
BEST_KNOWN_SCORES = {"mig": "MIG", "dci_disentanglement": "DCI", "factor_vae_score": "FactorVAE", "sap": "SAP"}
LISTED = 5  # names of factors in one line
NEEDED = {  # the keys that must be present, by status
    "done": ("beta", "seed", "epochs", "steps", "seconds", "test.distortion", "test.rate", "test.elbo"),
    "failed": ("code", "error"),
    "unfinished": (),
}
ORIGIN_SCHEMA: Mapping[str, Schema] = {
    "started": TEXT,
    "command": [TEXT],
    "revision": TEXT.or_null(),
    "python": TEXT,
    "versions": {ANY: TEXT},
    "platform": TEXT,
    "device": TEXT,
    "threads": COUNT,
    "steps": COUNT,
    "data_sha256": {ANY: TEXT},
    "continued": [{}],
}


def asked(config: Config) -> dict[str, int | None]:
    """How long to train. A sweep has a member already if it was asked to train as long, or longer."""
    return {"epochs": config.epochs, "early_stopping_epochs": config.early_stopping_epochs}


def read_summary(directory: Path) -> dict[str, Any]:
    """The checked summary of the run in `directory`.

    Returns:
        The summary. It has all keys that `NEEDED` lists for its `status`. Each other key of `SUMMARY_SCHEMA` is absent
        or has the type given there. If the file is missing, `{"status": "unfinished"}`. If it is damaged, that with
        the reason as `error`.
    """
    try:
        summary = read_json(directory / SUMMARY)
        problem = problem_of_summary(summary)
    except MissingFileError:
        return {"status": "unfinished"}
    except DamagedFileError as error:
        return {"status": "unfinished", "error": str(error)}
    return summary if problem is None else {"status": "unfinished", "error": f"{SUMMARY} is damaged: {problem}"}


def problem_of_summary(summary: Mapping[str, Any]) -> str | None:
    """What is wrong with a summary in one line, or None."""
    problem = problem_of(summary, SUMMARY_SCHEMA)
    if problem is not None:
        return problem
    needed = ["status", *NEEDED[summary.get("status", "unfinished")]]
    if "disentanglement" in summary:
        needed.append("disentanglement.numbers")
    for name in needed:
        section, _, key = name.rpartition(".")
        if key not in (summary.get(section, {}) if section else summary):
            return f"{name} is missing"
    scores = summary.get("disentanglement", {})
    scored, others = len(scores.get("factors", [])), len(scores.get("left_out", {}))
    for name, matrix in scores.get("matrices", {}).items():
        columns = {scored, scored + others if name == "squared_correlation" else scored}  # once it had all factors
        widths = {len(row) for row in matrix}
        if len(widths) != 1 or not widths <= columns - {0}:
            return "disentanglement.matrices must have a column for each of disentanglement.factors"
    return None


def problem_of(value: Any, schema: Schema, name: str = "") -> str | None:
    """What is wrong with a JSON value in one line, or None.

    Args:
        value: as `json` returns it.
        schema: of the value.
        name: the dotted name of the value. Empty for a whole file.
    """
    if isinstance(schema, Rule):
        return None if schema.holds(value) else f"{name} must be {schema.words}"
    if not isinstance(value, type(schema)):
        return f"{name} must be {'a list' if isinstance(schema, list) else 'an object'}"
    if isinstance(schema, list):
        below = [(key, schema[0]) for key in range(len(value))]
    elif ANY in schema:
        below = [(key, schema[ANY]) for key in value]
    else:
        below = [(key, schema[key]) for key in schema if key in value]
    problems = (problem_of(value[key], inner, f"{name}.{key}".lstrip(".")) for key, inner in below)
    return next((problem for problem in problems if problem is not None), None)


def write_failure(directory: Path, code: int, error: str, *, beta: float, seed: int) -> None:
    """Write the summary of a run that failed. A run that was done before keeps its summary.

    If the disk cannot take the file either, a warning is logged.

    Args:
        directory: of the run.
        code: the exit code of its process.
        error: what went wrong, in one line.
        beta: of the run's configuration.
        seed: of the run's configuration.
    """
    if read_summary(directory)["status"] == "done":
        return
    try:
        write_json(directory / SUMMARY, {"status": "failed", "code": code, "error": error, "beta": beta, "seed": seed})
    except OSError as second:
        log.warning(f"warning: {directory.name}: {SUMMARY} could not be written: {second.strerror}")


class Origin(NamedTuple):
    """The content of `run.json`.

    Attributes:
        fields: without damaged ones.
        problem: what is wrong with the file in one line, or None.
    """

    fields: dict[str, Any]
    problem: str | None


def read_origin(directory: Path) -> Origin:
    """The content of `run.json` of the run in `directory`. Damaged fields are left out and named."""
    try:
        found = read_json(directory / RUN)
    except DamagedFileError as error:
        return Origin({}, str(error))
    bad = [key for key, schema in ORIGIN_SCHEMA.items() if key in found and problem_of(found[key], schema) is not None]
    fields = {name: value for name, value in found.items() if name not in bad}
    return Origin(fields, f"{RUN} is damaged in {', '.join(bad)}" if bad else None)


def threads_so_far(directory: Path) -> int | None:
    """The number of threads with which the run in `directory` was last started. None if that is not known."""
    origin = read_origin(directory).fields
    threads = [origin, *origin.get("continued", [])][-1].get("threads")
    return threads if is_count(threads) and threads > 0 else None


def listed(reasons: Mapping[str, str]) -> str:
    """The first names with their reasons, and how many more there are.

    Example:
        >>> listed({"angle": "200 values"}), listed({str(k): "words" for k in range(7)})[-33:]
        ('angle (200 values)', ', 3 (words), 4 (words) and 2 more')
    """
    names = [f"{name} ({why})" for name, why in list(reasons.items())[:LISTED]]
    more = f" and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    return ", ".join(names) + more
