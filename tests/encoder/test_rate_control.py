"""Rate control, on groups that cost what a formula says: quality, PSNR,
bitrate and size are met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np
import pytest

from bsqcodec.encoder.rate_control import CodedGroup, make_rate_control
from bsqcodec.encoder.size_budget import (
    SIZE_TOLERANCE,
    SizeBudget,
    code_to_size,
    container_bytes,
    shortfall,
)
from bsqcodec.encoder.target_search import LAST_STEP, step_of_quality
from bsqcodec.errors import TargetError
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Size

from .driving import drive, group

GRID = TokenGrid(288, 352)


def weights_of(kind: str, count: int = 40) -> list[float]:
    generator = np.random.default_rng(0)
    if kind == "even":
        return [1.0] * count
    if kind == "rising":
        return list(np.geomspace(0.5, 6, count))
    return list(np.exp(generator.normal(0, 0.5, count)))


def test_quality_is_a_constant_step() -> None:
    rate_control = make_rate_control(Quality(30), GRID)
    assert {step for step, _ in drive(rate_control, weights_of("wild"))} == {step_of_quality(30)}


@pytest.mark.parametrize("kind", ["even", "rising", "wild"])
@pytest.mark.parametrize("kilobits", [60, 300, 2000])
def test_a_bitrate_is_met_on_average(kind: str, kilobits: int) -> None:
    rate_control = make_rate_control(Bitrate(1000.0 * kilobits), GRID)
    coded = drive(rate_control, weights_of(kind))
    seconds = len(coded)
    assert 8 * sum(c.size for _, c in coded) / seconds == pytest.approx(1000 * kilobits, rel=0.1)


def test_bits_per_pixel_are_a_bitrate_in_other_words() -> None:
    pixels = GRID.height * GRID.width
    first = drive(make_rate_control(BitsPerPixel(0.1), GRID), weights_of("wild"))
    second = drive(make_rate_control(Bitrate(0.1 * pixels * 25), GRID), weights_of("wild"))
    assert [step for step, _ in first] == [step for step, _ in second]


def test_a_bitrate_goes_by_time_and_not_by_frames() -> None:
    """Of groups with as many frames, those that are shown four times as long get more bits."""
    rate_control = make_rate_control(Bitrate(300_000.0), GRID)
    spans = [4.0, 1.0] * 30
    sizes = []
    for index, seconds in enumerate(spans):
        control = rate_control.begin(index, 25 * index)
        step = control.first_step()
        while True:
            coded = group(step, 1.0)
            following = control.judge(step, coded, seconds)
            if following is None:
                break
            step = following
        rate_control.accept(step, coded, seconds)
        sizes.append(coded.size)
    assert 8 * sum(sizes) / sum(spans) == pytest.approx(300_000, rel=0.1)
    assert sum(sizes[::2]) > 2 * sum(sizes[1::2])


@pytest.mark.parametrize("wanted", [28.0, 33.3, 40.0])
def test_a_psnr_is_reached_with_the_coarsest_step(wanted: float) -> None:
    for (step, _), weight in zip(
        drive(make_rate_control(Psnr(wanted), GRID), weights_of("wild")),
        weights_of("wild"),
        strict=True,
    ):
        error = group(step, weight).errors[0]
        coarser = group(step + 1, weight).errors[0]
        assert 10 * math.log10(255**2 / error) >= wanted
        assert 10 * math.log10(255**2 / coarser) < wanted + 0.1 or step == LAST_STEP


def test_frames_without_error_have_every_psnr() -> None:
    control = make_rate_control(Psnr(90), GRID).begin(0, 0)
    step = control.first_step()
    still = CodedGroup((), (0.0,))
    for _ in range(20):
        following = control.judge(step, still if control.dry else CodedGroup((b"x",), (0.0,)), 0.04)
        if following is None:
            break
        step = following
    assert following is None and step == LAST_STEP


def test_a_psnr_out_of_reach() -> None:
    with pytest.raises(TargetError, match="70 dB is out of reach: the finest step gives"):
        drive(make_rate_control(Psnr(70), GRID), [1.0])


def test_a_size_needs_the_length() -> None:
    with pytest.raises(ValueError, match="length is known"):
        make_rate_control(Size(1000), GRID)


# Size ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A coding of a whole video."""

    size: int
    picture_bytes: int
    mark: int


def coder(
    weights: list[float], rest: int, passes: list[int], frames: int = 25
) -> Callable[[SizeBudget, IO[bytes]], File]:
    """A function that codes groups of these weights, and counts its calls in `passes`."""

    def code(budget: SizeBudget, file: IO[bytes]) -> File:
        passes.append(0)
        spent = sum(coded.size for _, coded in drive(budget, weights, frames))
        file.write(b"%d" % len(passes))
        return File(spent + rest, spent, len(passes))

    return code


@pytest.mark.parametrize("kind", ["even", "rising", "wild"])
@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("bytes_of_group", [8000, 90_000])
def test_a_size_is_met(bytes_of_group: int, count: int, kind: str) -> None:
    weights, passes = weights_of(kind, count), list[int]()
    rest = 2000
    limit = rest + count * bytes_of_group
    code = coder(weights, rest, passes)
    found, file = code_to_size(code, 25 * count, round(1.2 * rest), limit, group=25)
    with file:
        assert file.read() == b"%d" % found.mark  # the file of the coding that is told of
    assert found.size <= limit
    assert found.size >= limit * (1 - SIZE_TOLERANCE)
    assert shortfall(found.size, limit) == ()
    assert len(passes) <= 3


def test_steps_of_a_sized_video_are_even() -> None:
    """After its first groups the step follows the mean of all, not each group's own cost."""
    total = sum(group(120, weight).size for weight in weights_of("wild"))
    steps = [
        step for step, _ in drive(SizeBudget(total, 25 * 40, 0.02 * total, 25), weights_of("wild"))
    ]
    own = [np.log2(weight) * 26 for weight in weights_of("wild")]  # steps that would even them out
    assert np.std(steps[8:32]) < 0.6 * np.std(own[8:32])


def test_a_size_out_of_reach() -> None:
    weights = [1000.0] * 3
    with pytest.raises(TargetError, match="the smallest file this video gives is"):
        code_to_size(coder(weights, 100, []), 75, 100, 10_000)
    with pytest.raises(TargetError, match="takes 20000 bytes of the 10000 asked for"):
        code_to_size(coder([1.0], 20_000, []), 25, 20_000, 10_000)


def test_a_size_that_is_never_filled() -> None:
    passes: list[int] = []
    found, file = code_to_size(coder([0.001] * 3, 100, passes), 75, 100, 1_000_000)
    file.close()
    assert len(passes) == 1
    (note,) = shortfall(found.size, 1_000_000)
    assert note.endswith("% smaller than asked for")


def test_container_bytes_grow_with_what_is_in_it() -> None:
    assert container_bytes({}, 1, 25) < container_bytes({}, 2, 25) < container_bytes({}, 2, 50)
    assert container_bytes({"title": "x" * 1000}, 1, 25) > container_bytes({}, 1, 25) + 1000
