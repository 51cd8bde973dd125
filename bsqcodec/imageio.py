"""A plug-in for imageio: importing this module has `imageio.v3` read and write .bsq files.

>>> import imageio.v3 as iio
>>> import numpy as np
>>> import bsqcodec.imageio
>>> iio.imwrite("grey.bsq", np.full((40, 60), 90, np.uint8), quality=70)
>>> iio.imread("grey.bsq").shape
(40, 60)

A picture is an array [H, W] or [H, W, C], a video [N, H, W, C] or any iterable of frames. Frames
are coded and decoded one after the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from types import EllipsisType, TracebackType
from typing import Any, Final, Self, TypeAlias, cast

import numpy as np
from imageio.config import known_extensions, known_plugins
from imageio.config.extensions import FileExtension
from imageio.config.plugins import PluginConfig
from imageio.core.request import URI_BYTES, InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties
from numpy.typing import NDArray

from bsqcodec import api, api_video
from bsqcodec.format.image_container import ChunkKind, unpack
from bsqcodec.format.magic import MAGIC, FileKind
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.media.files import temporary_file
from bsqcodec.media.suffixes import CODED_SUFFIX

NAME: Final = "bsqcodec"

Index: TypeAlias = int | EllipsisType | None
Array: TypeAlias = NDArray[Any]

_METADATA: Final = {"icc_profile": ChunkKind.ICC, "exif": ChunkKind.EXIF, "xmp": ChunkKind.XMP}


class BsqPlugin:
    """Reads or writes one .bsq file for imageio; its methods are those of imageio's `PluginV3`.

    Raises InitializationError for what is no .bsq file.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self._kind: FileKind | None = None
        if request.mode.io_mode is IOMode.read:
            first = bytes(request.firstbytes[: len(MAGIC) + 1])
            if not first.startswith(MAGIC) or first[-1] not in tuple(FileKind):
                raise InitializationError("this is not a .bsq file")
            self._kind = FileKind(first[-1])
        elif request.extension != CODED_SUFFIX:
            raise InitializationError(
                f"a name that ends with {CODED_SUFFIX} is needed to write one"
            )

    def read(self, *, index: Index = None, **options: Any) -> Array:
        """Return the picture, or of a video the frame `index`; by default all frames [N, H, W, 3].

        index: ... stacks all there is along a new first axis. options: of `bsqcodec.decode` or
        `bsqcodec.video_frames`. Raises ValueError for an index out of range, and as these do.
        """
        if isinstance(index, int):
            return self._read_one(index, options)
        frames = list(self.iter(**options))
        if index is None and self._kind is FileKind.PICTURE:
            return frames[0]
        return np.stack(frames)

    def _read_one(self, index: int, options: dict[str, Any]) -> Array:
        if self._kind is FileKind.VIDEO:
            options["start"], index = self._place(index)
        for number, frame in enumerate(self.iter(**options)):
            if number == index:
                return frame
        raise ValueError(f"there is no image {index}")

    def _place(self, index: int) -> tuple[float | None, int]:
        """Where to begin decoding for a frame: (seconds, the number of the frame from there on)."""
        gops = VideoFileReader(self._file(), max_pixels=2**62)
        entries = gops.index
        if index < 0 or (entries is not None and index >= entries.frame_count):
            raise ValueError(f"there is no frame {index}")
        if not entries or not entries.grows:
            return None, index
        gop = next(gop for gop in entries if index < gop.first_frame + gop.frames)
        if gop.first_frame == 0:
            return None, index
        # half a unit early, so that rounding does not pass over the frame
        units = gop.first_pts - entries[0].first_pts - Fraction(1, 2)
        return float(units * gops.header.time_base), index - gop.first_frame

    def iter(self, **options: Any) -> Iterator[Array]:
        """Yield the frames of a video as they are decoded, or the picture."""
        if self._kind is FileKind.VIDEO:
            yield from api_video.video_frames(self._file(), **options)
        else:
            yield np.asarray(api.decode(self._file(), **options))

    def write(
        self,
        ndimage: Array | Iterable[Array],
        *,
        is_batch: bool | None = None,
        fps: float | Fraction | None = None,
        **options: Any,
    ) -> bytes | None:
        """Write a picture [H, W] or [H, W, C], or a video: [N, H, W, C], or an iterable of frames.

        is_batch: whether an array is a video, where its shape [N, H, W] does not tell. fps: frames
        a second of a video, 25 by default. options: of `bsqcodec.encode`, or of a video those of
        `bsqcodec.encode_video` but size. Returns the file's bytes where the target is "<bytes>".
        """
        if is_batch is None:
            is_batch = not isinstance(ndimage, np.ndarray) or ndimage.ndim > 3
        with temporary_file(in_memory=2**20) as made:
            if is_batch:
                api_video.encode_frames(ndimage, made, frame_rate=fps, **options)
            else:
                made.write(api.encode(np.asarray(ndimage), **options))
            made.seek(0)
            file: Any = self.request.get_file()  # not before all is well
            shutil.copyfileobj(made, file)
        return cast(bytes, file.getvalue()) if self.request._uri_type == URI_BYTES else None

    def properties(self, index: Index = None) -> ImageProperties:
        """Return the shape and type of what `read` returns for this index, without decoding it."""
        facts = api.describe(self._file())
        height, width = facts["height"], facts["width"]
        if self._kind is FileKind.PICTURE:
            channels = (3 if facts["colour"] == "rgb" else 1) + (facts["alpha"] is not None)
            shape, count = (height, width) + (() if channels == 1 else (channels,)), 1
            is_batch = index is ...
        else:
            shape, count = (height, width, 3), facts["frames"]
            is_batch = not isinstance(index, int)
        if is_batch:
            shape = (count, *shape)
        return ImageProperties(
            shape, np.dtype(np.uint8), n_images=count if is_batch else None, is_batch=is_batch
        )

    def metadata(self, index: Index = None, exclude_applied: bool = True) -> dict[str, Any]:
        """Return what `bsqcodec.describe` does.

        Of a picture also icc_profile, exif and xmp, as bytes, where it has them; of a video also
        fps and duration (seconds). Nothing of that is applied in reading,
        and all is of the whole file.
        """
        facts = api.describe(self._file())
        if self._kind is FileKind.VIDEO:
            rate = facts["frame_rate"]
            named = {"fps": rate and float(Fraction(rate)), "duration": facts["duration_s"]}
            return facts | named
        container = unpack(self._file(), max_pixels=2**62, allow_truncated=True)
        found = {key: container.find(kind) for key, kind in _METADATA.items()}
        return facts | {key: data for key, data in found.items() if data is not None}

    def _file(self) -> Any:
        """The file, at its beginning."""
        file = self.request.get_file()
        file.seek(0)
        return file

    def close(self) -> None:
        """Close the file."""
        self.request.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def register() -> None:
    """Make the plug-in known to imageio, before those that take any file for theirs."""
    others = {name: config for name, config in known_plugins.items() if name != NAME}
    known_plugins.clear()
    known_plugins[NAME] = PluginConfig(NAME, "BsqPlugin", __name__, install_name=NAME)
    known_plugins.update(others)
    known_extensions[CODED_SUFFIX] = [
        FileExtension(name="bsqcodec", extension=CODED_SUFFIX, priority=[NAME])
    ]


register()
