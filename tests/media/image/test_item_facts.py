"""What the boxes of HEIF and AVIF say: code points, depth, gain maps and other images."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from bsqcodec.media.image.image_reader import read_picture
from bsqcodec.media.image.item_facts import ItemFacts, read_item_facts
from bsqcodec.media.image.optional_formats import save_heif

SAMPLES = np.random.default_rng(5).integers(0, 256, (48, 64, 4), np.uint8)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big") + content)


def infe(number: int, kind: bytes, version: int = 2) -> bytes:
    width = ">H" if version == 2 else ">I"
    return full(b"infe", struct.pack(width, number) + b"\0\0" + kind + b"\0", version)


def nclx(*values: int) -> bytes:
    return box(b"colr", b"nclx" + struct.pack(">3H", *values) + b"\x80")


def file_of(
    items: dict[int, bytes], properties: list[bytes], links: dict[int, list[int]], *,
    primary: int = 1, wide: bool = False, parts: dict[int, list[int]] | None = None,
) -> io.BytesIO:  # fmt: skip
    """A file with nothing but its boxes. links: numbers of properties, from 1, by item."""
    version = 1 if wide else 0
    number = ">I" if wide else ">H"
    found = struct.pack(">I", len(links))
    for item, values in links.items():
        found += struct.pack(number, item) + bytes([len(values)])
        for value in values:
            found += struct.pack(">H", 0x8000 | value) if wide else bytes([0x80 | value])
    entries = [infe(item, kind, 3 if wide else 2) for item, kind in items.items()]
    count = struct.pack(">I" if wide else ">H", len(entries))
    links_box = b"".join(
        box(b"dimg", struct.pack(number, item) + struct.pack(">H", len(to))
            + b"".join(struct.pack(number, each) for each in to))
        for item, to in (parts or {}).items()
    )  # fmt: skip
    content = b"".join(
        (
            full(b"hdlr", bytes(20)),
            full(b"pitm", struct.pack(number, primary), version),
            full(b"iinf", count + b"".join(entries), version),
            full(b"iref", links_box, version),
            box(
                b"iprp",
                box(b"ipco", b"".join(properties)) + full(b"ipma", found, version, int(wide)),
            ),
        )
    )
    return io.BytesIO(box(b"ftyp", b"avif" + bytes(4)) + full(b"meta", content) + box(b"mdat", b""))


PIXI10 = full(b"pixi", bytes([3, 10, 10, 10]))


@pytest.mark.parametrize("wide", [False, True])
def test_facts_of_the_primary_item(wide: bool) -> None:
    file = file_of(
        {1: b"av01", 2: b"av01"},
        [nclx(9, 16, 9), PIXI10, nclx(1, 13, 6)],
        {1: [3], 2: [1, 2]},
        primary=2,
        wide=wide,
    )
    assert read_item_facts(file) == ItemFacts((9, 16, 9), False, 10)


def test_a_profile_and_a_gain_map_by_iso_21496() -> None:
    file = file_of({1: b"av01", 2: b"tmap"}, [box(b"colr", b"prof" + bytes(130))], {1: [1]})
    assert read_item_facts(file) == ItemFacts(None, True, 8, True)


def test_a_grid_is_as_deep_as_its_tiles() -> None:
    hvcc = bytearray(23)
    hvcc[17] = 0xF8 | 2
    file = file_of(
        {1: b"grid", 2: b"hvc1", 3: b"hvc1"},
        [nclx(12, 13, 6), box(b"hvcC", bytes(hvcc))],
        {1: [1], 2: [2], 3: [2]},
        parts={1: [2, 3]},
    )
    assert read_item_facts(file) == ItemFacts((12, 13, 6), False, 10)


def test_an_av1_of_12_bits() -> None:
    file = file_of({1: b"av01"}, [box(b"av1C", b"\x81\x04\x60\x00")], {1: [1]})
    assert read_item_facts(file) == ItemFacts(None, False, 12)


def test_auxiliary_images() -> None:
    urn = b"urn:com:apple:photo:2020:aux:hdrgainmap"
    file = file_of({1: b"hvc1", 2: b"hvc1"}, [full(b"auxC", urn + b"\0")], {2: [1]})
    assert read_item_facts(file) == ItemFacts(None, False, 8, True, (urn.decode(),))


def test_other_files_and_damage_have_none() -> None:
    assert read_item_facts(io.BytesIO(b"")) is None
    assert read_item_facts(io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(99))) is None
    whole = file_of({1: b"av01"}, [nclx(9, 16, 9), PIXI10], {1: [1, 2]}).getvalue()
    random = np.random.default_rng(2)
    for length in range(len(whole)):
        read_item_facts(io.BytesIO(whole[:length]))
    for _ in range(500):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            damaged[at] = random.integers(0, 256)
        read_item_facts(io.BytesIO(bytes(damaged)))


@pytest.mark.parametrize(
    ("urn", "note"),
    [
        (b"urn:x:aux:hdrgainmap", "the gain map for HDR screens was dropped"),
        (b"urn:mpeg:hevc:depth:1", "the depth map was dropped"),
    ],
)
def test_a_heic_with_another_image_beside(urn: bytes, note: str) -> None:
    file = io.BytesIO()
    save_heif(Image.fromarray(SAMPLES), file, {"quality": 90})
    data = file.getvalue()
    alpha = b"urn:mpeg:hevc:2015:auxid:1"
    assert alpha in data
    picture = read_picture(data.replace(alpha, urn.ljust(len(alpha), b"\0")))
    assert picture.alpha is None
    assert [text for text in picture.notes if text.startswith(note)]


def test_an_avif_with_a_tone_map_item() -> None:
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "AVIF", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    data = file.getvalue()
    at = data.index(b"infe") + 12
    while data[at : at + 4] != b"Exif":
        at = data.index(b"infe", at) + 12
    changed = data[:at] + b"tmap" + data[at + 4 :]
    notes = read_picture(changed).notes
    assert notes and notes[0].startswith("the gain map for HDR screens was dropped")
