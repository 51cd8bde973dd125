"""What a training step computes, what the machine could, and where the time goes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from bsqcodec.machine.precision import network_dtype

MEASURED_SECONDS = 0.3
SMALLEST_SIDE = 256
TABLE_ROWS = 30


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class OneAhead:
    """Lets the host give a GPU one step while it does the one before, and no more.

    So the GPU never waits for the host, and the host's clock is right but for a step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.last: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Until the device has done the step before the last; after the first step, that one."""
        if self.device.type == "cuda":
            event = torch.cuda.Event()
            event.record()
            (self.last or event).synchronize()
            self.last = event


def matmul_rate(device: torch.device, dtype: torch.dtype | None = None) -> float:
    """Operations a second of a large square matrix product, with torch's threads.

    dtype: by default the precision in which networks run on the device. The side is 8192 on a GPU
    and 2048 on a CPU, less where one such product would take longer than `MEASURED_SECONDS`, about
    as long as this takes.
    """
    dtype = network_dtype(device) if dtype is None else dtype
    largest, batch = (8192, 20) if device.type == "cuda" else (2048, 1)
    side, seconds = SMALLEST_SIDE, 0.0
    while True:
        a = torch.full((side, side), 0.5, dtype=dtype, device=device)
        out = a @ a  # the first product also sets up the library
        synchronize(device)
        seconds = _seconds_of(a, out, 1)
        if side == largest or 8 * seconds > MEASURED_SECONDS:
            break
        side *= 2
    products, spent = 0, 0.0
    while spent < MEASURED_SECONDS:
        spent += _seconds_of(a, out, batch)
        products += batch
    return products * 2 * side**3 / spent


def _seconds_of(a: Tensor, out: Tensor, products: int) -> float:
    """Seconds that a number of products of a matrix with itself take."""
    start = time.perf_counter()
    for _ in range(products):
        torch.mm(a, a, out=out)
    synchronize(a.device)
    return time.perf_counter() - start


def _convolution_backward(
    grad_out: list[int], x: list[int], weight: list[int], *rest: Any, **_: Any
) -> int:
    """Operations of both gradients of a convolution, given the shapes.

    torch's own formula takes the gradient of a grouped convolution's weight for that of a full
    one.
    """
    transposed, mask = rest[4], rest[7]
    places = x if transposed else grad_out
    once = 2 * grad_out[0] * math.prod(places[2:]) * math.prod(weight)
    return once * (bool(mask[0]) + bool(mask[1]))


def count_flops(action: Callable[[], object]) -> int:
    """Operations (a multiplication and an addition are two) of matrix products and convolutions.

    The action runs without compilation, and what is compiled stays as it is.
    """
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with (
        torch.compiler.set_stance("force_eager"),
        FlopCounterMode(display=False, custom_mapping=formulas) as counter,
    ):
        action()
    return counter.get_total_flops()


def profile_table(action: Callable[[], object], times: int, device: torch.device) -> str:
    """Time by operator over a number of actions, the longest first; its own time, not its parts'.

    Of the GPU if the device is one, else of the CPU.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(times):
            action()
        synchronize(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return profiler.key_averages().table(sort_by=key, row_limit=TABLE_ROWS)
