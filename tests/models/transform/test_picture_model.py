"""The family `transform` behind the protocol of the picture codec."""

from dataclasses import replace

import numpy as np
import pytest

from bsqcodec.errors import FormatError
from bsqcodec.format.image_container import Container, unpack
from bsqcodec.image.codec import Codec
from bsqcodec.models.picture_model import PictureModel
from bsqcodec.targets import Quality

from ...golden_files import scene


@pytest.fixture(scope="module")
def model(codec: Codec) -> PictureModel:
    return codec.model


@pytest.fixture(scope="module")
def container(codec: Codec) -> Container:
    return unpack(codec.encode(scene(140, 300), Quality(60)).data)


def test_the_grid_is_padded_to_whole_windows(model: PictureModel) -> None:
    grid = model.grid(140, 300)
    assert (grid.shape, grid.padded_shape, grid.patch) == ((9, 19), (16, 24), 16)


def test_the_header_has_the_levels_of_its_step(model: PictureModel, container: Container) -> None:
    header = container.header
    assert model.level_count(header) == header.levels
    assert model.level_count(replace(header, step=header.step - 100)) > header.levels


def test_what_is_read_is_what_the_checksum_says(model: PictureModel, container: Container) -> None:
    symbols = model.read(container.level_payloads(), container.header)
    assert symbols.values.shape[:2] == model.grid(140, 300).padded_shape
    assert (symbols.levels, symbols.damaged_rows) == (container.header.levels, ())
    assert model.checksum(symbols, container.header) == container.symbols_crc
    assert not symbols.values[~model.grid(140, 300).inside].any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nothing_of_damaged_levels_is_read(
    model: PictureModel, container: Container, count: int
) -> None:
    payloads = container.level_payloads()
    symbols = model.read(payloads[:count], container.header, damaged=payloads[count:])
    assert (symbols.levels, symbols.damaged_rows) == (count, ())
    first = model.read(payloads[:count], container.header)
    np.testing.assert_array_equal(symbols.values, first.values)
    pixels = model.render(symbols, container.header)
    assert (pixels.shape, pixels.dtype) == ((140, 300, 3), np.uint8)


def test_damaged_payloads_are_an_error(model: PictureModel, container: Container) -> None:
    payloads = [b"\xff" * 12] * container.header.levels
    with pytest.raises(FormatError):
        model.read(payloads, container.header)


def test_progress_ends_at_1(model: PictureModel, container: Container) -> None:
    parts: list[float] = []
    model.read(container.level_payloads(), container.header, parts.append)
    assert parts == sorted(parts) and parts[-1] == 1
