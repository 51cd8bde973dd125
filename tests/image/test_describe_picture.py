"""The description of a file: facts, text, damaged files, and no heavy imports."""

import io
import json
import subprocess
import sys

import pytest

from bsqcodec.errors import ChecksumError, FormatError, LimitError, TruncatedError
from bsqcodec.format.image_container import Chunk, ChunkKind, Colour, Header, pack
from bsqcodec.image.describe_picture import describe_picture, format_picture_lines

HEADER = Header(bytes.fromhex("0123456789abcdef"), 64, 32, Colour.GRAY, 40, 2, 3)
CHUNKS = (
    Chunk(ChunkKind.ICC, b"icc"),
    Chunk(b"q", b"later"),
    Chunk(ChunkKind.LEVEL, bytes(200)),
    Chunk(ChunkKind.LEVEL, bytes(10)),
    Chunk(ChunkKind.ALPHA, b"\x01png"),
)
FILE = pack(HEADER, CHUNKS, 0x1234ABCD)


def test_facts_of_a_whole_file() -> None:
    facts = describe_picture(FILE)
    assert facts == {
        "format_version": 1,
        "model_id": "0123456789abcdef",
        "look": None,
        "width": 64,
        "height": 32,
        "colour": "gray",
        "step": 40,
        "first_level": 3,
        "levels": 2,
        "levels_present": 2,
        "file_bytes": len(FILE),
        "bpp": 8 * len(FILE) / (64 * 32),
        "overhead_bytes": len(FILE) - 222,
        "chunks": [
            {"kind": "i", "name": "ICC", "bytes": 3},
            {"kind": "q", "name": "unknown 'q'", "bytes": 5},
            {"kind": "L", "name": "level 3", "bytes": 200},
            {"kind": "L", "name": "level 4", "bytes": 10},
            {"kind": "A", "name": "alpha", "bytes": 4},
        ],
        "icc_bytes": 3,
        "exif_bytes": None,
        "xmp_bytes": None,
        "alpha": {"mode": "lossless", "bytes": 4},
        "symbols_crc": "1234abcd",
        "truncated": False,
        "problem": None,
        "unread_bytes": 0,
    }
    assert json.loads(json.dumps(facts)) == facts


def test_stream_gives_the_same() -> None:
    assert describe_picture(io.BytesIO(FILE)) == describe_picture(FILE)


def test_lines() -> None:
    assert format_picture_lines(describe_picture(FILE)) == "\n".join(
        [
            "format         bsq version 1",
            "model          0123456789abcdef",
            "size           64 x 32 pixels, gray",
            "step           40",
            "levels         2 from level 3",
            f"file           {len(FILE)} bytes, {8 * len(FILE) / 2048:.4f} bpp",
            f"overhead       {len(FILE) - 222} bytes",
            "  ICC          3 bytes",
            "  unknown 'q'  5 bytes",
            "  level 3      200 bytes",
            "  level 4      10 bytes",
            "  alpha        4 bytes",
            "metadata       ICC",
            "alpha          lossless, 4 bytes",
        ]
    )


@pytest.mark.parametrize(
    ("payload", "mode"),
    [(b"\x00\xff", "constant"), (b"\x01", "lossless"), (b"\x07", "mode 7"), (b"", "empty")],
)
def test_alpha_modes(payload: bytes, mode: str) -> None:
    facts = describe_picture(pack(HEADER, [*CHUNKS[:4], Chunk(ChunkKind.ALPHA, payload)], 0))
    assert facts["alpha"] == {"mode": mode, "bytes": len(payload)}


def test_picture_without_anything() -> None:
    facts = describe_picture(pack(Header(bytes(8), 1, 1, Colour.RGB, 0, 0), [], 0))
    assert facts["colour"] == "rgb"
    assert facts["chunks"] == []
    assert facts["overhead_bytes"] == facts["file_bytes"] == 37
    assert "metadata  none" in format_picture_lines(facts)


@pytest.mark.parametrize("length", range(27, len(FILE)))
def test_cut_files_are_described(length: int) -> None:
    facts = describe_picture(io.BytesIO(FILE[:length]))
    assert facts["truncated"]
    assert facts["symbols_crc"] is None
    assert facts["file_bytes"] == length
    payload_bytes = sum(chunk["bytes"] for chunk in facts["chunks"])
    assert facts["overhead_bytes"] + payload_bytes + facts["unread_bytes"] == length
    assert "problem" in format_picture_lines(facts)


def test_damage_and_what_lies_behind_it_is_counted() -> None:
    data = bytearray(FILE)
    data[-30] ^= 1
    facts = describe_picture(io.BytesIO(data))
    assert facts["levels_present"] == 1
    assert facts["file_bytes"] == len(FILE)
    assert facts["problem"].startswith("the level 4 chunk is damaged")
    assert "levels         2 from level 3, 1 present" in format_picture_lines(facts)
    assert "incomplete" in format_picture_lines(facts)


def test_data_after_the_end_is_counted() -> None:
    facts = describe_picture(FILE + bytes(1000))
    assert not facts["truncated"]
    assert facts["unread_bytes"] == 1000
    assert facts["overhead_bytes"] == len(FILE) - 222
    assert "(whole, 1000 bytes unread)" in format_picture_lines(facts)


def test_errors() -> None:
    with pytest.raises(LimitError):
        describe_picture(FILE, max_pixels=100)
    with pytest.raises(FormatError, match="not a .bsq file"):
        describe_picture(b"plain text")
    with pytest.raises(TruncatedError):
        describe_picture(FILE[:20])
    with pytest.raises(ChecksumError, match="header"):
        describe_picture(FILE[:10] + b"?" + FILE[11:])


def test_nothing_heavy_is_imported() -> None:
    heavy = "[m for m in ('torch', 'numpy', 'PIL') if m in sys.modules]"
    code = f"import sys, bsqcodec.image.describe_picture; print({heavy})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
