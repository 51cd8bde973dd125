"""Steps between depths: how many frames have which, and rates, sizes and PSNRs that they meet."""

from __future__ import annotations

import math
from typing import IO

import numpy as np
import pytest

from bsqcodec.encoder.depth_steps import CYCLE, depth_at, scale_of_depths, step_of_depth
from bsqcodec.encoder.rate_control import (
    AverageRate,
    CodedGroup,
    ConstantStep,
    MinimumPsnr,
    RateControl,
    rate_control_on,
)
from bsqcodec.encoder.size_budget import SizeBudget, code_to_size
from bsqcodec.errors import TargetError
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr

from .driving import FRAMES, drive

DEPTHS = (36, 24, 18, 12, 6)
SCALE = scale_of_depths(len(DEPTHS))
ERRORS = (90.0, 105.0, 116.0, 160.0, 360.0)
"""Mean squared errors at the depths, about those of the shipped weights."""

WHOLE = 400
"""Bytes of a frame of weight 1 with whole codes."""


def group(step: int, weight: float, frames: int = FRAMES) -> CodedGroup:
    """A group whose frames cost what their depths do."""
    depths = [depth_at(step, frame) for frame in range(frames)]
    sizes = [round(weight * WHOLE * DEPTHS[depth] / DEPTHS[0]) for depth in depths]
    errors = tuple(weight * ERRORS[depth] for depth in depths)
    return CodedGroup(tuple(map(bytes, sizes)), errors)


def weights(count: int = 40) -> list[float]:
    return list(np.exp(np.random.default_rng(0).normal(0, 0.3, count)))


def run(rate_control: RateControl, count: int = 40) -> list[tuple[int, CodedGroup]]:
    return drive(rate_control, weights(count), make=group)


def bits_of(coded: list[tuple[int, CodedGroup]]) -> int:
    return 8 * sum(made.size for _, made in coded)


def test_the_ends_and_every_cycle_of_steps_are_depths() -> None:
    assert (SCALE.finest, SCALE.coarsest) == (0, step_of_depth(4)) and SCALE.initial == 2 * CYCLE
    for index in range(len(DEPTHS)):
        found = {depth_at(step_of_depth(index), frame) for frame in range(50)}
        assert found == {index}


def test_every_step_makes_one_more_frame_of_a_cycle_coarser() -> None:
    """The finer frames come first, and no frame is finer at a coarser step."""
    before = [0] * CYCLE
    for step in range(1, SCALE.coarsest + 1):
        depths = [depth_at(step, frame) for frame in range(CYCLE)]
        assert sum(depths) == step and depths == sorted(depths)
        assert all(new >= old for new, old in zip(depths, before, strict=True))
        assert [depth_at(step, frame + CYCLE) for frame in range(CYCLE)] == depths
        before = depths


def test_weights_with_one_depth_have_one_step() -> None:
    scale = scale_of_depths(1)
    assert scale.finest == scale.coarsest == scale.initial == 0
    coded = drive(AverageRate(per_frame=1.0, scale=scale), [1.0, 2.0], make=group)
    assert [step for step, _ in coded] == [0, 0]


@pytest.mark.parametrize("fraction", [0.25, 0.37, 0.5, 0.8])
def test_rates_are_met_on_average(fraction: float) -> None:
    """Of what whole codes take, by frames and by seconds."""
    whole = bits_of(run(ConstantStep(0, SCALE)))
    per_frame = fraction * whole / (40 * FRAMES)
    grid = TokenGrid(100, 100, 8, 8)
    by_pixel = run(rate_control_on(SCALE, BitsPerPixel(per_frame / 100**2), grid))
    assert bits_of(by_pixel) == pytest.approx(fraction * whole, rel=0.03)
    by_second = run(rate_control_on(SCALE, Bitrate(per_frame * FRAMES), grid))
    assert [step for step, _ in by_second] == [step for step, _ in by_pixel]


def test_a_rate_below_all_depths_is_an_error_if_that_is_asked_for() -> None:
    smallest = bits_of(run(ConstantStep(SCALE.coarsest, SCALE)))
    for strict in (False, True):
        rate_control = AverageRate(per_frame=smallest / 4000, scale=SCALE, strict=strict)
        bits = bits_of(run(rate_control))
        assert bits == smallest
        if strict:
            with pytest.raises(TargetError, match="fewest bits .* 4.00 times those asked for"):
                rate_control.missed(bits, 1000, 40.0)
        else:
            note = rate_control.missed(bits, 1000, 40.0)
            assert note is not None and "take 4.00 times" in note


@pytest.mark.parametrize("wanted", [23.5, 26.0, 27.7])
def test_a_psnr_is_reached_with_the_coarsest_step(wanted: float) -> None:
    def psnr(step: int) -> float:
        return 10 * math.log10(255**2 / np.mean(group(step, 1.0).errors))

    for step, _ in drive(MinimumPsnr(wanted, SCALE), [1.0] * 4, make=group):
        assert psnr(step) >= wanted > psnr(step + 1) - 0.1
    rate_control = rate_control_on(SCALE, Psnr(29.0), TokenGrid(8, 8))
    with pytest.raises(TargetError, match="29 dB is out of reach: the finest step gives 28.59 dB"):
        drive(rate_control, [1.0], make=group)


class File:
    """A coding of a whole video."""

    def __init__(self, picture_bytes: int) -> None:
        self.picture_bytes, self.size = picture_bytes, picture_bytes + 1000


def code(budget: SizeBudget, file: IO[bytes], count: int) -> File:
    return File(sum(made.size for _, made in run(budget, count)))


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("fraction", [0.3, 0.55, 0.9])
def test_a_size_is_met(count: int, fraction: float) -> None:
    whole = bits_of(run(ConstantStep(0, SCALE), count)) // 8
    limit = 1000 + round(fraction * whole)
    found, file = code_to_size(
        lambda budget, file: code(budget, file, count), FRAMES * count, 1000, limit, FRAMES, SCALE
    )
    file.close()
    assert limit * 0.95 <= found.size <= limit


def test_a_size_below_all_depths() -> None:
    with pytest.raises(TargetError, match="the smallest file this video gives is"):
        code_to_size(
            lambda budget, file: code(budget, file, 3), 3 * FRAMES, 1000, 2000, FRAMES, SCALE
        )
