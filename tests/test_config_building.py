"""Plain data becomes the checked configuration that it describes, or one line that says why not."""

import math
from dataclasses import replace

import pytest
import yaml
from configured import CHOICES, values_of
from hypothesis import given
from hypothesis import strategies as st

from vae.config import Config, ConfigError, Device, MLPConfig, known_keys, plain, typed, unknown_key
from vae.config.options import FOREIGN, FREE, OPTIONS


def test_every_value_gets_the_type_of_its_field():
    config = typed(CHOICES, values_of(beta=4, device="cpu", learning_rate_epochs=[0, 9], learning_rate_factors=[1, 0]))
    assert (config.beta, type(config.beta), config.device) == (4.0, float, Device.cpu)
    assert config.learning_rate_factors == [1.0, 0.0]
    assert isinstance(config.model, MLPConfig)
    assert typed(CHOICES, values_of(beta="4", seed="5")).seed == 5  # as from an environment variable


@pytest.mark.parametrize(("group", "option"), [(g, o) for g, options in OPTIONS.items() for o in options])
def test_plain_data_of_every_option_are_read_back(group, option):
    choices = {**CHOICES, group: option} | ({"likelihood": "gaussian_columns"} if option == "table" else {})
    given_ones = {"path": "/x", "target": "mine:made", "encoder": "mine:encoder", "decoder": "mine:decoder"}
    found = values_of(choices, precision="bf16")
    found[group] |= {key: value for key, value in given_ones.items() if found[group].get(key) == "???"}
    if group == "likelihood":
        found["data"]["binarisation"] = "none"
    config = typed(choices, found)
    assert typed(choices, plain(config)) == config
    assert typed(choices, yaml.safe_load(yaml.safe_dump(plain(config)))) == config
    keys = known_keys(choices)
    assert {f"{group}.{key}" for key in found[group]} == {key for key in keys if key.startswith(f"{group}.")}


@given(st.text())
def test_a_text_stays_that_text(text):
    if text != "???" and text.strip():
        assert plain(typed(CHOICES, values_of(data={"root": text})))["data"]["root"] == text


BETA = "beta must be a number from 0 to 1000000"
WRONG = {
    "beta": [
        *[
            (value, f"{BETA}, got {text}")
            for value, text in ((None, "null"), (True, "true"), ([1], r"\[1\]"), ("", "noth"))
        ],
        *[(value, f"{BETA}, got ") for value in ("abc", {"a": 1}, math.nan, math.inf, -1, 10**400)],
        ("???", f"beta must be given, as in beta=..., it {BETA[5:]}"),
    ],
    "seed": [(1.0, "seed must be a whole number"), ("1.5", "seed must be"), (True, "seed must be"), (-1, "seed must")],
    "compile": [(value, "compile must be true or false, got") for value in (1, "maybe", None)],
    "device": [(value, "device must be one of auto, cpu, cuda, mps, got") for value in ("gpu", 0, None, [], {})],
    "threads": [(0, "threads must be a whole number from 1 to 1024, or null, got 0"), ("x", "threads must be")],
    "metrics": [("mine:score", "metrics must be a list, each entry text"), ([None], "metrics must be a list")],
    "resume": [(["a"], "resume must be text, or null"), (True, "resume must be")],
    "tracking": [(5, "tracking must have the keys tensorboard, "), ({}, "tracking.tensorboard must be given")],
    "model": [
        ({"hidden": 5}, "model.hidden must be a list, each entry a whole number from 1 to 100000, got 5"),
        ({"channels": 3}, "model.channels is a key of model=conv only. Choose that, or leave"),
        ({"hiden": 3}, r"unknown key model.hiden. Did you mean model.hidden\?"),
    ],
    "beat": [(4, r"unknown key beat. Did you mean beta\?")],
    "xyzzy": [(4, "unknown key xyzzy. ")],
}


@pytest.mark.parametrize(("key", "value", "line"), [(key, *case) for key, cases in WRONG.items() for case in cases])
def test_what_is_wrong_is_said_in_one_line(key, value, line):
    with pytest.raises(ConfigError, match=f"^{line}") as caught:
        typed(CHOICES, values_of(**{key: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "got"), [([], "[]"), (["a"], "[a]"), ([None], "[null]"), ([[1]], "[[1]]"), ([0], "[0]")]
)
def test_every_entry_of_a_list_is_checked(value, got):
    with pytest.raises(ConfigError) as caught:
        typed(CHOICES, values_of(model={"hidden": value}))
    assert str(caught.value) == f"model.hidden must be a list, each entry a whole number from 1 to 100000, got {got}"


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        (
            {**CHOICES, "model": "con"},
            r"model must be one of conv, custom, linear, locatello, mlp, got con. Did you mean conv\?",
        ),
        ({"data": "mnist"}, "model must be one of .* got null"),
    ],
)
def test_an_unknown_option_is_said_in_one_line(choices, line):
    for function in (lambda: typed(choices, values_of()), lambda: known_keys(choices)):
        with pytest.raises(ConfigError, match=line):
            function()


def test_an_unknown_key_leads_to_the_options_that_have_it():
    assert unknown_key("objective.gamma", ()).startswith(
        "objective.gamma is a key of objective=capacity, factor, total_correlation only."
    )
    assert unknown_key("latent_dm", ("beta",)) == "unknown key latent_dm. Did you mean model.latent_dim?"


def test_the_keys_that_are_treated_apart_exist():
    keys = {key for group, options in OPTIONS.items() for o in options for key in known_keys({**CHOICES, group: o})}
    assert set(FOREIGN) <= keys
    assert keys | {key.partition(".")[0] for key in keys} >= FREE


def test_a_checked_configuration_may_be_changed_and_is_checked_again():
    config = typed(CHOICES, values_of())
    assert isinstance(config, Config)
    with pytest.raises(ConfigError, match=BETA):
        replace(config, beta=-1.0)
