"""Every video anchor writes real streams that read back, and its settings do what they say."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from benchmarks import metrics
from benchmarks.anchors import H264, PACKAGES, VIDEO_ANCHORS, Av1, Hevc, VideoCodec, missing
from benchmarks.colour import Frame
from benchmarks.datasets import Clip, generated_clip

FRAMES = 6


@pytest.fixture(scope="module")
def clip() -> Clip:
    return generated_clip(128, 96, FRAMES)


@pytest.fixture(params=sorted(VIDEO_ANCHORS))
def anchor(request: pytest.FixtureRequest) -> VideoCodec:
    if reason := missing(request.param):
        pytest.skip(reason)
    return VIDEO_ANCHORS[request.param]


def code(codec: VideoCodec, clip: Clip, setting: float, path: Path) -> tuple[bytes, list[Frame]]:
    codec.encode(clip, clip.read(), setting, path)
    return path.read_bytes(), list(codec.decode(path))


def quality(clip: Clip, decoded: list[Frame]) -> float:
    pairs = zip(clip.read(), decoded, strict=True)
    return float(np.mean([metrics.psnr_yuv_frame(a, b) for a, b in pairs]))


def picture_types(path: Path, format: str) -> str:
    with av.open(path, format=format) as container:
        return "".join(PictureType(frame.pict_type).name for frame in container.decode(video=0))


def test_names_say_both_conventions() -> None:
    assert sorted(VIDEO_ANCHORS) == [
        "libaom",
        "svtav1",
        "svtav1-lowdelay",
        "svtav1-preset2",
        "vvc",
        "x264-medium",
        "x264-medium-zerolatency",
        "x264-veryslow",
        "x264-veryslow-zerolatency",
        "x265-medium",
        "x265-medium-zerolatency",
        "x265-veryslow",
        "x265-veryslow-zerolatency",
    ]
    assert all(name == codec.name for name, codec in VIDEO_ANCHORS.items())
    assert len({codec.label for codec in VIDEO_ANCHORS.values()}) == len(VIDEO_ANCHORS)


def test_a_finer_setting_is_larger_and_better(
    anchor: VideoCodec, clip: Clip, tmp_path: Path
) -> None:
    assert list(anchor.settings) == sorted(anchor.settings, reverse=True)
    assert len(anchor.settings) >= 5
    path = tmp_path / f"clip{anchor.suffix}"
    coarse, coarse_frames = code(anchor, clip, anchor.settings[0], path)
    fine, fine_frames = code(anchor, clip, anchor.settings[-1], path)
    assert len(coarse_frames) == len(fine_frames) == FRAMES
    assert fine_frames[0].shape == (144, 128)
    assert len(coarse) < len(fine) < clip.width * clip.height * FRAMES
    assert quality(clip, coarse_frames) + 3 < quality(clip, fine_frames)
    assert quality(clip, fine_frames) > 33


def test_the_same_clip_gives_the_same_file(anchor: VideoCodec, clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / f"clip{anchor.suffix}"
    setting = anchor.settings[3]
    assert code(anchor, clip, setting, path)[0] == code(anchor, clip, setting, path)[0]


def test_versions_are_known(anchor: VideoCodec) -> None:
    program = {"imageio-ffmpeg", "program"} if anchor.name in PACKAGES else set()
    assert {"av", "ffmpeg", "libavcodec", *program} == anchor.versions().keys()
    assert all(anchor.versions().values())


@pytest.mark.parametrize(
    ("codec", "format"), [(H264, "h264"), (Hevc, "hevc")], ids=["x264", "x265"]
)
def test_zero_latency_has_no_b_frames(
    codec: type[H264] | type[Hevc], format: str, clip: Clip, tmp_path: Path
) -> None:
    longer = generated_clip(128, 96, 16)
    types = {}
    for zero_latency in (False, True):
        path = tmp_path / "clip"
        anchor = codec(zero_latency=zero_latency)
        anchor.encode(longer, longer.read(), 30, path)
        types[zero_latency] = picture_types(path, format)
    assert types[True] == "I" + 15 * "P"
    assert "B" in types[False]


def test_low_delay_av1_has_no_hidden_frames(tmp_path: Path) -> None:
    longer = generated_clip(128, 96, 16)
    hidden = {}
    for low_delay in (False, True):
        path = tmp_path / "clip.obu"
        Av1(low_delay).encode(longer, longer.read(), 40, path)
        hidden[low_delay] = frame_obus(path.read_bytes()) - 16
    # Frames out of order are coded hidden and shown later by a header of their own.
    assert hidden[True] == 0
    assert hidden[False] > 0


def frame_obus(data: bytes) -> int:
    """How many OBUs of an AV1 stream are frames or frame headers (types 6 and 3)."""
    count = at = 0
    while at < len(data):
        kind, extended = data[at] >> 3 & 15, data[at] >> 2 & 1
        at += 1 + extended
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        count += kind in (3, 6)
        at += size
    return count


def test_no_stream_carries_its_settings_as_text(clip: Clip, tmp_path: Path) -> None:
    for codec in (H264(), Hevc()):
        data, _ = code(codec, clip, 30, tmp_path / "clip")
        assert b"rc=crf" not in data and b"options:" not in data


def test_veryslow_is_another_encoder_than_medium(clip: Clip, tmp_path: Path) -> None:
    files = [code(H264(preset), clip, 30, tmp_path / "c")[0] for preset in ("medium", "veryslow")]
    assert files[0] != files[1]
    assert H264("veryslow").options()["preset"] == "veryslow"
