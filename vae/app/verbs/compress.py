"""Compress binary images with a model, to about its negative ELBO in bits: `beta-vae compress outputs/RUN`.

Without an input it takes the test images of the run. The file is decoded again, and must give the same images, bit for
bit. `beta-vae decompress` reads it. Every x must be 0 or 1, and the likelihood Bernoulli. Grey inputs of a model with
data.binarisation are binarised as in training. Labels and names of files are not kept.
"""

import math
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from vae.app import console
from vae.app.invocation import UsageError
from vae.app.load import load_run
from vae.app.outputs import check_file, new_file, progress_bar
from vae.app.trained_model import add_checkpoint, add_resize, own_networks
from vae.data.inputs import Inputs
from vae.trained.compression import (
    HEADER,
    Compressed,
    compress,
    decompress,
    refuse_unless_bernoulli,
    refuse_unless_binary,
)
from vae.trained.compression_comparison import Size, usual_sizes
from vae.trained.exported import is_exported
from vae.trained.load import load
from vae.trained.model import TrainedModel

SUFFIX = ".bvae"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path, help="the directory of a run, or an exported folder")
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="input",
        help="a picture or several, a folder of pictures, an .npz or an .npy (the run's test images); "
        "and the run's own parts as model.encoder=module:name model.decoder=module:name",
    )
    add_resize(parser)
    parser.add_argument(
        "--output", type=Path, default=Path(f"images{SUFFIX}"), help=f"a {SUFFIX} file (images{SUFFIX})"
    )
    parser.add_argument("--compare", action="store_true", help="print a table beside gzip, PNG and lossless WebP")
    add_checkpoint(parser)


def run(arguments: Namespace) -> int:
    """Write the file, and print its length beside the ELBO of its images.

    Raises:
        UsageError, ConfigError, CheckpointError, DataError: the arguments, the model or the images cannot be used.
        OSError: the file cannot be written.
    """
    parts = [word for word in arguments.inputs if "=" in word and not Path(word).exists()]
    given = [word for word in arguments.inputs if word not in parts]
    check_file(arguments.output, (SUFFIX,), *given)
    networks = own_networks(arguments.run, [part for part in parts if part.startswith("model.")])
    model = load(arguments.run, device="cpu", checkpoint=arguments.checkpoint, **networks)
    refuse_unless_bernoulli(model)
    if given:
        inputs = model.inputs(given[0] if len(given) == 1 else given, resize=arguments.resize)
    else:
        inputs = test_inputs(model, arguments, parts)
    x, elbo = binary_images(model, inputs)
    with new_file(arguments.output) as temporary, progress_bar(2 * len(x)) as bar:
        compressed = compress(model, x, progress=bar.update)
        temporary.write_bytes(compressed.content)
        decoded = decompress(model, temporary.read_bytes(), arguments.output, progress=bar.update)
        if not torch.equal(decoded, x):
            raise RuntimeError("the file decodes to other images")  # its checksum has noticed it before
    for line in report_lines(compressed, elbo):
        console.say(line)
    if arguments.compare:
        name = f"{SUFFIX}, beta={model.description.beta:g}"
        for line in table(len(x), compressed.pixels, [Size(name, len(compressed.content)), *usual_sizes(x)]):
            console.say(line)
    console.say(str(arguments.output))
    return 0


def test_inputs(model: TrainedModel, arguments: Namespace, parts: list[str]) -> Inputs:
    """The test images of the run.

    Raises:
        UsageError: the model was exported, without images.
        DataError: the images cannot be read, or are not those of the training.
    """
    if is_exported(arguments.run):
        raise UsageError(f"an exported folder has no test images, got {arguments.run}. Name an input")
    if arguments.resize is not None:
        raise UsageError(f"--resize is for inputs, got {arguments.resize} without an input. Leave it out")
    images = load_run(arguments.run, arguments.checkpoint, parts).splits.test
    return model.inputs(images.grey(torch.arange(len(images), device=images.device)))


def binary_images(model: TrainedModel, inputs: Inputs) -> tuple[torch.Tensor, float]:
    """x of all inputs as booleans, and the mean of their ELBO by one sample of z, in bits.

    Raises:
        DataError: an x is neither 0 nor 1.
    """
    parts, elbos = [], []
    for coded in model.coded(inputs):
        refuse_unless_binary(coded.x, model.preparation.image)
        parts.append(coded.x.bool())
        elbos.append(coded.terms.elbo.double())
    return torch.cat(parts), float(torch.cat(elbos).mean()) / math.log(2)


def report_lines(compressed: Compressed, elbo: float) -> list[str]:
    """What the command says of a file. `elbo` is the mean of its images in bits."""
    bits, images = compressed.bits_per_image, compressed.images
    naive = bits + compressed.bits_back / images
    return [
        f"images             {images} of {compressed.pixels} pixels",
        f"file               {len(compressed.content)} bytes, {bits:.3f} bits per image, "
        f"{compressed.bits_per_pixel:.4f} bits per pixel",
        f"negative ELBO      {-elbo:.3f} bits per image, of these images by one sample of z",
        f"difference         {bits / -elbo - 1:+.2%}; of the file, {compressed.initial_bits} bits are initial bits, "
        f"{8 * HEADER.size} the header",
        f"without bits back  {naive:.3f} bits per image",
        "decoded            the same images, bit for bit",
    ]


def table(images: int, pixels: int, sizes: list[Size]) -> list[str]:
    """A table in Markdown: the length of the images by each format."""
    rows = [
        f"| {size.name} | {8 * size.bytes / images:.1f} | {8 * size.bytes / images / pixels:.4f} | {size.bytes} |"
        for size in sizes
    ]
    return ["", "| format | bits per image | bits per pixel | bytes |", "|---|---:|---:|---:|", *rows, ""]
