"""A trained model, loaded from a run's directory alone, and its verbs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from command import EXAMPLES
from examples import my_nets
from stored_runs import stored_run

import vae
from vae.config import ConfigError
from vae.config.preparation import ImagePreparation
from vae.data import DataError
from vae.data.mnist import read_idx
from vae.run import checkpoint, record
from vae.run.checkpoint import CheckpointError

LATENTS = 3
DIGITS = ImagePreparation((1, 28, 28), True)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
NETWORKS = {"latent_dim": LATENTS, "encoder": "my_nets:encoder", "decoder": "my_nets:decoder", "options": {"width": 8}}


def put_run(directory, networks=(), choices=None, **values):
    """The directory of a run that was killed in training."""
    values = {"model": {"latent_dim": LATENTS, "hidden": [8]}} | values
    return stored_run(directory, DIGITS, choices, networks, summary=None, **values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return put_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def model(run):
    return vae.load(run, device="cpu")


def test_the_test_images_of_a_run_get_the_numbers_of_its_summary(finished_run, mnist_root):
    test = json.loads((finished_run / "summary.json").read_text())["test"]
    scores = vae.load(finished_run, device="cpu").score(read_idx(mnist_root / "MNIST/raw/t10k-images-idx3-ubyte"))
    for name in ("distortion", "rate", "elbo"):
        assert float(getattr(scores, name).double().mean()) == pytest.approx(test[name], rel=1e-6), name


def test_a_run_is_loaded_after_it_was_moved_and_has_lost_all_but_its_checkpoints(few_run, tmp_path):
    moved = shutil.copytree(few_run, tmp_path / "another place" / "renamed")
    for path in moved.iterdir():
        if path.name != "checkpoints":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    digits = IMAGES[:2]
    assert torch.equal(vae.load(str(moved)).encode(digits).mean, vae.load(few_run).encode(digits).mean)


def test_a_run_that_was_made_on_cuda_is_loaded_on_a_cpu(tmp_path, model):
    made = vae.load(put_run(tmp_path / "run", device="cuda"), device="cpu")
    assert made.device == torch.device("cpu")
    assert torch.equal(made.encode(IMAGES).mean, model.encode(IMAGES).mean)


def test_the_best_checkpoint_is_another_model(few_run):
    with pytest.raises(ConfigError, match="checkpoint must be last or best, got first"):
        vae.load(few_run, checkpoint="first")
    assert vae.load(few_run, checkpoint="best").latent_dim == 2


HOST = """
import json, logging, os, random, signal, sys, warnings
import numpy as np, torch
sys.path.insert(0, "anything")
logging.getLogger().addHandler(logging.NullHandler())
torch.set_num_threads(2)

def state():
    tiny = torch.tensor([1e-40])
    return {
        "torch": torch.get_rng_state().sum().item(), "numpy": np.random.get_state()[1].sum().item(),
        "random": hash(random.getstate()), "threads": torch.get_num_threads(), "denormals": (tiny * 1).item() > 0,
        "between": torch.get_num_interop_threads(), "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "benchmark": torch.backends.cudnn.benchmark,
        "mkldnn": torch.backends.mkldnn.enabled, "grad": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "path": list(sys.path), "environ": dict(os.environ), "folder": os.getcwd(), "filters": len(warnings.filters),
        "handlers": [[repr(h) for h in logging.getLogger(n).handlers] for n in ("", "vae")],
        "levels": [logging.getLogger(n).level for n in ("", "vae")],
        "signals": [repr(signal.getsignal(n)) for n in (2, 10, 15)], "hook": repr(sys.excepthook),
    }

before = state()
import vae
model = vae.load(sys.argv[1])
x = np.load(sys.argv[2])
model.encode(x), model.score(x, samples=2), model.sample(3), model.reconstruct(sys.argv[3]), model.encode(sys.argv[2])
model.interpolate(x[:1], x[1:2]), model.traverse(x[0], 1)
after = state()
known = ("hydra", "omegaconf", "tensorboard", "matplotlib", "sklearn", "scipy", "torchvision")
print(json.dumps([[k for k in before if before[k] != after[k]], [name for name in known if name in sys.modules]]))
"""


def test_loading_and_using_a_model_changes_nothing_in_the_process_and_loads_no_application(run, tmp_path):
    from PIL import Image

    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "pictures" / "a.png")
    words = [str(run), str(tmp_path / "x.npy"), str(tmp_path / "pictures")]
    done = subprocess.run([sys.executable, "-c", HOST, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], []]


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    networks = (my_nets.encoder((1, 28, 28), LATENTS, 8), my_nets.decoder((1, 28, 28), LATENTS, 8))
    place = tmp_path_factory.mktemp("own") / "run"
    return put_run(place, networks=networks, choices={"model": "custom"}, model=NETWORKS)


def test_networks_of_ones_own_are_handed_over_as_functions_or_modules(own_run):
    codes = vae.load(own_run, encoder=my_nets.encoder, decoder=my_nets.decoder).encode(IMAGES).mean
    modules = {name: getattr(my_nets, name)((1, 28, 28), LATENTS, 8) for name in ("encoder", "decoder")}
    assert torch.equal(vae.load(own_run, **modules).encode(IMAGES).mean, codes)
    wide = {name: getattr(my_nets, name)((1, 28, 28), LATENTS, 9) for name in ("encoder", "decoder")}
    with pytest.raises(CheckpointError, match="the checkpoint does not fit this model"):
        vae.load(own_run, **wide)


def test_no_module_that_a_run_names_is_imported(own_run, tmp_path, monkeypatch):
    marked = tmp_path / "my_nets.py"
    marked.write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n" + (EXAMPLES / "my_nets.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    with pytest.raises(ConfigError, match=r"model.encoder is your own my_nets:encoder, .*Pass encoder=encoder"):
        vae.load(own_run)
    assert not (tmp_path / "mark").exists()


def damaged(run, tmp_path, change):
    copy = shutil.copytree(run, tmp_path / "run")
    change(copy)
    return copy


def with_nan(run):
    state = checkpoint.load(run / "checkpoints" / "last")
    next(iter(state["vae"].values())).flatten()[0] = torch.nan
    checkpoint.save(run / "checkpoints" / "last", state)


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        (shutil.rmtree, ConfigError, "the directory of a run or an exported folder, got .*, which is none"),
        (lambda run: shutil.rmtree(run) or run.write_text(""), ConfigError, "which is none"),
        (lambda run: shutil.rmtree(run) or run.mkdir(), ConfigError, "must be the directory of a run"),
        (lambda run: (run / "checkpoints" / "last").unlink(), CheckpointError, "cannot read"),
        (lambda run: (run / "checkpoints" / "last").write_bytes(b"x"), CheckpointError, "is not a checkpoint"),
        (with_nan, CheckpointError, "one of its numbers is not finite"),
        (
            lambda run: put_run(run, model={"hidden": [9], "latent_dim": 3}),
            CheckpointError,
            "another configuration",
        ),
    ],
    ids=["missing", "a file", "empty", "no checkpoint", "bad checkpoint", "nan", "another's checkpoint"],
)
def test_a_place_without_a_model_is_one_line(change, kind, line, run, tmp_path):
    place = damaged(run, tmp_path, change)
    if "another" in line:  # the record of the other run with the checkpoint of the first
        shutil.copy(run / "checkpoints" / "last", place / "checkpoints" / "last")
    with pytest.raises(kind, match=line) as refused:
        vae.load(place)
    assert "\n" not in str(refused.value)


def test_a_run_that_has_not_read_its_images_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    record.write(copy, replace(record.read(copy), preparation=None))
    with pytest.raises(ConfigError, match=r"does not say how its images were prepared\. Resume it, or train it again"):
        vae.load(copy)


def test_an_unknown_device_is_refused(run):
    with pytest.raises(ConfigError, match="device must be one of auto, cpu, cuda, mps, got gpu"):
        vae.load(run, device="gpu")


def test_the_posterior_has_a_row_for_each_input(model, tmp_path):
    posterior = model.encode(IMAGES)
    assert posterior.mean.shape == posterior.logvar.shape == (5, LATENTS)
    np.savez(tmp_path / "a.npz", images=IMAGES)
    assert torch.equal(model.encode(tmp_path / "a.npz").mean, posterior.mean)
    assert torch.equal(model.encode(model.inputs(IMAGES)).mean, posterior.mean)


def test_codes_can_be_trained_on(model):
    head = torch.nn.Linear(LATENTS, 1)
    head(model.encode(IMAGES).mean).sum().backward()
    assert head.weight.grad is not None


def test_a_reconstruction_is_what_is_decoded_from_the_posterior_mean(model):
    assert torch.equal(model.reconstruct(IMAGES), model.decode(model.encode(IMAGES).mean))
    assert torch.equal(model.decode(np.zeros((2, LATENTS))), model.decode(torch.zeros(2, LATENTS)))
    assert model.decode(torch.zeros(0, LATENTS)).shape == (0, 1, 28, 28)


def test_samples_depend_on_the_seed_and_less_on_it_at_a_low_temperature(model):
    assert torch.equal(model.sample(4, seed=1), model.sample(4, seed=1))
    assert not torch.equal(model.sample(4, seed=1), model.sample(4, seed=2))
    centre = model.decode(torch.zeros(1, LATENTS))
    torch.testing.assert_close(model.sample(4, temperature=0.0), centre.expand(4, -1, -1, -1))
    assert torch.equal(model.sample(3, seed=5), model.decode(standard(3, 5)))


def standard(count, seed):
    return torch.randn(count, LATENTS, generator=torch.Generator().manual_seed(seed))


def test_an_interpolation_starts_and_ends_at_the_reconstructions(model):
    between = model.interpolate(IMAGES[:1], IMAGES[1], steps=5)
    assert between.shape == (5, 1, 28, 28)
    for at, k in ((0, 0), (-1, 1)):
        torch.testing.assert_close(between[at], model.reconstruct(IMAGES[k])[0])


def test_a_traversal_moves_one_latent(model):
    z = model.encode(IMAGES[0]).mean.repeat(3, 1)
    z[:, 1] = torch.tensor([-2.0, 0.0, 2.0])
    assert torch.equal(model.traverse(IMAGES[0], 1, reach=2.0, steps=3), model.decode(z))


def test_scores_are_the_terms_of_the_elbo_and_more_samples_are_less_noisy(model):
    one, many = model.score(IMAGES), model.score(IMAGES, samples=50)
    assert torch.equal(one.elbo, -(one.distortion + one.rate))
    assert torch.equal(one.rate, many.rate)
    torch.testing.assert_close(one.rate, model.encode(IMAGES).kl_to_standard().sum(1))
    assert torch.equal(model.score(IMAGES, samples=50).distortion, many.distortion)
    assert not torch.equal(one.distortion, many.distortion)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda m: m.decode(torch.zeros(2, 4)), r"z must be finite floats of shape \(inputs, 3\), got .*\(2, 4\)"),
        (lambda m: m.decode(torch.zeros(3)), r"z must be finite floats"),
        (lambda m: m.decode(torch.full((1, 3), torch.nan)), "z must be finite floats"),
        (lambda m: m.decode(torch.zeros(1, 3, dtype=int)), "z must be finite floats .* got torch.int64"),
        (lambda m: m.decode("a"), "z must be finite floats .* got str"),
        (lambda m: m.sample(0), "count must be 1 or more and temperature 0 or more, got 0"),
        (lambda m: m.sample(1, temperature=-1.0), "temperature 0 or more, got 1 and -1"),
        (lambda m: m.sample(1, temperature=float("nan")), "got 1 and nan"),
        (lambda m: m.interpolate(IMAGES, IMAGES[0]), "a must be one picture or row, got 5"),
        (lambda m: m.interpolate(IMAGES[0], IMAGES), "b must be one picture or row, got 5"),
        (lambda m: m.interpolate(IMAGES[0], IMAGES[1], steps=1), "steps must be 2 or more, got 1"),
        (lambda m: m.traverse(IMAGES[0], 3), "latent must be from 0 to 2, got 3"),
        (lambda m: m.traverse(IMAGES[0], -1), "latent must be from 0 to 2, got -1"),
        (lambda m: m.traverse(IMAGES[0], 0, steps=0), "steps must be 1 or more, got 0"),
        (lambda m: m.traverse(IMAGES[0], 0, reach=float("nan")), "reach must be finite, got nan"),
        (lambda m: m.score(IMAGES, samples=0), "samples must be 1 or more, got 0"),
        (lambda m: m.encode(IMAGES[:, :20]), "images must have the shape"),
        (lambda m: m.sample(1, temperature=1e39), r"temperature must be a number like 1, got 1e\+39"),
        (lambda m: m.inputs(IMAGES, resize="zoom"), "resize must be one of fit, crop, stretch, got zoom"),
    ],
    ids=range(19),
)
def test_what_a_verb_cannot_use_is_one_line(call, line, model):
    with pytest.raises(DataError, match=line) as refused:
        call(model)
    assert "\n" not in str(refused.value)
