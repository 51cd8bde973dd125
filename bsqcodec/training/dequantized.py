"""Float priors out of the integer weights that are shipped, up to the rounding, to go on from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import EARLIER, SIGN, BitPrior
from bsqcodec.models.prior.network import (
    ACTIVATION,
    CLIP_UNIT,
    LOGIT,
    SCORE_MAX,
    STREAM,
    BlockShape,
    Prior,
)
from bsqcodec.models.prior.order import PriorConfig

Tensors = Mapping[str, Tensor]


def dequantized_prior(config: PriorConfig, t: Tensors) -> Prior:
    """The inverse of `bsqcodec.models.prior.integer.quantize_prior`, up to rounding."""
    prior = Prior(config, t["planes"])
    state = {
        "planes": t["planes"],
        "gain": t["gain"] * (STREAM / ACTIVATION),
        "shared_table.weight": torch.zeros_like(prior.shared_table.weight),
        "table.weight": t["table"].float().view(-1, 2) / LOGIT,
        "stop_table.weight": t["stop_table"].float().view(-1, 1) / LOGIT,
        **_linear(prior, t, "embed", "embed", CLIP_UNIT, STREAM),
        **_linear(prior, t, "head", "head", ACTIVATION, LOGIT),
        **_embeddings(t, ("embed_pass", "embed_bucket", "embed_token")),
        **_blocks(prior, config, t),
    }
    if config.context:
        state |= _linear(prior, t, "embed_context", "embed_context", CLIP_UNIT, STREAM)
    prior.load_state_dict(state)
    return prior


def dequantized_bit_prior(config: BitPriorConfig, t: Tensors) -> BitPrior:
    """The inverse of `bsqcodec.models.bsq.integer_bit_prior.quantize_bit_prior`, up to rounding."""
    prior = BitPrior(config)
    prior.load_state_dict(
        {
            "gain": t["gain"] * (STREAM / ACTIVATION),
            **_linear(prior, t, "embed", "embed", SIGN, STREAM),
            **_linear(prior, t, "head", "head", ACTIVATION, LOGIT),
            **_embeddings(t, ("embed_pass", "embed_token")),
            **_blocks(prior, config, t),
            **_earlier_frames(prior, t),
        }
    )
    return prior


def _earlier_frames(prior: BitPrior, t: Tensors) -> dict[str, Tensor]:
    if prior.earlier is None:
        return {}
    own = {k.removeprefix(EARLIER): v for k, v in t.items() if k.startswith(EARLIER)}
    state = {
        **_linear(prior.earlier, own, "embed", "embed", SIGN, STREAM),
        **_embeddings(own, ("embed_known",)),
        **_blocks(prior.earlier, prior.config.earlier, own),
    }
    return {f"earlier.{name}": value for name, value in state.items()}


def _linear(
    module: nn.Module, t: Tensors, source: str, target: str, unit_in: float, unit_out: float
) -> dict[str, Tensor]:
    rows = module.state_dict()[f"{target}.bias"].shape[0]
    scale = t[f"{source}.multiplier"][:rows] * (unit_in / unit_out)
    return {
        f"{target}.weight": t[f"{source}.weight"][:rows].float() * scale[:, None],
        f"{target}.bias": t[f"{source}.bias"][:rows].float() * scale / unit_in,
    }


def _embeddings(t: Tensors, names: tuple[str, ...]) -> dict[str, Tensor]:
    return {f"{name}.weight": t[name].float() / STREAM for name in names}


def _blocks(module: nn.Module, shape: BlockShape, t: Tensors) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for i in range(shape.blocks):
        n = f"blocks.{i}"
        if shape.attention:
            state[f"{n}.attention.gain"] = t[f"{n}.attention_gain"] * (STREAM / ACTIVATION)
            state[f"{n}.attention.slope"] = t[f"{n}.slope"] * (ACTIVATION**2 / SCORE_MAX)
            state[f"{n}.attention.bias"] = t[f"{n}.score_bias"].float() / SCORE_MAX
            state |= _linear(module, t, f"{n}.qkv", f"{n}.attention.qkv", ACTIVATION, ACTIVATION)
            state |= _linear(module, t, f"{n}.out", f"{n}.attention.out", ACTIVATION, STREAM)
        state[f"{n}.mlp.gain"] = t[f"{n}.mlp_gain"] * (STREAM / ACTIVATION)
        state |= _linear(module, t, f"{n}.up", f"{n}.mlp.up", ACTIVATION, ACTIVATION)
        state |= _linear(module, t, f"{n}.down", f"{n}.mlp.down", ACTIVATION, STREAM)
    return state
