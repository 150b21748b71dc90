import ctypes
import math
import subprocess
import sys

import pytest
import torch
from command import ROOT
from torch import nn
from torch.optim import Adagrad, Adam

from vae.app.build import build_objective, build_options, build_vae, new_state
from vae.app.command_line import compose
from vae.config import ConfigError, Device
from vae.model.device import choose_device
from vae.model.heads import BernoulliHead, GaussianHead
from vae.objectives import (
    BetaObjective,
    CapacityObjective,
    DipObjective,
    FactorObjective,
    FreeBitsObjective,
    ImportanceWeightedObjective,
    TargetRateObjective,
    TotalCorrelationObjective,
)
from vae.objectives.schedules import CyclicalWarmup, LinearWarmup, Piecewise
from vae.probability.distributions import LogvarBounds
from vae.training import hardware
from vae.training.hardware import prepare_torch

IMAGE = (1, 28, 28)
CPU = torch.device("cpu")
ACTIVE = (nn.ReLU, nn.Tanh)


def config(*overrides):
    return compose(list(overrides), ROOT / "configs")


def objective_of(*overrides):
    return build_objective(config(*overrides), 100, CPU)


def test_the_default_network_is_784_400_20_and_back():
    vae = build_vae(config(), IMAGE)
    widths = [tuple(layer.weight.shape) for layer in vae.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(400, 784), (40, 400), (400, 20), (784, 400)]


def test_width_depth_and_activation_of_the_mlp_are_the_configurations():
    vae = build_vae(config("model.hidden=[30,10]", "model.activation=tanh", "model.latent_dim=3"), IMAGE)
    widths = [tuple(layer.weight.shape) for layer in vae.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(30, 784), (10, 30), (6, 10), (10, 3), (30, 10), (784, 30)]
    assert sum(isinstance(layer, nn.Tanh) for layer in vae.modules()) == 4


def test_the_networks_of_burgess_have_their_published_shapes():
    vae = build_vae(config("model=conv"), (1, 64, 64))
    convolutions = [tuple(m.weight.shape) for m in vae.encoder.modules() if isinstance(m, nn.Conv2d)]
    linear = [tuple(m.weight.shape) for m in vae.encoder.modules() if isinstance(m, nn.Linear)]
    assert convolutions == [(32, 1, 4, 4)] + [(32, 32, 4, 4)] * 3
    assert linear == [(256, 512), (256, 256), (20, 256)]


@pytest.mark.parametrize(("model", "encoder"), [("mlp", {"layers"}), ("conv", {"layers", "convolutions"})])
@pytest.mark.parametrize(
    ("words", "head"),
    [
        (["likelihood=bernoulli"], BernoulliHead),
        (["likelihood=gaussian", "data.binarisation=none"], GaussianHead),
    ],
)
def test_model_and_likelihood_are_those_that_were_named(model, encoder, words, head):
    vae = build_vae(config(f"model={model}", *words), IMAGE)
    assert {name.partition(".")[0] for name, _ in vae.encoder.named_parameters()} == encoder
    assert isinstance(vae.head, head)


def test_a_fixed_variance_is_no_parameter_and_a_learned_one_is():
    words = ["likelihood=gaussian", "data.binarisation=none", "likelihood.variance=0.25"]
    fixed, learned = (build_vae(config(*words, f"likelihood.learned={flag}"), IMAGE) for flag in ("false", "true"))
    assert "head.logvar" not in dict(fixed.named_parameters())
    assert "head.logvar" in dict(learned.named_parameters())
    assert float(fixed.head.logvar.exp()) == pytest.approx(0.25)


def test_the_bounds_of_the_configuration_are_the_posteriors():
    assert build_vae(config("logvar_min=-3", "logvar_max=2"), IMAGE).bounds == LogvarBounds(-3.0, 2.0)


@pytest.mark.parametrize("step", [0, 25, 50, 100])
def test_beta_and_its_warm_up_reach_the_objective(step):
    objective = objective_of("beta=4", "beta_warmup_steps=50")
    assert objective.beta(step) == min(4.0, 4 * step / 50)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], BetaObjective(LinearWarmup(1.0))),
        (["beta=4", "beta_warmup_steps=9", "objective.cycles=3"], BetaObjective(CyclicalWarmup(4.0, 9, 3))),
        (
            ["beta=4", "objective.at_steps=[0,10,20]", "objective.factors=[0,2.5,1]"],
            BetaObjective(Piecewise(((0, 0.0), (10, 10.0), (20, 4.0)))),
        ),
        (["objective=capacity"], CapacityObjective(1000.0, LinearWarmup(25.0, 100_000, 0.5))),
        (
            ["objective=total_correlation", "beta=6", "objective.alpha=0.5", "objective.gamma=2"],
            TotalCorrelationObjective(0.5, LinearWarmup(6.0), 2.0, 100, stratified=False),
        ),
        (["objective=dip", "objective.covariance=means"], DipObjective(LinearWarmup(1.0), 10.0, 10.0, False)),
        (["objective=dip", "beta=2"], DipObjective(LinearWarmup(2.0), 10.0, 10.0, aggregate=True)),
        (["objective=free_bits", "beta=2"], FreeBitsObjective(LinearWarmup(2.0), 0.5)),
        (["objective=importance_weighted", "objective.samples=50"], ImportanceWeightedObjective(50)),
    ],
)
def test_the_objective_is_the_configurations(words, expected):
    assert objective_of(*words) == expected


def test_the_objectives_that_learn_are_the_configurations_and_the_states():
    chosen = config("objective=factor", "objective.gamma=35", "beta=2", "model.latent_dim=3")
    factor = build_objective(chosen, 100, CPU)
    assert isinstance(factor, FactorObjective)
    assert (factor.gamma, factor.rate_weight(0), factor.discriminator[0].in_features) == (35.0, 2.0, 3)
    assert new_state(chosen, build_vae(chosen, IMAGE), CPU, factor).learner is factor
    target = objective_of("objective=target_rate", "objective.rate=9")
    assert isinstance(target, TargetRateObjective)
    controller = target.controller
    assert (target.target, controller.proportional, controller.integral) == (9.0, 0.05, 0.005)


def test_the_decoder_may_be_another_than_the_encoders_mirror():
    words = ["model.hidden=[1200,1200]", "model.latent_dim=10"]
    words += ["model.decoder_hidden=[1200,1100,1000]", "model.decoder_activation=tanh"]
    vae = build_vae(config(*words), (1, 64, 64))
    widths = [tuple(layer.weight.shape) for layer in vae.decoder.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(1200, 10), (1100, 1200), (1000, 1100), (4096, 1000)]
    kinds = [sum(isinstance(m, k) for m in part.modules()) for part in (vae.encoder, vae.decoder) for k in ACTIVE]
    assert kinds == [2, 0, 0, 3]


def test_the_learning_rate_reaches_adam_and_the_options_the_loop():
    chosen = config("learning_rate=0.02", "batch_size=7", "epochs=3", "gradient_norm_limit=5", "precision=bf16")
    state = new_state(chosen, build_vae(chosen, IMAGE), CPU, build_objective(chosen, 100, CPU))
    options = build_options(chosen, 100)
    assert state.optimizer.param_groups[0]["lr"] == 0.02
    assert (options.batch_size, options.epochs, options.gradient_norm_limit, options.bf16) == (7, 3, 5.0, True)


def test_the_learning_rate_follows_its_points_in_epochs():
    points = ("learning_rate=0.1", "batch_size=7", "learning_rate_epochs=[0,2]", "learning_rate_factors=[1,0.5]")
    line, hold = (build_options(config(*points, *more), 14) for more in ((), ("learning_rate_between=hold",)))
    assert [line.learning_rate(step) for step in range(6)] == pytest.approx([0.1, 0.0875, 0.075, 0.0625, 0.05, 0.05])
    assert [hold.learning_rate(step) for step in range(6)] == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    assert build_options(config("learning_rate=0.1"), 14).learning_rate(10**6) == 0.1


def test_the_seed_decides_the_weights():
    first, again, other = (
        (prepare_torch(config(f"seed={seed}", "device=cpu")), build_vae(config(), IMAGE))[1] for seed in (0, 0, 1)
    )
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.encoder.layers[0].weight, other.encoder.layers[0].weight)


@pytest.mark.parametrize(("rounds", "precision"), [(False, "medium"), (True, "highest")])
def test_a_run_chooses_who_makes_its_products(monkeypatch, rounds, precision):
    monkeypatch.setattr(hardware, "cpu", dict)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(hardware, "rounds_factors", lambda: rounds)
    prepare_torch(config("device=cpu"))
    assert torch.get_float32_matmul_precision() == precision


def test_auto_takes_an_accelerator_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device(Device.auto).type == expected
    assert choose_device(Device.cpu).type == "cpu"


def test_an_accelerator_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^torch finds no cuda here.*Use auto or cpu$"):
        choose_device(Device.cuda)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no glibc since 2.33")
@pytest.mark.parametrize(("how", "mapped"), [("", 1), ("keep_freed_memory()", 0)])
def test_large_blocks_come_from_the_memory_that_is_kept(how, mapped):
    script = (
        "import ctypes, torch\n"
        "from vae.training.hardware import keep_freed_memory\n"
        "class Info(ctypes.Structure): _fields_ = [(str(i), ctypes.c_size_t) for i in range(10)]\n"
        "mallinfo = ctypes.CDLL(None).mallinfo2; mallinfo.restype = Info\n"
        "def mapped(): return getattr(mallinfo(), '3')  # blocks that go back to the system when they are freed\n"
        f"{how or 'pass'}\n"
        "before = mapped(); block = torch.ones(30_000_000 // 4); print(mapped() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{mapped}\n", done.stderr


def test_the_optimiser_is_the_one_that_was_named():
    for words, kind in (((), Adam), (("optimizer=adagrad", "learning_rate=0.01"), Adagrad)):
        chosen = config(*words)
        optimizer = new_state(chosen, build_vae(chosen, IMAGE), CPU, build_objective(chosen, 100, CPU)).optimizer
        assert type(optimizer) is kind
        assert optimizer.param_groups[0]["lr"] == chosen.learning_rate


def test_adams_epsilon_and_the_weights_to_start_from_can_be_chosen():
    chosen = config("adam_epsilon=1e-4", "model.start=glorot", "model.hidden=[30]")
    vae = build_vae(chosen, IMAGE)
    optimizer = new_state(chosen, vae, CPU, build_objective(chosen, 100, CPU)).optimizer
    assert optimizer.param_groups[0]["eps"] == 1e-4
    layers = [layer for layer in vae.modules() if isinstance(layer, nn.Linear)]
    assert all(bool((layer.bias == 0).all()) for layer in layers)
    for layer in layers:
        limit = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.9 * limit < layer.weight.detach().abs().max().item() <= limit


def test_the_network_of_locatello_has_its_published_number_of_parameters():
    vae = build_vae(config("model=locatello"), (1, 64, 64))
    assert sum(p.numel() for p in vae.encoder.parameters()) == 309_204
    assert sum(p.numel() for p in vae.decoder.parameters()) == 381_313
    for side in (16, 32, 48):
        x = torch.zeros(2, 3, side, side)
        small = build_vae(config("model=locatello", "model.latent_dim=3"), (3, side, side))
        assert small.decode(small.encode(x).mean).mean.shape == x.shape


def test_the_network_of_locatello_starts_as_tensorflows_layers_do():
    for layer in build_vae(config("model=locatello"), (1, 64, 64)).modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert not layer.bias.any()
            inputs, outputs = nn.init._calculate_fan_in_and_fan_out(layer.weight)
            limit = (6 / (inputs + outputs)) ** 0.5
            assert 0.9 * limit < layer.weight.abs().max() <= limit


def test_the_convolutional_network_starts_with_hes_weights():
    for layer in build_vae(config("model=conv"), (1, 64, 64)).modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert not layer.bias.any()
            inputs = layer.weight.shape[1] * (1 if isinstance(layer, nn.Linear) else 16)
            limit = (6 / inputs) ** 0.5
            assert 0.9 * limit < layer.weight.abs().max() <= limit


def test_the_convolutional_encoder_keeps_the_size_of_a_signal():
    torch.manual_seed(0)
    layers = build_vae(config("model=conv", "model.channels=128"), (1, 64, 64)).encoder.convolutions
    x = torch.randn(8, 1, 64, 64)
    for layer in layers:
        before, x = x.square().mean(), layer(x)
        assert 0.4 < x.square().mean() / before < 1.6


@pytest.mark.parametrize(("model", "image"), [("conv", (1, 28, 7)), ("locatello", (1, 32, 28)), ("conv", (1, 7, 7))])
def test_images_that_the_network_does_not_take_are_one_line(model, image):
    with pytest.raises(ConfigError, match=r"needs? (images of height and width 8 or more|sides of 16).*model=mlp"):
        build_vae(config(f"model={model}"), image)


@pytest.mark.parametrize("preset", sorted(path.stem for path in (ROOT / "configs/experiment").glob("*.yaml")))
def test_every_preset_names_its_command_and_builds(preset):
    text = (ROOT / f"configs/experiment/{preset}.yaml").read_text()
    assert f"# python train.py experiment={preset}" in text.splitlines()[1]
    chosen = config(f"experiment={preset}")
    image = (1, 64, 64) if chosen.data.__class__.__name__ == "SpritesConfig" and chosen.data.side == 64 else IMAGE
    build_vae(chosen, image)
    build_objective(chosen, 100, CPU)
