"""The tokenizer: begins as its transform, follows the step, and sees no further than it says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bsqcodec.models.transform import blocks
from bsqcodec.models.transform.blocks import Block, WindowAttention
from bsqcodec.models.transform.tokenizer import (
    GAIN_CAP,
    LATENT_LIMIT,
    StepTable,
    Tokenizer,
    step_size,
)

from ...tiny_models import TOKENIZER, linear_tokenizer, random_tokenizer, seeded, shake

STEPS = torch.tensor([12.0, 131.0, 244.0])


def pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).float()


def patches(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, h, w, 768], each patch flattened as it lies in memory."""
    b, _, height, width = pixels.shape
    cut = pixels.view(b, 3, height // 16, 16, width // 16, 16)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, height // 16, width // 16, 768)


@pytest.mark.parametrize("size", [2, 4])
def test_shuffling_is_that_of_torch_with_channels_last(size: int) -> None:
    x = torch.randn(2, 3, 8, 24, generator=torch.Generator().manual_seed(0))
    found = blocks.unshuffle(x, size)
    assert torch.equal(found, torch.nn.functional.pixel_unshuffle(x, size))
    assert found.is_contiguous(memory_format=torch.channels_last)
    again = blocks.shuffle(found, size)
    assert torch.equal(again, x) and again.is_contiguous(memory_format=torch.channels_last)


def test_encoder_begins_as_its_transform() -> None:
    tokenizer = linear_tokenizer()
    x = pictures(3, 128, 256)
    z = tokenizer.encode(x, STEPS)
    expected = (patches(x) - 127.5) @ tokenizer.encoder.transform.weight.T
    assert z.shape == (3, 8, 16, 16)
    torch.testing.assert_close(
        z, expected / step_size(STEPS)[:, None, None, None], atol=2e-4, rtol=1e-5
    )


@pytest.mark.parametrize("companding", [0.0, 0.3])
def test_the_encoders_network_changes_nothing_at_first(companding: float) -> None:
    tokenizer = linear_tokenizer(replace(TOKENIZER, companding=companding))
    linear = Tokenizer(replace(TOKENIZER, companding=companding, encoder_blocks=0))
    state = tokenizer.state_dict()
    linear.load_state_dict({k: state[k] for k in linear.state_dict()})
    x = pictures(3, 128, 256)
    assert tokenizer.encoder.local(x)[1] is not None and linear.encoder.local(x)[1] is None
    assert torch.equal(tokenizer.encode(x, STEPS), linear.encode(x, STEPS))


def test_the_encoders_network_corrects_integers() -> None:
    """By what it sees of them: it tells large ones apart no more, and adds the same to them."""
    tokenizer = random_tokenizer()
    step = torch.tensor([100.0])
    _, maps = tokenizer.encoder.local(pictures(1, 128, 128))
    z = 3 * torch.randn(1, 8, 8, 16, generator=torch.Generator().manual_seed(0))
    correction = tokenizer.encoder.attend(z, maps, step) - z
    assert correction.abs().mean() > 0.1
    larger = torch.where(z.abs() > LATENT_LIMIT, 2 * z, z)
    again = tokenizer.encoder.attend(larger, maps, step) - larger
    torch.testing.assert_close(again, correction, atol=1e-5, rtol=0)
    other = tokenizer.encoder.attend(z.clamp(-1, 1), maps, step) - z.clamp(-1, 1)
    assert (other - correction).abs().mean() > 0.01


def test_decoder_begins_as_the_projection_on_the_transform() -> None:
    tokenizer = linear_tokenizer()
    x = pictures(3, 256, 128)
    basis = tokenizer.encoder.transform.weight
    projection = (patches(x) - 127.5) @ basis.T @ basis + 127.5
    decoded = tokenizer.decode(tokenizer.encode(x, STEPS), STEPS)
    torch.testing.assert_close(patches(decoded), projection, atol=1e-3, rtol=1e-5)


def test_a_whole_basis_loses_nothing_but_the_rounding() -> None:
    tokenizer = linear_tokenizer(replace(TOKENIZER, channels=768))
    x = pictures(1, 128, 128)
    step = torch.tensor([0.0])
    with torch.no_grad():
        z, decoded = tokenizer(x, step)
    torch.testing.assert_close(tokenizer.decode(z, step), x, atol=1e-3, rtol=0)
    rms = (decoded - x).square().mean().sqrt()
    assert float(rms) == pytest.approx(2 / 12**0.5, rel=0.02)  # uniform noise of a step of 2


def test_step_doubles_every_32_indices() -> None:
    assert step_size(0) == 2
    assert step_size(96) == 16
    torch.testing.assert_close(step_size(STEPS + 32), 2 * step_size(STEPS))


def test_step_table_is_linear_between_its_knots() -> None:
    table = StepTable(4, 5)
    torch.nn.init.normal_(table.table, generator=torch.Generator().manual_seed(0))
    knots = table.table.detach()
    at_knots = table(torch.tensor([0.0, 85.0, 170.0, 255.0]))
    torch.testing.assert_close(at_knots, knots, atol=1e-6, rtol=0)
    torch.testing.assert_close(table(torch.tensor([42.5]))[0], (knots[0] + knots[1]) / 2)
    torch.testing.assert_close(table(torch.tensor([187]))[0], 0.8 * knots[2] + 0.2 * knots[3])


def test_units_follow_step_and_gain() -> None:
    tokenizer = random_tokenizer(strength=0.3)
    gain = tokenizer.log_gain(STEPS)
    expected = 2 * 2 ** (STEPS[:, None] / 32) * torch.exp(-gain)
    torch.testing.assert_close(tokenizer.units(STEPS)[:, 0, 0], expected)
    assert tokenizer.units(STEPS).shape == (3, 1, 1, 16)


def test_networks_and_gains_change_both_directions() -> None:
    plain, trained = linear_tokenizer(), random_tokenizer()
    x = pictures(1, 128, 128)
    step = torch.tensor([100.0])
    n = plain.encode(x, step).round()
    assert (trained.encode(x, step) - plain.encode(x, step)).abs().mean() > 0.1
    assert (trained.decode(n, step) - plain.decode(n, step)).abs().mean() > 0.1
    other = step + 64
    units = trained.units(other) / trained.units(step)
    assert (trained.encode(x, other) * units - trained.encode(x, step)).abs().mean() > 0.01


def test_training_sees_the_rounded_values_with_gradients_through_them() -> None:
    tokenizer = random_tokenizer().requires_grad_(True)
    x = pictures(1, 128, 128)
    step = torch.tensor([150.0])
    z, decoded = tokenizer(x, step)
    with torch.no_grad():
        torch.testing.assert_close(decoded, tokenizer.decode(z.round(), step))
    decoded.square().mean().backward()
    without = [name for name, p in tokenizer.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in tokenizer.parameters())


def test_a_batch_is_coded_as_its_pictures_alone() -> None:
    tokenizer = random_tokenizer()
    x = pictures(3, 128, 128)
    together = tokenizer.encode(x, STEPS)
    for i in range(3):
        alone = tokenizer.encode(x[i : i + 1], STEPS[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def random_block(seed: int = 0) -> Block:
    with seeded(seed):
        block = Block(32, 2)
        shake(block, 0.1)
    return block.requires_grad_(False)


@pytest.mark.parametrize("at_once", [1, 3, 20, 30, 64])
def test_windows_at_once_change_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    block = random_block()
    x = torch.randn(2, 32, 40, 32, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        whole = block(x)
    monkeypatch.setattr(blocks, "INFERENCE_WINDOWS", at_once)
    with torch.no_grad():
        parts = block(x)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


def test_attention_stays_inside_its_window() -> None:
    block = random_block()
    x = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[1, 5, 0] += 1  # not all channels: the norm would take that out
    before, after = block.within(x), block.within(changed)
    assert torch.equal(before[0], after[0])
    assert ((before[1] - after[1]).abs().amax(-1) > 0).all()


def test_the_convolution_lets_windows_meet_their_neighbours_only() -> None:
    block = random_block()
    x = torch.randn(1, 8, 24, 32, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 3, 7, 0] += 1  # at the right border of the first window
    moved = (block(x) - block(changed)).abs().amax(-1)[0]
    assert (moved[:, :16] > 0).all()
    assert (moved[:, 16:] == 0).all()


def test_attention_uses_its_relative_bias() -> None:
    """A large bias for one displacement makes each token look at that neighbour."""
    attention = WindowAttention(4, 1)
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.weight[8:].copy_(torch.eye(4))
        attention.out.weight.copy_(torch.eye(4))
        attention.bias[0, (7 + 0) * 15 + 7 + 1] = 100.0  # query one column right of its key
    x = torch.randn(1, 64, 4, generator=torch.Generator().manual_seed(0))
    y = attention(x).detach().view(8, 8, 4)
    grid = x.view(8, 8, 4)
    torch.testing.assert_close(y[:, 1:], grid[:, :-1])
    torch.testing.assert_close(y[:, 0], x.mean(1).expand(8, 4))


@pytest.mark.parametrize("reach", [1, 2])
def test_the_parts_outside_attention_look_as_far_as_they_say(reach: int) -> None:
    """The encoder's one token, the decoder's two: strips rely on it."""
    tokenizer: Tokenizer = random_tokenizer(strength=0.2)
    generator = torch.Generator().manual_seed(0)
    moved: Tensor
    if reach == 1:
        x = pictures(1, 128, 128)
        changed = x.clone()
        changed[:, :, 64:80, 64:80] = 255 - changed[:, :, 64:80, 64:80]
        a = tokenizer.encoder.local(x)[1]
        b = tokenizer.encoder.local(changed)[1]
        assert a is not None and b is not None
        moved = (a - b).abs().amax(-1)[0]
    else:
        latents = 50 * torch.randn(1, 8, 8, 16, generator=generator)
        tokens = torch.randn(1, 8, 8, 32, generator=generator)
        other_latents, other_tokens = latents.clone(), tokens.clone()
        other_latents[0, 4, 4] += 100
        other_tokens[0, 4, 4] += 10
        unit = step_size(torch.tensor([100.0]))[:, None, None, None]
        before = tokenizer.decoder.local(latents, tokens, unit)
        after = tokenizer.decoder.local(other_latents, other_tokens, unit)
        moved = patches(after - before).abs().amax(-1)[0]
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[4 - reach : 5 + reach, 4 - reach : 5 + reach] = True
    assert (moved[~inside] == 0).all()
    assert (moved[inside] > 0).all()


def test_gains_follow_the_deviations_up_to_a_cap() -> None:
    tokenizer = random_tokenizer()
    channels = tokenizer.config.channels
    scale = torch.logspace(3, -1, channels)
    tokenizer.scale.copy_(scale)
    tokenizer.set_gains(0.5)
    gains = torch.exp(tokenizer.log_gain(torch.tensor([0.0, 100.0, 255.0])))
    ratio = (scale / scale[channels // 6]).clamp(max=GAIN_CAP)
    torch.testing.assert_close(gains, ratio.sqrt().expand(3, channels))
    tokenizer.set_gains(0.0)
    assert torch.equal(tokenizer.log_gain.table, torch.zeros_like(tokenizer.log_gain.table))


# Companding --------------------------------------------------------------------------------------


def companded(strength: float) -> Tokenizer:
    return random_tokenizer(config=replace(TOKENIZER, companding=strength))


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.9])
def test_companding_can_be_undone(strength: float) -> None:
    tokenizer = companded(strength)
    step_scale = torch.logspace(-3, 4, 64)[:, None]
    y = step_scale * torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    y = y.view(1, 8, 8, 16)
    step = torch.tensor([100.0])
    latents, unit = tokenizer.dequantize(tokenizer.compand(y, step), step)
    torch.testing.assert_close(latents, y, rtol=2e-3, atol=1e-3)
    assert unit.shape == (1, 1, 32, 32)
    assert torch.isfinite(unit).all() and unit.max() > 1.5 * unit.min() > 0


def test_companding_gives_busy_tokens_larger_steps() -> None:
    tokenizer = companded(0.5)
    step = torch.tensor([100.0])
    y = torch.zeros(1, 8, 8, 16)
    y[..., 5] = 3000.0  # in both halves
    y[:, :, 4:, 6] = 3000.0
    z = tokenizer.compand(y, step)
    assert (z[0, :, :4, 5] > z[0, :, 4:, 5]).all()
    y[..., :3] = 777.0
    again = tokenizer.compand(y, step)
    assert torch.equal(again[..., 3:], z[..., 3:])  # the first channels have no say
    assert torch.equal(again[..., :3], (y / tokenizer.units(step))[..., :3])


def test_companding_changes_nothing_at_its_reference() -> None:
    tokenizer = companded(0.5)
    energy = torch.tensor([300.0])  # 20^2 - 10^2
    torch.testing.assert_close(tokenizer.step_scale(energy), torch.ones(1))
    torch.testing.assert_close(tokenizer.expanded_energy(energy), energy)


def test_a_token_of_zeros_stays_zero() -> None:
    tokenizer = companded(0.3)
    step = torch.tensor([100.0])
    latents, unit = tokenizer.dequantize(torch.zeros(1, 8, 8, 16), step)
    assert torch.equal(latents, torch.zeros_like(latents)) and torch.isfinite(unit).all()


@pytest.mark.parametrize("strength", [-0.1, 1.0, 2.0])
def test_companding_that_cannot_be_undone_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="cannot be undone"):
        replace(TOKENIZER, companding=strength)
