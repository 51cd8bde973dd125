"""What an encoder may be asked for."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("20000", 20_000),
        ("20k", 20_000),
        ("20K", 20_000),
        ("20kB", 20_000),
        ("1.5M", 1_500_000),
        ("1.5 MB", 1_500_000),
        (" 2G ", 2_000_000_000),
        (".5k", 500),
        ("3.", 3),
        ("20Ki", 20_480),
        ("1MiB", 1_048_576),
        ("1.5Ki", 1536),
        ("1.9", 1),
        ("300b", 300),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "1e3", "10x", "1 0", "1,5k", "0x10", "1kk", "nan", "1k\n2"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0.4", "0k", "0.0009k"])
def test_less_than_a_byte_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="less than a byte"):
        parse_size(text)


@given(st.integers(1, 10**7))
def test_sizes_read_back_as_they_are_written(size: int) -> None:
    assert parse_size(str(size)) == size
    assert parse_size(f"{size}k") == 1000 * size
    assert parse_size(f"{size}Ki") == 1024 * size


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Quality, -0.1),
        (Quality, 100.1),
        (Quality, math.nan),
        (BitsPerPixel, 0.0),
        (BitsPerPixel, -1.0),
        (BitsPerPixel, math.inf),
        (BitsPerPixel, math.nan),
        (Size, 0),
        (Size, -5),
        (Psnr, 0.0),
        (Psnr, math.inf),
        (Psnr, math.nan),
    ],
)
def test_impossible_targets_are_refused(kind: Callable[[float], object], value: float) -> None:
    with pytest.raises(ValueError, match="outside|not a positive|not positive"):
        kind(value)


@pytest.mark.parametrize("target", [Quality(0), Quality(100), BitsPerPixel(0.01), Size(1), Psnr(9)])
def test_possible_targets_are_taken(target: object) -> None:
    assert target == type(target)(*vars(target).values())
