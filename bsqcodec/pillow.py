"""A plug-in for Pillow: importing this module has Pillow open and save .bsq pictures.

>>> import bsqcodec.pillow
>>> from PIL import Image
>>> Image.linear_gradient("L").save("gradient.bsq", quality=70)
>>> with Image.open("gradient.bsq") as image:         # reads sizes and metadata; no torch yet
...     image.thumbnail((32, 32))                     # from the first levels alone
>>> image.mode, image.size
('L', (32, 32))

`bsqcodec.register_pillow_opener()` does the same. A picture is decoded when its samples are asked
for. What is wrong with a file is an `OSError`, as of Pillow's own formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Final, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from bsqcodec import api
from bsqcodec.errors import BsqError, FormatError, LimitError
from bsqcodec.format.image_container import ChunkKind, Colour, unpack
from bsqcodec.format.magic import MAGIC, FileKind
from bsqcodec.media.image.picture import EXIF_PREFIX
from bsqcodec.options import REDUCTIONS, PictureKeywords

FORMAT: Final = "BSQ"
MIME: Final = "image/x-bsq"

_ANY_SIZE: Final = 2**62
"""Pillow has a limit of its own on the pixels of a picture, `Image.MAX_IMAGE_PIXELS`."""
_METADATA: Final = {"icc_profile": ChunkKind.ICC, "exif": ChunkKind.EXIF, "xmp": ChunkKind.XMP}
"""Keys of `Image.info`."""
_OPTIONS_OF_SAVING: Final = frozenset(
    ("quality", "bpp", "size", "psnr", "weights", "model", "device", "threads")
) | frozenset(PictureKeywords.__annotations__)


class BsqImageFile(ImageFile.ImageFile):
    """A .bsq picture that Pillow opened."""

    format = FORMAT
    format_description = "bsqcodec picture"
    n_frames = 1
    is_animated = False

    def _open(self) -> None:
        """Read header and metadata, and check all checksums.

        Raises UnidentifiedImageError for a file whose header is damaged, or that is too new.
        """
        assert self.fp is not None
        try:
            container = unpack(self.fp, max_pixels=_ANY_SIZE, allow_truncated=True)
        except (FormatError, LimitError) as error:
            raise UnidentifiedImageError(str(error)) from error
        self._problem = container.problem
        header = container.header
        colour = "L" if header.colour == Colour.GRAY else "RGB"
        alpha = "A" if container.find(ChunkKind.ALPHA) is not None else ""
        self._size, self._mode = (header.width, header.height), colour + alpha
        for key, kind in _METADATA.items():
            data = container.find(kind)
            if data is not None:
                self.info[key] = EXIF_PREFIX + data if key == "exif" else data
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self.size), 0, (1,))]

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have the picture decoded smaller by 2, 4, 8 or 16, from the first levels,
        but no smaller than `size`.

        Returns mode and box as Pillow's JPEG files do, None where nothing changes. The mode stays.
        """
        if size is None or len(self.tile) != 1 or self._reduction != 1:
            return None
        fitting = min(side // max(wanted, 1) for side, wanted in zip(self.size, size, strict=True))
        factor = max((n for n in REDUCTIONS if n <= fitting), default=1)
        if factor == 1:
            return None
        width, height = self.size
        self._size = -(-width // factor), -(-height // factor)
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self.size), 0, (factor,))]
        return self.mode, (0, 0, width / factor, height / factor)

    def load_seek(self, position: int) -> None:
        """Go to a place in the file.

        That there is this method has `ImageFile.Parser` wait for all of it.
        """
        assert self.fp is not None
        self.fp.seek(position)

    @property
    def _reduction(self) -> int:
        """How many times smaller the picture will be decoded."""
        arguments = self.tile[0].args
        return arguments[0] if isinstance(arguments, tuple) else 1

    def verify(self) -> None:
        """Raise OSError for a damaged file. Call it right after opening; it closes the file."""
        super().verify()
        if self._problem is not None:
            raise OSError(f"broken BSQ file: {self._problem}")


class BsqDecoder(ImageFile.PyDecoder):
    """Decodes a file into the memory of an image; its argument is the reduction."""

    _pulls_fd = True

    def decode(self, buffer: Image.DecoderInput) -> tuple[int, int]:
        """Decode all of the file.

        Raises OSError, for a cut or damaged file unless Pillow allows it.
        """
        assert self.fd is not None
        partial = ImageFile.LOAD_TRUNCATED_IMAGES
        file = cast(BinaryIO, self.fd)
        with _as_os_errors():
            image = api.decode(file, partial=partial, max_pixels=_ANY_SIZE, reduction=self.args[0])
        self.set_as_raw(image.tobytes(), image.mode)
        return -1, 0


def register_pillow_opener() -> None:
    """Have Pillow open and save .bsq pictures, from now on, in all of this process."""
    Image.register_open(FORMAT, BsqImageFile, _accept)
    Image.register_decoder(FORMAT, BsqDecoder)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ".bsq")
    Image.register_mime(FORMAT, MIME)


def _accept(prefix: bytes) -> bool | str:
    """Whether a file begins as a .bsq picture does; of a video, what to do with it."""
    if not prefix.startswith(MAGIC):
        return False
    if prefix[len(MAGIC) :][:1] == bytes([FileKind.VIDEO]):
        return "this .bsq file is a video: bsqcodec.video_frames, or imageio, reads its frames"
    return True


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write an image with the options of `Image.save`; those of other formats are ignored."""
    given: dict[str, Any] = getattr(image, "encoderinfo", {})
    with _as_os_errors():
        chosen = {name: value for name, value in given.items() if name in _OPTIONS_OF_SAVING}
        file.write(api.encode(_with_metadata(image, given), **chosen))


def _with_metadata(image: Image.Image, given: dict[str, Any]) -> Image.Image:
    """The frame that an image is at, its metadata those given by name; None leaves one out."""
    named = {key: given[key] for key in _METADATA if key in given}
    if not named and not getattr(image, "is_animated", False):
        return image
    changed = image.copy()
    for key, value in named.items():
        changed.info.pop(key, None)
        if value:
            changed.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    return changed


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise errors of the codec as OSError, which those who use Pillow expect."""
    try:
        yield
    except BsqError as error:
        raise OSError(str(error)) from error


register_pillow_opener()
