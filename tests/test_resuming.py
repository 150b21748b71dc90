"""A training that was stopped or killed continues bit for bit."""

import copy
import math
from dataclasses import dataclass

import pytest
import torch
from small_trainings import OBJECTIVES, StopAfter, check_resuming, resume

from vae.model.burgess import conv_vae
from vae.model.mlp import mlp_vae
from vae.objectives import BetaObjective
from vae.objectives.schedules import LinearWarmup
from vae.run import checkpoint
from vae.run.names import METRICS
from vae.run.signals import StopNow
from vae.training import loop
from vae.training.loop import fit


@pytest.mark.parametrize("steps", [3, 4, 6])  # within an epoch of 4 steps, and at its end
@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_continues_bit_for_bit(begin, tmp_path, splits, make, steps, bf16):
    check_resuming(begin, tmp_path, splits, steps, make=make, warmup=5, bf16=bf16)


@dataclass(frozen=True)
class DrawsGlobally(BetaObjective):
    """Draws from torch's global generator."""

    def __call__(self, terms, step):
        return super().__call__(terms, step) * (0.5 + torch.rand(()))


def test_an_objective_that_draws_from_torchs_own_generator_continues_bit_for_bit(begin, tmp_path, splits):
    check_resuming(begin, tmp_path, splits, 3, objective=lambda: DrawsGlobally(LinearWarmup(4.0)))


class KilledError(Exception):
    """In place of a kill: nothing is saved or flushed after it."""


@pytest.mark.parametrize(("limits", "step"), [({"save_every_steps": 2}, 6), ({"save_every_seconds": 0.0}, 7)])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_killed_run_continues_bit_for_bit_within_an_epoch(begin, tmp_path, splits, limits, step, bf16):
    options = {"warmup": 5, "bf16": bf16, **limits}
    assert fit(begin(tmp_path / "whole", splits, **options))
    asked = iter(range(1, 100))

    def killed():
        if next(asked) == 8:  # before the fourth step of the second epoch
            raise KilledError
        return False

    with pytest.raises(KilledError):
        fit(begin(tmp_path / "parts", splits, stop=killed, **options))
    resume(begin, tmp_path, splits, step, **options)


@pytest.mark.parametrize(
    ("where", "call", "step"),
    [("encode_images", 1, 3), ("encode_images", 2, 7), ("update_best", 2, 7), ("monitoring.decompose", 1, 7)],
)
def test_a_run_stopped_while_an_epoch_is_measured_continues_to_the_same_end(
    begin, tmp_path, splits, monkeypatch, where, call, step
):
    assert fit(begin(tmp_path / "whole", splits, warmup=5))
    module = loop.monitoring if where.startswith("monitoring") else loop
    name = where.rpartition(".")[2]
    calls = iter(range(1, 100))
    usual = getattr(module, name)

    def interrupted(*arguments):
        if next(calls) == call:
            raise StopNow
        return usual(*arguments)

    first = begin(tmp_path / "parts", splits, warmup=5)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, interrupted)
        assert not fit(first)
    first.tracker.close()
    resume(begin, tmp_path, splits, step, warmup=5)  # before the last step of the epoch


def test_a_run_that_is_asked_to_stop_before_an_epochs_first_step_still_has_the_means_of_the_epoch_before(
    begin, tmp_path, splits
):
    stopped = begin(tmp_path / "run", splits, stop=StopAfter(5))
    assert not fit(stopped)
    assert stopped.state.step == 4  # an epoch
    ended = begin(tmp_path / "run", splits, resume=tmp_path / "run", epochs=1)
    assert fit(ended)
    whole = begin(tmp_path / "whole", splits, epochs=1)
    assert fit(whole)
    assert torch.equal(ended.state.epoch_sums, whole.state.epoch_sums)
    assert ended.state.epoch_sums[0] == 170  # images


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_of_any_objective_continues_bit_for_bit(begin, tmp_path, splits, name, bf16):
    check_resuming(begin, tmp_path, splits, 3, objective=OBJECTIVES[name], bf16=bf16, gradient_norm_limit=5.0)


def test_a_checkpoint_without_what_the_objective_has_learnt_is_refused(begin, tmp_path, splits):
    fit(begin(tmp_path, splits))
    with pytest.raises(
        checkpoint.CheckpointError, match="does not fit this model: 'objective' must be dict, got nothing"
    ):
        begin(tmp_path / "other", splits, objective=OBJECTIVES["factor"], resume=tmp_path)


FOREIGN = {
    "no model": lambda state: state.pop("vae"),
    "a list for a model": lambda state: state.update(vae=[1]),
    "one parameter more": lambda state: state["vae"].update(more=torch.zeros(1)),
    "one parameter less": lambda state: state["vae"].popitem(),
    "a parameter of another shape": lambda state: state["vae"].update({"decoder.output.bias": torch.zeros(1)}),
    "half a parameter": lambda state: state["vae"].update({k: v.half() for k, v in state["vae"].items()}),
    "another optimizer": lambda state: state["optimizer"]["state"].update({0: {"sum": torch.zeros(1)}}),
    "no generator": lambda state: state.pop("generator"),
    "sums of another size": lambda state: state.update(interval_sums=torch.zeros(2)),
    "no step": lambda state: state.pop("step"),
    "a step of text": lambda state: state.update(step="5"),
    "a negative step": lambda state: state.update(step=-1),
    "a time without end": lambda state: state.update(seconds=math.inf),
    "a best ELBO that is no number": lambda state: state.update(best_elbo=math.nan),
    "a negative number of lines": lambda state: state.update(logged_lines=-1),
    "a parameter that is not finite": lambda state: state["vae"]["decoder.output.bias"].fill_(math.nan),
    "a moment that is not finite": lambda state: state["optimizer"]["state"][0]["exp_avg"].fill_(math.inf),
    "no state of a generator": lambda state: state["generator"].zero_(),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_checkpoint_of_another_model_is_refused_in_one_line(begin, tmp_path, splits, kind):
    run = begin(tmp_path, splits)
    state = copy.deepcopy(run.state.state_dict())
    FOREIGN[kind](state)
    with pytest.raises(checkpoint.CheckpointError, match=r"does not fit this model: .*\. Resume the run it") as caught:
        run.state.load_state_dict(state)
    assert "\n" not in str(caught.value)


def test_numbers_that_were_lost_since_the_checkpoint_are_missed_when_the_run_goes_on(begin, tmp_path, splits, caplog):
    first = begin(tmp_path, splits, epochs=1)
    fit(first)
    first.tracker.close()
    whole = (tmp_path / METRICS).read_text().splitlines(keepends=True)
    assert checkpoint.load(tmp_path / "checkpoints" / "last")["logged_lines"] == len(whole)
    fit(begin(tmp_path, splits, epochs=1, resume=tmp_path))
    assert not caplog.records
    (tmp_path / METRICS).write_text("".join(whole[:-2]))
    fit(begin(tmp_path, splits, resume=tmp_path))
    (record,) = caplog.records
    assert f"metrics.jsonl has {len(whole) - 2} of the {len(whole)} lines" in record.message
