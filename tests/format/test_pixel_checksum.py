"""The checksum of a picture's samples in its file."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from bsqcodec.errors import FormatError, TargetError
from bsqcodec.format.image_container import Chunk, ChunkKind, pack, unpack
from bsqcodec.format.pixel_checksum import ARITHMETIC, check_pixels, pack_checksum
from bsqcodec.image.codec import Codec
from bsqcodec.media.crop import Crop
from bsqcodec.models.picture_model import Symbols
from bsqcodec.targets import Size

from ..golden_files import scene
from ..tiny_models import save_bsq_weights


def with_checksum(data: bytes, payload: bytes) -> bytes:
    """A file with another pixel checksum chunk."""
    container = unpack(data)
    assert container.symbols_crc is not None
    chunks = [
        Chunk(ChunkKind.PIXELS, payload) if chunk.kind == ChunkKind.PIXELS else chunk
        for chunk in container.chunks
    ]
    return pack(container.header, chunks, container.symbols_crc)


def test_the_payload_is_the_crc_of_samples_row_by_row() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    payload = pack_checksum(pixels[:, ::-1])
    crc = zlib.crc32(bytes([9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2]))
    crc = zlib.crc32(bytes([21, 22, 23, 18, 19, 20, 15, 16, 17, 12, 13, 14]), crc)
    assert payload == bytes([1]) + crc.to_bytes(4, "little")
    assert check_pixels(payload, pixels[:, ::-1])
    with pytest.raises(FormatError, match="decoded samples do not match"):
        check_pixels(payload, pixels)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\0\0\0\0\0"])
def test_a_malformed_payload_is_an_error(payload: bytes) -> None:
    with pytest.raises(FormatError, match="malformed"):
        check_pixels(payload, np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize("grey", [False, True])
def test_whole_pictures_are_compared_and_parts_are_not(codec: Codec, grey: bool) -> None:
    picture = scene(60, 90)[..., 0] if grey else scene(60, 90)
    plain = codec.encode(picture)
    encoded = codec.encode(picture, pixel_checksum=True, verify=True)
    assert len(encoded.data) == len(plain.data) + 11
    decoded = codec.decode(encoded.data)
    assert decoded.pixels_compared
    assert not codec.decode(plain.data).pixels_compared
    payload = unpack(encoded.data).find(ChunkKind.PIXELS)
    assert payload == pack_checksum(decoded.picture.pixels)
    wrong = with_checksum(encoded.data, pack_checksum(decoded.picture.pixels + np.uint8(1)))
    with pytest.raises(FormatError, match="decoded samples do not match"):
        codec.decode(wrong)
    assert not codec.decode(wrong, levels=1).pixels_compared
    assert not codec.decode(wrong, reduction=2).pixels_compared
    assert not codec.decode(wrong, crop=Crop(0, 0, 90, 60)).pixels_compared
    newer = with_checksum(encoded.data, bytes([ARITHMETIC + 1]))
    assert not codec.decode(newer).pixels_compared


def test_a_size_is_met_with_the_checksum(codec: Codec) -> None:
    limit = len(codec.encode(scene(60, 90)).data)
    assert len(codec.encode(scene(60, 90), Size(limit), pixel_checksum=True).data) <= limit


def test_another_machine_with_other_samples_is_found(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(scene(60, 90), pixel_checksum=True).data
    render = type(codec.model).render

    def wrong(self: object, symbols: Symbols, *rest: object) -> object:
        return render(self, symbols, *rest) ^ 1  # type: ignore[arg-type]

    monkeypatch.setattr(type(codec.model), "render", wrong)
    with pytest.raises(FormatError, match="decoded samples do not match"):
        codec.decode(data)


def test_weights_that_are_not_exact_have_none(tmp_path: Path) -> None:
    codec = Codec(save_bsq_weights(tmp_path), device="cpu")
    with pytest.raises(TargetError, match="a checksum of pixels needs weights of the family"):
        codec.encode(scene(32, 32), pixel_checksum=True)
