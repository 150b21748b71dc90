"""The settings of torch and of the C library for the machine that a run trains on.

They are global to the process. Only `prepare_torch` sets them, and only the application calls it. Nothing is set on
import.
"""

import ctypes
import platform
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from vae.config import Config
from vae.model.device import choose_device

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h

BF16_ON_X86 = ("avx512_bf16", "amx_bf16", "avx_ne_convert")  # instructions, each enough


def prepare_torch(config: Config, threads: int | None = None) -> torch.device:
    """Set what makes a run fast and reproducible, and return its device.

    These are the number of threads, torch's global seed, flushing denormal numbers to zero, deterministic cuDNN, and
    the settings of `keep_freed_memory` and `choose_library`.

    Args:
        config: of the run.
        threads: of the CPU. None for those of the configuration, or torch's choice.
    """
    threads = config.threads if threads is None else threads
    if threads not in (None, torch.get_num_threads()):
        torch.set_num_threads(threads)
    keep_freed_memory()
    # Adam's moments for pixels that are always black decay to denormal numbers, with which a CPU computes slowly.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    torch.manual_seed(config.seed)  # for the initial weights; training has a generator of its own
    device = choose_device(config.device)
    choose_library(device)
    return device


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory at the next step.

    By default it returns large blocks to the system. The activations of convolutions then cause page faults.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes; the largest value that glibc accepts
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)


def choose_library(device: torch.device) -> None:
    """Let oneDNN multiply fp32 matrices on CPUs with AVX-512 that are not from Intel.

    By default torch uses MKL, which uses AVX-512 on Intel CPUs only. torch's only public switch to oneDNN is the
    precision "medium". On some CPUs this also rounds the factors to bfloat16; there the precision stays "highest".
    """
    avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    intel = "Intel" in str(cpu().get("cpu_name"))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch 2.9 announces another switch
        onednn = device.type == "cpu" and avx512 and not intel and not rounds_factors()
        torch.set_float32_matmul_precision("medium" if onednn else "highest")


def uses_onednn() -> bool:
    """Whether `choose_library` has chosen oneDNN."""
    return torch.get_float32_matmul_precision() == "medium" and not rounds_factors()


@cache
def rounds_factors() -> bool:
    """Whether the precision "medium" rounds the factors of fp32 matrix multiplications to bfloat16 on this CPU."""
    nearly_one = torch.full((64, 64), 1 + 2.0**-12)  # 1 in bfloat16
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        return float((nearly_one @ nearly_one)[0, 0]) == 64
    finally:
        torch.set_float32_matmul_precision(before)


def emulates_bf16(device: torch.device) -> bool:
    """Whether the device is known to be an x86 CPU without bfloat16 instructions, on which bfloat16 is slow."""
    return device.type == "cpu" and "avx512_bf16" in cpu() and not any(cpu().get(name) for name in BF16_ON_X86)


def cpu() -> Mapping[str, Any]:
    """torch's description of this CPU; empty for an older torch."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
