"""The steps among which rate control of videos of the family `bsq` chooses.

A step says how many bits the codes of a group's frames have. There are few depths, so between two
neighbouring ones lie steps with which some frames of every `CYCLE` have the one and the others the
other. The finer frames come first, since what follows is predicted from them, and in one run, so
that the change is seldom to be seen.
"""

from __future__ import annotations

from bsqcodec.encoder.rate_control import StepScale

CYCLE = 16
"""Frames after which the depths of a group's frames repeat; steps from a depth to the next."""

STEPS_PER_HALVING = 24.0
STEPS_PER_DECIBEL = 11.0
"""Means over the shipped depths, 6 to 36 bits: 64 steps are 2.6 halvings of the bits and 6 dB."""


def scale_of_depths(count: int) -> StepScale:
    """The steps of weights with so many depths; the first is the whole code."""
    return StepScale(
        finest=0,
        coarsest=CYCLE * (count - 1),
        initial=CYCLE * (count // 2),
        per_halving=STEPS_PER_HALVING,
        per_decibel=STEPS_PER_DECIBEL,
    )


def step_of_depth(index: int) -> int:
    """The step with which all frames have the depth of this index, finest first."""
    return CYCLE * index


def depth_at(step: int, frame: int) -> int:
    """The index of the depth of a frame at a step, finest first; frame: its number in its group."""
    index, coarser = divmod(step, CYCLE)
    return index + (frame % CYCLE >= CYCLE - coarser)
