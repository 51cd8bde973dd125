"""The walk: what an encoder writes, a decoder reads; each token is asked until it stops."""

import hashlib
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.machine.team import team_of
from bsqcodec.machine.threads import set_thread_count, thread_count
from bsqcodec.models.prior.integer import IntegerPrior, quantize_prior
from bsqcodec.models.prior.order import levels, limits, stages
from bsqcodec.models.prior.walk import Position, Probabilities, Signs, walk
from bsqcodec.models.prior.walk_coders import DecodingCoder, EncodingCoder

from ...conftest import use_loops
from ...tiny_models import (
    PRIOR,
    fixed_tensors,
    integer_prior,
    random_prior,
    random_values,
    seeded,
    some_planes,
)

pytestmark = pytest.mark.usefixtures("loops")

Values = npt.NDArray[np.int32]
INSIDE = [(1, 1), (1, 13), (5, 7), (8, 8), (9, 3), (16, 17)]
STEPS = [0, 100, 255]
GOLDEN = "33b884"
"""Start of the SHA-256 of the levels that `fixed_tensors` make of `some_values`."""


def grid_of(rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """A grid of whole windows whose first rows and columns of tokens are coded."""
    inside = np.zeros((-(-rows // 8) * 8, -(-columns // 8) * 8), bool)
    inside[:rows, :columns] = True
    return inside


def some_values(inside: npt.NDArray[np.bool_], step: int, seed: int = 0) -> Values:
    """Values within the limits of the step; zero outside the picture."""
    rows, columns = inside.any(1).sum(), inside.any(0).sum()
    n = np.zeros((*inside.shape, PRIOR.channels), np.int32)
    n[:rows, :columns] = random_values(some_planes(), step, int(rows), int(columns), seed)
    return n


def plain_encoder(n: Values, step: int) -> EncodingCoder:
    """An encoder that writes n as it is, whatever it costs."""
    z = n.reshape(-1, n.shape[-1]).astype(np.float32)
    return EncodingCoder(z, limits(some_planes().numpy(), step))


def encode(
    prior: IntegerPrior, n: Values, step: int, inside: npt.NDArray[np.bool_]
) -> tuple[list[bytes], Values]:
    coder = plain_encoder(n, step)
    values = walk(prior, step, inside, coder)
    return coder.payloads(), values


@pytest.fixture(scope="module")
def prior() -> IntegerPrior:
    return integer_prior()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("size", INSIDE)
def test_round_trip(prior: IntegerPrior, size: tuple[int, int], step: int) -> None:
    inside = grid_of(*size)
    n = some_values(inside, step)
    payloads, coded = encode(prior, n, step, inside)
    assert coded.dtype == np.int32 and np.array_equal(coded, n)
    assert len(payloads) == some_planes()[step // 16].max()
    assert np.array_equal(walk(prior, step, inside, DecodingCoder(payloads)), n)


@pytest.mark.parametrize("strip_tokens", [1, 40, 80])
@pytest.mark.parametrize("size", [(16, 17), (30, 9)])
def test_strips_change_nothing(
    prior: IntegerPrior,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    strip_tokens: int,
) -> None:
    """The grid as it is looked at: all at once, or some rows after the other."""
    inside = grid_of(*size)
    n = some_values(inside, 100)
    n[3:12] = 0  # whole strips without a token that goes on
    expected = encode(prior, n, 100, inside)
    monkeypatch.setattr("bsqcodec.models.prior.walk.STRIP_TOKENS", strip_tokens)
    payloads, values = encode(prior, n, 100, inside)
    assert payloads == expected[0] and np.array_equal(values, expected[1])
    monkeypatch.setattr("bsqcodec.models.prior.integer_blocks.CHUNK", 1)
    assert np.array_equal(walk(prior, 100, inside, DecodingCoder(payloads)), n)


@pytest.mark.parametrize("seed", range(1, 4))
def test_round_trip_of_other_priors_and_values(seed: int) -> None:
    inside = grid_of(7, 12)
    n = some_values(inside, 50, seed)
    payloads, _ = encode(integer_prior(seed), n, 50, inside)
    again = integer_prior(seed)
    assert np.array_equal(walk(again, 50, inside, DecodingCoder(payloads)), n)


def test_the_two_kinds_of_products_write_the_same_bytes() -> None:
    inside = grid_of(7, 12)
    n = some_values(inside, 0)
    by_int8, _ = encode(integer_prior(int8=True), n, 0, inside)
    by_float, _ = encode(integer_prior(int8=False), n, 0, inside)
    assert by_int8 == by_float
    assert sum(map(len, by_int8)) > 1000


def test_another_prior_reads_something_else() -> None:
    inside = grid_of(7, 12)
    n = some_values(inside, 0)
    payloads, _ = encode(integer_prior(0), n, 0, inside)
    assert not np.array_equal(walk(integer_prior(1), 0, inside, DecodingCoder(payloads)), n)


def test_golden_levels() -> None:
    """Any change here makes the files of earlier releases unreadable."""
    prior = IntegerPrior(PRIOR, fixed_tensors(PRIOR, some_planes()))
    inside = grid_of(6, 11)
    limit = limits(some_planes().numpy(), 0)
    noise = np.frombuffer(hashlib.shake_256(b"values").digest(66 * 16), np.int8).astype(np.int32)
    n = np.zeros((*inside.shape, 16), np.int32)
    n[inside] = np.clip(noise.reshape(66, 16) // 24, -limit, limit)
    payloads, coded = encode(prior, n, 0, inside)
    assert np.array_equal(coded, n) and np.abs(n).max() > 4
    digest = hashlib.sha256(b"|".join(payloads)).hexdigest()
    assert digest[: len(GOLDEN)] == GOLDEN


def test_fewer_levels_give_the_nearest_multiples(prior: IntegerPrior) -> None:
    inside = grid_of(9, 10)
    n = some_values(inside, 0)
    payloads, _ = encode(prior, n, 0, inside)
    for count in range(len(payloads)):
        power = 3 ** (len(payloads) - count)
        coarse = walk(prior, 0, inside, DecodingCoder(payloads[:count]))
        assert np.array_equal(coarse, power * np.rint(n / power))


def test_progress_reaches_one(prior: IntegerPrior) -> None:
    seen: list[float] = []
    inside = grid_of(3, 3)
    coder = plain_encoder(some_values(inside, 0), 0)
    walk(prior, 0, inside, coder, progress=seen.append)
    assert len(seen) == len(stages(PRIOR, some_planes().numpy(), 0))
    assert seen == sorted(seen) and seen[-1] == 1


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_decode_to_values_within_the_limits(prior: IntegerPrior, seed: int) -> None:
    """Damage that the checksums did not see gives wrong values, but no other harm."""
    generator = np.random.default_rng(seed)
    payloads = [generator.bytes(4 * int(generator.integers(0, 40))) for _ in range(4)]
    inside = grid_of(6, 6)
    values = walk(prior, 0, inside, DecodingCoder(payloads))
    assert (np.abs(values) <= limits(some_planes().numpy(), 0)).all()
    assert (values[~inside] == 0).all() and values.any()


# What a coder is asked ---------------------------------------------------------------------------


class Watcher(EncodingCoder):
    """Keeps note of all it is asked."""

    def __init__(self, n: Values, step: int) -> None:
        allowed = limits(some_planes().numpy(), step)
        super().__init__(n.reshape(-1, n.shape[-1]).astype(np.float32), allowed)
        self.asked: list[tuple[Position, npt.NDArray[np.bool_]]] = []
        self.digits_of: dict[tuple[int, int], list[int]] = defaultdict(list)
        self.probabilities: list[Probabilities] = []

    def stops(self, at: Position, probability: Probabilities) -> npt.NDArray[np.bool_]:
        assert probability.shape == at.tokens.shape
        stops = super().stops(at, probability)
        self.asked.append((at, stops))
        self.probabilities.append(probability)
        return stops

    def digits(
        self, at: Position, v: npt.NDArray[np.float32], nonzero: Probabilities, positive: Signs
    ) -> npt.NDArray[np.int8]:
        shape = (len(at.tokens), len(at.stage.channels))
        assert v.shape == nonzero.shape == shape
        power = 3**at.stage.plane
        where = np.ix_(at.tokens, at.stage.channels)
        before = 3 * power * np.rint(self._n[where] / (3 * power))
        assert np.array_equal(v, before)
        for token in at.tokens:
            for channel in at.stage.channels:
                self.digits_of[int(token), int(channel)].append(at.stage.plane)
        every = positive.of(np.ones(shape, bool))
        odd = np.arange(every.size).reshape(shape) % 2 == 1
        assert np.array_equal(positive.of(odd), every[1::2])
        self.probabilities += [nonzero.ravel(), every]
        return super().digits(at, v, nonzero, positive)


@pytest.fixture(scope="module")
def watched(prior: IntegerPrior) -> tuple[Watcher, Values, npt.NDArray[np.bool_]]:
    inside = grid_of(9, 12)
    n = some_values(inside, 0, seed=5)
    n[4, 4] = 0
    n[4, 5, 0], n[4, 5, 1:] = 27, 0  # nothing after the first stage
    coder = Watcher(n, 0)
    walk(prior, 0, inside, coder)
    return coder, n, inside


Watched = tuple[Watcher, Values, npt.NDArray[np.bool_]]


def test_tokens_are_asked_before_every_stage_until_they_stop(watched: Watched) -> None:
    coder, _, inside = watched
    order = stages(PRIOR, some_planes().numpy(), 0)
    asked: dict[int, list[int]] = defaultdict(list)
    stopped: dict[int, int] = {}
    for at, stops in coder.asked:
        for token, stop in zip(at.tokens.tolist(), stops.tolist(), strict=True):
            assert token not in stopped
            asked[token].append(at.stage.index)
            if stop:
                stopped[token] = at.stage.index
    indices = [stage.index for stage in order]
    assert set(asked) == set(np.flatnonzero(inside.reshape(-1)))
    for token, seen in asked.items():
        assert seen == indices[: len(seen)]
        assert token in stopped or len(seen) == len(indices)
    columns = inside.shape[1]
    assert stopped[4 * columns + 4] == indices[0]
    assert stopped[4 * columns + 5] == indices[1]
    assert sum(token in stopped for token in asked) > 20


def test_no_digit_is_asked_for_after_the_stop_and_none_is_left_out(watched: Watched) -> None:
    coder, n, _ = watched
    planes = some_planes()[0].numpy()
    flat = n.reshape(-1, n.shape[-1])
    for (_, channel), seen in coder.digits_of.items():
        assert seen == list(range(planes[channel] - 1, -1, -1))[: len(seen)]
    for token, channel in zip(*np.nonzero(flat), strict=True):
        assert (int(token), int(channel)) in coder.digits_of


def test_passes_alternate_between_the_lattices(watched: Watched) -> None:
    coder, _, inside = watched
    columns = inside.shape[1]
    places = []
    for at, _ in coder.asked:
        parities = set(((at.tokens // columns + at.tokens % columns) % 2).tolist())
        assert len(parities) == 1
        places.append((at.stage.index, parities.pop()))
    assert places == sorted(places) and len(set(places)) == len(places)
    levels_of = {at.stage.index: at.level for at, _ in coder.asked}
    groups = levels(stages(PRIOR, some_planes().numpy(), 0))
    assert levels_of == {s.index: i for i, group in enumerate(groups) for s in group}


def test_chances_are_probabilities_that_depend_on_what_is_known(watched: Watched) -> None:
    coder, _, _ = watched
    probabilities = np.concatenate(coder.probabilities)
    assert probabilities.dtype == np.int32
    assert probabilities.min() >= 1 and probabilities.max() <= 65535
    assert len(np.unique(probabilities)) > 300


def test_a_coder_that_refuses_a_level_ends_the_walk(prior: IntegerPrior) -> None:
    class Short(Watcher):
        def begin_level(self, level: int) -> bool:
            return level < 2 and super().begin_level(level)

    inside = grid_of(4, 4)
    n = some_values(inside, 0)
    coder = Short(n, 0)
    values = walk(prior, 0, inside, coder)
    assert np.array_equal(values, 9 * np.rint(n / 9))
    assert {at.level for at, _ in coder.asked} == {0, 1}


def test_the_walk_does_not_change_the_prior(prior: IntegerPrior) -> None:
    before = {name: t.clone() for name, t in prior._t.items()}
    inside = grid_of(4, 4)
    encode(prior, some_values(inside, 0), 0, inside)
    assert all(torch.equal(before[name], t) for name, t in prior._t.items())


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("depths", [(), (2, 1, 0)])
@pytest.mark.parametrize("has_context", [False, True])
def test_loops_code_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, int8: bool, depths: tuple[int, ...], has_context: bool
) -> None:
    """Of a prior without attention, whose blocks loops run too, at every step and with a team."""
    config = replace(PRIOR, attention=False, depths=depths, context=8 * has_context)
    exact = IntegerPrior(config, quantize_prior(random_prior(3, config)), int8=int8)
    inside = grid_of(21, 18)
    with seeded(2):
        context = torch.randint(-7, 8, (1, *inside.shape, 8)) if has_context else None
    for step in STEPS:
        n = some_values(inside, step)
        n[5:9, 3:] = 0
        found = []
        ways = ((False, False, False), (True, False, False), (True, True, False))
        for wanted, shorts, has_team in (*ways, (True, False, True), (True, True, True)):
            use_loops(monkeypatch, wanted, shorts=shorts)
            coder = plain_encoder(n, step)
            with team_of(exact.device) if has_team else nullcontext():
                walk(exact, step, inside, coder, context=context)
            found.append(coder.payloads())
        assert all(payloads == found[0] for payloads in found)
        decoded = walk(exact, step, inside, DecodingCoder(found[0]), context=context)
        assert np.array_equal(decoded, n)


def test_pieces_that_are_worked_on_twice_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team does pieces again that seem late; here all of them do."""
    monkeypatch.setattr("bsqcodec.machine.team.OVERDUE", 0)
    monkeypatch.setattr("bsqcodec.machine.team.MAX_LOST_SECONDS", 10**9)
    monkeypatch.setattr("bsqcodec.models.prior.integer_blocks.COMPILED_TOKENS", 16)
    monkeypatch.setattr("bsqcodec.models.prior.integer.COMPILED_TOKENS", 16)
    config = replace(PRIOR, attention=False)
    exact = IntegerPrior(config, quantize_prior(random_prior(3, config)))
    inside = grid_of(40, 40)
    n = some_values(inside, 100)
    expected = encode(exact, n, 100, inside)[0]
    before = thread_count()
    set_thread_count(3)
    try:
        for _ in range(3):
            with team_of(exact.device):
                assert encode(exact, n, 100, inside)[0] == expected
    finally:
        set_thread_count(before)
