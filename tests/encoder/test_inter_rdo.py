"""The slow search of videos, with the tiny models: what it buys, and that nothing else changes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from bsqcodec.cli.main import main
from bsqcodec.encoder import effort as effort_module
from bsqcodec.encoder import rdo as rdo_module
from bsqcodec.encoder.frame_types import INTER_DEAD_ZONE_OFFSET
from bsqcodec.encoder.inter_rdo import INTER_SCHEDULE, InterTask
from bsqcodec.encoder.motion_estimation import MOTION_RATE_WEIGHT
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.encoder.rdo import PICTURE_SCHEDULE, Coding, _Distortion, optimise
from bsqcodec.encoder.tune import DEFAULT_MS_SSIM_WEIGHT
from bsqcodec.entropy.motion_vectors import SlotProbabilities, code_vectors
from bsqcodec.errors import TargetError
from bsqcodec.models.prior.order import limits
from bsqcodec.models.transform.compensation import TOKEN
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.options import EncodeOptions, Tune
from bsqcodec.targets import Bitrate, BitsPerPixel, Psnr, Quality, Size
from bsqcodec.video import group_encoder as gop_module
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.encode_file import VideoInput, encode_video_file
from bsqcodec.video.frame_symbols import FrameSymbols, FrameSymbolWriter, SymbolCoder

from ..batch_tools import Inline
from ..cli.video_clips import FRAMES, clip_with_sound, frames_of
from ..video.scenes import (
    STEP,
    ListReader,
    Pixels,
    clip,
    coded,
    decode_group,
    encode_group,
    loop_of,
)

LARGEST_WORDS = 64
"""Bits by which a range coder's words are more than what they hold, at most."""


class Search:
    """The second of two frames, coded plainly beside its prediction from the first."""

    def __init__(self, weights: VideoWeights, height: int, width: int) -> None:
        first, self.pixels = clip(2, height, width)
        self.weights, self.loop = weights, loop_of(weights, [first])
        self.coder = SymbolCoder(weights.priors, self.loop.grid)
        n = self.loop.intra_integers(self.loop.load(first), STEP, self.limit(intra=True))
        self.loop.intra_frame(n, STEP)
        self.coder.encode(FrameSymbols(STEP, n.int().numpy(), None))
        frame = self.loop.load(self.pixels)
        motion = self.loop.search_integer_pel(first, self.pixels, MOTION_RATE_WEIGHT, None)
        self.field = self.loop.refine_subpel(frame, MOTION_RATE_WEIGHT, motion)
        self.prediction = self.loop.predict(self.field)
        self.z = self.loop.inter_latents(frame, self.prediction, STEP)
        n = self.loop.integers(self.z, frame, self.limit(), INTER_DEAD_ZONE_OFFSET)
        self.task = InterTask(
            weights.inter_network,
            weights.priors.inter,
            self.pixels,
            STEP,
            self.loop.grid.inside,
            self.loop.windows(self.prediction),
            self.coder.context(self.field.numpy()),
        )
        self.start = self.task.code(n.numpy())

    def limit(self, intra: bool = False) -> Tensor:
        prior = self.weights.priors.intra if intra else self.weights.priors.inter
        return torch.from_numpy(limits(prior.planes, STEP)).float()

    def run(self) -> npt.NDArray[np.int32]:
        return optimise(self.task, self.z.numpy(), self.start, INTER_SCHEDULE)

    def cut(self, values: npt.NDArray[np.int32]) -> Tensor:
        """Integers of the tokens that touch the frame."""
        rows, columns = self.loop.grid.shape
        return torch.from_numpy(values[:rows, :columns]).float()

    def objective(self, values: npt.NDArray[np.int32]) -> float:
        distortion = _Distortion(self.task, self.cut(self.start.values), DEFAULT_MS_SSIM_WEIGHT)
        bits = self.task.code(values.astype(np.float32)).bits
        return distortion(self.cut(values)) + INTER_SCHEDULE.rate_weight * bits / self.start.bits


@pytest.fixture(scope="module")
def search(weights: VideoWeights) -> Search:
    """Neither side is a multiple of a token's."""
    return Search(weights, 60, 90)


@pytest.fixture(scope="module")
def wide(weights: VideoWeights) -> Search:
    """A frame of 3 x 19 tokens, some of which no tile of 8 sees beside its own."""
    return Search(weights, 40, 300)


# A predicted frame --------------------------------------------------------------------------------


def test_the_search_lowers_its_objective(search: Search) -> None:
    found = search.run()
    assert found.dtype == np.int32
    assert (torch.from_numpy(found).abs() <= search.limit()).all()
    assert not found[~search.loop.grid.inside].any()
    assert search.objective(search.start.values) == pytest.approx(
        1 + INTER_SCHEDULE.rate_weight, rel=1e-6
    )
    assert search.objective(found) < 0.99 * (1 + INTER_SCHEDULE.rate_weight)


def test_a_frame_in_tiles_is_searched_too(wide: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdo_module, "TILE_TOKENS", 8)
    found = wide.run()
    monkeypatch.undo()
    assert wide.objective(found) < 0.99 * (1 + INTER_SCHEDULE.rate_weight)


def test_the_search_sees_what_the_loop_decodes(wide: Search) -> None:
    """Nearly, as the loop computes without gradients."""
    n = wide.cut(wide.start.values)
    rows, columns = n.shape[:2]
    seen = shown(wide.task.decode(n, slice(0, rows), slice(0, columns)), wide.pixels)
    decoded = wide.loop.inter_frame(wide.prediction, torch.from_numpy(wide.start.values), STEP)
    assert np.abs(seen - decoded.astype(int)).max() <= 2
    assert np.abs(seen - wide.pixels.astype(int)).max() > 2


def test_a_tile_sees_its_own_part(wide: Search) -> None:
    """The last 3 columns of tokens, with 8 beside them, and as a part of the frame."""
    n = wide.cut(wide.start.values)
    rows, columns = n.shape[:2]
    whole = shown(wide.task.decode(n, slice(0, rows), slice(0, columns)), wide.pixels)
    tile = wide.task.decode(n[:, 8:], slice(0, rows), slice(8, columns))
    part = shown(tile, wide.pixels[:, 8 * TOKEN :])
    assert np.abs(part[:, 8 * TOKEN :] - whole[:, 16 * TOKEN :]).max() <= 2


def shown(decoded: Tensor, like: Pixels) -> npt.NDArray[np.int64]:
    """Samples [H, W, 3] of decoded pixels [1, 3, ...], as many as another picture has."""
    height, width = like.shape[:2]
    cut = decoded[0, :, :height, :width].detach().clamp(0, 255).round()
    return cut.permute(1, 2, 0).long().numpy()


@pytest.mark.parametrize("searched", [False, True])
def test_bits_are_those_of_the_payload(search: Search, searched: bool) -> None:
    """Less those of the vectors, and the two bytes before them."""
    values = search.run() if searched else search.start.values
    coding = search.task.code(values.astype(np.float32))
    np.testing.assert_array_equal(coding.values, values)
    field = search.field.numpy()
    assert field.any()
    payload = encoder_after_the_first(search).encode(FrameSymbols(STEP, values, field))
    over = 8 * (len(payload) - 2) - vector_bits(search) - coding.bits
    assert 0 <= over <= LARGEST_WORDS


def encoder_after_the_first(search: Search) -> SymbolCoder:
    """A coder that remembers the first frame, and may be asked for a second one."""
    coder = SymbolCoder(search.weights.priors, search.loop.grid)
    coder.state.temporal = search.coder.state.temporal
    return coder


def vector_bits(search: Search) -> float:
    """What the vectors cost alone."""
    priors = search.weights.priors
    probabilities = SlotProbabilities(priors.vectors, priors.prior_count)
    coder = FrameSymbolWriter(np.zeros((0, search.z.shape[-1]), np.int32), probabilities)
    field = search.field.numpy()
    code_vectors(coder, field, np.zeros_like(field), *search.loop.grid.shape)
    return coder.ideal_bits


def test_a_context_may_be_asked_for_again(search: Search) -> None:
    """Asking does not move what the coder remembers, here by a token."""
    coder = encoder_after_the_first(search)
    field = np.full_like(search.field.numpy(), 4 * TOKEN)
    context = coder.context(field)
    assert torch.equal(coder.context(field), context)
    still = coder.context(np.zeros_like(field))
    assert still.shape == context.shape and not torch.equal(still, context)


# Groups -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(weights: VideoWeights, threads: CodingThreads) -> CodedGroup:
    return encode_group(weights, threads, clip(4))


@pytest.fixture(scope="module")
def group(weights: VideoWeights, threads: CodingThreads) -> CodedGroup:
    return encode_group(weights, threads, clip(4), optimised=True)


def errors(frames: list[Pixels], originals: list[Pixels]) -> list[float]:
    """Mean squared ones."""
    pairs = zip(frames, originals, strict=True)
    return [float(np.mean((a.astype(np.float64) - b) ** 2)) for a, b in pairs]


def test_decoded_frames_are_those_the_encoder_saw(
    weights: VideoWeights, threads: CodingThreads, plain: CodedGroup, group: CodedGroup
) -> None:
    decoded = decode_group(weights, threads, group.payloads)
    assert errors(decoded, clip(4)) == pytest.approx(group.errors, abs=0.01)
    assert group.size < plain.size
    assert all(a != b for a, b in zip(group.payloads, plain.payloads, strict=True))


def test_each_search_is_told_what_the_coder_knows(
    weights: VideoWeights, threads: CodingThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[Tensor] = []

    class Spy(InterTask):
        def code(self, values: npt.NDArray[np.float32]) -> Coding:
            if not contexts or contexts[-1] is not self._context:
                contexts.append(self._context)
            return super().code(values)

    monkeypatch.setattr(gop_module, "InterTask", Spy)
    frames = clip(4)
    payloads = encode_group(weights, threads, frames, optimised=True).payloads
    grid = loop_of(weights, frames).grid
    decoder, coder = (SymbolCoder(weights.priors, grid) for _ in range(2))
    coder.encode(decoder.decode(payloads[0][4:], intra=True))  # behind the group's CRC
    for payload, context in zip(payloads[1:], contexts, strict=True):
        symbols = decoder.decode(payload, intra=False)
        assert symbols.vectors is not None
        assert torch.equal(context, coder.context(symbols.vectors))
        coder.encode(symbols)


def test_the_same_group_every_time(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup
) -> None:
    assert encode_group(weights, threads, clip(4), optimised=True) == group


def test_a_dry_run_has_the_same_errors(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup
) -> None:
    """It must search too."""
    dry = encode_group(weights, threads, clip(4), dry=True, optimised=True)
    assert dry.errors == group.errors


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (17, 40), (32, 16)], ids=str)
def test_sizes(weights: VideoWeights, threads: CodingThreads, size: tuple[int, int]) -> None:
    frames = clip(3, *size)
    made = encode_group(weights, threads, frames, optimised=True)
    decoded = decode_group(weights, threads, made.payloads, frames)
    assert errors(decoded, frames) == pytest.approx(made.errors, abs=0.01)


def test_what_stands_still_stays_free(weights: VideoWeights, threads: CodingThreads) -> None:
    """And what comes after it is searched as before."""
    first, second = clip(2)
    frames = [first, first, first, second, second]
    made = encode_group(weights, threads, frames, optimised=True)
    still = encode_group(weights, threads, frames)
    for index in (1, 2, 4):
        assert made.payloads[index] == still.payloads[index]
        assert len(made.payloads[index]) < 8
    assert made.payloads[3] != still.payloads[3]
    decoded = decode_group(weights, threads, made.payloads)
    assert np.array_equal(decoded[0], decoded[2]) and np.array_equal(decoded[3], decoded[4])
    assert errors(decoded, frames) == pytest.approx(made.errors, abs=0.01)


# Videos -------------------------------------------------------------------------------------------


def test_a_video(video_codec: VideoCodec) -> None:
    """With a new scene within it, and a scene that stands still."""
    noise = np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8)
    frames = [*clip(3), noise, noise]
    files = {effort: io.BytesIO() for effort in range(3)}
    made = {
        effort: video_codec.encode(ListReader(frames), file, Quality(50), gop=4, effort=effort)
        for effort, file in files.items()
    }
    assert made[2].groups == made[1].groups == (3, 2)
    assert files[0].getvalue() == files[1].getvalue() != files[2].getvalue()
    assert made[2].notes == ()
    video_codec.verify(files[2].getvalue(), len(frames))
    decoded = [frame.pixels for frame in video_codec.decode(files[2].getvalue()).frames()]
    error = float(np.mean(errors(decoded, frames)))
    assert made[2].psnr == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)


def test_the_same_file_every_time(video_codec: VideoCodec) -> None:
    files = [coded(video_codec, ListReader(clip(4)), gop=3, effort=2) for _ in range(2)]
    assert files[0] == files[1] != coded(video_codec, ListReader(clip(4)), gop=3)


@pytest.mark.parametrize(("effort", "used"), [(1, 2), (2, 4)])
def test_a_search_has_all_threads(video_codec: VideoCodec, effort: int, used: int) -> None:
    before, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(4)
        video_codec.encode(
            ListReader(clip(1)),
            io.BytesIO(),
            effort=effort,
            progress=lambda _: seen.append(torch.get_num_threads()),
        )
        assert seen == [used] and torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_a_psnr_is_met(video_codec: VideoCodec) -> None:
    file = io.BytesIO()
    made = video_codec.encode(ListReader(clip(4)), file, Psnr(23.2), gop=2, effort=2)
    assert 23.2 <= made.psnr < 23.7
    assert made.size == len(file.getvalue())
    video_codec.verify(file.getvalue(), 4)


@pytest.mark.parametrize("target", [BitsPerPixel(0.12), Bitrate(0.12 * 64 * 96 * 25)])
def test_rates_are_met(video_codec: VideoCodec, target: BitsPerPixel | Bitrate) -> None:
    reader = ListReader(clip(6, 64, 96))
    made = video_codec.encode(reader, io.BytesIO(), target, gop=2, effort=2)
    assert 8 * made.picture_bytes / (6 * 64 * 96) == pytest.approx(0.12, rel=0.2)


def test_what_a_video_is_tuned_for(video_codec: VideoCodec) -> None:
    """References keep their share of squared error, so that the mix is the best for MS-SSIM too.

    Noise, since what flat tokens hide is the same either way.
    """
    noise = np.random.default_rng(1).integers(0, 100, (32, 48, 3), np.uint8)
    frames = [frame // 2 + noise for frame in clip(4)]
    tunes: tuple[Tune | None, ...] = (None, "psnr", "ms-ssim")
    for effort in (1, 2):
        files = {
            tune: coded(video_codec, ListReader(frames), gop=4, effort=effort, tune=tune)
            for tune in tunes
        }
        assert files["ms-ssim"] == files[None] != files["psnr"]
        video_codec.verify(files["psnr"], len(frames))
    with pytest.raises(TargetError, match="videos cannot be tuned for LPIPS"):
        coded(video_codec, ListReader(frames), tune="lpips")


def test_frames_tuned_for_squared_error_have_less_of_it(
    weights: VideoWeights, threads: CodingThreads
) -> None:
    """For the bits that they take, as each frame's search weighs them."""
    worth = [PICTURE_SCHEDULE.rate_weight] + [INTER_SCHEDULE.rate_weight] * 3

    def cost(tune: Tune | None, step: int) -> float:
        steps = [step] * len(worth)
        plain = encode_group(weights, threads, clip(4), steps)
        found = encode_group(weights, threads, clip(4), steps, optimised=True, tune=tune)
        errors = np.array(found.errors) / plain.errors
        sizes = [len(a) / len(b) for a, b in zip(found.payloads, plain.payloads, strict=True)]
        return float(np.sum(errors + np.multiply(worth, sizes)))

    default, tuned = (sum(cost(tune, step) for step in (40, 70, 100)) for tune in (None, "psnr"))
    assert tuned < 0.995 * default


@pytest.mark.parametrize("effort", [-1, 3])
def test_no_such_effort(video_codec: VideoCodec, effort: int) -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match=f"effort {effort} is not one of 0 to 2"):
        video_codec.encode(ListReader(clip(1)), file, effort=effort)
    assert file.getvalue() == b""


def test_large_frames_are_not_searched(
    video_codec: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort_module, "MAX_OPTIMISED_PIXELS", 32 * 48 - 1)
    file = io.BytesIO()
    made = video_codec.encode(ListReader(clip(3)), file, Quality(60), effort=2)
    assert file.getvalue() == coded(video_codec, ListReader(clip(3)))
    assert made.notes == ("each frame has more than 1535 pixels: it was coded with effort 1",)
    assert video_codec.encode(ListReader(clip(3)), file, Quality(60)).notes == ()


# Files and commands -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_video_weights: Path) -> Path:
    """The current folder, with clip.mkv in it: 7 frames of 48 x 32, sound and a title."""
    monkeypatch.chdir(tmp_path)
    Path("clip.mkv").write_bytes(clip_with_sound())
    return tmp_path


def test_a_size_is_met(video_codec: VideoCodec, folder: Path) -> None:
    source = VideoInput(Path("clip.mkv"))
    options = EncodeOptions(Quality(40), gop=3, effort=2)
    file = io.BytesIO()
    limit = encode_video_file(video_codec, source, file, options).size + 20
    sized = io.BytesIO()
    made = encode_video_file(
        video_codec, source, sized, replace(options, target=Size(limit), verify=True)
    )
    assert 0.97 * limit <= made.size == len(sized.getvalue()) <= limit
    assert made.frames == FRAMES
    plain = io.BytesIO()
    encode_video_file(video_codec, source, plain, EncodeOptions(Size(limit), gop=3))
    assert sized.getvalue() != plain.getvalue()


def test_the_commands_search(
    video_codec: VideoCodec,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`encode` and `batch` write what the library does, and `decode` knows nothing of it."""
    monkeypatch.setattr("bsqcodec.cli.batch._executor", lambda *_: Inline())
    options = ["--gop", "3", "--effort", "2", "--threads", "1", "--quiet"]
    assert main(["encode", "clip.mkv", *options]) == 0
    assert main(["batch", "clip.mkv", "out", *options]) == 0
    assert main(["decode", "clip.bsq", "-o", "back.y4m", "--threads", "1", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    files = [io.BytesIO(), io.BytesIO()]
    for effort, file in enumerate(files, 1):
        source = VideoInput(Path("clip.mkv"))
        encode_video_file(
            video_codec, source, file, EncodeOptions(Quality(50), gop=3, effort=effort)
        )
    plain, searched = (file.getvalue() for file in files)
    assert Path("clip.bsq").read_bytes() == searched != plain
    assert Path("out/clip.mkv.bsq").read_bytes() == searched
    assert len(frames_of("back.y4m")) == FRAMES


def test_help_tells_what_effort_does_to_videos(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("encode", "batch"):
        assert main([command, "--help"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "videos as with 1" in told and "search for what costs less" in told
