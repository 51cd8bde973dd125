"""Encoding one picture: code it at one step after the other until the file meets the target."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bsqcodec.encoder.families import picture_encoder
from bsqcodec.encoder.psnr import psnr
from bsqcodec.encoder.target_search import (
    Trial,
    at_limit,
    coarsest_within,
    largest_within,
    search_psnr,
    search_size,
)
from bsqcodec.errors import FormatError, LimitError, TargetError, VerifyError
from bsqcodec.format.image_container import Chunk, ChunkKind, Colour, Header, pack, unpack
from bsqcodec.format.look_chunk import Look, pack_look
from bsqcodec.format.memory_limit import memory_notes, picture_memory
from bsqcodec.format.pixel_checksum import PAYLOAD_BYTES, pack_checksum
from bsqcodec.image.samples import to_grey, to_rgb
from bsqcodec.machine.scope import coding
from bsqcodec.media.image.alpha import pack_alpha
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.picture_model import PictureModel, Progress, Symbols
from bsqcodec.options import OWN_LOOK, EncodeOptions
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size


class LazyPsnr:
    """A PSNR in dB that is measured when it is first asked for; then the pictures are let go.

    It is pickled as a number. Give db in place of `measure` where it is known.
    """

    def __init__(self, measure: Callable[[], float], db: float | None = None) -> None:
        self._measure = measure if db is None else None
        self._db = db

    def __call__(self) -> float:
        if self._db is None:
            assert self._measure is not None
            self._db = self._measure()
            self._measure = None
        return self._db

    def __getstate__(self) -> dict[str, float | None]:
        return {"_measure": None, "_db": self()}


@dataclass(frozen=True)
class Encoded:
    """A coded picture and what is known about it.

    quality: the one that its step and effort belong to, None for weights that have one only;
    ideal_bits: from the prior. look: the decoder that it was made for, by which `psnr` is.
    """

    data: bytes
    width: int
    height: int
    quality: float | None
    step: int
    levels: int
    bpp: float
    seconds: float
    ideal_bits: float
    notes: tuple[str, ...]
    look: str
    lazy_psnr: LazyPsnr = field(repr=False, compare=False)

    @property
    def psnr(self) -> float:
        """dB over the colour (or grey) samples, of which the picture must not have changed since.

        The decoder's networks run when it is first asked for, unless a PSNR was aimed at. Raises
        LimitError where the memory does not suffice.
        """
        return self.lazy_psnr()


@dataclass(frozen=True)
class Attempt:
    """One coding of the picture: the file, its header and symbols, and the prior's code length."""

    data: bytes
    header: Header
    symbols: Symbols
    ideal_bits: float


class PictureEncoding:
    """A picture that is being encoded with the weights of a model.

    look: the one that the model's decoder has, for the file to name; None for the weights' own.
    notes: the first of the result's notes. progress takes 0..1, anew for each coding. Raises
    TargetError for options that the model's family does not have.
    """

    def __init__(
        self,
        model: PictureModel,
        picture: Picture,
        options: EncodeOptions,
        look: Look | None = None,
        *,
        notes: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self._started = time.perf_counter()
        self._model, self._picture = model, picture
        self._options, self._progress = options, progress
        self._notes = [
            *notes,
            *picture.notes,
            *memory_notes("the picture", picture.width, picture.height, picture_memory),
        ]
        self._look = look
        self._before, self._after = _side_chunks(picture, options.strip)
        if look is not None:
            self._before.insert(0, Chunk(ChunkKind.LOOK, pack_look(look)))
        if options.pixel_checksum:
            if not model.renders_exactly:
                raise TargetError(
                    "a checksum of pixels needs weights of the family transform, on the device cpu"
                )
            self._before.insert(0, Chunk(ChunkKind.PIXELS, bytes(PAYLOAD_BYTES)))
        self._encoder = picture_encoder(model, to_rgb(picture.pixels), options)
        self._notes += self._encoder.notes

    def encode(self) -> Encoded:
        """Return the picture's file that meets the target.

        Raises TargetError, VerifyError, LimitError.
        """
        encoder, target = self._encoder, self._options.target
        db: float | None = None
        if isinstance(target, Psnr):
            found = self._meet_psnr(target.db)
            made, db = found.result, found.figure
        elif isinstance(target, Size):
            made = self._meet_size(target.bytes)
        elif isinstance(target, BitsPerPixel):
            made = self._meet_size(int(target.value * self._area / 8))
        else:
            assert target is None or isinstance(target, Quality), "a picture has no bitrate"
            quality = None if target is None else target.value
            made = self._attempt(encoder.step_for(quality), encoder.strength, encoder.optimises)
        if self._options.pixel_checksum:
            made = self._with_pixel_checksum(made)
        if self._options.verify:
            check_encoded(made, self._model, [*self._before, *self._after])
        measure = partial(
            measure_psnr, self._model, made.header, made.symbols, self._picture.pixels
        )
        return Encoded(
            data=made.data,
            width=self._picture.width,
            height=self._picture.height,
            quality=encoder.quality_of(made.header.step),
            step=made.header.step,
            levels=made.symbols.levels,
            bpp=8 * len(made.data) / self._area,
            seconds=time.perf_counter() - self._started,
            ideal_bits=made.ideal_bits,
            notes=tuple(self._notes),
            look=OWN_LOOK if self._look is None else self._look.name,
            lazy_psnr=LazyPsnr(measure, db),
        )

    def _with_pixel_checksum(self, made: Attempt) -> Attempt:
        """The same coding with the checksum of its samples, for which it has room."""
        pixels = render_samples(self._model, made.header, made.symbols)
        checksum = Chunk(ChunkKind.PIXELS, pack_checksum(pixels))
        self._before[0] = checksum
        container = unpack(made.data, max_pixels=2**62)
        chunks = [checksum if c.kind == ChunkKind.PIXELS else c for c in container.chunks]
        assert container.symbols_crc is not None
        return replace(made, data=pack(made.header, chunks, container.symbols_crc))

    @property
    def _area(self) -> int:
        return self._picture.height * self._picture.width

    def _meet_size(self, limit: int) -> Attempt:
        """The largest file of at most `limit` bytes."""
        strength, steps = self._encoder.strength, self._encoder.steps
        if steps is not None:
            found = largest_within(partial(self._sized, strength=strength), steps, limit)
        else:
            found = search_size(self._sized, limit, strength)
        if self._encoder.optimises:
            found = search_size(partial(self._sized, optimised=True), limit, strength, found.step)
        if not at_limit(found.figure, limit):
            lack = 100 * (1 - found.figure / limit)
            self._notes.append(f"the file is {lack:.1f} % smaller than asked for")
        return found.result

    def _meet_psnr(self, db: float) -> Trial[Attempt]:
        """The coarsest coding of at least this PSNR."""
        if self._encoder.steps is not None:
            return coarsest_within(self._measured, self._encoder.steps, db)
        found = search_psnr(self._measured, db)
        if self._encoder.optimises:
            found = search_psnr(partial(self._measured, optimised=True), db, found.step)
        return found

    def _sized(self, step: int, strength: float, optimised: bool = False) -> tuple[int, Attempt]:
        made = self._attempt(step, strength, optimised)
        return len(made.data), made

    def _measured(self, step: int, optimised: bool = False) -> tuple[float, Attempt]:
        made = self._attempt(step, self._encoder.strength, optimised)
        return measure_psnr(self._model, made.header, made.symbols, self._picture.pixels), made

    def _attempt(self, step: int, strength: float, optimised: bool) -> Attempt:
        """Code the picture at a step."""
        written = self._encoder.write(step, strength, optimised=optimised, progress=self._progress)
        picture = self._picture
        header = Header(
            model_id=self._model.id,
            width=picture.width,
            height=picture.height,
            colour=Colour.GRAY if picture.is_grey else Colour.RGB,
            step=step,
            levels=len(written.payloads),
        )
        levels = [Chunk(ChunkKind.LEVEL, payload) for payload in written.payloads]
        crc = self._model.checksum(written.symbols, header)
        data = pack(header, [*self._before, *levels, *self._after], crc)
        return Attempt(data, header, written.symbols, written.ideal_bits)


def measure_psnr(
    model: PictureModel, header: Header, symbols: Symbols, pixels: npt.NDArray[np.uint8]
) -> float:
    """PSNR in dB of what symbols decode to, over the samples of pixels [H, W] or [H, W, 3]."""
    return psnr(render_samples(model, header, symbols), pixels)


def render_samples(model: PictureModel, header: Header, symbols: Symbols) -> npt.NDArray[np.uint8]:
    """The samples that symbols decode to, [H, W] or [H, W, 3] as the header says."""
    with coding(model.device, "this picture"):
        pixels = model.render(symbols, header)
        return to_grey(pixels) if header.colour == Colour.GRAY else pixels


def check_encoded(made: Attempt, model: PictureModel, beside: Sequence[Chunk]) -> None:
    """Decode a file from its bytes alone, and compare the symbols, and the chunks beside levels.

    Raises VerifyError for any difference.
    """
    try:
        container = unpack(made.data, max_pixels=2**62)
        symbols = model.read(container.level_payloads(), container.header)
        crc = model.checksum(symbols, container.header)
    except (FormatError, LimitError) as error:
        raise VerifyError(
            f"the coded file does not decode ({error}); nothing was written"
        ) from error
    same = (
        container.header == made.header
        and np.array_equal(symbols.values, made.symbols.values)
        and container.symbols_crc == crc
        and [c for c in container.chunks if c.kind != ChunkKind.LEVEL] == list(beside)
    )
    if not same:
        raise VerifyError("the coded file does not decode to what was coded; nothing was written")


def _side_chunks(picture: Picture, strip: bool) -> tuple[list[Chunk], list[Chunk]]:
    """Chunks before and after the levels: metadata, and alpha."""
    kinds = {ChunkKind.ICC: picture.icc, ChunkKind.EXIF: picture.exif, ChunkKind.XMP: picture.xmp}
    before = [] if strip else [Chunk(kind, data) for kind, data in kinds.items() if data]
    after = []
    if picture.alpha is not None:
        after.append(Chunk(ChunkKind.ALPHA, pack_alpha(picture.alpha)))
    return before, after
