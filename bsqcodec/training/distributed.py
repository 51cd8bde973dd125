"""Processes that train together, one a device, as torchrun starts them; or one process alone.

Gradients are averaged by explicit all-reduces after `backward`, not by DistributedDataParallel:
the losses are compiled functions beside the modules' `forward`, which DDP would not see, and a
parameter may have no gradient in a step.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

TIMEOUT = datetime.timedelta(hours=2)
"""How long processes wait for the first one, which decodes pictures and validates alone."""

BUCKET_BYTES = 32 * 2**20
"""Gradients that one all-reduce averages at most, unless a single one is larger."""


def rank() -> int:
    """This process's number among those that torchrun started; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class World:
    """This process's place among those that train together, and its device."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that logs, validates and writes checkpoints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            # not dist.barrier: NCCL's would need the GPU, and does not hold the host
            dist.all_reduce(torch.zeros(1))

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """(the first process's seconds, whether any process wants to stop), alike everywhere."""
        if self.size == 1:
            return seconds, stop
        shared = torch.tensor([seconds if self.first else 0.0, stop], dtype=torch.float64)
        dist.all_reduce(shared)
        return float(shared[0]), bool(shared[1] > 0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes by rank, at the first process; an empty list elsewhere."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.gather_object(value, values if self.first else None)
        return values if self.first else []

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of the first process."""
        for tensor in tensors if self.size > 1 else ():
            shared = tensor.detach().contiguous()
            dist.broadcast(shared, 0)
            tensor.copy_(shared)

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make each gradient the mean over all processes, where a missing one counts as zero.

        Parameters that have no gradient in any process keep none.
        """
        if self.size == 1:
            return
        used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
        dist.all_reduce(used)
        gradients = []
        for parameter, count in zip(parameters, used.tolist(), strict=True):
            if count:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in buckets(gradients, BUCKET_BYTES):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            flat /= self.size
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def buckets(tensors: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Split tensors, in order, into lists of at most `size` bytes, or of one tensor."""
    bucket: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        if bucket and filled + tensor.nbytes > size:
            yield bucket
            bucket, filled = [], 0
        bucket.append(tensor)
        filled += tensor.nbytes
    if bucket:
        yield bucket


@contextmanager
def join(device: str) -> Iterator[World]:
    """The world that torchrun's environment describes; a world of one without torchrun.

    Each process takes its own GPU if the device is "cuda". Small things go between the hosts (by
    gloo), so that no process has to wait for its GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=torch.device(device))
        return
    own = torch.device(device)
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
    if dist.is_initialized():
        yield World(rank(), size, own)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield World(rank(), size, own)
    finally:
        dist.destroy_process_group()
