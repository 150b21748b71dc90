"""Runs of earlier versions stay readable: `golden/run` is one of November 2026, as its run.json says.

Never make it anew to have a test pass. A version that cannot read it must say so in one line.
"""

import json
import shutil
from pathlib import Path

import pytest
from command import run, run_train

GOLDEN = Path(__file__).parent / "golden" / "run"

pytestmark = pytest.mark.usefixtures("mnist_root")


def test_its_test_numbers_are_found_again():
    done = run("scripts/evaluate.py", str(GOLDEN))
    assert done.returncode == 0, done.stderr
    assert "agrees with" in done.stderr


def test_it_is_continued(tmp_path):
    copy = shutil.copytree(GOLDEN, tmp_path / "run")
    done = run_train(f"resume={copy}", "epochs=2", "tracking.log_every_steps=1")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((directory / "summary.json").read_text()) for directory in (GOLDEN, copy))
    assert (before["epochs"], after["epochs"]) == (1, 2)
    assert after["train"]["elbo"] > before["train"]["elbo"]
    # Its controller had brought beta from 1 to 0.127, and goes on from there.
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    betas = [line["train/controlled_beta"] for line in lines if "train/controlled_beta" in line]
    assert betas[0] == pytest.approx(0.127, abs=0.001)
    assert betas[1] == pytest.approx(betas[0], rel=0.05)
