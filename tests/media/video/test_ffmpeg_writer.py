"""Writing videos: times, colours and sizes come back, and failures are clean."""

import errno
import io
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bsqcodec.errors import OutputError
from bsqcodec.media.video.video_files import (
    OutputOptions,
    VideoColour,
    VideoFormat,
    VideoFrame,
    container_of,
    create_video,
)

from ..clips import FRAMES, Pipe, Read, frames_of, make_clip, scene, write_video

PLAIN = VideoFormat(64, 48, Fraction(1, 25), Fraction(25), VideoColour("bt601"))
UNEVEN = [0, 3, 4, 10, 20, 21, 22, 40, 90, 100]
BASES = [Fraction(1, 90), Fraction(1, 90000), Fraction(1, 1000000)]


def psnr(first: Any, second: Any) -> float:
    """PSNR in dB of 8-bit samples."""
    error = np.mean((np.asarray(first, float) - np.asarray(second, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("time_base", BASES)
@pytest.mark.parametrize("start", [0, 12345])
@pytest.mark.parametrize("piped", [True, False])
def test_uneven_times_come_back_exactly(
    container: str, time_base: Fraction, start: int, piped: bool
) -> None:
    format = replace(PLAIN, time_base=time_base, frame_rate=None)
    times = [start + time for time in UNEVEN]
    output = write_video(format, frames_of(64, 48, times), container, pipe=piped)
    read = Read(output)
    assert read.format.time_base == time_base
    assert read.pts == times


def test_a_time_base_that_is_no_unit_fraction_keeps_its_seconds() -> None:
    format = replace(PLAIN, time_base=Fraction(1001, 30000), frame_rate=Fraction(30000, 1001))
    read = Read(write_video(format, frames_of(64, 48), "mp4"))
    assert read.seconds == [index * Fraction(1001, 30000) for index in range(FRAMES)]
    assert read.format.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize("piped", [True, False])
def test_matroska_rounds_to_milliseconds_and_says_so(piped: bool) -> None:
    format = replace(PLAIN, time_base=Fraction(1, 90000))
    times = [t * 3003 for t in range(FRAMES)]
    notes: list[str] = []
    read = Read(write_video(format, frames_of(64, 48, times), "mkv", pipe=piped, notes=notes))
    assert read.seconds == [Fraction(round(Fraction(t, 90)), 1000) for t in times]
    assert "Matroska holds milliseconds: timestamps were rounded to them" in notes


def test_matroska_keeps_whole_milliseconds_without_a_note() -> None:
    format = replace(PLAIN, time_base=Fraction(1, 1000))
    notes: list[str] = []
    read = Read(write_video(format, frames_of(64, 48, UNEVEN), "mkv", notes=notes))
    assert read.pts == UNEVEN
    assert read.format.time_base == Fraction(1, 1000)
    assert notes == []


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_times_before_0_are_moved_and_it_is_said(container: str) -> None:
    notes: list[str] = []
    frames = frames_of(64, 48, range(-5, 5))
    read = Read(write_video(PLAIN, frames, container, notes=notes))
    assert read.seconds == [Fraction(index, 25) for index in range(10)]
    assert "timestamps begin before 0: all were moved by 0.200 s" in notes


def test_y4m_keeps_time_by_repeating_frames() -> None:
    notes: list[str] = []
    frames = frames_of(64, 48, UNEVEN)
    read = Read(write_video(PLAIN, frames, "y4m", notes=notes))
    assert read.pts == list(range(101))
    for frame, time in zip(frames, UNEVEN, strict=True):
        assert psnr(read.frames[time].pixels, frame.pixels) > 40
        assert psnr(read.frames[max(time - 1, 0)].pixels, frame.pixels) < 40 or time == 0
    assert notes == [
        "y4m holds no timestamps: at an even 25 fps, 91 frames are repeated and 0 left out"
    ]
    notes.clear()
    write_video(PLAIN, frames_of(64, 48, range(7, 17)), "y4m", notes=notes)
    assert notes == []


def test_y4m_leaves_frames_out_that_come_too_often() -> None:
    format = replace(PLAIN, time_base=Fraction(1, 100))
    notes: list[str] = []
    frames = frames_of(64, 48, range(0, 100, 2))
    frames[-1] = replace(frames[-1], duration=2)
    read = Read(write_video(format, frames, "y4m", notes=notes))
    assert len(read.frames) == 25
    assert notes == [
        "y4m holds no timestamps: at an even 25 fps, 0 frames are repeated and 25 left out"
    ]


def test_y4m_passes_over_small_unevenness() -> None:
    format = replace(PLAIN, time_base=Fraction(1, 1000), frame_rate=Fraction(30000, 1001))
    times = [round(index * 1001 / 30) + index % 3 * 8 for index in range(60)]
    notes: list[str] = []
    read = Read(write_video(format, frames_of(64, 48, times), "y4m", notes=notes))
    assert len(read.frames) == 60 and notes == []


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "y4m"])
@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.parametrize("times", [[0, 2000, 4000], [0], list(range(0, 1000, 40))])
def test_the_last_frame_is_shown_as_long_as_it_should(
    container: str, piped: bool, times: list[int]
) -> None:
    format = replace(PLAIN, time_base=Fraction(1, 1000))
    frames = frames_of(64, 48, times)
    frames[-1] = replace(frames[-1], duration=1720)
    output = write_video(format, frames, container, pipe=piped)
    read = Read(output)
    last = read.frames[-1]
    end = (last.pts + last.duration) * read.format.time_base
    assert end == Fraction(times[-1] + 1720, 1000)
    if not piped:
        with av.open(io.BytesIO(output), "r") as opened:
            assert opened.duration == end * 1_000_000


def test_a_last_frame_that_lasts_for_years_is_shown_as_any_other() -> None:
    frames = frames_of(64, 48)
    frames[-1] = replace(frames[-1], duration=2**62)
    for container in ("mp4", "mkv", "y4m"):
        read = Read(write_video(PLAIN, frames, container))
        assert len(read.frames) == FRAMES
        last = read.frames[-1]
        assert (last.pts + last.duration) * read.format.time_base == Fraction(FRAMES, 25)


def test_a_long_gap_is_cut_short_in_y4m() -> None:
    frames = frames_of(2, 2, [0, 10_000_000])
    format = replace(PLAIN, width=2, height=2, frame_rate=Fraction(1), time_base=Fraction(1))
    notes: list[str] = []
    read = Read(write_video(format, frames, "y4m", notes=notes))
    assert len(read.frames) == 601
    assert "frames that are shown for over 10 minutes are shown for less" in notes


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(
    "colour",
    [
        VideoColour("bt709", False, 1, 1),
        VideoColour("bt709", True, 1, 13),
        VideoColour("bt601", False, 6, 6),
        VideoColour("bt601", True, 5, 6),
        VideoColour("bt2020nc", False, 9, 14),
    ],
)
def test_colour_tags_and_colours_come_back(container: str, colour: VideoColour) -> None:
    format = replace(PLAIN, colour=colour)
    frames = frames_of(64, 48)
    read = Read(write_video(format, frames, container, pix_fmt="yuv444p", crf=1))
    assert read.format.colour == colour
    assert read.notes == ["4:4:4 chroma was converted to RGB"]
    assert psnr(read.frames[0].pixels, frames[0].pixels) > 44


@pytest.mark.parametrize("full_range", [True, False])
def test_samples_survive_the_way_through_rgb(full_range: bool) -> None:
    tags = {"color_range": 2 if full_range else 1}
    clip = make_clip("yuv4mpegpipe", "rawvideo", pix_fmt="yuv444p", tags=tags)
    read = Read(clip)
    assert read.format.colour.full_range == full_range
    output = write_video(read.format, read.frames, "y4m", pix_fmt="yuv444p")

    def planes(data: bytes) -> Any:
        with av.open(io.BytesIO(data), "r") as container:
            return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])

    difference = np.abs(planes(clip).astype(int) - planes(output))
    assert difference.max() <= 1
    assert difference.mean() < 0.1


def test_subsampled_samples_survive_nearly() -> None:
    clip = make_clip("yuv4mpegpipe", "rawvideo")
    read = Read(clip)
    output = write_video(read.format, read.frames, "y4m")

    def planes(data: bytes) -> Any:
        with av.open(io.BytesIO(data), "r") as container:
            return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])

    before, after = planes(clip), planes(output)
    assert psnr(before[:, :48], after[:, :48]) > 50
    assert psnr(before[:, 48:], after[:, 48:]) > 44


def test_not_every_frame_is_a_key_frame() -> None:
    with av.open(io.BytesIO(write_video(PLAIN, frames_of(64, 48), "mp4")), "r") as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [True] + [False] * (FRAMES - 1)


def test_y4m_keeps_the_range_and_says_what_it_cannot_name() -> None:
    notes: list[str] = []
    format = replace(PLAIN, colour=VideoColour("bt709", True))
    read = Read(write_video(format, frames_of(64, 48), "y4m", notes=notes))
    assert read.format.colour.full_range
    assert "y4m cannot name the colour matrix bt709" in notes


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mkv", None), ("mp4", None), ("mov", None), ("mp4", "ffv1"), ("mkv", "libx264rgb"),
        ("mkv", "libx265"), ("mkv", "libvpx-vp9"), ("mov", "png"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [(64, 48), (33, 17)])
def test_lossless_is_exact(container: str, codec: str | None, size: tuple[int, int]) -> None:
    format = replace(PLAIN, width=size[0], height=size[1])
    noise = np.random.default_rng(3).integers(0, 256, (3, size[1], size[0], 3)).astype(np.uint8)
    frames = [VideoFrame(pixels, index) for index, pixels in enumerate(noise)]
    read = Read(write_video(format, frames, container, codec=codec, lossless=True))
    assert [frame.pixels.tobytes() for frame in read.frames] == [n.tobytes() for n in noise]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (33, 17)])
@pytest.mark.parametrize("container", ["mp4", "mkv", "mov", "y4m"])
def test_odd_and_tiny_sizes(container: str, size: tuple[int, int]) -> None:
    format = replace(PLAIN, width=size[0], height=size[1])
    notes: list[str] = []
    frames = [VideoFrame(np.full((size[1], size[0], 3), 40 * i, np.uint8), i) for i in range(5)]
    read = Read(write_video(format, frames, container, notes=notes))
    assert (read.format.width, read.format.height) == size
    for frame, back in zip(frames, read.frames, strict=True):
        assert np.abs(frame.pixels.astype(int) - back.pixels).max() <= 4
    assert any("is odd" in note for note in notes) == (container != "y4m")


def test_the_default_is_near_to_the_input() -> None:
    frames = frames_of(64, 48)
    read = Read(write_video(PLAIN, frames, "mp4"))
    assert min(psnr(a.pixels, b.pixels) for a, b in zip(frames, read.frames, strict=True)) > 38
    worse = write_video(PLAIN, frames, "mp4", crf=40)
    assert len(worse) < len(write_video(PLAIN, frames, "mp4"))


@pytest.mark.parametrize(
    ("codec", "options"), [("libx265", {}), ("mpeg4", {"b": "4000000"}), ("prores_ks", {})]
)
def test_other_codecs(codec: str, options: dict[str, str]) -> None:
    frames = frames_of(64, 48)
    output = write_video(PLAIN, frames, "mov", codec=codec, codec_options=options)
    with av.open(io.BytesIO(output), "r") as container:
        name = container.streams.video[0].codec_context.name
    assert name == {"libx265": "hevc", "prores_ks": "prores"}.get(codec, codec)
    assert psnr(Read(output).frames[5].pixels, frames[5].pixels) > 25


@pytest.mark.parametrize(
    ("container", "options", "message"),
    [
        ("mkv", {"codec": "nonsense"}, "no video encoder nonsense"),
        ("mkv", {"codec": "aac"}, "aac is no encoder of video"),
        ("mkv", {"codec": "libx264", "lossless": True}, "not lossless for RGB"),
        ("mkv", {"lossless": True, "crf": 3}, "exclude each other"),
        ("mkv", {"lossless": True, "pix_fmt": "yuv420p"}, "lossless ffv1 wants bgr0"),
        ("mkv", {"codec": "ffv1", "crf": 3}, "ffv1 has no crf"),
        ("mp4", {"pix_fmt": "bayer_rggb8"}, "cannot encode bayer_rggb8"),
        ("y4m", {"crf": 3}, "y4m holds plain samples"),
        ("y4m", {"pix_fmt": "rgb24"}, "not rgb24"),
        ("flv", {}, "flv is not among mkv, mp4, mov, webm, y4m, gif, webp, png"),
        ("webm", {"codec": "libx264"}, "webm cannot hold libx264; it holds libvpx-vp9"),
        ("gif", {"codec": "libx264"}, "gif takes neither a codec"),
        ("gif", {"crf": 3}, "gif has no crf"),
        ("gif", {"lossless": True}, "gif is not lossless"),
        ("webp", {"crf": 3}, "webp has no crf"),
        ("png", {}, "need a folder or a name pattern"),
        (None, {}, "name the container"),
        ("mov", {"codec": "ffv1"}, "mov cannot hold ffv1"),
        ("mp4", {"codec_options": {"preset": "nonsense"}}, "libx264 failed"),
    ],
)
def test_what_does_not_go_together(
    container: str | None, options: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises(OutputError, match=message) as caught,
        create_video(io.BytesIO(), PLAIN, OutputOptions(container=container, **options)) as writer,
    ):
        writer.write(frames_of(64, 48)[0])
    assert "\n" not in str(caught.value)


def test_x265_is_kept_from_sizes_that_crash_it() -> None:
    with pytest.raises(OutputError, match="needs 16 x 16 pixels"):
        write_video(replace(PLAIN, width=8), [], "mp4", codec="libx265")


def test_odd_sizes_that_the_user_forces_into_420_fail_cleanly() -> None:
    with pytest.raises(OutputError, match="libx264 failed"):
        write_video(replace(PLAIN, width=33), frames_of(33, 48), "mp4", pix_fmt="yuv420p")


def test_metadata_and_pixel_aspect(tmp_path: Path) -> None:
    format = replace(PLAIN, sample_aspect_ratio=Fraction(4, 3), metadata={"title": "a title"})
    for container in ("mp4", "mkv", "mov"):
        read = Read(write_video(format, frames_of(64, 48), container))
        assert read.format.metadata == {"title": "a title"}
        assert read.format.sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "y4m"])
def test_pipes_and_paths_give_the_same_frames(container: str, tmp_path: Path) -> None:
    frames = frames_of(64, 48)
    piped = Read(write_video(PLAIN, frames, container, pipe=True))
    path = tmp_path / f"out.{container}"
    with create_video(path, PLAIN) as writer:
        for frame in frames:
            writer.write(frame)
    written = Read(path)
    assert written.seconds == piped.seconds == [Fraction(i, 25) for i in range(FRAMES)]
    for first, second in zip(written.frames, piped.frames, strict=True):
        assert np.array_equal(first.pixels, second.pixels)


def test_from_pipe_to_pipe() -> None:
    clip = make_clip("mp4", "libx264", audio="aac")
    read = Read(Pipe(clip))
    sink: Any = Pipe()
    options = OutputOptions(container="mp4")
    with create_video(sink, read.format, options, Pipe(read.side)) as writer:  # type: ignore[arg-type]
        for frame in read.frames:
            writer.write(frame)
    again = Read(Pipe(bytes(sink.written)))
    assert again.seconds == read.seconds
    assert len(again.side) > 1000


@pytest.mark.parametrize("container", ["mp4", "mkv", "y4m"])
def test_a_full_disk_is_an_os_error(container: str, capfd: pytest.CaptureFixture[str]) -> None:
    class Full(Pipe):
        def write(self, data: Any) -> int:
            if len(self.written) > 2000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    noise = np.random.default_rng(0).integers(0, 256, (300, 48, 64, 3)).astype(np.uint8)
    sink: Any = Full()
    with (
        pytest.raises(OSError, match="No space left") as caught,
        create_video(sink, PLAIN, OutputOptions(container=container)) as writer,
    ):
        for index, pixels in enumerate(noise):
            writer.write(VideoFrame(pixels, index))
    assert caught.value.errno == errno.ENOSPC
    assert capfd.readouterr().err == ""


def test_the_same_frames_give_the_same_bytes() -> None:
    clip = make_clip("matroska", "libx264", audio="aac", attachment=b"font")
    sides = {Read(clip).side for _ in range(3)}
    assert len(sides) == 1
    for container in ("mp4", "mkv"):
        outputs = {
            write_video(PLAIN, frames_of(64, 48), container, side=next(iter(sides)))
            for _ in range(3)
        }
        assert len(outputs) == 1


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    for container in ("mp4", "mkv", "y4m"):
        with pytest.raises(OutputError, match="no frames were written"):
            write_video(PLAIN, [], container)


def test_an_exception_leaves_no_trailer_and_passes() -> None:
    file = io.BytesIO()
    with (
        pytest.raises(KeyError),
        create_video(file, PLAIN, OutputOptions(container="mp4")) as writer,
    ):
        for frame in frames_of(64, 48):
            writer.write(frame)
        raise KeyError
    assert b"moov" not in file.getvalue()
    assert not file.closed


def test_frames_that_do_not_fit() -> None:
    with create_video(io.BytesIO(), PLAIN, OutputOptions(container="mkv")) as writer:
        writer.write(VideoFrame(scene(64, 48), 5))
        with pytest.raises(ValueError, match="the frame is 48 x 64"):
            writer.write(VideoFrame(scene(48, 64), 6))
        with pytest.raises(ValueError, match="the timestamp 5 is not after 5"):
            writer.write(VideoFrame(scene(64, 48), 5))
    with pytest.raises(ValueError, match="not uint8"):
        VideoFrame(np.zeros((4, 4), np.uint8), 0)
    with pytest.raises(ValueError, match="the matrix is 'rgb'"):
        VideoColour("rgb")


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("a.MP4", "mp4"), ("a.m4v", "mp4"), ("a.mov", "mov"), ("a.mkv", "mkv"), ("a.y4m", "y4m"),
        ("a%03d.png", "png"), ("a.png", "png"), ("a.webm", "webm"), ("a.GIF", "gif"),
        ("a.webp", "webp"), ("a.flv", None), ("a", None),
    ],
)  # fmt: skip
def test_container_of_a_name(name: str, container: str | None) -> None:
    assert container_of(name) == container
