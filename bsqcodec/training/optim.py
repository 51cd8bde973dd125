"""Optimizers and schedules: Muon for hidden matrices, AdamW for the rest, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def make_optimizers(
    module: nn.Module, rate: float, slow: Iterable[str] = (), slow_factor: float = 0.03
) -> list[torch.optim.Optimizer]:
    """Muon for 2-D weights inside blocks, AdamW for others; names containing `slow` go slower."""
    matrices, others, slowed = [], [], []
    for name, parameter in module.named_parameters():
        if any(part in name for part in slow):
            slowed.append(parameter)
        elif parameter.ndim == 2 and "blocks" in name and "bias" not in name:
            matrices.append(parameter)
        else:
            others.append(parameter)
    fused = all(p.is_cuda for p in module.parameters()) or None
    groups = [
        {"params": others, "lr": rate, "base_lr": rate},
        {"params": slowed, "lr": rate * slow_factor, "base_lr": rate * slow_factor},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=fused)
    ]
    if matrices:
        muon = torch.optim.Muon(
            [{"params": matrices, "lr": rate, "base_lr": rate}],
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        )
        optimizers.append(muon)
    return optimizers


def schedule(progress: float, warm_up: float = 0.02, decay: float = 0.4) -> float:
    """Factor of the learning rate at `progress` 0..1: warm-up, plateau, cosine decay to 0.01."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    if progress < 1 - decay:
        return 1.0
    t = min((progress - (1 - decay)) / decay, 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t))


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor


class Average:
    """Exponential moving average of a module's floating point state."""

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        state = module.state_dict()
        floating = [k for k, v in state.items() if v.is_floating_point()]
        mine: list[Tensor] = [self.state[k] for k in floating]
        torch._foreach_lerp_(mine, [state[k].detach() for k in floating], 1 - decay)
