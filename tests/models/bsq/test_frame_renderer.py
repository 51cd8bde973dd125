"""The frames of a group: the first as a picture, the others given those before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bsqcodec.models.bsq import frame_renderer
from bsqcodec.models.bsq.coding import Signs, picture_of_signs
from bsqcodec.models.bsq.frame_renderer import FrameRenderer, given_earlier

from ...tiny_models import random_bsq_tokenizer

SIZE = (70, 90)


def signs(seed: int) -> Signs:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (16, 16, 18))


def rendered(renderer: FrameRenderer, *seeds: int) -> list[np.ndarray]:
    return [renderer.render(signs(seed), *SIZE) for seed in seeds]


def test_without_a_network_for_it_each_frame_is_a_picture() -> None:
    tokenizer = random_bsq_tokenizer()
    for seed, frame in enumerate(rendered(FrameRenderer(tokenizer), 0, 1, 2)):
        assert np.array_equal(frame, picture_of_signs(tokenizer, signs(seed), *SIZE))


@pytest.mark.parametrize("frames", [1, 2])
def test_a_frame_follows_from_so_many_before_it(frames: int) -> None:
    tokenizer = random_bsq_tokenizer(earlier_frames=frames)
    first, *others = rendered(FrameRenderer(tokenizer), 0, 1, 2, 3)
    assert np.array_equal(first, picture_of_signs(tokenizer, signs(0), *SIZE))
    for seed, frame in enumerate(others, 1):
        assert not np.array_equal(frame, picture_of_signs(tokenizer, signs(seed), *SIZE))
    known = rendered(FrameRenderer(tokenizer), *range(3 - frames, 4))[-1]
    fewer = rendered(FrameRenderer(tokenizer), *range(4 - frames, 4))[-1]
    assert np.array_equal(others[-1], known) and not np.array_equal(others[-1], fewer)


def test_a_network_that_has_learned_nothing_changes_nothing() -> None:
    tokenizer = random_bsq_tokenizer(earlier_frames=2)
    assert tokenizer.earlier is not None
    with torch.no_grad():
        tokenizer.earlier.out.weight.zero_()
        tokenizer.earlier.out.bias.zero_()  # type: ignore[union-attr]
    for seed, frame in enumerate(rendered(FrameRenderer(tokenizer), 0, 1, 2)):
        assert np.array_equal(frame, picture_of_signs(tokenizer, signs(seed), *SIZE))


def test_strips_give_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_bsq_tokenizer(earlier_frames=2).earlier
    assert network is not None
    own, *earlier = (
        np.random.default_rng(seed).integers(0, 256, (130, 50, 3), np.uint8) for seed in range(3)
    )
    whole = given_earlier(network, own, earlier)
    assert whole.shape == own.shape and not np.array_equal(whole, own)
    monkeypatch.setattr(frame_renderer, "STRIP_PIXELS", 1000)
    strips = given_earlier(network, own, earlier)
    assert np.abs(whole.astype(int) - strips).max() <= 1 and (whole != strips).mean() < 0.01
