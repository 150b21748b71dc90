"""Who makes the products of matrices, and in what precision: oneDNN or MKL, fp32 or bfloat16."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch

from vae.model.vae import VAE

Context = AbstractContextManager[Any]

BF16_ON_X86 = ("avx512_bf16", "amx_bf16", "avx_ne_convert")  # instructions, each enough


def choose_library(device: torch.device) -> None:
    """Have oneDNN make the products of fp32 matrices on a CPU with AVX-512 that is not Intel's, if they stay fp32.

    torch leaves them to MKL, which keeps AVX-512 for Intel's CPUs: on an AMD EPYC of Zen 5 oneDNN makes twice as many
    a second, on one of Zen 4, whose AVX-512 is half as wide, a tenth more. On an Intel Xeon without AMX a step with
    MKL's takes a seventh less. The word by which torch leaves them to oneDNN allows it to round their factors to
    bfloat16, too: where it would, it is not said.
    """
    avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch 2.9: there will be another word
        onednn = device.type == "cpu" and avx512 and not of_intel() and not rounds_factors()
        torch.set_float32_matmul_precision("medium" if onednn else "highest")


def of_intel() -> bool:
    """Whether Intel made this CPU, as far as torch says."""
    return "Intel" in str(cpu().get("cpu_name"))


def cpu() -> Mapping[str, Any]:
    """What torch says of this CPU; an older torch says nothing."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def products_by_onednn() -> bool:
    """Whether `choose_library` has left the products of fp32 matrices to oneDNN."""
    return torch.get_float32_matmul_precision() == "medium" and not rounds_factors()


def products_in_bf16(vae: VAE, device: torch.device) -> tuple[Context, Context]:
    """The networks' products in bfloat16: where to go forward, and where to go back.

    The posterior and the likelihood make fp32 of what comes out. A CPU that can rounds the factors of fully connected
    layers itself: without autocast's fifty casts a step of 128 images is 6 % shorter on two threads, 11 % on one. On
    the way back it rounds those of an objective's own products, too, of which there is one, DIP's covariance. Where
    the whole step is one graph it is autocast on any CPU: there the casts are part of other loops.
    """
    connected = all(weight.ndim <= 2 for weight in vae.parameters())  # a convolution's have four axes
    if device.type == "cpu" and connected and not torch.compiler.is_compiling() and rounds_factors():
        return factors_in_bf16(), factors_in_bf16()
    return torch.autocast(device.type, dtype=torch.bfloat16), nullcontext()  # its casts are part of the graph


@contextmanager
def fp32_products(precision: str) -> Iterator[None]:
    """Products of fp32 matrices at torch's "highest" precision, or at "medium", which may round (`rounds_factors`)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def factors_in_bf16() -> Context:
    """Let products of fp32 matrices round their factors to bfloat16, and add in fp32; small ones need not."""
    return fp32_products("medium")


def emulates_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are worked out on this device, a CPU without instructions for them.

    A step of 128 images takes 17 times as long as in fp32 with AVX2 only, 3 times with AVX-512, which oneDNN wants.
    """
    known = device.type == "cpu" and torch.backends.mkldnn.is_available()
    lacking = "avx512_bf16" in cpu() and not any(cpu().get(name) for name in BF16_ON_X86)
    return known and (lacking or not torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def rounds_factors() -> bool:
    """Whether products on this CPU do that if they may. Of x86 those with AMX do; others' are fp32 all the same."""
    nearly_one = torch.full((64, 64), 1 + 2.0**-12)  # 1 in bfloat16
    with factors_in_bf16():
        return float((nearly_one @ nearly_one)[0, 0]) == 64
