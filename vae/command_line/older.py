"""Configurations of runs that are older than a key: they say nothing of it, and mean what was the only way then."""

from collections.abc import Mapping
from typing import Any

ADDED: Mapping[str, Mapping[str, Any]] = {
    "objective": {"cycles": 1, "at_steps": None, "factors": None},
    "model": {"decoder_hidden": None, "decoder_activation": None, "start": "torch"},
}
CONSTANT_LEARNING_RATE = {
    "learning_rate_epochs": None,
    "learning_rate_factors": None,
    "learning_rate_between": "line",
}
SAVED_AT_EPOCHS = {"save_every_steps": None, "save_every_seconds": None}
OPTION = {"objective": "beta"}  # of a group that is younger than the run


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The stored `values` of a run, with the keys that it is older than.

    Example:
        >>> completed({"beta": 4.0})["objective"]
        {'cycles': 1, 'at_steps': None, 'factors': None}
    """
    whole = dict(values)
    whole.setdefault("objective", ADDED["objective"])
    whole.setdefault("disentanglement", True)
    whole.setdefault("optimizer", "adam")
    whole.setdefault("adam_epsilon", 1e-8)
    whole.setdefault("evaluate_every_epochs", 1)
    for key, value in CONSTANT_LEARNING_RATE.items():
        whole.setdefault(key, value)
    if "tracking" in whole:
        whole["tracking"] = {**SAVED_AT_EPOCHS, **whole["tracking"]}
    if "hidden" in whole.get("model", {}):  # the fully connected network
        whole["model"] = {**ADDED["model"], **whole["model"]}
    return whole
