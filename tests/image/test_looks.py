"""Looks: other decoders for the same symbols, which a file may name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsqcodec.errors import FormatError, WeightsError
from bsqcodec.format.image_container import Chunk, ChunkKind, Container, pack, unpack
from bsqcodec.format.look_chunk import Look, unpack_look
from bsqcodec.image.codec import Codec
from bsqcodec.image.describe_picture import describe_picture, format_picture_lines
from bsqcodec.models import look_files, weight_files
from bsqcodec.targets import Psnr

from ..golden_files import model_path, scene
from ..tiny_models import save_bsq_weights

Samples = npt.NDArray[np.uint8]


@pytest.fixture
def codec(tiny_looks: Path) -> Codec:
    return Codec(device="cpu")


@pytest.fixture(scope="module")
def photo() -> Samples:
    return scene(48, 80)


def pixels(codec: Codec, data: bytes, look: str | None = None) -> Samples:
    return codec.decode(data, look=look).picture.pixels  # type: ignore[arg-type]


def with_look(container: Container, payload: bytes) -> bytes:
    """A file with another look chunk."""
    chunks = [c for c in container.chunks if c.kind != ChunkKind.LOOK]
    assert container.symbols_crc is not None
    return pack(container.header, [Chunk(ChunkKind.LOOK, payload), *chunks], container.symbols_crc)


def test_a_look_changes_pixels_and_nothing_else_of_a_file(codec: Codec, photo: Samples) -> None:
    plain, natural = codec.encode(photo), codec.encode(photo, look="natural", verify=True)
    assert (plain.look, natural.look) == ("balanced", "natural")
    payload = unpack(natural.data).find(ChunkKind.LOOK)
    assert payload is not None
    assert unpack(natural.data).chunks[1:] == unpack(plain.data).chunks
    assert natural.data == with_look(unpack(plain.data), payload)
    assert codec.encode(photo, look="balanced").data == plain.data


def test_the_look_is_that_of_the_file_unless_another_is_asked_for(
    codec: Codec, photo: Samples
) -> None:
    plain, natural = codec.encode(photo).data, codec.encode(photo, look="natural").data
    shown = {look: pixels(codec, plain, look) for look in ("balanced", "natural")}
    assert not np.array_equal(shown["balanced"], shown["natural"])
    assert np.array_equal(pixels(codec, plain), shown["balanced"])
    assert np.array_equal(pixels(codec, natural), shown["natural"])
    for look, picture in shown.items():
        assert np.array_equal(pixels(codec, natural, look), picture)
    assert codec.decode(natural).look == "natural"


def test_psnr_is_that_of_the_look(codec: Codec, photo: Samples) -> None:
    encoded = codec.encode(photo, Psnr(11), look="natural")
    error = np.square(pixels(codec, encoded.data).astype(float) - photo).mean()
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert encoded.psnr >= 11


def test_tuning_for_lpips_takes_the_natural_look_where_there_is_one(
    codec: Codec, photo: Samples, tiny_looks: Path
) -> None:
    assert codec.encode(photo, tune="lpips").look == "natural"
    assert codec.encode(photo, tune="lpips", look="balanced").look == "balanced"
    assert codec.encode(photo, tune="psnr").look == "balanced"
    for path in tiny_looks.glob("look-*"):
        path.unlink()
    (tiny_looks / "index.json").write_text((model_path().parent / "index.json").read_text())
    encoded = Codec(device="cpu").encode(photo, tune="lpips")
    assert encoded.look == "balanced" and "no look 'natural'" in encoded.notes[-1]
    assert unpack(encoded.data).find(ChunkKind.LOOK) is None


def test_without_its_look_a_file_is_shown_by_its_weights(
    codec: Codec, photo: Samples, tiny_looks: Path
) -> None:
    data = codec.encode(photo, look="natural").data
    expected = pixels(codec, data, "balanced")
    for path in tiny_looks.glob("look-*"):
        path.unlink()
    lacking = Codec(device="cpu")
    decoded = lacking.decode(data)
    assert np.array_equal(decoded.picture.pixels, expected)
    assert decoded.look == "balanced" and "the look 'natural'" in decoded.notes[0]
    with pytest.raises(WeightsError, match="the look 'natural'"):
        lacking.decode(data, look="natural")
    with pytest.raises(WeightsError, match="not a file of a look"):
        lacking.encode(photo, look="natural")


def test_what_has_no_looks_says_so(
    codec: Codec, photo: Samples, tiny_looks: Path, tmp_path: Path
) -> None:
    bsq = Codec(save_bsq_weights(tmp_path / "bsq"), device="cpu")
    with pytest.raises(WeightsError, match="have no look"):
        bsq.encode(photo, look="natural")
    other = weight_files.load(model_path(), torch.device("cpu"))
    path = look_files.save(tiny_looks, bytes(8), "natural", other.tokenizer, notes={})
    with pytest.raises(WeightsError, match="is of the weights 0000000000000000"):
        look_files.load(path, other)
    with pytest.raises(ValueError, match="not one of balanced, natural"):
        codec.encode(photo, look="sharp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not one of balanced, natural"):
        codec.decode(b"", look="sharp")  # type: ignore[arg-type]


def test_info_names_the_look(codec: Codec, photo: Samples) -> None:
    facts = describe_picture(codec.encode(photo, look="natural").data)
    assert facts["look"]["name"] == "natural" and len(facts["look"]["id"]) == 16
    assert f"natural ({facts['look']['id']})" in format_picture_lines(facts)
    plain = describe_picture(codec.encode(photo).data)
    assert plain["look"] is None and "look" not in format_picture_lines(plain)


@pytest.mark.parametrize("payload", [b"", bytes(8), bytes(8) + b"Natural", bytes(8) + b"n" * 33])
def test_a_malformed_look_is_an_error(codec: Codec, photo: Samples, payload: bytes) -> None:
    data = with_look(unpack(codec.encode(photo).data), payload)
    with pytest.raises(FormatError, match="the look chunk is malformed"):
        codec.decode(data)
    assert describe_picture(data)["look"]["name"] == "the look chunk is malformed"


def test_a_look_has_a_name_and_an_id() -> None:
    assert unpack_look(b"12345678natural-2") == Look("natural-2", b"12345678")
    for name, id in (("", bytes(8)), ("Natural", bytes(8)), ("natural", bytes(7))):
        with pytest.raises(ValueError, match="look"):
            Look(name, id)
