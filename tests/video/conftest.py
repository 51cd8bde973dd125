"""Fixtures for tests of groups of pictures: the tiny models, and threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads


@pytest.fixture(scope="module")
def weights(video_codec: VideoCodec) -> VideoWeights:
    """The tiny models of pictures and video."""
    return video_codec.weights


@pytest.fixture(scope="module")
def threads() -> Iterator[CodingThreads]:
    """Threads for groups that are coded and decoded."""
    with CodingThreads.started() as made:
        yield made
