"""Exact inference of the prior of integers; its arithmetic is that of `integer_blocks`."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.errors import WeightsError
from bsqcodec.models.pieces import exact_tokens, in_pieces
from bsqcodec.models.prior.integer_blocks import (
    COMPILED_TOKENS,
    LOGIT_LIMIT,
    Floats,
    IntegerBlocks,
    probability_table,
    quantize_blocks,
    quantize_linear,
)
from bsqcodec.models.prior.neighbour_context import CLIP, CONTEXTS, clipped, contexts
from bsqcodec.models.prior.network import ACTIVATION, CLIP_UNIT, LOGIT, STREAM, Prior, PriorBlock
from bsqcodec.models.prior.order import BUCKETS, PriorConfig, stage_kinds

MAX_PLANES = 10
"""Digits of an integer, at most: it fits 16 bits, and the sums that contexts take of it 2^24."""


def quantize_prior(prior: Prior) -> dict[str, Tensor]:
    """The integer weights of a trained prior, ready to be saved and run by `IntegerPrior`."""
    prior = copy.deepcopy(prior).cpu().float()
    config = prior.config
    unit = float(ACTIVATION)
    result = {
        "planes": prior.planes,
        "probability": probability_table(),
        "gain": (prior.gain.detach() * (unit / STREAM)).float(),
        **quantize_linear("embed", prior.embed, CLIP_UNIT, STREAM),
        **quantize_linear("head", prior.head, unit, LOGIT),
    }
    if config.context:
        result |= quantize_linear("embed_context", prior.embed_context, CLIP_UNIT, STREAM)
    for name in ("embed_pass", "embed_bucket", "embed_token"):
        weight = getattr(prior, name).weight.detach()
        result[name] = torch.round(weight * STREAM).to(torch.int32)
    result |= quantize_blocks(cast(Iterable[PriorBlock], prior.blocks))
    kinds = len(stage_kinds(config, prior.top_plane))
    own = prior.table.weight.detach().view(kinds, config.channels, CONTEXTS, 2)
    table = own + prior.shared_table.weight.detach().view(kinds, 1, CONTEXTS, 2)
    limit = 2 * LOGIT_LIMIT
    result["table"] = torch.round(table * LOGIT).clamp(-limit, limit).to(torch.int16)
    stop = prior.stop_table.weight.detach().view(kinds, BUCKETS)
    result["stop_table"] = torch.round(stop * LOGIT).clamp(-limit, limit).to(torch.int16)
    return {k: v.contiguous() for k, v in result.items()}


class IntegerPrior(IntegerBlocks):
    """Runs integer weights on a device, by int8 or by float32 products: the results are the same.

    int8: False takes float32 products even on a CPU whose int8 products are exact.
    Raises WeightsError if the weights could make a partial sum inexact.
    """

    def __init__(
        self,
        config: PriorConfig,
        tensors: dict[str, Tensor],
        device: torch.device | str = "cpu",
        int8: bool | None = None,
    ) -> None:
        self.config = config
        self.planes = tensors["planes"].cpu().numpy()
        if int(self.planes.max()) > MAX_PLANES:
            raise WeightsError(f"prior is not exact: it has more than {MAX_PLANES} planes")
        every = stage_kinds(config, int(self.planes.max()) - 1)
        self.kinds = len(every)
        self._depths = [config.depth(plane) for plane, _ in every]
        largest = {"embed": CLIP, "head": 127} | ({"embed_context": CLIP} if config.context else {})
        embeddings = ("embed_pass", "embed_bucket", "embed_token")
        super().__init__(config, tensors, largest, embeddings, device, int8)
        by_kind = self._t.pop("table").view(self.kinds, -1, 2)
        self._digit_tables = [by_kind[..., i].contiguous() for i in (0, 1)]

    def context_stream(self, context: Tensor) -> Tensor:
        """What context [B, h, w, K], integers within +-7, adds to the stream: [B, h, w, width]."""
        flat = context.reshape(-1, context.shape[-1]).float()
        return self._product("embed_context", flat).round_().view(*context.shape[:3], -1)

    def trunk(
        self,
        v: Tensor,
        power: int,
        kind: int,
        bucket: int,
        flags: Tensor,
        context: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """The residual stream [B, h, w, width] after all blocks.

        v [B, h, w, C] partial values; flags [B, h, w] int64 as in `Prior.forward`; kind: 2 * stage
        index + lattice; context: what `context_stream` gave; wanted [n] int64: flat indices of the
        tokens whose stream matters, the others' is not to be used.
        """
        b, h, w, c = v.shape
        constant = self._t["embed_pass"][kind] + self._t["embed_bucket"][bucket]
        token = self._t["embed_token"] + constant
        loops = self.loops()
        if loops is not None:
            x = self._embedded(loops, v.view(-1, c), power, flags, token, context)
            x = x.view(b, h, w, -1)
        else:
            x = self._embedding(v.view(-1, c), power).view(b, h, w, self.config.width)
            rows = self._rows_at_once(b, h, w)
            for part, each in zip(x.split(rows, 1), flags.split(rows, 1), strict=True):
                part += token[each]
            if context is not None:
                x += context
        self._run_blocks(x, self._depths[kind // 2], wanted)
        return x

    def _embedding(self, v: Tensor, power: int) -> Tensor:
        """What partial values v [n, C] give the stream [n, width]."""
        scale = torch.tensor(float(power), device=self.device, dtype=torch.float32)
        nothing = v.new_zeros(8, 2 * self.config.channels)
        x = self._product("embed", nothing)[:1].round_().repeat(len(v), 1)
        begun = v.any(1).nonzero()[:, 0]

        def embedded(some: Tensor) -> Tensor:
            u = self._operand(clipped(v if len(some) == len(v) else v[some], scale))
            return self._product("embed", torch.cat([u, u.abs()], dim=-1)).round_()

        pieces = begun.split(max(1, self._tokens_at_once(len(begun))))
        for some, made in zip(pieces, in_pieces(embedded, pieces), strict=True):
            x[some] = made
        return x

    def _embedded(
        self,
        loops: Any,
        v: Tensor,
        power: int,
        flags: Tensor,
        of_flag: Tensor,
        context: Tensor | None,
    ) -> Tensor:
        """The stream [n, width] before the blocks, by compiled loops.

        v [n, C]: partial values; of_flag [4, width]: what each value of the flags adds.
        """
        width, count = self.config.width, self.config.channels
        nothing = self._product("embed", v.new_zeros(8, 2 * count))[0].round_()
        begun = torch.from_numpy(loops.begun_tokens(v.numpy()))
        x = torch.empty(len(v), width, dtype=torch.float32)
        added = x.new_empty(0, width) if context is None else context.reshape(-1, width)
        loops.fill_stream(
            flags.reshape(-1).numpy(),
            of_flag.numpy(),
            added.numpy(),
            begun.numpy(),
            nothing.numpy(),
            x.numpy(),
        )

        def embedded(some: Tensor) -> Floats:
            operands = self._new_operand(len(some), 2 * count)
            loops.embedding_operands(v.numpy(), some.numpy(), np.float32(power), operands.numpy())
            return self._rounded_compiled(loops, "embed", operands, width)

        pieces = begun.split(exact_tokens(len(begun), COMPILED_TOKENS)) if len(begun) else ()
        for some, more in zip(pieces, in_pieces(embedded, pieces), strict=True):
            loops.add_rows(x.numpy(), some.numpy(), more)
        return x

    def head_of(self, x: Tensor, tokens: Tensor, channels: Tensor) -> Tensor:
        """`head` of tokens [n] of a stream x [T, width]."""
        loops = self.loops()
        if loops is None:
            return self.head(x[tokens], channels)
        operands = self._gained_compiled(loops, self._t["gain"].numpy(), x[tokens])
        rows, count = self._head_rows(channels), 2 * len(channels) + 1
        return torch.from_numpy(self._rounded_compiled(loops, "head", operands, count, rows))

    def _head_rows(self, channels: Tensor | None) -> Tensor | None:
        """The rows of the head for some channels [k], None for all: of digits, of signs, the stop.

        Their number is a multiple of 8, as int8 products want it.
        """
        count = self.config.channels
        if channels is None or len(channels) == count:
            return None
        stop = torch.full((1 + -(2 * len(channels) + 1) % 8,), 2 * count, device=self.device)
        return torch.cat([channels, count + channels, stop])

    def head(self, x: Tensor, channels: Tensor | None = None) -> Tensor:
        """Logits of tokens x [n, width], in 1/64 nat, without the tables.

        Of digits of k channels (None: all) that they are not 0, that they are positive, and of a
        stop: [n, 2 k + 1].
        """
        a = self._activation(x * self._t["gain"])
        count = self.config.channels if channels is None else len(channels)
        rows = self._head_rows(channels)
        return self._product("head", a, rows).round_()[:, : 2 * count + 1]

    def digit_contexts(
        self, v: Tensor, magnitude: Tensor, trend: Tensor, channels: Tensor, power: int
    ) -> Tensor:
        """Where the tables of digits [n, k] have what their contexts say; arguments [n, k]."""
        scale = torch.tensor(float(power), device=self.device, dtype=torch.float32)
        return contexts(v, magnitude, trend, scale) + channels.int() * CONTEXTS

    def digit_table(self, stage_index: int, places: Tensor, sign: bool) -> Tensor:
        """Logits that contexts contribute, at places that `digit_contexts` gave, any shape of them.

        sign: of a positive digit, if it is not 0; else of one that is not 0.
        """
        found = self._digit_tables[int(sign)][stage_index].index_select(0, places.view(-1))
        return found.view(places.shape)

    def table_array(self, stage_index: int, sign: bool) -> npt.NDArray[np.int16]:
        """The table of `digit_table` of a stage, for compiled loops."""
        table: npt.NDArray[np.int16] = self._digit_tables[int(sign)][stage_index].numpy()
        return table

    @property
    def probability_array(self) -> npt.NDArray[np.int32]:
        """Probabilities of logits from the lowest to the highest, for compiled loops."""
        table: npt.NDArray[np.int32] = self._t["probability"].numpy()
        return table

    def stop_table(self, stage_index: int, bucket: int) -> Tensor:
        return self._t["stop_table"][stage_index, bucket].float()
