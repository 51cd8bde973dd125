"""Reading videos: what comes out is what was shown, and what went wrong is said."""

import io
import re
import struct
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import pytest

from bsqcodec.errors import DamagedVideoError, LimitError, MediaError
from bsqcodec.media.video.video_files import RawVideo, VideoColour, open_video

from ..clips import FRAMES, RATE, Pipe, Read, make_clip, scene

COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 120, 40]], np.uint8
)
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
CODES = {"bt601": 6, "bt709": 1, "bt2020nc": 9}


def ycc(colours: Any, matrix: str, full: bool) -> Any:
    """Y'CbCr of RGB colours by the formula of the standards, floats [..., 3]."""
    red, blue = WEIGHTS[matrix]
    luma = colours @ np.array([red, 1 - red - blue, blue])
    cb = (colours[..., 2] - luma) / (2 - 2 * blue)
    cr = (colours[..., 0] - luma) / (2 - 2 * red)
    if full:
        return np.stack([luma, cb + 128, cr + 128], axis=-1)
    return np.stack([16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255], axis=-1)


def y4m(planes: Any) -> bytes:
    """A y4m file of one frame in 4:4:4 of uint8 [3, H, W]."""
    head = f"YUV4MPEG2 W{planes.shape[2]} H{planes.shape[1]} F25:1 Ip A1:1 C444\nFRAME\n"
    return head.encode() + planes.tobytes()


def tagged(planes: Any, matrix: str, full: bool) -> bytes:
    """A file with exactly these samples, tagged with a matrix and range."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(y4m(planes)), "r") as source,
        av.open(file, "w", format="matroska") as out,
    ):
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height = planes.shape[2], planes.shape[1]
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace = CODES[matrix]
        stream.codec_context.color_range = 2 if full else 1
        for frame in source.decode(video=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("matrix", list(WEIGHTS))
@pytest.mark.parametrize("full", [True, False])
def test_known_colours_by_the_sources_own_matrix_and_range(matrix: str, full: bool) -> None:
    colours = np.broadcast_to(COLOURS[:, None, None], (6, 4, 16, 3)).reshape(24, 16, 3)
    planes = np.rint(ycc(colours, matrix, full)).clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    read = Read(tagged(planes, matrix, full))
    assert read.format.colour == VideoColour(matrix, full)
    assert np.abs(read.frames[0].pixels.astype(int) - colours).max() <= 2
    assert not any("assumed" in note for note in read.notes)


@pytest.mark.parametrize(("height", "matrix"), [(48, "bt601"), (720, "bt709")])
def test_an_unnamed_matrix_is_guessed_by_the_height_and_said(height: int, matrix: str) -> None:
    colours = np.broadcast_to(COLOURS[5], (height, 16, 3))
    planes = np.rint(ycc(colours, matrix, False)).astype(np.uint8).transpose(2, 0, 1)
    read = Read(y4m(planes))
    assert read.format.colour == VideoColour(matrix)
    assert np.abs(read.frames[0].pixels.astype(int) - colours).max() <= 2
    assert f"no colour matrix is named: {matrix} is assumed" in read.notes


def test_a_matrix_that_cannot_be_converted_is_an_error() -> None:
    ycgco = 8
    with pytest.raises(MediaError, match="code 8 of ITU-T H.273"):
        Read(make_clip(tags={"colorspace": ycgco}))


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "note"),
    [
        ("yuv420p10le", "ffv1", "10-bit samples were reduced to 8 bits"),
        ("yuv422p10le", "ffv1", "4:2:2 chroma was converted to RGB"),
        ("yuv444p", "ffv1", "4:4:4 chroma was converted to RGB"),
        ("yuv422p", "ffv1", "4:2:2 chroma was converted to RGB"),
    ],
)
def test_other_samples_are_converted_and_it_is_said(pix_fmt: str, codec: str, note: str) -> None:
    read = Read(make_clip(codec=codec, pix_fmt=pix_fmt))
    assert note in read.notes
    assert note in read.format.notes
    error = np.abs(read.frames[3].pixels.astype(int) - scene(64, 48, 3))
    assert error.mean() < 2


def test_rgb_comes_through_exactly() -> None:
    read = Read(make_clip(pix_fmt="bgr0"))
    for index, frame in enumerate(read.frames):
        assert np.array_equal(frame.pixels, scene(64, 48, index))
    assert read.notes == []


def test_grey_becomes_rgb() -> None:
    read = Read(make_clip(pix_fmt="gray"))
    pixels = read.frames[0].pixels
    assert (pixels == pixels[..., :1]).all()
    luma = scene(64, 48) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels[..., 0] - luma).max() <= 2


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_is_applied_to_the_pixels(degrees: int, mirrored: bool) -> None:
    clip = make_clip(
        "mov", "png", pix_fmt="rgb24", width=20, height=10, rotation=(degrees, mirrored, False)
    )
    shown = np.rot90(scene(20, 10), degrees // 90)
    if mirrored:
        shown = shown[:, ::-1]
    read = Read(clip)
    assert np.array_equal(read.frames[0].pixels, shown)
    assert (read.format.height, read.format.width) == shown.shape[:2]
    assert any("display matrix" in note for note in read.notes) == (degrees != 0 or mirrored)


def test_a_crooked_rotation_is_left_and_said() -> None:
    read = Read(make_clip("mov", "png", pix_fmt="rgb24", rotation=(30, False, False)))
    assert np.array_equal(read.frames[0].pixels, scene(64, 48))
    assert any("not applied" in note for note in read.notes)


def test_pixel_aspect_turns_with_the_picture() -> None:
    tags = {"sample_aspect_ratio": Fraction(4, 3)}
    upright = Read(make_clip("mov", "libx264", tags=tags))
    turned = Read(make_clip("mov", "libx264", tags=tags, rotation=(90, False, False)))
    assert upright.format.sample_aspect_ratio == Fraction(4, 3)
    assert turned.format.sample_aspect_ratio == Fraction(3, 4)


def test_interlaced_video_is_said() -> None:
    options = {"x264opts": "tff=1", "flags": "+ildct+ilme"}
    read = Read(make_clip("mp4", "libx264", options=options))
    assert len(read.frames) == FRAMES
    assert any("interlaced" in note for note in read.notes)
    assert not any("interlaced" in note for note in Read(make_clip("mp4", "libx264")).notes)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (33, 17), (2, 3)])
def test_any_size(size: tuple[int, int]) -> None:
    read = Read(make_clip("mp4", "libx264rgb", options={"qp": "0"}, pix_fmt="rgb24",
                          width=size[0], height=size[1]))  # fmt: skip
    assert (read.format.width, read.format.height) == size
    assert np.array_equal(read.frames[4].pixels, scene(*size, 4))


def test_variable_frame_rate_keeps_its_times() -> None:
    times = [30, 33, 34, 40, 50, 51, 52, 70, 120, 130]
    muxer = {"video_track_timescale": "90", "movie_timescale": "90"}
    clip = make_clip("mp4", "libx264", pts=times, time_base=Fraction(1, 90), muxer=muxer)
    read = Read(clip)
    assert [second * 90 for second in read.seconds] == times


@pytest.mark.parametrize("container", ["matroska", "mpegts"])
def test_a_variable_rate_without_a_nominal_one(container: str) -> None:
    """FFmpeg calls it 1000 or 2000 frames a second, by the unit of the times."""
    steps = np.random.default_rng(4).choice([13, 29, 41, 117], 40)
    times = [int(time) for time in np.cumsum(steps)]
    clip = make_clip(container, "libx264", pts=times, time_base=Fraction(1, 1000))
    if container == "matroska":  # its track promises 25: that element becomes a void one
        at = clip.index(b"\x23\xe3\x83\x84")
        clip = clip[:at] + b"\xec\x86" + clip[at + 2 :]
    read = Read(clip)
    assert read.format.frame_rate is None
    found = [(second - read.seconds[0]) * 1000 for second in read.seconds]
    assert found == [time - times[0] for time in times]


def test_missing_times_follow_from_the_frame_rate() -> None:
    read = Read(make_clip("h264", "libx264", options={"bf": "0"}))
    steps = np.diff([float(second) for second in read.seconds])
    assert np.allclose(steps, 1 / 25)
    assert any("timestamps were missing" in note for note in read.notes)


def test_metadata_is_carried_without_the_containers_own() -> None:
    read = Read(make_clip("mp4", "libx264", metadata={"title": "a title", "comment": "said"}))
    assert read.format.metadata == {"title": "a title", "comment": "said"}


@pytest.mark.parametrize(
    "container", ["matroska", "mp4", "mov", "avi", "mpegts", "nut", "yuv4mpegpipe", "flv"]
)
@pytest.mark.parametrize("piped", [True, False])
def test_containers_from_files_and_pipes(container: str, piped: bool) -> None:
    codec = "rawvideo" if container == "yuv4mpegpipe" else "libx264"
    clip = make_clip(container, codec, options={} if codec == "rawvideo" else {"crf": "4"})
    read = Read(Pipe(clip) if piped else clip)
    assert len(read.frames) == FRAMES
    assert read.problems == []
    error = np.abs(read.frames[7].pixels.astype(int) - scene(64, 48, 7))
    assert error.mean() < 4


def test_a_pipe_need_not_fill_each_read() -> None:
    class Trickle(Pipe):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 100) if size >= 0 else 100)

    for muxer in ({}, {"movflags": "frag_keyframe+empty_moov"}):
        clip = make_clip("mp4", "libx264", muxer=muxer)
        assert len(Read(Trickle(clip)).frames) == FRAMES


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_bare_samples(pix_fmt: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(make_clip("rawvideo", "rawvideo", pix_fmt=pix_fmt))
    read = Read(path, raw=RawVideo(64, 48, Fraction(30000, 1001), pix_fmt))
    assert (read.format.width, read.format.height, len(read.frames)) == (64, 48, FRAMES)
    assert read.seconds[3] == Fraction(3 * 1001, 30000)
    assert np.abs(read.frames[5].pixels.astype(int) - scene(64, 48, 5)).mean() < 2
    with pytest.raises(MediaError, match="the size of their frames must be given"):
        open_video(path)


def test_bare_samples_by_a_named_matrix() -> None:
    colours = np.broadcast_to(COLOURS[5], (16, 16, 3))
    colour = VideoColour("bt2020nc", True, 9, 14)
    planes = np.rint(ycc(colours, "bt2020nc", True)).astype(np.uint8).transpose(2, 0, 1)
    read = Read(planes.tobytes(), raw=RawVideo(16, 16, pix_fmt="yuv444p", colour=colour))
    assert read.format.colour == colour
    assert np.abs(read.frames[0].pixels.astype(int) - colours).max() <= 2


def test_bare_samples_that_end_within_a_frame() -> None:
    samples = make_clip("rawvideo", "rawvideo")[:-100]
    with pytest.raises(DamagedVideoError, match=r"damaged after 9 frames \(its last frame is cut"):
        Read(samples, raw=RawVideo(64, 48))


def test_damage_in_the_middle_comes_after_what_was_readable() -> None:
    clip = bytearray(make_clip("mp4", "libx264", pts=range(30), options={"g": "5", "crf": "2"}))
    clip[len(clip) // 2 : len(clip) // 2 + 2000] = np.random.default_rng(0).bytes(2000)
    frames = []
    with (
        open_video(io.BytesIO(clip)) as reader,
        pytest.raises(DamagedVideoError, match="damaged after") as caught,
    ):
        for frame in reader.frames():
            frames.append(frame)  # noqa: PERF402 - what came before the error counts
    assert 5 <= len(frames) < 25
    assert caught.value.frames == len(frames)
    assert f"after {len(frames)} frames" in str(caught.value)
    for index, frame in enumerate(frames):
        assert np.abs(frame.pixels.astype(int) - scene(64, 48, index)).mean() < 4


def test_damage_can_be_passed_over() -> None:
    clip = bytearray(make_clip("mp4", "libx264", pts=range(30), options={"g": "5", "crf": "2"}))
    clip[len(clip) // 2 : len(clip) // 2 + 2000] = np.random.default_rng(0).bytes(2000)
    read = Read(bytes(clip), allow_damage=True)
    assert 20 <= len(read.frames) < 30 or any("damage" in text for text in read.problems)
    assert read.problems
    assert read.pts == sorted(set(read.pts))


def test_a_container_that_cannot_be_read_on() -> None:
    clip = bytearray(make_clip("yuv4mpegpipe", "rawvideo"))
    clip[len(clip) // 2 : len(clip) // 2 + 6000] = bytes(6000)
    with pytest.raises(DamagedVideoError, match="damaged after"):
        Read(bytes(clip))
    read = Read(bytes(clip), allow_damage=True)
    assert 3 <= len(read.frames) <= 6
    assert any("damage" in text for text in read.problems)


@pytest.mark.parametrize(
    ("container", "codec"), [("avi", "ffv1"), ("matroska", "libx264"), ("ivf", "libvpx")]
)
def test_a_video_that_ends_too_early_is_damaged(container: str, codec: str) -> None:
    options = {"g": "5", "bf": "0", "crf": "2"} if codec == "libx264" else {}
    clip = make_clip(container, codec, pts=range(50), options=options)
    assert len(Read(clip).frames) == 50
    cut = clip[: len(clip) * 6 // 10]
    read = Read(cut, allow_damage=True)
    assert 10 < len(read.frames) < 40
    assert any(re.search(r"damage after \d+ frames", text) for text in read.problems)
    with pytest.raises(DamagedVideoError, match=r"damaged after \d+ frames"):
        Read(cut)


def test_how_early_a_video_ends_is_said() -> None:
    clip = make_clip("matroska", "libx264", pts=range(50), options={"g": "5", "bf": "0"})
    cut = clip[: clip.index(b"\x1fC\xb6u") + (len(clip) - clip.index(b"\x1fC\xb6u")) // 2]
    with pytest.raises(DamagedVideoError, match=r"it ends at .* s, its header promises 2.00 s"):
        Read(cut)


def test_frames_that_an_edit_list_leaves_out_are_not_missed() -> None:
    """A movie cut to .4 s from frame 17 on, as phones do it: nothing but its edit list changes."""
    options = {"g": "5", "bf": "0"}
    clip = bytearray(make_clip("mp4", "libx264", pts=range(40), options=options))
    entry = clip.index(b"elst") + 12
    duration, start, _ = struct.unpack_from(">IiI", clip, entry)
    assert start == 0
    scale = int(1 / Read(bytes(clip)).format.time_base)
    struct.pack_into(">Ii", clip, entry, duration // 4, scale * 17 // RATE)
    read = Read(bytes(clip))
    assert len(read.frames) == 10
    assert read.problems == []
    assert np.abs(read.frames[0].pixels.astype(int) - scene(64, 48, 17)).mean() < 6


@pytest.mark.parametrize("piped", [False, True])
def test_plain_frames_that_are_cut(piped: bool) -> None:
    clip = make_clip("yuv4mpegpipe", "rawvideo")
    for lost in (1, 3000):
        cut = clip[: len(clip) - lost]
        with pytest.raises(DamagedVideoError, match=r"damaged after 9 frames \(its last frame"):
            Read(Pipe(cut) if piped else cut)
    read = Read(cut, allow_damage=True)
    assert len(read.frames) == 9
    assert read.problems == ["damage after 9 frames (its last frame is cut)"]


def test_a_change_of_size_is_an_error_that_names_both() -> None:
    clip = make_clip("mpegts", "libx264") + make_clip("mpegts", "libx264", width=32, height=34)
    with (
        open_video(io.BytesIO(clip)) as reader,
        pytest.raises(MediaError, match=r"from 64 x 48 to 32 x 34 after 10 frames"),
    ):
        list(reader.frames())
    read = Read(clip, allow_damage=True)
    assert len(read.frames) == 10
    assert read.problems == [
        "the picture size changes from 64 x 48 to 32 x 34 after 10 frames, and the rest is left out"
    ]


@pytest.mark.parametrize("data", [b"no video at all " * 50, bytes(10_000)])
def test_what_is_no_video(data: bytes) -> None:
    with pytest.raises(MediaError, match="not a video of any known kind"):
        open_video(io.BytesIO(data))


@pytest.mark.parametrize("name", ["empty.mp4", "empty.mkv", "empty.ts", "empty.y4m"])
def test_an_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(MediaError, match=f"{name}: the file is empty"):
        open_video(tmp_path / name)
    with pytest.raises(MediaError, match="the file is empty"):
        open_video(cast(BinaryIO, Pipe()))


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_video_in_the_middle_of_a_file(container: str) -> None:
    """From where the file stands; the index of MP4 is sought from there too."""
    clip = make_clip(container, "libx264", audio="aac")
    file = io.BytesIO(b"something else" * 99 + clip)
    file.seek(14 * 99)
    found, wanted = Read(file), Read(clip)
    assert found.pts == wanted.pts and found.side == wanted.side
    pairs = zip(found.frames, wanted.frames, strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)


def test_a_playlist_opens_no_other_files(tmp_path: Path) -> None:
    (tmp_path / "part.ts").write_bytes(make_clip("mpegts", "libx264"))
    playlist = tmp_path / "list.m3u8"
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\n{}\n#EXT-X-ENDLIST\n"
    playlist.write_text(text.format(tmp_path / "part.ts"))
    with pytest.raises((MediaError, OSError)):
        open_video(playlist)


def test_bare_samples_of_an_unknown_kind() -> None:
    with pytest.raises(MediaError, match="not nonsense of 64x48 pixels"):
        open_video(io.BytesIO(bytes(64)), raw=RawVideo(64, 48, pix_fmt="nonsense"))


def test_sound_alone_is_no_video() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1600), np.int16), format="s16", layout="stereo"
        )
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
    with pytest.raises(MediaError, match="holds no video stream"):
        open_video(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("container", ["matroska", "yuv4mpegpipe"])
def test_a_video_without_frames(container: str) -> None:
    codec = "rawvideo" if container == "yuv4mpegpipe" else "ffv1"
    clip = make_clip(container, codec, pts=[0])
    cut = clip[: clip.index(b"FRAME")] if codec == "rawvideo" else clip[: clip.index(b"\x1fC\xb6u")]
    with pytest.raises(MediaError, match=r"no frames|not a video"):
        open_video(io.BytesIO(cut))


def test_a_stream_that_no_decoder_knows() -> None:
    clip = make_clip("avi", "libx264").replace(b"H264", b"Zq9!")
    with pytest.raises(MediaError):
        open_video(io.BytesIO(clip))


def test_frames_over_the_limit_are_refused_before_they_are_decoded() -> None:
    clip = make_clip()
    with pytest.raises(LimitError, match="64 x 48"):
        open_video(io.BytesIO(clip), max_pixels=64 * 48 - 1)
    assert len(Read(clip, max_pixels=64 * 48).frames) == FRAMES


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_video(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="no pictures found"):
        open_video(tmp_path)


def test_an_error_of_the_source_comes_through() -> None:
    class Broken(Pipe):
        def read(self, size: int = -1) -> bytes:
            data = super().read(size)
            if not data:
                raise OSError(5, "Input/output error")
            return data

    with pytest.raises(OSError, match="Input/output error"):
        Read(Broken(make_clip()))


def test_memory_does_not_grow_with_the_length() -> None:
    alive: set[int] = set()
    most = count = 0
    with open_video(io.BytesIO(make_clip("mp4", "libx264", pts=range(150)))) as reader:
        for frame in reader.frames():
            weakref.finalize(frame.pixels, alive.discard, count)
            alive.add(count)
            most = max(most, len(alive))
            count += 1
    assert count == 150
    assert most <= 2


def test_side_bytes_come_while_frames_do() -> None:
    clip = make_clip("matroska", "ffv1", pts=range(200), audio="pcm_s16le", seconds_of_sound=8)
    sizes = []
    with open_video(io.BytesIO(clip)) as reader:
        for _ in reader.frames():
            sizes.append(len(reader.take_side_bytes()))
        rest = len(reader.take_side_bytes())
    total = sum(sizes) + rest
    assert total > 8 * 48000 * 4
    assert max(*sizes, rest) < total / 2
