"""Exact coding of bits: golden logits, round trips, the float network, and what is known when."""

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from bsqcodec.errors import FormatError, WeightsError
from bsqcodec.models.bsq.bit_order import BitPriorConfig, Pass, lattice_of
from bsqcodec.models.bsq.bit_walk import SubCodeDecoder, SubCodeEncoder, walk_bits
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior, quantize_bit_prior
from bsqcodec.models.prior import integer_blocks
from bsqcodec.models.prior.network import LOGIT, STREAM, QuantLinear
from bsqcodec.training.bit_prior import coded_bits

from ...tiny_models import BSQ_PRIOR, fixed_bit_tensors, random_bit_prior

GOLDEN = [1569331049, 752850772, 2687193872]


def integer_prior(int8: bool | None = None, config: BitPriorConfig = BSQ_PRIOR) -> IntegerBitPrior:
    return IntegerBitPrior(config, quantize_bit_prior(random_bit_prior(config=config)), int8=int8)


def some_bits(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((h * w, 18)) < 0.4


def coded(prior: IntegerBitPrior, bits: np.ndarray, inside: np.ndarray) -> SubCodeEncoder:
    encoder = SubCodeEncoder(bits, prior.config.sub_code)
    signs = walk_bits(prior, inside, encoder)
    expected = np.where(inside[..., None], 2 * bits.reshape(signs.shape).astype(int) - 1, 0)
    assert np.array_equal(signs, expected)
    return encoder


@pytest.fixture
def threads() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("shape", [(8, 8), (16, 24), (1, 1), (5, 11)])
def test_round_trip(shape: tuple[int, int]) -> None:
    h, w = (-(-n // 8) * 8 for n in shape)
    inside = np.zeros((h, w), bool)
    inside[: shape[0], : shape[1]] = True
    prior = integer_prior()
    encoder = coded(prior, some_bits(h, w), inside)
    payloads = encoder.payloads()
    assert len(payloads) == 3
    assert sum(map(len, payloads)) * 8 <= sum(encoder.ideal_bits) + 3 * 64
    for kept in range(4):
        signs = walk_bits(prior, inside, SubCodeDecoder(payloads[:kept], 6))
        expected = np.where(inside[..., None], 2 * some_bits(h, w).reshape(h, w, 18) - 1.0, 0)
        expected[..., 6 * kept :] = 0
        assert np.array_equal(signs, expected)


def test_words_are_as_they_were() -> None:
    """Weights from SHAKE-256: any other bytes than these make old files unreadable."""
    inside = np.ones((16, 24), bool)
    prior = IntegerBitPrior(BSQ_PRIOR, fixed_bit_tensors(BSQ_PRIOR))
    payloads = coded(prior, some_bits(16, 24), inside).payloads()
    assert [zlib.crc32(payload) for payload in payloads] == GOLDEN


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("int8", [False, True])
def test_threads_and_kinds_of_products_change_nothing(
    int8: bool, count: int, threads: None
) -> None:
    inside = np.ones((16, 16), bool)
    expected = coded(integer_prior(), some_bits(16, 16), inside).payloads()
    torch.set_num_threads(count)
    prior = integer_prior(int8=int8)
    assert coded(prior, some_bits(16, 16), inside).payloads() == expected


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_number_of_windows_at_once_changes_nothing(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = np.ones((24, 16), bool)
    expected = coded(integer_prior(), some_bits(24, 16), inside).payloads()
    monkeypatch.setattr(integer_blocks, "CHUNK", chunk)
    assert coded(integer_prior(), some_bits(24, 16), inside).payloads() == expected


def test_a_callers_autocast_changes_nothing() -> None:
    inside = np.ones((8, 8), bool)
    expected = coded(integer_prior(), some_bits(8, 8), inside).payloads()
    with torch.autocast("cpu", torch.bfloat16):
        assert coded(integer_prior(), some_bits(8, 8), inside).payloads() == expected


def signs_and_outside(h: int, w: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    signs = torch.randint(-1, 2, (1, h, w, 18), generator=generator).float()
    return signs, torch.randint(0, 2, (1, h, w), generator=generator)


@pytest.mark.parametrize("attention", [True, False])
def test_integers_are_the_float_network_with_its_roundings(attention: bool) -> None:
    """But for the logits' own rounding to 1/64, and what follows from very few ties."""
    config = BitPriorConfig(width=32, heads=2, blocks=2, hidden=64, attention=attention)
    prior = random_bit_prior(config=config)
    for module in prior.modules():
        if isinstance(module, QuantLinear):
            module.bias.zero_()
    for embedding in (prior.embed_pass, prior.embed_token):
        embedding.weight.copy_(torch.round(embedding.weight * STREAM) / STREAM)
    exact = IntegerBitPrior(config, quantize_bit_prior(prior))
    signs, outside = signs_and_outside(16, 16)
    expected = prior(signs, torch.tensor([5]), outside, quantized=True)[0]
    x = exact.trunk(signs, 5, outside).view(256, -1)
    for sub_code in range(3):
        probability = exact.trees(x, sub_code).double() / 65536
        logits = torch.logit(probability).view(16, 16, 63)
        wanted = expected[..., sub_code, :]
        assert wanted.std() > 0.1
        error = (logits - wanted).abs()
        assert error.quantile(0.99) < 1.5 / LOGIT and error.mean() < 0.5 / LOGIT


FOLLOWING = replace(BSQ_PRIOR, earlier_frames=2, earlier_blocks=1)


def earlier_signs(count: int) -> list[npt.NDArray[np.int8]]:
    generator = np.random.default_rng(count)
    return [generator.choice([-1, 1], (16, 24, 18)).astype(np.int8) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2])
def test_what_earlier_frames_tell_is_the_same_in_integers(count: int) -> None:
    prior = random_bit_prior(config=FOLLOWING)
    assert prior.earlier is not None
    for module in prior.modules():
        if isinstance(module, QuantLinear):
            module.bias.zero_()
    for embedding in (prior.embed_pass, prior.embed_token, prior.earlier.embed_known):
        embedding.weight.copy_(torch.round(embedding.weight * STREAM) / STREAM)
    exact = IntegerBitPrior(FOLLOWING, quantize_bit_prior(prior))
    assert exact.earlier is not None
    frames = [torch.from_numpy(frame)[None].float() for frame in earlier_signs(count)]
    signs = torch.cat([*frames, *[torch.zeros_like(frames[0])] * (2 - count)], -1)
    expected = prior.earlier(signs, torch.tensor([count]), quantized=True)
    found = exact.earlier.stream(frames)
    assert expected.std() > 0.05
    error = (found / STREAM - expected).abs()
    assert error.quantile(0.99) <= 1 / STREAM and error.mean() < 0.1 / STREAM


def test_frames_after_others_go_there_and_back() -> None:
    """With the same frames before; with others the same bytes are other bits."""
    inside = np.ones((16, 24), bool)
    inside[:, 20:] = False
    prior = IntegerBitPrior(FOLLOWING, quantize_bit_prior(random_bit_prior(config=FOLLOWING)))
    payloads = {}
    for count in range(4):
        earlier = earlier_signs(count)
        coder = SubCodeEncoder(some_bits(16, 24), 6)
        written = walk_bits(prior, inside, coder, earlier=earlier)
        payloads[count] = coder.payloads()
        read = walk_bits(prior, inside, SubCodeDecoder(payloads[count], 6), earlier=earlier)
        assert np.array_equal(read, written)
    assert len({bytes(each[0]) for each in payloads.values()}) == 4
    third = [*earlier_signs(2), earlier_signs(1)[0]]  # is one frame more than it sees
    assert np.array_equal(
        walk_bits(prior, inside, SubCodeDecoder(payloads[2], 6), earlier=third),
        walk_bits(prior, inside, SubCodeDecoder(payloads[2], 6), earlier=third[:2]),
    )
    wrong = walk_bits(prior, inside, SubCodeDecoder(payloads[2], 6), earlier=third[1:])
    assert not np.array_equal(wrong, read)


def test_wanted_tokens_get_what_all_get() -> None:
    prior = integer_prior()
    signs, outside = signs_and_outside(24, 16)
    everything = prior.trunk(signs.clone(), 2, outside).view(-1, 32)
    wanted = torch.from_numpy(np.flatnonzero(lattice_of(24, 16, 4).ravel() == 2))
    some = prior.trunk(signs.clone(), 2, outside, wanted).view(-1, 32)
    assert torch.equal(some[wanted], everything[wanted])


class Watching(SubCodeEncoder):
    """Keeps the trees that it is given, by pass."""

    def __init__(self, bits: np.ndarray) -> None:
        super().__init__(bits, 6)
        self.trees: dict[int, np.ndarray] = {}

    def code(self, at: Pass, tokens: np.ndarray, trees: np.ndarray) -> np.ndarray:
        self.trees[at.index] = trees
        return super().code(at, tokens, trees)


def test_a_pass_sees_what_was_coded_before_and_nothing_else() -> None:
    prior = integer_prior()
    inside = np.ones((8, 8), bool)
    bits = some_bits(8, 8)
    first = Watching(bits)
    walk_bits(prior, inside, first)
    # other bits in the second sub-code of the first of its two lattices, passes 4 and 5
    other = bits.copy()
    mine = lattice_of(8, 8, 2).ravel() == 0
    other[mine, 6:12] = ~other[mine, 6:12]
    second = Watching(other)
    walk_bits(prior, inside, second)
    same = [np.array_equal(first.trees[i], second.trees[i]) for i in range(7)]
    assert same == [True, True, True, True, True, False, False]


def test_the_cost_is_what_training_says() -> None:
    prior = integer_prior()
    bits = some_bits(16, 16)
    encoder = coded(prior, bits, np.ones((16, 16), bool))
    tensor = torch.from_numpy(bits).view(1, 16, 16, 18)
    expected = coded_bits(random_bit_prior(), tensor) * 256
    assert encoder.ideal_bits == pytest.approx(expected.tolist(), rel=0.002)


def test_damaged_payloads_end_in_bits_or_an_error() -> None:
    prior = integer_prior()
    inside = np.ones((8, 8), bool)
    payloads = coded(prior, some_bits(8, 8), inside).payloads()
    generator = np.random.default_rng(0)
    for _ in range(20):
        damaged = [bytearray(payload) for payload in payloads]
        damaged[generator.integers(3)][generator.integers(4)] ^= int(generator.integers(1, 256))
        try:
            signs = walk_bits(prior, inside, SubCodeDecoder([bytes(d) for d in damaged], 6))
        except FormatError:
            continue
        assert (np.abs(signs) == 1).all()
    with pytest.raises(FormatError, match="multiple of 4"):
        walk_bits(prior, inside, SubCodeDecoder([b"abc"], 6))


def test_weights_that_could_be_inexact_are_refused() -> None:
    tensors = quantize_bit_prior(random_bit_prior())
    tensors["blocks.0.up.bias"] = tensors["blocks.0.up.bias"] + 2**24
    with pytest.raises(WeightsError, match="not exact"):
        IntegerBitPrior(BSQ_PRIOR, tensors)
