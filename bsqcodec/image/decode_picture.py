"""Decoding one picture from its container with the model that coded it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bsqcodec.errors import FormatError, TruncatedError
from bsqcodec.format.image_container import ChunkKind, Colour, Container, Header
from bsqcodec.format.pixel_checksum import check_pixels
from bsqcodec.image.samples import to_grey
from bsqcodec.media.crop import Crop
from bsqcodec.media.image.alpha import unpack_alpha
from bsqcodec.media.image.picture import Picture, Samples, reduce_samples
from bsqcodec.models.picture_model import PictureModel, Progress, Symbols
from bsqcodec.models.pieces import Tile

CUT = "the file is cut before the end of its first level"


@dataclass(frozen=True)
class DecodedPicture:
    """A picture, and how many of its levels, from the first on, it was decoded from.

    render_seconds: the time from symbols to pixels. filled_rows: runs of rows of pixels, of the
    whole size, of which more was damaged than of others, and that the model filled in.
    pixels_compared: whether the file has a checksum of its samples, which they match.
    """

    picture: Picture
    levels: int
    render_seconds: float
    filled_rows: tuple[range, ...] = ()
    pixels_compared: bool = False


def check_levels(model: PictureModel, header: Header) -> None:
    """Raise FormatError for a header with other levels than the weights make."""
    count = model.level_count(header)
    if header.levels != count or header.first_level:
        raise FormatError(f"the file has {header.levels} levels, its weights make {count}")


def check_symbols(model: PictureModel, symbols: Symbols, container: Container) -> None:
    """Raise FormatError for symbols that a whole file's checksum contradicts."""
    if model.checksum(symbols, container.header) != container.symbols_crc:
        raise FormatError("the decoded bits do not match the file's checksum of them")


def decode_container(
    container: Container,
    model: PictureModel,
    levels: int | None = None,
    progress: Progress | None = None,
    fill: bool = True,
    reduction: int = 1,
    crop: Crop | None = None,
    compare_pixels: bool = False,
) -> DecodedPicture:
    """The picture in a container; model: the one whose id the header names.

    levels: only the first so many, for a coarser picture. fill: have the model fill in what is
    missing, if it can. reduction: how many times smaller each side is to be; then no more levels
    than that needs are read. crop: the only pixels wanted, of the whole size; all symbols are read,
    and of the pixels no others are computed. compare_pixels: if all of the picture is decoded, and
    exactly, compare its samples with the file's checksum of them. Raises FormatError and
    its children, CropError.
    """
    header = container.header
    wanted = crop or Crop(0, 0, header.width, header.height)
    wanted.check(header.width, header.height)
    if reduction > 1:
        enough = model.levels_at(header, reduction)
        levels = enough if levels is None else min(levels, enough)
    sound = container.level_payloads()[:levels]
    damaged = [chunk.payload for chunk in container.damaged if chunk.kind == ChunkKind.LEVEL]
    if levels is not None:
        damaged = damaged[: levels - len(sound)]
    if container.truncated and not (sound or damaged):
        raise TruncatedError(CUT)
    check_levels(model, header)
    symbols = model.read(sound, header, progress, damaged)
    if not (symbols.levels or symbols.damaged_rows):
        raise TruncatedError(CUT)
    whole = symbols.levels == header.levels
    if whole and container.symbols_crc is not None:
        check_symbols(model, symbols, container)
    filled = model.filled(symbols, header, progress) if fill and not whole else symbols
    started = time.perf_counter()
    if reduction > 1:
        pixels = model.render_reduced(filled, header, reduction)
    else:
        part = Tile(wanted.top, wanted.bottom, wanted.left, wanted.right)
        pixels = model.render(filled, header, part)
    render_seconds = time.perf_counter() - started
    pixels = to_grey(pixels) if header.colour == Colour.GRAY else pixels
    checksum = container.find(ChunkKind.PIXELS)
    complete = whole and reduction == 1 and crop is None and model.renders_exactly
    compared = (
        checksum is not None and compare_pixels and complete and check_pixels(checksum, pixels)
    )
    picture = Picture(
        pixels=pixels,
        alpha=_alpha(container, wanted, reduction),
        icc=container.find(ChunkKind.ICC),
        exif=container.find(ChunkKind.EXIF),
        xmp=container.find(ChunkKind.XMP),
        notes=[],
    )
    patch = model.grid(header.height, header.width).patch
    rows = symbols.damaged_rows if filled is not symbols else ()
    runs = (_rows_of(wanted, patch * r.start, patch * r.stop) for r in rows)
    filled_rows = tuple(filter(None, runs))
    return DecodedPicture(picture, symbols.levels, render_seconds, filled_rows, compared)


def _rows_of(crop: Crop, top: int, bottom: int) -> range:
    """Which rows of a crop rows of the picture are; empty where they are all outside."""
    return range(max(top, crop.top) - crop.top, min(bottom, crop.bottom) - crop.top)


def _alpha(container: Container, crop: Crop, reduction: int) -> Samples | None:
    """The transparency that goes with the pixels, None where the file has none."""
    payload = container.find(ChunkKind.ALPHA)
    if payload is None:
        return None
    alpha = unpack_alpha(payload, container.header.width, container.header.height)
    return crop.cut(alpha) if reduction == 1 else reduce_samples(alpha, reduction)
