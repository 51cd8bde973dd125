"""Exact inference of the prior of bits; its arithmetic is that of `models.prior.integer_blocks`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bsqcodec.errors import WeightsError
from bsqcodec.models.bsq.bit_order import BitPriorConfig
from bsqcodec.models.bsq.bit_prior import EARLIER, SIGN, BitPrior
from bsqcodec.models.prior.integer_blocks import (
    EXACT,
    LOGIT_LIMIT,
    IntegerBlocks,
    probability_table,
    quantize_blocks,
    quantize_linear,
)
from bsqcodec.models.prior.network import ACTIVATION, LOGIT, STREAM, BlockShape, PriorBlock
from bsqcodec.models.windows import WINDOW

EMBEDDINGS = ("embed_pass", "embed_token")


def quantize_bit_prior(prior: BitPrior) -> dict[str, Tensor]:
    """The integer weights of a trained prior, ready to be saved and run by `IntegerBitPrior`."""
    prior = copy.deepcopy(prior).cpu().float()
    unit = float(ACTIVATION)
    result = {
        "probability": probability_table(),
        "gain": (prior.gain.detach() * (unit / STREAM)).float(),
        **quantize_linear("embed", prior.embed, SIGN, STREAM),
        **quantize_linear("head", prior.head, unit, LOGIT),
        **quantize_blocks(cast(Iterable[PriorBlock], prior.blocks)),
    }
    for name in EMBEDDINGS:
        result[name] = _quantize_embedding(getattr(prior, name))
    if prior.earlier is not None:
        parts = {
            **quantize_linear("embed", prior.earlier.embed, SIGN, STREAM),
            **quantize_blocks(cast(Iterable[PriorBlock], prior.earlier.blocks)),
            "embed_known": _quantize_embedding(prior.earlier.embed_known),
        }
        result |= {EARLIER + name: tensor for name, tensor in parts.items()}
    return {name: tensor.contiguous() for name, tensor in result.items()}


def _quantize_embedding(embedding: nn.Embedding) -> Tensor:
    return torch.round(embedding.weight.detach() * STREAM).to(torch.int32)


Shape = tuple[torch.dtype, tuple[int, ...]]


def tensor_shapes(config: BitPriorConfig) -> dict[str, Shape]:
    """The types and shapes of the tensors of a prior, by their names."""
    width = config.width
    found: dict[str, Shape] = {
        "probability": (torch.int32, (2 * LOGIT_LIMIT + 1,)),
        "gain": (torch.float32, (width,)),
        "embed_pass": (torch.int32, (config.passes + 1, width)),
        "embed_token": (torch.int32, (2, width)),
        **_linear("embed", width, config.bits),
        **_linear("head", config.sub_codes * config.nodes, width),
        **_block_shapes(config),
    }
    if config.earlier_frames:
        parts = {
            "embed_known": (torch.int32, (config.earlier_frames + 1, width)),
            **_linear("embed", width, config.earlier_frames * config.bits),
            **_block_shapes(config.earlier),
        }
        found |= {EARLIER + name: shape for name, shape in parts.items()}
    return found


def _block_shapes(shape: BlockShape) -> dict[str, Shape]:
    width, heads, hidden = shape.width, shape.heads, shape.hidden
    offsets = (2 * WINDOW - 1) ** 2
    found: dict[str, Shape] = {}
    for i in range(shape.blocks):
        n = f"blocks.{i}"
        if shape.attention:
            found[f"{n}.attention_gain"] = (torch.float32, (width,))
            found |= _linear(f"{n}.qkv", 3 * width, width) | _linear(f"{n}.out", width, width)
            found[f"{n}.slope"] = (torch.float32, (heads,))
            found[f"{n}.score_bias"] = (torch.int16, (heads, offsets))
        found[f"{n}.mlp_gain"] = (torch.float32, (width,))
        found |= _linear(f"{n}.up", hidden, 2 * width) | _linear(f"{n}.down", width, hidden)
    return found


def _linear(name: str, rows: int, columns: int) -> dict[str, Shape]:
    rows += -rows % 8
    return {
        f"{name}.weight": (torch.int8, (rows, columns)),
        f"{name}.bias": (torch.int32, (rows,)),
        f"{name}.multiplier": (torch.float32, (rows,)),
    }


def _check_shapes(config: BitPriorConfig, tensors: dict[str, Tensor]) -> None:
    for name, (dtype, shape) in tensor_shapes(config).items():
        tensor = tensors[name]
        if (tensor.dtype, tuple(tensor.shape)) != (dtype, shape):
            raise WeightsError(
                f"{name} of the prior is {tensor.dtype} {tuple(tensor.shape)}, not {dtype} {shape}"
            )


class IntegerEarlierFrames(IntegerBlocks):
    """Runs what reads the frames before a frame; see `bit_prior.EarlierFrames`.

    Raises what `IntegerBitPrior` does.
    """

    def __init__(
        self,
        config: BitPriorConfig,
        tensors: dict[str, Tensor],
        device: torch.device | str = "cpu",
        int8: bool | None = None,
    ) -> None:
        self.config = config
        super().__init__(config.earlier, tensors, {"embed": SIGN}, ("embed_known",), device, int8)

    def stream(self, frames: Sequence[Tensor]) -> Tensor:
        """The stream [1, h, w, width], int values.

        frames: signs [1, h, w, L] of the latest frame first, at least one.
        """
        count = self.config.earlier_frames
        known = frames[:count]
        lacking = [torch.zeros_like(known[0])] * (count - len(known))
        signs = torch.cat([*known, *lacking], -1)
        b, h, w, columns = signs.shape
        x = self._product("embed", signs.reshape(-1, columns) * SIGN).round_()
        x = x.view(b, h, w, self.config.width) + self._t["embed_known"][len(known)]
        self._run_blocks(x, self.config.earlier_blocks, None)
        return x


class IntegerBitPrior(IntegerBlocks):
    """Runs integer weights on a device; int8 as `IntegerBlocks` takes it.

    Raises WeightsError for tensors of other types or shapes than the configuration says, and if
    they could make a partial sum inexact; KeyError for a tensor that is missing.
    """

    def __init__(
        self,
        config: BitPriorConfig,
        tensors: dict[str, Tensor],
        device: torch.device | str = "cpu",
        int8: bool | None = None,
    ) -> None:
        self.config = config
        _check_shapes(config, tensors)
        parts = {k: t for k, t in tensors.items() if k.startswith(EARLIER)}
        own = {k: t for k, t in tensors.items() if k not in parts}
        super().__init__(config, own, {"embed": SIGN, "head": 127}, EMBEDDINGS, device, int8)
        self.earlier: IntegerEarlierFrames | None = None
        if config.earlier_frames:
            theirs = {k.removeprefix(EARLIER): t for k, t in parts.items()}
            theirs["probability"] = tensors["probability"]
            self.earlier = IntegerEarlierFrames(config, theirs, device, int8)
            bound = self.stream_bound + self.earlier.stream_bound
            if bound >= EXACT:
                raise WeightsError(f"the prior is not exact: its stream can reach {bound}")

    def trunk(
        self,
        signs: Tensor,
        index: int,
        outside: Tensor,
        wanted: Tensor | None = None,
        earlier: Tensor | None = None,
    ) -> Tensor:
        """The residual stream [B, h, w, width] after all blocks.

        signs [B, h, w, L]: +1 or -1 for known bits, 0 for others; index: of the pass, or the number
        of passes for other sets of known bits; outside [B, h, w] int64: 1 for padding; wanted [n]
        int64: flat indices of the tokens whose stream matters, the others' is not to be used;
        earlier [B, h, w, width]: what `IntegerEarlierFrames.stream` gives,
        None without a frame before.
        """
        b, h, w, bits = signs.shape
        x = self._product("embed", signs.reshape(-1, bits) * SIGN).round_()
        x = x.view(b, h, w, self.config.width)
        token = self._t["embed_token"] + self._t["embed_pass"][index]
        rows = self._rows_at_once(b, h, w)
        for part, each in zip(x.split(rows, 1), outside.split(rows, 1), strict=True):
            part += token[each]
        if earlier is not None:
            x += earlier
        self._run_blocks(x, self.config.blocks, wanted)
        return x

    def trees(self, x: Tensor, sub_code: int, temperature: float = 1.0) -> Tensor:
        """65536 times the probability of a 1 at each node of a sub-code's tree, int32 [n, nodes].

        x [n, width]: the stream of tokens. temperature: logits are divided by it; 0 is the limit,
        in which the likelier bit has all of the probability that the range coder allows.
        """
        nodes = self.config.nodes
        a = self._activation(x * self._t["gain"])
        first = sub_code * nodes
        last = min(first + nodes + -nodes % 8, len(self._t["head.bias"]))
        rows = torch.arange(last - (nodes + -nodes % 8), last, device=self.device)
        logits = self._product("head", a, rows).round_()
        first -= int(rows[0])
        logits = logits[:, first : first + nodes].contiguous()
        if temperature == 0:
            logits = torch.where(logits < 0, -float(LOGIT_LIMIT), float(LOGIT_LIMIT))
        elif temperature != 1:
            # by a tensor: GPUs multiply by the reciprocal of a plain number
            logits = (logits / torch.tensor([temperature], device=self.device)).round_()
        return self.probabilities(logits)
