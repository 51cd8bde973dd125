"""Ten thousand hostile files through the whole decoder: a clear error or a picture, no more."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bsqcodec.errors import (
    BsqError,
    ChecksumError,
    FormatError,
    LimitError,
    MediaError,
    NotCodedError,
    TruncatedError,
    UnsupportedVersionError,
    WeightsError,
)
from bsqcodec.format.image_container import Chunk, ChunkKind, Container, unpack
from bsqcodec.format.memory_limit import ALWAYS_PADDED
from bsqcodec.format.varint import encode_varint
from bsqcodec.image.codec import Codec
from bsqcodec.media.image.image_writer import write_picture

from ..golden_files import integers, model_path, transform_weights
from ..hostile import Parts, bombs, parts_of, resealed, sealed
from ..injuries import injured
from ..reference_decoder import ReferencePrior, decode_integers

NAMES = ["alpha-constant", "alpha-mask", "pixel", "metadata", "finest"]  # of one window each
MAX_PIXELS = 2000
INJURED, RESEALED = 9000, 1200
MEMORY_MIB = 16
"""By how much the peak memory of a process may grow over hostile files of some kilobytes."""


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test that takes five minutes."""

    def give_up(*_: object) -> None:
        raise TimeoutError("a decoder hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def files(golden: Path) -> list[bytes]:
    return [(golden / f"{name}.bsq").read_bytes() for name in NAMES]


@pytest.fixture(scope="module")
def parts(files: list[bytes]) -> list[Parts]:
    return [parts_of(unpack(data)) for data in files]


def outcome(codec: Codec, data: bytes, **options: object) -> str:
    """What became of a file: "picture", or the name of an error, both checked."""
    try:
        decoded = codec.decode(data, max_pixels=MAX_PIXELS, **options)  # type: ignore[arg-type]
    except (FormatError, LimitError, WeightsError) as error:
        text = str(error)
        assert text.strip() and "\n" not in text and len(text) < 400
        return type(error).__name__
    picture, header = decoded.picture, decoded.header
    shape = (header.height, header.width)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == (shape if header.colour == 0 else (*shape, 3))
    assert picture.alpha is None or picture.alpha.shape == shape
    try:
        write_picture(picture, io.BytesIO())
    except MediaError:
        pass  # metadata that PNG cannot hold
    return "picture"


def test_sealing_what_was_not_changed_gives_the_file(
    files: list[bytes], parts: list[Parts]
) -> None:
    assert [sealed(taken) for taken in parts] == files


def fill_with_noise(data: bytearray, rng: random.Random) -> None:
    """Nothing but noise from some boundary on; rarely, or there would be little else."""
    if rng.randrange(4) == 0:
        data[rng.choice((0, 8, 9, 29)) :] = rng.randbytes(rng.randrange(200))


def test_injured_files(codec: Codec, files: list[bytes]) -> None:
    """Flips, cuts, splices, noise: whatever it is, the checksums notice."""
    generator = random.Random(1)
    found: Counter[str] = Counter()
    while found.total() < INJURED:
        data = injured(files, generator, others=[fill_with_noise])
        if data not in files:
            found[outcome(codec, data)] += 1
    assert set(found) == {
        error.__name__
        for error in (
            *(ChecksumError, FormatError, LimitError, NotCodedError),
            *(TruncatedError, UnsupportedVersionError),
        )
    }
    assert min(found.values()) >= 10


def test_injured_files_decoded_as_far_as_they_go(codec: Codec, files: list[bytes]) -> None:
    generator = random.Random(2)
    found: Counter[str] = Counter()
    while found.total() < 300:
        data = injured(files, generator, others=[fill_with_noise])
        if data not in files:
            found[outcome(codec, data, partial=True)] += 1
    assert found["picture"] > 100
    assert found["ChecksumError"] > 10


def test_hostile_contents_under_right_checksums(codec: Codec, parts: list[Parts]) -> None:
    """Files that pass the container's checks, so that the range decoder and the prior see them."""
    generator = random.Random(3)
    found: Counter[str] = Counter()
    for _ in range(RESEALED):
        data = resealed(generator.choice(parts), generator)
        options = generator.choice(({}, {"partial": True}, {"partial": True}, {"levels": 2}))
        found[outcome(codec, data, **options)] += 1
    assert found["picture"] >= 300
    assert found["FormatError"] >= 100
    for error in (LimitError, TruncatedError, UnsupportedVersionError, WeightsError):
        assert found[error.__name__] >= 3
    assert found["ChecksumError"] < 50  # only where a chunk claims a wrong length


def test_hostile_bits_mean_the_same_to_an_independent_decoder(
    codec: Codec, parts: list[Parts]
) -> None:
    """Also bits that no encoder writes lead both to the same integers, or both to an error."""
    generator = random.Random(4)
    reference = ReferencePrior(model_path())
    weights = transform_weights(codec)
    same = refused = 0
    for _ in range(60):
        taken = generator.choice(parts)
        header = unpack(sealed(taken)).header
        payloads = [generator.randbytes(4 * generator.randrange(10)) for _ in range(header.levels)]
        if generator.randrange(4) == 0:
            payloads[-1] = b"\xff" * 12  # beyond what the range of a coder can reach
        chunks = tuple(Chunk(ChunkKind.LEVEL, payload) for payload in payloads)
        try:
            values = integers(weights, Container(header, chunks, False))
        except FormatError:
            with pytest.raises(ValueError, match="damaged"):
                decode_integers(reference, header.step, header.width, header.height, payloads)
            refused += 1
        else:
            again = decode_integers(reference, header.step, header.width, header.height, payloads)
            np.testing.assert_array_equal(values, again)
            same += 1
    assert same > 10 and refused > 3


@pytest.mark.parametrize("data", [b"", b"\x89", b"BM", bytes(100), b"\xff" * 5000])
def test_what_is_no_bsq_file_at_all(codec: Codec, data: bytes) -> None:
    for source in (data, io.BytesIO(data)):
        with pytest.raises(FormatError):
            codec.decode(source, partial=True)


# Memory -------------------------------------------------------------------------------------------

MEASURE = """
import sys
from pathlib import Path
from benchmarks.memory_probe import peak_rss_bytes
from bsqcodec.image.codec import Codec
from bsqcodec.errors import BsqError
peak = lambda: peak_rss_bytes() // 2**20
model, good, *bad = map(Path, sys.argv[1:])
codec = Codec(model, device="cpu")
codec.decode(good.read_bytes())
before = peak()
for path in bad:
    for partial in (False, True):
        try:
            codec.decode(path.read_bytes(), partial=partial)
            said = "picture"
        except BsqError as error:
            said = f"{type(error).__name__}: {error}"
        print(path.name, partial, peak() - before, said, sep="|")
"""


def test_bombs_cost_no_memory(golden: Path, parts: list[Parts], tmp_path: Path) -> None:
    """Default limits. A process of its own, because the peak of this one is not of this test."""
    made = bombs(parts[0])
    for name, data in made.items():
        assert len(data) < 80_000
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [
            *(sys.executable, "-c", MEASURE, model_path(), golden / "alpha-constant.bsq"),
            *(tmp_path / name for name in made),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert len(rows) == 2 * len(made)
    for name, partial, growth, said in rows:
        assert int(growth) < MEMORY_MIB, f"{name} takes {growth} MiB"
        harmless = name == "alpha-with-too-many-rows" or (partial == "True" and "-of-" in name)
        assert harmless or said != "picture", name


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (2**31 - 1, 2**31 - 1, "over the limit of 256000000"),
        (16001, 16000, "over the limit of 256000000"),
        (250_000_000, 1, "is padded to 32000000000 pixels, over the limit of 512000000"),
    ],
)
def test_sizes_over_the_limits(
    codec: Codec, parts: list[Parts], width: int, height: int, message: str
) -> None:
    data = sealed(replace(parts[0], width=encode_varint(width), height=encode_varint(height)))
    with pytest.raises(LimitError, match=message):
        codec.decode(data)


def test_small_pictures_may_always_be_padded(codec: Codec, parts: list[Parts]) -> None:
    """A line of 4000 pixels is padded to 128 times as many, and that is fine."""
    data = codec.encode(np.zeros((1, 4000, 3), np.uint8)).data
    assert codec.decode(data, max_pixels=4000).picture.width == 4000
    assert 128 * 4096 < ALWAYS_PADDED
    with pytest.raises(BsqError, match="4000 x 1 = 4000 pixels, over the limit of 3999"):
        codec.decode(data, max_pixels=3999)
