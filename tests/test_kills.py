"""Runs that are killed at random moments, saving at every step, end as if nobody had disturbed them."""

from command import run
from kills import KINDS

TRIALS = 3  # of each kind; the README names a hundred


def test_runs_that_are_killed_at_random_moments_end_as_if_nobody_had():
    done = run("tests/kills.py", str(TRIALS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{TRIALS} of {TRIALS} ") == len(KINDS)
