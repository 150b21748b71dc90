"""A few of the trials that the README names at full count; those of sweeps and signals have tests of their own."""

import pytest
from command import run


@pytest.mark.parametrize(
    ("name", "count"), [("killed_runs", 2), ("starts", 4), ("members", 4), ("epochs", 40), ("bad_lines", 20)]
)
@pytest.mark.usefixtures("mnist_root")
def test_every_trial_goes_as_promised(name, count):
    done = run("tests/trials.py", name, str(count))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: {count} of {count}\n" in done.stdout
