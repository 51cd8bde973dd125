"""The float prior and the roundings that make it trainable for integers."""

import pytest
import torch

from bsqcodec.models.prior.neighbour_context import features
from bsqcodec.models.prior.network import (
    ACTIVATION,
    QuantLinear,
    activation,
    clip,
    padded,
    rounded,
    with_neighbours,
    with_neighbours_of,
)

from ...tiny_models import random_prior, random_values, seeded


def test_neighbours_give_an_eighth_from_each_neighbour() -> None:
    x = torch.randn(2, 4, 5, 16, generator=torch.Generator().manual_seed(0))
    y = with_neighbours(x)[..., 16:]
    neighbours = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    for i in range(4):
        for j in range(5):
            for k, (di, dj) in enumerate(neighbours):
                part = slice(2 * k, 2 * k + 2)
                inside = 0 <= i + di < 4 and 0 <= j + dj < 5
                expected = x[:, i + di, j + dj, part] if inside else torch.zeros(2, 2)
                assert torch.equal(y[:, i, j, part], expected)


def test_neighbours_of_some_tokens() -> None:
    x = torch.randn(3, 4, 5, 16, generator=torch.Generator().manual_seed(0))
    everywhere = with_neighbours(x).view(60, 32)
    for tokens in ([0], [59], [4, 5, 19, 20, 21, 41], list(range(60))):
        assert torch.equal(with_neighbours_of(padded(x), torch.tensor(tokens)), everywhere[tokens])


def test_rounded_is_on_the_grid_with_the_gradient_of_x() -> None:
    x = torch.linspace(-3, 3, 101, requires_grad=True)
    y = rounded(x, 32, True)
    torch.testing.assert_close(y, torch.round(x.detach() * 32) / 32)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.ones(101))
    assert rounded(x, 32, False) is x


def test_activations_fit_int8() -> None:
    x = torch.linspace(-10, 10, 1001)
    y = activation(x, True) * ACTIVATION
    torch.testing.assert_close(y, (x * 32).round().clamp(-127, 127), atol=1e-4, rtol=0)
    assert activation(x, False).max() == 127 / 32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_clip_lets_the_gradient_through_inside_its_bounds(
    dtype: torch.dtype, compiled: bool
) -> None:
    x = torch.tensor([-1.0, 0.0, 0.25, 2.0, 3.0, 5.0], dtype=dtype, requires_grad=True)
    act = torch.compile(clip, backend="aot_eager") if compiled else clip
    y = act(x, 0.0, 3.0)
    y.backward(torch.arange(1.0, 7.0).to(dtype))
    assert y.dtype == dtype and y.tolist() == [0, 0, 0.25, 2, 3, 3]
    assert x.grad is not None and x.grad.tolist() == [0, 0, 3, 4, 0, 0]


def test_effective_weights_are_int8_multiples_of_a_scale_a_row() -> None:
    with seeded(0):
        layer = QuantLinear(40, 6)
    with torch.no_grad():
        layer.weight[2] = 0
    effective = layer.effective(True)
    scale = layer.weight.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
    integers = (effective / scale).detach()
    torch.testing.assert_close(integers, integers.round(), atol=1e-3, rtol=0)
    assert integers.abs().amax(1).round().tolist() == [127, 127, 0, 127, 127, 127]
    assert (effective - layer.weight).abs().max() <= 0.51 * scale.max()
    assert layer.effective(False) is layer.weight
    effective.sum().backward()
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad, torch.ones_like(layer.weight))


@pytest.mark.parametrize("quantized", [False, True])
def test_every_parameter_of_the_trunk_learns(quantized: bool) -> None:
    prior = random_prior().requires_grad_(True)
    n = torch.from_numpy(random_values(prior.planes, 100, 8, 16))[None].float()
    flags = torch.arange(4).repeat(32).view(1, 8, 16)
    logits = prior(
        features(n, torch.tensor(1.0)), torch.tensor([3]), torch.tensor([6]), flags, quantized
    )
    assert logits.shape == (1, 8, 16, 33)
    logits.square().sum().backward()
    without = {
        name for name, p in prior.named_parameters() if p.grad is None or not p.grad.abs().max() > 0
    }
    assert without == {"table.weight", "shared_table.weight", "stop_table.weight"}


def test_quantized_trunk_differs_a_little_from_the_float_one() -> None:
    prior = random_prior()
    n = torch.from_numpy(random_values(prior.planes, 100, 16, 16))[None].float()
    flags = torch.zeros(1, 16, 16, dtype=torch.int64)
    args = (features(n, torch.tensor(1.0)), torch.tensor([3]), torch.tensor([6]), flags)
    exact, coarse = prior(*args, False), prior(*args, True)
    error = (exact - coarse).abs()
    assert 0 < error.mean() < 0.1 * exact.std()
