"""Products of int16: exact for every shape, and chosen only where they pay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bsqcodec.machine import compiled, integer_products
from bsqcodec.machine.integer_products import ShortMatrix

ROOT = Path(__file__).parents[2]

needs_avx2 = pytest.mark.skipif(
    not integer_products.are_supported(), reason="the processor has no AVX2"
)


def integers(seed: int, *shape: int, limit: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-limit, limit + 1, shape, generator=generator).float()


@needs_avx2
@pytest.mark.parametrize("rows", [0, 1, 5, 6, 7, 12, 100])
@pytest.mark.parametrize(("columns", "depth"), [(8, 2), (16, 64), (24, 30), (264, 256), (40, 768)])
def test_products_are_exact(rows: int, columns: int, depth: int) -> None:
    weight = integers(1, columns, depth, limit=127)
    a = integers(2, rows, depth, limit=127)
    expected = (a.double() @ weight.double().t()).float()
    found = ShortMatrix(weight).times(a)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert torch.equal(ShortMatrix(weight).times(a.to(torch.int16)), expected)


@needs_avx2
@pytest.mark.parametrize("columns", [64, 192, 72])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_products_of_what_is_mostly_zero_are_exact(columns: int, density: float) -> None:
    weight, a = integers(1, columns, 96, limit=127), integers(2, 3, 7, 96, limit=127)
    a *= torch.rand(a.shape, generator=torch.Generator().manual_seed(3)) < density
    assert torch.equal(ShortMatrix(weight).times_sparse(a), a @ weight.t())


@needs_avx2
def test_sums_up_to_the_limit_are_exact() -> None:
    """Factors as large as int16 has them, and sums of either sign near 2^24."""
    weight = torch.full((16, 512), 32.0)
    weight[1] = -32
    weight[2, :] = 0
    weight[2, :3] = torch.tensor([-(2.0**15), 2**15 - 1, 1])
    a = torch.full((7, 512), 1023.0)
    a[3] = -1023
    a[4, :3] = torch.tensor([511.0, -1.0, 2.0**15 - 1])
    found = ShortMatrix(weight).times(a)
    exact = a.double() @ weight.double().t()
    assert exact.abs().max() > 0.9 * 2**24
    assert torch.equal(found.double(), exact)


@needs_avx2
def test_any_shape_of_operands_is_rows() -> None:
    weight, a = integers(1, 16, 8, limit=9), integers(2, 3, 5, 7, 8, limit=9)
    assert torch.equal(ShortMatrix(weight).times(a), a @ weight.t())
    turned = a.permute(2, 1, 0, 3)
    assert torch.equal(ShortMatrix(weight).times(turned), turned @ weight.t())


@needs_avx2
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 5, 13), (1, 8, 24)])
@pytest.mark.parametrize(("columns", "depth"), [(8, 2), (48, 64), (64, 48)])
def test_convolutions_are_exact(size: tuple[int, int, int], columns: int, depth: int) -> None:
    kernel = integers(1, columns, depth, 3, 3, limit=20)
    maps = integers(2, *size, depth, limit=1279)
    found = ShortMatrix.of_kernel(kernel).convolved(maps)
    expected = torch.nn.functional.conv2d(
        maps.permute(0, 3, 1, 2).double(), kernel.double(), padding=1
    )
    assert torch.equal(found.double(), expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    "weight",
    [torch.zeros(8, 3), torch.zeros(7, 4), torch.full((8, 2), 2.0**15), torch.ones(8, 2) / 2],
)
def test_what_cannot_be_packed_is_an_error(weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="cannot be packed"):
        ShortMatrix(weight)


@pytest.mark.parametrize(
    ("capability", "supported", "pay"),
    [("AVX2", True, True), ("AVX512", True, False), ("DEFAULT", False, False)],
)
def test_they_pay_with_avx2_alone(
    capability: str, supported: bool, pay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (integer_products.are_supported(), integer_products.pay()) == (supported, pay)


def test_there_are_none_without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_short_products", lambda: integer_products)
    monkeypatch.setattr(compiled, "loops_pay", lambda: False)
    assert compiled.short_products() is None
    monkeypatch.setattr(compiled, "loops_pay", lambda: True)
    assert compiled.short_products() is integer_products


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"ATEN_CPU_CAPABILITY": "default"},
    ],
)
def test_caps_that_libraries_know_are_respected(environment: dict[str, str]) -> None:
    code = "from bsqcodec.machine.integer_products import *; print(are_supported())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
