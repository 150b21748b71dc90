"""The warm-up: a straight line from zero, then a constant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.schedules import LinearWarmup

values = st.floats(0.0, 1e6)
lengths = st.integers(1, 100_000)


@given(values, lengths, st.integers(0, 200_000))
def test_a_warmup_never_falls_and_never_exceeds_its_value(value, steps, step):
    warmup = LinearWarmup(value, steps)
    assert 0 <= warmup(step) <= warmup(step + 1) <= value


@given(values, lengths)
def test_a_warmup_begins_at_exactly_zero_and_arrives_at_exactly_its_value(value, steps):
    warmup = LinearWarmup(value, steps)
    assert warmup(0) == 0
    assert warmup(steps) == value


@given(values, lengths, st.integers(0, 100_000))
def test_a_warmup_stays_at_its_value(value, steps, later):
    assert LinearWarmup(value, steps)(steps + later) == value


@given(values, st.integers(0, 100_000))
def test_without_steps_the_value_holds_throughout(value, step):
    assert LinearWarmup(value)(step) == LinearWarmup(value, steps=0)(step) == value


@pytest.mark.parametrize(("step", "expected"), [(25, 1.0), (50, 2.0), (75, 3.0)])
def test_a_warmup_is_a_straight_line(step, expected):
    assert LinearWarmup(4.0, steps=100)(step) == expected
