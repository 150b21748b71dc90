"""Configurations made from the files of `configs/` without the command line."""

from dataclasses import replace
from typing import Any

import yaml
from command import ROOT

from vae.config import typed
from vae.run.record import Record

CHOICES = {"data": "mnist", "model": "mlp", "likelihood": "bernoulli", "objective": "beta"}


def values_of(choices: dict[str, str] = CHOICES, **changed: Any) -> dict[str, Any]:
    """The values that the files give for these options, with those of the root, or of its sections, `changed`."""
    files = {"": "config.yaml"} | {group: f"{group}/{option}.yaml" for group, option in choices.items()}
    found = {group: yaml.safe_load((ROOT / "configs" / name).read_text()) or {} for group, name in files.items()}
    for section in found.values():
        section.pop("defaults", None)
    root = found.pop("")
    root.pop("hydra")
    if "root" in found["data"]:
        found["data"]["root"] = "/data"
    values = {**root, **found}
    return values | {
        key: {**values[key], **value}
        if value and isinstance(value, dict) and isinstance(values.get(key), dict)
        else value
        for key, value in changed.items()
    }


def record_of(choices: dict[str, str] = CHOICES, **values: Any) -> Record:
    """The record of a run with these options and values."""
    choices = {**CHOICES, **choices}
    return Record(choices, typed(choices, values_of(choices, **values)))


def changed(record: Record, **values: Any) -> Record:
    """The same record with other values of the configuration's root."""
    return replace(record, config=replace(record.config, **values))
