"""Motion estimation: known shifts are found, fast ones too."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bsqcodec.encoder.motion_estimation import (
    MAX_VECTOR_PIXELS,
    IntegerPelMotion,
    _median,
    luma,
    refine_subpel,
    search_integer_pel,
)
from bsqcodec.models.transform.compensation import compensate

from ..conftest import use_loops
from ..motion_fields import field, texture
from ..tiny_models import seeded

pytestmark = pytest.mark.usefixtures("loops")


def search(current: Tensor, reference: Tensor, rate_weight: float = 14.0) -> Tensor:
    """Vectors between two frames [3, H, W]."""
    motion = search_integer_pel(luma(current), luma(reference), rate_weight)
    return refine_subpel(motion, luma(current), luma(reference), rate_weight)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-7, 2), (12, 20)])
def test_a_known_shift_is_found(down: int, right: int) -> None:
    large = texture(128, 128)
    reference = large[:, 32:96, 32:96]
    current = large[:, 32 + down : 96 + down, 32 + right : 96 + right]
    found = search(current, reference)
    assert found.dtype == torch.int64 and found.shape == (8, 8, 2)
    covered = found[2:6, 2:6]  # blocks whose content is in the reference
    same = (covered == torch.tensor([4 * down, 4 * right])).all(-1)
    assert same.float().mean() > 0.7
    error = (compensate(reference, found) - current).abs()[:, 16:40, 16:40].mean()
    assert error < 2


@pytest.mark.parametrize(("down", "right"), [(0, 88), (-72, 40)])
def test_fast_motion_is_found(down: int, right: int) -> None:
    large = texture(320, 448)
    reference = large[:, 96:224, 96:352]
    current = large[:, 96 + down : 224 + down, 96 + right : 352 + right]
    found = search(current, reference)
    rows, columns = torch.arange(16)[:, None] * 8 + down, torch.arange(32) * 8 + right
    covered = (rows >= 0) & (rows <= 112) & (columns >= 0) & (columns <= 240)
    same = (found == torch.tensor([4 * down, 4 * right])).all(-1)
    assert same[covered].float().mean() > 0.8


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (2, 3), (9, 7)])
def test_the_median_is_that_of_nine(rows: int, columns: int) -> None:
    with seeded(rows):
        vectors = torch.randint(-4, 5, (rows, columns, 2))
    found = _median(vectors)
    for row in range(rows):
        for column in range(columns):
            near = [
                vectors[min(max(row + i, 0), rows - 1), min(max(column + j, 0), columns - 1)]
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            ]
            assert torch.equal(found[row, column], torch.stack(near).median(0).values)


def test_still_frames_have_no_motion() -> None:
    frame = texture(48, 64)
    assert not search(frame, frame).any()


def test_vectors_of_the_frame_before_are_candidates() -> None:
    """A shift that the coarse search cannot see is found where those before say so."""
    large = texture(64, 256)
    reference, current = large[:, :, :64], large[:, :, 63:127]
    known = IntegerPelMotion(
        field(4, 4, 0, 4 * 63), field(8, 8, 0, 4 * 63), torch.zeros(4, 4, dtype=torch.bool)
    )
    alone = search_integer_pel(luma(current), luma(reference), 14.0)
    found = search_integer_pel(luma(current), luma(reference), 14.0, known)
    assert not (alone.tokens[..., 1] == 4 * 63).any()
    assert (found.tokens[..., 1] == 4 * 63).any()
    assert (search(current, reference)[..., 1].abs() <= 4 * MAX_VECTOR_PIXELS).all()


def test_loops_find_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of textures that move by fractions of pixels, with noise, over two frames."""
    with seeded(5):
        large = texture(160, 192) + 3 * torch.randn(3, 160, 192)
    frames = [large[:, 16 + d : 112 + d, 16 + 2 * d : 144 + 2 * d] for d in (0, 3, 5)]
    frames[2] = (frames[2] + torch.roll(frames[2], 1, 2)) / 2
    found: list[list[Tensor]] = []
    for wanted in (False, True):
        use_loops(monkeypatch, wanted)
        motion, results = None, []
        for before, frame in pairwise(frames):
            motion = search_integer_pel(luma(frame), luma(before), 14.0, motion)
            vectors = refine_subpel(motion, luma(frame), luma(before) + 0.3, 14.0)
            results += [motion.tokens, motion.quarters, motion.split_candidates, vectors]
        found.append(results)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert (found[0][-1] & 3).any()
