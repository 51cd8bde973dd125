"""Where a new scene begins, told without motion vectors."""

import numpy as np
import pytest

from bsqcodec.encoder.frame_types import is_unlike

from ..video.scenes import moving


@pytest.mark.parametrize("shift", [0, 2, 7, 16])
def test_motion_is_no_new_scene(shift: int) -> None:
    wide = moving(96, 200)
    assert not is_unlike(wide[:, shift : shift + 150], wide[:, :150])
    assert not is_unlike(wide[shift : shift + 70, :150], wide[:70, :150])


def test_another_picture_is_one() -> None:
    frame = moving(96, 150)
    assert is_unlike(frame // 4, frame) and is_unlike(frame, frame // 4)


def test_brightness_that_drifts_is_none_and_a_flash_is_one() -> None:
    frame = moving(96, 150)
    assert not is_unlike((frame * 0.97).astype(np.uint8), frame)
    assert is_unlike(np.full_like(frame, 255), frame)
