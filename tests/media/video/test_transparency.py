"""Transparency that is dropped is said where there is some, and not where all is opaque."""

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ..clips import Pipe, Read, make_clip, scene
from .ebml_files import element, with_track_elements

CASES = Path(__file__).parents[2] / "cases"
NOTE = "transparency was dropped"
TIMES_MS = [100, 200, 50, 400, 700]


def pictures(first_transparent: int | None, alpha: int = 0) -> list[Image.Image]:
    """Five frames in RGBA; from one of them on some pixels are transparent."""
    result = []
    for index in range(5):
        rgba = np.dstack([scene(64, 48, index), np.full((48, 64), 255, np.uint8)])
        if first_transparent is not None and index >= first_transparent:
            rgba[:10, :, 3] = alpha
        result.append(Image.fromarray(rgba))
    return result


def animation(format: str, frames: Sequence[Image.Image]) -> bytes:
    file = io.BytesIO()
    options = {"disposal": 2} if format in ("GIF", "PNG") else {}
    frames[0].save(
        file, format, save_all=True, append_images=frames[1:], duration=TIMES_MS, **options
    )
    return file.getvalue()


def lossless(pix_fmt: str, frames: Sequence[NDArray[np.uint8]]) -> bytes:
    """Frames uint8 [H, W, 4] in FFV1."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for index, rgba in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pix_fmt)
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("first", [None, 0, 2, 4])
@pytest.mark.parametrize("piped", [False, True])
def test_animations(format: str, first: int | None, piped: bool) -> None:
    data = animation(format, pictures(first))
    read = Read(Pipe(data) if piped else data)
    assert (NOTE in read.notes) == (first is not None)
    assert read.notes.count(NOTE) <= 1
    starts = np.cumsum([0, *TIMES_MS[:-1]]) / 1000
    assert [float(second) for second in read.seconds] == pytest.approx(starts)
    last = read.frames[-1]
    assert last.duration * read.format.time_base == pytest.approx(0.7)
    assert not any("main picture" in note for note in read.notes)


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "bgra", "yuva444p10le", "rgba64le"])
def test_alpha_of_videos(pix_fmt: str) -> None:
    opaque = [np.asarray(picture) for picture in pictures(None)]
    some = [np.asarray(picture) for picture in pictures(3, alpha=200)]
    assert NOTE not in Read(lossless(pix_fmt, opaque)).notes
    assert NOTE in Read(lossless(pix_fmt, some)).notes


def test_what_is_transparent_in_the_first_frame_is_in_the_formats_notes() -> None:
    read = Read(lossless("yuva420p", [np.asarray(picture) for picture in pictures(0)]))
    assert NOTE in read.format.notes


def vp9(luma: int) -> list[bytes]:
    """Five frames of one grey in VP9, uint8 0..255."""
    file = io.BytesIO()
    with av.open(file, "w", format="ivf") as output:
        stream = output.add_stream("libvpx-vp9", rate=25, options={"lag-in-frames": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            samples = np.full((72, 64), 128, np.uint8)
            samples[:48] = luma
            frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with av.open(io.BytesIO(file.getvalue()), "r") as source:
        return [bytes(packet) for packet in source.demux(video=0) if packet.size]


@pytest.mark.parametrize(("alpha", "is_said"), [(255, False), (128, True), (0, True)])
def test_alpha_beside_the_frames_of_vp9(alpha: int, is_said: bool) -> None:
    clip = make_clip("webm", "libvpx-vp9", pts=range(5), options={"lag-in-frames": "0"})
    read = Read(with_track_elements(clip, element(0x53C0, 1), additions=vp9(alpha)))
    assert len(read.frames) == 5
    assert (NOTE in read.notes) == is_said


def test_alpha_beside_frames_that_is_damaged_counts_as_transparent() -> None:
    clip = make_clip("webm", "libvpx-vp9", pts=range(5), options={"lag-in-frames": "0"})
    read = Read(with_track_elements(clip, element(0x53C0, 1), additions=[bytes(9)] * 5))
    assert len(read.frames) == 5 and NOTE in read.notes


def test_the_alpha_of_a_file_in_webm() -> None:
    assert NOTE in Read(CASES / "al.webm").notes


def test_a_gif_without_transparency() -> None:
    read = Read(CASES / "hold.gif")
    assert read.notes == []


@pytest.mark.parametrize("alpha", [None, 0])
def test_the_alpha_of_a_still_avif(alpha: int | None) -> None:
    file = io.BytesIO()
    pictures(None if alpha is None else 0)[0].save(file, "AVIF")
    read = Read(file.getvalue())
    assert len(read.frames) == 1
    assert read.notes == ([] if alpha is None else [NOTE])
    assert read.format.metadata.keys() <= {"creation_time"}
