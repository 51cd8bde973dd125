"""Groups of pictures: what is coded is what is decoded, alone, and damage does not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest
import torch

from bsqcodec.encoder.frame_types import is_scene_change
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.errors import FormatError
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder
from bsqcodec.video.group_encoder import GroupEncoder

from .scenes import STEP, clip, decode_group, encode_group, loop_of, psnr


@pytest.fixture(scope="module")
def group(weights: VideoWeights, threads: CodingThreads) -> CodedGroup:
    return encode_group(weights, threads, clip(4))


def test_decoded_frames_are_those_the_encoder_saw(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup
) -> None:
    decoded = decode_group(weights, threads, group.payloads)
    assert len(decoded) == len(group.payloads) == len(group.errors) == 4
    assert group.size == sum(map(len, group.payloads))
    for frame, original, error in zip(decoded, clip(4), group.errors, strict=True):
        assert frame.shape == original.shape and frame.dtype == np.uint8
        assert np.mean((frame.astype(np.float64) - original) ** 2) == pytest.approx(error, abs=0.01)
        assert psnr(frame, original) > 15


def test_symbols_come_back_exactly(weights: VideoWeights) -> None:
    """Any integers and vectors within their limits, not only those of a picture."""
    generator = np.random.default_rng(0)
    grid = TokenGrid(40, 60)
    inside = grid.inside
    rows, columns = grid.shape
    channels = weights.image.tokenizer.config.channels
    symbols = []
    for index in range(4):
        n = generator.integers(-1, 2, (*inside.shape, channels)).astype(np.int32)
        n *= (inside & (generator.random(inside.shape) < 0.7))[..., None]
        field = generator.integers(-50, 51, (2 * rows, 2 * columns, 2)) if index else None
        symbols.append(FrameSymbols(30 + 10 * index, n, field))
    encoder = SymbolCoder(weights.priors, grid)
    payloads = [encoder.encode(s) for s in symbols]
    decoder = SymbolCoder(weights.priors, grid)
    for index, (payload, wanted) in enumerate(zip(payloads, symbols, strict=True)):
        found = decoder.decode(payload, index == 0)
        assert found.step == wanted.step
        np.testing.assert_array_equal(found.n, wanted.n)
        if wanted.vectors is not None:
            np.testing.assert_array_equal(found.vectors, wanted.vectors)
    assert decoder.crc == encoder.crc


def test_a_group_needs_no_other(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup
) -> None:
    """The same frames give the same bytes, whatever came before them."""
    encode_group(weights, threads, clip(2)[::-1])
    assert encode_group(weights, threads, clip(4)).payloads == group.payloads


def test_steps_may_change_within_a_group(weights: VideoWeights, threads: CodingThreads) -> None:
    changing = encode_group(weights, threads, clip(3), [200, 60, 120])
    decoded = decode_group(weights, threads, changing.payloads)
    for frame, original, error in zip(decoded, clip(3), changing.errors, strict=True):
        assert np.mean((frame.astype(np.float64) - original) ** 2) == pytest.approx(error, abs=0.01)


def test_a_dry_run_has_the_same_errors(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup
) -> None:
    dry = encode_group(weights, threads, clip(4), dry=True)
    assert dry.errors == group.errors
    assert dry.payloads == ()


def test_products_of_int8_and_float32_write_the_same_bytes(
    weights: VideoWeights, video_codec: VideoCodec, threads: CodingThreads, group: CodedGroup
) -> None:
    """The inter prior has context, which must be exact in both too."""
    from safetensors.torch import load_file

    tensors = load_file(weights.path)
    state = {k.removeprefix("prior."): v for k, v in tensors.items() if k.startswith("prior.")}
    for int8 in (True, False):
        inter = IntegerPrior(weights.priors.inter.config, state, int8=int8)
        changed = replace(weights, priors=replace(weights.priors, inter=inter))
        assert encode_group(changed, threads, clip(4)).payloads == group.payloads


@pytest.mark.parametrize("height", [1, 17, 32])
@pytest.mark.parametrize("width", [1, 16, 33])
def test_sizes(weights: VideoWeights, threads: CodingThreads, height: int, width: int) -> None:
    frames = clip(2, height, width)
    coded = encode_group(weights, threads, frames)
    decoded = decode_group(weights, threads, coded.payloads, frames)
    assert [frame.shape for frame in decoded] == [(height, width, 3)] * 2


def test_a_new_scene_is_refused_by_the_group(weights: VideoWeights, threads: CodingThreads) -> None:
    frames = clip(2)
    encoder = GroupEncoder(loop_of(weights, frames), weights.priors, threads)
    assert encoder.add(frames[0], 60)
    assert encoder.add(frames[1], 60)
    noise = np.random.default_rng(1).integers(0, 256, frames[0].shape, np.uint8)
    assert not encoder.add(noise, 60)
    assert len(encoder) == 2
    assert encoder.add(noise, 60, detect_scene_change=False)


# Damage -------------------------------------------------------------------------------------------


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: (),
        lambda p: (b"\0\0\0", *p[1:]),
        lambda p: (p[0][:4], *p[1:]),
        lambda p: (flipped(p[0], 0), *p[1:]),
        lambda p: (flipped(p[0], 8), *p[1:]),
        lambda p: (p[0], flipped(p[1], 3), *p[2:]),
        lambda p: (*p[:2], b"", p[3]),
        lambda p: (*p[:2], p[2][:-1], p[3]),
        lambda p: p[:3],
        lambda p: (p[0], p[2], p[1], p[3]),
    ],
    ids=[
        "none",
        "short-crc",
        "no-first",
        "crc",
        "first",
        "second",
        "empty",
        "cut-word",
        "lost",
        "swapped",
    ],
)
def test_damage_is_a_format_error(
    weights: VideoWeights,
    threads: CodingThreads,
    group: CodedGroup,
    damage: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> None:
    with pytest.raises(FormatError):
        decode_group(weights, threads, damage(group.payloads))


@pytest.mark.parametrize(
    ("threads", "side_by_side", "each"),
    [(1, True, 1), (2, True, 1), (5, True, 2), (1, False, 1), (5, False, 5)],
)
def test_workers_share_the_threads(threads: int, side_by_side: bool, each: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with pytest.raises(ZeroDivisionError), CodingThreads.started(side_by_side) as made:
            assert made.entropy.submit(torch.get_num_threads).result() == each
            raise ZeroDivisionError
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def scene(seed: int) -> Pixels:
    """A picture [192, 256, 3] of discs that cover each other, edges of all sizes as photographs."""
    generator = np.random.default_rng(seed)
    down, right = np.mgrid[:192, :256]
    picture = np.full((192, 256), 128.0)
    for radius in sorted(96 / generator.uniform(1, 24, 300), reverse=True):
        y, x = generator.uniform(0, 192), generator.uniform(0, 256)
        picture[(down - y) ** 2 + (right - x) ** 2 < radius**2] = generator.uniform(20, 235)
    return np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2)


def is_new_scene(weights: VideoWeights, before: Pixels, after: Pixels) -> bool:
    """Whether a frame after another is taken for a new scene."""
    loop = loop_of(weights, [before])
    loop.reference = loop.load(before)
    motion = loop.search_integer_pel(before, after, 14.0, None)
    frame = loop.load(after)
    return is_scene_change(frame, loop.predict(loop.refine_subpel(frame, 14.0, motion)))


@pytest.mark.parametrize("seed", range(6))
def test_another_scene_is_told_from_motion(weights: VideoWeights, seed: int) -> None:
    """Though blocks that look a little like those of any scene are found in every other."""
    first = scene(seed)
    assert is_new_scene(weights, first, scene(seed + 100))
    assert not is_new_scene(weights, first, np.roll(first, (5, -9), axis=(0, 1)))
    assert not is_new_scene(weights, first, (0.9 * first + 10).astype(np.uint8))


@pytest.mark.parametrize("deviation", [2, 10, 25])
def test_noise_is_no_scene(weights: VideoWeights, deviation: int) -> None:
    """On a grey wall, where nothing but noise is to be predicted."""
    generator = np.random.default_rng(deviation)
    noise = [generator.normal(128, deviation, (96, 128, 3)).clip(0, 255) for _ in range(2)]
    before, after = (x.astype(np.uint8) for x in noise)
    assert not is_new_scene(weights, before, after)
    assert not is_new_scene(weights, np.full_like(before, 128), after)


@pytest.mark.parametrize("dry", [False, True])
def test_looking_ahead_changes_nothing(
    weights: VideoWeights, threads: CodingThreads, group: CodedGroup, dry: bool
) -> None:
    """Whether the frames after are known, are others than those that come, or repeat."""
    frames = clip(4)
    for guess in (frames[1:], frames[:1] + frames[2:], [f.copy() for f in frames[1:]]):
        encoder = GroupEncoder(loop_of(weights, frames), weights.priors, threads, dry)
        for frame, following in zip_longest(frames, guess):
            assert encoder.add(frame, STEP, detect_scene_change=False, following=following)
        coded = encoder.finish()
        assert coded.errors == group.errors
        assert coded.payloads == (() if dry else group.payloads)


def test_random_payloads_never_crash(weights: VideoWeights, threads: CodingThreads) -> None:
    generator = np.random.default_rng(7)
    for _ in range(10):
        payloads = tuple(
            generator.integers(0, 256, 1 + 4 * k, np.uint8).tobytes()
            for k in (generator.integers(2, 40), generator.integers(0, 40))
        )
        with pytest.raises(FormatError):
            decode_group(weights, threads, (b"\0\0\0\0" + payloads[0], payloads[1]))
