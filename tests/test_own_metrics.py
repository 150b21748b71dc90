"""Metrics that users bring: what they are given, where their mistakes are said, and that none loses a run."""

import numpy as np
import pytest
import torch
from known_codes import grid

from vae.app.metrics import own_metrics
from vae.config import ConfigError
from vae.data import ImageSet
from vae.disentanglement.own_metrics import own_numbers
from vae.model.mlp import mlp_vae

FACTORS = grid(2, 3, copies=10)
MODULE = """
import numpy as np

def given(codes, factors):
    assert codes.dtype == np.float32 and codes.ndim == 2 and np.isfinite(codes).all()
    assert factors is None or (factors.dtype == np.int64 and len(factors) == len(codes))
    codes[:] = 0  # harms no other
    return {"factors": 0 if factors is None else factors.shape[1]}

def spread(codes, factors):
    return {"spread": codes.std(), "whole": np.int64(3)}

def raises(codes, factors):
    return {"score": codes[:, 99].mean()}

def late(codes, factors):
    if len(codes) == 60:
        raise RuntimeError("only the\\nwhole set")
    return {"late": 1.0}

def infinite(codes, factors):
    return {"infinite": float("inf"), "finite": 2}

def number(codes, factors):
    return 0.5

def unnamed(codes, factors):
    return {3: 0.5}

def flag(codes, factors):
    return {"good": True}

def ours(codes, factors):
    return {"mig_sampled": 0.5}
"""


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    """`own_metrics` of functions of a user's module."""
    (tmp_path / "users_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda *names, factors=FACTORS: own_metrics([f"users_metrics:{name}" for name in names], 3, factors)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return mlp_vae((1, 4, 4), 3, hidden=(8,))


def images(factors=FACTORS) -> ImageSet:
    pixels = torch.randint(256, (60, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageSet(pixels, torch.zeros(60, dtype=torch.long), redrawn=False, factors=factors)


@pytest.mark.parametrize("factors", [FACTORS, None])
def test_a_metric_is_given_codes_and_levels_and_its_numbers_are_kept(metrics, model, factors):
    found = own_numbers(metrics("given", "spread", factors=factors), model, images(factors))
    assert found == {"factors": 0 if factors is None else 2, "spread": found["spread"], "whole": 3}
    assert found["spread"] > 0
    assert all(type(value) is float for value in found.values())


MISTAKES = {
    "raises": r"raised IndexError: index 99 is out of bounds .* \(users_metrics.py, line 14\)",
    "number": r"must return numbers by name, as in {'score': 0.5}, got float",
    "unnamed": r"must return numbers by name, .* got 3: float",
    "flag": r"must return numbers by name, .* got 'good': bool. Convert it with float\(\)",
    "ours": r"must give names of its own, got mig_sampled. Rename it",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_in_one_line_before_training(metrics, name):
    with pytest.raises(ConfigError, match=f"^metrics: users_metrics:{name} {MISTAKES[name]}") as caught:
        metrics(name)
    assert "\n" not in str(caught.value)


def test_two_metrics_may_not_give_one_name(metrics):
    with pytest.raises(ConfigError, match="spread must give names of its own, got spread"):
        metrics("spread", "spread")


def test_a_metric_that_fails_at_the_end_costs_a_warning(metrics, model, caplog):
    found = own_numbers(metrics("late", "infinite", "spread"), model, images())
    assert set(found) == {"finite", "spread", "whole"}
    assert [record.getMessage() for record in caplog.records] == [
        "warning: metrics: users_metrics:late raised RuntimeError: only the whole set (users_metrics.py, line 18). "
        "Its numbers are left out",
        "warning: metrics: infinite is not finite, and is left out",
    ]
    assert np.isfinite([*found.values()]).all()
