"""Pictures of any size to bits, payloads and back; slices; damage to one of them."""

import numpy as np
import pytest
import torch

from bsqcodec.models.bsq import coding
from bsqcodec.models.bsq.coding import (
    MAX_SLICES,
    bits_of_picture,
    missing_rows,
    picture_of_signs,
    read_bits,
    slices,
    write_bits,
)
from bsqcodec.models.pieces import Tile
from bsqcodec.models.token_grid import TokenGrid

from ...tiny_models import random_bsq_tokenizer
from .test_bit_walk import integer_prior


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("rows", [8, 32, 40, 4096, 20000])
def test_slices_are_whole_windows_and_cover_the_grid(rows: int) -> None:
    parts = slices(rows)
    assert len(parts) <= MAX_SLICES
    assert [i for part in parts for i in range(rows)[part]] == list(range(rows))
    assert all(part.start % 8 == 0 for part in parts)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 1), (70, 130), (63, 8)])
def test_a_picture_of_any_size_goes_through(height: int, width: int) -> None:
    tokenizer = random_bsq_tokenizer()
    pixels = picture(height, width)
    inside = TokenGrid(height, width, 8).inside
    assert inside.sum() == -(-height // 8) * -(-width // 8)
    pixels.flags.writeable = False
    bits = bits_of_picture(tokenizer, pixels)
    assert bits.shape == (*inside.shape, 18)
    coded = write_bits(integer_prior(), bits, inside, None)
    signs = read_bits(integer_prior(), coded.payloads, inside)
    assert np.array_equal(signs[inside], bits[inside] * 2 - 1)
    assert not signs[~inside].any()
    decoded = picture_of_signs(tokenizer, signs, height, width)
    assert decoded.shape == pixels.shape and decoded.dtype == np.uint8


def test_whole_windows_give_what_the_network_gives() -> None:
    tokenizer = random_bsq_tokenizer()
    pixels = picture(64, 128)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    code, _ = tokenizer.encode(x)
    bits = bits_of_picture(tokenizer, pixels)
    signs = np.where(bits, 1, -1).astype(np.int8)
    assert torch.equal(torch.from_numpy(signs).float() / bits.shape[-1] ** 0.5, code[0].detach())
    expected = tokenizer.decode(code).clamp(0, 255).round()[0].permute(1, 2, 0)
    found = picture_of_signs(tokenizer, signs, 64, 128).astype(int)
    assert np.abs(found - expected.detach().numpy()).max() <= 1


@pytest.mark.parametrize(
    "crop", [Tile(0, 300, 0, 380), Tile(299, 300, 379, 380), Tile(125, 133, 60, 301)]
)
def test_a_crop_is_that_part_of_the_whole(crop: Tile) -> None:
    tokenizer = random_bsq_tokenizer(blocks=2)
    shape = (*TokenGrid(300, 380, 8).padded_shape, 18)
    signs = np.random.default_rng(0).integers(-1, 2, shape, np.int8)
    whole = picture_of_signs(tokenizer, signs, 300, 380).astype(int)[crop.rows, crop.columns]
    found = picture_of_signs(tokenizer, signs, 300, 380, crop).astype(int)
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() <= 1 and (found != whole).mean() < 1e-3


def test_damage_to_a_slice_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "SLICE_ROWS", 8)
    prior = integer_prior()
    inside = np.ones((24, 16), bool)
    bits = np.random.default_rng(1).random((24, 16, 18)) < 0.5
    payloads: list[list[bytes | None]] = list(
        map(list, write_bits(prior, bits, inside, None).payloads)
    )
    assert len(payloads) == 3 and all(len(row) == 3 for row in payloads)
    payloads[1][1] = None
    signs = read_bits(prior, payloads, inside)
    expected = np.where(bits, 1, -1)
    expected[8:16, :, 6:] = 0
    assert np.array_equal(signs, expected)
    assert list(missing_rows(signs, inside)) == [range(8, 16)]
    assert list(missing_rows(expected | 1, inside)) == []


def test_fewer_sub_codes_are_a_coarser_picture() -> None:
    prior = integer_prior()
    inside = np.ones((8, 8), bool)
    bits = np.random.default_rng(1).random((8, 8, 18)) < 0.5
    payloads = write_bits(prior, bits, inside, None).payloads
    signs = read_bits(prior, payloads[:1], inside)
    assert np.array_equal(signs[..., :6], bits[..., :6] * 2 - 1)
    assert not signs[..., 6:].any()


def test_progress_ends_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "SLICE_ROWS", 8)
    seen: list[float] = []
    inside = np.ones((16, 8), bool)
    write_bits(integer_prior(), np.zeros((16, 8, 18), bool), inside, seen.append)
    assert seen == sorted(seen) and seen[-1] == 1 and len(seen) == 14


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = random_bsq_tokenizer()
    pixels = picture(190, 130)
    bits = bits_of_picture(tokenizer, pixels)
    signs = np.where(bits, 1, -1).astype(np.int8)
    decoded = picture_of_signs(tokenizer, signs, 190, 130)
    monkeypatch.setattr(coding, "STRIP_TOKENS", 1)
    assert np.array_equal(bits_of_picture(tokenizer, pixels), bits)
    found = picture_of_signs(tokenizer, signs, 190, 130)
    assert np.abs(found.astype(int) - decoded).max() <= 1
