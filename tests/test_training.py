"""Training as a function of seed, data and options, on small images and small networks."""

import copy
import math
import random
from dataclasses import replace

import pytest
import torch
from command import ROOT
from results import logged
from small_trainings import OBJECTIVES, StopAfter, check_resuming, parameters
from torch import nn

from vae.app import main as app
from vae.app.command_line import compose
from vae.data import ImageSet
from vae.model.burgess import conv_vae
from vae.model.heads import GaussianHead
from vae.model.mlp import mlp_vae
from vae.objectives import BetaObjective, CapacityObjective, TargetDistortionObjective, TargetRateObjective
from vae.objectives.schedules import LinearWarmup, Piecewise
from vae.probability.finite import NonFiniteError
from vae.run import checkpoint
from vae.training.loop import fit, save_checkpoint, train_epoch, train_step
from vae.training.state import floats, means


@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
def test_the_same_seed_gives_the_same_run(begin, tmp_path, splits, make):
    runs = [begin(tmp_path / name, splits, make=make) for name in "ab"]
    for run in runs:
        assert fit(run)
    assert torch.equal(parameters(runs[0]), parameters(runs[1]))
    assert logged(tmp_path / "a") == logged(tmp_path / "b")


def test_another_seed_gives_another_order(begin, tmp_path, splits):
    runs = [begin(tmp_path / str(seed), splits, seed=seed) for seed in (0, 1)]
    for run in runs:
        fit(run)
    assert not torch.equal(parameters(runs[0]), parameters(runs[1]))


def test_a_growing_capacity_is_logged_and_no_epoch_before_its_end_is_the_best(begin, tmp_path, splits):
    capacity = {"objective": lambda: CapacityObjective(10.0, LinearWarmup(4.0, 8)), "log_every_steps": 1}
    run = begin(tmp_path, splits, epochs=3, **capacity)
    fit(run)
    found = [line["train/capacity"] for line in logged(tmp_path) if "train/capacity" in line]
    assert found == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4, 4, 4]
    assert run.state.best_epoch in (2, 3)


def test_what_the_objectives_learn_is_logged(begin, tmp_path, splits):
    for name, keys in {
        "factor": {"train/beta", "train/total_correlation", "train/discriminator_loss"},
        "target_rate": {"train/controlled_beta"},
        "target_distortion": {"train/controlled_beta"},
    }.items():
        fit(begin(tmp_path / name, splits, objective=OBJECTIVES[name]))
        lines = [line for line in logged(tmp_path / name) if "train/loss" in line]
        assert all(keys <= line.keys() for line in lines)
        assert len({tuple(line[key] for key in sorted(keys)) for line in lines}) == len(lines)


def test_an_epoch_uses_every_training_image_once(begin, tmp_path, splits, monkeypatch):
    seen = []
    original = ImageSet.batch

    def watched(self, index, generator):
        if self is splits.train:
            seen.append(index)
        return original(self, index, generator)

    monkeypatch.setattr(ImageSet, "batch", watched)
    fit(begin(tmp_path, splits, epochs=1))
    assert [len(index) for index in seen] == [50, 50, 50, 20]
    assert torch.cat(seen).sort().values.tolist() == list(range(170))


def test_beta_multiplies_the_rate_in_every_logged_loss(begin, tmp_path, splits):
    fit(begin(tmp_path, splits, beta=4.0))
    lines = [line for line in logged(tmp_path) if "train/loss" in line]
    assert len(lines) == 4
    for line in lines:
        assert line["train/beta"] == 4
        assert line["train/loss"] == pytest.approx(line["train/distortion"] + 4 * line["train/rate"], rel=1e-5)
        assert line["train/elbo"] == pytest.approx(-line["train/distortion"] - line["train/rate"], rel=1e-6)


@pytest.mark.parametrize("name", [*OBJECTIVES, "warm-up"])
def test_the_loss_is_distortion_plus_weight_times_rate_under_every_objective(begin, tmp_path, splits, name):
    run = begin(tmp_path, splits, objective=OBJECTIVES.get(name, lambda: BetaObjective(LinearWarmup(4.0, steps=100))))
    fit(run)
    lines = logged(tmp_path)
    checked = {"train": 0, "train_epoch": 0, "validation": 0}
    for line in lines:
        for split in checked:
            if f"{split}/loss" not in line:
                continue
            distortion, rate, weight = (line[f"{split}/{term}"] for term in ("distortion", "rate", "loss_weight"))
            assert line[f"{split}/loss"] == pytest.approx(distortion + weight * rate, rel=1e-6)
            checked[split] += 1
    assert all(checked.values())
    last = {split: [line for line in lines if f"{split}/loss" in line][-1] for split in checked}
    weights = [last[split][f"{split}/loss_weight"] for split in checked]
    expected = dict.fromkeys(("target_rate", "target_distortion"), run.objective.rate_weight(0)) | {
        "capacity": 1,
        "importance_weighted": 1,
    }
    expected |= {"multi_rate": 2, "total_correlation": 1, "factor": 4, "warm-up": 4 * 7 / 100}
    assert weights == pytest.approx([expected[name]] * 3)
    assert "train/objective" in last["train"]


def test_every_schedule_of_objective_and_learning_rate_is_asked_whether_it_ends(begin, tmp_path, splits):
    falling = Piecewise(((0, 0.1), (8, 0.0)))
    for name in OBJECTIVES:  # 8 steps in all; the schedules end at step 7, or 6
        run = begin(tmp_path / name, splits, objective=OBJECTIVES[name], learning_rate=falling)
        assert run.unfinished(8) == {}
        scheduled = {
            "capacity": ["capacity"],
            "importance_weighted": [],
            "multi_rate": [],
            "target_rate": [],
            "target_distortion": [],
        }.get(name, ["beta"])
        assert list(run.unfinished(5)) == [*scheduled, "learning_rate"]


def test_the_means_of_an_epoch_weigh_every_image_alike(begin, tmp_path, splits):
    run = begin(tmp_path, splits, log_every_steps=1)  # the last of four steps sees 20 images, the others 50
    fit(run)
    lines = logged(tmp_path)
    for epoch in (1, 2):
        [whole] = [line for line in lines if "train_epoch/loss" in line and line["step"] == 4 * epoch]
        steps = [line for line in lines if "train/loss" in line and 4 * (epoch - 1) < line["step"] <= 4 * epoch]
        for term in ("loss", "objective", "distortion", "rate", "elbo"):
            weighted = sum(n * line[f"train/{term}"] for n, line in zip((50, 50, 50, 20), steps, strict=True)) / 170
            assert whole[f"train_epoch/{term}"] == pytest.approx(weighted, rel=1e-6)
    trained = means(run.state.epoch_sums, run.loss_weight)
    assert trained == {term: whole[f"train_epoch/{term}"] for term in trained}


def test_the_rates_of_the_latents_in_training_sum_to_the_rate(begin, tmp_path, splits):
    fit(begin(tmp_path, splits))
    lines = logged(tmp_path)
    rates = {line["step"]: line["train/rate"] for line in lines if "train/rate" in line}
    latents = {line["step"]: line for line in lines if "z/train_kl/00" in line}
    assert rates.keys() == latents.keys()
    for step, rate in rates.items():
        assert sum(latents[step][f"z/train_kl/{latent:02d}"] for latent in range(3)) == pytest.approx(rate, rel=1e-6)


def test_the_learning_rate_of_every_step_is_that_of_the_schedule_also_after_a_stop(begin, tmp_path, splits):
    options = {"log_every_steps": 1, "learning_rate": Piecewise(((0, 0.1), (8, 0.0)))}
    check_resuming(begin, tmp_path, splits, 5, **options)
    rates = [line["train/learning_rate"] for line in logged(tmp_path / "whole") if "train/learning_rate" in line]
    assert rates == pytest.approx([0.1 * (8 - step) / 8 for step in range(8)])


def test_a_learning_rate_of_zero_moves_nothing(begin, tmp_path, splits):
    run = begin(tmp_path, splits, learning_rate=LinearWarmup(0.0))
    before = parameters(run)
    fit(run)
    assert torch.equal(before, parameters(run))


def test_training_learns(begin, tmp_path, splits):
    run = begin(tmp_path, splits, epochs=100, learning_rate=LinearWarmup(1e-2))
    fit(run)
    elbos = [line["validation/elbo"] for line in logged(tmp_path) if "validation/elbo" in line]
    assert elbos[-1] > elbos[0] + 20


def test_one_batch_can_be_overfitted(begin, tmp_path, splits):
    run = begin(tmp_path, splits, beta=0.0, learning_rate=LinearWarmup(1e-2))
    x = splits.test.batch(torch.arange(4), run.state.generator).round()
    losses = [float(train_step(run.state, x, run.objective, run.options).loss) for _ in range(400)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_gradient_norm_is_limited(begin, tmp_path, splits):
    run = begin(tmp_path, splits, gradient_norm_limit=0.5)
    x = splits.test.batch(torch.arange(40), run.state.generator)
    train_step(run.state, x, run.objective, run.options)
    assert float(nn.utils.get_total_norm([p.grad for p in run.state.vae.parameters()])) == pytest.approx(0.5, rel=1e-3)


def test_a_run_that_early_stopping_ends_on_resuming_is_evaluated_at_its_last_step(begin, tmp_path, splits):
    options = {"epochs": 50, "evaluate_every_epochs": 2, "learning_rate": LinearWarmup(0.5)}
    assert not fit(begin(tmp_path, splits, stop=StopAfter(34), **options))  # in the ninth epoch
    run = begin(tmp_path, splits, resume=tmp_path, early_stopping_epochs=2, **options)
    assert fit(run)
    assert run.state.step == 36
    assert [line["step"] for line in logged(tmp_path) if "validation/elbo" in line][-1] == 36


def test_early_stopping_ends_after_the_epochs_without_a_better_elbo(begin, tmp_path, splits):
    useless = LinearWarmup(0.5)  # a rate at which nothing is learnt
    run = begin(tmp_path, splits, epochs=50, early_stopping_epochs=2, learning_rate=useless)
    assert fit(run)
    assert run.state.epochs_without_better == 2
    assert run.state.step == (run.state.best_epoch + 2) * run.steps_per_epoch


def test_best_is_the_checkpoint_of_the_best_epoch(begin, tmp_path, splits):
    run = begin(tmp_path, splits, epochs=12, learning_rate=LinearWarmup(0.05))
    fit(run)
    elbos = [line["validation/elbo"] for line in logged(tmp_path) if "validation/elbo" in line]
    best = checkpoint.load(tmp_path / "checkpoints" / "best")
    assert best["best_elbo"] == max(elbos)
    assert best["step"] == (elbos.index(max(elbos)) + 1) * run.steps_per_epoch == run.state.best_epoch * 4


def test_without_validation_images_the_newest_is_the_best(begin, tmp_path, splits):
    empty = ImageSet(splits.validation.pixels[:0], splits.validation.labels[:0], redrawn=False)
    run = begin(tmp_path, replace(splits, validation=empty))
    fit(run)
    assert run.state.best_epoch == 2
    assert any("train_images/elbo" in line for line in logged(tmp_path))


def test_pictures_are_of_epochs_10_100_and_the_last(begin, tmp_path, splits, monkeypatch):
    steps = []
    monkeypatch.setattr("vae.training.monitoring.show_pictures", lambda *given: steps.append(given[-1]))
    fit(begin(tmp_path, splits, epochs=12))
    assert steps == [10 * 4, 12 * 4]
    assert steps == [line["step"] for line in logged(tmp_path) if "validation/mutual_information" in line]


@pytest.mark.parametrize("make", [mlp_vae, conv_vae])
def test_bf16_stays_near_fp32(begin, tmp_path, splits, make):
    runs = {bf16: begin(tmp_path / str(bf16), splits, make=make, epochs=20, bf16=bf16) for bf16 in (False, True)}
    for run in runs.values():
        fit(run)
    assert not torch.equal(parameters(runs[False]), parameters(runs[True]))
    assert runs[True].state.best_elbo == pytest.approx(runs[False].state.best_elbo, rel=0.02)


def test_bf16_rounds_the_factors_of_the_matrix_multiplications_and_the_loss_is_outside(begin, tmp_path, splits):
    seen = []

    class Seeing(BetaObjective):
        def __call__(self, terms, step):
            seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
            return super().__call__(terms, step)

    run = begin(tmp_path, splits, hidden=64, bf16=True, objective=lambda: Seeing(LinearWarmup(1.0)))
    first = run.state.vae.encoder.layers[0]
    first.register_forward_hook(lambda _, given, out: seen.extend((given[0].detach().clone(), out.detach())))
    weight, bias = first.weight.detach().clone(), first.bias.detach().clone()
    x = splits.test.batch(torch.arange(40), run.state.generator) * 0.3  # bfloat16 rounds 0.3
    numbers = train_step(run.state, x, run.objective, run.options)
    terms = (numbers.loss, numbers.distortion, numbers.rate)
    assert {tensor.dtype for tensor in (*terms, *run.state.vae.parameters())} == {torch.float32}
    of_rounded = x.flatten(1).bfloat16().float() @ weight.bfloat16().float().T + bias
    assert seen[1].dtype == torch.bfloat16
    assert torch.allclose(seen[1].float(), of_rounded, rtol=2**-7, atol=1e-2)
    assert seen[2] == torch.float32


@pytest.mark.parametrize(("bf16", "emulated"), [(True, True), (True, False), (False, True)])
def test_bf16_on_a_cpu_without_it_gets_a_warning(begin, tmp_path, splits, monkeypatch, caplog, bf16, emulated):
    monkeypatch.setattr(app, "emulates_bf16", lambda _: emulated)
    config = compose([f"precision={'bf16' if bf16 else 'fp32'}"], ROOT / "configs")
    with caplog.at_level("INFO", logger="vae"):
        app.introduce(config, begin(tmp_path, splits, bf16=bf16), torch.device("cpu"), "MNIST", "1 thread")
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [line.startswith("warning: precision=bf16 takes") for line in warned] == [True] * (bf16 and emulated)


@pytest.mark.parametrize("learned", [False, True])
def test_a_gaussian_likelihood_learns_its_variance_only_if_told(begin, tmp_path, splits, learned):
    grey = replace(splits, train=replace(splits.train, redrawn=False))
    run = begin(tmp_path, grey, head=GaussianHead(0.05, learned), epochs=5)
    before = copy.copy(float(run.state.vae.head.logvar.detach()))
    fit(run)
    assert (float(run.state.vae.head.logvar.detach()) != before) is learned


def test_a_loss_that_is_no_number_ends_training_with_the_step_and_its_terms(begin, tmp_path, splits):
    run = begin(tmp_path, splits, epochs=1)
    fit(run)
    before = (tmp_path / "checkpoints" / "last").read_bytes()
    again = begin(tmp_path, splits, epochs=3, resume=tmp_path)
    with torch.no_grad():
        again.state.vae.decoder.output.bias[5] = math.inf
    with pytest.raises(NonFiniteError, match=r"the loss is (inf|nan) at step 5: distortion .* rate") as caught:
        fit(again)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoints" / "last").read_bytes() == before


def test_no_checkpoint_holds_a_discriminator_that_is_no_finite_number(begin, tmp_path, splits):
    run = begin(tmp_path, splits, objective=OBJECTIVES["factor"])
    fit(run)
    with torch.no_grad():
        next(run.objective.discriminator.parameters())[0] = math.nan
    with pytest.raises(NonFiniteError, match="after step 8"):
        save_checkpoint(run)


@pytest.mark.parametrize("injection", range(15))
def test_what_is_no_finite_number_ends_training_within_its_step_and_is_not_saved(begin, tmp_path, splits, injection):
    moments = random.Random(injection)
    bad = moments.choice([math.nan, math.inf, -math.inf])
    place = moments.choice(["parameter", "gradient", "moment"])
    at = moments.randint(2, 7)  # of eight steps; before the first there are no moments
    asked = iter(range(1, 100))

    def inject():
        if next(asked) != at:
            return False
        parameter = moments.choice(list(run.state.vae.parameters()))
        entry = moments.randrange(parameter.numel())
        if place == "gradient":
            parameter.register_hook(lambda gradient: torch.full_like(gradient, bad))
        else:
            name = moments.choice(["exp_avg", "exp_avg_sq"])
            whole = parameter.data if place == "parameter" else run.state.optimizer.state[parameter][name]
            whole.view(-1)[entry] = bad
        return False

    run = begin(tmp_path, splits, stop=inject, save_every_steps=1)
    with pytest.raises(NonFiniteError, match=rf"step {at}\b|must not hold NaN") as caught:
        fit(run)
    assert "\n" not in str(caught.value)
    stored = checkpoint.load(tmp_path / "checkpoints" / "last")
    assert stored["step"] == at - 1
    assert all(bool(numbers.isfinite().all()) for numbers in floats(stored))


# Without the discriminator, whose fused Adam does not work on `meta`.
ON_META = {name: make for name, make in OBJECTIVES.items() if name != "factor"} | {
    "target_rate": lambda: TargetRateObjective(4.0, 0.05, 0.005, torch.device("meta")),
    "target_distortion": lambda: TargetDistortionObjective(40.0, 0.001, 0.9, torch.device("meta")),
    "beta": None,
}


@pytest.mark.parametrize(("make", "name"), [(conv_vae, "beta"), *((mlp_vae, name) for name in ON_META)])
def test_no_step_waits_for_the_device(begin, tmp_path, splits, make, name):
    """On torch's `meta` device, which computes shapes and no values, whoever asks for a value gets an error.

    An accelerator would answer after all its work: a loop that asks at every step never lets it run ahead.
    """
    changes = {"log_every_steps": 1_000, "gradient_norm_limit": 1.0}
    run = begin(tmp_path, splits, make=make, objective=ON_META[name], stop=StopAfter(4), **changes)
    with pytest.raises(RuntimeError, match="meta"):
        float(torch.ones((), device="meta"))
    on_device = replace(run, state=moved(run.state, "meta"), splits=run.splits.to("meta"))
    assert not train_epoch(on_device)  # stopped before the step that logs
    assert on_device.state.step == 3


def moved(state, device):
    vae = state.vae.to(device)
    return replace(
        state, vae=vae, optimizer=torch.optim.SGD(vae.parameters(), 1e-3), interval_sums=state.interval_sums.to(device)
    )
