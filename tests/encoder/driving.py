"""Runs a rate control over groups that cost what a formula says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bsqcodec.encoder.rate_control import CodedGroup, RateControl

FRAMES = 25
"""Frames of a group, which are shown for a second."""

MakeGroup = Callable[[int, float, int], CodedGroup]
"""Makes a group from a step, a weight (how much it costs) and a number of frames."""


def group(step: int, weight: float, frames: int = FRAMES) -> CodedGroup:
    """A group as a codec might give it: bits fall and errors grow with the step."""
    size = max(1, round(weight * 40000 * 2 ** (-step / 26)))
    error = weight * 2.0 ** (step / 22) / 4
    return CodedGroup((bytes(size),) * frames, (error,) * frames)


def drive(
    rate_control: RateControl,
    weights: list[float],
    frames: int = FRAMES,
    make: MakeGroup = group,
) -> list[tuple[int, CodedGroup]]:
    """Run a control over groups; (step, group) of each, and at most 30 codings for one."""
    scale = rate_control.scale
    result: list[tuple[int, CodedGroup]] = []
    for index, weight in enumerate(weights):
        assert rate_control.needs(index, index * frames) <= index
        control = rate_control.begin(index, index * frames)
        step = control.first_step()
        for _ in range(30):
            assert scale.finest <= step <= scale.coarsest
            coded = make(step, weight, frames)
            if control.dry:
                coded = replace(coded, payloads=())
            following = control.judge(step, coded, frames / 25)
            if following is None:
                break
            step = following
        else:
            pytest.fail("the control never agrees")
        rate_control.accept(step, coded, frames / 25)
        result.append((step, coded))
    return result
