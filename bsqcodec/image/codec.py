"""The codec: pictures to .bsq bytes and back, with the weights loaded once.

The module imports the decoder alone; the first call of `Codec.encode` imports the encoder.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bsqcodec.errors import WeightsError
from bsqcodec.format.byte_source import ByteSource
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS, Header, unpack
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.token_file import Tokens
from bsqcodec.image.decode_picture import decode_container
from bsqcodec.image.looks import Looks, look_of
from bsqcodec.machine.many import map_each
from bsqcodec.machine.scope import coding
from bsqcodec.machine.threads import set_thread_count
from bsqcodec.media.image.image_reader import picture_from
from bsqcodec.media.image.picture import Picture
from bsqcodec.models.bsq.generation import Drawing
from bsqcodec.models.families import (
    DEFAULT_FAMILY,
    default_weights,
    find_picture_model,
    load_picture_model,
)
from bsqcodec.models.picture_model import PictureModel, Progress
from bsqcodec.options import (
    OWN_LOOK,
    DecodeOptions,
    EncodeOptions,
    Look,
    PictureDecodeKeywords,
    PictureKeywords,
)

if TYPE_CHECKING:
    from bsqcodec.image.encode_picture import Encoded
    from bsqcodec.targets import Target


@dataclass(frozen=True)
class Decoded:
    """A decoded picture. truncated: the file was cut and only its first levels were there.

    header: of the file, also where the picture is a crop. seconds: all the time it took;
    render_seconds: that from symbols to pixels. filled_rows: runs of rows of pixels that were
    damaged, and that the model filled in. look: the decoder that showed it. notes: what is not as
    the file would have it. pixels_compared: whether the file has a checksum of its samples, which
    they match.
    """

    picture: Picture
    header: Header
    levels_decoded: int
    truncated: bool
    seconds: float
    render_seconds: float = 0.0
    filled_rows: tuple[range, ...] = ()
    look: str = OWN_LOOK
    notes: tuple[str, ...] = ()
    pixels_compared: bool = False


def choose_device(name: str) -> torch.device:
    """The device "auto" (CUDA where there is one), "cpu" or "cuda" means.

    Raises WeightsError without that device, ValueError for another name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"{name!r} is not a device; there are auto, cpu and cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise WeightsError("no CUDA device is available; the device cpu always is")
    return torch.device(name)


def set_up_machine(device: str, threads: int | None) -> tuple[torch.device, tuple[str, ...]]:
    """(the device that a name means, notes), after setting the CPU's threads for the whole process.

    threads: see `set_thread_count`. Raises what `choose_device` does, ValueError for too few.
    """
    notes = set_thread_count(threads)
    return choose_device(device), notes


class Codec:
    """Encodes and decodes pictures; loads the weights once and keeps them. Threads may share it.

    weights: a safetensors file, or None for the default ones of the family `model`, "transform" or
    "bsq". device: "auto", "cpu" or "cuda".
    int8: see `IntegerPrior`. threads: of the CPU, for the whole process; None leaves torch's
    choice. `notes` say where less threads are used than asked for. `model` holds the weights that
    `encode` uses; decoding finds those that a file names. Raises WeightsError, and ValueError for a
    device or a number of threads that cannot be.

    >>> from bsqcodec import Codec, Quality
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
        model: str = DEFAULT_FAMILY,
    ) -> None:
        self.device, self.notes = set_up_machine(device, threads)
        self._int8 = int8
        path = default_weights(model) if weights is None else Path(weights)
        self.model = load_picture_model(path, self.device, int8)
        self._loaded = {self.model.id: self.model}
        self._loading = threading.Lock()
        self._looks = Looks()

    @property
    def model_id(self) -> bytes:
        """The 8 bytes that name the weights which `encode` uses."""
        return self.model.id

    @property
    def looks(self) -> tuple[Look, ...]:
        """The decoders that show files of these weights, "balanced" first; see `decode`."""
        return self._looks.names(self.model)

    def model_of(self, model_id: bytes) -> PictureModel:
        """The model whose weights a file names; it is found, loaded and kept.

        Raises WeightsError.
        """
        with self._loading:
            if model_id not in self._loaded:
                self._loaded[model_id] = find_picture_model(model_id, self.device, self._int8)
            return self._loaded[model_id]

    def encode(
        self,
        picture: Picture | Image.Image | npt.NDArray[np.uint8],
        target: Target | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[PictureKeywords],
    ) -> Encoded:
        """Code a picture so that it meets the target (quality 50 by default).

        options: strip drops ICC, EXIF and XMP; verify decodes the file and compares its integers;
        effort 0 rounds whatever it costs, 1 weighs rate against what is seen, 2 searches (slowly)
        for better integers, and where a quality is asked for takes a coarser step; tune is the
        measure that this is for, above all the search; look is the decoder that the picture is made
        for, "natural" with tune="lpips" and "balanced" otherwise; pixel_checksum writes a checksum
        of the samples, which decoding compares. progress takes 0..1.
        Raises TargetError, VerifyError, LimitError, MediaError for an array that is no picture,
        WeightsError for a look that the weights do not have,
        ValueError for another effort, tune or look, and TypeError for other options.
        """
        chosen = EncodeOptions.for_picture(target, **options)
        return self.encode_with(picture, chosen, progress=progress)

    def encode_with(
        self,
        picture: Picture | Image.Image | npt.NDArray[np.uint8],
        options: EncodeOptions,
        *,
        progress: Progress | None = None,
    ) -> Encoded:
        """Code a picture, with all options in one object; see `encode`."""
        from bsqcodec.image.encode_picture import PictureEncoding

        with coding(self.device, "this picture"):
            if not isinstance(picture, Picture):
                picture = picture_from(picture, max_pixels=options.max_pixels)
            model, look, notes = self._looks.to_encode(self.model, options)
            encoding = PictureEncoding(
                model, picture, options, look, notes=(*self.notes, *notes), progress=progress
            )
            return encoding.encode()

    def decode(
        self,
        source: ByteSource,
        *,
        progress: Progress | None = None,
        **options: Unpack[PictureDecodeKeywords],
    ) -> Decoded:
        """Decode a .bsq file, from bytes or a binary stream.

        options: levels: only the first so many (at least 1), for a coarser picture; reduction: 2,
        4, 8 or 16 for a picture that is so many times smaller, fast; partial: take a cut or damaged
        file as far as it goes; fill: have the model fill in what is missing, if its family can
        (`bsq`); crop: return these pixels alone, and render no others; look: the decoder that
        shows it, by default the one that the file names; max_memory: bytes that
        decoding may take, by default 10 GB or what this process can have, if that is less. Raises
        FormatError and its children, LimitError, WeightsError, CropError, and ValueError for
        impossible levels.
        """
        chosen = DecodeOptions.for_picture(**options)
        return self.decode_with(source, chosen, progress=progress)

    def decode_with(
        self, source: ByteSource, options: DecodeOptions, *, progress: Progress | None = None
    ) -> Decoded:
        """Decode a .bsq file, with all options in one object; see `decode`."""
        started = time.perf_counter()
        with coding(self.device, "this picture"):
            container = unpack(
                source,
                max_pixels=options.max_pixels,
                max_memory=memory_limit(options.max_memory),
                allow_truncated=options.partial,
            )
            own = self.model_of(container.header.model_id)
            model, look, notes = self._looks.to_decode(own, container, options.look)
            decoded = decode_container(
                container,
                model,
                options.levels,
                progress,
                options.fill,
                options.reduction,
                options.crop,
                compare_pixels=look == look_of(container),
            )
        return Decoded(
            picture=decoded.picture,
            header=container.header,
            levels_decoded=decoded.levels,
            truncated=container.truncated,
            seconds=time.perf_counter() - started,
            render_seconds=decoded.render_seconds,
            filled_rows=decoded.filled_rows,
            look=look,
            notes=notes,
            pixels_compared=decoded.pixels_compared,
        )

    def encode_many(
        self,
        pictures: Iterable[Picture | Image.Image | npt.NDArray[np.uint8]],
        target: Target | None = None,
        **options: Unpack[PictureKeywords],
    ) -> list[Encoded]:
        """Code pictures, in their order, as many at a time as there are threads; see `encode`.

        The files are those that `encode` makes. Raises what it does, for the first that fails.
        """
        chosen = EncodeOptions.for_picture(target, **options)
        return map_each(lambda picture: self.encode_with(picture, chosen), pictures)

    def decode_many(
        self, sources: Iterable[ByteSource], **options: Unpack[PictureDecodeKeywords]
    ) -> list[Decoded]:
        """Decode .bsq files, in their order, as many at a time as there are threads; see `decode`.

        Raises what it does, for the first that fails.
        """
        chosen = DecodeOptions.for_picture(**options)
        return map_each(lambda source: self.decode_with(source, chosen), sources)

    def tokens(
        self, picture: Picture | Image.Image | npt.NDArray[np.uint8], bits: int | None = None
    ) -> Tokens:
        """Return the codes of a picture; needs weights of the family `bsq`.

        bits: of a code, by default as many as `encode` spends. `from_tokens` of them is what
        decoding the picture's file would give. Raises WeightsError for weights of another family,
        ValueError for a number of bits that they do not have, LimitError, MediaError for an array
        that is no picture.
        """
        from bsqcodec.image.picture_tokens import bsq_model, tokens_of_picture

        model = bsq_model(self.model)
        with coding(self.device, "this picture"):
            if not isinstance(picture, Picture):
                picture = picture_from(picture)
            return tokens_of_picture(model, picture, bits)

    def coded_tokens(
        self,
        source: ByteSource,
        *,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_memory: int | None = None,
    ) -> Tokens:
        """Return the codes in a .bsq file of the family `bsq`, without rendering them.

        Raises WeightsError for a file of another family; otherwise as `decode`.
        """
        from bsqcodec.image.picture_tokens import bsq_model, tokens_of_container

        with coding(self.device, "this picture"):
            container = unpack(source, max_pixels=max_pixels, max_memory=memory_limit(max_memory))
            model = bsq_model(self.model_of(container.header.model_id))
            return tokens_of_container(model, container)

    def from_tokens(self, tokens: Tokens) -> Picture:
        """Return the picture that codes stand for, with the weights that they name.

        Raises WeightsError where those are missing or of another family, FormatError where the
        codes do not fit them, LimitError.
        """
        return self.decode_tokens(tokens).picture

    def decode_tokens(self, tokens: Tokens) -> Decoded:
        """Return what `from_tokens` does as the result of a decoding."""
        from bsqcodec.image.picture_tokens import bsq_model, header_of, picture_of_tokens

        started = time.perf_counter()
        model = bsq_model(self.model_of(bytes.fromhex(tokens.model)))
        with coding(self.device, "this picture"):
            picture = picture_of_tokens(model, tokens)
        header = header_of(model, tokens.width, tokens.height, tokens.bits, gray=tokens.gray)
        seconds = time.perf_counter() - started
        return Decoded(picture, header, header.levels, truncated=False, seconds=seconds)

    def generate(
        self,
        width: int,
        height: int,
        drawing: Drawing | None = None,
        *,
        progress: Progress | None = None,
    ) -> Picture:
        """Draw a picture from nothing, see `generate_picture`; needs weights of the family `bsq`.

        Raises WeightsError for others, ValueError for a size that cannot be.
        """
        from bsqcodec.image.generate_picture import generate_picture
        from bsqcodec.image.picture_tokens import bsq_model

        if width < 1 or height < 1:
            raise ValueError(f"a picture of {width} x {height} pixels cannot be drawn")
        model = bsq_model(self.model)
        with coding(self.device, "this picture"):
            return generate_picture(model, width, height, drawing or Drawing(), progress)

    def complete(
        self,
        picture: Picture | Image.Image | npt.NDArray[np.uint8],
        hole: npt.NDArray[np.bool_],
        drawing: Drawing | None = None,
        *,
        progress: Progress | None = None,
    ) -> Picture:
        """Draw what is in the hole [height, width] of a picture, see `complete_picture`.

        Raises WeightsError for weights of another family than `bsq`, MediaError for a hole that
        does not fit.
        """
        from bsqcodec.image.generate_picture import complete_picture
        from bsqcodec.image.picture_tokens import bsq_model

        model = bsq_model(self.model)
        with coding(self.device, "this picture"):
            if not isinstance(picture, Picture):
                picture = picture_from(picture)
            return complete_picture(model, picture, hole, drawing or Drawing(), progress)
