"""Takes the place of `bsqcodec.image.codec`: no weights, real files.
A level is the picture as PNG."""

import io
import time
import zlib
from types import SimpleNamespace
from typing import Any, ClassVar

from bsqcodec.errors import TargetError
from bsqcodec.format.image_container import (
    Chunk,
    ChunkKind,
    Colour,
    Container,
    Header,
    pack,
    unpack,
)
from bsqcodec.media.image.image_reader import Picture, read_picture, write_picture
from bsqcodec.options import DecodeOptions, EncodeOptions
from bsqcodec.targets import Size

LEVELS = 3


class Codec:
    """Records how it was made and called, in class variables that each test finds empty."""

    made: ClassVar[list[dict[str, Any]]] = []
    calls: ClassVar[list[dict[str, Any]]] = []
    during_encode = staticmethod(lambda: None)

    def __init__(
        self,
        weights: str | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        model: str = "transform",
    ) -> None:
        self.made.append({"weights": weights, "device": device, "threads": threads})

    def encode_with(
        self, picture: Picture, options: EncodeOptions, *, progress: Any = None
    ) -> SimpleNamespace:
        started = time.perf_counter()
        target = options.target
        if isinstance(target, Size) and target.bytes < 100:
            raise TargetError(f"{target.bytes} bytes are too few: this picture takes 100 or more")
        for step in range(3 if progress else 0):
            progress(step / 2)
        names = ("strip", "verify", "effort", "tune")
        self.calls.append({"target": target, **{name: getattr(options, name) for name in names}})
        type(self).during_encode()
        file = io.BytesIO()
        kept = Picture(picture.pixels, picture.alpha) if options.strip else picture
        write_picture(kept, file)
        colour = Colour.GRAY if picture.is_grey else Colour.RGB
        header = Header(b"fakefake", picture.width, picture.height, colour, 7, LEVELS)
        levels = [Chunk(ChunkKind.LEVEL, file.getvalue())] * LEVELS
        data = pack(header, levels, zlib.crc32(file.getvalue()))
        return SimpleNamespace(
            data=data,
            width=picture.width,
            height=picture.height,
            quality=50.0,
            step=7,
            levels=LEVELS,
            bpp=8 * len(data) / header.pixels,
            psnr=99.0,
            seconds=time.perf_counter() - started,
            ideal_bits=8.0 * len(file.getvalue()),
            notes=(*picture.notes, "a note of the codec"),
            look="balanced",
        )

    def decode_with(
        self, source: Any, options: DecodeOptions, *, progress: Any = None
    ) -> SimpleNamespace:
        names = ("levels", "partial", "max_pixels")
        self.calls.append({name: getattr(options, name) for name in names})
        container: Container = unpack(
            source, max_pixels=options.max_pixels, allow_truncated=options.partial
        )
        payloads = container.level_payloads()[: options.levels]
        return SimpleNamespace(
            filled_rows=(),
            picture=read_picture(payloads[-1]),
            header=container.header,
            levels_decoded=len(payloads),
            truncated=container.truncated,
            seconds=0.0,
            render_seconds=0.0,
            look="balanced",
            notes=(),
        )
