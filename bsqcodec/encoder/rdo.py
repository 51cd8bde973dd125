"""Rate-distortion optimisation: integers of a picture or frame with fewer bits and less distortion.

    J(n) = distortion(decode(n)) + rate_weight * bits(n), each relative to that of the plain coding

The gradient of the distortion, through the decoder's networks, moves a real target for each
integer. Then each integer becomes the one with the least distance to its target plus bits, weighted
as in J. The bits of an integer follow from the probabilities that the prior gave when it last coded
the integers. Curvatures turn gradients into distances. No decoder needs any of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.encoder.distortion import TAPS, ms_ssim
from bsqcodec.encoder.lpips import MIN_SIDE, Lpips
from bsqcodec.encoder.tune import DEFAULT_MS_SSIM_WEIGHT, LPIPS_WEIGHT
from bsqcodec.machine.precision import autocast
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import RecordingCoder
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.windows import WINDOW, continued

MAX_OFF = 1.5
"""Largest distance, in integer steps, between an integer and the minimum that its
gradient points to."""

MAX_BEYOND_VALUE = 0.75
"""Largest distance, in integer steps, of an integer beyond its value. Gradients do not predict the
networks' output for channels that are hardly ever used: without this limit, blocks of coloured
noise appear here and there."""

STOPPED_DIGIT_BITS = 7.0
"""Bits of a first digit in a token that has stopped, for which there is no probability: measured,
with the bits of the flags and of the zeros beside it."""


@dataclass(frozen=True)
class RdoSchedule:
    """The steps of an optimisation, and its rate weight.

    recodings: how often the prior codes the integers anew. steps_per_recoding: steps that use the
    probabilities of one coding. rate_weight: by how many percent the distortion may grow for one
    percent of bits. Other quantizer steps give .9 to 1.1; less, at a coarser step, is better.
    first_stride, last_stride: the fraction of the way to its own minimum by which a target moves in
    a step. Values move at the same time, and the scale of a token follows from all of its values,
    so the strides shrink, linearly, until all settle.
    """

    recodings: int = 2
    steps_per_recoding: int = 8
    rate_weight: float = 0.6
    first_stride: float = 0.6
    last_stride: float = 0.03

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.recodings * self.steps_per_recoding

    def stride(self, step: int) -> float:
        """The stride of a step; the first one is step 0."""
        done = step / max(self.steps - 1, 1)
        return self.first_stride + (self.last_stride - self.first_stride) * done


PICTURE_SCHEDULE = RdoSchedule()
"""For pictures and intra frames. Twice as many steps gain less than half a percent of J."""

TILE_TOKENS, BORDER_TOKENS = 48, WINDOW
"""Side of a tile that is decoded at once, and the border around it, in tokens:
they bound the memory."""

TINY = 1e-12


@dataclass(frozen=True)
class Coding:
    """Integers [h, w, C] as the prior coded them, their bits and probabilities.

    probabilities [2, 2, h, w, C]: for the planes 0 and 1, of a digit that is not 0, and of a
    positive one among those; NaN where no digit was coded.
    """

    values: npt.NDArray[np.int32]
    bits: float
    probabilities: npt.NDArray[np.float32]


def code(
    prior: IntegerPrior,
    step: int,
    inside: npt.NDArray[np.bool_],
    z: npt.NDArray[np.float32],
    dead_zone: npt.NDArray[np.float32] | None = None,
    weight: float = 0.0,
    context: Tensor | None = None,
    most_planes: int | None = None,
) -> Coding:
    """Code z [h, w, C] at a step; further arguments: see `prior.walk.walk` and
    `walk_coders.EncodingCoder`."""
    flat = z.reshape(-1, z.shape[-1])
    coder = RecordingCoder(flat, limits(prior.planes, step), dead_zone, weight)
    values = walk(prior, step, inside, coder, context=context, most_planes=most_planes)
    return Coding(values, coder.ideal_bits, coder.probabilities.reshape(2, 2, *values.shape))


class Task(Protocol):
    """The integers to optimise: those of the tokens of pixels [H, W, 3].

    patch: side of a token; limit [C]: the largest integers, on the device of the optimisation.
    """

    @property
    def pixels(self) -> npt.NDArray[np.uint8]: ...
    @property
    def patch(self) -> int: ...
    @property
    def limit(self) -> Tensor: ...

    def code(self, values: npt.NDArray[np.float32]) -> Coding:
        """Code integers [h, w, C], those of the padding included, which are 0."""

    def decode(self, n: Tensor, rows: slice, columns: slice) -> Tensor:
        """Pixels [1, 3, ...], not clipped, of integers [r, s,
        C] of these rows and columns of tokens.

        Differentiable; in bfloat16 where that is fast.
        """


class PictureTask:
    """Integers of a picture [H, W, 3] at a step; inside [h, w]: which tokens touch it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prior: IntegerPrior,
        pixels: npt.NDArray[np.uint8],
        step: int,
        inside: npt.NDArray[np.bool_],
    ) -> None:
        self.pixels = pixels
        self.patch = tokenizer.config.patch
        self.limit = torch.from_numpy(limits(prior.planes, step)).to(prior.device)
        self._tokenizer, self._prior, self._index = tokenizer, prior, step
        self._inside = inside
        self._step = torch.tensor([step], device=prior.device, dtype=torch.float32)

    def code(self, values: npt.NDArray[np.float32]) -> Coding:
        return code(self._prior, self._index, self._inside, values)

    def decode(self, n: Tensor, rows: slice, columns: slice) -> Tensor:
        n = n.permute(2, 0, 1)[None]
        n = continued(n, 0, -n.shape[2] % WINDOW, 0, -n.shape[3] % WINDOW).permute(0, 2, 3, 1)
        with autocast(n.device):
            return self._tokenizer.decode(n, self._step).float()


class DigitCosts:
    """Bits of integers near those of a coding, all other integers staying as they are."""

    def __init__(self, coding: Coding, device: torch.device) -> None:
        values = torch.from_numpy(coding.values).to(device)
        self._units, self._threes = [
            self._digits(torch.from_numpy(plane).to(device)) for plane in coding.probabilities
        ]
        digit, rest = _last_digit(values)
        self._prefix = values - digit
        self._three = _last_digit(rest)[0]

    @staticmethod
    def _digits(probabilities: Tensor) -> Tensor:
        """Bits [3, h, w, C] of the digits -1, 0, 1 with probabilities [2, h, w, C]."""
        some, positive = probabilities
        bits = -torch.stack([some * (1 - positive), 1 - some, some * positive]).log2()
        unknown = torch.tensor(
            [STOPPED_DIGIT_BITS, 0, STOPPED_DIGIT_BITS], device=bits.device, dtype=torch.float32
        )
        return torch.where(bits.isnan(), unknown[:, None, None, None], bits)

    def __call__(self, n: Tensor) -> Tensor:
        """Bits [h, w, C] of the last two digits of n [h, w, C], infinite further than 2 away.

        A digit after another prefix counts as the opposite digit after this one.
        """
        off = n.to(self._prefix.dtype) - self._prefix
        carry = torch.where(off.abs() == 2, off.sign(), 0)
        digit = torch.where(carry != 0, -carry, off).clamp(-1, 1)
        three = self._three + carry
        bits = _pick(self._units, digit) + _pick(self._threes, three.clamp(-1, 1))
        return torch.where((off.abs() > 2) | (three.abs() > 1), torch.inf, bits)


def _last_digit(n: Tensor) -> tuple[Tensor, Tensor]:
    """(the last digit of integers in balanced ternary, the integer that the others spell)."""
    digit = (n + 1) % 3 - 1
    return digit, (n - digit) // 3


def _pick(bits: Tensor, digit: Tensor) -> Tensor:
    """bits [3, ...] of the digit -1, 0 or 1 in each place."""
    return bits.gather(0, (digit.long() + 1)[None])[0]


class _Distortion:
    """Distortion of integers n [R, S, C] of the tokens inside a picture, and its gradient.

    Relative to that of `reference` integers. ms_ssim_weight: of 1 - MS-SSIM. lpips: takes
    `LPIPS_WEIGHT`, where it is given; squared error has the rest.
    """

    def __init__(
        self, task: Task, reference: Tensor, ms_ssim_weight: float, lpips: Lpips | None = None
    ) -> None:
        self._task = task
        side = min(task.pixels.shape[:2])
        self._device = reference.device
        self._lpips = None if lpips is None or side < MIN_SIDE else lpips.to(self._device)
        structural = ms_ssim_weight if side >= TAPS else 0.0
        perceptual = 0.0 if self._lpips is None else LPIPS_WEIGHT
        weights = (1 - structural - perceptual, structural, perceptual)
        parts = self._parts(reference)
        self._weights = tuple(w / max(p, TINY) for w, p in zip(weights, parts, strict=True))
        self.exact = parts[0] <= TINY

    def __call__(self, n: Tensor) -> float:
        """The distortion."""
        return sum(w * p for w, p in zip(self._weights, self._parts(n), strict=True))

    def gradient(self, n: Tensor) -> tuple[float, Tensor]:
        """(distortion, its gradient [R, S, C])."""
        total, gradient = 0.0, torch.zeros_like(n)
        for tile in self._tiles(n):
            with torch.enable_grad():
                part = n[tile.around].clone().requires_grad_()
                parts = self._of_tile(part, tile)
                loss = torch.stack([w * p for w, p in zip(self._weights, parts, strict=True)]).sum()
                (found,) = torch.autograd.grad(loss, part)
            total += float(loss.detach()) * tile.weight
            gradient[tile.core] = found[tile.core_within]
        return total, gradient

    def _parts(self, n: Tensor) -> list[float]:
        """Mean squared error, 1 - MS-SSIM, LPIPS."""
        sums = [0.0, 0.0, 0.0]
        with torch.no_grad():
            for tile in self._tiles(n):
                parts = self._of_tile(n[tile.around], tile)
                sums = [s + float(p) * tile.weight for s, p in zip(sums, parts, strict=True)]
        return sums

    def _tiles(self, n: Tensor) -> Iterator[_Tile]:
        rows, columns = n.shape[:2]
        for top in range(0, rows, TILE_TOKENS):
            for left in range(0, columns, TILE_TOKENS):
                yield _Tile.at(top, left, rows, columns)

    def _of_tile(self, n: Tensor, tile: _Tile) -> tuple[Tensor, Tensor, Tensor]:
        """The three parts of the distortion of a tile [r, s, C] with its border, as scalars."""
        patch, whole = self._task.patch, self._task.pixels
        rows, columns = tile.around
        pixels = whole[
            rows.start * patch : rows.stop * patch, columns.start * patch : columns.stop * patch
        ]
        height, width = pixels.shape[:2]
        x = torch.from_numpy(pixels.astype(np.float32)).to(self._device).permute(2, 0, 1)[None]
        decoded = self._task.decode(n, rows, columns)[..., :height, :width]
        area = height * width / (whole.shape[0] * whole.shape[1])
        squared = (decoded - x).square().mean() * area
        structural = perceptual = torch.zeros_like(squared)
        if min(height, width) >= TAPS:
            structural = (1 - ms_ssim(decoded, x).mean()) * area
        if self._lpips is not None and min(height, width) >= MIN_SIDE:
            perceptual = self._lpips(decoded, x).mean() * area
        return squared, structural, perceptual


@dataclass(frozen=True)
class _Tile:
    """A tile of tokens (`core`), the same with its border, and the core within that;
    weight: of the core."""

    core: tuple[slice, slice]
    around: tuple[slice, slice]
    core_within: tuple[slice, slice]
    weight: float

    @classmethod
    def at(cls, top: int, left: int, rows: int, columns: int) -> _Tile:
        cores, arounds, within, weight = [], [], [], 1.0
        for start, count in ((top, rows), (left, columns)):
            core = slice(start, min(start + TILE_TOKENS, count))
            around = slice(
                max(0, start - BORDER_TOKENS), min(start + TILE_TOKENS + BORDER_TOKENS, count)
            )
            cores.append(core)
            arounds.append(around)
            within.append(slice(core.start - around.start, core.stop - around.start))
            weight *= (core.stop - core.start) / (around.stop - around.start)
        return cls(tuple(cores), tuple(arounds), tuple(within), weight)  # type: ignore[arg-type]


def _curvatures(gradient: Tensor, away: Tensor) -> Tensor | None:
    """Second derivatives [R, S, C] of the distortion, one factor a token and one a channel.

    Where a value is off by `away` [R, S, C], mostly by rounding, its gradient is its curvature
    times `away`, plus noise that averages out. None if the distortion does not rise with it.
    """
    product, square = gradient * away, away.square()
    overall = float(product.sum() / square.sum().clamp_min(TINY))
    if overall <= 0:
        return None
    sums = torch.stack([product.sum((0, 1)), square.sum((0, 1))])[None]  # [1, 2, C]
    sums = F.avg_pool1d(F.pad(sums, (4, 4), mode="replicate"), 9, 1)[0]
    channel = (sums[0] / sums[1].clamp_min(TINY)).clamp_min(overall / 10)
    sums = torch.stack([product.sum(2), (channel * square).sum(2)])[None]  # [1, 2, R, S]
    sums = F.avg_pool2d(continued(sums, 1, 1, 1, 1), 3, 1)[0]
    most = 0.3 * sums[1].mean()
    mean = float(product.sum() / (channel * square).sum().clamp_min(TINY))
    token = (sums[0] + mean * most) / (sums[1] + most).clamp_min(TINY)
    return token.clamp(mean / 5, mean * 8)[..., None] * channel


def optimise(
    task: Task,
    z: npt.NDArray[np.float32],
    start: Coding,
    schedule: RdoSchedule = PICTURE_SCHEDULE,
    ms_ssim_weight: float = DEFAULT_MS_SSIM_WEIGHT,
    progress: Callable[[float], None] | None = None,
    lpips: Lpips | None = None,
) -> npt.NDArray[np.int32]:
    """The integers [h, w, C] with the least J that the optimisation finds,
    at worst those of `start`.

    z [h, w, C]: the values that `start` codes. ms_ssim_weight: of 1 - MS-SSIM in the distortion;
    lpips: a further part of it, see `_Distortion`.
    The same arguments give the same integers on one machine with the same number of threads.
    """
    height, width = task.pixels.shape[:2]
    inside = (slice(-(-height // task.patch)), slice(-(-width // task.patch)))
    limit, device = task.limit, task.limit.device
    n = torch.from_numpy(start.values[inside]).to(device).float()
    distortion = _Distortion(task, n, ms_ssim_weight, lpips)
    if distortion.exact or start.bits <= 0:
        return start.values
    value = torch.from_numpy(z[inside]).to(device)
    target = value.clone()
    low = (value - MAX_BEYOND_VALUE).clamp_max(0).maximum(-limit)
    bounds = low, (value + MAX_BEYOND_VALUE).clamp_min(0).minimum(limit)
    bit_weight = schedule.rate_weight / start.bits
    coding = best = start
    least = 1 + schedule.rate_weight
    curvature: Tensor | None = None
    for step in range(schedule.steps):
        found, gradient = distortion.gradient(n)
        if curvature is None:
            curvature = _curvatures(gradient, (n - target).clamp(-1, 1))
            if curvature is None:
                break
        if step % schedule.steps_per_recoding == 0:
            if step:
                coding = task.code(_whole(n, z))
                candidate = coding, found + bit_weight * coding.bits
                best, least = min((best, least), candidate, key=_second)
            costs = DigitCosts(_inside(coding, inside), device)
        off = (gradient / curvature).clamp(-MAX_OFF, MAX_OFF)
        target += schedule.stride(step) * (n - off - target)
        n = _nearest(n, target, curvature, costs, bit_weight, bounds)
        if progress is not None:
            progress((step + 1) / schedule.steps)
    last = task.code(_whole(n, z))
    candidate = last, distortion(n) + bit_weight * last.bits
    return min((best, least), candidate, key=_second)[0].values


def _nearest(
    n: Tensor,
    target: Tensor,
    curvature: Tensor,
    costs: DigitCosts,
    bit_weight: float,
    bounds: tuple[Tensor, Tensor],
) -> Tensor:
    """n or an integer beside it, whichever has the least distance to the target plus
    weighted bits."""
    low, high = bounds
    best, least = n, 0.5 * curvature * (target - n).square() + bit_weight * costs(n)
    for change in (-1, 1):
        m = n + change
        loss = 0.5 * curvature * (target - m).square() + bit_weight * costs(m)
        take = (loss < least) & (m >= low) & (m <= high)
        best, least = torch.where(take, m, best), torch.where(take, loss, least)
    return best


def _second(pair: tuple[Coding, float]) -> float:
    return pair[1]


def _whole(n: Tensor, like: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """n [R, S, C] in a grid [h, w, C] of zeros."""
    result = np.zeros_like(like)
    result[: n.shape[0], : n.shape[1]] = n.cpu().numpy()
    return result


def _inside(coding: Coding, inside: tuple[slice, slice]) -> Coding:
    """The tokens of a coding that touch the picture."""
    probabilities = coding.probabilities[(slice(None), slice(None), *inside)]
    return Coding(coding.values[inside], coding.bits, probabilities)
