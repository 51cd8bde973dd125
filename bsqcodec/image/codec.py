"""The codec: pictures to .bsq bytes and back, with the weights loaded once."""

from __future__ import annotations

import math
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bsqcodec.encoder.effort import check_effort, is_searched, notes_on
from bsqcodec.encoder.masking import USUAL_DEAD_ZONE, dead_zones, token_variance
from bsqcodec.encoder.rdo import PictureTask, code, refine
from bsqcodec.encoder.targets import (
    BitsPerPixel,
    Psnr,
    Quality,
    Size,
    Target,
    at_limit,
    quality_of_step,
    search_psnr,
    search_size,
    step_of_quality,
)
from bsqcodec.encoder.tune import Tune, check_tune, is_masked, ms_ssim_share
from bsqcodec.errors import FormatError, LimitError, TruncatedError, VerifyError, WeightsError
from bsqcodec.format.byte_source import ByteSource
from bsqcodec.format.image_container import (
    DEFAULT_MAX_PIXELS,
    Chunk,
    ChunkKind,
    Colour,
    Header,
    pack,
    unpack,
)
from bsqcodec.format.memory_limit import memory_limit, memory_notes, picture_memory
from bsqcodec.machine.scope import coding
from bsqcodec.machine.threads import set_thread_count
from bsqcodec.media.image.alpha import pack_alpha, unpack_alpha
from bsqcodec.media.image.image_reader import picture_from
from bsqcodec.media.image.picture import Picture
from bsqcodec.models import weight_files as weights_files
from bsqcodec.models.prior.order import levels as level_groups
from bsqcodec.models.prior.order import limits, stages
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import RATE_WEIGHT, DecodingCoder, EncodingCoder
from bsqcodec.models.transform.strips import decode_picture, encode_picture, grid_size
from bsqcodec.models.weight_files import Weights

Progress = Callable[[float], None]

SEARCH_SHARE = 0.9
"""Share of the time of one coding that its search takes, for progress."""


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

    quality: the one that its step and effort belong to; ideal_bits: from the prior.
    """

    data: bytes
    width: int
    height: int
    quality: float
    step: int
    levels: int
    bpp: float
    seconds: float
    ideal_bits: float
    notes: tuple[str, ...]
    lazy_psnr: LazyPsnr = field(repr=False, compare=False)

    @property
    def psnr(self) -> float:
        """dB over the colour (or grey) samples, of which the picture must not have changed since.

        The decoder's networks run when it is first asked for, unless a PSNR was aimed at. Raises
        LimitError where the memory does not suffice.
        """
        return self.lazy_psnr()


@dataclass(frozen=True)
class Decoded:
    """A decoded picture. truncated: the file was cut and only its first levels were there."""

    picture: Picture
    header: Header
    levels_decoded: int
    truncated: bool
    seconds: float


@dataclass(frozen=True)
class _Attempt:
    """One coding of the picture: the file, its integers, and the prior's code length."""

    data: bytes
    values: npt.NDArray[np.int32]
    levels: int
    ideal_bits: float


def choose_device(name: str) -> torch.device:
    """The device "auto" (CUDA where there is one), "cpu" or "cuda" means.

    Raises WeightsError without that device, ValueError for another name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"{name!r} is not a device; there are auto, cpu and cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise WeightsError("no CUDA device is available")
    return torch.device(name)


def set_up_machine(device: str, threads: int | None) -> tuple[torch.device, tuple[str, ...]]:
    """(the device that a name means, notes), after setting the CPU's threads for the whole process.

    threads: see `set_thread_count`. Raises what `choose_device` does, ValueError for too few.
    """
    notes = set_thread_count(threads)
    return choose_device(device), notes


class Codec:
    """Encodes and decodes pictures; loads the weights once and keeps them.

    weights: a safetensors file, or None for the default ones. device: "auto", "cpu" or "cuda".
    int8: see `IntegerPrior`. threads: of the CPU, for the whole process; None leaves torch's
    choice. `notes` say where less threads are used than asked for. Decoding finds the weights that a file names, whatever `weights` is. Raises
    WeightsError, and ValueError for a device or a number of threads that cannot be.

    >>> codec = Codec(device="cpu")
    >>> encoded = codec.encode(np.full((30, 40), 128, np.uint8), Quality(70))
    >>> encoded.width, encoded.height, len(encoded.data) < 200
    (40, 30, True)
    >>> codec.decode(encoded.data, levels=1).picture.pixels.shape    # a coarser picture
    (30, 40)
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        int8: bool | None = None,
    ) -> None:
        self.device, self.notes = set_up_machine(device, threads)
        self._int8 = int8
        path = weights_files.find_default() if weights is None else Path(weights)
        self._default = weights_files.load(path, self.device, int8)
        self._loaded = {self._default.id: self._default}

    @property
    def model_id(self) -> bytes:
        """The 8 bytes that name the weights which `encode` uses."""
        return self._default.id

    def _weights(self, model_id: bytes) -> Weights:
        if model_id not in self._loaded:
            found = weights_files.load(weights_files.find(model_id), self.device, self._int8)
            self._loaded[model_id] = found
        return self._loaded[model_id]

    def encode(
        self,
        picture: Picture | Image.Image | npt.NDArray[np.uint8],
        target: Target | None = None,
        *,
        strip: bool = False,
        verify: bool = False,
        effort: int = 1,
        tune: Tune | None = None,
        progress: Progress | None = None,
    ) -> Encoded:
        """Code a picture so that it meets the target (quality 50 by default).

        strip drops ICC, EXIF and XMP; verify decodes the file and compares its integers; effort 0
        rounds whatever it costs, 1 weighs rate against what is seen, 2 searches (slowly) for better
        integers, and where a quality is asked for takes a coarser step; tune is the measure that
        this is for, above all the search. progress is told 0..1.
        Raises TargetError, VerifyError, LimitError, MediaError for an array that is no picture, and
        ValueError for another effort or tune.
        """
        check_effort(effort)
        check_tune(tune)
        with coding(self.device, "this picture"):
            if not isinstance(picture, Picture):
                picture = picture_from(picture)
            target = Quality(50) if target is None else target
            return self._encode(picture, target, strip, verify, effort, tune, progress)

    def _encode(
        self,
        picture: Picture,
        target: Target,
        strip: bool,
        verify: bool,
        effort: int,
        tune: Tune | None,
        progress: Progress | None,
    ) -> Encoded:
        started = time.perf_counter()
        notes = [*self.notes, *picture.notes]
        area = picture.height * picture.width
        notes += memory_notes("the picture", picture.width, picture.height, picture_memory)
        before, after = _side_chunks(picture, strip)
        pixels = _rgb(picture.pixels)
        dead_zone = _dead_zones(self._default, pixels, is_masked(tune)) if effort else None
        searching = is_searched(effort, area)
        notes += notes_on(effort, area, "the picture")
        latents: dict[int, npt.NDArray[np.float32]] = {}
        refined: dict[int, npt.NDArray[np.float32]] = {}

        def attempt(step: int, strength: float, search: bool = False) -> _Attempt:
            if search and step in refined:
                tell = _share(progress, SEARCH_SHARE, 1.0)
                z = refined[step]
                return self._code(picture, step, strength, z, None, before, after, tell)
            if step not in latents:
                latents.clear()
                coded = encode_picture(self._default.tokenizer, pixels, step, self.device)
                latents[step] = coded.reshape(-1, coded.shape[-1]).cpu().numpy()
            z = latents[step]
            if search:
                while len(refined) > 1:  # the two between which a search for a size ends
                    del refined[next(iter(refined))]
                tell = _share(progress, 0.0, SEARCH_SHARE)
                refined[step] = self._refine(pixels, step, z, dead_zone, tune, tell)
                return attempt(step, strength, search)
            return self._code(picture, step, strength, z, dead_zone, before, after, progress)

        def sized(step: int, strength: float, search: bool = False) -> tuple[int, _Attempt]:
            made = attempt(step, strength, search)
            return len(made.data), made

        def measured(step: int, search: bool = False) -> tuple[float, _Attempt]:
            made = attempt(step, strength, search)
            return self._psnr(picture.pixels, made.values, step), made

        psnr: float | None = None
        strength = 1.0 if effort else 0.0
        if isinstance(target, Quality):
            step = step_of_quality(target.value, searching)
            result = attempt(step, strength, searching)
        elif isinstance(target, Psnr):
            found = search_psnr(measured, target.db)
            if searching:
                found = search_psnr(partial(measured, search=True), target.db, found.step)
            step, result, psnr = found.step, found.result, found.figure
        else:
            limit = target.bytes if isinstance(target, Size) else int(target.value * area / 8)
            sizes = search_size(sized, limit, strength)
            if searching:
                sizes = search_size(partial(sized, search=True), limit, strength, sizes.step)
            step, result = sizes.step, sizes.result
            if not at_limit(sizes.figure, limit):
                lack = 100 * (1 - sizes.figure / limit)
                notes.append(f"the file is {lack:.1f} % smaller than asked for")
        if verify:
            self._verify(result, [*before, *after])
        values = result.values.astype(np.int16)  # wide enough, and half as large to keep
        return Encoded(
            data=result.data,
            width=pixels.shape[1],
            height=pixels.shape[0],
            quality=quality_of_step(step, searching),
            step=step,
            levels=result.levels,
            bpp=8 * len(result.data) / area,
            seconds=time.perf_counter() - started,
            ideal_bits=result.ideal_bits,
            notes=tuple(notes),
            lazy_psnr=LazyPsnr(partial(self._psnr, picture.pixels, values, step), psnr),
        )

    def _code(
        self,
        picture: Picture,
        step: int,
        strength: float,
        z: npt.NDArray[np.float32],
        dead_zone: npt.NDArray[np.float32] | None,
        before: list[Chunk],
        after: list[Chunk],
        progress: Progress | None,
    ) -> _Attempt:
        """Code the latents z [h * w, C] of a picture at a step; dead_zone [h * w] or None."""
        height, width = picture.pixels.shape[:2]
        weights = self._default
        inside = _inside(weights, height, width)
        coder = EncodingCoder(
            z, limits(weights.prior.planes, step), dead_zone, strength * RATE_WEIGHT
        )
        values = walk(weights.prior, step, inside, coder, progress=progress)
        payloads = coder.payloads()
        header = Header(
            model_id=weights.id,
            width=width,
            height=height,
            colour=Colour.GRAY if picture.pixels.ndim == 2 else Colour.RGB,
            step=step,
            levels=len(payloads),
        )
        chunks = [*before, *(Chunk(ChunkKind.LEVEL, p) for p in payloads), *after]
        data = pack(header, chunks, _symbols_crc(values, inside))
        return _Attempt(data, values, len(payloads), coder.ideal_bits)

    def _refine(
        self,
        pixels: npt.NDArray[np.uint8],
        step: int,
        z: npt.NDArray[np.float32],
        dead_zone: npt.NDArray[np.float32] | None,
        tune: Tune | None,
        progress: Progress | None,
    ) -> npt.NDArray[np.float32]:
        """Integers [h * w, C] for latents z [h * w, C] that a search finds best."""
        inside = _inside(self._default, *pixels.shape[:2])
        grid = z.reshape(*inside.shape, z.shape[1])
        start = code(self._default.prior, step, inside, grid, dead_zone, RATE_WEIGHT)
        task = PictureTask(self._default.tokenizer, self._default.prior, pixels, step, inside)
        found = refine(task, grid, start, share=ms_ssim_share(tune), progress=progress)
        return found.reshape(z.shape).astype(np.float32)

    def _psnr(
        self, pixels: npt.NDArray[np.uint8], values: npt.NDArray[np.integer], step: int
    ) -> float:
        """PSNR in dB of what integers [h, w, C] decode to, over the samples of pixels."""
        height, width = pixels.shape[:2]
        with coding(self.device, "this picture"):
            n = torch.from_numpy(values).to(self.device)
            decoded = decode_picture(self._default.tokenizer, n, step, height, width)
            if pixels.ndim == 2:
                decoded = _grey(decoded)
            error = np.mean((decoded.astype(np.float32) - pixels) ** 2, dtype=np.float64)
        return math.inf if error == 0 else 10 * math.log10(255**2 / error)

    def _verify(self, made: _Attempt, beside: list[Chunk]) -> None:
        """Decode the file's bits and compare; the walk is repeated from the bytes alone."""
        try:
            container = unpack(made.data, max_pixels=2**62)
            header = container.header
            weights = self._weights(header.model_id)
            inside = _inside(weights, header.height, header.width)
            coder = DecodingCoder(container.level_payloads())
            values = walk(weights.prior, header.step, inside, coder)
        except (FormatError, LimitError) as error:
            raise VerifyError(
                f"the coded file does not decode ({error}); nothing was written"
            ) from error
        same = (
            np.array_equal(values, made.values)
            and container.symbols_crc == _symbols_crc(values, inside)
            and [c for c in container.chunks if c.kind != ChunkKind.LEVEL] == beside
        )
        if not same:
            raise VerifyError(
                "the coded file does not decode to what was coded; nothing was written"
            )

    def decode(
        self,
        source: ByteSource,
        *,
        levels: int | None = None,
        partial: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_memory: int | None = None,
        progress: Progress | None = None,
    ) -> Decoded:
        """Decode a .bsq file, from bytes or a binary stream.

        levels: only the first so many (at least 1), for a coarser picture; partial: take a cut or
        damaged file as far as it goes; max_memory: bytes that decoding may take, by default 10 GB or
        what this process can have, if that is less. Raises FormatError and its children, LimitError,
        WeightsError, and ValueError for impossible levels.
        """
        if levels is not None and levels < 1:
            raise ValueError(f"{levels} levels cannot be decoded")
        with coding(self.device, "this picture"):
            return self._decode(source, levels, partial, max_pixels, max_memory, progress)

    def _decode(
        self,
        source: ByteSource,
        levels: int | None,
        partial: bool,
        max_pixels: int,
        max_memory: int | None,
        progress: Progress | None,
    ) -> Decoded:
        started = time.perf_counter()
        container = unpack(
            source,
            max_pixels=max_pixels,
            max_memory=memory_limit(max_memory),
            allow_truncated=partial,
        )
        header = container.header
        weights = self._weights(header.model_id)
        payloads = container.level_payloads()[:levels]
        if container.truncated and not payloads:
            raise TruncatedError("the file is cut before the end of its first level")
        inside = _inside(weights, header.height, header.width)
        count = len(level_groups(stages(weights.prior.config, weights.prior.planes, header.step)))
        if header.levels != count or header.first_level:
            raise FormatError(f"the file has {header.levels} levels, its weights make {count}")
        values = walk(
            weights.prior, header.step, inside, DecodingCoder(payloads), progress=progress
        )
        whole = len(payloads) == header.levels
        expected = container.symbols_crc
        if whole and expected is not None and _symbols_crc(values, inside) != expected:
            raise FormatError("the decoded bits do not match the file's checksum of them")
        n = torch.from_numpy(values).to(self.device)
        pixels = decode_picture(
            weights.tokenizer,
            n,
            header.step,
            header.height,
            header.width,
            missing_planes=header.levels - len(payloads),
        )
        alpha = container.find(ChunkKind.ALPHA)
        picture = Picture(
            pixels=_grey(pixels) if header.colour == Colour.GRAY else pixels,
            alpha=None if alpha is None else unpack_alpha(alpha, header.width, header.height),
            icc=container.find(ChunkKind.ICC),
            exif=container.find(ChunkKind.EXIF),
            xmp=container.find(ChunkKind.XMP),
            notes=[],
        )
        return Decoded(
            picture=picture,
            header=header,
            levels_decoded=len(payloads),
            truncated=container.truncated,
            seconds=time.perf_counter() - started,
        )


def _share(progress: Progress | None, first: float, last: float) -> Progress | None:
    """Progress of a part of the work, that takes it from `first` to `last`."""
    if progress is None:
        return None
    whole = progress
    return lambda done: whole(first + (last - first) * done)


def _inside(weights: Weights, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Which tokens of the padded grid touch the picture, [h, w]."""
    tokenizer = weights.tokenizer
    patch = tokenizer.config.patch
    result = np.zeros(grid_size(height, width, tokenizer.window_pixels, patch), bool)
    result[: -(-height // patch), : -(-width // patch)] = True
    return result


def _dead_zones(
    weights: Weights, pixels: npt.NDArray[np.uint8], masked: bool = True
) -> npt.NDArray[np.float32]:
    """Dead zones of the tokens of the padded grid, flat [h * w]; the padding's do not matter.

    masked: by what tokens hide; otherwise the usual one for all.
    """
    height, width = pixels.shape[:2]
    patch = weights.tokenizer.config.patch
    grid = grid_size(height, width, weights.tokenizer.window_pixels, patch)
    result = np.full(grid, USUAL_DEAD_ZONE, np.float32)
    if not masked:
        return result.ravel()
    rows, columns = -(-height // patch), -(-width // patch)
    variance = []
    for row in range(rows):
        strip = pixels[row * patch : (row + 1) * patch]
        lack = (patch - len(strip), columns * patch - width)
        strip = np.pad(strip, ((0, lack[0]), (0, lack[1]), (0, 0)), mode="edge")
        variance.append(token_variance(torch.from_numpy(strip).permute(2, 0, 1)[None], patch))
    result[:rows, :columns] = dead_zones(torch.cat(variance, dim=1))[0].numpy()
    return result.ravel()


def _symbols_crc(values: npt.NDArray[np.int32], inside: npt.NDArray[np.bool_]) -> int:
    """CRC-32 of the integers of the coded tokens, row by row, as little-endian int16."""
    return zlib.crc32(values[inside].astype("<i2").tobytes())


def _rgb(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def _grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The mean of R, G and B [H, W, 3], rounded: what a grey picture was spread over."""
    return np.rint(pixels.mean(axis=2, dtype=np.float32)).astype(np.uint8)


def _side_chunks(picture: Picture, strip: bool) -> tuple[list[Chunk], list[Chunk]]:
    """Chunks before and after the levels: metadata, and alpha."""
    kinds = {ChunkKind.ICC: picture.icc, ChunkKind.EXIF: picture.exif, ChunkKind.XMP: picture.xmp}
    before = [] if strip else [Chunk(kind, data) for kind, data in kinds.items() if data]
    after = []
    if picture.alpha is not None:
        after.append(Chunk(ChunkKind.ALPHA, pack_alpha(picture.alpha)))
    return before, after


__all__ = ["BitsPerPixel", "Codec", "Decoded", "Encoded", "Psnr", "Quality", "Size"]
