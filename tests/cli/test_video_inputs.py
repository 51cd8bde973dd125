"""Videos of every kind through the commands: times, lengths, parts,
remarks and rates come out right."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import bsqcodec
from bsqcodec.cli.main import main
from bsqcodec.media.video.video_files import OutputOptions

from ..batch_tools import Inline
from ..media.clips import Read, make_clip, packets
from ..media.video.avi_files import with_empty_chunks
from .test_encode_video import give
from .video_clips import lines_of_json, seconds_of

Output = pytest.CaptureFixture[str]
CASES = Path(__file__).parents[1] / "cases"

pytestmark = pytest.mark.usefixtures("tiny_video_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def length_of(path: str) -> float:
    """Seconds from the first frame to the end of the last one."""
    read = Read(Path(path))
    last = read.frames[-1]
    return float((last.pts + last.duration - read.frames[0].pts) * read.format.time_base)


@pytest.mark.parametrize(
    ("name", "frames", "seconds"),
    [
        ("noctts.mp4", 20, 0.8),
        ("hold.gif", 4, 3.3),
        ("slides.mkv", 3, 9.0),
        ("an_rgb.avif", 4, 0.9),
        ("an.avif", 4, 0.9),
        ("an.webp", 4, 0.9),
        ("pipe_avi_mjpeg.avi", 10, 0.4),
        ("ivf900.ivf", 10, 0.4),
    ],
)
def test_lengths_come_back(name: str, frames: int, seconds: float, capsys: Output) -> None:
    arguments = ["encode", str(CASES / name), "-o", "a.bsq", "--video", "-q", "5", "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    (facts,) = lines_of_json(captured.out)
    assert (facts["frames"], facts["problems"]) == (frames, [])
    assert facts["duration_s"] == pytest.approx(seconds)
    assert "transparency" not in captured.err and "warning" not in captured.err
    assert bsqcodec.describe("a.bsq")["duration_s"] == pytest.approx(seconds)
    times = [float(second) for second in Read(CASES / name).seconds]
    for suffix in ("mkv", "mp4", "gif") if name in ("hold.gif", "slides.mkv") else ("mkv",):
        assert main(["decode", "a.bsq", "-o", f"a.{suffix}"]) == 0
        assert seconds_of(f"a.{suffix}") == pytest.approx(times, abs=0.006)
        assert length_of(f"a.{suffix}") == pytest.approx(seconds, abs=0.006)


def test_captures_that_were_joined(capsys: Output) -> None:
    Path("joined.ts").write_bytes((CASES / "a.ts").read_bytes() * 2)
    assert main(["encode", "joined.ts", "-q", "5"]) == 0
    err = capsys.readouterr().err
    note = "note: joined.ts: the clock starts over after 2.02 s: times are carried on"
    assert note in err
    assert "damaged" not in err and "unusable" not in err and "warning" not in err
    assert bsqcodec.describe("joined.bsq")["duration_s"] == pytest.approx(4.0, abs=0.05)
    assert main(["decode", "joined.bsq", "-o", "joined.mp4"]) == 0
    data = Path("joined.mp4").read_bytes()
    sounds = [float(time) for time, _ in packets(data, "audio")]
    assert len(sounds) == 168 and max(np.diff(sounds)) < 0.05
    with av.open("joined.mp4", "r") as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(4.05, abs=0.1)


def test_what_is_usual_is_said_once_a_run(capsys: Output) -> None:
    for name in ("one", "two", "three"):
        Path(f"{name}.mkv").write_bytes(make_clip(pts=range(2), width=32, height=32))
    assert main(["encode", "one.mkv", "two.mkv", "three.mkv", "-q", "5", "--json"]) == 0
    captured = capsys.readouterr()
    note = "no colour matrix is named: bt601 is assumed"
    assert captured.err.count(note) == 1
    assert f"bsqcodec: note: one.mkv: {note}" in captured.err
    assert [facts["notes"] for facts in lines_of_json(captured.out)] == [[note]] * 3
    assert main(["encode", "one.mkv", "-f", "-q", "5", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_usual_is_no_conversion_in_a_batch(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    Path("in").mkdir()
    for name in ("one", "two"):
        Path(f"in/{name}.mkv").write_bytes(make_clip(pts=range(2), width=32, height=32))
    assert main(["batch", "in", "out", "-v", "--threads", "1"]) == 0
    err = capsys.readouterr().err
    assert err.count("no colour matrix is named") == 1 and "warning" not in err
    assert main(["batch", "in", "again", "--threads", "1"]) == 0
    assert "converted or dropped" not in capsys.readouterr().err


@pytest.mark.parametrize("piped", [False, True])
def test_a_part_on_the_way_in(piped: bool, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"bf": "2", "g": "10"}
    clip = make_clip("mp4", "libx264", options=options, pts=range(75), audio="aac",
                     seconds_of_sound=3, width=32, height=32)  # fmt: skip
    Path("clip.mp4").write_bytes(clip)
    source = "clip.mp4"
    if piped:
        source = "-"
        give(monkeypatch, clip)
    arguments = ["--start", "1", "--duration", "0:00:00.8", "-o", "part.bsq", "-q", "20", "--json"]
    assert main(["encode", source, *arguments]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert facts["frames"] == 20 and facts["duration_s"] == pytest.approx(0.8)
    assert main(["decode", "part.bsq", "-o", "part.mkv"]) == 0
    assert seconds_of("part.mkv") == [round(index / 25, 3) for index in range(20)]
    sounds = [float(time) for time, _ in packets(Path("part.mkv").read_bytes(), "audio")]
    assert 36 <= len(sounds) <= 38 and min(sounds) > -0.002 and max(sounds) < 0.8


def test_a_part_is_what_a_part_of_the_whole_is() -> None:
    """Cut before coding or after it: the same frames, times and packets of sound."""
    clip = make_clip(pts=range(50), audio="flac", seconds_of_sound=2, width=32, height=32)
    Path("clip.mkv").write_bytes(clip)
    cut = ["--start", "0.5", "--duration", "1"]
    assert main(["encode", "clip.mkv", "-q", "60"]) == 0
    assert main(["decode", "clip.bsq", "-o", "after.mkv", *cut]) == 0
    assert main(["encode", "clip.mkv", "-f", "-q", "60", *cut]) == 0
    assert main(["decode", "clip.bsq", "-o", "before.mkv"]) == 0
    assert seconds_of("before.mkv") == seconds_of("after.mkv")
    before, after = (
        packets(Path(name).read_bytes(), "audio") for name in ("before.mkv", "after.mkv")
    )
    assert [data for _, data in before] == [data for _, data in after]
    for (one, _), (two, _) in zip(before, after, strict=True):
        assert abs(one - two) <= Fraction(1, 1000)
    assert length_of("before.mkv") == pytest.approx(length_of("after.mkv")) == pytest.approx(1)


def test_a_part_of_numbered_pictures_and_from_python() -> None:
    from PIL import Image

    for index in range(10):
        Image.new("RGB", (16, 16), (20 * index, 0, 90)).save(f"{index}.png")
    assert main(["encode", "%d.png", "--fps", "10", "--start", "0.5", "-o", "a.bsq"]) == 0
    assert bsqcodec.describe("a.bsq")["frames"] == 5
    coded = bsqcodec.encode_video(
        "%d.png", "b.bsq", frame_rate=Fraction(10), start=0.2, duration=0.4
    )
    assert coded.frames == 4 and coded.duration == pytest.approx(0.4)
    with pytest.raises(ValueError, match="the start of -1 seconds is not a time"):
        bsqcodec.encode_video("%d.png", "c.bsq", start=-1)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["clip.mkv", "--start", "9"], "no frames in the part that is wanted", 1),
        (["clip.mkv", "--start", "x"], "is not a time", 2),
        (["photo.png", "--start", "1"], "--start is not for pictures", 2),
        (["photo.png", "--duration", "1"], "--duration is not for pictures", 2),
    ],
)
def test_parts_that_cannot_be(
    arguments: list[str], message: str, status: int, capsys: Output
) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16)).save("photo.png")
    Path("clip.mkv").write_bytes(make_clip(pts=range(4), width=32, height=32))
    assert main(["encode", *arguments]) == status
    assert message in capsys.readouterr().err
    assert not list(Path.cwd().glob("*.bsq"))


def without_default_duration(clip: bytes) -> bytes:
    """A Matroska file whose track names no duration of frames (an element that is void instead)."""
    at = clip.index(b"\x23\xe3\x83\x84")
    return clip[:at] + b"\xec\x86" + clip[at + 2 :]


UNEVEN = [int(time) for time in np.cumsum(np.random.default_rng(4).choice([13, 29, 41, 117], 40))]


def test_a_variable_rate_without_a_nominal_one(capsys: Output) -> None:
    """FFmpeg calls it 1000 frames a second; bits and y4m go by the times of the frames."""
    clip = make_clip(pts=UNEVEN, time_base=Fraction(1, 1000), width=64, height=48)
    Path("clip.mkv").write_bytes(without_default_duration(clip))
    assert main(["encode", "clip.mkv", "--bitrate", "10k", "--gop", "10", "--json"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    seconds = (UNEVEN[-1] - UNEVEN[0]) / 1000
    assert facts["duration_s"] == pytest.approx(seconds, abs=0.12)
    assert 8 * facts["frame_bytes"] / facts["duration_s"] == pytest.approx(10_000, rel=0.2)
    assert bsqcodec.describe("clip.bsq")["frame_rate"] is None
    assert main(["decode", "clip.bsq", "-o", "clip.y4m"]) == 0
    assert "y4m holds no timestamps: at an even 20 fps" in capsys.readouterr().err
    read = Read(Path("clip.y4m"))
    rate = read.format.frame_rate
    assert rate is not None and len(read.frames) / rate == pytest.approx(seconds, abs=0.2)
    assert main(["decode", "clip.bsq", "-o", "clip.mp4"]) == 0
    times = [time - UNEVEN[0] for time in UNEVEN]
    assert np.allclose(np.array(seconds_of("clip.mp4")) * 1000 - UNEVEN[0], times, atol=1)


def test_bits_of_a_slow_video_go_by_time(capsys: Output) -> None:
    """slides.mkv calls itself 25 frames a second and shows three in nine seconds."""
    arguments = ["encode", str(CASES / "slides.mkv"), "-o", "a.bsq", "--bitrate", "280", "--json"]
    assert main(arguments) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert 8 * facts["frame_bytes"] / 9 == pytest.approx(280, rel=0.3)
    assert main(["decode", "a.bsq", "-o", "a.y4m"]) == 0
    read = Read(Path("a.y4m"))
    assert len(read.frames) == 9 * 25


def test_empty_chunks_of_avi_hold_the_last_picture() -> None:
    clip = make_clip("avi", "mpeg4", options={"bf": "0"}, pts=range(8), width=32, height=32)
    Path("held.avi").write_bytes(with_empty_chunks(clip, {7: 42}))
    assert main(["encode", "held.avi", "-q", "5"]) == 0
    assert bsqcodec.describe("held.bsq")["duration_s"] == pytest.approx(2)
    assert main(["decode", "held.bsq", "-o", "held.mp4"]) == 0
    assert length_of("held.mp4") == pytest.approx(2)


def test_crops_and_alpha(capsys: Output) -> None:
    for name in ("crop.mkv", "clap.mp4"):
        assert main(["encode", str(CASES / name), "-o", "a.bsq", "-f", "-q", "5"]) == 0
        facts = bsqcodec.describe("a.bsq")
        assert (facts["width"], facts["height"]) == (64, 32)
    err = capsys.readouterr().err
    assert err.count(": cropped to 64 x 32 as the file asks") == 2 and "warning" not in err
    capsys.readouterr()
    assert main(["encode", str(CASES / "al.webm"), "-o", "a.bsq", "-f", "-q", "5"]) == 0
    assert "warning: " in (err := capsys.readouterr().err) and "transparency was dropped" in err


def test_lengths_through_a_pipe() -> None:
    """The end of a coded video is known when its last group is decoded, not before."""
    assert main(["encode", str(CASES / "hold.gif"), "-o", "a.bsq", "--video", "-q", "5"]) == 0
    sink = io.BytesIO()
    bsqcodec.decode_video("a.bsq", sink, options=OutputOptions(container="mkv"))
    Path("a.mkv").write_bytes(sink.getvalue())
    assert length_of("a.mkv") == pytest.approx(3.3)
    bsqcodec.decode_video("a.bsq", "part.mkv", start=0.2, duration=1.5)
    assert seconds_of("part.mkv") == [0, 0.1] and length_of("part.mkv") == pytest.approx(1.5)
