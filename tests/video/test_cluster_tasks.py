"""What a worker loads for a video, and what it refuses to."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsqcodec.errors import ClusterError, WeightsError
from bsqcodec.models import weight_store
from bsqcodec.options import EncodeOptions
from bsqcodec.video.cluster_coders import session_of
from bsqcodec.video.cluster_tasks import Failure, Session, WorkerVideo, _coding_threads, prepare
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.shared_file import FrameSum, UnreadableError


@pytest.fixture
def session(video_codec: VideoCodec) -> Session:
    return session_of(video_codec, (32, 48), EncodeOptions(), None)


def test_it_loads_the_weights_of_the_client(session: Session) -> None:
    sent: WorkerVideo = pickle.loads(pickle.dumps(WorkerVideo(session)))
    assert prepare(sent) is False  # there is no file
    assert sent.encoders() is sent.encoders()


def test_weights_are_found_by_their_id(
    session: Session, video_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the path is another one, or has other weights."""
    monkeypatch.setenv(weight_store.ENVIRONMENT, str(video_weights.parent))
    other = tmp_path / "other.safetensors"
    assert prepare(WorkerVideo(replace(session, weights=other))) is False
    other.write_bytes(b"?")
    assert prepare(WorkerVideo(replace(session, weights=other))) is False


def test_other_weights_are_refused(session: Session) -> None:
    answer = prepare(WorkerVideo(replace(session, model_id=b"anything")))
    assert isinstance(answer, Failure) and isinstance(answer.error, WeightsError)
    assert f"needs the video weights {b'anything'.hex()}" in str(answer.error)


def test_another_precision_is_refused(session: Session) -> None:
    answer = prepare(WorkerVideo(replace(session, precision="float8")))
    assert isinstance(answer, Failure) and isinstance(answer.error, ClusterError)
    assert "not in float8, and would code other bytes; set BSQCODEC_PRECISION" in str(answer.error)


def test_what_goes_wrong_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: WorkerVideo) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(WorkerVideo, "encoders", fail)
    answer = prepare(WorkerVideo(session))
    assert isinstance(answer, Failure)
    assert str(answer.error) == "unexpected ZeroDivisionError: by zero"


def test_pixels_can_be_written_to(session: Session) -> None:
    """Those that come by the network cannot; torch warns of such."""
    sent = np.frombuffer(bytes(range(6)), np.uint8).reshape(1, 2, 3)
    assert not sent.flags.writeable
    found = WorkerVideo(session).pixels(sent)
    assert found.flags.writeable and (found == sent).all()


def test_no_file_to_read_from(session: Session) -> None:
    video = WorkerVideo(session)
    video.forget(0)
    with pytest.raises(UnreadableError, match="there is no file"):
        video.pixels(FrameSum(0, 0, 0))


def test_a_worker_has_its_number_of_threads_back() -> None:
    before = torch.get_num_threads()
    for count in (1, 2):
        with _coding_threads(count, side_by_side=True) as threads:
            assert (threads.entropy._executor is None) == (count == 1)
        assert torch.get_num_threads() == before
