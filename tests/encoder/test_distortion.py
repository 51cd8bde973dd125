"""Distortions against references and definitions."""

import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim
from pytorch_msssim import ssim as reference_ssim
from torch import Tensor

from bsqcodec.encoder.distortion import MS_SSIM_TO_MSE, distortion, ms_ssim


def smooth_pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Pictures with structure at all scales, 0..255."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, 3, height, width)
    for size in (4, 16, 64):
        coarse = torch.rand(count, 3, size, size, generator=generator)
        x += torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return x * 85


@pytest.mark.parametrize("size", [(256, 256), (192, 320)])
@pytest.mark.parametrize("noise", [2.0, 20.0, 80.0])
def test_ms_ssim_agrees_with_pytorch_msssim(size: tuple[int, int], noise: float) -> None:
    a = smooth_pictures(2, *size)
    b = (a + noise * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    expected = reference_ms_ssim(a, b, data_range=255, size_average=False)
    found = ms_ssim(a, b)
    assert found.shape == (2,)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert 0.1 < float(found.min()) and float(found.max()) < 1


def test_one_scale_is_structural_similarity() -> None:
    """All that fits into less than 22 pixels."""
    a = smooth_pictures(2, 64, 21)
    b = (a + 20 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    expected = reference_ssim(a, b, data_range=255, size_average=False)
    torch.testing.assert_close(ms_ssim(a, b), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("side", [22, 80, 175])
def test_smaller_pictures_have_fewer_scales(side: int) -> None:
    a = smooth_pictures(1, 200, side)
    assert float(ms_ssim(a, a)) == pytest.approx(1)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    little, much = (float(ms_ssim(a, a + scale * noise)) for scale in (10, 30))
    assert 0.1 < much < little < 1


def test_ms_ssim_of_very_small_pictures_is_refused() -> None:
    a = smooth_pictures(1, 10, 200)
    with pytest.raises(ValueError, match="sides of 11 pixels"):
        ms_ssim(a, a)


def test_ms_ssim_of_equal_pictures_is_one() -> None:
    a = smooth_pictures(2, 192, 192)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(2))


def test_ms_ssim_is_in_float32_even_under_autocast() -> None:
    a = smooth_pictures(1, 192, 192)
    b = (a + 3).clamp(0, 255)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ms_ssim(a, b)
    assert torch.equal(inside, ms_ssim(a, b))


def test_distortion_mixes_squared_error_and_structure() -> None:
    a = smooth_pictures(2, 192, 192)
    b = a + torch.tensor([2.0, 5.0])[:, None, None, None]
    mse = torch.tensor([4.0, 25.0])
    structure = MS_SSIM_TO_MSE * (1 - ms_ssim(b, a))
    torch.testing.assert_close(distortion(b, a, 0), mse, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(distortion(b, a, 1), structure, atol=1e-3, rtol=1e-4)
    expected = 0.7 * mse + 0.3 * structure
    torch.testing.assert_close(distortion(b, a, 0.3), expected, atol=1e-3, rtol=1e-4)


def test_distortion_grows_with_the_error_and_has_gradients() -> None:
    a = smooth_pictures(1, 192, 192)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(2))
    scale = torch.tensor(5.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(distortion(a + scale * noise, a, 0.5).sum(), scale)
    assert float(gradient) > 1
    (gradient,) = torch.autograd.grad(distortion(a + 0 * scale * noise, a, 0.5).sum(), scale)
    assert torch.isfinite(gradient)
