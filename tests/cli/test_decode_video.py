"""`bsqcodec decode` and `info` with videos: outputs of every kind, parts, sound, damage, pipes."""

from __future__ import annotations

import io
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bsqcodec import api_video
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.main import main
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.media.video.video_codecs import DEFAULT_CRF
from bsqcodec.video.describe_video import count_of

from .test_encode_video import Standard, give
from .video_clips import (
    FRAMES,
    clip,
    clip_with_sound,
    frames_of,
    lines_of_json,
    seconds_of,
    sound_of,
)

Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("tiny_video_weights")


@pytest.fixture(scope="module")
def coded(video_weights: Path) -> bytes:
    """A .bsq video of 7 frames in groups of 3, with sound."""
    file = io.BytesIO()
    api_video.encode_video(
        io.BytesIO(clip_with_sound()), file, gop=3, weights=video_weights, device="cpu"
    )
    api_video._codec.cache_clear()
    return file.getvalue()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coded: bytes) -> Path:
    """The current folder, with clip.bsq in it, and clip.mkv that it was made of in another."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "clip.mkv").write_bytes(clip_with_sound())
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("clip.bsq").write_bytes(coded)
    return tmp_path


@pytest.fixture
def frames(capsys: Output) -> np.ndarray:
    """The decoded frames [7, H, W, 3]."""
    assert main(["decode", "clip.bsq", "-o", "exact.mkv", "--lossless", "--quiet"]) == 0
    found = frames_of("exact.mkv")
    Path("exact.mkv").unlink()
    capsys.readouterr()
    return found


def near(found: np.ndarray, wanted: np.ndarray, most: float) -> bool:
    """Whether frames differ little on average."""
    return found.shape == wanted.shape and bool(np.abs(found.astype(int) - wanted).mean() <= most)


# Outputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["gif", "webp"])
@pytest.mark.parametrize(
    "arguments", ["clip.bsq out.{}", "clip.bsq -o out.{}", "--format {} clip.bsq"]
)
def test_animations(container: str, arguments: str, frames: np.ndarray, capsys: Output) -> None:
    assert main(["decode", *arguments.format(container).split()]) == 0
    warning = f"{container} holds no sound, subtitles or chapters"
    assert capsys.readouterr().err.count(warning) == 1
    name = "out" if "out" in arguments else "clip"
    with Image.open(f"{name}.{container}") as image:
        assert getattr(image, "n_frames", 1) == FRAMES and image.info["loop"] == 0
        image.seek(FRAMES - 1)
        last = np.asarray(image.convert("RGB"))
    assert near(last, frames[-1], 12)


def test_webm(frames: np.ndarray) -> None:
    assert main(["decode", "clip.bsq", "out.webm"]) == 0
    assert near(frames_of("out.webm"), frames, 4)


def test_matroska_is_the_default(frames: np.ndarray, capsys: Output) -> None:
    assert main(["decode", "clip.bsq"]) == 0
    assert "clip.bsq -> clip.mkv: 48x32, " in capsys.readouterr().err
    assert near(frames_of("clip.mkv"), frames, 4)
    assert seconds_of("clip.mkv") == [i / 25 for i in range(FRAMES)]
    assert sound_of("clip.mkv") == sound_of("../source/clip.mkv")


@pytest.mark.parametrize(
    ("arguments", "name", "most"),
    [
        ("-o out.mp4", "out.mp4", 4),
        ("-o out.mov --crf 30", "out.mov", 12),
        ("--format mp4", "clip.mp4", 4),
        ("-o out.y4m", "out.y4m", 4),
        ("-o out.mkv --lossless", "out.mkv", 1),
        ("-o out.mkv --codec libvpx-vp9 --crf 10", "out.mkv", 6),
        ("-o odd.name --format mkv", "odd.name", 4),
        ("last.mp4", "last.mp4", 4),
    ],
)
def test_formats(frames: np.ndarray, arguments: str, name: str, most: float) -> None:
    assert main(["decode", "clip.bsq", *arguments.split()]) == 0
    assert near(frames_of(name), frames, most)
    assert sorted(os.listdir()) == sorted({"clip.bsq", name})
    if name.endswith((".mp4", ".mov")):
        assert [data for _, data in sound_of(name)] == [
            data for _, data in sound_of("../source/clip.mkv")
        ]


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ("--format png", "clip/frame000001.png"),
        ("--format png -o there", "there/frame000001.png"),
        ("--format png -o new", "new/frame000001.png"),
        ("-o there/x%03d.png", "there/x001.png"),
        ("there/y%03d.png", "there/y001.png"),
    ],
)
def test_numbered_pictures(frames: np.ndarray, arguments: str, first: str, capsys: Output) -> None:
    Path("there").mkdir()
    assert main(["decode", "clip.bsq", *arguments.split()]) == 0
    pictures = sorted(Path(first).parent.iterdir())
    assert pictures[0] == Path(first) and len(pictures) == FRAMES
    for path, frame in zip(pictures, frames, strict=True):
        with Image.open(path) as image:
            assert near(np.array(image), frame, 1)
    assert "neither timestamps nor sound" in capsys.readouterr().err
    assert main(["decode", "clip.bsq", *arguments.split()]) == 1
    assert "exists already (overwrite with -f)" in capsys.readouterr().err
    assert main(["decode", "clip.bsq", *arguments.split(), "-f"]) == 0
    assert sorted(Path(first).parent.iterdir()) == pictures


def test_sound_that_the_output_cannot_hold_is_told(capsys: Output) -> None:
    note = "y4m holds no sound, subtitles or chapters"
    assert main(["decode", "clip.bsq", "-o", "out.y4m"]) == 0
    assert capsys.readouterr().err.count(note) == 1
    Path("silent.mkv").write_bytes(clip())
    assert main(["encode", "silent.mkv", "--quiet"]) == 0
    assert main(["decode", "silent.bsq", "-o", "silent.y4m"]) == 0
    assert note not in capsys.readouterr().err


def test_the_default_crf_is_told(capsys: Output) -> None:
    assert main(["decode", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"smaller is better. [default: {DEFAULT_CRF}]" in text


def test_json(capsys: Output) -> None:
    assert main(["decode", "clip.bsq", "--json", "--quiet"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert (facts["width"], facts["height"], facts["frames"]) == (48, 32, 7)
    assert facts["format"] == "mkv" and facts["missing"] == []
    assert facts["input_bytes"] == Path("clip.bsq").stat().st_size


# Parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["part.mkv", "part.mp4"])
def test_a_part_and_its_sound(frames: np.ndarray, name: str) -> None:
    arguments = ["--start", "0:00.08", "--duration", ".12", "--crf", "0"]
    assert main(["decode", "clip.bsq", "-o", name, *arguments]) == 0
    assert near(frames_of(name), frames[2:5], 4)
    assert seconds_of(name) == [0, 0.04, 0.08]
    originals = {data: time for time, data in sound_of("../source/clip.mkv")}
    sound = sound_of(name)
    assert 4 <= len(sound) <= 6
    for time, data in sound:
        assert 0 <= time <= 0.12
        assert float(time) == pytest.approx(float(originals[data]) - 0.08, abs=0.002)


def test_a_part_beyond_the_end(capsys: Output) -> None:
    assert main(["decode", "clip.bsq", "--start", "1:00"]) == 1
    assert "has no frames in the part that is wanted" in capsys.readouterr().err
    assert os.listdir() == ["clip.bsq"]


# Damage -------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(coded: bytes) -> None:
    """A flipped bit in the second group of clip.bsq."""
    index = VideoFileReader(coded).index
    assert index is not None
    data = bytearray(coded)
    data[index[1].offset + 40] ^= 8
    Path("clip.bsq").write_bytes(data)


@pytest.mark.usefixtures("damaged")
def test_a_damaged_group(capsys: Output) -> None:
    assert main(["decode", "clip.bsq"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: clip.bsq: ") and err.count("\n") == 1
    assert os.listdir() == ["clip.bsq"]
    assert main(["decode", "clip.bsq", "--partial"]) == 0
    err = capsys.readouterr().err
    assert "clip.bsq: the file is damaged; frames 3 to 5 missing" in err
    assert seconds_of("clip.mkv") == [0, 0.04, 0.08, 0.24]
    assert sound_of("clip.mkv") == sound_of("../source/clip.mkv")


@pytest.mark.usefixtures("damaged")
def test_a_damaged_group_in_json(capsys: Output) -> None:
    arguments = ["decode", "clip.bsq", "--partial", "--format", "png", "--json", "--quiet"]
    assert main(arguments) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    (lost,) = facts["missing"]
    assert (lost["first_frame"], lost["frames"]) == (3, 3)
    assert facts["frames"] == 4 == len(os.listdir("clip"))


def test_a_cut_file(coded: bytes, capsys: Output) -> None:
    index = VideoFileReader(coded).index
    assert index is not None
    Path("clip.bsq").write_bytes(coded[: index[1].offset + 30])
    assert main(["decode", "clip.bsq"]) == 1
    capsys.readouterr()
    assert main(["decode", "clip.bsq", "--partial"]) == 0
    err = capsys.readouterr().err
    assert "any frames from 3 on missing" in err
    assert "the side stream: damaged (End of file); sound and subtitles may be missing" in err
    assert len(frames_of("clip.mkv")) == 3


def test_nothing_left_to_decode(coded: bytes, capsys: Output) -> None:
    Path("clip.bsq").write_bytes(coded[:120])
    assert main(["decode", "clip.bsq", "--partial"]) == 1
    assert "none of the frames can be decoded" in capsys.readouterr().err
    assert os.listdir() == ["clip.bsq"]


# Pipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["mkv", "mp4", "y4m"])
def test_from_pipe_to_pipe(
    container: str,
    coded: bytes,
    frames: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, coded)
    sink = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", Standard(sink))
        assert main(["decode", "-", "--format", container, "--quiet"]) == 0
    assert near(frames_of(sink.getvalue()), frames, 4)
    if container != "y4m":
        Path("piped").write_bytes(sink.getvalue())
        assert [d for _, d in sound_of("piped")] == [d for _, d in sound_of("../source/clip.mkv")]


def test_standard_input_that_is_no_bsq_file(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    give(monkeypatch, b"anything else")
    assert main(["decode", "-", "-o", "x.png"]) == 1
    assert capsys.readouterr().err == (
        "bsqcodec: error: standard input: this is not a .bsq file; bsqcodec encode makes one of a"
        " picture or a video\n"
    )


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("clip.bsq --format jpg", 2, "clip.bsq is a video; it cannot be written as jpg"),
        ("clip.bsq -o out.xyz", 2, "out.xyz: cannot write videos like that"),
        ("clip.bsq --format png -o -", 2, "cannot go to standard output"),
        ("clip.bsq --levels 2", 2, "--levels is not for videos"),
        ("clip.bsq --start soon", 2, "'soon' is not a time"),
        ("clip.bsq --start -1", 2, "is not a time"),
        ("clip.bsq --start 1:75", 2, "'1:75' has more than 59 minutes or seconds"),
        ("photo.bsq --start 1", 2, "--start is not for pictures"),
        ("photo.bsq --lossless", 2, "--lossless is not for pictures"),
        ("photo.bsq --format mkv", 2, "cannot write pictures as 'mkv'"),
        ("clip.bsq --codec nonsense", 1, "FFmpeg has no video encoder nonsense"),
        ("clip.bsq --lossless --crf 3", 2, "--crf and --lossless exclude each other"),
        ("clip.bsq --max-pixels 100", 1, "over the limit of 100"),
        ("clip.bsq -o taken.mkv", 1, "taken.mkv: exists already (overwrite with -f)"),
        ("clip.bsq -o nowhere/out.mkv", 1, "nowhere/out.mkv: there is no folder nowhere"),
        ("clip.bsq -o out.png", 2, "give a folder, or a pattern such as out%05d.png"),
        ("empty.bsq --format mp4", 1, "empty.bsq: the file is empty"),
        ("absent.bsq --format mp4", 1, "absent.bsq: No such file or directory"),
        ("clip.bsq --start .28", 1, "has no frames in the part that is wanted"),
        ("clip.bsq --duration 0", 1, "has no frames in the part that is wanted"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    golden: Path, capsys: Output, arguments: str, status: int, message: str
) -> None:
    Path("photo.bsq").write_bytes((golden / "rgb.bsq").read_bytes())
    Path("taken.mkv").write_bytes(b"kept")
    Path("empty.bsq").touch()
    before = sorted(os.listdir())
    assert main(["decode", *arguments.split()]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bsqcodec: error: ") and message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_an_unknown_codec_is_found_before_the_weights_are_loaded(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(codecs: Codecs) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(Codecs, "video", property(load))
    assert main(["decode", "clip.bsq", "--codec", "nonsense"]) == 1
    assert "no video encoder nonsense" in capsys.readouterr().err


def test_a_full_disk(capsys: Output) -> None:
    assert main(["decode", "clip.bsq", "-o", "/dev/full", "--format", "mkv", "--quiet"]) == 1
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.y4m", "%03d.png"])
def test_a_file_that_may_not_grow(name: str, capsys: Output) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        assert main(["decode", "clip.bsq", "-o", name, "--quiet"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    err = capsys.readouterr().err
    assert err.startswith("bsqcodec: error: clip.bsq: ") and err.endswith(": File too large\n")
    assert {"%03d.png": "001.png", "out.y4m": "out.y4m"}.get(name, "temporary files in /") in err
    assert os.listdir() == ["clip.bsq"]


def test_pictures_and_videos_together(golden: Path) -> None:
    Path("photo.bsq").write_bytes((golden / "rgb.bsq").read_bytes())
    assert main(["decode", "photo.bsq", "clip.bsq", "--quiet"]) == 0
    assert sorted(os.listdir()) == ["clip.bsq", "clip.mkv", "photo.bsq", "photo.png"]


# info ---------------------------------------------------------------------------------------------


def test_info(coded: bytes, capsys: Output) -> None:
    assert main(["info", "clip.bsq"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "48 x 32 pixels",
        "7 frames, 0.280 s, 25 fps",
        "3, of 2.3 frames on average",
        f"{len(coded)} bytes",
        "audio, aac, 48000 Hz, 2 channels",
        "Waves",
    ):
        assert text in out
    assert main(["info", "clip.bsq", "--json"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    parts = ("i_bytes", "p_bytes", "side_bytes", "overhead_bytes")
    assert sum(facts[name] for name in parts) == facts["file_bytes"] == len(coded)
    assert (facts["i_frames"], facts["p_frames"], facts["gops"]) == (3, 4, 3)
    assert facts["problem"] is None and facts["damage"] == []
    (track,) = facts["tracks"]
    assert (track["kind"], track["codec"]) == ("audio", "aac")
    assert 0 < track["bytes"] < facts["side_bytes"]


@pytest.mark.usefixtures("damaged")
def test_info_of_a_damaged_file(capsys: Output) -> None:
    assert main(["info", "clip.bsq", "--json"]) == 1
    out, err = capsys.readouterr()
    (facts,) = lines_of_json(out)
    assert [(d["first_frame"], d["frames"]) for d in facts["damage"]] == [(3, 3)]
    assert facts["frames"] == 4 and facts["problem"]
    assert err.startswith("bsqcodec: error: clip.bsq: ") and err.count("\n") == 1
    assert main(["info", "clip.bsq"]) == 1
    assert "frames 3 to 5 missing" in capsys.readouterr().out


def test_numbers_in_words() -> None:
    assert [count_of(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


def test_info_tells_what_levels_take(coded: bytes, capsys: Output) -> None:
    assert main(["info", "clip.bsq", "--levels", "--json"]) == 0
    (facts,) = lines_of_json(capsys.readouterr().out)
    assert {row["frames"] for row in facts["levels"]} == {"I", "P"}
    share = sum(row["bytes"] for row in facts["levels"])
    assert 0.3 < share / (facts["i_bytes"] + facts["p_bytes"]) < 1
    assert main(["info", "clip.bsq", "--levels"]) == 0
    out = capsys.readouterr().out
    assert "    plane 0" in out
    assert main(["info", "clip.bsq"]) == 0
    assert "plane" not in capsys.readouterr().out
    assert main(["info", "clip.bsq", "--levels", "--weights", "none.safetensors"]) == 1


def test_a_crop(frames: np.ndarray, capsys: Output) -> None:
    height, width = frames.shape[1:3]
    arguments = ["--lossless", "--crop", f"6,4,{width - 9}x{height - 5}"]
    assert main(["decode", "clip.bsq", "-o", "part.mkv", *arguments]) == 0
    assert np.array_equal(frames_of("part.mkv"), frames[:, 4:-1, 6:-3])
    capsys.readouterr()
    assert main(["decode", "clip.bsq", "-o", "no.mkv", "--crop", f"0,1,1x{height}"]) == 1
    assert f"which has {width}x{height} pixels" in capsys.readouterr().err
    assert not Path("no.mkv").exists()
