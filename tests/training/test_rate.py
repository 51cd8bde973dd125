"""What one more or one less costs, against what integers cost."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, limits, planes_needed
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import EncodingCoder
from bsqcodec.models.transform.quantizer import quantize_beyond
from bsqcodec.training.prior_passes import Draw, Passes, pass_losses, prefix, run_pass, total_bits
from bsqcodec.training.rate import FURTHEST, UNKNOWN, Rate, Rounded, differences, rounded_softly
from bsqcodec.video.codec import VideoCodec

from ..tiny_models import PRIOR, random_prior, random_values, some_planes

ZONES = [0.5, 0.54, 0.95, 1.07]
GRID = (8, 8)
CONTEXT = 5
STEP = 20

# Rounding
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_values_are_rounded_at_the_nearest_threshold(zone: float) -> None:
    """Thresholds are where the integers of the coder change."""
    z = torch.linspace(-4.123, 4.127, 1651)
    thresholds = torch.tensor([s * t for s in (-1, 1) for t in (zone, 1.5, 2.5, 3.5, 4.5)])
    nearest = thresholds[(z[:, None] - thresholds).abs().argmin(1)]
    away, low, slope = rounded_softly(z, torch.tensor(zone), torch.zeros_like(z))
    for beside, expected in ((nearest - 1e-4, low), (nearest + 1e-4, low + 1)):
        assert torch.equal(quantize_beyond(beside, zone), expected)
    within = (z - nearest).abs() < FURTHEST - 1e-3
    assert low.unique().tolist() == list(range(-5, 5))
    assert (slope[within] > 0).all() and not slope[(z - nearest).abs() > FURTHEST + 1e-3].any()
    # the integers: that which is farther from 0, the nearer one to it, and that of the coder
    near, everywhere = (
        rounded_softly(z, torch.tensor(zone), torch.full_like(z, u))[0] for u in (0.999999, 0.5)
    )
    assert torch.equal(away[within], torch.where(z > 0, low + 1, low)[within])
    assert torch.equal(near[within], torch.where(z > 0, low, low + 1)[within])
    assert torch.equal(everywhere, quantize_beyond(z, zone))
    far = (z - nearest).abs() > FURTHEST + 1e-3
    assert (
        far.any()
        and torch.equal(away[far], everywhere[far])
        and torch.equal(near[far], everywhere[far])
    )


@pytest.mark.parametrize("zone", ZONES)
def test_slopes_are_those_of_the_mean(zone: float) -> None:
    z = torch.linspace(-3.4, 3.4, 6801)
    uniform = (torch.arange(2000) + 0.5)[:, None] / 2000

    def mean(z: Tensor) -> Tensor:
        return rounded_softly(z, torch.tensor(zone), uniform.expand(2000, len(z)))[0].mean(0)

    _, low, slope = rounded_softly(z, torch.tensor(zone), torch.rand_like(z))
    some = z[::67]
    change = (mean(some + 0.01) - mean(some - 0.01)) / 0.02
    thresholds = torch.tensor([s * t for s in (-1, 1) for t in (zone, 1.5, 2.5, 3.5)])
    distance = (some[:, None] - thresholds).abs()
    smooth = ((distance - FURTHEST).abs() > 0.02).all(1)
    smooth &= (some[:, None] - torch.tensor([1.0, -1.0]) * (zone + 1.5) / 2).abs().amin(1) > 0.02
    assert (change - slope[::67])[smooth & (some.abs() > 0.02)].abs().max() < 0.2 < change.max()
    for threshold in (-3, -2, -1, 0, 1, 2):  # between that integer and the next
        assert 0.97 < float(slope[low == threshold].sum()) * 1e-3 < 1.01, threshold
    at, beside = rounded_softly(
        torch.tensor([zone, zone - 0.05]), torch.tensor(zone), torch.zeros(2)
    )[2]
    assert at == slope.max() and 0.5 * at < beside < 0.9 * at


@pytest.mark.parametrize("zone", ZONES)
def test_rounding_is_symmetric(zone: float) -> None:
    z = torch.linspace(0.003, 4.1, 500)
    uniform = torch.rand(500, generator=torch.Generator().manual_seed(0))
    n, low, slope = rounded_softly(z, torch.tensor(zone), uniform)
    mirrored, mirrored_low, mirrored_slope = rounded_softly(-z, torch.tensor(zone), uniform)
    assert torch.equal(mirrored, -n) and torch.equal(mirrored_low, -low - 1)
    assert torch.equal(mirrored_slope, slope)


def test_dead_zones_are_of_each_token() -> None:
    z = torch.full((1, 1, 2, 3), 0.7)
    zone = torch.tensor([0.5, 0.9]).view(1, 1, 2, 1)
    rounded = Rounded.of(z, zone, torch.full_like(z, 0.5))
    assert rounded.hard[0, 0].tolist() == [[1.0] * 3, [0.0] * 3]
    assert not rounded.low.any()


def test_rounded_values_pass_gradients_by_their_slopes() -> None:
    z = torch.tensor([[-1.4, 0.2, 0.53, 2.0]]).view(1, 1, 1, 4).requires_grad_()
    rounded = Rounded.of(z, torch.tensor(0.54), torch.full_like(z, 0.5))
    assert not (rounded.hard.requires_grad or rounded.slope.requires_grad)
    n = rounded.integers()
    assert n.flatten().tolist() == [-1.0, 0.0, 0.0, 2.0]
    more = torch.tensor([3.0, -1.0, 5.0, 7.0])
    gradient = rounded.rate_gradient(more)
    assert gradient.tolist() == [0.0]
    (from_decoder,) = torch.autograd.grad((n * more).sum(), z, retain_graph=True)
    (from_rate,) = torch.autograd.grad(gradient.sum(), z)
    torch.testing.assert_close(from_decoder, rounded.slope * more)
    torch.testing.assert_close(from_rate, rounded.slope * more)


def test_batches_are_put_together() -> None:
    generator = torch.Generator().manual_seed(0)
    z, uniform = (torch.rand(5, 8, 8, 3, generator=generator) for _ in range(2))
    zone = torch.tensor(0.6)
    whole = Rounded.of(z, zone, uniform)
    parts = Rounded.cat([Rounded.of(z[k], zone, uniform[k]) for k in (slice(2), slice(2, 5))])
    for name in ("z", "hard", "low", "slope"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))


# Differences --------------------------------------------------------------------------------------


def prior_with(context: bool) -> Prior:
    return random_prior(config=replace(PRIOR, context=CONTEXT if context else 0))


def context_for(prior: Prior, count: int = 1) -> Tensor | None:
    generator = torch.Generator().manual_seed(5)
    shape = (count, *GRID, CONTEXT)
    drawn = torch.randint(-7, 8, shape, generator=generator).float()
    return drawn if prior.config.context else None


def integers(seed: int = 0) -> Tensor:
    return torch.from_numpy(random_values(some_planes(), STEP, *GRID, seed))[None].float()


def every_pass(passes: Passes, first: int = 0) -> list[Draw]:
    mine = STEP * BUCKETS // 256
    order = passes.orders[mine]
    return [
        Draw(mine, position, white, 1.0, first)
        for position in range(first, len(order))
        for white in range(order[position].passes)
    ]


@pytest.mark.parametrize("most_planes", [None, 2])
@pytest.mark.parametrize("context", [False, True])
def test_bits_of_all_passes_are_those_of_the_picture(
    context: bool, most_planes: int | None
) -> None:
    prior = prior_with(context)
    passes = Passes(prior)
    n = integers()
    if most_planes is not None:
        n = n.clamp(-4, 4)
    given = context_for(prior)
    first = 0 if most_planes is None else passes.begins(1, most_planes)
    bits = [
        float(differences(prior, passes, n, n, [draw], given)[1])
        for draw in every_pass(passes, first)
    ]
    expected = total_bits(prior, passes, n, STEP, False, given, most_planes)
    assert sum(bits) == pytest.approx(expected, rel=1e-4) and expected > 500


def test_bits_of_values_beyond_the_limits_are_those_of_the_limits() -> None:
    prior = prior_with(False)
    passes = Passes(prior)
    n = 1000 * integers().sign()
    bits = sum(float(differences(prior, passes, n, n, [d])[1]) for d in every_pass(passes))
    assert bits == pytest.approx(total_bits(prior, passes, n, STEP, False), rel=1e-4)


@pytest.mark.parametrize("context", [False, True])
def test_a_difference_is_that_of_the_bits_of_two_digits(context: bool) -> None:
    """By coding the pass again with one digit changed, all that is known before it being equal."""
    prior = prior_with(context)
    passes = Passes(prior)
    n, given = integers(), context_for(prior)
    generator = np.random.default_rng(0)
    below = torch.from_numpy(generator.integers(0, 2, n.shape)).float()
    low = n - below
    seen_digits = set()
    for draw in every_pass(passes):
        more, _ = differences(prior, passes, n, low, [draw], given)
        t = run_pass(prior, passes, n, [draw], False, given).targets
        power = passes.power[draw.bucket, draw.position]
        reach = passes.limits[draw.bucket]
        # a token must go on without the value, and the digit must not be beyond the largest
        others = (n != t.v).sum(-1, keepdim=True) - (n != t.v).int()
        usable = t.coded & (others > 0) & (low.abs() < reach) & ((low + 1).abs() <= reach)
        places = usable.nonzero().numpy()
        for b, i, j, c in generator.permutation(places)[:6]:
            known = prefix(n, 3 * power)[b, i, j, c]
            bits = []
            for value in (low[b, i, j, c], low[b, i, j, c] + 1):
                digit = (prefix(value, power) - prefix(value, 3 * power)) / power
                seen_digits.add((float(power), float(value), float(digit)))
                changed = n.clone()
                changed[b, i, j, c] = known + digit * power
                bits.append(float(pass_losses(prior, passes, changed, [draw], False, given)))
            assert float(more[b, i, j, c]) == pytest.approx(bits[1] - bits[0], abs=2e-3)
    assert {(p, d) for p, _, d in seen_digits} >= {(p, d) for p in (1, 3) for d in (-1, 0, 1)}
    assert {v for _, v, _ in seen_digits} >= {-2, -1, 0, 1, 2}


def test_values_that_no_digit_tells_apart_feel_nothing() -> None:
    """Of channels that a pass does not code, or whose digit of the pass is the same."""
    prior = prior_with(False)
    passes = Passes(prior)
    n = integers()
    for draw in every_pass(passes):
        power = passes.power[draw.bucket, draw.position]
        more, _ = differences(prior, passes, n, n, [draw])
        t = run_pass(prior, passes, n, [draw], False).targets
        digits = [prefix(x, power) - prefix(x, 3 * power) for x in (n, n + 1)]
        same = t.coded & (digits[0] == digits[1])
        elsewhere = ~(t.here[..., None] & passes.channels[draw.bucket, draw.position])
        assert not more[same | elsewhere].any()


def untrained_prior() -> Prior:
    """A prior that tells signs apart, and nothing else:
    P(nonzero) and P(positive) are constants."""
    prior = Prior(PRIOR, some_planes()).requires_grad_(False)
    prior.shared_table.weight[:, 0] = -2.0
    prior.shared_table.weight[:, 1] = 1.0
    return prior


def test_both_signs_cost_what_their_chances_say() -> None:
    prior = untrained_prior()
    passes = Passes(prior)
    n = torch.tensor([-4.0, -3.0, -1.0, 0.0, 1.0, 3.0, 4.0] + [0.0] * 9).expand(1, *GRID, 16)
    zero = float(F.softplus(torch.tensor(-2.0)))
    plus = float(F.softplus(torch.tensor(2.0)) + F.softplus(torch.tensor(-1.0)))
    minus = float(F.softplus(torch.tensor(2.0)) + F.softplus(torch.tensor(1.0)))
    cost = {0: zero / math.log(2), 1: plus / math.log(2), -1: minus / math.log(2)}
    digit = {-5: 1, -4: -1, -3: 0, -2: 1, -1: -1, 0: 0, 1: 1, 2: -1, 3: 0, 4: 1, 5: -1}
    for lower in (0, 1):  # the threshold above each value, or below
        low = n - lower
        found = torch.zeros_like(n)
        for draw in every_pass(passes):
            if passes.power[draw.bucket, draw.position] == 1:
                found += differences(prior, passes, n, low, [draw])[0]
        for channel in range(7):
            value = int(low[0, 0, 0, channel])
            expected = cost[digit[value + 1]] - cost[digit[value]]
            torch.testing.assert_close(found[..., channel], torch.full((1, *GRID), expected))


def test_leaving_zero_is_dear_where_a_token_has_stopped() -> None:
    prior = prior_with(False)
    passes = Passes(prior)
    n = torch.zeros(1, *GRID, 16)
    signs = torch.from_numpy(np.random.default_rng(1).integers(0, 2, n.shape)).float()
    coded = torch.from_numpy(some_planes().numpy()[STEP * BUCKETS // 256] > 0)
    found = torch.zeros_like(n)
    for draw in every_pass(passes):
        found += differences(prior, passes, n, -signs, [draw])[0]
    expected = torch.where(signs == 0, UNKNOWN, -UNKNOWN) * coded
    assert torch.equal(found, expected) and coded.any()


def test_a_stopped_token_is_dear_to_move_either_way() -> None:
    """Away from what it is, whatever that is."""
    prior = prior_with(False)
    passes = Passes(prior)
    n = torch.full((1, *GRID, 16), 3.0)  # nothing is left for the last plane
    last = [d for d in every_pass(passes) if passes.power[d.bucket, d.position] == 1]
    for low, expected in ((n, UNKNOWN), (n - 1, -UNKNOWN)):
        found = torch.zeros_like(n)
        for draw in last:
            found += differences(prior, passes, n, low, [draw])[0]
        coded = torch.from_numpy(some_planes().numpy()[STEP * BUCKETS // 256] > 1)
        assert coded.any() and (found[..., coded] == expected).all()


def test_a_plane_more_is_dear() -> None:
    prior = prior_with(True)
    passes = Passes(prior)
    n = torch.from_numpy(np.random.default_rng(0).integers(-1, 2, (1, *GRID, 16))).float()
    context = context_for(prior)
    assert context is not None
    first = passes.begins(STEP * BUCKETS // 256, 1)
    draws = [replace(d, first=first) for d in every_pass(passes) if d.position >= first]
    outwards = torch.where(n < 0, n - 1, n)  # below -1, above 0 and 1
    found = torch.zeros_like(n)
    for draw in draws:
        found += differences(prior, passes, n, outwards, [draw], context, [1])[0]
    coded = torch.from_numpy(some_planes().numpy()[STEP * BUCKETS // 256] > 0)
    one, minus = (n > 0) & coded, (n < 0) & coded
    assert one.any() and (found[one] == UNKNOWN).all()
    assert minus.any() and (found[minus] == -UNKNOWN).all()


def test_weights_scale_what_a_pass_says() -> None:
    prior = prior_with(False)
    passes = Passes(prior)
    n = integers()
    last = every_pass(passes)[-1]
    draws = [replace(last, weight=w) for w in (1.0, 4.0)]
    more, bits = differences(prior, passes, n.repeat(2, 1, 1, 1), n.repeat(2, 1, 1, 1), draws)
    torch.testing.assert_close(more[1], 4 * more[0])
    torch.testing.assert_close(bits[1], 4 * bits[0])
    assert more.any() and bits.all()


def test_random_passes_estimate_all_of_them() -> None:
    prior = prior_with(False)
    passes = Passes(prior)
    n = integers()
    whole = [differences(prior, passes, n, n, [d]) for d in every_pass(passes)]
    generator = np.random.default_rng(0)
    rate = Rate(prior, passes, passes)
    count = 600
    many = n.repeat(count, 1, 1, 1)
    drawn = rate.differences(many, many, [STEP] * count, generator)
    total = sum(float(more.sum()) for more, _ in whole)
    assert float(drawn[0].sum()) / count == pytest.approx(total, rel=0.1)
    assert float(drawn[1].mean()) == pytest.approx(sum(float(b) for _, b in whole), rel=0.1)


def test_what_values_feel_is_how_their_bits_change() -> None:
    """In the mean over many values: bits of all passes before and after a little growth of all."""
    prior = untrained_prior()
    passes = Passes(prior)
    reach = torch.from_numpy(limits(some_planes().numpy(), STEP))
    shape = (1, 16, 24, 16)
    generator = np.random.default_rng(0)
    z = torch.from_numpy(generator.uniform(-1, 1, shape)).float()
    uniform = torch.from_numpy(generator.uniform(0, 1, shape)).float()
    zone = torch.tensor(0.6)

    def bits_of(z: Tensor) -> float:
        n = quantize_beyond(z, zone)
        return total_bits(prior, passes, n, STEP, False)

    for size in (1.0, 8.0):  # around the first threshold, or many
        some = (z * (reach - 0.5).clamp(0, size)).requires_grad_()
        rounded = Rounded.of(some, zone, uniform)
        more = torch.zeros_like(rounded.hard)
        for draw in every_pass(passes):
            more += differences(prior, passes, rounded.hard, rounded.low, [draw])[0]
        (gradient,) = torch.autograd.grad(rounded.rate_gradient(more).sum(), some)
        grown = some.detach().sign() * 0.1
        changed = bits_of(some.detach() + grown) - bits_of(some.detach() - grown)
        assert (
            float((gradient * grown).sum()) == pytest.approx(changed / 2, rel=0.15)
            and changed > 500
        )


# Of predicted frames ------------------------------------------------------------------------------


@pytest.fixture
def rate(video_weights: Path) -> Rate:
    return Rate.of(video_weights, torch.device("cpu"), compiled=False)


def frame(rate: Rate, largest: int) -> tuple[Tensor, Tensor]:
    """(integers [1, 8, 8, C] up to `largest`, context) of a predicted frame."""
    generator = np.random.default_rng(largest)
    channels = rate.prior.config.channels
    n = generator.integers(-largest, largest + 1, (*GRID, channels))
    n[generator.random(GRID) < 0.5] = 0
    allowed = limits(rate.prior.planes.numpy(), STEP)
    context = generator.integers(0, 8, (1, *GRID, rate.prior.config.context))
    n = np.clip(n, -allowed, allowed)
    return torch.from_numpy(n)[None].float(), torch.from_numpy(context).float()


@pytest.mark.parametrize("largest", [1, 4, 30])
def test_bits_of_a_frame_are_those_of_the_coder(
    rate: Rate, video_codec: VideoCodec, largest: int
) -> None:
    n, context = frame(rate, largest)
    inter = video_codec.weights.priors.inter
    flat = n.reshape(-1, n.shape[-1]).numpy()
    coder = EncodingCoder(flat, limits(inter.planes, STEP))
    most = planes_needed(int(n.abs().max()))
    walk(inter, STEP, np.ones(GRID, bool), coder, context=context, most_planes=most)
    assert rate.bits(n, STEP, context) == pytest.approx(coder.ideal_bits, rel=0.01)


def test_a_frame_of_zeros_is_free(rate: Rate) -> None:
    n, context = frame(rate, 1)
    assert rate.bits(torch.zeros_like(n), STEP, context) == 0 < rate.bits(n, STEP, context)


def test_only_planes_that_a_frame_needs_are_drawn(
    rate: Rate, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Draw] = []

    def remember(self: Passes, *arguments: object) -> Draw:
        drawn.append(draw(self, *arguments))  # type: ignore[arg-type]
        return drawn[-1]

    draw = Passes.draw
    monkeypatch.setattr(Passes, "draw", remember)
    generator = np.random.default_rng(0)
    for largest, planes in ((0, 1), (1, 1), (2, 2), (30, 4)):
        n, context = frame(rate, largest)
        drawn.clear()
        many = [x.repeat(40, 1, 1, 1) for x in (n, n, context)]
        rate.differences(many[0], many[1], [STEP] * 40, generator, many[2])
        found = {rate.passes.orders[d.bucket][d.position].plane for d in drawn}
        top = rate.prior.top_plane
        assert found == set(range(min(planes, top + 1)))
        assert all(d.first == rate.passes.begins(d.bucket, planes) for d in drawn)
