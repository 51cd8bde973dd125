"""Optimizers and schedules: Muon for hidden matrices, AdamW for the rest, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bsqcodec.machine.precision import network_dtype

ADAMW_RMS = 0.2
"""About the root mean square of AdamW's updates, in learning rates."""


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
        muon = [{"params": matrices, "lr": rate, "base_lr": rate}]
        optimizers.append(Muon(muon, weight_decay=0.01))
    return optimizers


class Muon(torch.optim.Muon):
    """torch's Muon, with its products in the precision that suits the machine.

    torch's orthogonalizes in bfloat16 whatever the weights are, which takes a hundred times longer
    than float32 where the processor has no instructions for it. Where it has, this is torch's. The
    state is the same, so that a checkpoint goes on anywhere. Rates are AdamW's: updates have about
    the same root mean square.
    """

    def __init__(self, params: Iterable[dict[str, Any]], weight_decay: float) -> None:
        super().__init__(params, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Take one step along the orthogonalized momentum of each gradient."""
        device = self.param_groups[0]["params"][0].device
        if network_dtype(device) is torch.bfloat16:
            return torch.optim.Muon.step(self, closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        return loss

    def _step(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Change one matrix [A, B] that has a gradient."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer, rate = state["momentum_buffer"], float(group["lr"])
        buffer.lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.add_(update, alpha=-rate * ADAMW_RMS * math.sqrt(max(parameter.shape)))


def orthogonalized(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, epsilon: float
) -> Tensor:
    """A float32 matrix [A, B] with all its singular values brought near 1.

    Each step of the Newton-Schulz iteration puts singular values s at a s + b s^3 + c s^5, with the
    coefficients (a, b, c); see https://kellerjordan.github.io/posts/muon/.
    """
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix.float() if wide else matrix.float().t()
    x = x / x.norm().clamp_min(epsilon)
    for _ in range(steps):
        square = x @ x.t()
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.t()


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
