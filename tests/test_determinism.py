"""One result, whatever is watched and whoever starts the run: every way below ends in one hash."""

import pytest
from command import QUIET, made_once, on_a_terminal, run_train
from results import result

from vae.run import checkpoint

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture(scope="module")
def words(few_images) -> tuple[str, ...]:
    return (*few_images, "epochs=7", "threads=1", "model.hidden=[64]", "model.latent_dim=2")


@pytest.fixture(scope="module")
def expected(words, shared) -> str:
    return result(made_once(shared / "longer" / "run", words))


def test_a_run_ends_the_same_when_it_is_measured_logged_and_saved_at_other_steps(words, expected, tmp_path):
    run = tmp_path / "run"
    other = (*QUIET, "tracking.log_every_steps=7", "tracking.save_every_steps=3")
    done = run_train(*words, "evaluate_every_epochs=3", *other, directory=run)
    assert done.returncode == 0, done.stderr
    assert result(run) == expected
    # Between evaluations nothing is measured. The last epoch always is.
    lines = [line for line in (run / "train.log").read_text().splitlines() if line.startswith("epoch")]
    assert [("validation" in line) for line in lines] == [False, False, True, False, False, True, True]
    assert '"validation/elbo"' in (run / "metrics.jsonl").read_text()
    assert checkpoint.load(run / "checkpoints" / "best")["best_epoch"] in {3, 6, 7}


def test_a_run_ends_the_same_with_a_bar_on_a_terminal(words, expected, tmp_path):
    assert "step/s" in on_a_terminal("train.py", *words, f"hydra.run.dir='{tmp_path}/run'")
    assert result(tmp_path / "run") == expected


@pytest.mark.parametrize("launcher", [(), JOBLIB], ids=["one after another", "joblib"])
def test_a_later_member_of_a_sweep_ends_the_same(launcher, words, expected, tmp_path):
    other = (*QUIET, f"hydra.sweep.dir={tmp_path}")
    done = run_train("-m", *words, "beta=2,1", *launcher, *other)
    assert done.returncode == 0, done.stderr
    (member,) = tmp_path.glob("*beta=1.0_*")
    assert result(member) == expected


def test_another_seed_ends_otherwise(words, expected, tmp_path):
    done = run_train(*words, "seed=1", *QUIET, directory=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "run") != expected
