"""The walk over the coding order, one function for encoder and decoder, so they cannot diverge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.machine.compiled import count_tokens
from bsqcodec.machine.team import team
from bsqcodec.models.pieces import PIECES_AT_ONCE, exact_tokens, in_pieces
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.neighbour_context import neighbour_sums
from bsqcodec.models.prior.order import Stage, bucket, lattice, levels, stages

if TYPE_CHECKING:
    from bsqcodec.entropy.range_coder import BitDecoder, BitEncoder  # training needs no range coder

Probabilities = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Position:
    """A place in the walk: tokens [n] are flat indices into the grid."""

    level: int
    stage: Stage
    tokens: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Strip:
    """Rows of the grid, and which of a pass's tokens lie in them."""

    top: int
    bottom: int
    chosen: slice


STRIP_TOKENS = 4096
"""About how many tokens of the grid are worked on at once: the system takes long to provide large
tensors. No result depends on it."""


def _strips(tokens: npt.NDArray[np.int64], shape: tuple[int, int]) -> list[Strip]:
    """The strips of a grid in which tokens lie, ascending flat indices."""
    h, w = shape
    count = STRIP_TOKENS if team() is None else min(max(exact_tokens(h * w), 8 * w), STRIP_TOKENS)
    height = max(1, count // w)
    edges = [*range(0, h, height), h]
    places = np.searchsorted(tokens, np.array(edges) * w).tolist()
    parts = [
        Strip(top, bottom, slice(first, end))
        for (top, bottom), (first, end) in zip(pairwise(edges), pairwise(places), strict=True)
    ]
    return [strip for strip in parts if strip.chosen.start < strip.chosen.stop]


class Signs:
    """Probabilities [n, k] that digits are positive, if they are not 0, computed on request.

    Most digits are 0, and the probabilities of their signs are unused.
    """

    def __init__(self, prior: IntegerPrior, stage_index: int) -> None:
        self._prior, self._index = prior, stage_index
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def append(self, head: Tensor, rows: Tensor, places: Tensor) -> None:
        """The next tokens: their rows [m] of a head [.., 2 k + 1] of logits, of which those of
        signs follow k others, and where their contexts are in the table [m, k]."""
        self._parts.append((head, rows, places))

    def of(self, wanted: npt.NDArray[np.bool_]) -> Probabilities:
        """65536 * P(digit > 0 | digit != 0) of the wanted [n, k], in their order."""
        prior, found, first = self._prior, [], 0
        loops = prior.loops()
        for head, rows, places in self._parts:
            mine = wanted[first : first + len(rows)]
            first += len(rows)
            if loops is not None:
                found.append(self._compiled(loops, mine, head, rows, places))
                continue
            k = places.shape[1]
            index = torch.from_numpy(np.flatnonzero(mine)).to(prior.device)
            table = prior.digit_table(self._index, places.view(-1)[index], sign=True)
            logits = head[rows[index // k], k + index % k]
            found.append(prior.probabilities(logits + table).cpu().numpy())
        return np.concatenate(found)

    def _compiled(
        self,
        loops: Any,
        wanted: npt.NDArray[np.bool_],
        head: Tensor,
        rows: Tensor,
        places: Tensor,
    ) -> Probabilities:
        """The same of one part, by compiled loops."""
        out = np.empty(np.count_nonzero(wanted), np.int32)
        loops.sign_probabilities(
            wanted,
            head.numpy(),
            rows.numpy(),
            places.numpy(),
            self._prior.table_array(self._index, sign=True),
            self._prior.probability_array,
            out,
        )
        return out


def write_digits(
    encoder: BitEncoder, digit: npt.NDArray[np.int8], nonzero: Probabilities, positive: Signs
) -> None:
    """Append digits [n, k]: which are not 0, and the signs of those."""
    significant = digit != 0
    encoder.encode(significant.ravel(), nonzero.ravel())
    encoder.encode(digit[significant] > 0, positive.of(significant))


def read_digits(
    decoder: BitDecoder, nonzero: Probabilities, positive: Signs
) -> npt.NDArray[np.int8]:
    """The digits [n, k] that `write_digits` wrote."""
    significant = decoder.decode(nonzero.ravel()).reshape(nonzero.shape)
    digit = np.zeros(nonzero.shape, np.int8)
    digit[significant] = 2 * decoder.decode(positive.of(significant)).astype(np.int8) - 1
    return digit


class Coder(Protocol):
    """Supplies the bits of each pass: an encoder chooses and writes them, a decoder reads them."""

    def begin_level(self, level: int) -> bool:
        """Called before each level; False ends the walk (no more data)."""

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        """Which of the tokens [n] stop before this stage, given 65536 * P(stop) [n]."""

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        """Digits -1, 0, 1 [n, k] of tokens [n] and the stage's channels [k].

        v [n, k]: their partial values; nonzero [n, k]: 65536 * P(digit != 0).
        """


def walk(
    prior: IntegerPrior,
    step: int,
    inside: npt.NDArray[np.bool_],
    coder: Coder,
    *,
    progress: Callable[[float], None] | None = None,
    context: Tensor | None = None,
    most_planes: int | None = None,
) -> npt.NDArray[np.int32]:
    """Code all levels of a grid of tokens at a step index; returns the values [h, w, C].

    inside [h, w]: which tokens are coded (the others are padding to whole windows). h and w are
    multiples of 8. context [1, h, w, K]: what integers about each
    token for a prior with context. most_planes: planes that are coded, None for all.
    """
    count_tokens(inside.size)
    # a caller's autocast would round the integers
    with torch.inference_mode(), torch.autocast(prior.device.type, enabled=False):
        stream = None if context is None else prior.context_stream(context.to(prior.device))
        order = stages(prior.config, prior.planes, step, most_planes)
        return _walk(prior, step, order, inside, coder, progress, stream)


def _walk(
    prior: IntegerPrior,
    step: int,
    order: list[Stage],
    inside: npt.NDArray[np.bool_],
    coder: Coder,
    progress: Callable[[float], None] | None,
    context: Tensor | None,
) -> npt.NDArray[np.int32]:
    h, w = inside.shape
    device = prior.device
    c = prior.config.channels
    v = torch.zeros(1, h, w, c, device=device, dtype=torch.float32)
    flat = v.view(h * w, c)
    stopped = ~inside.reshape(-1)
    parity = lattice(h, w).reshape(-1)
    groups = levels(order)
    total = sum(len(group) for group in groups)
    done = 0
    for level, group in enumerate(groups):
        if not coder.begin_level(level):
            break
        for stage in group:
            known = np.zeros(h * w, bool)
            for white in range(stage.passes):
                mine = (parity == white) | (stage.passes == 1)
                tokens = np.flatnonzero(mine & ~stopped)
                if len(tokens):
                    _code_pass(
                        prior,
                        step,
                        coder,
                        Position(level, stage, tokens),
                        white,
                        v,
                        flat,
                        stopped,
                        known,
                        context,
                    )
                known |= mine
            done += 1
            if progress is not None:
                progress(done / total)
    return v[0].to(torch.int32).cpu().numpy()


def _code_pass(
    prior: IntegerPrior,
    step: int,
    coder: Coder,
    at: Position,
    white: int,
    v: Tensor,
    flat: Tensor,
    stopped: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
    context: Tensor | None,
) -> None:
    """Code the tokens of one lattice in one stage, updating `flat` (a view of v) and `stopped`."""
    stage = at.stage
    power = 3**stage.plane
    device = prior.device
    flags = torch.from_numpy(known.astype(np.int64) + 2 * stopped).to(device).view(v.shape[:3])
    tokens = torch.from_numpy(at.tokens).to(device)
    x = prior.trunk(v, power, 2 * stage.index + white, bucket(step), flags, context, tokens)
    x = x.view(-1, x.shape[-1])
    channels = torch.from_numpy(stage.channels).to(device)
    k = len(channels)
    strips = _strips(at.tokens, (v.shape[1], v.shape[2]))
    stop_table = prior.stop_table(stage.index, bucket(step))

    loops = prior.loops()

    def heads_of(strip: Strip) -> tuple[Tensor, Tensor]:
        head = prior.head_of(x, tokens[strip.chosen], channels)
        return head, prior.probabilities(head[:, -1] + stop_table)

    heads = in_pieces(heads_of, strips)
    stops = coder.stops(at, torch.cat([stop for _, stop in heads]).cpu().numpy())
    stopped[at.tokens[stops]] = True
    going = ~stops
    if not going.any():
        return
    values = v if k == v.shape[-1] or loops is None else v.index_select(-1, channels)

    def digits_of(piece: tuple[Strip, Tensor]) -> _Digits:
        strip, head = piece
        rows = torch.from_numpy(np.flatnonzero(going[strip.chosen])).to(device)
        some = tokens[strip.chosen][rows]
        if loops is not None:
            own, places = _contexts_compiled(loops, values[0], some, channels, power)
            nonzero = torch.empty_like(places)
            loops.digit_probabilities(
                head.numpy(),
                rows.numpy(),
                places.numpy(),
                prior.table_array(stage.index, sign=False),
                prior.probability_array,
                nonzero.numpy(),
            )
        else:
            own, magnitude, trend = _around(v, strip, some, channels)
            places = prior.digit_contexts(own, magnitude, trend, channels, power)
            table = prior.digit_table(stage.index, places, sign=False)
            nonzero = prior.probabilities(head[rows, :k] + table)
        return _Digits(some, own, nonzero, head, rows, places)

    pieces = [
        (strip, head)
        for strip, (head, _) in zip(strips, heads, strict=True)
        if going[strip.chosen].any()
    ]
    del heads
    parts: list[_Digits] = []
    while pieces:  # so that there is not both of all tokens
        next_ones, pieces = pieces[:PIECES_AT_ONCE], pieces[PIECES_AT_ONCE:]
        parts += in_pieces(digits_of, next_ones)
    signs = Signs(prior, stage.index)
    for part in parts:
        signs.append(part.head, part.rows, part.places)
    digits = coder.digits(
        Position(at.level, stage, at.tokens[going]),
        torch.cat([part.own for part in parts]).cpu().numpy(),
        torch.cat([part.nonzero for part in parts]).cpu().numpy(),
        signs,
    )
    first = 0
    for part in parts:
        mine = digits[first : first + len(part.tokens)]
        first += len(mine)
        if loops is not None:
            places_of = part.tokens.numpy(), channels.numpy()
            loops.add_digits(flat.numpy(), *places_of, mine, np.float32(power))
            continue
        new = part.own + power * torch.from_numpy(mine).to(device).float()
        if k == flat.shape[1]:
            flat.index_copy_(0, part.tokens, new)
        else:
            flat[part.tokens[:, None], channels] = new


@dataclass(frozen=True)
class _Digits:
    """What is known of digits before they are coded: of tokens [n], values [n, k] so far,
    probabilities that they are not 0, rows [n] of a head of logits, places of contexts."""

    tokens: Tensor
    own: Tensor
    nonzero: Tensor
    head: Tensor
    rows: Tensor
    places: Tensor


def _contexts_compiled(
    loops: Any, values: Tensor, tokens: Tensor, channels: Tensor, power: int
) -> tuple[Tensor, Tensor]:
    """(values [n, k] of tokens [n], places [n, k] of their contexts); values [h, w, k]."""
    k = len(channels)
    places = torch.empty(len(tokens), k, dtype=torch.int32)
    loops.digit_contexts(
        values.numpy(), tokens.numpy(), channels.numpy(), np.float32(power), places.numpy()
    )
    return values.reshape(-1, k).index_select(0, tokens), places


def _around(
    v: Tensor, strip: Strip, tokens: Tensor, channels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(values, magnitude, trend) [n, k] of tokens [n] of a strip; see `neighbour_sums`."""
    first = max(strip.top - 1, 0)
    rows = v[:, first : strip.bottom + 1]
    if len(channels) < v.shape[-1]:
        rows = rows.index_select(-1, channels)
    index = tokens - first * v.shape[2]
    own, magnitude, trend = (
        x.reshape(-1, len(channels)).index_select(0, index) for x in (rows, *neighbour_sums(rows))
    )
    return own, magnitude, trend
