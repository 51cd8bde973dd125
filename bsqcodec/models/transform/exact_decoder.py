"""The decoder of pictures in exact arithmetic: the same samples on every machine.

Its weights follow from those of any `Decoder`. What is summed are integers, with sums so small that
every order of summation gives the same: products of matrices and convolutions have operands whose
partial sums stay below 2^24 in float32, or below 2^53 in float64. Sums over channels that are no
integers are added in a stated order, and all else is single IEEE operations (add, multiply, divide,
square root, round half to even), each an eager operation of its own, that no compiler fuses. The
exponential of the softmax and the step scale of companding are tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bsqcodec.errors import WeightsError
from bsqcodec.machine.compiled import short_products
from bsqcodec.models.pieces import Tile, bands, by_rows, in_pieces
from bsqcodec.models.transform.blocks import (
    Block,
    ResidualConv,
    by_tiles,
    run_blocks,
    shuffle,
    unshuffle,
)
from bsqcodec.models.transform.tokenizer import (
    BUSY,
    COMPANDED_FROM,
    FLAT,
    STEPS,
    Decoder,
    StepTable,
    Tokenizer,
    TokenizerConfig,
)
from bsqcodec.models.windows import WINDOW, from_windows, to_windows

if TYPE_CHECKING:
    from bsqcodec.machine.integer_products import ShortMatrix

EXACT = 2**24
"""Integers up to this magnitude are exact in float32."""

WEIGHT_SHARE = 0.97
"""What of EXACT integer weights make use of before they are rounded."""

TOKEN, HIDDEN, HEAD, MAP = 1023, 511, 511, 1279
"""Largest magnitudes of operands: on tokens, in the MLP, in attention, and on maps."""

NORMAL_RANGE, EMBED_RANGE = 16.0, 32.0
"""What TOKEN stands for behind a normalisation, which bounds its results, and in the latents."""

EMBED_UNIT = EMBED_RANGE / TOKEN
"""What an operand of 1 stands for in the embedding."""

PIXEL = 4.0
"""Integers of the first maps for each unit of pixel values."""

SCORE, SCORES = 32, 256
"""Steps of a score for a factor of e, and entries of the table of the exponential."""

LATENT_BITS, LATENT_LIMIT, BASIS_BITS = 12, 2.0**28, 18
"""Fractional bits and largest magnitude of integer latents; fractional bits of the transform."""

STEP_SCALE_UNITS, MAX_STEP_SCALE = 1024, 2560
"""How many units of a step scale are 1, and the largest step scale, in these units."""

ENERGY_STEPS, ENERGY_LIMIT = 16, 2.0**44
"""Steps of a squared latent for 1, and the most of them that count."""

DIGITS = 30
"""Of the decimal arithmetic, correctly rounded everywhere, that constants come from."""


class ExactLinear:
    """A linear layer [N, K] of integers, each row scaled to the largest that EXACT allows.

    limit: the largest magnitude of an operand; unit: what an operand of 1 stands for. Raises
    WeightsError if a partial sum could be inexact.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, limit: int, unit: float) -> None:
        fixed = torch.round(weight.double() * 2.0**30)
        magnitudes = fixed.abs().long().sum(1).double()  # of integers: the same in any order
        scale = (magnitudes * (limit / (WEIGHT_SHARE * EXACT))).clamp_min(1.0)
        whole = torch.round(fixed / scale[:, None])
        bound = int(whole.abs().long().sum(1).max()) * limit
        if bound >= EXACT:
            raise WeightsError(f"a decoder is not exact: a sum can reach {bound}, limit {EXACT}")
        self.weight = whole.float()
        self.multiplier = (scale * (unit * 2.0**-30)).float()
        self.bias = None if bias is None else bias.float()
        self._short: ShortMatrix | None = None

    def __call__(self, a: Tensor, unit: Tensor | float = 1.0) -> Tensor:
        """a [..., K], integers, and what 1 stands for -> float32 [..., N]."""
        return self.scaled(self._sums(a), unit)

    def _sums(self, a: Tensor) -> Tensor:
        short = self._short_matrix()
        return matrix_product(a, self.weight.t()) if short is None else short.times(a)

    def _short_matrix(self) -> ShortMatrix | None:
        """The weights for products of int16, where these pay and have a shape that fits."""
        products = short_products()
        if products is None or len(self.weight) % products.LANES or self.weight.shape[1] % 2:
            return None
        if self._short is None:
            self._short = self._packed(products)
        return self._short

    def _packed(self, products: Any) -> ShortMatrix:
        packed: ShortMatrix = products.ShortMatrix(self.weight)
        return packed

    def scaled(self, sums: Tensor, unit: Tensor | float) -> Tensor:
        """The result [..., N] from exact sums, in their place."""
        y = sums.mul_(self.multiplier).mul_(unit)
        return y if self.bias is None else y.add_(self.bias)


class ExactConv(ExactLinear):
    """A 3x3 convolution of maps [B, h, w, K] of integers within MAP, with zeros around."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.weight.flatten(1), conv.bias, MAP, 1.0)
        self._kernel = self.weight.view(conv.weight.shape)

    def _sums(self, a: Tensor) -> Tensor:
        short = self._short_matrix()
        if short is not None:
            return short.convolved(a)
        return convolution(a.permute(0, 3, 1, 2), self._kernel).permute(0, 2, 3, 1)

    def _packed(self, products: Any) -> ShortMatrix:
        packed: ShortMatrix = products.ShortMatrix.of_kernel(self._kernel)
        return packed


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of integers whose partial sums stay below EXACT, exactly."""
    if float32_is_whole():
        return a @ b
    return (a.double() @ b.double()).float()


def convolution(a: Tensor, kernel: Tensor) -> Tensor:
    """The 3x3 convolution of integers [B, K, h, w] whose partial sums stay below EXACT, exactly.

    oneDNN sums products. What else torch may take (NNPACK) divides on the way, so there it is a
    product of matrices.
    """
    if (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and float32_is_whole()
    ):
        return F.conv2d(a, kernel, padding=1)
    b, _, h, w = a.shape
    columns = F.unfold(a, 3, padding=1)
    return matrix_product(kernel.flatten(1), columns).view(b, -1, h, w)


def float32_is_whole() -> bool:
    """Whether torch multiplies all bits of float32 operands; a program may allow it not to."""
    return torch.get_float32_matmul_precision() == "highest"


def _normalised(norm: nn.LayerNorm, layer: nn.Linear) -> ExactLinear:
    """A linear layer behind a normalisation, whose gains and biases it takes over."""
    weight = layer.weight.double() * norm.weight.double()
    bias = _exact_product(layer.weight, norm.bias)
    if layer.bias is not None:
        bias = bias + layer.bias.double()
    return ExactLinear(weight, bias, TOKEN, NORMAL_RANGE / TOKEN)


def _exact_product(weight: Tensor, x: Tensor) -> Tensor:
    """weight [N, K] times x [K] in fixed point, float64 [N]."""
    a, b = (torch.round(t.double() * 2.0**22).long() for t in (weight, x))
    return (a * b).sum(1).double() * 2.0**-44


def tree_sum(x: Tensor) -> Tensor:
    """The sum over the last dimension, [..., 1], halves added to each other."""
    while (n := x.shape[-1]) > 1:
        half = n // 2
        folded = x[..., :half] + x[..., half : 2 * half]
        x = folded if n % 2 == 0 else torch.cat([folded, x[..., -1:]], -1)
    return x


def normalise(x: Tensor, eps: float) -> Tensor:
    """x [..., D] without its mean, at a deviation of TOKEN / NORMAL_RANGE: integers in TOKEN."""
    d = x - tree_sum(x) / x.shape[-1]
    variance = tree_sum(d * d) / x.shape[-1]
    factor = (TOKEN / NORMAL_RANGE) / (variance + eps).sqrt_()
    return d.mul_(factor).round_().clamp_(-TOKEN, TOKEN)


def _dynamic(x: Tensor, dims: tuple[int, ...] | int, limit: int) -> tuple[Tensor, Tensor]:
    """(integers within a limit of x, in place; what 1 stands for), of largest magnitude in dims."""
    largest = x.abs().amax(dims, keepdim=True).clamp_min_(2.0**-30)
    return x.mul_(limit / largest).round_().clamp_(-limit, limit), largest / limit


class ExactBlock:
    """`Block` in exact arithmetic, on float32 streams [B, h, w, D]."""

    def __init__(self, block: Block, exponential: Tensor) -> None:
        attention = block.attention
        self._heads = attention.heads
        self._taps = block.depthwise.weight.float()[:, 0].permute(1, 2, 0).contiguous()
        assert block.depthwise.bias is not None
        self._tap_bias = block.depthwise.bias.float()
        self._eps = block.norm_attention.eps
        self._qkv = _normalised(block.norm_attention, attention.qkv)
        self._out = ExactLinear(attention.out.weight, None, TOKEN, 1.0)
        self._up = _normalised(block.norm_mlp, block.up)
        self._down = ExactLinear(block.down.weight, block.down.bias, HIDDEN, 1.0)
        self._score_bias = attention.bias.float()[:, attention.index] * SCORE
        self._slope = SCORE * (attention.out.in_features // self._heads) ** -0.5
        self._exponential = exponential

    def __call__(self, x: Tensor, shown: Tile | None = None) -> Tensor:
        return by_tiles(self._tile, x, shown)

    def _tile(self, x: Tensor, tile: Tile) -> Tensor:
        """A tile of whole windows of what the block makes of x."""
        part = to_windows(self._beside(x, tile))
        part = part + self._attention(part)
        part += self._mlp(part)
        return from_windows(part, tile.bottom - tile.top, tile.right - tile.left)

    def _beside(self, x: Tensor, tile: Tile) -> Tensor:
        """A tile of x plus its depthwise convolution, tap after tap."""
        h, w = tile.bottom - tile.top, tile.right - tile.left
        around = tile.with_margin(1, *x.shape[1:3])
        inside = tile.inside(around)
        part = x[:, around.rows, around.columns]
        beside = (1 - inside.left, 1 + inside.right - part.shape[2])
        above = (1 - inside.top, 1 + inside.bottom - part.shape[1])
        part = F.pad(part, (0, 0, *beside, *above))
        total = x[:, tile.rows, tile.columns] + self._tap_bias
        for i in range(3):
            for j in range(3):
                total += part[:, i : i + h, j : j + w] * self._taps[i, j]
        return total

    def _attention(self, x: Tensor) -> Tensor:
        """What attention adds to windows [n, 64, D]."""
        n, t, d = x.shape
        qkv = self._qkv(normalise(x, self._eps)).view(n, t, 3, self._heads, d // self._heads)
        (q, k, v), unit = _dynamic(qkv.permute(2, 0, 3, 1, 4).contiguous(), (-2, -1), HEAD)
        score = matrix_product(q, k.transpose(-1, -2)).mul_(unit[0] * unit[1] * self._slope)
        score += self._score_bias
        score = (score.amax(-1, keepdim=True) - score).round_().clamp_(max=SCORES - 1)
        weight = self._exponential.index_select(0, score.int().view(-1)).view(score.shape)
        y = matrix_product(weight, v).mul_(unit[2] / weight.sum(-1, keepdim=True))
        return self._out(*_dynamic(y.transpose(1, 2).reshape(n, t, d), -1, TOKEN))

    def _mlp(self, x: Tensor) -> Tensor:
        """What the MLP adds to windows [n, 64, D]."""
        hidden = self._up(normalise(x, self._eps)).clamp_min_(0)
        return self._down(*_dynamic(hidden * hidden, -1, HIDDEN))


def _mapped(x: Tensor, scale: float) -> Tensor:
    """Integers within MAP of the positive part of x, each 1 / scale."""
    return (x * scale).clamp_(0, MAP).round_()


@dataclass(frozen=True)
class StepConstants:
    """What follows from a quantizer step alone.

    units [C] float64: the size of an integer of each channel. size: the step, in pixel units.
    embedded [D] float32: what the step adds to tokens.
    """

    units: Tensor
    size: float
    embedded: Tensor


class ExactNetworks:
    """What the exact decoders of pictures and of inter frames have in common, on a CPU.

    Raises WeightsError for weights that cannot be made exact.
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer) -> None:
        self.config = tokenizer.config
        exponential = _exponential()
        for name, tensor in [*decoder.state_dict().items(), ("log_gain", tokenizer.log_gain.table)]:
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"a decoder has a value that is not finite in {name}")
        self.blocks = [ExactBlock(cast(Block, block), exponential) for block in decoder.blocks]
        self._embed_scale = (TOKEN / EMBED_RANGE) * 2.0**-LATENT_BITS / tokenizer.scale.double()
        self._embed = ExactLinear(decoder.embed.weight, decoder.embed.bias, TOKEN, EMBED_UNIT)
        self._step, self._log_gain = decoder.step, tokenizer.log_gain
        self._eps, self._expand = decoder.norm.eps, _normalised(decoder.norm, decoder.expand)
        self._unit = decoder.unit
        self._stem, self._out = ExactConv(decoder.stem), ExactConv(decoder.out)
        convs = [cast(ResidualConv, conv) for conv in decoder.convs]
        self._convs = [(ExactConv(conv.first), ExactConv(conv.second)) for conv in convs]

    def constants(self, step: int, apparent: Decimal) -> StepConstants:
        """What follows from the step of integers and from the one that the networks take."""
        with localcontext(prec=DIGITS):
            size = _step_size(Decimal(step))
            units = [size * (-gain).exp() for gain in _table_row(self._log_gain, Decimal(step))]
            embedded = _table_row(self._step, apparent)
            return StepConstants(
                torch.tensor([float(unit) for unit in units], dtype=torch.float64),
                float(_step_size(apparent)),
                torch.tensor([float(x) for x in embedded], dtype=torch.float64).float(),
            )

    def _operand(self, latents: Tensor) -> Tensor:
        """Integer latents as the embedding takes them."""
        return (latents * self._embed_scale).clamp_(-TOKEN, TOKEN).round_().float()

    def _step_scale(self, channels: Tensor, *, companded: bool = True) -> Tensor:
        """`Tokenizer.step_scale` of tokens, in units, [B, h, w], from their channels, float64.

        companded: whether these are what companding has left, of which it is found.
        """
        if not self.config.companding:
            one = float(STEP_SCALE_UNITS)
            return torch.full(channels.shape[:3], one, dtype=torch.float32)
        energy = (channels.square() * ENERGY_STEPS).clamp_(max=ENERGY_LIMIT).round_().sum(-1)
        least, thresholds = _step_scale_table(self.config, companded)
        return (torch.bucketize(energy, thresholds, right=True) + least).float()

    def _unit_of_maps(self, step_scale: Tensor, constants: StepConstants) -> Tensor:
        """The unit of the maps [B, 1, h 4, w 4]."""
        smooth = _smooth(step_scale, self._unit) / STEP_SCALE_UNITS
        return smooth.mul_(constants.size)[:, None]

    def _correction(self, maps: Tensor, stream: Tensor, unit: Tensor, base: float) -> Tensor:
        """What convolutions make of maps [B, h, w, K] and of the stream of the blocks: what is
        added to the samples, [B, h, w, 48]. unit [B, h, w, 1]; base: what maps are scaled by."""
        one = 1 / base
        expanded = self._expand(normalise(stream, self._eps)).permute(0, 3, 1, 2)
        maps = maps + shuffle(expanded, self._unit).permute(0, 2, 3, 1)
        for first, second in self._convs:
            maps = maps + second(_mapped(first(_mapped(maps, base), one), base), one)
        return self._out(_mapped(maps, base), one) * (unit / 8)


def map_base(constants: StepConstants) -> float:
    """What maps are multiplied by at a step, so that their integers are within MAP."""
    return 8.0 + constants.size / 2


def map_operand(linear: Tensor, unit: Tensor, base: float) -> Tensor:
    """Samples [B, h, w, 48] around 0 as the first convolutions take them; unit [B, h, w, 1]."""
    return (linear / (8.0 + unit / 2)).mul_(PIXEL * base).round_().clamp_(-MAP, MAP)


class ExactDecoder(ExactNetworks):
    """The decoder of a tokenizer in exact arithmetic, on a CPU.

    Raises WeightsError for weights that cannot be made exact.
    """

    @torch.no_grad()
    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer.decoder, tokenizer)
        self._basis = exact_basis(tokenizer.decoder.transform.weight.t())

    def dequantize(self, n: Tensor, constants: StepConstants) -> tuple[Tensor, Tensor]:
        """(latents [B, h, w, C], int32, unit of the maps [B, 1, 4 h, 4 w]) of integers."""

        def dequantized(band: tuple[int, int]) -> tuple[Tensor, Tensor]:
            y = n[:, band[0] : band[1]].double().mul_(constants.units)
            step_scale = self._step_scale(y[..., COMPANDED_FROM:])
            return scaled_latents(y, step_scale), step_scale

        made = in_pieces(dequantized, bands(*n.shape[1:3]))
        latents, step_scale = (torch.cat(parts, 1) for parts in zip(*made, strict=True))
        return latents, self._unit_of_maps(step_scale, constants)

    def attend(
        self, latents: Tensor, constants: StepConstants, shown: Tile | None = None
    ) -> Tensor:
        """The part on tokens: the stream [B, h, w, width], of a tile alone, if given."""

        def embedded(latents: Tensor) -> Tensor:
            return self._embed(self._operand(latents)).add_(constants.embedded)

        return run_blocks(self.blocks, by_rows(embedded, latents), shown)

    def local(
        self, latents: Tensor, stream: Tensor, unit: Tensor, constants: StepConstants
    ) -> Tensor:
        """The rest, on maps at 1/4 of the resolution: samples [B, 3, H, W], as `Decoder.local`."""
        linear = inverse_transform(latents, self._basis)
        linear = unshuffle(shuffle(linear.permute(0, 3, 1, 2), 4 * self._unit), 4)
        linear, unit = linear.permute(0, 2, 3, 1), unit.permute(0, 2, 3, 1)
        base = map_base(constants)
        maps = self._stem(map_operand(linear, unit, base), 1 / (PIXEL * base))
        correction = self._correction(maps, stream, unit, base)
        return shuffle((linear + correction).permute(0, 3, 1, 2), 4) + 127.5


def exact_basis(basis: Tensor) -> Tensor:
    """The rows [C, N] of a transform in fixed point, float64.

    Raises WeightsError for one that is too large.
    """
    fixed = torch.round(basis.double() * 2.0**BASIS_BITS)
    if float(fixed.abs().long().sum(0).max()) * LATENT_LIMIT >= 2.0**53:
        raise WeightsError("a decoder is not exact: its transform is too large")
    return fixed


def scaled_latents(y: Tensor, step_scale: Tensor) -> Tensor:
    """Integer latents, int32, of y [B, h, w, C], float64, in pixel units, which is overwritten.

    The companded channels are multiplied by a step scale [B, h, w], in its units.
    """
    y[..., COMPANDED_FROM:] *= step_scale.double()[..., None] / STEP_SCALE_UNITS
    y.mul_(2.0**LATENT_BITS).clamp_(-LATENT_LIMIT, LATENT_LIMIT).round_()
    return y.int()


def inverse_transform(latents: Tensor, basis: Tensor) -> Tensor:
    """Samples [B, h, w, N] of integer latents [B, h, w, C]; basis: see `exact_basis`."""
    return (latents.double() @ basis).mul_(2.0 ** -(LATENT_BITS + BASIS_BITS)).float()


class ExactRendering:
    """`ExactDecoder` for one step; a `Rendering`. missing_planes: see `decode_picture`."""

    def __init__(self, decoder: ExactDecoder, step: int, missing_planes: int = 0) -> None:
        self.config, self._decoder = decoder.config, decoder
        with localcontext(prec=DIGITS):
            planes = 32 * missing_planes * Decimal(3).ln() / Decimal(2).ln()
            apparent = min(step + planes, Decimal(STEPS - 1))
        self._constants = decoder.constants(step, apparent)
        self.reach = WINDOW * len(decoder.blocks)

    def dequantize(self, n: Tensor) -> tuple[Tensor, Tensor]:
        return self._decoder.dequantize(n, self._constants)

    def attend(self, latents: Tensor, shown: Tile) -> Tensor:
        return self._decoder.attend(latents, self._constants, shown)

    def local(self, latents: Tensor, tokens: Tensor, unit: Tensor) -> Tensor:
        return self._decoder.local(latents, tokens, unit, self._constants)


def _step_size(index: Decimal) -> Decimal:
    """`tokenizer.step_size`."""
    return 2 * (index / 32 * Decimal(2).ln()).exp()


def _table_row(table: StepTable, step: Decimal) -> list[Decimal]:
    """What a table has for a step."""
    rows = table.table.detach().double().tolist()
    last = len(rows) - 1
    position = min(max(step * last / (STEPS - 1), Decimal(0)), Decimal(last))
    low = min(int(position), last - 1)
    weight = position - low
    return [
        Decimal(a) * (1 - weight) + Decimal(b) * weight
        for a, b in zip(rows[low], rows[low + 1], strict=True)
    ]


@cache
def _exponential() -> Tensor:
    """HEAD times exp(-k / SCORE) for k = 0 .. SCORES - 1, rounded."""
    with localcontext(prec=DIGITS):
        exact = [HEAD * (-Decimal(k) / SCORE).exp() for k in range(SCORES)]
        return torch.tensor([float(x.to_integral_value()) for x in exact], dtype=torch.float32)


@cache
def _step_scale_table(config: TokenizerConfig, companded: bool = True) -> tuple[int, Tensor]:
    """(the least step scale, in units; the energies from which on it is a unit more each, float64).

    Energies are those of the channels that are companded in a token, summed, in steps; companded:
    as companding leaves them, not as they are before.
    """
    companding = Decimal(config.companding)
    with localcontext(prec=DIGITS):
        quiet, busy = Decimal(FLAT) ** 2, Decimal(BUSY) ** 2
        ratio = ((quiet / busy).ln() * companding / 2).exp()
        least = int((STEP_SCALE_UNITS * ratio).to_integral_value())
    units = 3 * config.patch**2 * ENERGY_STEPS

    def exact(steps: int) -> float:
        """A threshold in decimal arithmetic."""
        with localcontext(prec=DIGITS):
            ratio = Decimal(2 * steps + 1) / (2 * STEP_SCALE_UNITS)
            energy = (ratio.ln() * 2 / companding).exp() * busy - quiet
            return float(energy * units / (ratio**2 if companded else 1))

    steps = np.arange(least, MAX_STEP_SCALE)
    ratios = (2 * steps + 1) / (2 * STEP_SCALE_UNITS)
    thresholds = (ratios ** (2 / config.companding) * BUSY**2 - FLAT**2) * units
    if companded:
        thresholds /= ratios**2
    # energies are integers: only where a threshold lies close to one does its error matter
    for i in np.flatnonzero(np.abs(thresholds - np.rint(thresholds)) <= 1e-9 * thresholds + 1e-6):
        thresholds[i] = exact(int(steps[i]))
    return least, torch.from_numpy(thresholds)


def _smooth(x: Tensor, factor: int) -> Tensor:
    """Integers x [B, h, w] in bilinear interpolation, so many times as fine, exactly."""
    for dim in (1, 2):
        at = torch.arange(x.shape[dim])
        before = x.index_select(dim, (at - 1).clamp_min(0))
        after = x.index_select(dim, (at + 1).clamp_max(len(at) - 1))
        phases = []
        for i in range(factor):
            away = (2 * i + 1 - factor) / (2 * factor)
            phases.append((before if away < 0 else after) * abs(away) + x * (1 - abs(away)))
        x = torch.stack(phases, dim + 1).flatten(dim, dim + 1)
    return x
