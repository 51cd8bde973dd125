"""Exact arithmetic of priors: layers and blocks whose results are the same on every machine.

Every tensor holds integers. Matrix products have int8 operands and partial sums below 2^24, which
makes them exact in float32 in any order of summation (and even if a backend rounds the operands to
bfloat16 or TF32, which hold 8 bits); on CPUs that do so exactly they run as int8 products, and on
others with AVX2, beside compiled loops, as int16 products.
Everything else is single IEEE operations (multiply, divide, round half to even, compare) on float32
numbers that hold integers or stored constants; they are correctly rounded everywhere and never
fused, because each is an eager operation of its own. There is no exponential and no float
reduction.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.entropy.range_coder import PRECISION
from bsqcodec.errors import WeightsError
from bsqcodec.machine.compiled import loops_pay, short_products
from bsqcodec.machine.team import team
from bsqcodec.models.pieces import exact_tokens, in_pieces
from bsqcodec.models.prior.network import (
    ACTIVATION,
    LOGIT,
    SCORE_MAX,
    STREAM,
    BlockShape,
    PriorBlock,
    QuantLinear,
    neighbours_inside,
    padded,
    with_neighbours_of,
)
from bsqcodec.models.windows import WINDOW, from_windows, relative_index, to_windows

if TYPE_CHECKING:
    from bsqcodec.machine.integer_products import ShortMatrix

Floats = npt.NDArray[np.float32]

EXACT = 2**24
"""Integers up to this magnitude are exact in float32."""

LOGIT_LIMIT = 12 * LOGIT
"""Logits are clipped to +- 12 nats."""

CHUNK = 64
"""Windows that go through a layer at once, which bounds the memory; no result depends on it."""

COMPILED_TOKENS = 384
"""Tokens that pass a layer at once in compiled loops, few enough for a processor's cache."""

FULL_BLOCK_FRACTION = 0.85
"""From this fraction of the tokens on, a block computes all tokens, not the wanted ones alone."""


def probability_table() -> Tensor:
    """65536 times the logistic function of k / 64, k = -768 .. 768, clipped to 1 .. 65535.

    Stored with the weights, so that no platform's `exp` matters.
    """
    k = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1) / LOGIT
    p = np.round(PRECISION / (1 + np.exp(-k)))
    return torch.from_numpy(np.clip(p, 1, PRECISION - 1).astype(np.int32))


def quantize_linear(
    name: str, layer: QuantLinear, unit_in: float, unit_out: float
) -> dict[str, Tensor]:
    """int8 weights, biases in units of the accumulator, and the multiplier to the output's unit."""
    weight = layer.weight.detach().double()
    scale = weight.abs().amax(1).clamp_min(1e-8) / 127
    rows = -len(weight) % 8  # int8 products want multiples of 8
    pad = torch.nn.functional.pad
    bias = layer.bias.detach().double() / scale * unit_in
    bound = EXACT // 2
    return {
        f"{name}.weight": pad(torch.round(weight / scale[:, None]), (0, 0, 0, rows)).to(torch.int8),
        f"{name}.bias": pad(torch.round(bias).clamp(-bound, bound), (0, rows)).to(torch.int32),
        f"{name}.multiplier": pad(scale * unit_out / unit_in, (0, rows)).float(),
    }


def quantize_blocks(blocks: Iterable[PriorBlock]) -> dict[str, Tensor]:
    """The integer weights of blocks, `blocks.0.up.weight` and so on."""
    unit = float(ACTIVATION)
    result: dict[str, Tensor] = {}
    for i, block in enumerate(blocks):
        attention, mlp = block.attention, block.mlp
        n = f"blocks.{i}"
        if attention is not None:
            bias = torch.round(attention.bias.detach() * SCORE_MAX)
            result[f"{n}.attention_gain"] = (attention.gain.detach() * (unit / STREAM)).float()
            result |= quantize_linear(f"{n}.qkv", attention.qkv, unit, unit)
            result |= quantize_linear(f"{n}.out", attention.out, unit, STREAM)
            result[f"{n}.slope"] = (attention.slope.detach() * (SCORE_MAX / unit**2)).float()
            result[f"{n}.score_bias"] = bias.to(torch.int16)
        result[f"{n}.mlp_gain"] = (mlp.gain.detach() * (unit / STREAM)).float()
        result |= quantize_linear(f"{n}.up", mlp.up, unit, unit)
        result |= quantize_linear(f"{n}.down", mlp.down, unit, STREAM)
    return result


@cache
def int8_products_are_exact(device: torch.device) -> bool:
    """Whether `torch._int_mm` can be trusted here; else float32 products take its place.

    Without VNNI instructions x86 kernels add pairs of products in 16 bits, which saturates
    (pytorch issue 136746), or torch falls back to plain loops, which are slow.
    """
    x86 = device.type == "cpu" and platform.machine() in ("x86_64", "AMD64")
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", None)
    if x86 and (has_vnni is None or not has_vnni()):
        return False
    a = torch.full((64, 64), 127, dtype=torch.int8, device=device)
    a[::2, 1::2] = -127
    exact = a.double() @ a.t().double()
    try:
        return all(
            torch.equal(torch._int_mm(a[:rows], a.t()).double(), exact[:rows]) for rows in (32, 64)
        )
    except (AttributeError, RuntimeError):  # not made for this device or version
        return False


def compiled_loops() -> Any:
    """The compiled loops, `bsqcodec.models.prior.loops`, or None where they do not pay."""
    if not loops_pay():
        return None
    from bsqcodec.models.prior import loops

    return loops


SPARSE = ("embed", "down")
"""Layers most of whose operands are 0: nine tenths and more of partial values, and six sevenths of
what a ReLU leaves and rounding to integers."""

TABLES = ("table", "stop_table", "probability", "planes")
"""Tensors that stay integers; all others are held as float32."""


class IntegerBlocks:
    """Integer weights on a device, run by int8, int16 or float32 products: the same results.

    shape: what the weights' configuration says of blocks. largest: the magnitude of the inputs of
    each layer beside the blocks. embeddings: tensors of which one row each is added to the stream.
    int8: False takes float32 products even on a CPU whose int8 products are exact.
    Raises WeightsError if the weights could make a partial sum inexact.
    """

    def __init__(
        self,
        shape: BlockShape,
        tensors: dict[str, Tensor],
        largest: dict[str, int],
        embeddings: tuple[str, ...],
        device: torch.device | str = "cpu",
        int8: bool | None = None,
    ) -> None:
        self.shape = shape
        self.device = torch.device(device)
        wanted = self.device.type == "cpu" and int8 is not False
        self.int8 = wanted and int8_products_are_exact(self.device)
        self._check_bounds(tensors, largest, embeddings)
        self._int8_weight: dict[str, Tensor] = {}
        self._short_weight: dict[tuple[str, bytes], ShortMatrix] = {}
        self._t: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if name.endswith(".weight") and self.int8:
                self._int8_weight[name] = tensor.to(self.device).t()
            else:
                self._t[name] = tensor.to(self.device)
                if name not in TABLES:
                    self._t[name] = self._t[name].float()
        index = relative_index().to(self.device)
        self._score_bias = [
            self._t[f"blocks.{i}.score_bias"][:, index]
            for i in range(shape.blocks if shape.attention else 0)
        ]

    def _check_bounds(
        self, t: dict[str, Tensor], largest: dict[str, int], embeddings: tuple[str, ...]
    ) -> None:
        """Bounds of every partial sum, from the weights themselves."""
        for name, tensor in t.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"prior has a value that is not finite in {name}")
        table = t["probability"]
        if table.shape != (2 * LOGIT_LIMIT + 1,) or not (
            1 <= int(table.min()) <= int(table.max()) < PRECISION
        ):
            raise WeightsError(f"prior has a probability outside of 1..{PRECISION - 1}")

        def accumulator(name: str, largest: int) -> Tensor:
            sums = t[f"{name}.weight"].long().abs().sum(1) * largest
            return sums + t[f"{name}.bias"].long().abs()

        tokens = WINDOW * WINDOW
        head_width = self.shape.width // self.shape.heads
        bounds = {"attention scores": 127 * 127 * head_width}
        bounds["attention sums"] = SCORE_MAX**2 * 127 * tokens
        stream = sum(int(t[n].long().abs().max()) for n in embeddings)

        def contribution(name: str, sums: Tensor) -> int:
            return math.ceil(float((sums * t[f"{name}.multiplier"].abs()).max())) + 1

        layers = dict(largest)
        for i in range(self.shape.blocks):
            names = ("qkv", "out", "up", "down") if self.shape.attention else ("up", "down")
            layers |= {f"blocks.{i}.{n}": 127 for n in names}
        for name, limit in layers.items():
            sums = accumulator(name, limit)
            bounds[name] = int(sums.max())
            if name.startswith("embed") or name.endswith((".out", ".down")):
                stream += contribution(name, sums)
        bounds["residual stream"] = self.stream_bound = stream
        for name, bound in bounds.items():
            if bound >= EXACT:
                raise WeightsError(f"prior is not exact: {name} can reach {bound}, limit {EXACT}")

    def _product(self, name: str, a: Tensor, rows: Tensor | None = None) -> Tensor:
        """a [n, K] of integers within int8, times the layer's weights, plus bias, times multiplier.

        Returns float32 [n, N], not yet rounded; with only these rows of the layer, if given.
        """
        bias, multiplier = self._scales(name, rows)
        y = self._sums(name, self._operand(a), rows)
        return (y.float() if self.int8 else y).add_(bias).mul_(multiplier)

    def _scales(self, name: str, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Bias and multiplier [N] of a layer, or of these rows of it."""
        both = self._t[f"{name}.bias"], self._t[f"{name}.multiplier"]
        return both if rows is None else (both[0][rows], both[1][rows])

    def _sums(self, name: str, a: Tensor, rows: Tensor | None = None) -> Tensor:
        """Operands a [n, K] times the layer's weights: int32 or float32 [n, N]."""
        if a.dtype == torch.int16:
            matrix = self._short_matrix(name, rows)
            return matrix.times_sparse(a) if name.endswith(SPARSE) else matrix.times(a)
        if self.int8:
            weight = self._int8_weight[f"{name}.weight"]
            return torch._int_mm(a, weight if rows is None else weight.t()[rows].t())
        weight = self._t[f"{name}.weight"]
        return a @ (weight if rows is None else weight[rows]).t()

    def _short_matrix(self, name: str, rows: Tensor | None) -> ShortMatrix:
        """The weights of a layer, or these rows of it, for products of int16."""
        key = name, b"" if rows is None else rows.numpy().tobytes()
        found = self._short_weight.get(key)
        if found is None:
            weight = self._t[f"{name}.weight"]
            found = short_products().ShortMatrix(weight if rows is None else weight[rows])
            self._short_weight[key] = found
        return found

    def _operand(self, x: Tensor) -> Tensor:
        """Integers within int8 as the products take them."""
        return x.to(torch.int8) if self.int8 else x

    def _new_operand(self, *shape: int) -> Tensor:
        """Memory for operands of compiled loops."""
        kind = torch.int16 if short_products() else torch.float32
        return torch.empty(shape, dtype=torch.int8 if self.int8 else kind)

    def loops(self) -> Any:
        """See `compiled_loops`; None where the weights are not on the CPU."""
        return compiled_loops() if self.device.type == "cpu" else None

    @staticmethod
    def _activation(x: Tensor, low: int = -127) -> Tensor:
        return x.round_().clamp_(low, 127)

    def _attention(self, i: int, x: Tensor) -> Tensor:
        """Contribution to the stream of windows x [n, 64, width]."""
        name, heads = f"blocks.{i}", self.shape.heads
        n, t, d = x.shape
        a = self._activation(x * self._t[f"{name}.attention_gain"])
        qkv = self._activation(self._product(f"{name}.qkv", a.reshape(n * t, d)))
        q, k, v = qkv.view(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        score = (q @ k.transpose(-1, -2)).mul_(self._t[f"{name}.slope"][:, None, None])
        score = score.round_().add_(self._score_bias[i]).clamp_(0, SCORE_MAX).square_()
        total = score.sum(-1, keepdim=True).add_(1)
        y = self._activation((score @ v).div_(total))
        y = y.transpose(1, 2).reshape(n * t, d)
        return self._product(f"{name}.out", y).round_().view(n, t, d)

    def _mlp(self, i: int, a: Tensor) -> Tensor:
        """Contribution to the stream of tokens a [n, 2 width]: their own and their neighbours'."""
        name = f"blocks.{i}"
        hidden = self._product(f"{name}.up", a)
        return self._product(f"{name}.down", self._activation(hidden, low=0)).round_()

    def _rows_at_once(self, b: int, h: int, w: int) -> int:
        """Rows of tokens of grids [b, h, w] that pass a layer at once:
        whole windows, if it attends."""
        unit = WINDOW if self.shape.attention else 1
        count = self._tokens_at_once(b * h * w)
        return max(1, count // max(1, b * w * unit)) * unit

    @staticmethod
    def _tokens_at_once(count: int) -> int:
        """Tokens of a list of `count` that pass a layer at once."""
        return CHUNK * WINDOW**2 if team() is None else exact_tokens(count)

    def _run_blocks(self, x: Tensor, depth: int, wanted: Tensor | None) -> None:
        """Add to the stream x [B, h, w, width] what the first `depth` blocks contribute.

        wanted [n] int64: flat indices of the tokens whose stream matters, the others' is not to be
        used; None for all.
        """
        b, h, w, width = x.shape
        loops = None if self.shape.attention else self.loops()
        if loops is not None:
            self._run_compiled(loops, x, depth, wanted)
            return
        rows = self._rows_at_once(b, h, w)
        parts = x.split(rows, 1)
        tops = range(0, h, rows)
        for i, region in enumerate(self._regions(wanted, (b, h, w), depth)):
            if self.shape.attention:
                attended = in_pieces(partial(self._attention_of_rows, i), parts)
                for part, more in zip(parts, attended, strict=True):
                    part += more
            gain = self._t[f"blocks.{i}.mlp_gain"]
            a = torch.cat(in_pieces(partial(self._gained, gain), parts), 1)
            a = padded(a)
            if region is None:
                around = partial(self._mlp_of_rows, i, a)
                bands = [(top, top + part.shape[1]) for top, part in zip(tops, parts, strict=True)]
                for part, more in zip(parts, in_pieces(around, bands), strict=True):
                    part += more
            else:
                stream = x.view(-1, width)
                some = region.split(self._tokens_at_once(len(region)))
                for each, more in zip(
                    some, in_pieces(partial(self._mlp_of, i, a), some), strict=True
                ):
                    stream.index_add_(0, each, more)

    def _run_compiled(self, loops: Any, x: Tensor, depth: int, wanted: Tensor | None) -> None:
        """`_run_blocks` by compiled loops, for blocks without attention.

        A piece may be worked on twice, so none of them changes what they share.
        """
        b, h, w, width = x.shape
        stream = x.view(-1, width)
        everything = torch.arange(b * h * w)
        for i, region in enumerate(self._regions(wanted, (b, h, w), depth)):
            gain = self._t[f"blocks.{i}.mlp_gain"].numpy()
            a = self._gained_compiled(loops, gain, x)  # too short to be shared
            tokens = everything if region is None else region
            some = tokens.split(exact_tokens(len(tokens), COMPILED_TOKENS))
            made = in_pieces(partial(self._mlp_compiled, loops, i, padded(a)), some)
            for each, more in zip(some, made, strict=True):
                loops.add_rows(stream.numpy(), each.numpy(), more)

    def _gained_compiled(self, loops: Any, gain: Floats, x: Tensor) -> Tensor:
        """Tokens x [..., width] of the stream as the operand of a layer."""
        flat = x.reshape(-1, x.shape[-1])
        operands = self._new_operand(*x.shape)
        loops.activate(flat.numpy(), gain, operands.view(flat.shape).numpy())
        return operands

    def _mlp_compiled(self, loops: Any, i: int, a: Tensor, tokens: Tensor) -> Floats:
        """What an MLP contributes to tokens [n]: [n, width]; a: operands, with a margin."""
        up, down = f"blocks.{i}.up", f"blocks.{i}.down"
        around = self._new_operand(len(tokens), 2 * self.shape.width)
        loops.gather_neighbours(a.numpy(), tokens.numpy(), around.numpy())
        hidden = self._new_operand(len(tokens), len(self._t[f"{up}.bias"]))
        sums = self._sums(up, around)
        loops.hidden_operands(sums.numpy(), *self._arrays(up), hidden.numpy())
        return self._rounded_compiled(loops, down, hidden, self.shape.width)

    def _rounded_compiled(
        self, loops: Any, name: str, operands: Tensor, count: int, rows: Tensor | None = None
    ) -> Floats:
        """The first `count` outputs [n, count] of a layer, or of these rows of it, in integers."""
        made = np.empty((len(operands), count), np.float32)
        sums = self._sums(name, operands, rows)
        loops.rounded_product(sums.numpy(), *self._arrays(name, rows), made)
        return made

    def _arrays(self, name: str, rows: Tensor | None = None) -> tuple[Floats, Floats]:
        """Bias and multiplier of a layer as arrays."""
        bias, multiplier = self._scales(name, rows)
        return bias.numpy(), multiplier.numpy()

    def _attention_of_rows(self, i: int, x: Tensor) -> Tensor:
        """What attention contributes to whole windows of rows x [B, h, w, width]."""
        return from_windows(self._attention(i, to_windows(x)), *x.shape[1:3])

    def _gained(self, gain: Tensor, x: Tensor) -> Tensor:
        """A part of the stream as the operand of a layer."""
        return self._operand(self._activation(x * gain))

    def _mlp_of_rows(self, i: int, a: Tensor, band: tuple[int, int]) -> Tensor:
        """What an MLP contributes to a band of rows; a [B, h + 2, w + 2, width]: all, padded."""
        around = neighbours_inside(a[:, band[0] : band[1] + 2])
        return self._mlp(i, around.view(-1, around.shape[-1])).view(*around.shape[:3], -1)

    def _mlp_of(self, i: int, a: Tensor, tokens: Tensor) -> Tensor:
        """What it contributes to tokens [n]: [n, width]."""
        return self._mlp(i, with_neighbours_of(a, tokens))

    def _regions(
        self, wanted: Tensor | None, shape: tuple[int, int, int], depth: int
    ) -> list[Tensor | None]:
        """Tokens for which the MLP of each block has to run, flat; None for all of them.

        A block looks at the neighbours of a token, or at its whole window.
        """
        regions: list[Tensor | None] = [None] * depth
        count = math.prod(shape)
        for i in reversed(range(depth)):
            if wanted is None or len(wanted) > FULL_BLOCK_FRACTION * count:
                break
            regions[i] = wanted
            if self.shape.attention:
                break
            mask = torch.zeros(count, device=self.device, dtype=torch.float32)
            mask[wanted] = 1
            near = F.max_pool2d(mask.view(shape)[:, None], 3, 1, 1)
            wanted = near.view(-1).nonzero()[:, 0]
        return regions

    def probabilities(self, logits: Tensor) -> Tensor:
        """Integer logits to 65536 times the probability of a 1, int32 of the same shape."""
        index = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).int() + LOGIT_LIMIT
        return self._t["probability"].index_select(0, index.view(-1)).view(logits.shape)
