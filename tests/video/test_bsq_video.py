"""Videos through the BSQ family: frames given those before, groups, damage,
targets and commands."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bsqcodec
from bsqcodec.cli.main import main
from bsqcodec.encoder.rate_control import AverageRate
from bsqcodec.errors import FormatError, TargetError, WeightsError
from bsqcodec.format.image_container import unpack
from bsqcodec.format.varint import encode_varint
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.image.codec import Codec
from bsqcodec.models.bsq.coding import bits_of_picture
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Target
from bsqcodec.video import bsq_group_encoder
from bsqcodec.video.bsq_group_decoder import BsqGroupDecoder, split_frame
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.video_model import BsqVideoModel

from ..reference_bsq_decoder import decode_group
from ..reference_decoder import ReferencePrior
from ..tiny_models import BSQ_PRIOR, save_bsq_weights
from .scenes import ListReader, clip

PRIOR = replace(BSQ_PRIOR, earlier_frames=2, earlier_blocks=1)
SIZE = (70, 90)


@pytest.fixture(scope="module", autouse=True)
def earlier_frames_are_used() -> Iterator[None]:
    """Whatever they have in common: codes of random tokenizers have little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bsq_group_encoder, "LEAST_AGREEMENT", 0.0)
        yield


@pytest.fixture(scope="module")
def bsq_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bsq_weights(tmp_path_factory.mktemp("weights"), (6, 12, 18), PRIOR)


@pytest.fixture(scope="module")
def codec(bsq_weights: Path) -> VideoCodec:
    return VideoCodec(bsq_weights, device="cpu")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Four that move, the last of them twice, and three of another scene."""
    moved = clip(4, *SIZE)
    dark = [frame // 4 for frame in moved[:2]]
    return [*moved, moved[-1], dark[0], dark[0], dark[1]]


@pytest.fixture(scope="module")
def data(codec: VideoCodec, frames: list[np.ndarray]) -> bytes:
    return coded(codec, frames)


def coded(codec: VideoCodec, frames: list[np.ndarray], target: Target | None = None) -> bytes:
    sink = io.BytesIO()
    codec.encode(ListReader(frames), sink, target)
    return sink.getvalue()


def model_of(codec: VideoCodec) -> BsqModel:
    assert isinstance(codec.model, BsqVideoModel)
    return codec.model.model


def groups_of(data: bytes) -> list[Gop]:
    parts = VideoFileReader(io.BytesIO(data), max_pixels=10**6).chunks()
    return [part for part in parts if isinstance(part, Gop)]


def test_each_frame_comes_back_as_the_picture_of_its_codes(
    codec: VideoCodec, frames: list[np.ndarray], data: bytes, bsq_weights: Path
) -> None:
    pictures = Codec(bsq_weights, device="cpu")
    shown = list(codec.decode(io.BytesIO(data)).frames())
    assert len(shown) == len(frames)
    for frame, found in zip(frames, shown, strict=True):
        expected = pictures.decode(pictures.encode(frame).data).picture.pixels
        assert np.array_equal(found.pixels, expected)
    assert [len(gop.frames) for gop in groups_of(data)] == [5, 3]
    codec.verify(io.BytesIO(data), len(frames))
    assert coded(codec, frames) == data


def test_the_first_frame_of_a_group_is_a_picture_and_one_like_the_last_is_nothing(
    codec: VideoCodec, frames: list[np.ndarray], data: bytes, bsq_weights: Path
) -> None:
    pictures = Codec(bsq_weights, device="cpu")
    for gop, first in zip(groups_of(data), (0, 5), strict=True):
        step, levels = split_frame(model_of(codec), gop.frames[0][4:])
        picture = unpack(pictures.encode(frames[first]).data)
        assert (step, levels) == (picture.header.step, picture.level_payloads())
    sizes = [[len(payload) for payload in gop.frames] for gop in groups_of(data)]
    assert sizes[0][4] == sizes[1][1] == 0 and min(sizes[0][:4]) > 50


def test_frames_are_coded_given_the_two_before(codec: VideoCodec, frames: list[np.ndarray]) -> None:
    """Another frame before changes the bytes of a frame, a third one before does not."""
    model = model_of(codec)

    def last_of(*numbers: int) -> bytes:
        (gop,) = groups_of(coded(codec, [frames[i] for i in numbers]))
        return gop.frames[-1]

    assert last_of(0, 1, 2, 3) == last_of(1, 1, 2, 3)
    different = {last_of(1, 2, 3), last_of(0, 2, 3), last_of(2, 3)}
    assert len(different) == 3
    (gop,) = groups_of(coded(codec, frames[:4]))
    for number, (symbols, _) in enumerate(BsqGroupDecoder(model, *SIZE, gop).symbols()):
        bits = bits_of_picture(model.weights.tokenizer, frames[number])[:9, :12, :12]
        assert np.array_equal(symbols.values[:9, :12, :12] > 0, bits)


@pytest.mark.parametrize("quality", [0, 50, 100])
def test_an_independent_decoder_finds_the_same_codes(
    codec: VideoCodec, frames: list[np.ndarray], bsq_weights: Path, quality: int
) -> None:
    prior = ReferencePrior(bsq_weights)
    model = model_of(codec)
    for gop in groups_of(coded(codec, frames, Quality(quality))):
        found = decode_group(prior, 8, SIZE[1], SIZE[0], gop.frames, gop.types)
        mine = BsqGroupDecoder(model, *SIZE, gop).symbols()
        for signs, (symbols, header) in zip(found, mine, strict=True):
            assert header.levels == 1 + quality // 50
            assert np.array_equal(signs, symbols.values)


def test_a_frame_unlike_the_one_before_is_coded_without_it(
    codec: VideoCodec, bsq_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the group, and has the bytes of a first frame; the next one sees it."""
    monkeypatch.setattr(bsq_group_encoder, "LEAST_AGREEMENT", 0.9)
    first = clip(1, *SIZE)[0]
    second = np.roll(first, 24, 1)
    near = second.copy()
    near[:8, :8] = 0  # changes few tokens
    data = coded(codec, [first, second, near])
    (gop,) = groups_of(data)
    assert gop.types == (FrameType.I, FrameType.I, FrameType.P)
    (alone,) = groups_of(coded(codec, [second]))
    assert gop.frames[1] == alone.frames[0][4:]
    (pair,) = groups_of(coded(codec, [second, near]))
    assert gop.frames[2] != pair.frames[1]  # there is one frame more before it here
    codec.verify(io.BytesIO(data), 3)
    prior = ReferencePrior(bsq_weights)
    found = decode_group(prior, 8, SIZE[1], SIZE[0], gop.frames, gop.types)
    bits = bits_of_picture(model_of(codec).weights.tokenizer, near)[:9, :12, :12]
    assert np.array_equal(found[2][:9, :12, :12] > 0, bits)


def test_weights_without_earlier_frames_code_each_alone(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    codec = VideoCodec(save_bsq_weights(tmp_path), device="cpu")
    data = coded(codec, frames)
    codec.verify(io.BytesIO(data), len(frames))
    alone = [groups_of(coded(codec, [frame]))[0].frames[0][4:] for frame in frames[:4]]
    first = groups_of(data)[0].frames
    assert [first[0][4:], *first[1:4]] == alone


def test_damage_costs_its_group(codec: VideoCodec, frames: list[np.ndarray], data: bytes) -> None:
    second = groups_of(data)[1].frames[0]
    broken = bytearray(data)
    broken[data.index(second) + len(second) // 2] ^= 1
    with pytest.raises(FormatError):
        list(codec.decode(io.BytesIO(bytes(broken))).frames())
    video = codec.decode(io.BytesIO(bytes(broken)), partial=True)
    assert len(list(video.frames())) == 5
    (missing,) = video.missing
    assert missing.first_frame == 5 and missing.frames == 3


def payload_of(codec: VideoCodec, frames: list[np.ndarray]) -> bytes:
    (gop,) = groups_of(coded(codec, frames[:1]))
    return gop.frames[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first: first[:3], "has no first frame"),
        (lambda first: first[:4], "has no first frame"),
        (lambda first: first[:4] + b"\x07" + first[5:], "a step of 7"),
        (lambda first: first + b"x", "more data follows"),
        (lambda first: first[:-1], "a frame"),
        (lambda first: bytes(4) + first[4:], "do not match the file's checksum"),
        (lambda first: first[:5] + encode_varint(2**31 - 1), "a frame"),
    ],
)
def test_what_is_no_frame_is_refused(
    codec: VideoCodec, frames: list[np.ndarray], change: object, message: str
) -> None:
    changed = change(payload_of(codec, frames))  # type: ignore[operator]
    with pytest.raises(FormatError, match=message):
        list(BsqGroupDecoder(model_of(codec), *SIZE, Gop(0, (0,), (changed,))).frames())


def test_a_part_of_a_video(codec: VideoCodec, data: bytes) -> None:
    whole = [frame.pixels for frame in codec.decode(io.BytesIO(data)).frames()]
    part = codec.decode(io.BytesIO(data), start=0.21, duration=0.08)
    found = [frame.pixels for frame in part.frames()]
    assert len(found) == 2 and np.array_equal(found, whole[6:8])


def moving(count: int) -> list[np.ndarray]:
    return [*clip(count, *SIZE)]


def frame_bits(data: bytes) -> int:
    return 8 * sum(len(payload) for gop in groups_of(data) for payload in gop.frames)


def steps_of(data: bytes) -> list[int]:
    """The step in each frame's payload."""
    return [
        payload[0]
        for gop in groups_of(data)
        for payload in (gop.frames[0][4:], *gop.frames[1:])
        if payload
    ]


def test_a_rate_between_two_depths_is_met_with_frames_of_both(
    codec: VideoCodec, bsq_weights: Path
) -> None:
    frames = moving(24)
    short, longer = (frame_bits(coded(codec, frames, Quality(quality))) for quality in (0, 50))
    wanted = 0.6 * short + 0.4 * longer
    by_pixel = coded(codec, frames, BitsPerPixel(wanted / (24 * SIZE[0] * SIZE[1])))
    by_second = coded(codec, frames, Bitrate(wanted / 24 * 25))
    for data in (by_pixel, by_second):
        assert frame_bits(data) == pytest.approx(wanted, rel=0.3)  # which a group alone may differ
        steps = steps_of(data)
        assert len(set(steps)) == 2 and max(steps) - min(steps) == 1
        codec.verify(io.BytesIO(data), 24)
    (gop,) = groups_of(by_pixel)
    found = decode_group(ReferencePrior(bsq_weights), 8, SIZE[1], SIZE[0], gop.frames, gop.types)
    mine = BsqGroupDecoder(model_of(codec), *SIZE, gop).symbols()
    assert all(
        np.array_equal(signs, symbols.values)
        for signs, (symbols, _) in zip(found, mine, strict=True)
    )


def test_a_still_frame_keeps_the_depth_of_the_one_before(codec: VideoCodec) -> None:
    """Though frames of its number would have another one at the step of the group."""
    frames = moving(1) * 20
    bits = [frame_bits(coded(codec, frames, Quality(quality))) for quality in (0, 50, 100)]
    for wanted in (bits[0] * 1.2, bits[2] * 0.9):
        data = coded(codec, frames, BitsPerPixel(wanted / (20 * SIZE[0] * SIZE[1])))
        assert frame_bits(data) in bits and len(steps_of(data)) == 1
        codec.verify(io.BytesIO(data), 20)


def test_a_psnr_is_reached_by_the_fewest_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the weights that ship, since random ones are no better with more bits."""
    monkeypatch.delenv("BSQCODEC_WEIGHTS", raising=False)
    codec = VideoCodec(model="bsq", device="cpu")
    frames = clip(3, 64, 64)

    def psnr_of(target: Target) -> float:
        return codec.encode(ListReader(frames), io.BytesIO(), target).psnr

    short, longer = (psnr_of(Quality(quality)) for quality in (25, 50))
    wanted = 0.6 * short + 0.4 * longer
    assert short < wanted <= psnr_of(Psnr(wanted)) < longer
    with pytest.raises(TargetError, match="dB is out of reach: the finest step gives"):
        psnr_of(Psnr(90.0))


@pytest.mark.parametrize("target", [Bitrate(1000.0), BitsPerPixel(0.001)])
def test_a_rate_below_the_shortest_codes_is_an_error(codec: VideoCodec, target: Target) -> None:
    with pytest.raises(TargetError, match="the fewest bits that these frames take are"):
        coded(codec, moving(2), target)


def test_what_the_family_does_not_have_is_refused(codec: VideoCodec) -> None:
    reader = ListReader(clip(2, *SIZE))
    with pytest.raises(TargetError, match="no effort 2"):
        codec.encode(reader, io.BytesIO(), effort=2)
    with pytest.raises(ValueError, match="other steps than the family"):
        codec.encode(reader, io.BytesIO(), rate_control=AverageRate(per_frame=1000))
    with pytest.raises(WeightsError, match="no part of their own"):
        assert codec.weights
    with pytest.raises(ValueError, match="is no family of weights"):
        VideoCodec(model="other", device="cpu")


def test_commands(
    bsq_weights: Path,
    frames: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BSQCODEC_WEIGHTS", str(bsq_weights.parent))
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    with open("clips/a.y4m", "wb") as file:
        file.write(b"YUV4MPEG2 W90 H70 F25:1 C444\n")
        file.writelines(b"FRAME\n" + frame.transpose(2, 0, 1).tobytes() for frame in frames[:3])
    assert (
        main(["encode", "clips/a.y4m", "-o", "a.bsq", "--model", "bsq", "--verify", "--json"]) == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 3 and facts["gops"] == 1
    assert main(["info", "a.bsq", "--levels", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["levels"]
    assert [(row["frames"], row["plane"]) for row in rows] == [
        (kind.name, level) for kind in FrameType for level in (0, 1)
    ]
    (gop,) = groups_of(Path("a.bsq").read_bytes())
    head = 4 + 3 + 6 * 2  # the checksum; steps; lengths of levels, which here have two bytes
    assert sum(row["bytes"] for row in rows) == pytest.approx(
        sum(map(len, gop.frames)) - head, abs=6
    )
    assert main(["decode", "a.bsq", "-o", "back.mkv"]) == 0
    assert main(["batch", "clips", "coded", "--model", "bsq"]) == 0
    (batch,) = Path("coded").rglob("*.bsq")
    assert batch.read_bytes() == Path("a.bsq").read_bytes()
    capsys.readouterr()
    for target in (["--size", "350"], ["--bitrate", "2k"], ["--bpp", ".001"], ["--psnr", "90"]):
        assert main(["encode", "clips/a.y4m", "-o", "b.bsq", "--model", "bsq", *target]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("bsqcodec: error: clips/a.y4m: ") and not Path("b.bsq").exists()
    size = facts["output_bytes"]
    wanted = ["--size", str(size), "--json"]
    assert main(["encode", "clips/a.y4m", "-o", "d.bsq", "--model", "bsq", *wanted]) == 0
    assert 0.9 * size <= json.loads(capsys.readouterr().out)["output_bytes"] <= size
    made = bsqcodec.encode_video("clips/a.y4m", "c.bsq", 100, model="bsq")
    assert made.frames == 3 and made.size > facts["output_bytes"]
    assert struct.unpack("<B", groups_of(Path("c.bsq").read_bytes())[0].frames[0][4:5]) == (0,)
