"""Exported folders: what is in them, that they load to the same model, and that a damaged one is refused."""

import argparse
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command import ROOT
from examples import my_nets
from hub_server import hub_server
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors.torch import load, save
from stored_runs import SUMMARY, stored_run
from torch import Tensor, nn

import vae
from vae.app.verbs import export as verb
from vae.config import ConfigError
from vae.config.preparation import ImagePreparation, TablePreparation
from vae.run.checkpoint import CheckpointError
from vae.trained.description import description_of
from vae.trained.export import write_folder

GREY = ImagePreparation((1, 4, 4), binarised=True)
COLOUR = ImagePreparation((3, 8, 8))
TABLE = TablePreparation(("length", "mass"), (1.5, 60.0), (0.25, 10.0), "kind")
MLP = {"latent_dim": 2, "hidden": [6]}
OWN = {"latent_dim": 2, "encoder": "my_nets:encoder", "decoder": "my_nets:decoder", "options": {"width": 6}}
GAUSSIAN = {"choices": {"likelihood": "gaussian"}, "data": {"binarisation": "none"}, "likelihood": {"learned": True}}
COLUMNS = {"choices": {"likelihood": "gaussian_columns"}, "data": {"binarisation": "none"}}
FILES = {"config.json", "model.safetensors", "README.md"}


@pytest.fixture
def run(tmp_path):
    return stored_run(tmp_path / "run", GREY, model=MLP)


@pytest.fixture
def folder(run, tmp_path):
    return vae.export(run, tmp_path / "exported")


def resign(folder: Path, weights: bytes | None = None, **changed) -> None:
    """Change an exported folder as somebody would who knows its checksums."""
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
        changed["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    tree = json.loads((folder / "config.json").read_text()) | changed
    del tree["sha256"]
    tree["sha256"] = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
    (folder / "config.json").write_text(json.dumps(tree))


def inputs(preparation, count: int) -> Tensor:
    noise = torch.randn(count, *preparation.image, generator=torch.Generator().manual_seed(count))
    return noise if isinstance(preparation, TablePreparation) else noise.sigmoid()


@pytest.mark.parametrize(
    ("preparation", "stored"),
    [
        (GREY, {"model": MLP}),
        (TABLE, {"model": MLP, **COLUMNS}),
        (COLOUR, {**GAUSSIAN, "choices": {"model": "conv", "likelihood": "gaussian"}, "model": {"channels": 2}}),
        (ImagePreparation((1, 16, 16)), {"choices": {"model": "locatello"}, "logvar_min": -3.0, "logvar_max": 1.0}),
        (COLOUR, {**GAUSSIAN, "choices": {"model": "linear", "likelihood": "gaussian"}}),
    ],
    ids=["mlp", "table", "conv", "locatello", "linear"],
)
def test_an_exported_model_computes_bit_for_bit_what_the_run_does(preparation, stored, tmp_path):
    run = stored_run(tmp_path / "run", preparation, **stored)
    one, other = vae.load(run), vae.load(vae.export(run, tmp_path / "exported"))
    assert other.description == one.description
    x = inputs(preparation, 9)
    with torch.inference_mode():
        for part in (lambda model: model.encode(x).mean, lambda model: model.encode(x).logvar):
            assert torch.equal(part(one.vae), part(other.vae))
        z = torch.randn(9, one.latent_dim)
        assert torch.equal(one.vae.log_likelihood(x, z), other.vae.log_likelihood(x, z))
    assert torch.equal(one.decode(z), other.decode(z))
    assert torch.equal(one.sample(5, seed=1), other.sample(5, seed=1))


def test_the_users_own_images_get_the_same_scores(run, folder):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    for one, other in zip(vae.load(run).score(images), vae.load(folder).score(images), strict=True):
        assert torch.equal(one, other)


def test_the_folder_is_new_holds_three_files_and_may_be_moved(run, folder, tmp_path):
    assert {path.name for path in folder.iterdir()} == FILES
    moved = folder.rename(tmp_path / "moved")
    shutil.rmtree(run)
    assert vae.load(moved).latent_dim == 2
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_an_export_into_something_that_exists_is_refused_and_changes_nothing(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("file", "empty", "run"):
        with pytest.raises(ConfigError, match=f"^the folder of an export must be a new one, got .*{name}, which exis"):
            vae.export(run, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "run"]
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_is_left_of_an_export_that_cannot_be_written(tmp_path):
    files = {"config.json": b"{}", "no folder/file": b""}
    with pytest.raises(OSError, match=r"No such file or directory: '.*/exported'$"):
        write_folder(tmp_path / "exported", files)
    with pytest.raises(OSError, match=r"No such file or directory: '.*/exported'$"):
        write_folder(tmp_path / "new" / "place" / "exported", files)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"Not a directory: '.*/file/exported'$"):
        write_folder(tmp_path / "file" / "exported", files)


def test_only_a_run_can_be_exported(folder, tmp_path):
    for place in (folder, tmp_path / "none"):
        with pytest.raises(ConfigError, match=r"^only the directory of a run can be exported, got "):
            vae.export(place, tmp_path / "again")


def test_loading_and_exporting_leave_the_global_generator_alone(run, tmp_path):
    before = torch.get_rng_state()
    vae.load(vae.export(run, tmp_path / "exported"))
    assert torch.equal(torch.get_rng_state(), before)


def test_own_networks_are_exported_and_are_handed_over_to_load_them(tmp_path):
    parts = {"encoder": my_nets.encoder, "decoder": my_nets.decoder}
    run = stored_run(tmp_path / "run", GREY, {"model": "custom"}, tuple(parts.values()), model=OWN)
    with pytest.raises(ConfigError, match=r"^model.encoder is your own my_nets:encoder, which must be given"):
        vae.export(run, tmp_path / "exported")
    folder = vae.export(run, tmp_path / "exported", **parts)
    with pytest.raises(ConfigError, match=r"^model.encoder is your own my_nets:encoder, which must be given"):
        vae.load(folder)
    x = inputs(GREY, 3)
    one, other = vae.load(run, **parts), vae.load(folder, **parts)
    assert torch.equal(one.vae.encode(x).mean, other.vae.encode(x).mean)
    assert "encoder=encoder, decoder=decoder" in (folder / "README.md").read_text()


def edited(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"binarised": true', '"binarised": false'))


def cut(name: str):
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def flipped(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def with_tensors(change):
    def damage(folder: Path) -> None:
        tensors = load((folder / "model.safetensors").read_bytes())
        change(tensors)
        resign(folder, save(tensors))

    return damage


class Executed:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (edited, ConfigError, r"config.json was edited or is damaged: its checksum does not match. Export the run ag"),
        (cut("config.json"), ConfigError, "config.json is damaged: "),
        (lambda f: (f / "config.json").unlink(), ConfigError, "config.json is missing. Export the run again$"),
        (lambda f: resign(f, version=2), ConfigError, r"config.json: its version must be 1, got 2. Use the version"),
        (lambda f: resign(f, format="other"), ConfigError, "config.json: it must be the description of a model"),
        (lambda f: (f / "model.safetensors").unlink(), CheckpointError, "^cannot read .*: No such file or directory"),
        (cut("model.safetensors"), CheckpointError, "is damaged or of another export: its checksum does not match"),
        (flipped, CheckpointError, "is damaged or of another export: its checksum does not match. Export the run"),
        (lambda f: resign(f, pickle.dumps(Executed())), CheckpointError, "model.safetensors cannot be read: "),
        (with_tensors(lambda t: t.pop("decoder.output.bias")), CheckpointError, r"'decoder.output.bias' must be torc"),
        (
            with_tensors(lambda t: t.update({"decoder.output.bias": torch.zeros(3)})),
            CheckpointError,
            r"'decoder.output.bias' must be torch.float32 of shape \(16,\), got torch.float32 of shape \(3,\). Export",
        ),
        (with_tensors(lambda t: t.update(more=torch.zeros(1))), CheckpointError, "'more' must be absent, got torch"),
        (
            with_tensors(lambda t: t["decoder.output.bias"].fill_(torch.nan)),
            CheckpointError,
            "must hold finite numbers, got others. Export the run again$",
        ),
    ],
    ids=range(13),
)
def test_a_damaged_folder_is_refused_in_one_line_and_nothing_is_executed(damage, error, message, folder, capfd):
    damage(folder)
    with pytest.raises(error, match=message) as caught:
        vae.load(folder)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_exported_folder_has_no_best_checkpoint_of_its_own(folder):
    with pytest.raises(ConfigError, match=r"^an exported folder has one model, got checkpoint=best. Leave it out$"):
        vae.load(folder, checkpoint="best")


@pytest.mark.parametrize(
    ("module", "act"),
    [
        ("safetensors.torch", lambda run, folder: vae.export(run, folder.with_name("other"))),
        ("safetensors.torch", lambda _, folder: vae.load(folder)),
        ("huggingface_hub", lambda *_: vae.from_pretrained("ada/digits")),
        ("huggingface_hub", lambda _, folder: vae.push_to_hub(folder, "ada/digits")),
        ("onnxscript", lambda run, folder: vae.export(run, folder.with_name("other"), onnx=True)),
    ],
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(module, act, run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    name = module.partition(".")[0]
    with pytest.raises(ConfigError, match=rf"needs {name}, which cannot be imported. .*: pip install 'beta-vae\[expo"):
        act(run, folder)
    assert not folder.with_name("other").exists()


# ----- the card


def card_of(tmp_path: Path, preparation=GREY, checkpoint="last", **stored) -> str:
    run = stored_run(tmp_path / "run", preparation, **{"model": MLP, **stored})
    folder = vae.export(run, tmp_path / "exported", checkpoint=checkpoint)
    ModelCard.load(folder / "README.md")
    return (folder / "README.md").read_text()


def test_the_card_has_the_numbers_of_the_run_and_a_header_that_the_hub_reads(tmp_path):
    text = card_of(tmp_path)
    for row in ("ELBO | -95.75", "z) | 70.25", "I)) | 25.5", "bound on the NLL | 92.5", "active units, of 2 | 2"):
        assert f"{row} |" in text
    assert "is of 100 of them, with 10 importance samples of posteriors refitted to the decoder." in text
    assert "# A β-VAE trained on mnist\n" in text
    assert "seed 7, 30 steps of 128 inputs. This is epoch 3." in text
    assert "revision `0123456789ab`, torch 2.9.0" in text
    header = ModelCard(text).data
    assert header.library_name == "beta-vae"
    assert header.pipeline_tag == "image-feature-extraction"


def test_the_card_does_not_publish_the_folders_of_the_machine(tmp_path):
    text = card_of(tmp_path)
    assert "python train.py data.path=pictures beta=4" in text
    assert "ada" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("stored", "line"),
    [
        (
            {"summary": None},
            "The run has not ended. These are its weights after 30 steps, which have not been tested.",
        ),
        (
            {"summary": {"status": "failed", "code": 3, "error": "in /home/ada"}},
            "The run ended with an error. These are its weights after 30 steps, which have not been tested.",
        ),
        (
            {"checkpoint": "best"},
            "These weights are of step 20, the best by validation ELBO. The run was tested after 30 steps, "
            "so it has no test numbers of them.",
        ),
        ({"summary": SUMMARY | {"unfinished": {"beta": {}}}}, "It ended before a schedule did: `beta`."),
        ({"preparation": TABLE, **COLUMNS}, "Rows with 2 numbers: `length`, `mass`. Each column is standardised"),
    ],
    ids=["unfinished", "failed", "best", "schedule", "table"],
)
def test_the_card_says_what_is_known_and_leaves_no_blanks(stored, line, tmp_path):
    text = card_of(tmp_path, **stored)
    assert line in text
    assert not re.search(r"None|nan|\{|\[\]|\| *\|\n|: *\n\n|  ", text.partition("```")[0])


def test_the_example_of_the_card_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (example,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), flags=re.DOTALL)
    np.save("pictures.npy", np.zeros((2, 4, 4), dtype=np.uint8))
    images = "__import__('numpy').load('pictures.npy')"
    names: dict = {}
    exec(example.replace('"pictures/"', images), names)
    assert names["means"].shape == (2, 2)
    assert names["samples"].shape == (16, 1, 4, 4)


# ----- the hub


class Pretrained(nn.Module, PyTorchModelHubMixin):
    """A model that huggingface_hub itself loads from the folder."""

    def __init__(self, **configuration):
        super().__init__()
        model = description_of(configuration).build()
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, model.head


def test_huggingface_hub_itself_loads_an_exported_folder(run, folder, tmp_path):
    module = Pretrained.from_pretrained(folder, strict=True)
    for name, value in vae.load(run).vae.state_dict().items():
        assert torch.equal(module.state_dict()[name], value)
    module.save_pretrained(tmp_path / "by_the_hub")
    for name in ("config.json", "model.safetensors"):
        one, other = ((place / name).read_bytes() for place in (folder, tmp_path / "by_the_hub"))
        assert json.loads(one) == json.loads(other) if name == "config.json" else one == other
    assert torch.equal(vae.load(tmp_path / "by_the_hub").sample(3), vae.load(folder).sample(3))


def test_a_folder_is_pushed_to_a_hub_as_it_is_and_comes_back_as_the_same_model(folder, tmp_path):
    (folder / "notes.txt").write_text("not of the export")
    code = f"""
import vae
print(vae.push_to_hub({str(folder)!r}, "ada/digits"))
print(vae.from_pretrained("ada/digits").sample(2, seed=3).double().sum().item())
print(vae.from_pretrained("ada/digits", local_files_only=True).latent_dim)
for name in ("ada/none", "a name"):
    try:
        vae.from_pretrained(name)
    except vae.config.ConfigError as error:
        print(error)
"""
    with hub_server() as (address, repositories):
        known = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_none", "no_proxy": "*"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | known | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert repositories == {"ada/digits": {name: (folder / name).read_bytes() for name in FILES}}
    commit, total, latents, *errors = done.stdout.splitlines()
    assert commit == f"{address}/ada/digits/commit/{'c' * 40}"
    assert float(total) == vae.load(folder).sample(2, seed=3).double().sum().item()
    assert latents == "2"
    assert [line.split(": ")[0] for line in errors] == [
        "ada/none could not be fetched from the hub",
        "a name could not be fetched from the hub",
    ]


def test_a_damaged_folder_is_not_pushed(folder):
    flipped(folder)
    with pytest.raises(CheckpointError, match="its checksum does not match"):
        vae.push_to_hub(folder, "ada/digits")


# ----- ONNX


@pytest.mark.parametrize(
    ("preparation", "stored"),
    [
        (GREY, {"model": MLP, "logvar_min": -2.0, "logvar_max": 2.0}),
        (COLOUR, {**GAUSSIAN, "choices": {"model": "conv", "likelihood": "gaussian"}, "model": {"channels": 2}}),
    ],
    ids=["mlp", "conv"],
)
def test_onnx_computes_what_torch_does_in_batches_of_any_size(preparation, stored, tmp_path, capfd):
    run = stored_run(tmp_path / "run", preparation, **stored)
    folder = vae.export(run, tmp_path / "exported", onnx=True)
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in folder.iterdir()} == FILES | {"encoder.onnx", "decoder.onnx"}
    model = vae.load(run)
    sessions = {}
    for name in ("encoder", "decoder"):
        proto = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(proto, full_check=True)
        assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
        assert {entry.key for entry in proto.metadata_props} == {"preparation"}
        for place in (str(ROOT), str(tmp_path), "site-packages"):
            assert place.encode() not in (folder / f"{name}.onnx").read_bytes()
        sessions[name] = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    for count in (1, 3, 17):
        x, z = inputs(preparation, count), torch.randn(count, model.latent_dim)
        posterior = model.vae.encode(x)
        mean, logvar = sessions["encoder"].run(["mean", "logvar"], {"x": x.numpy()})
        torch.testing.assert_close(torch.tensor(mean), posterior.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.tensor(logvar), posterior.logvar, atol=1e-5, rtol=1e-5)
        assert (posterior.unbounded_logvar != posterior.logvar).any()
        (decoded,) = sessions["decoder"].run(["mean"], {"z": z.numpy()})
        torch.testing.assert_close(torch.tensor(decoded), model.vae.sample(z), atol=1e-5, rtol=1e-5)


class Branching(nn.Linear):
    def forward(self, x):
        h = super().forward(x.flatten(1))
        return 2 * h if h.sum() > 0 else h


class OtherWhenExported(nn.Linear):
    def forward(self, x):
        h = super().forward(x.flatten(1))
        return 1.001 * h if torch.compiler.is_compiling() else h


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Branching, "^encoder.onnx cannot be made of this network: .* Export without --onnx$"),
        (
            OtherWhenExported,
            r"^encoder.onnx must compute what torch does up to 1e-05, got a difference of .* in mean w",
        ),
    ],
)
def test_a_network_that_onnx_does_not_compute_is_refused_and_nothing_is_written(network, message, tmp_path, capfd):
    parts = network(16, 4), nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))
    run = stored_run(tmp_path / "run", GREY, {"model": "custom"}, parts, model=OWN)
    with pytest.raises(ConfigError, match=message) as caught:
        vae.export(run, tmp_path / "exported", onnx=True, encoder=parts[0], decoder=parts[1])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ----- the command


def exported(*words) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_intermixed_args([str(word) for word in words]))


def test_the_command_exports_and_prints_the_folder(run, tmp_path, capfd):
    assert exported(run, "--to", tmp_path / "new" / "exported") == 0
    assert capfd.readouterr().out == f"{tmp_path / 'new' / 'exported'}\n"
    assert vae.load(tmp_path / "new" / "exported").latent_dim == 2


def test_the_command_imports_own_networks_only_if_it_names_them(tmp_path, monkeypatch):
    parts = my_nets.encoder, my_nets.decoder
    run = stored_run(tmp_path / "run", GREY, {"model": "custom"}, parts, model=OWN)
    monkeypatch.syspath_prepend(ROOT / "tests" / "examples")
    with pytest.raises(ConfigError, match=r"Add model.encoder=my_nets:encoder model.decoder=my_nets:decoder$"):
        exported(run, "--to", tmp_path / "exported")
    named = "model.encoder=my_nets:encoder", "model.decoder=my_nets:decoder"
    assert exported(run, *named, "--to", tmp_path / "exported") == 0
