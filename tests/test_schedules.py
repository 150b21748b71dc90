"""Numbers as functions of the step: straight lines, then a constant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae.objectives.schedules import CyclicalWarmup, LinearWarmup, Piecewise, unfinished

values = st.floats(0.0, 1e6)
lengths = st.integers(1, 100_000)


@given(values, lengths, st.integers(0, 200_000))
def test_a_warmup_never_falls_and_never_exceeds_its_value(value, steps, step):
    warmup = LinearWarmup(value, steps)
    assert 0 <= warmup(step) <= warmup(step + 1) <= value


@given(values, lengths, st.integers(0, 100_000))
def test_a_warmup_begins_at_exactly_zero_and_stays_at_exactly_its_value(value, steps, later):
    warmup = LinearWarmup(value, steps)
    assert warmup(0) == 0
    assert warmup(steps + later) == LinearWarmup(value)(later) == value


@pytest.mark.parametrize(("step", "expected"), [(25, 1.0), (50, 2.0), (75, 3.0)])
def test_a_warmup_is_a_straight_line(step, expected):
    assert LinearWarmup(4.0, steps=100)(step) == expected


@given(values, values, lengths)
def test_a_line_may_begin_elsewhere(start, value, steps):
    line = LinearWarmup(value, steps, start)
    assert (line(0), line(steps)) == (start, value)
    low, high = sorted((start, value))
    assert low <= line(steps // 2) <= high or line(steps // 2) == pytest.approx(low)


@given(values, st.integers(1, 1000), st.integers(1, 20), st.integers(0, 50_000))
def test_every_cycle_is_the_warm_up_and_as_long_a_rest(value, rise, cycles, step):
    cyclical = CyclicalWarmup(value, rise, cycles)
    expected = LinearWarmup(value, rise)(step % (2 * rise)) if step < 2 * rise * cycles else value
    assert cyclical(step) == expected
    assert all(cyclical(cyclical.steps + later) == value for later in (0, 1, rise, 2 * rise))


points = st.lists(st.tuples(st.integers(0, 10_000), values), min_size=1, max_size=6, unique_by=lambda p: p[0])


@given(points, st.integers(0, 20_000))
def test_lines_go_through_their_points_and_stay_between_them(given, step):
    given = tuple(sorted(given))
    lines = Piecewise(given)
    assert [lines(at) for at, _ in given] == [value for _, value in given]
    assert lines(lines.steps + step) == given[-1][1]
    numbers = [value for _, value in given]
    assert min(numbers) * (1 - 1e-9) <= lines(step) <= max(numbers) * (1 + 1e-9)


@given(points, st.integers(0, 20_000))
def test_a_number_is_constant_until_the_next_point(given, step):
    given = tuple(sorted(given))
    steps = Piecewise(given, constant_between=True)
    assert [steps(at) for at, _ in given] == [value for _, value in given]
    assert [steps(later - 1) for later, _ in given[1:]] == [value for _, value in given[:-1]]
    assert steps(steps.steps + step) == given[-1][1]


@pytest.mark.parametrize("points", [(), ((5, 1.0), (5, 2.0)), ((5, 1.0), (0, 2.0))])
def test_points_without_rising_steps_are_refused(points):
    with pytest.raises(ValueError, match="needs points with rising steps, got steps"):
        Piecewise(points)


# Schedules that training ends before


@pytest.mark.parametrize(
    ("schedule", "steps", "reached", "end"),
    [
        (LinearWarmup(4.0, steps=100_000), 391, 4 * 390 / 100_000, 4.0),
        (LinearWarmup(25.0, steps=100, start=5.0), 51, 15.0, 25.0),
        (CyclicalWarmup(4.0, rise=100, cycles=3), 450, 4 * 49 / 100, 4.0),  # in the middle of the third rise
        (CyclicalWarmup(4.0, rise=100, cycles=4), 200, 4.0, 4.0),  # after the first cycle of four
        (Piecewise(((0, 1.0), (100, 0.0))), 51, 0.5, 0.0),
        (Piecewise(((0, 1.0), (100, 0.1)), constant_between=True), 100 - 1, 1.0, 0.1),
    ],
)
def test_a_schedule_that_goes_on_after_the_last_step_is_unfinished(schedule, steps, reached, end):
    (found,) = unfinished({"beta": schedule}, steps).values()
    assert (found.reached, found.end) == (pytest.approx(reached), end)
    assert (found.steps, found.schedule_steps) == (steps, schedule.steps)
    assert found.described("beta").startswith(f"beta is {reached:.3g} at the last step")
    assert (f"not {end:.3g}" in found.described("beta")) == (reached != end)


@pytest.mark.parametrize("more", [0, 1, 1000])
def test_a_schedule_that_ends_with_training_or_before_is_finished(more):
    schedules = {
        "beta": LinearWarmup(4.0, steps=100),
        "constant": LinearWarmup(4.0),
        "cycles": CyclicalWarmup(4.0, rise=20, cycles=3),  # ends at step 100
        "points": Piecewise(((0, 1.0), (100, 0.0))),
    }
    assert unfinished(schedules, 100 + more) == {}
    assert list(unfinished(schedules, 99)) == ["beta", "cycles", "points"]
