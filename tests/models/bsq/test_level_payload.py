"""Payloads of levels: what is packed comes back, and damage to a slice leaves the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.errors import ChecksumError, FormatError, TruncatedError
from bsqcodec.models.bsq.level_payload import pack_slices, salvage_slices, unpack_slices

SLICES = [b"first slice", b"", b"third", bytes(200)]
PAYLOAD = pack_slices(SLICES)
TABLE = 4 * 5 + 1
"""Bytes of the table: one or two for a length, four for a checksum."""


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_what_is_packed_comes_back(slices: list[bytes]) -> None:
    payload = pack_slices(slices)
    assert unpack_slices(payload, len(slices)) == slices
    assert salvage_slices(payload, len(slices)) == slices


def test_the_bytes_are_as_specified() -> None:
    assert pack_slices([b"ab", b""]).hex() == "026d48839e" + "0000000000" + "6162"


@pytest.mark.parametrize("index", [0, 2, 3])
def test_damage_to_a_slice_leaves_the_others(index: int) -> None:
    data = bytearray(PAYLOAD)
    data[TABLE + sum(map(len, SLICES[:index])) + 1] ^= 4
    with pytest.raises(ChecksumError, match=f"slice {index} of a level is damaged"):
        unpack_slices(bytes(data), 4)
    found = salvage_slices(bytes(data), 4)
    assert found == [None if i == index else data for i, data in enumerate(SLICES)]


def test_a_cut_payload_keeps_the_slices_before_the_cut() -> None:
    cut = PAYLOAD[: TABLE + 14]
    with pytest.raises(TruncatedError):
        unpack_slices(cut, 4)
    assert salvage_slices(cut, 4) == [*SLICES[:2], None, None]
    assert salvage_slices(PAYLOAD[: TABLE - 1], 4) == [None] * 4
    assert salvage_slices(b"", 4) == [None] * 4


def test_more_than_was_packed_is_refused() -> None:
    with pytest.raises(FormatError, match="more data follows"):
        unpack_slices(PAYLOAD + b"x", 4)
    assert salvage_slices(PAYLOAD + b"x", 4) == SLICES


@given(st.binary(max_size=400), st.integers(0, 70))
def test_no_bytes_break_the_salvage(payload: bytes, count: int) -> None:
    assert len(salvage_slices(payload, count)) == count
