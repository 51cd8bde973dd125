"""`bsqcodec encode` with videos: files, pictures, pipes, targets, reports and refusals."""

from __future__ import annotations

import io
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import bsqcodec
from bsqcodec.cli.main import main
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.video.frame_symbols import SymbolCoder

from ..media.clips import make_clip
from ..pipes import slow_input
from .video_clips import FRAMES, GOP, HEIGHT, WIDTH, clip, clip_with_sound, frames_of, lines_of_json

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_video_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with clip.mkv in it: 7 frames of 48 x 32, sound and a title."""
    monkeypatch.chdir(tmp_path)
    Path("clip.mkv").write_bytes(clip_with_sound())
    return tmp_path


def groups_of(path: str) -> list[int]:
    """Frames of each group of a .bsq video."""
    chunks = VideoFileReader(Path(path).read_bytes()).chunks()
    return [len(part.frames) for part in chunks if isinstance(part, Gop)]


def test_a_clip(capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "--gop", "3", "--verify", "-v"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "clip.mkv -> clip.bsq: 48x32, 7 frames, " in err and " dB, " in err
    assert "3 groups, " in err
    assert "note: clip.mkv: no colour matrix is named: bt601 is assumed" in err
    assert "warning" not in err
    assert groups_of("clip.bsq") == [3, 3, 1]
    assert sorted(os.listdir()) == ["clip.bsq", "clip.mkv"]


def test_json(capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "--gop", "7", "--json", "--quiet"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    size = Path("clip.bsq").stat().st_size
    assert (facts["width"], facts["height"], facts["frames"], facts["gops"]) == (48, 32, 7, 1)
    assert facts["output_bytes"] == size and facts["duration_s"] == pytest.approx(7 / 25)
    assert facts["bitrate_bps"] == pytest.approx(8 * size / 0.28)
    assert facts["bpp"] == pytest.approx(8 * size / (7 * WIDTH * HEIGHT))
    assert 0 < facts["frame_bytes"] < size and 0 < facts["side_bytes"] < size
    assert facts["psnr_db"] > 15
    assert facts["problems"] == [] and len(facts["notes"]) == 1


def test_pictures_and_videos_together(capsys: Output) -> None:
    Image.new("RGB", (20, 10), (200, 0, 0)).save("photo.png")
    assert main(["encode", "photo.png", "clip.mkv", "-q", "20"]) == 0
    assert bsqcodec.describe("photo.bsq")["format_version"] == 1
    assert bsqcodec.describe("clip.bsq")["format_version"] == 2
    assert main(["encode", "photo.png", "clip.mkv", "-f", "--gop", "3"]) == 2
    assert "--gop is not for pictures" in capsys.readouterr().err


def test_kinds_may_be_named() -> None:
    """A video with a picture's name, and the first frame of a picture as a video."""
    Path("clip.mkv").rename("clip.png")
    assert main(["encode", "clip.png"]) == 1
    assert main(["encode", "clip.png", "--video", "--gop", "3"]) == 0
    assert groups_of("clip.bsq") == [3, 3, 1]


@pytest.mark.parametrize(
    ("source", "options", "target"),
    [
        ("frame%02d.png", [], "frame.bsq"),
        ("frame*.png", ["--fps", "30000/1001"], "frame.bsq"),
        ("%02d.png", [], "video.bsq"),
        (".", ["--video", "-o", "all.bsq"], "all.bsq"),
    ],
)
def test_numbered_pictures(source: str, options: list[str], target: str) -> None:
    Path("clip.mkv").unlink()
    prefix = "" if source.startswith("%") else "frame"
    for index in range(3):
        Image.new("RGB", (20, 10), (80 * index, 0, 90)).save(f"{prefix}{index:02d}.png")
    assert main(["encode", source, *options]) == 0
    facts = bsqcodec.describe(target)
    assert facts["frames"] == 3
    assert facts["frame_rate"] == ("30000/1001" if "--fps" in options else "25")


def test_bare_samples() -> None:
    """The same frames with and without a header."""
    luma, chroma = np.full((4, 16, 24), 90, np.uint8), np.full((4, 2, 8, 12), 120, np.uint8)
    pairs = zip(luma, chroma, strict=True)
    Path("bare.yuv").write_bytes(b"".join(y.tobytes() + c.tobytes() for y, c in pairs))
    arguments = ["encode", "bare.yuv", "--frame-size", "24x16", "--fps", "50", "--quiet"]
    assert main(arguments) == 0
    facts = bsqcodec.describe("bare.bsq")
    assert (facts["width"], facts["height"], facts["frames"]) == (24, 16, 4)
    assert facts["frame_rate"] == "50"
    assert main(["encode", "bare.yuv", "-f", "--frame-size", "24x16", "--pix-fmt", "gray"]) == 0
    assert bsqcodec.describe("bare.bsq")["frames"] == 6


def test_strip() -> None:
    assert main(["encode", "clip.mkv"]) == 0
    assert bsqcodec.describe("clip.bsq")["metadata"]["title"] == "Waves"
    assert main(["encode", "clip.mkv", "-f", "--strip"]) == 0
    facts = bsqcodec.describe("clip.bsq")
    assert facts["metadata"] == {} and facts["side_bytes"] > 0


# Targets ------------------------------------------------------------------------------------------


def test_qualities_differ() -> None:
    sizes = []
    for quality in ("0", "50", "100"):
        assert main(["encode", "clip.mkv", "-f", "-q", quality]) == 0
        sizes.append(Path("clip.bsq").stat().st_size)
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


@pytest.mark.parametrize("option", [["--bitrate", "9k"], ["--bpp", "0.234375"]])
def test_rates(option: list[str], capsys: Output) -> None:
    """9 kbit/s are .234375 bits for each pixel of the frames."""
    assert main(["encode", "clip.mkv", "--gop", "1", *option, "--json"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert 8 * facts["frame_bytes"] * 25 / FRAMES == pytest.approx(9000, rel=0.2)


def test_a_size(capsys: Output) -> None:
    Path("silent.mkv").write_bytes(clip())
    assert main(["encode", "silent.mkv", "-q", "40", "--gop", "3"]) == 0
    limit = Path("silent.bsq").stat().st_size + 20
    arguments = ["--size", str(limit), "--gop", "3", "-f", "--json"]
    assert main(["encode", "silent.mkv", *arguments]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert facts["output_bytes"] == Path("silent.bsq").stat().st_size
    assert limit * 0.97 <= facts["output_bytes"] <= limit


def test_a_psnr(capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "--psnr", "16", "--gop", "7", "--json"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert facts["psnr_db"] >= 16


# Pipes --------------------------------------------------------------------------------------------


class Stdin(io.BufferedReader):
    """Standard input that does not seek."""

    def seekable(self) -> bool:
        return False


class Standard:
    """Takes the place of sys.stdin and sys.stdout."""

    def __init__(self, buffer: io.BufferedIOBase) -> None:
        self.buffer = buffer

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        self.buffer.flush()


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", Standard(Stdin(io.BytesIO(data))))


def test_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    give(monkeypatch, Path("clip.mkv").read_bytes())
    assert main(["encode", "-", "--video", "--gop", "3", "-o", "piped.bsq"]) == 0
    assert main(["encode", "clip.mkv", "--gop", "3"]) == 0
    assert groups_of("piped.bsq") == groups_of("clip.bsq")
    capsys.readouterr()
    give(monkeypatch, Path("clip.mkv").read_bytes())
    assert main(["encode", "-", "--video", "--size", "20k", "-o", "sized.bsq"]) == 1
    assert "can be read more than once, not a pipe" in capsys.readouterr().err
    assert not Path("sized.bsq").exists()


def test_a_slow_pipe_is_seen_to_be_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", slow_input(Path("clip.mkv").read_bytes()))
    assert main(["encode", "-", "--gop", "3", "-o", "slow.bsq"]) == 0
    assert main(["encode", "clip.mkv", "--gop", "3"]) == 0
    assert groups_of("slow.bsq") == groups_of("clip.bsq")


def test_standard_input_tells_what_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    give(monkeypatch, Path("clip.mkv").read_bytes())
    assert main(["encode", "-", "--gop", "3", "-o", "piped.bsq"]) == 0
    assert main(["encode", "clip.mkv", "--gop", "3"]) == 0
    assert groups_of("piped.bsq") == groups_of("clip.bsq")
    picture = io.BytesIO()
    Image.new("RGB", (16, 12)).save(picture, "PNG")
    give(monkeypatch, picture.getvalue())
    assert main(["encode", "-", "-o", "picture.bsq"]) == 0
    assert main(["info", "picture.bsq"]) == 0
    assert "16 x 12 pixels, rgb" in capsys.readouterr().out
    give(monkeypatch, Path("clip.mkv").read_bytes())
    assert main(["encode", "-", "--picture", "-o", "none.bsq"]) == 1
    assert "not a picture" in capsys.readouterr().err


def test_to_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "--gop", "3"]) == 0
    for more in ([], ["--verify"]):
        sink = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", Standard(sink))
            assert main(["encode", "clip.mkv", "--gop", "3", "-o", "-", "--quiet", *more]) == 0
        assert sink.getvalue() == Path("clip.bsq").read_bytes()


# What goes wrong ----------------------------------------------------------------------------------


def test_a_damaged_video(capsys: Output) -> None:
    form: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "pts": range(12)}
    data = bytearray(make_clip("mp4", "libx264", options={"g": "4", "crf": "2"}, **form))
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    Path("bad.mp4").write_bytes(data)
    assert main(["encode", "bad.mp4"]) == 1
    err = capsys.readouterr().err
    assert "damaged after" in err and "--partial codes what is readable" in err
    assert not Path("bad.bsq").exists()
    assert main(["encode", "bad.mp4", "--partial", "--json", "--quiet"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert 0 < facts["frames"] <= 12
    assert facts["problems"]


def test_a_rate_that_is_missed_is_told(capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "--bitrate", "1k", "--json", "--quiet"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    (note,) = [note for note in facts["notes"] if "times the bits asked for" in note]
    asked = 1000 * facts["frames"] / 25
    factor = float(re.findall(r"take ([\d.]+) times", note)[0])
    assert factor == pytest.approx(8 * facts["frame_bytes"] / asked, abs=0.006) and factor > 1.1
    assert main(["encode", "clip.mkv", "--bitrate", "900k", "-f"]) == 0
    assert "asked for" not in capsys.readouterr().err


def test_a_video_that_is_cut(capsys: Output) -> None:
    """What is readable is no whole video, whatever container it comes in."""
    for container, codec in (("matroska", "libx264"), ("yuv4mpegpipe", "rawvideo")):
        data = make_clip(container, codec, width=WIDTH, height=HEIGHT, pts=range(25))
        Path("cut.video").write_bytes(data[: len(data) * 7 // 10])
        assert main(["encode", "cut.video", "--quiet"]) == 1
        assert "cut.video: damaged after " in capsys.readouterr().err
        assert not Path("cut.bsq").exists()
        assert main(["encode", "cut.video", "--partial", "-f"]) == 0
        assert "warning: cut.video: damage after " in capsys.readouterr().err
        assert 5 <= bsqcodec.describe("cut.bsq")["frames"] < 25
        Path("cut.bsq").unlink()


@pytest.mark.parametrize("arguments", [[], ["--verify"], ["--size", "20k"]])
def test_a_file_that_may_not_grow(arguments: list[str], capsys: Output) -> None:
    """As on a disk that is full, wherever the data goes first."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        assert main(["encode", "clip.mkv", "--quiet", *arguments]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: clip.mkv: ") and err.endswith(": File too large\n")
    assert ("temporary files in /" if arguments else "clip.bsq") in err
    assert os.listdir() == ["clip.mkv"]


@pytest.mark.parametrize("piped", [False, True])
def test_progress_shows_the_frames_and_how_many_there_are(
    piped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal; a pipe does not tell how many."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("bsqcodec.cli.console._PROGRESS_DELAY_SECONDS", 0)
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)
    if piped:
        give(monkeypatch, Path("clip.mkv").read_bytes())
    source = ["-", "--video"] if piped else ["clip.mkv"]
    assert main(["encode", *source, "-o", "clip.bsq", "--gop", "3"]) == 0
    shown = screen.getvalue()
    if piped:
        assert re.search(r"standard input: \d frames \[", shown) and "%" not in shown.split("->")[0]
    else:
        assert re.search(r"clip.mkv: +\d+%\|.*\| \d/7 \[", shown)


def test_verify_publishes_nothing_that_does_not_decode(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    encode = SymbolCoder.encode
    monkeypatch.setattr(SymbolCoder, "encode", lambda self, s: encode(self, s)[:-4] + bytes(4))
    assert main(["encode", "clip.mkv", "--verify", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "nothing was written" in err and err.count("\n") == 1
    assert os.listdir() == ["clip.mkv"]


def test_a_full_disk(capsys: Output) -> None:
    assert main(["encode", "clip.mkv", "-o", "/dev/full", "--quiet"]) == 1
    assert capsys.readouterr().err == (
        "bsqcodec: error: clip.mkv: /dev/full: No space left on device\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("clip.mkv --size 300", 1, "bytes of the 300 asked for"),
        ("clip.mkv --psnr 70", 1, "clip.mkv: 70 dB is out of reach"),
        ("clip.mkv --max-pixels 100", 1, "over the limit of 100"),
        ("clip.mkv --weights absent", 1, "absent is not a file of bsqcodec video weights"),
        ("absent.mp4", 1, "absent.mp4: No such file or directory"),
        ("text.mp4", 1, "text.mp4: not a video of any known kind"),
        ("none%03d.png", 1, "no pictures found"),
        ("bare.yuv", 1, "bare samples; the size of their frames must be given"),
        ("clip.mkv -q 5 --bitrate 5k", 2, "only one of -q, --bpp, --bitrate, --size and --psnr"),
        ("clip.mkv --bitrate much", 2, "'much' is not a bitrate"),
        ("clip.mkv --bitrate 0", 2, "not a positive number"),
        ("clip.mkv --gop 0", 2, "0"),
        ("clip.mkv --fps 0", 2, "is not a frame rate"),
        ("clip.mkv --frame-size 3by4", 2, "is not a size such as"),
        ("clip.mkv --pix-fmt gray", 2, "need --frame-size too"),
        ("photo.png --bitrate 5k", 2, "--bitrate is not for pictures"),
        ("photo.png --scheduler tcp://x:1", 2, "--scheduler is not for pictures"),
        ("clip.mkv --scheduler nowhere://x", 1, "no scheduler answers at nowhere://x"),
        ("clip.mkv --effort 3", 2, "'3' is not a whole number from 0 to 2"),
        ("clip.mkv --fps 30", 2, "--fps is not for videos that tell their own"),
        ("empty.mp4", 1, "empty.mp4: the file is empty"),
        ("photo.png --frame-size 4x4", 1, "photo.png: a PNG picture, no bare samples"),
        ("photo.jpg --frame-size 4x4 --partial", 1, "photo.jpg: a JPEG picture, no bare samples"),
        ("text.mp4 --frame-size 4x4", 1, "text.mp4: by its name a mp4 file, no bare samples"),
        (
            "bare.yuv --frame-size 8x4",
            1,
            "100 bytes are 2.08 frames of 8 x 4 yuv420p, 48 bytes each",
        ),
        ("clip.mkv --gop 3 -o none/clip.bsq", 1, "none/clip.bsq: there is no folder none"),
        ("clip.mkv -o clip2.mkv", 2, "clip2.mkv: what is written is a .bsq file"),
        ("clip.mkv -o x.png", 2, "x.png: what is written is a .bsq file"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    capsys: Output, arguments: str, status: int, message: str
) -> None:
    Path("text.mp4").write_text("no video at all" * 20)
    Path("bare.yuv").write_bytes(bytes(100))
    Path("empty.mp4").touch()
    for name in ("photo.png", "photo.jpg"):
        Image.new("RGB", (20, 10)).save(name)
    before = sorted(os.listdir())
    assert main(["encode", *arguments.split(), "--quiet"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bsqcodec: error: ") and message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_a_scheduler_needs_a_package(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["encode", "clip.mkv", "--scheduler", "tcp://x:1"]) == 1
    assert capsys.readouterr().err == (
        "bsqcodec: error: clip.mkv: a scheduler needs the package distributed: pip install"
        " 'bsqcodec[cluster]'\n"
    )
    assert os.listdir() == ["clip.mkv"]


def test_existing_files_are_kept_without_f(capsys: Output) -> None:
    Path("clip.bsq").write_bytes(b"kept")
    assert main(["encode", "clip.mkv"]) == 1
    assert "exists already (overwrite with -f)" in capsys.readouterr().err
    assert Path("clip.bsq").read_bytes() == b"kept"


def test_what_is_coded_is_what_is_decoded() -> None:
    """The frames, by the library's other way round."""
    assert main(["encode", "clip.mkv", "-q", "100", "--gop", str(GOP)]) == 0
    found = np.stack(list(bsqcodec.video_frames("clip.bsq")))
    error = np.mean((found.astype(float) - frames_of("clip.mkv")) ** 2)
    assert 10 * np.log10(255**2 / error) > 16


@pytest.mark.parametrize(
    ("audio", "codec"), [("copy", "aac"), ("opus:32k", "opus"), ("none", None)]
)
def test_what_becomes_of_sound(audio: str, codec: str | None) -> None:
    Path("loud.mkv").write_bytes(clip_with_sound())
    assert main(["encode", "loud.mkv", "--audio", audio, "--verify"]) == 0
    assert main(["decode", "loud.bsq", "back.mkv"]) == 0
    with av.open("back.mkv") as container:
        found = [stream.codec_context.name for stream in container.streams.audio]
    assert found == ([] if codec is None else [codec])


def test_audio_that_is_none_of_these(capsys: pytest.CaptureFixture[str]) -> None:
    Path("loud.mkv").write_bytes(clip_with_sound())
    assert main(["encode", "loud.mkv", "--audio", "mp3"]) == 2
    assert "copy, opus, opus:64k or none" in capsys.readouterr().err
