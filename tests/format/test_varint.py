"""Varints: known bytes, round trips, and one spelling only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.errors import FormatError, TruncatedError
from bsqcodec.format.varint import (
    MAX_VARINT,
    MAX_VARINT64,
    MAX_VARINT_BYTES,
    decode_signed,
    decode_varint,
    encode_signed,
    encode_varint,
    max_bytes,
)

KNOWN = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (300, "ac02"),
    (16383, "ff7f"),
    (16384, "808001"),
    (624485, "e58e26"),
    (2**28, "8080808001"),
    (MAX_VARINT, "ffffffff07"),
]


@pytest.mark.parametrize(("value", "spelling"), KNOWN)
def test_known_bytes(value: int, spelling: str) -> None:
    assert encode_varint(value).hex() == spelling
    assert decode_varint(bytes.fromhex(spelling)) == (value, len(spelling) // 2)


@given(st.integers(0, MAX_VARINT), st.binary(max_size=4), st.binary(max_size=4))
def test_round_trip_inside_other_data(value: int, before: bytes, after: bytes) -> None:
    coded = encode_varint(value)
    assert len(coded) <= MAX_VARINT_BYTES
    end = len(before) + len(coded)
    assert decode_varint(before + coded + after, len(before)) == (value, end)


@given(st.binary(max_size=8))
def test_any_bytes_have_at_most_one_spelling(data: bytes) -> None:
    try:
        value, end = decode_varint(data)
    except FormatError:
        return
    assert encode_varint(value) == data[:end]


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1, 2**64])
def test_writing_refuses_what_cannot_be_read(value: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        encode_varint(value)


@pytest.mark.parametrize(("value", "spelling"), KNOWN)
def test_every_cut_is_truncation(value: int, spelling: str) -> None:
    coded = bytes.fromhex(spelling)
    for length in range(len(coded)):
        with pytest.raises(TruncatedError):
            decode_varint(coded[:length])


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("8000", "needless"),
        ("8180808000", "needless"),
        ("8080808008", "over"),
        ("ffffffff7f", "over"),
        ("ffffffffff", "longer"),
        ("80" * 1000 + "01", "longer"),
    ],
)
def test_malformed(spelling: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        decode_varint(bytes.fromhex(spelling))
    assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-1001, "d10f"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_known_bytes_of_signed_integers(value: int, spelling: str) -> None:
    assert encode_signed(value).hex() == spelling
    assert decode_signed(bytes.fromhex(spelling)) == (value, len(spelling) // 2)


@given(st.integers(0, MAX_VARINT64), st.integers(-(2**63), 2**63 - 1))
def test_round_trip_of_64_bits(value: int, signed: int) -> None:
    coded = encode_varint(value, MAX_VARINT64)
    assert len(coded) <= max_bytes(MAX_VARINT64) == 10
    assert decode_varint(coded, 0, MAX_VARINT64) == (value, len(coded))
    assert decode_signed(encode_signed(signed))[0] == signed


@pytest.mark.parametrize("value", [-1, 2**64])
def test_writing_64_bits_refuses_what_cannot_be_read(value: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        encode_varint(value, MAX_VARINT64)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [("ff" * 9 + "02", "over"), ("ff" * 10, "longer"), ("80" * 9 + "00", "needless")],
)
def test_malformed_64_bits(spelling: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode_varint(bytes.fromhex(spelling), 0, MAX_VARINT64)
    with pytest.raises(TruncatedError):
        decode_varint(b"\xff" * 9, 0, MAX_VARINT64)
