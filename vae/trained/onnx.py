"""The networks as ONNX: the encoder from x to mean and bounded log-variance, the decoder from z to the mean of p(x|z).

Each file is complete in itself and takes batches of any size. It is run in onnxruntime and compared with torch.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae.config import ConfigError
from vae.config.preparation import ImagePreparation, Preparation, plain_preparation
from vae.model.heads import BernoulliHead
from vae.model.vae import VAE, Decoder, Encoder
from vae.probability.distributions import LogvarBounds
from vae.trained.exported import DECODER, ENCODER, optional

OPSET = 18  # of the files: what torch's exporter writes without a conversion
TOLERANCE = 1e-5  # of each output, relative to its largest value, or to 1 if that is smaller
BATCHES = (1, 2, 5, 64)  # the sizes with which a file is compared
LARGEST_BYTES = 2**31 - 1  # of a file without another one beside it
WITHOUT = "Export without --onnx"


class _Encode(nn.Module):
    """x to the mean and the bounded log-variance, without the checks that depend on values."""

    def __init__(self, encoder: Encoder, bounds: LogvarBounds) -> None:
        super().__init__()
        self.encoder = encoder
        self.bounds = bounds

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
        mean, logvar = self.encoder(x).float().chunk(2, dim=1)
        return mean, logvar.clamp(self.bounds.low, self.bounds.high)


class _Decode(nn.Module):
    """z to the mean of p(x|z)."""

    def __init__(self, decoder: Decoder, head: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.has_logits = isinstance(head, BernoulliHead)

    def forward(self, z: Float[Tensor, "batch latents"]) -> Tensor:
        output: Tensor = self.decoder(z).float()
        return output.sigmoid() if self.has_logits else output


def onnx_files(vae: VAE, preparation: Preparation) -> dict[str, bytes]:
    """The content of `encoder.onnx` and `decoder.onnx`, by name, after the comparison with torch.

    Args:
        vae: the model, on the CPU and in evaluation mode.
        preparation: how inputs become x. It is stored in the files as metadata `preparation`, as JSON.

    Raises:
        ConfigError: a network cannot be exported, or computes something else in onnxruntime.
    """
    metadata = {"preparation": json.dumps(plain_preparation(preparation))}
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(size, *preparation.image, generator=generator) for size in BATCHES]
    is_grey = isinstance(preparation, ImagePreparation) and preparation.unit_interval
    xs = [values.sigmoid() if is_grey else values for values in noise]
    zs = [2 * torch.randn(size, vae.latent_dim, generator=generator) for size in BATCHES]
    module: nn.Module = _Encode(vae.encoder, vae.bounds)
    encoder = _converted(ENCODER, module, "x", xs[1], ("mean", "logvar"), metadata)
    with torch.no_grad():
        for x in xs:
            posterior = vae.encode(x)
            _compare(ENCODER, encoder, {"x": x}, {"mean": posterior.mean, "logvar": posterior.logvar})
    module = _Decode(vae.decoder, vae.head)
    decoder = _converted(DECODER, module, "z", zs[1], ("mean",), metadata)
    with torch.no_grad():
        for z in zs:
            _compare(DECODER, decoder, {"z": z}, {"mean": vae.decode(z).mean})
    return {ENCODER: encoder, DECODER: decoder}


def _converted(
    name: str, module: nn.Module, given: str, example: Tensor, outputs: tuple[str, ...], metadata: Mapping[str, str]
) -> bytes:
    for package in ("onnx", "onnxscript"):
        optional(package, "--onnx")
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _quiet():
            program = torch.onnx.export(
                module.eval(),
                (example,),
                input_names=[given],
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: batch},),
                external_data=False,
                verbose=False,
            )
            if program is None:
                raise TypeError("the exporter of this version of torch returns nothing")
            proto = program.model_proto
            _strip(proto)
            for key, value in metadata.items():
                entry = proto.metadata_props.add()
                entry.key, entry.value = key, value
            size = proto.ByteSize()
            if size > LARGEST_BYTES:
                raise ValueError(f"it has {size / 1e9:.1f} GB, and a file in this format at most 2.1")
            return bytes(proto.SerializeToString())
    except Exception as error:  # the exporter, and a user's own network, raise errors of many types
        cause = error.__cause__ or error
        first = next(iter(str(cause).strip().splitlines()), "")
        reason = f"{type(cause).__name__}: {' '.join(first.split())[:200]}"
        raise ConfigError(f"{name} cannot be made of this network: {reason}. {WITHOUT}") from None


def _strip(proto: Any) -> None:
    """Remove the exporter's notes, which name the files of the code on this machine."""
    proto.graph.ClearField("metadata_props")
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, *proto.functions):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for values in (proto.graph.input, proto.graph.output):
        for value in values:
            value.ClearField("metadata_props")


def _compare(name: str, content: bytes, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    runtime = optional("onnxruntime", "--onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal: all else is raised as an error
    options.intra_op_num_threads = torch.get_num_threads()
    (size,) = {len(value) for value in given.values()}
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        found = session.run(list(expected), {key: value.numpy() for key, value in given.items()})
    except Exception as error:  # onnxruntime's errors have no common type
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name} does not run in onnxruntime with a batch of {size}: {reason}. {WITHOUT}") from None
    for (output, value), other in zip(expected.items(), found, strict=True):
        if value.shape != other.shape:
            raise ConfigError(
                f"{name} must give {output} of shape {tuple(value.shape)}, got {other.shape} with a batch of {size}. "
                f"{WITHOUT}"
            )
        difference = float((value - torch.as_tensor(other)).abs().max() / value.abs().max().clamp(min=1))
        if not difference <= TOLERANCE:
            raise ConfigError(
                f"{name} must compute what torch does up to {TOLERANCE:g}, got a difference of {difference:.2g} in "
                f"{output} with a batch of {size}. {WITHOUT}"
            )


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Without the lines and warnings of the exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
