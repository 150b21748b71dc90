"""The model card: what a model was trained on and how, its numbers, how to use it, and what it is no good for."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from vae.config import BernoulliConfig
from vae.config.model import CustomModelConfig
from vae.config.preparation import ImagePreparation, Preparation, TablePreparation
from vae.disentanglement.names import SHUFFLED
from vae.run.names import LAST
from vae.run.record import Record
from vae.run.summary import BEST_KNOWN_SCORES, is_finite, tightest_bound
from vae.trained.description import Description
from vae.trained.onnx import OPSET

SHOWN_COLUMNS = 40  # of a table
OWN = {"table": "the author's own table", "images": "the author's own images", "custom": "the author's own data"}


@dataclass(frozen=True)
class TrainedRun:
    """What a run has stored about its training.

    Attributes:
        stored: its configuration.
        origin: the content of `run.json` without damaged fields.
        summary: the content of `summary.json`.
        step: the number of steps of the exported checkpoint.
        checkpoint: `last` or `best`.
        parameters: their number.
    """

    stored: Record
    origin: Mapping[str, Any]
    summary: Mapping[str, Any]
    step: int
    checkpoint: str
    parameters: int


def model_card(description: Description, run: TrainedRun, *, onnx: bool) -> str:
    """The card as Markdown, with the header that the Hugging Face Hub reads."""
    is_image = isinstance(description.preparation, ImagePreparation)
    header = {
        "library_name": "beta-vae",
        **({"pipeline_tag": "image-feature-extraction"} if is_image else {}),
        "tags": ["beta-vae", "vae", "variational-autoencoder", *(["onnx"] if onnx else [])],
    }
    choices = run.stored.choices
    channels, height, width = description.preparation.image
    shape = f"images of {channels}x{height}x{width}" if is_image else f"rows of {width} columns"
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# A β-VAE trained on {OWN.get(choices['data'], choices['data'])}",
        f"A variational autoencoder of {shape}: {description.model.latent_dim} latents, `model={choices['model']}` "
        f"with {run.parameters:,} parameters, `likelihood={choices['likelihood']}`, β = {description.beta:g}. "
        "It encodes, decodes, samples, and scores inputs by their ELBO.",
        "## Numbers",
        *numbers(run, "image" if is_image else "row", description.beta),
        "## Inputs",
        *prepared(description.preparation),
        "## Training",
        *trained(run),
        "## Use",
        *use(description, onnx=onnx),
        "## Limits",
        "\n".join(f"- {line}" for line in limits(description)),
    ]
    return "\n\n".join(parts) + "\n"


def numbers(run: TrainedRun, unit: str, beta: float) -> list[str]:
    """The test numbers, if there are any of these weights. `beta` is that of the model."""
    summary, config = run.summary, run.stored.config
    if summary["status"] != "done":
        how = "ended with an error" if summary["status"] == "failed" else "has not ended"
        return [f"The run {how}. These are its weights after {run.step} steps, which have not been tested."]
    if summary["steps"] != run.step:
        return [
            f"These weights are of step {run.step}, the best by validation ELBO. The run was tested after "
            f"{summary['steps']} steps, so it has no test numbers of them."
            if run.checkpoint != LAST
            else f"These are the weights after {run.step} steps, which have not been tested."
        ]
    if beta != config.beta:
        return [
            f"The run trained all β of a range at once, and was tested at β = {config.beta:g}. It has no test "
            f"numbers of the model for β = {beta:g}."
        ]
    test = summary["test"]
    bound, refitted = tightest_bound(test)
    scores = summary.get("disentanglement", {}).get("numbers", {})
    rows = [
        ("ELBO", test["elbo"]),
        ("distortion, -ln p(x\\|z)", test["distortion"]),
        ("rate, KL(q(z\\|x) to N(0, I))", test["rate"]),
        ("upper bound on the NLL", -bound["bound"] if "bound" in bound else None),
        (f"active units, of {config.model.latent_dim}", test.get("active_units")),
        *(
            (
                title + (f", chance {chance:.2g}" if is_finite(chance := scores.get(name + SHUFFLED)) else ""),
                scores.get(name),
            )
            for name, title in BEST_KNOWN_SCORES.items()
        ),
        *((code(name), value) for name, value in summary.get("metrics", {}).items()),
    ]
    table = [f"| {name} | {value:.5g} |" for name, value in rows if is_finite(value)]
    line = f"On the test set, in nats per {unit}."
    if {"bound", "images", "samples"} <= bound.keys():
        line += f" The bound on the NLL is of {bound['images']} of them, with {bound['samples']} importance samples"
        line += " of posteriors refitted to the decoder." if refitted else "."
    return [line, "\n".join(["| number | value |", "|---|---:|", *table])]


def prepared(preparation: Preparation) -> list[str]:
    """How inputs become x, in words."""
    kept = "`vae.load` does this. `config.json` has all values."
    if isinstance(preparation, TablePreparation):
        columns = preparation.columns
        few = f": {', '.join(map(code, columns))}" if len(columns) <= SHOWN_COLUMNS else ""
        return [
            f"Rows with {len(columns)} numbers{few}. Each column is standardised with its mean and standard deviation "
            f"over the training rows, so that x has the shape (batch, 1, 1, {len(columns)}). {kept}"
        ]
    channels, height, width = preparation.image
    lines = [f"x has the shape (batch, {channels}, {height}, {width}) and is float32."]
    if preparation.unit_interval:
        low, high = preparation.levels or (0, 255)
        span = f"from {low:g} to {high:g} become values from 0 to 1" if preparation.levels else "become byte / 255"
        lines.append(f"Stored values {span}.")
    else:
        lines.append("Values are floats in the unit of the training images, without a limit.")
    if preparation.binarised:
        lines.append("Then each pixel is drawn as 0 or 1 with P(1) = its grey value.")
    if preparation.resize is not None:
        lines.append(f"Pictures of another size are resized (`{preparation.resize.value}`).")
    else:
        lines.append("Pictures of another size are refused.")
    return [" ".join([*lines, kept])]


def trained(run: TrainedRun) -> list[str]:
    """Command, data, seed, epochs, revision and versions, as far as the run has stored them."""
    config, origin, summary = run.stored.config, run.origin, run.summary
    objective = run.stored.choices["objective"]
    lines = [f"`objective={objective}`, seed {config.seed}, {run.step} steps of {config.batch_size} inputs."]
    if summary["status"] == "done" and summary["steps"] == run.step:
        lines.append(f"This is epoch {summary['epochs']}.")
    if summary.get("unfinished"):
        lines.append(f"It ended before a schedule did: {', '.join(map(code, summary['unfinished']))}.")
    if continued := len(origin.get("continued", [])):
        lines.append(f"The run was continued {'once' if continued == 1 else f'{continued} times'}.")
    versions = origin.get("versions", {})
    known = [f"revision `{origin['revision']}`"] if origin.get("revision") else []
    known += [f"{name} {versions[name]}" for name in ("beta-vae", "torch", "numpy") if name in versions]
    if known:
        lines.append(f"Made with {', '.join(known)}.")
    files = run.stored.data_sha256
    if 0 < len(files) <= 4:
        lines += ["The sha256 of its data: " + ", ".join(f"{code(k)} `{v}`" for k, v in files.items()) + "."]
    command = origin.get("command")
    shown = [f"```bash\n{shlex.join(without_folders(command))}\n```"] if command else []
    return [" ".join(lines), *shown]


def without_folders(words: Sequence[str]) -> list[str]:
    """The words of a command with only the last part of each path: a card may be published.

    Example:
        >>> without_folders(["train.py", "data.path=/home/ada/pictures", "beta=4"])
        ['train.py', 'data.path=pictures', 'beta=4']
    """
    return [re.sub(r"""[^=\[\],'"]*[/\\](?=[^/\\=\[\],'"])""", "", word) for word in words]


def use(description: Description, *, onnx: bool) -> list[str]:
    """Examples in Python."""
    model = description.model
    own, note = "", []
    if isinstance(model, CustomModelConfig):
        own = ", encoder=encoder, decoder=decoder"
        note = [
            f"The networks are the author's own, `{model.encoder}` and `{model.decoder}`. Their code is not in this "
            "folder, and is handed over."
        ]
    what = "pictures/" if isinstance(description.preparation, ImagePreparation) else "rows.csv"
    lines = [
        "import vae  # the package beta-vae with its extra: export",
        "",
        f'model = vae.load("."{own})  # this folder; vae.from_pretrained("OWNER/NAME") from the Hugging Face Hub',
        f'means = model.encode("{what}").mean  # (inputs, {model.latent_dim})',
        f'scores = model.score("{what}")  # distortion, rate and ELBO of each, in nats',
        "samples = model.sample(16, seed=0)",
    ]
    parts = [*note, python(lines)]
    if onnx:
        shape = ", ".join(map(str, description.preparation.image))
        lines = [
            "import onnxruntime",
            "",
            f'encoder = onnxruntime.InferenceSession("encoder.onnx")  # x (batch, {shape}), float32',
            'mean, logvar = encoder.run(["mean", "logvar"], {"x": x})  # of q(z|x); sigma = exp(logvar / 2)',
            f'decoder = onnxruntime.InferenceSession("decoder.onnx")  # z (batch, {model.latent_dim}), float32',
            '(x_mean,) = decoder.run(["mean"], {"z": z})  # of p(x|z)',
        ]
        parts += [
            "In onnxruntime, without torch. x is the **prepared** input, as under Inputs, and the decoder returns "
            f"such x. The batch may have any size; opset {OPSET}.",
            python(lines),
        ]
    return parts


def limits(description: Description) -> list[str]:
    """What the numbers of the model do not mean."""
    preparation, bounds = description.preparation, description.bounds
    lines = [
        "It knows the data it was trained on. Other inputs get codes and scores, too, which may mean nothing.",
        "A low ELBO is a weak sign that an input comes from another data set.",
        f"The log-variance of the posterior is bounded to [{bounds.low:g}, {bounds.high:g}].",
    ]
    if isinstance(preparation, ImagePreparation) and isinstance(description.likelihood, BernoulliConfig):
        if not preparation.binarised:
            lines.append("If pixels are neither 0 nor 1, the ELBO of a Bernoulli likelihood is no bound on ln p(x).")
    elif isinstance(preparation, TablePreparation):
        lines.append("Distortion and ELBO are of the standardised columns.")
    lines.append("The licence of the training data is not known here. It may limit what the model may be used for.")
    return lines


def code(text: str) -> str:
    """A name as inline code, on one line and in one cell of a table."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "/") + "`"


def python(lines: Sequence[str]) -> str:
    """A code block."""
    return "\n".join(["```python", *lines, "```"])
