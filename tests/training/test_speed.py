"""What a step computes, counted without compiling it; the machine's rate; the profile."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bsqcodec.machine.precision import ENVIRONMENT
from bsqcodec.training import speed
from bsqcodec.training.speed import OneAhead, count_flops, matmul_rate, profile_table

from ..machine.dtypes import recorded_dtypes

CPU = torch.device("cpu")


def test_operations_are_those_of_the_formulas() -> None:
    linear, depthwise = nn.Linear(5, 7), nn.Conv2d(6, 6, 3, padding=1, groups=6)
    x = torch.randn(11, 5)
    assert count_flops(lambda: linear(x)) == 2 * 11 * 5 * 7
    # of the input no gradient is wanted
    assert count_flops(lambda: linear(x).sum().backward()) == 2 * (2 * 11 * 5 * 7)
    maps = torch.randn(2, 6, 9, 8, requires_grad=True)
    once = 2 * 2 * 9 * 8 * 6 * 3 * 3
    assert count_flops(lambda: depthwise(maps)) == once
    assert count_flops(lambda: depthwise(maps).sum().backward()) == 3 * once
    assert count_flops(lambda: depthwise(maps.detach()).sum().backward()) == 2 * once
    dense = nn.Conv2d(6, 4, 3, stride=2)
    once = 2 * 2 * 4 * 3 * 4 * 6 * 3 * 3
    assert count_flops(lambda: dense(maps).sum().backward()) == 3 * once
    transposed = nn.ConvTranspose2d(6, 4, 3, stride=2)
    once = 2 * 2 * 9 * 8 * 4 * 6 * 3 * 3
    assert count_flops(lambda: transposed(maps).sum().backward()) == 3 * once


def test_counting_neither_compiles_nor_undoes_a_compilation() -> None:
    compilations = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        compilations.append(graph)
        return graph.forward

    weight = torch.randn(4, 4, requires_grad=True)
    block = nn.Linear(4, 4)
    block.compile(backend=backend)
    function = torch.compile(lambda x: F.relu(block(x) @ weight), backend=backend)
    x = torch.randn(3, 4)
    flops = count_flops(lambda: function(x).sum().backward())
    assert flops == 2 * 3 * 4 * 4 * (2 + 3) and not compilations
    expected = function(x)
    assert compilations
    so_far = len(compilations)
    assert count_flops(lambda: function(x)) == 2 * 3 * 4 * 4 * 2
    assert torch.equal(function(x), expected) and len(compilations) == so_far


def test_the_rate_of_matrix_products_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    assert 1e8 < matmul_rate(CPU) < 1e17
    assert 1e7 < matmul_rate(CPU, torch.bfloat16) < 1e17


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_is_of_the_precision_in_which_networks_run(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(dtype).removeprefix("torch."))
    monkeypatch.setattr(speed, "MEASURED_SECONDS", 0.01)
    with recorded_dtypes() as seen:
        matmul_rate(CPU)
    assert set(seen) == {dtype}


@pytest.mark.parametrize("rate", [1e7, 5e10, 5e12])
def test_the_rate_is_known_soon_however_slow_products_are(
    monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    """A processor that emulates bfloat16 makes a hundredth of what one with instructions does."""
    sides: list[int] = []

    def seconds_of(a: torch.Tensor, out: torch.Tensor, products: int) -> float:
        sides.append(len(a))
        return products * 2 * len(a) ** 3 / rate

    monkeypatch.setattr(speed, "_seconds_of", seconds_of)
    assert matmul_rate(CPU, torch.float32) == pytest.approx(rate)
    spent = sum(2 * side**3 / rate for side in sides)
    assert spent < max(3 * speed.MEASURED_SECONDS, 7 * 2 * speed.SMALLEST_SIDE**3 / rate)
    assert max(sides) == {1e7: 256, 5e10: 1024, 5e12: 2048}[rate]


def test_the_profile_names_operators_by_their_own_time() -> None:
    a = torch.randn(200, 200)
    times = []

    def action() -> None:
        times.append(1)
        (a @ a).relu()

    table = profile_table(action, 3, CPU)
    assert len(times) == 3
    assert "aten::mm" in table and "Self CPU" in table
    assert table.index("aten::mm") < table.index("aten::relu")


def test_the_host_is_one_step_ahead_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    waited: list[int] = []

    class Event:
        def __init__(self) -> None:
            self.number = len(made)
            made.append(self)

        def record(self) -> None:
            pass

        def synchronize(self) -> None:
            waited.append(self.number)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    for device in (CPU, torch.device("cuda")):
        pace = OneAhead(device)
        for _ in range(4):
            pace.wait()
    assert waited == [0, 0, 1, 2]
