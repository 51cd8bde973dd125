"""The network for earlier frames: how it begins, weights of differences, and its margin."""

from __future__ import annotations

import torch
from torch import Tensor

from bsqcodec.models.bsq.earlier_frames import CELL, START, EarlierFrames

from ...tiny_models import seeded, shake


def network(strength: float = 0.05, convs: int = 1) -> EarlierFrames:
    """For two frames, with every part of it at work; with a strength of 0, as training begins."""
    with seeded(0):
        made = EarlierFrames(2, 8, convs)
        shake(made, strength)
    return made.eval().requires_grad_(False)


def picture(seed: int, height: int = 32, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, 3, height, width), generator=generator) * 255


def test_it_begins_as_a_mean() -> None:
    own, first, second = picture(0), picture(1), picture(2)
    expected = (1 - START) * own + START / 2 * (first + second)
    torch.testing.assert_close(network(0.0)(own, [first, second]), expected)


def test_each_frame_and_their_order_matter() -> None:
    made, own, first, second = network(), picture(0), picture(1), picture(2)
    found = [made(own, earlier) for earlier in ([first, second], [second, first], [first])]
    assert not any(torch.allclose(each, own) for each in found)
    assert not torch.allclose(found[0], found[1]) and not torch.allclose(found[0], found[2])
    assert torch.equal(found[2], made(own, [first, first]))


def test_weights_are_those_of_differences() -> None:
    """With weights that are the same everywhere, the result is that mean of the pictures."""
    made, own, first, second = network(0.0), picture(0), picture(1), picture(2)
    weights = torch.tensor([0.5, 0.25]).repeat_interleave(CELL**2)
    made.out.bias.copy_(torch.cat([weights, torch.zeros(3 * CELL**2)]))  # type: ignore[union-attr]
    expected = 0.25 * own + 0.5 * first + 0.25 * second
    torch.testing.assert_close(made(own, [first, second]), expected)


def test_pixels_outside_the_margin_have_no_part() -> None:
    made = network(convs=2)
    own, first = picture(0, 96, 16), picture(1, 96, 16)
    whole = made(own, [first])
    margin = CELL * made.margin
    part = slice(48 - margin, 52 + margin)
    torch.testing.assert_close(
        made(own[:, :, part], [first[:, :, part]])[:, :, margin : margin + 4],
        whole[:, :, 48:52],
    )
    changed = first.clone()
    changed[:, :, 48] += 50
    reached = (made(own, [changed]) != whole).any(1)[0].any(1).nonzero()
    assert reached.min() >= 48 - margin and reached.max() < 52 + margin
