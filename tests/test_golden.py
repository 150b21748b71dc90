"""Runs of earlier versions stay readable: `golden/run` is one of November 2026, as its run.json says.

Never make it anew to have a test pass. A version that cannot read it must say so in one line.
"""

import json
import shutil
from pathlib import Path

import pytest
from command import run, run_train

from vae import checkpoint

GOLDEN = Path(__file__).parent / "golden" / "run"

pytestmark = pytest.mark.usefixtures("mnist_root")


def test_its_test_numbers_are_found_again():
    done = run("scripts/evaluate.py", str(GOLDEN))
    assert done.returncode == 0, done.stderr
    assert "agrees with" in done.stderr


def test_it_is_continued(tmp_path):
    copy = shutil.copytree(GOLDEN, tmp_path / "run")
    done = run_train(f"resume={copy}", "epochs=2")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((directory / "summary.json").read_text()) for directory in (GOLDEN, copy))
    assert (before["epochs"], after["epochs"]) == (1, 2)
    assert after["train"]["elbo"] > before["train"]["elbo"]
    # What the objective had learnt is gone on with: a controller that began anew would not be far from its start.
    states = [checkpoint.load(directory / "checkpoints/last")["objective"] for directory in (GOLDEN, copy)]
    assert states[0].keys() == states[1].keys()
    assert states[0] != states[1]
