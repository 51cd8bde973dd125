"""Whole pictures in tiles: the same as at once, for any size and wherever they are cut."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.pieces import Tile
from bsqcodec.models.transform import blocks, strips
from bsqcodec.models.transform.strips import decode_picture, encode_picture, grid_size
from bsqcodec.models.transform.tokenizer import Tokenizer

from ...tiny_models import TOKENIZER, linear_tokenizer, random_tokenizer

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 4000), (1100, 3), (17, 31), (128, 128), (129, 257), (135, 100), (300, 200)]
STEP = 100
AT_STEP = torch.tensor([float(STEP)])


@pytest.fixture(scope="module", params=[0.0, 0.4], ids=["plain", "companded"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return random_tokenizer(config=replace(TOKENIZER, companding=request.param))


Tiles = tuple[int, int]


@pytest.fixture(params=[(8, 8), (16, 24), (10**9, 10**9)], ids=["small", "uneven", "whole"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tiles:
    """Tiles of a window, tiles of several that are not all alike, and one for everything."""
    monkeypatch.setattr(strips, "TILE_TOKENS", request.param)
    found: Tiles = request.param
    return found


@pytest.fixture(params=[1, 96, 10**9], ids=["narrow", "uneven", "whole"])
def strip_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Strips of eight rows, strips that do not end with windows, and one for everything.

    As other devices than CPUs have them.
    """
    monkeypatch.setattr(strips, "STRIP_TOKENS", request.param)
    monkeypatch.setattr(strips, "_tiles", strips._strips)
    return int(request.param)


def picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)


def padded(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] -> [1, 3, ...], whole windows."""
    height, width = pixels.shape[:2]
    whole = np.pad(pixels, ((0, -height % 128), (0, -width % 128), (0, 0)), mode="edge")
    return torch.from_numpy(whole).permute(2, 0, 1)[None].float()


def encode_at_once(tokenizer: Tokenizer, pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Pad to whole windows, then use the network as training does."""
    return tokenizer.encode(padded(pixels), AT_STEP)[0]


def decode_at_once(tokenizer: Tokenizer, n: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last tokens that touch the picture, decode, cut: [height, width, 3], float."""
    rows, columns = -(-height // 16), -(-width // 16)
    inside = n[:rows, :columns].permute(2, 0, 1)[None].float()
    inside = F.pad(inside, (0, n.shape[1] - columns, 0, n.shape[0] - rows), mode="replicate")
    x = tokenizer.decode(inside.permute(0, 2, 3, 1), AT_STEP)
    return x[0, :, :height, :width].permute(1, 2, 0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_encoding(tokenizer: Tokenizer, tiles: Tiles, height: int, width: int) -> None:
    pixels = picture(height, width)
    z = encode_picture(tokenizer, pixels, STEP, CPU)
    assert z.shape == (*grid_size(height, width, 128, 16), 16)
    torch.testing.assert_close(z, encode_at_once(tokenizer, pixels), atol=2e-4, rtol=1e-4)
    linear = tokenizer.compand(tokenizer.encoder.local(padded(pixels))[0], AT_STEP)[0]
    assert (z - linear).abs().max() > 0.1  # the network says something


def test_a_linear_encoder_codes_in_tiles_too(tiles: Tiles) -> None:
    linear = linear_tokenizer(replace(TOKENIZER, encoder_blocks=0))
    pixels = picture(300, 200)
    z = encode_picture(linear, pixels, STEP, CPU)
    torch.testing.assert_close(z, encode_at_once(linear, pixels), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_decoding(tokenizer: Tokenizer, tiles: Tiles, height: int, width: int) -> None:
    n = encode_at_once(tokenizer, picture(height, width)).round()
    decoded = decode_picture(tokenizer, n, STEP, height, width)
    assert decoded.shape == (height, width, 3) and decoded.dtype == np.uint8
    expected = decode_at_once(tokenizer, n, height, width).clamp(0, 255).numpy()
    assert 20 < expected.std() or expected.size < 100
    assert np.abs(decoded - expected).max() <= 0.5 + 1e-3


def test_windows_at_once_change_nothing(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(300, 400)
    z = encode_picture(tokenizer, pixels, STEP, CPU)
    monkeypatch.setattr(blocks, "BLOCK_WINDOWS", 1)
    parts = encode_picture(tokenizer, pixels, STEP, CPU)
    torch.testing.assert_close(parts, z, atol=2e-4, rtol=1e-4)
    monkeypatch.setattr(blocks, "team", lambda: None)  # as for frames of videos
    for windows in (2, 10**9):
        monkeypatch.setattr(blocks, "INFERENCE_WINDOWS", windows)
        parts = encode_picture(tokenizer, pixels, STEP, CPU)
        torch.testing.assert_close(parts, z, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(17, 31), (129, 257), (300, 200)])
def test_strips_are_as_good_as_tiles(
    tokenizer: Tokenizer, strip_tokens: int, height: int, width: int
) -> None:
    pixels = picture(height, width)
    z = encode_picture(tokenizer, pixels, STEP, CPU)
    torch.testing.assert_close(z, encode_at_once(tokenizer, pixels), atol=2e-4, rtol=1e-4)
    decoded = decode_picture(tokenizer, z.round(), STEP, height, width)
    expected = decode_at_once(tokenizer, z.round(), height, width).clamp(0, 255).numpy()
    assert np.abs(decoded - expected).max() <= 0.5 + 1e-3


def test_tokens_outside_the_picture_do_not_matter(tokenizer: Tokenizer) -> None:
    n = encode_at_once(tokenizer, picture(40, 70)).round()
    changed = n.clone()
    changed[3:] = 99
    changed[:, 5:] = -99
    expected = decode_picture(tokenizer, n, STEP, 40, 70)
    assert np.array_equal(decode_picture(tokenizer, changed, STEP, 40, 70), expected)
    changed[2, 4] += 40
    assert not np.array_equal(decode_picture(tokenizer, changed, STEP, 40, 70), expected)


def test_integers_of_any_type_decode(tokenizer: Tokenizer) -> None:
    n = encode_at_once(tokenizer, picture(20, 20)).round()
    expected = decode_picture(tokenizer, n, STEP, 20, 20)
    assert np.array_equal(decode_picture(tokenizer, n.to(torch.int32), STEP, 20, 20), expected)


def test_samples_beyond_the_range_are_clipped(tokenizer: Tokenizer) -> None:
    n = torch.full((8, 8, 16), 1000.0)
    decoded = decode_picture(tokenizer, n, STEP, 128, 128)
    assert set(np.unique(decoded)) >= {0, 255}
    assert np.isin(decoded, (0, 255)).mean() > 0.9


CROPS = [
    Tile(0, 512, 0, 768),
    Tile(0, 1, 0, 1),
    Tile(511, 512, 767, 768),
    Tile(250, 262, 300, 410),
    Tile(100, 356, 3, 5),
]


@pytest.mark.parametrize("threads", ["a team", "none"])
def test_a_crop_is_that_part_of_the_whole(
    tokenizer: Tokenizer, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two blocks, so that windows next to the neighbouring ones have a part in it."""
    deep = random_tokenizer(config=replace(tokenizer.config, decoder_blocks=2), strength=0.15)
    if threads == "none":
        monkeypatch.setattr(blocks, "team", lambda: None)
        monkeypatch.setattr(blocks, "INFERENCE_WINDOWS", 2)
    n = torch.randint(-4, 5, (32, 48, 16), generator=torch.Generator().manual_seed(0))
    whole = decode_picture(deep, n, STEP, 512, 768).astype(int)
    for crop in CROPS:
        found = decode_picture(deep, n, STEP, 512, 768, crop=crop).astype(int)
        difference = np.abs(found - whole[crop.rows, crop.columns])
        assert difference.max() <= 1 and difference.mean() < 1e-3, crop


def test_a_crop_looks_at_its_surroundings_only(tokenizer: Tokenizer) -> None:
    n = torch.randint(-4, 5, (64, 64, 16), generator=torch.Generator().manual_seed(0))
    crop = Tile(0, 120, 0, 120)
    expected = decode_picture(tokenizer, n, STEP, 1024, 1024, crop=crop)
    n[:, 24:] = n[24:] = 10**6
    assert np.array_equal(decode_picture(tokenizer, n, STEP, 1024, 1024, crop=crop), expected)


@pytest.mark.parametrize(("step", "missing"), [(STEP, 1), (STEP, 2), (200, 3)])
def test_missing_digits_look_like_a_coarser_step(
    tokenizer: Tokenizer, step: int, missing: int
) -> None:
    """The latents stay as they are, but the networks are told of a step 3 times larger."""
    n = 3**missing * torch.randint(-2, 3, (8, 8, 16), generator=torch.Generator().manual_seed(0))
    found = decode_picture(tokenizer, n, step, 128, 128, missing)
    known = torch.tensor([float(step)])
    apparent = torch.tensor([min(255.0, step + missing * 32 * math.log2(3))])
    latents, unit = tokenizer.dequantize(n[None], known, apparent)
    if not tokenizer.config.companding:
        torch.testing.assert_close(latents, n[None] * tokenizer.units(known))
        torch.testing.assert_close(unit.flatten(), 2 * 2 ** (apparent / 32))
    decoded = tokenizer.decoder(latents, apparent, tokenizer.scale, unit)
    expected = decoded[0].permute(1, 2, 0).clamp(0, 255).numpy()
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    assert not np.array_equal(found, decode_picture(tokenizer, n, step, 128, 128))


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 1), (8, 8)),
        ((128, 128), (8, 8)),
        ((129, 128), (16, 8)),
        ((1, 4000), (8, 256)),
        ((4000, 6000), (256, 376)),
    ],
)
def test_grid_size(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_size(*size, 128, 16) == grid
