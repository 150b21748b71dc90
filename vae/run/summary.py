"""`summary.json` and `run.json` of a run, checked when they are read."""

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from vae.run.files import DamagedFileError, MissingFileError, read_json
from vae.run.names import RUN, SUMMARY


def read_summary(directory: Path) -> dict[str, Any]:
    """What the run in `directory` said when it ended, checked: who reads it need not check again.

    Of a run that is `done` it has `beta`, `seed`, `epochs`, `steps`, `seconds` and `test` with `distortion`, `rate`
    and `elbo`; of one that `failed`, `code` and `error`. Everything else that is used is of the right type if it is
    there.

    Returns:
        The summary. `{"status": "unfinished"}` if there is none; with the reason as `error` if it is damaged.
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
    """What is wrong with the fields of a summary; None if nothing is."""
    match summary.get("status"):
        case "done":
            needed = NEEDED_OF_DONE
        case "failed":
            needed = NEEDED_OF_FAILED
        case "unfinished":
            needed = set()
        case _:
            return "status must be done, failed or unfinished"
    for name, (is_right, rule) in SUMMARY_FIELDS.items():
        found: Any = summary
        for key in name.split("."):
            found = found.get(key, ABSENT) if isinstance(found, Mapping) else ABSENT
        if found is ABSENT and name in needed:
            return f"{name} is missing"
        if found is not ABSENT and not is_right(found):
            return f"{name} must be {rule}"
    found = summary.get("disentanglement")
    if found is None:
        return None
    if "numbers" not in found:
        return "disentanglement.numbers is missing"
    scored, others = len(found.get("factors", [])), len(found.get("left_out", {}))
    widths = {"squared_correlation": scored + others}  # SAP, continuous, is of all factors
    if any(len(matrix[0]) != widths.get(name, scored) for name, matrix in found.get("matrices", {}).items()):
        return "disentanglement.matrices must have a column for each of disentanglement.factors"
    return None


ABSENT = object()


def is_number(value: Any) -> TypeGuard[float]:
    """Whether JSON gave a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether JSON gave a finite number, which a float can hold."""
    return is_number(value) and abs(value) <= sys.float_info.max


def is_count(value: Any) -> TypeGuard[int]:
    """Whether JSON gave 0, 1, 2, ..."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _not_negative(value: Any) -> bool:
    return is_finite(value) and value >= 0


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_finite, value))


def _are_numbers_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _are_matrices(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_matrix, value.values()))


def _is_matrix(value: Any) -> bool:
    rows = value if isinstance(value, list) else []
    known = all(
        isinstance(row, list) and row and all(is_number(n) and abs(n) != math.inf for n in row) for row in rows
    )
    return bool(rows) and known and len({len(row) for row in rows}) == 1


def _says_how_long(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"epochs", "early_stopping_epochs"}
    return known and is_count(value["epochs"]) and all(e is None or is_count(e) for e in value.values())


Rule = tuple[Callable[[Any], bool], str]
NOT_NEGATIVE: Rule = (_not_negative, "a finite number, 0 or more")
FINITE: Rule = (is_finite, "a finite number")
COUNT: Rule = (is_count, "a whole number, 0 or more")
TEXT: Rule = (_is_text, "a text")
SUMMARY_FIELDS: Mapping[str, Rule] = {
    "code": (is_count, "an exit code"),
    "error": TEXT,
    "objective": TEXT,
    "beta": NOT_NEGATIVE,
    "seed": COUNT,
    "epochs": COUNT,
    "steps": COUNT,
    "seconds": NOT_NEGATIVE,
    "conditions": (_is_object, "an object"),
    "unfinished": (_is_object, "an object"),
    "loss_change_per_epoch": (lambda value: value is None or is_finite(value), "a finite number or null"),
    "asked": (_says_how_long, "epochs and early_stopping_epochs"),
    "test": (_is_object, "an object"),
    "test.distortion": FINITE,
    "test.rate": FINITE,
    "test.elbo": FINITE,
    "test.importance_weighted_bound": (_is_object, "an object"),
    "test.importance_weighted_bound.bound": FINITE,
    "test.importance_weighted_bound.rise_from_half": FINITE,
    "test.rate_per_latent": (_are_numbers, "a list of finite numbers"),
    "metrics": (_are_numbers_by_name, "numbers by their name"),
    "disentanglement": (_is_object, "an object"),
    "disentanglement.numbers": (_are_numbers_by_name, "numbers by their name"),
    "disentanglement.factors": (_are_texts, "a list of names"),
    "disentanglement.left_out": (_are_texts_by_name, "texts by their name"),
    "disentanglement.matrices": (_are_matrices, "matrices of numbers by their name"),
}
NEEDED_OF_DONE = {"beta", "seed", "epochs", "steps", "seconds", "test", "test.distortion", "test.rate", "test.elbo"}
NEEDED_OF_FAILED = {"code", "error"}


class Origin(NamedTuple):
    """What `run.json` says of where a run's numbers come from, and what is wrong with that file, in one line."""

    fields: dict[str, Any]
    problem: str | None


def read_origin(directory: Path) -> Origin:
    """What is known of where the run in `directory` comes from.

    Returns:
        The fields that are as they should be. `problem` says that the file, or a field, is missing or damaged;
        None if nothing is.
    """
    try:
        found = read_json(directory / RUN)
    except DamagedFileError as error:
        return Origin({}, str(error))
    bad = [name for name, (is_right, _) in ORIGIN_FIELDS.items() if name in found and not is_right(found[name])]
    fields = {name: value for name, value in found.items() if name not in bad}
    return Origin(fields, f"{RUN} is damaged in {', '.join(bad)}" if bad else None)


ORIGIN_FIELDS: Mapping[str, Rule] = {
    "started": TEXT,
    "command": (_are_texts, "a list of words"),
    "revision": (lambda value: value is None or _is_text(value), "a text or null"),
    "python": TEXT,
    "versions": (_are_texts_by_name, "texts by their name"),
    "platform": TEXT,
    "device": TEXT,
    "threads": COUNT,
    "data_sha256": (_are_texts_by_name, "texts by their name"),
    "continued": (lambda value: isinstance(value, list) and all(map(_is_object, value)), "a list of objects"),
}
