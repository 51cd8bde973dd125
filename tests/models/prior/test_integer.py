"""Exact inference: the same integers whichever way they are computed, and never a doubt of it."""

import math
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bsqcodec.errors import WeightsError
from bsqcodec.models.prior import integer, integer_blocks
from bsqcodec.models.prior.integer import IntegerPrior, quantize_prior
from bsqcodec.models.prior.integer_blocks import EXACT, LOGIT_LIMIT, probability_table
from bsqcodec.models.prior.neighbour_context import CONTEXTS, features
from bsqcodec.models.prior.network import LOGIT, STREAM, Prior, QuantLinear
from bsqcodec.models.prior.order import PriorConfig
from bsqcodec.models.weight_store import identity

from ...tiny_models import (
    PRIOR,
    fixed_tensors,
    integer_prior,
    random_prior,
    random_values,
    some_planes,
)

PASSES = [(0, 0, 27), (5, 6, 3), (9, 15, 1)]
"""(kind, bucket, power) of some passes."""

GOLDEN = {(0, 0, 27): 0x7141CBC5, (5, 6, 3): 0x1E675A5C, (9, 15, 1): 0xCBA4CB71}
"""CRC-32 of the head's logits for `fixed_tensors` in these passes."""


def grid(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Values float32 [count, height, width, 16] and flags int64 of as many tokens."""
    v = [
        torch.from_numpy(random_values(some_planes(), 0, height, width, seed + i)).float()
        for i in range(count)
    ]
    flags = np.random.default_rng(seed).integers(0, 4, (count, height, width))
    return torch.stack(v), torch.from_numpy(flags)


def logits(
    prior: IntegerPrior, v: Tensor, flags: Tensor, kind: int, bucket: int, power: int
) -> Tensor:
    x = prior.trunk(v, power, kind, bucket, flags)
    return prior.head(x.view(-1, x.shape[-1])).view(*v.shape[:3], -1)


def checksum(prior: IntegerPrior, *case: int) -> int:
    found = logits(prior, *grid(1, 16, 24), *case)
    assert torch.equal(found, found.round())
    return zlib.crc32(found.to(torch.int32).numpy().astype("<i4").tobytes())


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is put back afterwards."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("case", PASSES)
@pytest.mark.parametrize("int8", [False, True])
def test_golden_logits(int8: bool, case: tuple[int, int, int]) -> None:
    """Weights and inputs from SHAKE-256: any other value than these makes old files unreadable."""
    prior = IntegerPrior(PRIOR, fixed_tensors(PRIOR, some_planes()), int8=int8)
    assert checksum(prior, *case) == GOLDEN[case]


def test_golden_logits_use_most_of_their_range() -> None:
    prior = IntegerPrior(PRIOR, fixed_tensors(PRIOR, some_planes()))
    found = logits(prior, *grid(1, 16, 24), *PASSES[0])
    assert found.std() > LOGIT
    assert found.abs().max() < LOGIT_LIMIT
    assert all(len(torch.unique(found[..., k])) >= 10 for k in range(33))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", PASSES)
def test_products_of_int8_and_float32_agree(
    case: tuple[int, int, int], count: int, threads: None
) -> None:
    v, flags = grid(1, 24, 16)
    expected = logits(integer_prior(int8=True), v, flags, *case)
    assert expected.abs().max() > LOGIT / 4
    torch.set_num_threads(count)
    for int8 in (True, False):
        assert torch.equal(logits(integer_prior(int8=int8), v, flags, *case), expected)


def saturating(a: Tensor, b: Tensor) -> Tensor:
    """As x86 processors without VNNI: unsigned times signed, pairs of products in 16 bits."""
    products = (a.int() + 128)[:, :, None] * b.int()[None]
    pairs = products.view(len(a), -1, 2, b.shape[1]).sum(2).clamp(-32768, 32767)
    return (pairs.sum(1) - 128 * b.long().sum(0)).int()


def unsupported(a: Tensor, b: Tensor) -> Tensor:
    raise RuntimeError("not made for this device")


@pytest.mark.parametrize("product", [saturating, unsupported])
def test_int8_products_that_cannot_be_trusted_are_not_used(
    product: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    v, flags = grid(1, 8, 16)
    expected = logits(integer_prior(int8=False), v, flags, *PASSES[1])
    uncached = integer_blocks.int8_products_are_exact.__wrapped__
    monkeypatch.setattr(integer_blocks, "int8_products_are_exact", uncached)
    monkeypatch.setattr(torch, "_int_mm", product)
    prior = integer_prior(int8=True)
    assert not prior.int8
    assert torch.equal(logits(prior, v, flags, *PASSES[1]), expected)


@pytest.mark.parametrize("int8", [False, True])
def test_a_batch_gives_what_its_pictures_give_alone(int8: bool) -> None:
    prior = integer_prior(int8=int8)
    v, flags = grid(3, 8, 16)
    together = logits(prior, v, flags, *PASSES[1])
    for i in range(3):
        alone = logits(prior, v[i : i + 1], flags[i : i + 1], *PASSES[1])
        assert torch.equal(together[i : i + 1], alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 8, 10**6])
def test_chunks_change_nothing(chunk: int, int8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = integer_prior(int8=int8)
    v, flags = grid(2, 24, 16)
    expected = logits(prior, v, flags, *PASSES[1])
    monkeypatch.setattr(integer_blocks, "CHUNK", chunk)
    assert torch.equal(logits(prior, v, flags, *PASSES[1]), expected)


def test_tokens_picked_from_the_stream_have_the_logits_of_the_grid() -> None:
    prior = integer_prior()
    v, flags = grid(1, 16, 16)
    everywhere = logits(prior, v, flags, *PASSES[1]).view(256, -1)
    x = prior.trunk(v, PASSES[1][2], PASSES[1][0], PASSES[1][1], flags).view(256, -1)
    for tokens in ([5], [0, 3, 255], list(range(1, 256, 2))):
        assert torch.equal(prior.head(x[tokens]), everywhere[tokens])


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.95])
def test_only_the_tokens_that_are_wanted(attention: bool, int8: bool, share: float) -> None:
    """They get what they would get if all were done; blocks that look far get all they see."""
    config = replace(PRIOR, attention=attention, blocks=3)
    prior = IntegerPrior(config, fixed_tensors(config, some_planes()), int8=int8)
    v, flags = grid(2, 24, 16)
    kind, bucket, power = PASSES[1]
    everywhere = prior.trunk(v, power, kind, bucket, flags).view(768, -1)
    for seed in range(4):
        drawn = torch.rand(768, generator=torch.Generator().manual_seed(seed))
        tokens = (drawn < share).nonzero()[:, 0]
        found = prior.trunk(v, power, kind, bucket, flags, wanted=tokens).view(768, -1)
        assert torch.equal(found[tokens], everywhere[tokens])
        if share < 0.1:
            assert not torch.equal(found, everywhere)


def test_tokens_without_values_are_embedded_like_the_others() -> None:
    prior = integer_prior()
    v, flags = grid(1, 16, 16)
    v[:, 3:9] = 0
    kind, bucket, power = PASSES[1]
    whole = prior.trunk(v, power, kind, bucket, flags)
    scale = torch.tensor(float(power))
    product = prior._product("embed", features(v.view(-1, v.shape[-1]), scale)).round()
    assert torch.equal(prior._embedding(v.view(-1, v.shape[-1]), power), product)
    nothing = torch.zeros_like(v)
    assert not torch.equal(prior.trunk(nothing, power, kind, bucket, flags), whole)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("channels", [[0], [2, 3, 9], list(range(15)), list(range(16))])
def test_logits_of_some_channels(channels: list[int], int8: bool) -> None:
    prior = integer_prior(int8=int8)
    x = prior.trunk(*grid(1, 16, 8)[:1], 3, 5, 6, grid(1, 16, 8)[1]).view(128, -1)
    everything = prior.head(x)
    rows = [*channels, *(16 + c for c in channels), 32]
    assert torch.equal(prior.head(x, torch.tensor(channels)), everything[:, rows])


def test_reading_does_not_change_the_values() -> None:
    prior = integer_prior()
    v, flags = grid(1, 16, 16)
    kept = v.clone(), flags.clone()
    first = logits(prior, v, flags, *PASSES[1])
    assert torch.equal(v, kept[0]) and torch.equal(flags, kept[1])
    assert torch.equal(logits(prior, v, flags, *PASSES[1]), first)


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_reduced_precision_of_products_changes_nothing(precision: str) -> None:
    """Even bfloat16 and TF32 hold 8-bit operands, so the user's settings do not matter."""
    program = f"""
import torch
torch.set_float32_matmul_precision({precision!r})
from tests.models.prior.test_integer import PASSES, checksum
from tests.tiny_models import integer_prior
for int8 in (False, True):
    print([checksum(integer_prior(int8=int8), *case) for case in PASSES])
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    expected = [checksum(integer_prior(), *case) for case in PASSES]
    assert done.stdout.splitlines() == [str(expected)] * 2


# Against the float network -----------------------------------------------------------------------


def float_logits(prior: Prior, v: Tensor, flags: Tensor, case: tuple[int, int, int]) -> Tensor:
    kind, bucket, power = case
    return prior(
        features(v, torch.tensor(float(power))),
        torch.tensor([kind]),
        torch.tensor([bucket]),
        flags,
        quantized=True,
    )


def on_the_grid(prior: Prior) -> Prior:
    """Without biases and with embeddings of whole units, which leaves only what both round."""
    for module in prior.modules():
        if isinstance(module, QuantLinear):
            module.bias.zero_()
    for embedding in (prior.embed_pass, prior.embed_bucket, prior.embed_token):
        embedding.weight.copy_(torch.round(embedding.weight * STREAM) / STREAM)
    return prior


@pytest.mark.parametrize("shape", [{}, {"attention": False}, {"depths": (2, 1, 0)}], ids=str)
@pytest.mark.parametrize("case", PASSES)
def test_integers_are_the_float_network_with_its_roundings(
    case: tuple[int, int, int], shape: dict[str, Any]
) -> None:
    """But for the logits' own rounding to 1/64, and what follows from very few ties."""
    v, flags = grid(1, 24, 24)
    config = replace(PRIOR, **shape)
    prior = on_the_grid(random_prior(config=config))
    expected = float_logits(prior, v, flags, case)
    found = logits(IntegerPrior(config, quantize_prior(prior)), v, flags, *case) / LOGIT
    assert expected.std() > 0.1
    error = (found - expected).abs()
    assert (error <= 0.5 / LOGIT + 1e-4).float().mean() > 0.8
    assert error.max() < 0.1


@pytest.mark.parametrize("case", PASSES)
def test_rounded_biases_and_embeddings_cost_little(case: tuple[int, int, int]) -> None:
    v, flags = grid(1, 24, 24)
    expected = float_logits(random_prior(), v, flags, case)
    error = (logits(integer_prior(), v, flags, *case) / LOGIT - expected).abs()
    assert expected.std() > 0.2
    assert error.mean() < 0.02 and error.max() < 0.12


def test_tables_are_the_float_ones_rounded() -> None:
    prior = random_prior()
    exact = integer_prior()
    stage, channels = 3, torch.tensor([1, 5, 15])
    generator = torch.Generator().manual_seed(0)
    v = 9.0 * torch.randint(-2, 3, (50, 3), generator=generator)
    magnitude = torch.randint(0, 60, (50, 3), generator=generator).float()
    trend = torch.randint(-60, 60, (50, 3), generator=generator).float()
    context = integer.contexts(v, magnitude, trend, torch.tensor(3.0))
    own = prior.table.weight.view(-1, 16, CONTEXTS, 2)[stage, channels, context]
    shared = prior.shared_table.weight.view(-1, CONTEXTS, 2)[stage, context]
    expected = torch.round((own + shared) * LOGIT)
    places = exact.digit_contexts(v, magnitude, trend, channels, 3)
    assert places.dtype == torch.int32
    for sign in (False, True):
        assert torch.equal(exact.digit_table(stage, places, sign), expected[..., int(sign)])
    some = torch.arange(0, 150, 7)
    found = exact.digit_table(stage, places.view(-1)[some], sign=True)
    assert torch.equal(found, expected[..., 1].reshape(-1)[some])
    stops = prior.stop_table.weight.view(-1, 16)
    assert torch.equal(exact.stop_table(stage, 7), torch.round(stops[stage, 7] * LOGIT))


# Probabilities -----------------------------------------------------------------------------------


def test_probability_table() -> None:
    table = probability_table()
    assert table.dtype == torch.int32 and len(table) == 2 * LOGIT_LIMIT + 1
    assert table[LOGIT_LIMIT] == 32768
    assert torch.equal(table + table.flip(0), torch.full_like(table, 65536))
    assert (table.diff() >= 0).all()
    assert table.min() == 1 and table.max() == 65535
    k = torch.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1, dtype=torch.float64)
    expected = 65536 * torch.sigmoid(k / LOGIT)
    assert (table - expected.clamp(1, 65535)).abs().max() <= 0.5


def test_chance_looks_logits_up() -> None:
    prior = integer_prior()
    found = prior.probabilities(torch.tensor([[-1e6, -768.0, -64.0], [0.0, 64.0, 5000.0]]))
    e = round(65536 / (1 + math.e))
    assert found.dtype == torch.int32
    assert found.tolist() == [[1, 1, e], [32768, 65536 - e, 65535]]


# Bounds ------------------------------------------------------------------------------------------


def refused(config: PriorConfig, tensors: dict[str, Tensor]) -> str:
    with pytest.raises(WeightsError) as caught:
        IntegerPrior(config, tensors)
    return str(caught.value)


def linear_layers() -> list[str]:
    blocks = [f"blocks.{i}.{n}" for i in range(2) for n in ("qkv", "out", "up", "down")]
    return ["embed", "head", *blocks]


@pytest.mark.parametrize("name", linear_layers())
def test_a_sum_that_might_reach_the_limit_is_refused(name: str) -> None:
    tensors = quantize_prior(random_prior())
    row = tensors[f"{name}.weight"][2].long().abs().sum() * (7 if name == "embed" else 127)
    tensors[f"{name}.multiplier"][2] = 1e-3
    for sign in (1, -1):
        tensors[f"{name}.bias"][2] = sign * (EXACT - 1 - row)
        IntegerPrior(PRIOR, tensors)
        tensors[f"{name}.bias"][2] = sign * (EXACT - row)
        assert f"{name} can reach {EXACT}" in refused(PRIOR, tensors)


def test_long_sums_are_refused() -> None:
    config = replace(PRIOR, blocks=1, hidden=1048)
    tensors = quantize_prior(random_prior(config=config))
    tensors["blocks.0.down.weight"][:] = -127
    tensors["blocks.0.down.bias"][:] = 0
    reach = 127 * 127 * 1048
    assert reach >= EXACT
    assert f"blocks.0.down can reach {reach}" in refused(config, tensors)


def test_long_scores_are_refused() -> None:
    config = replace(PRIOR, width=1048, heads=1, blocks=1, hidden=8)
    tensors = quantize_prior(random_prior(config=config))
    assert "attention scores" in refused(config, tensors)


@pytest.mark.parametrize("name", ["embed_pass", "embed_bucket", "embed_token"])
def test_a_residual_stream_that_might_reach_the_limit_is_refused(name: str) -> None:
    tensors = quantize_prior(random_prior())
    tensors[name][1, 1] = -EXACT + 1
    assert "residual stream" in refused(PRIOR, tensors)


@pytest.mark.parametrize("name", ["embed", "blocks.0.out", "blocks.1.down"])
def test_contributions_to_the_stream_are_counted(name: str) -> None:
    tensors = quantize_prior(random_prior())
    tensors[f"{name}.multiplier"][3] = -5000.0
    assert "residual stream" in refused(PRIOR, tensors)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name", ["gain", "blocks.0.slope", "blocks.1.out.multiplier", "head.multiplier"]
)
def test_values_that_are_not_finite_are_refused(name: str, value: float) -> None:
    tensors = quantize_prior(random_prior())
    tensors[name][1] = value
    assert f"not finite in {name}" in refused(PRIOR, tensors)


@pytest.mark.parametrize("int8", [False, True])
def test_the_bounds_hold_for_the_most_adverse_input(int8: bool) -> None:
    """All activations at 127 against weights of 127: int8 and float32 products stay exact."""
    config = replace(PRIOR, blocks=1, hidden=1032)
    tensors = quantize_prior(random_prior(config=config))
    tensors["blocks.0.down.weight"][:] = 127
    tensors["blocks.0.down.weight"][::2, ::3] = 126
    tensors["blocks.0.down.bias"][:] = torch.arange(32)
    tensors["blocks.0.down.multiplier"][:] = 1.0
    prior = IntegerPrior(config, tensors, int8=int8)
    a = torch.full((70, 1032), 127.0)
    exact = 127 * tensors["blocks.0.down.weight"].long().sum(1) + torch.arange(32)
    assert exact.max() > 0.99 * EXACT
    found = prior._product("blocks.0.down", a)
    assert torch.equal(found.double(), exact.double().expand(70, 32))


# Identity ----------------------------------------------------------------------------------------


def test_identity_is_of_contents_and_not_of_their_order() -> None:
    tensors = quantize_prior(random_prior())
    config = {"prior": PRIOR.to_dict(), "other": 1}
    expected = identity(config, tensors)
    assert len(expected) == 32
    backwards = dict(reversed(tensors.items()))
    assert identity(dict(reversed(config.items())), backwards) == expected
    assert identity(config, {k: v.clone() for k, v in tensors.items()}) == expected
    strided = tensors["embed.weight"].t().contiguous().t()
    assert identity(config, tensors | {"embed.weight": strided}) == expected


def test_identity_notices_every_change() -> None:
    tensors = quantize_prior(random_prior())
    config = {"prior": PRIOR.to_dict()}
    table = tensors["table"]
    changed_bit = table.clone()
    changed_bit.view(-1)[77] ^= 1
    variants = [
        (config, tensors),
        ({"prior": replace(PRIOR, heads=4).to_dict()}, tensors),
        (config, tensors | {"table": changed_bit}),
        (config, tensors | {"table": table.view(-1)}),
        (config, tensors | {"table": table.view(torch.uint16)}),
        (config, tensors | {"more": torch.zeros(0)}),
        (config, {("tables" if k == "table" else k): v for k, v in tensors.items()}),
    ]
    assert len({identity(*variant) for variant in variants}) == len(variants)
