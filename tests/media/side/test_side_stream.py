"""Sound, subtitles, attachments and chapters pass through packet by packet, unchanged."""

import io
from fractions import Fraction
from typing import Any

import av
import pytest

from bsqcodec.errors import FormatError
from bsqcodec.media.side.packet_times import TimeGrid
from bsqcodec.media.side.subtitle_text import has_styles, packet_text

from ..clips import Read, frames_of, make_clip, packets, png, write_video

CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}},
    {"id": 2, "start": 200, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "2"}},
]


def pass_through(clip: bytes, container: str, **options: Any) -> tuple[bytes, Read, list[str]]:
    """The clip read and written again, how it was read, and what the writer noted."""
    read = Read(clip)
    notes: list[str] = []
    output = write_video(
        read.format, read.frames, container, side=read.side, notes=notes, **options
    )
    return output, read, notes


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(
    ("source", "codec", "container"),
    [
        ("mp4", "aac", "mp4"),
        ("mp4", "aac", "mov"),
        ("matroska", "aac", "mkv"),
        ("mov", "pcm_s16le", "mov"),
        ("matroska", "pcm_s16le", "mkv"),
        ("mp4", "ac3", "mp4"),
        ("mp4", "flac", "mp4"),
    ],
)
def test_sound_is_the_same_bytes_at_the_same_times(
    source: str, codec: str, container: str, rate: int
) -> None:
    clip = make_clip(source, "libx264", audio=codec, sample_rate=rate)
    output, read, notes = pass_through(clip, container)
    before, after = packets(clip, "audio"), packets(output, "audio")
    assert len(before) > 3
    assert [data for _, data in after] == [data for _, data in before]
    assert [time for time, _ in after] == [time for time, _ in before]
    assert read.notes == ["no colour matrix is named: bt601 is assumed"]
    assert not any("packets" in note or "dropped" in note for note in notes)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ["libopus", "pcm_s16le", "libmp3lame"])
def test_sound_from_matroska(codec: str, container: str) -> None:
    clip = make_clip("matroska", "libx264", audio=codec)
    output, _, notes = pass_through(clip, container)
    before, after = packets(clip, "audio"), packets(output, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    assert all(
        abs(a - b) <= Fraction(1, 1000) for (a, _), (b, _) in zip(after, before, strict=True)
    )
    assert not any("packets" in note for note in notes)


def test_sound_that_decodes_to_the_same_samples() -> None:
    clip = make_clip("mp4", "libx264", audio="aac", sample_rate=44100)
    output, _, _ = pass_through(clip, "mp4")

    def samples(data: bytes) -> list[bytes]:
        with av.open(io.BytesIO(data), "r") as container:
            return [frame.to_ndarray().tobytes() for frame in container.decode(audio=0)]

    assert samples(output) == samples(clip)


def test_exact_times_within_matroska_are_milliseconds() -> None:
    clip = make_clip("mp4", "libx264", audio="aac", sample_rate=44100)
    output, _, _ = pass_through(clip, "mkv")
    before, after = packets(clip, "audio"), packets(output, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    for (first, _), (second, _) in zip(before, after, strict=True):
        assert abs(first - second) <= Fraction(1, 2000)


def test_sound_of_mpeg_streams_loses_only_its_headers() -> None:
    clip = make_clip("mpegts", "libx264", audio="aac")
    output, read, notes = pass_through(clip, "mp4")
    before, after = packets(clip, "audio"), packets(output, "audio")
    assert [data for _, data in after] == [data[7:] for _, data in before]
    shifts = {round((a - b) * 1000) for (a, _), (b, _) in zip(after, before, strict=True)}
    assert shifts == {0}
    assert read.problems == []
    assert notes == []


def test_sound_through_pipes() -> None:
    clip = make_clip("matroska", "libx264", audio="aac")
    output, _, _ = pass_through(clip, "mp4", pipe=True)
    assert [d for _, d in packets(output, "audio")] == [d for _, d in packets(clip, "audio")]


def test_sound_stays_in_step_where_times_begin_before_0() -> None:
    clip = make_clip("matroska", "libx264", audio="pcm_s16le")
    read = Read(clip)
    early = frames_of(64, 48, range(-200, 200, 40))
    notes: list[str] = []
    output = write_video(read.format, early, "mp4", side=read.side, notes=notes)
    assert any("moved by 0.200 s" in note for note in notes)
    assert packets(output, "audio")[0][0] == packets(clip, "audio")[0][0] + Fraction(1, 5)
    assert Read(output).seconds[0] == 0


def test_a_format_that_cannot_hold_the_sound_gets_a_note() -> None:
    clip = make_clip("matroska", "libx264", audio="libopus")
    read = Read(clip)
    notes: list[str] = []
    output = write_video(read.format, read.frames, "y4m", side=read.side, notes=notes)
    assert any("holds no sound" in note for note in notes)
    assert len(Read(output).frames) == len(read.frames)
    clip = make_clip("matroska", "libx264", audio="wavpack", seconds_of_sound=3)
    output, _, notes = pass_through(clip, "mp4")
    assert any("(wavpack) does not fit into mp4" in note for note in notes)
    with av.open(io.BytesIO(output), "r") as container:
        assert not container.streams.audio


def test_without_sound_there_is_no_side_stream() -> None:
    read = Read(make_clip("mp4", "libx264"))
    assert read.side == b""
    for side in (b"", None):
        assert Read(write_video(read.format, read.frames, "mkv", side=side)).side == b""


@pytest.mark.parametrize(
    ("source", "codec", "container", "stored"),
    [
        ("matroska", "subrip", "mkv", "subrip"),
        ("matroska", "subrip", "mp4", "mov_text"),
        ("mp4", "mov_text", "mp4", "mov_text"),
        ("mp4", "mov_text", "mkv", "subrip"),
        ("mov", "mov_text", "mov", "mov_text"),
    ],
)
def test_subtitles(source: str, codec: str, container: str, stored: str) -> None:
    clip = make_clip(source, "libx264", subtitle=codec, audio="aac")
    output, read, _ = pass_through(clip, container)
    assert not any("dropped" in note for note in read.notes)
    with av.open(io.BytesIO(output), "r") as opened:
        stream = opened.streams.subtitles[0]
        assert stream.codec_context.name == {"subrip": "srt"}.get(stored, stored) or stored
        assert stream.metadata["language"] == "eng"
    lines = [(time, packet_text(stored, data)) for time, data in packets(output, "subtitles")]
    spoken = [(time, text) for time, text in lines if text]
    assert spoken == [(Fraction(1, 25), "line 0"), (Fraction(1, 5), "line 1")]
    assert len(packets(output, "audio")) == len(packets(clip, "audio"))


def test_attachments() -> None:
    font = bytes(range(256)) * 3
    clip = make_clip("matroska", "libx264", attachment=font, audio="aac")
    output, _, _ = pass_through(clip, "mkv")
    with av.open(io.BytesIO(output), "r") as opened:
        stream: Any = opened.streams.attachments[0]
        assert (stream.data, stream.name, stream.mimetype) == (font, "font.ttf", "font/ttf")
    _, _, notes = pass_through(clip, "mp4")
    assert "the attachment font.ttf was dropped" in notes


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize("audio", ["aac", None])
def test_a_cover_picture_is_not_the_video(container: str, audio: str | None) -> None:
    clip = make_clip("matroska", "libx264", cover=True, audio=audio)
    output, read, _ = pass_through(clip, container)
    assert (read.format.width, len(read.frames)) == (64, 10)
    again = Read(output)
    assert (again.format.width, len(again.frames)) == (64, 10)
    with av.open(io.BytesIO(output), "r") as opened:
        cover = next(s for s in opened.streams.video if s.disposition & 1024)
        data = next(bytes(p) for p in opened.demux(cover) if p.size)
    assert data == png()


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize("audio", ["aac", None])
def test_chapters(container: str, audio: str | None) -> None:
    clip = make_clip("matroska", "libx264", chapters=CHAPTERS, audio=audio)
    output, _, _ = pass_through(clip, container)
    with av.open(io.BytesIO(output), "r") as opened:
        chapters = [
            (c["metadata"]["title"], c["start"] * (c["time_base"] or 0)) for c in opened.chapters()
        ]
        assert len(opened.streams.attachments) == 0
    assert chapters == [("one", 0), ("2", Fraction(1, 5))]


def test_a_stream_that_matroska_cannot_hold_gets_a_note() -> None:
    clip = make_clip("mpegts", "libx264", data_stream=True, audio="aac")
    read = Read(clip)
    assert len(read.frames) == 10
    assert any(note.startswith("data stream") and "dropped" in note for note in read.notes)


def test_a_second_video_gets_a_note() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams: list[Any] = [output.add_stream("ffv1", rate=25) for _ in range(2)]
        for size, stream in zip((32, 16), streams, strict=True):
            stream.width = stream.height = size
        for stream in streams:
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            output.mux(stream.encode(frame))
            output.mux(stream.encode())
    read = Read(file.getvalue())
    assert read.format.width == 32
    assert "video stream 1 is not the main picture and was dropped" in read.notes


def test_a_damaged_side_stream_is_a_format_error() -> None:
    read = Read(make_clip("matroska", "libx264", audio="aac"))
    with pytest.raises(FormatError, match="the side stream"):
        write_video(read.format, read.frames, "mkv", side=b"\0" * 500)


def test_a_side_stream_cut_short_gives_what_there_is() -> None:
    clip = make_clip("matroska", "libx264", audio="pcm_s16le")
    read = Read(clip)
    output = write_video(read.format, read.frames, "mkv", side=read.side[: len(read.side) // 2])
    some, all_of_it = packets(output, "audio"), packets(clip, "audio")
    assert 0 < len(some) < len(all_of_it)
    assert some[:-1] == all_of_it[: len(some) - 1]


def test_time_grid() -> None:
    grid = TimeGrid(Fraction(1, 44100), -1024, 1024)
    assert TimeGrid.from_tag(grid.to_tag()) == grid
    for index in range(0, 200_000, 777):
        exact = -1024 + index * 1024
        in_ms = round(Fraction(exact, 44100) * 1000)
        assert grid.exact(in_ms, Fraction(1, 1000)) == exact
    assert grid.exact(30, Fraction(1, 1000)) is None  # 7 ms from the nearest
    for text in ("", "1/0 1 1", "1/5 a 1", "1/5 1", "-1/5 0 1", "1/5 0 0", "1/5 0 1 2"):
        assert TimeGrid.from_tag(text) is None


@pytest.mark.parametrize(
    ("codec", "data", "text", "styled"),
    [
        ("subrip", b"<i>a</i>\r\nb", "a\nb", True),
        ("subrip", b"a < b", "a < b", False),
        ("ass", rb"1,0,Default,,0,0,0,,{\i1}a, b\Nc", "a, b\nc", True),
        ("mov_text", b"\0\x02abstyle", "ab", True),
        ("mov_text", b"\0\x02ab", "ab", False),
        ("mov_text", b"\0\0", "", False),
        ("mov_text", b"", "", False),
    ],
)
def test_text_of_subtitles(codec: str, data: bytes, text: str, styled: bool) -> None:
    assert packet_text(codec, data) == text
    assert has_styles(codec, data) == styled
