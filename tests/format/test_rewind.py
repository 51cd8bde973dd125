"""Going back in a stream: the same bytes again, in any order of reads and rewinds."""

import io
import random

import pytest

from bsqcodec.errors import SeekError, TruncatedError
from bsqcodec.format.rewind import RewindReader, is_seekable, seekable

from .video_files import OnlyRead

DATA = bytes(range(256)) * 4


def test_any_rewinds_give_the_bytes_that_stand_there() -> None:
    rng = random.Random(1)
    for _ in range(200):
        reader = RewindReader(OnlyRead(DATA, rng.randrange(1, 300)), offset=100)
        marked = None
        for _ in range(30):
            place = reader.consumed - 100
            action = rng.randrange(5)
            if action == 0:
                reader.mark()
                marked = place
            elif action == 1 and marked is not None:
                marked = rng.randrange(marked, place + 1)
                reader.rewind(100 + marked)
            else:
                count = rng.choice((0, 1, 7, 200))
                assert reader.up_to(count) == DATA[place : place + count]


def test_failed_reads_can_be_taken_back() -> None:
    reader = RewindReader(b"abc")
    reader.mark()
    with pytest.raises(TruncatedError):
        reader.exactly(5, "it")
    reader.rewind(1)
    assert reader.up_to(9) == b"bc"


def test_what_was_not_remembered_is_gone() -> None:
    reader = RewindReader(b"abcdef")
    reader.up_to(2)
    reader.mark()
    reader.up_to(2)
    for place in (1, 5):
        with pytest.raises(ValueError, match="cannot go back"):
            reader.rewind(place)
    reader.forget()
    with pytest.raises(ValueError, match="cannot go back"):
        reader.rewind(3)


def test_seekable() -> None:
    stream = io.BytesIO(b"")
    assert is_seekable(stream)
    assert seekable(stream) is stream
    assert not is_seekable(OnlyRead(b""))
    with pytest.raises(SeekError, match="cannot seek"):
        seekable(OnlyRead(b""))
