"""Range coding: golden words, round trips, and a length within words of the ideal."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.entropy.range_coder import PRECISION, BitDecoder, BitEncoder
from bsqcodec.errors import FormatError

Bits = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.int32]

COUNT = 200
PATTERNS = {
    "fair": (np.arange(COUNT) * 7 % 11 < 5, np.full(COUNT, 32768)),
    "skewed": (np.arange(COUNT) % 40 == 3, np.full(COUNT, 1638)),
    "varied": (np.arange(COUNT) ** 2 % 13 < 6, 1 + np.arange(COUNT) * 327),
    "certain": (np.arange(COUNT) % 2 == 1, np.where(np.arange(COUNT) % 2 == 1, 65535, 1)),
    "surprising": (np.arange(18) % 2 == 0, np.where(np.arange(18) % 2 == 1, 65535, 1)),
    "empty": (np.zeros(0, bool), np.zeros(0)),
}
GOLDEN = {
    "fair": "9296b4a4231ef1ca118f78c488473ce2c4231ef1e2118f780000b53b",
    "skewed": "a05986e95ea66b85",
    "varied": "ffffffff513b6bede39a8ab42fb37f93714ca7c83d57ef73aabbd3b6a1912054c4bed1795ddb47d0",
    "certain": "e7d86300",
    "surprising": "00fffeff0200fffe00fefe00fffcfe01fefbfe02fdfafe03fcf9fe04fbf8fe05f9f7fe06",
    "empty": "",
}
"""What constriction 0.4 wrote, as little-endian words: files must stay readable."""


def pattern(name: str) -> tuple[Bits, Probabilities]:
    bits, probabilities = PATTERNS[name]
    return np.asarray(bits, bool), np.asarray(probabilities, np.int32)


def coded(*parts: tuple[Bits, Probabilities]) -> tuple[bytes, float]:
    encoder = BitEncoder()
    for bits, probabilities in parts:
        encoder.encode(bits, probabilities)
    return encoder.finish(), encoder.ideal_bits


def ideal(bits: Bits, probabilities: Probabilities) -> float:
    """Sum of -log2 of the probabilities, one by one."""
    pairs = zip(bits.tolist(), probabilities.tolist(), strict=True)
    return sum(-math.log2((k if bit else PRECISION - k) / PRECISION) for bit, k in pairs)


@pytest.mark.parametrize("at_once", [1, 64, 10**6])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_words(name: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsqcodec.entropy.range_coder.CHUNK_SYMBOLS", at_once)
    bits, probabilities = pattern(name)
    data, _ = coded((bits, probabilities))
    assert data.hex() == GOLDEN[name]
    assert np.array_equal(BitDecoder(data).decode(probabilities), bits)


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(1, PRECISION - 1)), max_size=60), max_size=5
    )
)
def test_round_trip_in_parts(parts: list[list[tuple[bool, int]]]) -> None:
    arrays = [
        (np.array([b for b, _ in part], bool), np.array([k for _, k in part], np.int32))
        for part in parts
    ]
    data, bits = coded(*arrays)
    decoder = BitDecoder(data)
    for wanted, probabilities in arrays:
        found = decoder.decode(probabilities)
        assert found.dtype == bool and np.array_equal(found, wanted)
    assert bits == pytest.approx(sum(ideal(*part) for part in arrays))
    assert decoder._decoder.maybe_exhausted()


@given(st.integers(1, PRECISION - 1), st.integers(0, 10**6))
def test_parts_do_not_matter(probability: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    bits = generator.random(50) < probability / PRECISION
    probabilities = np.full(50, probability, np.int32)
    cut = int(generator.integers(0, 51))
    whole = coded((bits, probabilities))
    parts = coded((bits[:cut], probabilities[:cut]), (bits[cut:], probabilities[cut:]))
    assert parts[0] == whole[0] and parts[1] == pytest.approx(whole[1])


@pytest.mark.parametrize("count", [1, 100, 5000, 50_000])
@pytest.mark.parametrize("skew", [0.02, 0.5, 8.0])
def test_overhead_is_at_most_two_words_and_a_thousandth(count: int, skew: float) -> None:
    generator = np.random.default_rng(count)
    p = generator.beta(skew, skew, count)
    probabilities = np.clip(p * PRECISION, 1, PRECISION - 1).astype(np.int32)
    bits = generator.random(count) < probabilities / PRECISION
    data, bits_wanted = coded((bits, probabilities))
    assert bits_wanted == pytest.approx(ideal(bits, probabilities))
    assert bits_wanted - 1 <= 8 * len(data) <= 1.001 * bits_wanted + 64


def test_every_probability_is_coded_at_its_price() -> None:
    """k / 65536 is used as it is: 1000 unlikely bits cost 16 bits each, not more or less."""
    data, bits = coded((np.ones(1000, bool), np.ones(1000, np.int32)))
    assert bits == pytest.approx(16_000)
    assert 16_000 - 32 <= 8 * len(data) <= 16_000 + 64
    data, _ = coded((np.ones(1000, bool), np.full(1000, PRECISION - 1, np.int32)))
    assert len(data) <= 8


@pytest.mark.parametrize("length", [1, 2, 3, 5, 4001])
def test_data_that_is_no_whole_words_is_refused(length: int) -> None:
    with pytest.raises(FormatError, match=f"{length} bytes, not a multiple of 4"):
        BitDecoder(bytes(length))


def test_words_left_over_are_noticed() -> None:
    bits, probabilities = pattern("fair")
    data, _ = coded((bits, probabilities))
    decoder = BitDecoder(data + bytes(range(1, 17)))
    assert not decoder._decoder.maybe_exhausted()
    assert np.array_equal(decoder.decode(probabilities), bits)
    assert not decoder._decoder.maybe_exhausted()


@pytest.mark.parametrize("name", ["fair", "varied"])
def test_missing_words_give_other_bits_but_no_error(name: str) -> None:
    bits, probabilities = pattern(name)
    data, _ = coded((bits, probabilities))
    found = BitDecoder(data[:4]).decode(probabilities)
    assert found.shape == bits.shape and not np.array_equal(found, bits)
    assert np.array_equal(found[:3], bits[:3])


def test_nothing_is_asked_of_an_empty_decoder() -> None:
    assert BitDecoder(b"").decode(np.zeros(0, np.int32)).shape == (0,)
    assert BitDecoder(b"")._decoder.maybe_exhausted()
