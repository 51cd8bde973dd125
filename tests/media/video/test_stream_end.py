"""Where a video ends: placeholders promise nothing, sizes and indices do;
the last frame's length."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from bsqcodec.errors import DamagedVideoError
from bsqcodec.media.video.video_files import open_video

from ..clips import Pipe, Read, make_clip
from .avi_files import movi_of, set_count, with_empty_chunks

CASES = Path(__file__).parents[2] / "cases"
WHOLE = ["pipe_avi_mjpeg.avi", "pipe_ivf_libvpx.ivf", "ivf900.ivf"]


def end_of(read: Read) -> Fraction:
    """Seconds from the first frame to the end of the last one."""
    last = read.frames[-1]
    return (last.pts + last.duration - read.frames[0].pts) * read.format.time_base


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("piped", [False, True])
def test_placeholders_promise_nothing(name: str, piped: bool) -> None:
    data = (CASES / name).read_bytes()
    read = Read(Pipe(data) if piped else data)
    assert read.seconds == [Fraction(index, 25) for index in range(10)]
    assert read.problems == []


@pytest.mark.parametrize("name", WHOLE)
def test_placeholders_are_no_number_of_frames(name: str) -> None:
    with open_video(CASES / name) as reader:
        assert reader.expected_frames is None or reader.expected_frames < 1000


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("lost", [3, 40, 300, 700])
def test_a_cut_is_found_all_the_same(name: str, piped: bool, lost: int) -> None:
    cut = (CASES / name).read_bytes()[:-lost]
    with pytest.raises(DamagedVideoError, match=r"damaged after \d frames \(its last frame is cut"):
        Read(Pipe(cut) if piped else cut)
    read = Read(cut, allow_damage=True)
    assert 5 < len(read.frames) <= 10 and len(read.problems) >= 1


@pytest.mark.parametrize("piped", [False, True])
def test_an_avi_file_without_sizes_that_ends_within_sound(piped: bool) -> None:
    """Its header is that of a writer to a pipe."""
    clip = make_clip(
        "avi", "mjpeg", pix_fmt="yuvj420p", pts=range(30), audio="pcm_s16le", seconds_of_sound=1.2
    )
    movi, _ = movi_of(clip)
    data = bytearray(clip)
    struct.pack_into("<I", data, 4, 2**32 - 1)
    struct.pack_into("<I", data, movi + 4, 2**32 - 1)
    at = clip.index(b"01wb", len(clip) // 2)
    whole = bytes(data[: clip.index(b"idx1")])
    assert len(Read(Pipe(whole) if piped else whole).frames) == 30
    cut = bytes(data[: at + 60])
    with pytest.raises(DamagedVideoError, match="its last sound is cut"):
        Read(Pipe(cut) if piped else cut)


@pytest.mark.parametrize("within", [1, 5, 11])
def test_an_ivf_file_that_ends_in_the_head_of_a_frame(within: int) -> None:
    data = (CASES / "ivf900.ivf").read_bytes()
    at = 32
    for _ in range(7):
        at += 12 + struct.unpack_from("<I", data, at)[0]
    with pytest.raises(DamagedVideoError, match="damaged after 7 frames"):
        Read(data[: at + within])
    assert len(Read(data[:at]).frames) == 7


def test_an_ivf_header_that_counts_too_many_is_said() -> None:
    clip = bytearray(make_clip("ivf", "libvpx", pts=range(30), options={"crf": "4", "b": "2M"}))
    struct.pack_into("<I", clip, 24, 90)
    read = Read(bytes(clip))
    assert len(read.frames) == 30 and read.problems == []
    assert "its header counts 90 frames, which is more than it holds" in read.notes


@pytest.mark.parametrize(
    ("codec", "options"), [("mjpeg", {}), ("mpeg4", {"bf": "0"}), ("mpeg4", {"bf": "2"})]
)
@pytest.mark.parametrize("sound", [None, "mp2"])
def test_empty_chunks_of_avi_hold_the_picture(
    codec: str, options: dict[str, str], sound: str | None
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = make_clip("avi", codec, options=options, pts=range(12), pix_fmt=pix_fmt, audio=sound)
    plain, held = Read(clip), Read(with_empty_chunks(clip, {11: 50}))
    assert held.problems == [] and len(held.frames) == 12
    assert end_of(plain) == Fraction(12, 25)
    assert end_of(held) == Fraction(62, 25)
    between = Read(with_empty_chunks(clip, {4: 3, 11: 1}))
    assert between.problems == [] and end_of(between) == Fraction(16, 25)
    steps = {b - a for a, b in zip(between.seconds, between.seconds[1:], strict=False)}
    assert steps == {Fraction(1, 25), Fraction(4, 25)}


def test_a_count_that_the_index_does_not_bear_out_holds_nothing() -> None:
    clip = with_empty_chunks(make_clip("avi", "mpeg4", options={"bf": "0"}, pts=range(12)), {})
    head = bytearray(clip[: movi_of(clip)[0]])
    set_count(head, 900)
    wrong = bytes(head) + clip[len(head) :]
    read = Read(wrong)
    assert read.problems == [] and end_of(read) == Fraction(12, 25)


def test_empty_chunks_from_a_pipe_and_without_an_index() -> None:
    clip = make_clip("avi", "mpeg4", options={"bf": "0"}, pts=range(12))
    assert end_of(Read(Pipe(with_empty_chunks(clip, {11: 50})))) == Fraction(62, 25)
    assert end_of(Read(with_empty_chunks(clip, {11: 50}, index=False))) == Fraction(12, 25)


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("where", ["in a frame", "between frames"])
def test_an_avi_file_that_is_cut(piped: bool, where: str) -> None:
    """Also where all of the frames that are left are whole, and where many were empty."""
    options = {"bf": "0"}
    clip = with_empty_chunks(make_clip("avi", "mpeg4", options=options, pts=range(50)), {49: 5})
    movi, size = movi_of(clip)
    at = clip.index(b"00dc", movi + size // 2)
    cut = clip[: at + (0 if where == "between frames" else 20)]
    with pytest.raises(DamagedVideoError, match=r"damaged after \d+ frames"):
        Read(Pipe(cut) if piped else cut)
    read = Read(cut, allow_damage=True)
    assert 10 < len(read.frames) < 45 and read.problems


@pytest.mark.parametrize(
    ("name", "end", "times"),
    [
        ("hold.gif", 3.3, [0, 0.1, 0.2, 0.3]),
        ("slides.mkv", 9, [0, 2, 4]),
        ("an_rgb.avif", 0.9, [0, 0.1, 0.3, 0.4]),
        ("an.avif", 0.9, [0, 0.1, 0.3, 0.4]),
        ("an.webp", 0.9, [0, 0.1, 0.3, 0.4]),
    ],
)
def test_how_long_the_last_frame_is_shown(name: str, end: float, times: list[float]) -> None:
    read = Read(CASES / name)
    assert [float(second) for second in read.seconds] == pytest.approx(times)
    assert float(end_of(read)) == pytest.approx(end)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"bf": "3", "x264-params": "b-adapt=0"}),
        ("mp4", "libx264", {"bf": "0"}),
        ("mov", "libx264", {"bf": "3", "x264-params": "b-adapt=0"}),
        ("matroska", "libx264", {"bf": "3", "x264-params": "b-adapt=0"}),
        ("mpegts", "libx264", {"bf": "3", "x264-params": "b-adapt=0"}),
        ("avi", "libx264", {"bf": "3", "x264-params": "b-adapt=0"}),
    ],
)
def test_even_frames_end_after_a_step(container: str, codec: str, options: dict[str, str]) -> None:
    for count in (9, 10, 11, 12):
        read = Read(make_clip(container, codec, options=options, pts=range(count)))
        assert end_of(read) == Fraction(count, 25)


def test_a_last_frame_whose_length_is_unknown() -> None:
    """A length of 0 leaves it to the step before, and to the frame rate for the only frame."""
    assert Read(CASES / "decorder.mkv").frames[-1].duration == 0


def test_another_video_behind_the_first_is_said() -> None:
    for container in ("flv", "matroska"):
        clip = make_clip(container, "libx264", options={"bf": "0"})
        read = Read(io.BytesIO(clip * 4))
        assert any("another video begins" in note for note in read.notes)
        assert not any("another video" in note for note in Read(clip).notes)
