"""What a container says of its picture track is applied, carried, or named in a note."""

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from bsqcodec.media.video.track_facts import drop_unusable_time_code, split_metadata

from ..clips import FRAMES, Read, make_clip, scene, write_video
from .ebml_files import crop, element, with_track_elements

CASES = Path(__file__).parents[2] / "cases"
EXACT = {"qp": "0", "bf": "0"}
CHAPTERS = [
    {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
]
HDR10 = (
    "hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    ":max-cll=1000,400:log-level=none"
)


def remux(clip: bytes, container: str, **tags: str) -> bytes:
    """The clip with texts of its picture track, the only one."""
    file = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as source, av.open(file, "w", format=container) as output:
        stream = source.streams.video[0]
        track: Any = output.add_stream_from_template(stream)
        track.metadata.update(tags)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = track
                output.mux(packet)
    return file.getvalue()


def track_texts(data: bytes) -> Mapping[str, str]:
    """The texts of a file's picture track."""
    with av.open(io.BytesIO(data), "r") as container:
        return dict(container.streams.video[0].metadata)


@pytest.mark.parametrize("name", ["crop.mkv", "clap.mp4"])
def test_a_crop_of_the_container_is_applied(name: str) -> None:
    read = Read(CASES / name)
    assert (read.format.width, read.format.height) == (64, 32)
    assert all(frame.pixels.shape == (32, 64, 3) for frame in read.frames)
    assert "cropped to 64 x 32 as the file asks" in read.notes
    with av.open(str(CASES / name)) as container:
        whole = next(container.decode(video=0)).to_ndarray(format="rgb24")
    difference = np.abs(read.frames[0].pixels.astype(int) - whole[8:40])
    assert difference.mean() < 3


@pytest.mark.parametrize(
    "sides",
    [
        {"left": 8}, {"right": 6}, {"top": 3}, {"bottom": 1},
        {"left": 2, "right": 4, "top": 6, "bottom": 8},
    ],
)  # fmt: skip
def test_each_side_of_a_crop(sides: dict[str, int]) -> None:
    clip = make_clip("matroska", "libx264rgb", options=EXACT, pix_fmt="rgb24")
    read = Read(with_track_elements(clip, crop(**sides)))
    rows = slice(sides.get("top", 0), 48 - sides.get("bottom", 0))
    columns = slice(sides.get("left", 0), 64 - sides.get("right", 0))
    assert len(read.frames) == FRAMES
    for index, frame in enumerate(read.frames):
        assert np.array_equal(frame.pixels, scene(64, 48, index)[rows, columns])
    assert (read.format.height, read.format.width) == read.frames[0].pixels.shape[:2]
    assert read.format.sample_aspect_ratio == 1


def test_pixels_stay_square_where_what_is_shown_has_a_size() -> None:
    """DisplayWidth and DisplayHeight are of the picture that is left."""
    clip = make_clip("matroska", "libx264rgb", options=EXACT, pix_fmt="rgb24")
    shown = crop(top=8, bottom=8) + element(0x54B0, 64) + element(0x54BA, 32)
    assert Read(with_track_elements(clip, shown)).format.sample_aspect_ratio == 1


def test_a_crop_of_a_turned_picture() -> None:
    clip = make_clip(
        "mov", "png", pix_fmt="rgb24", width=20, height=10, rotation=(90, False, False)
    )
    aperture = struct.pack(">4s8I", b"clap", 16, 1, 10, 1, 0, 1, 0, 1)
    read = Read(with_box_in_sample_entry(clip, aperture))
    assert (read.format.width, read.format.height) == (10, 16)
    assert np.array_equal(read.frames[0].pixels, np.rot90(scene(20, 10)[:, 2:18]))


def with_box_in_sample_entry(clip: bytes, payload: bytes) -> bytes:
    """A movie with one more box at the end of its picture's sample entry;
    payload: kind and rest."""
    box = struct.pack(">I", 4 + len(payload)) + payload
    data, moov = bytearray(clip), clip.index(b"moov") - 4
    entry = next(
        place - 4
        for kind in (b"avc1", b"png ", b"hev1", b"mp4v")
        if (place := clip.find(kind, clip.find(b"stsd"))) >= 0
    )
    end = entry + struct.unpack_from(">I", data, entry)[0]
    data[end:end] = box
    at = moov
    while at != entry:  # the boxes around it grow
        size, kind = struct.unpack_from(">I4s", data, at)
        struct.pack_into(">I", data, at, size + len(box))
        inner = at + 8 + (8 if kind == b"stsd" else 0)
        while True:
            size = struct.unpack_from(">I", data, inner)[0]
            if inner <= entry < inner + size:
                break
            inner += size
        at = inner
    struct.pack_into(">I", data, entry, struct.unpack_from(">I", data, entry)[0] + len(box))
    assert clip.index(b"mdat") < moov  # no places of frames move
    return bytes(data)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (struct.pack(">4sIB", b"st3d", 0, 2), "stereo 3D layout"),
        (
            b"sv3d"
            + struct.pack(">I4sI", 13, b"svhd", 0)
            + b"x"
            + struct.pack(">I4s", 8 + 24 + 28, b"proj")
            + struct.pack(">I4sI3i", 24, b"prhd", 0, 0, 0, 0)
            + struct.pack(">I4sI4I", 28, b"equi", 0, 0, 0, 0, 0),
            "spherical projection",
        ),
        (struct.pack(">4s2H", b"clli", 1000, 400), "content light level metadata"),
    ],
)
def test_what_movies_say_of_their_picture_is_named(payload: bytes, name: str) -> None:
    clip = make_clip("mp4", "libx264", options={"bf": "0"})
    read = Read(with_box_in_sample_entry(clip, payload))
    assert f"not kept: {name}" in read.notes
    assert f"not kept: {name}" in read.format.notes
    assert len(read.frames) == FRAMES
    assert not any("not kept" in note for note in Read(clip).notes)


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        (element(0x53B8, 1), "stereo 3D layout"),
        (element(0x7670, element(0x7671, 1)), "spherical projection"),
        (element(0x55B0, element(0x55BC, 1000) + element(0x55BD, 400)), "content light level"),
        (
            element(0x55B0, element(0x55D0, b"".join(
                element(0x55D1 + index, struct.pack(">f", value))
                for index, value in enumerate((.68, .32, .265, .69, .15, .06, .31, .33, 1000, .01))
            ))),
            "mastering display",
        ),
    ],
)  # fmt: skip
def test_what_matroska_says_of_its_picture_is_named(elements: bytes, name: str) -> None:
    clip = make_clip("matroska", "libx264", options={"bf": "0"})
    read = Read(with_track_elements(clip, elements))
    assert any(note.startswith("not kept: ") and name in note for note in read.notes)
    assert len(read.frames) == FRAMES


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_hdr_data_in_the_frames_is_named_once(container: str) -> None:
    tags = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
    options = {"x265-params": HDR10}
    clip = make_clip(container, "libx265", options=options, pix_fmt="yuv420p10le", tags=tags)
    read = Read(clip)
    names = "mastering display metadata, content light level metadata"
    assert [note for note in read.notes if "not kept" in note] == [f"not kept: {names}"]


@pytest.mark.parametrize("container", ["matroska", "mp4", "mov"])
def test_language_of_the_picture_comes_back(container: str) -> None:
    clip = remux(make_clip("matroska", "libx264"), container, language="fra", title="Main view")
    read = Read(clip)
    assert read.format.metadata["picture.language"] == "fra"
    output = write_video(read.format, read.frames, {"matroska": "mkv"}.get(container, container))
    assert track_texts(output)["language"] == "fra"
    if container == "matroska":
        assert read.format.metadata["picture.title"] == "Main view"
        assert track_texts(output)["title"] == "Main view"
    with av.open(io.BytesIO(output), "r") as opened:
        assert not any(key.lower().startswith("picture") for key in opened.metadata)


def test_an_unknown_language_is_not_carried() -> None:
    assert "picture.language" not in Read(make_clip("mp4", "libx264")).format.metadata


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_a_time_code_is_carried_without_a_word(container: str) -> None:
    clip = make_clip(container, "libx264", metadata={"timecode": "01:02:03:04"})
    read = Read(clip)
    assert read.format.metadata["timecode"] == "01:02:03:04"
    assert not any("dropped" in note or "cannot be kept" in note for note in read.notes)
    for made in ("mov", "mp4", "mkv"):
        notes: list[str] = []
        output = write_video(read.format, read.frames, made, notes=notes)
        again = Read(output)
        kept = {key.lower(): text for key, text in again.format.metadata.items()}
        assert kept["timecode"] == "01:02:03:04" and notes == []
        assert again.seconds == read.seconds


@pytest.mark.parametrize(
    ("text", "rate", "is_kept"),
    [
        ("01:02:03:04", Fraction(25), True),
        ("01:02:03:29", Fraction(25), False),
        ("01:02:03;04", Fraction(30000, 1001), True),
        ("01:02:03;04", Fraction(25), False),
        ("no time code", Fraction(25), False),
        ("01:02:03:00", Fraction(1, 2), False),
    ],
)
def test_a_time_code_that_mp4_cannot_hold(text: str, rate: Fraction, is_kept: bool) -> None:
    texts, notes = {"TIMECODE": text, "title": "t"}, list[str]()
    drop_unusable_time_code(texts, rate, notes)
    assert ("TIMECODE" in texts) == is_kept == (notes == [])
    assert texts["title"] == "t"


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_chapters_are_not_said_to_be_dropped(container: str) -> None:
    """In MP4 and MOV they are a track of text, which FFmpeg makes chapters of."""
    clip = make_clip(container, "libx264", chapters=CHAPTERS, audio="aac")
    read = Read(clip)
    assert not any("dropped" in note or "cannot be kept" in note for note in read.notes)
    output = write_video(read.format, read.frames, "mkv", side=read.side)
    with av.open(io.BytesIO(output), "r") as opened:
        assert [chapter["metadata"]["title"] for chapter in opened.chapters()] == ["one"]
        assert not opened.streams.subtitles


def test_texts_of_the_track_and_of_the_file() -> None:
    metadata = {"title": "a film", "picture.title": "a view", "picture.language": "deu"}
    assert split_metadata(metadata) == (
        {"title": "a film"},
        {"title": "a view", "language": "deu"},
    )
