"""Files of tokens: exact both ways, in both formats, and nothing that does not fit together."""

import io
import json
import random
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from bsqcodec.errors import BsqError, FormatError, LimitError
from bsqcodec.format.token_file import (
    TokenFormat,
    Tokens,
    bits_of_codes,
    codes_of_bits,
    pack_tokens,
    token_format,
    unpack_tokens,
)

from ..injuries import injured

CODES = np.random.default_rng(0).integers(0, 2**18, (3, 5))
TOKENS = Tokens(CODES, 18, 8, "0123456789abcdef", 37, 20)
LIMIT = 10**6


@pytest.mark.parametrize("format", TokenFormat)
@pytest.mark.parametrize("gray", [False, True])
def test_what_is_packed_comes_back(format: TokenFormat, gray: bool) -> None:
    tokens = replace(TOKENS, gray=gray)
    data = pack_tokens(tokens, format)
    assert token_format(data[:16]) is format
    found = unpack_tokens(data, max_pixels=LIMIT)
    assert found.facts() == tokens.facts()
    assert np.array_equal(found.codes, CODES) and found.codes.dtype == np.int64


@given(st.integers(1, 62), st.integers(0, 2**32))
def test_codes_and_bits_are_each_others_inverse(bits: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**bits, (4, 3))
    each = bits_of_codes(codes, bits)
    assert each.shape == (4, 3, bits)
    assert np.array_equal(codes_of_bits(each), codes)
    assert int(each[0, 0, 0]) == int(codes[0, 0]) >> (bits - 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": CODES - CODES.max()}, "a code is -"),
        ({"bits": 12}, "outside 0..4095"),
        ({"codes": CODES[:2]}, "5 x 3 tokens of 8 x 8"),
        ({"codes": CODES / 2}, "not whole numbers"),
        ({"width": 0}, "width is 0"),
        ({"height": 2.5}, "height is 2.5"),
        ({"patch": True}, "patch is True"),
        ({"model": "0123"}, "16 hexadecimal digits"),
        ({"model": "zz23456789abcdef"}, "hexadecimal"),
        ({"gray": 1}, "neither true nor false"),
    ],
)
def test_what_does_not_fit_together_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TOKENS, **change)


def safetensors_file(facts: object, codes: np.ndarray = CODES) -> bytes:
    return save({"codes": codes}, {"bsqcodec": json.dumps(facts)})


def npz_file(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


FACTS = TOKENS.facts()


@pytest.mark.parametrize(
    "change",
    [{"format": "other"}, {"version": 2}, {"bits": 17, "patch": 9}, {"gray": None}, {"model": 7}],
)
def test_a_file_of_other_facts_is_refused(change: dict[str, Any]) -> None:
    files = [safetensors_file(FACTS | change)]
    if None not in change.values():
        files.append(npz_file(codes=CODES, **(FACTS | change)))
    for data in files:
        with pytest.raises(FormatError, match="the file of tokens cannot be used"):
            unpack_tokens(data, max_pixels=LIMIT)


@pytest.mark.parametrize("name", ["bits", "width", "format", "model"])
def test_a_missing_fact_is_named(name: str) -> None:
    facts = {key: value for key, value in FACTS.items() if key != name}
    for data in (safetensors_file(facts), npz_file(codes=CODES, **facts)):
        with pytest.raises(FormatError, match=f"'{name}' is missing"):
            unpack_tokens(data, max_pixels=LIMIT)


def test_a_file_of_something_else_is_refused() -> None:
    for data in (save({"a": CODES}), npz_file(a=CODES), b"", b"BSQ1", b"PK\x03\x04" + bytes(30)):
        with pytest.raises(FormatError):
            unpack_tokens(data, max_pixels=LIMIT)


@pytest.mark.parametrize("format", TokenFormat)
def test_a_large_picture_is_refused_by_the_limit(format: TokenFormat) -> None:
    with pytest.raises(LimitError, match="over the limit of 700"):
        unpack_tokens(pack_tokens(TOKENS, format), max_pixels=700)


def test_an_archive_that_claims_more_than_the_picture_has_is_not_unpacked() -> None:
    for data in (
        npz_file(codes=np.zeros(10**6, np.int64), **FACTS),
        npz_file(codes=CODES, more=np.zeros(10**6), **FACTS),
    ):
        with pytest.raises(FormatError, match="too large|more than the picture has tokens"):
            unpack_tokens(data, max_pixels=LIMIT)


@pytest.mark.parametrize("name", ["codes", "width"])
@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (99999, 99999)}\n", "has 8 bytes, not"),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (1, 2), }\n", "has 8 bytes, not an"),
        ("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}\n", "head that is not under"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", "head that is not under"),
        ("{'dmscr': '<i8', 'fortran_order': False, 'shape': (), }     }\n", "head that is not"),
        ("-" * 3000 + "1", "head that is not understood"),
        ("{'descr': '<i3', 'fortran_order': False, 'shape': (1,)}\n", "cannot be used"),
    ],
)
def test_a_head_that_lies_takes_no_memory(name: str, head: str, message: str) -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(npz_file(codes=CODES, **FACTS))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for member in old.namelist():
            claim = b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head.encode() + bytes(8)
            new.writestr(member, claim if member == f"{name}.npy" else old.read(member))
    with pytest.raises(FormatError, match=message):
        unpack_tokens(file.getvalue(), max_pixels=LIMIT)


def test_arrays_of_other_orders_are_read() -> None:
    """As NumPy writes them: big-endian, column by column."""
    for codes in (CODES.astype(">i8"), np.asfortranarray(CODES), CODES.astype("<u4")):
        tokens = unpack_tokens(npz_file(codes=codes, **FACTS), max_pixels=LIMIT)
        assert np.array_equal(tokens.codes, CODES) and tokens.codes.dtype == np.int64


def test_a_size_that_is_a_text_is_not_multiplied() -> None:
    facts = FACTS | {"width": "9" * 400, "height": 10**12}
    for data in (npz_file(codes=CODES, **facts), safetensors_file(facts)):
        with pytest.raises(FormatError, match="is no size of a picture"):
            unpack_tokens(data, max_pixels=LIMIT)


def test_pickled_objects_are_refused() -> None:
    with pytest.raises(FormatError):
        unpack_tokens(npz_file(codes=CODES, **(FACTS | {"model": None})), max_pixels=LIMIT)


@pytest.mark.parametrize("format", TokenFormat)
def test_damage_is_one_error_of_ours(format: TokenFormat) -> None:
    data = pack_tokens(TOKENS, format)
    for seed in range(2000):
        try:
            unpack_tokens(injured([data], random.Random(seed)), max_pixels=LIMIT)
        except BsqError as error:
            assert "\n" not in str(error)
