"""`vae.train`: a run from Python."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from command import EXAMPLES, ROOT, gone
from hypothesis import example, given, settings
from hypothesis import strategies as st

import vae
from vae.app.command_line.composition import parse_override
from vae.app.from_python import failure, override
from vae.config import ConfigError
from vae.data import DataError
from vae.probability.finite import NonFiniteError
from vae.run import checkpoint

SIZES = {"data.validation_size": 500, "data.test_size": 500, "tracking.tensorboard": False, "tracking.explorer": False}

# ------------------------------------------------------------------------------------------ values in the grammar

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
nested = st.recursive(
    plain, lambda x: st.lists(x) | st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), x), max_leaves=8
)


@settings(max_examples=60, deadline=None)
@given(nested)
@example("it's")
@example("\\'")
@example("ends in \\")
@example("null")
@example("3")
@example("1e5")
@example('a, b=(c) [d] {e:f} ${g} ~ + "')
@example(float("inf"))
@example(1e-300)
def test_hydra_reads_every_value_as_it_was_given(value):
    def read(entry):  # Hydra's quoted texts are of their own type
        if isinstance(entry, list):
            return [read(below) for below in entry]
        if isinstance(entry, dict):
            return {key: read(below) for key, below in entry.items()}
        return getattr(entry, "text", entry)

    assert read(parse_override(override("key", value)).value()) == value


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (Path("a/b.npz"), "k='a/b.npz'"),
        ((1, 2.5), "k=[1,2.5]"),
        (np.float32(0.5), "k=0.5"),
        (np.int64(3), "k=3"),
        (torch.tensor(True), "k=true"),
        ({"a": [None]}, "k={a:[null]}"),
    ],
)
def test_numbers_of_other_libraries_and_paths_are_plain_values(value, word):
    assert override("k", value) == word


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "beta must be None, a bool, a number, text, a path, a list or a dict, got object. Convert"),
        ([np.zeros(2)], "beta must be None, a bool.* got ndarray"),
        ({"a b": 1}, "beta must have names of letters, digits and _, got 'a b'"),
    ],
)
def test_another_value_is_refused(value, said):
    with pytest.raises(ConfigError, match=said):
        override("beta", value)


# ------------------------------------------------------------------------------------------------------- a run


def host():
    """What belongs to this process, and a run of the application would change."""
    return (
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        torch.get_float32_matmul_precision(),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        Path.cwd(),
        sys.argv[:],
        sys.path[:],
        dict(os.environ),
    )


def test_a_run_from_python_is_that_of_the_command_line_and_changes_nothing_here(tmp_path, few_words, few_run):
    before = host()
    with redirect_stdout(io.StringIO()) as out:
        model = vae.train(*few_words, f"hydra.run.dir='{tmp_path}/run'")
    assert host() == before
    made = [checkpoint.load(run / "checkpoints/last")["vae"] for run in (few_run, tmp_path / "run")]
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert "epoch 4/4" in out.getvalue()
    assert isinstance(model, vae.TrainedModel)
    assert model.sample(3, seed=0).shape == (3, 1, 28, 28)
    command = json.loads((tmp_path / "run/run.json").read_text())["command"]
    assert command[:5] == ["python", "-m", "vae", "train", few_words[0]]


def test_values_are_keywords_and_own_networks_are_handed_over(tmp_path, few_images, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    data = {"data": "images", "data.path": Path(few_images[1].removeprefix("data.path=")), **SIZES}
    own = {"model": "custom", "model.encoder": "my_nets:encoder", "model.decoder": "my_nets:decoder"}
    run = tmp_path / "it's a run"
    vae.train("beta=2", beta=4, epochs=1, **{"hydra.run.dir": run}, **data, **own)
    assert "beta   4," in capsys.readouterr().out  # the keywords come last
    with pytest.raises(ConfigError, match="parts of your own, which are imported only if the command names them too"):
        vae.train(resume=run, epochs=2)
    model = vae.train(resume=run, epochs=2, **own)
    assert "epoch 2/2" in capsys.readouterr().out
    assert "Residual" in {type(part).__name__ for part in model.vae.modules()}


@pytest.mark.parametrize(
    ("words", "values", "kind", "said"),
    [
        ((), {"beat": 4}, ConfigError, r"^unknown key beat. Did you mean beta\?$"),
        (("beta",), {}, ConfigError, "^every override is key=value without spaces, got beta$"),
        (("-m", "beta=1,2"), {}, ConfigError, "^vae.train takes words of the form key=value, got -m. Leave it out"),
        (
            (),
            {"experiment": "sprites_sweep"},
            ConfigError,
            "^vae.train trains one run, got the sweep sweep_.*mode=RUN",
        ),
        ((), {"data": "images", "data.path": "/none.npz"}, DataError, "^data.path must be .* it is missing$"),
    ],
)
def test_an_error_is_an_exception_of_one_line(tmp_path, monkeypatch, capsys, words, values, kind, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said):
        vae.train(*words, **values)
    assert capsys.readouterr() == ("", "")


def test_the_kind_of_an_error_follows_from_the_exit_code():
    kinds = {3: NonFiniteError, 4: DataError, 5: checkpoint.CheckpointError, 6: OSError, 1: RuntimeError}
    for code, kind in kinds.items():
        error = failure(code, "why", has_begun=True)
        assert (type(error), str(error)) == (kind, "why")
    assert type(failure(1, "why", has_begun=False)) is ConfigError
    assert "stopped by signal 9" in str(failure(-9, None, has_begun=True))
    assert "stopped by signal 15" in str(failure(143, None, has_begun=True))
    assert str(failure(1, None, has_begun=True)) == "the training ended with code 1"


HOST = """
import signal, sys, vae
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, wherever the tests run
try:
    vae.train(*sys.argv[1:])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_kill_of_the_process_saves_the_run(tmp_path, few_images, number):
    words = (*few_images, "epochs=100000", "tracking.tensorboard=false", "tracking.save_every_steps=1")
    command = [sys.executable, "-c", HOST, *words, f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoints/last").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (child,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert gone(child)
    log = (tmp_path / "run/train.log").read_text()
    assert "saved; vae.train(resume=" in log
    if number == signal.SIGINT:
        assert out.splitlines()[-1] == "interrupted"
        assert out.splitlines()[-2] == log.splitlines()[-1]
