"""What is set of torch and of the C library before a run trains on a machine.

Nothing else in `vae/` sets the global state of torch or of the process, and nothing is set on import: only
`prepare_torch` does it, and only the application calls that.
"""

import ctypes
import platform
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from vae.config import Config, Device

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h

BF16_ON_X86 = ("avx512_bf16", "amx_bf16", "avx_ne_convert")  # instructions, each enough


def prepare_torch(config: Config) -> torch.device:
    """Set what the run needs for speed and for the same numbers from the same seed. Returns the device.

    Sets the number of threads and torch's global seed, flushes denormal numbers to zero, makes cuDNN deterministic,
    has the C library keep freed memory, and chooses the library of matrix multiplications (`choose_library`).
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    keep_freed_memory()
    # Adam's moments of pixels that are always black decay to denormal numbers, with which a CPU computes slowly.
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    torch.manual_seed(config.seed)  # of the initial weights; training has a generator of its own
    device = choose_device(config.device)
    choose_library(device)
    return device


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step.

    By default it returns large blocks to the system, and a convolution's activations cause page faults at each step.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # bytes, the largest value that is accepted
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)


def choose_device(device: Device) -> torch.device:
    """The device that `auto` stands for, or the one that was named."""
    if device is not Device.auto:
        return torch.device(device.value)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_library(device: torch.device) -> None:
    """Have oneDNN multiply fp32 matrices on CPUs with AVX-512 that are not Intel's, as long as it stays in fp32.

    torch would take MKL, which uses AVX-512 on Intel's CPUs only. torch's only public switch to oneDNN is the
    precision "medium", which on some CPUs also rounds the factors to bfloat16; there the precision stays "highest".
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
    """Whether this CPU rounds the factors of fp32 matrix multiplications to bfloat16 at the precision "medium"."""
    nearly_one = torch.full((64, 64), 1 + 2.0**-12)  # 1 in bfloat16
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        return float((nearly_one @ nearly_one)[0, 0]) == 64
    finally:
        torch.set_float32_matmul_precision(before)


def emulates_bf16(device: torch.device) -> bool:
    """Whether the device is an x86 CPU without instructions for bfloat16, as far as torch says; then it is slow."""
    return device.type == "cpu" and "avx512_bf16" in cpu() and not any(cpu().get(name) for name in BF16_ON_X86)


def cpu() -> Mapping[str, Any]:
    """What torch says of this CPU; an older torch says nothing."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
