"""Files of bare samples: other files are refused, and frames of another size are found out."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec.errors import DamagedVideoError, MediaError
from bsqcodec.media.video.bare_samples import check_bare_samples, frame_bytes
from bsqcodec.media.video.video_files import RawVideo, open_video
from bsqcodec.video.encode_file import VideoInput

from ..clips import make_clip

RAW = RawVideo(16, 8)


def picture(format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (90, 60, 3), np.uint8)).save(
        file, format
    )
    return file.getvalue()


OTHERS = {
    "cat.jpg": (picture("JPEG"), "a JPEG picture, no bare samples: the size of its frames is not"),
    "cat.yuv": (picture("JPEG"), "a JPEG picture, no bare samples"),
    "cat": (picture("PNG"), "a PNG picture"),
    "a.raw": (picture("TIFF"), "a TIFF picture"),
    "a.webp": (picture("WEBP"), "a WebP picture"),
    "a.bin": (picture("BMP"), "a BMP picture"),
    "a.y4m": (make_clip("yuv4mpegpipe", "rawvideo"), "a y4m video"),
    "clip.yuv": (make_clip("mp4", "libx264"), "a video of the MP4 family"),
    "clip.ts": (make_clip("mpegts", "libx264"), "an MPEG transport stream"),
    "clip.yuv.gz": (gzip.compress(bytes(192), mtime=0), "a gzip archive, no bare samples"),
    "clip.bsq": (b"\x89BSQ\r\n\x1a\n\x02" + bytes(183), "a .bsq file, no bare samples"),
    "clip.dv": (bytes(192), "by its name a dv file, no bare samples"),
    "a.tga": (bytes(192), "by its name a tga file, no bare samples"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files(name: str, tmp_path: Path) -> None:
    data, message = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MediaError, match=message) as caught:
        open_video(path, raw=RAW)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(MediaError, match=message):
        open_video(path, raw=RAW, allow_damage=True)


class Pipe(io.BytesIO):
    """A stream that cannot seek."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
def test_streams(kind: type[io.BytesIO]) -> None:
    with pytest.raises(MediaError, match="the video: a JPEG picture, no bare samples"):
        open_video(kind(picture("JPEG")), raw=RAW)
    samples = np.random.default_rng(1).integers(0, 256, 3 * 192, np.uint8).tobytes()
    with open_video(kind(samples), raw=RAW) as reader:
        assert len(list(reader.frames())) == 3
    source = kind(b"before" + samples)
    source.read(6)
    with open_video(source, raw=RAW) as reader:
        assert len(list(reader.frames())) == 3


@pytest.mark.parametrize("name", ["a.yuv", "a.rgb", "a.raw", "a.bin", "a", "a.420p"])
def test_samples_have_many_names(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(192))
    with open_video(tmp_path / name, raw=RAW) as reader:
        assert len(list(reader.frames())) == 1


@pytest.mark.parametrize(
    ("pix_fmt", "count"),
    [
        ("yuv420p", 65 * 49 + 2 * 33 * 25),
        ("yuv422p10le", 2 * (65 * 49 + 2 * 33 * 49)),
        ("nv12", 65 * 49 + 2 * 33 * 25),
        ("gray", 65 * 49),
        ("rgb24", 3 * 65 * 49),
        ("bgr0", 4 * 65 * 49),
    ],
)
def test_bytes_of_a_frame(pix_fmt: str, count: int) -> None:
    assert frame_bytes(RawVideo(65, 49, pix_fmt=pix_fmt)) == count


def test_frames_that_are_not_whole(tmp_path: Path) -> None:
    """They are found out before a frame is coded, unless damage is allowed."""
    path = tmp_path / "a.yuv"
    path.write_bytes(bytes(3 * 192))
    check_bare_samples(path, RAW)
    assert VideoInput(path, raw=RAW).check() == 3
    for size, frames in ((100, "0.52"), (3 * 192 + 1, "3.01")):
        path.write_bytes(bytes(size))
        message = rf"{size} bytes are {frames} frames of 16 x 8 yuv420p, 192 bytes each"
        with pytest.raises(DamagedVideoError, match=message):
            VideoInput(path, raw=RAW).check()
    VideoInput(path, raw=RAW, allow_damage=True).check()
    with pytest.raises(MediaError, match="a.yuv: not nonsense of 16x8 pixels"):
        VideoInput(path, raw=RawVideo(16, 8, pix_fmt="nonsense")).check()
    path.write_bytes(picture("JPEG"))
    with pytest.raises(MediaError, match="a JPEG picture"):
        VideoInput(path, raw=RAW).check()
    path.write_bytes(b"")
    with pytest.raises(MediaError, match="the file is empty"):
        check_bare_samples(path, RAW)
