"""The BSQ tokenizer: what is in its coding path, what reaches what, and its linear start."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bsqcodec.models.bsq import network
from bsqcodec.models.bsq.klt import start_from_klt
from bsqcodec.models.bsq.network import BsqConfig, BsqTokenizer, bits_of

from ...tiny_models import random_bsq_tokenizer, seeded


def picture(*shape: int) -> Tensor:
    return 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def test_codes_lie_on_the_sphere_and_are_their_bits() -> None:
    code, u = random_bsq_tokenizer().encode(picture(2, 3, 64, 128))
    assert code.shape == u.shape == (2, 8, 16, 18)
    torch.testing.assert_close(code.norm(dim=-1), torch.ones(2, 8, 16))
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(2, 8, 16))
    torch.testing.assert_close(code.abs(), torch.full_like(code, 1 / math.sqrt(18)))
    torch.testing.assert_close((bits_of(code).float() * 2 - 1) / math.sqrt(18), code.detach())


def test_the_spherical_quantizer_is_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = random_bsq_tokenizer(), picture(1, 3, 64, 64)
    before = model(pixels)[0]

    def other(v: Tensor) -> tuple[Tensor, Tensor]:
        code, u = torch.roll(v, 1, -1).sign() / math.sqrt(v.shape[-1]), v
        return code, u

    monkeypatch.setattr(network, "binary_spherical_quantize", other)
    assert not torch.equal(model(pixels)[0], before)


def test_gradients_reach_everything() -> None:
    model = random_bsq_tokenizer()
    decoded, _ = model(picture(2, 3, 64, 128))
    assert decoded.shape == (2, 3, 64, 128)
    decoded.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_without_blocks_a_token_sees_its_patch_and_reaches_its_neighbours() -> None:
    model = random_bsq_tokenizer(blocks=0)
    pixels = picture(1, 3, 64, 64)
    changed = pixels.clone()
    changed[..., 24:32, 32:40] = 255 - changed[..., 24:32, 32:40]
    v, other = model.encoder(pixels), model.encoder(changed)
    assert (v != other).any(-1)[0].nonzero().tolist() == [[3, 4]]
    code = torch.ones(1, 8, 8, 18)
    flipped = code.clone()
    flipped[0, 3, 4] = -1
    moved = (model.decoder(code) != model.decoder(flipped)).any(1)[0]
    reach = 8 + 3 * 4  # the 3x3 tokens of the linear path; three convolutions at half a patch
    rows, columns = (torch.nonzero(moved.any(dim)).flatten() for dim in (1, 0))
    assert rows.min() >= 24 - reach and rows.max() < 32 + reach
    assert columns.min() >= 32 - reach and columns.max() < 40 + reach
    assert moved[24:32, 32:40].all()


def test_the_linear_start() -> None:
    """Smooth crops: the linear paths alone are far better than grey, and balanced."""
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand(60, 3, 5, 5, generator=generator)
    crops = torch.nn.functional.interpolate(coarse, size=64, mode="bilinear").round()
    with seeded(0):
        model = BsqTokenizer(BsqConfig(8, 18, 64, 1, 1, fine_width=8, fine_convs=1))
    error = start_from_klt(model, crops, generator)
    assert error < 0.2 * float(crops.var())
    with torch.no_grad():
        decoded, _ = model(crops)
    inner = (decoded - crops)[..., 8:-8, 8:-8].square().mean()
    assert float(inner) == pytest.approx(error, rel=0.02)
    share = bits_of(model.encoder(crops)).float().mean((0, 1, 2))
    assert share.min() > 0.25 and share.max() < 0.75


@pytest.mark.parametrize(
    "wrong",
    [{"patch": 7}, {"width": 100}, {"decoder_blocks": 7 * 10**8}, {"bits": 100.0}]
    + [{"depths": depths} for depths in ((6, 100), (100, 18), (100.0, 18), (-100, 18))],
)
def test_impossible_configurations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="7|100"):
        BsqConfig(**wrong)
