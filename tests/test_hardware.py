"""Which library multiplies matrices, and in what precision."""

import platform
from pathlib import Path

import pytest
import torch

from vae.training import hardware

CPU = torch.device("cpu")
# Of the network of `pytorch_example` and a batch of it: forward, to the input, and to the weight.
PRODUCTS = (
    (128, 784, 400),
    (128, 20, 400),
    (40, 128, 400),
    (1, 20, 400),
)


@pytest.mark.parametrize(("rows", "inner", "columns"), PRODUCTS)
def test_products_are_fp32_in_either_library(rows, inner, columns):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (inner, columns)))
    hardware.choose_library(CPU)
    for left in (a, a.t().contiguous().t()):
        for right in (b, b.t().contiguous().t()):
            error = (left @ right - left.double() @ right.double()).abs().max()
            assert error < 2**-20 * inner  # factors rounded to bfloat16 miss by 2^-9 of products of about 1
            bias = torch.randn(columns, generator=generator)
            assert torch.allclose(torch.addmm(bias, left, right), bias + left @ right, atol=1e-4)


@pytest.mark.parametrize(
    ("capability", "name", "built", "rounds", "precision"),
    [
        ("AVX512", "AMD EPYC 9R45", True, False, "medium"),
        ("AVX512", None, True, False, "medium"),
        ("AVX512", "Intel Xeon", True, False, "highest"),
        ("AVX512", "AMD EPYC 9R45", True, True, "highest"),
        ("AVX512", "AMD EPYC 9R45", False, False, "highest"),
        ("AVX2", "AMD EPYC 7R13", True, False, "highest"),
        ("NEON", None, True, False, "highest"),
    ],
)
def test_onednn_is_chosen_where_only_it_uses_avx512_and_it_rounds_nothing(
    monkeypatch, capability, name, built, rounds, precision
):
    monkeypatch.setattr(hardware, "cpu", lambda: {} if name is None else {"cpu_name": name})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: built)
    monkeypatch.setattr(hardware, "rounds_factors", lambda: rounds)
    hardware.choose_library(CPU)
    assert torch.get_float32_matmul_precision() == precision
    assert hardware.uses_onednn() is (precision == "medium")
    hardware.choose_library(torch.device("cuda"))
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_the_library_that_is_reported_is_the_one_in_use(capfd):
    a = torch.ones(64, 64)
    hardware.choose_library(CPU)
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        a @ a
    assert ("matmul" in capfd.readouterr().out) is hardware.uses_onednn()


of_x86 = pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64", reason="its CPU does not say"
)


@of_x86
def test_a_cpu_rounds_factors_where_it_has_amx():
    able = torch.backends.mkldnn.is_available() and "amx_bf16" in Path("/proc/cpuinfo").read_text().split()
    assert hardware.rounds_factors() is able


def test_asking_whether_factors_are_rounded_leaves_products_as_they_were():
    hardware.rounds_factors.cache_clear()
    hardware.rounds_factors()
    x = torch.full((64, 64), 1 + 2.0**-12)  # 1 in bfloat16
    assert not (x @ x == 64).any()


torch_says = pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="this torch says nothing of a CPU")


@of_x86
@torch_says
def test_a_cpu_emulates_bf16_where_it_has_no_instructions_for_it():
    lacking = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    assert hardware.emulates_bf16(CPU) is (torch.backends.mkldnn.is_available() and lacking)
    assert not hardware.emulates_bf16(torch.device("cuda"))


@pytest.mark.parametrize(
    ("said", "emulated"),
    [
        ({"architecture": "x86_64", "avx512_bw": True, "avx512_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bw": True, "avx512_bf16": True}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "avx_ne_convert": True}, False),
        ({"architecture": "x86_64"}, False),
        ({"architecture": "arm64", "bf16": True}, False),
        ({}, False),
    ],
)
def test_a_cpu_emulates_bf16_by_what_torch_says(monkeypatch, said, emulated):
    monkeypatch.setattr(hardware, "cpu", lambda: said)
    assert hardware.emulates_bf16(CPU) is emulated
