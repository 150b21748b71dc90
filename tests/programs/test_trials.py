"""A few trials of each kind; tests/README.md names the full counts. Sweeps and signals have tests of their own."""

import pytest
from command import run
from kills import KINDS


@pytest.mark.parametrize(
    ("name", "count"), [("killed_runs", 1), ("starts", 3), ("members", 3), ("epochs", 40), ("bad_lines", 2)]
)
@pytest.mark.usefixtures("mnist_root")
def test_every_trial_goes_as_promised(name, count):
    done = run("tests/programs/trials.py", name, str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: {count} of {count}\n" in done.stdout


def test_runs_that_are_killed_at_random_moments_end_like_one_that_was_not():
    trials = 2  # of each kind
    done = run("tests/programs/kills.py", str(trials))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{trials} of {trials} ") == len(KINDS)
