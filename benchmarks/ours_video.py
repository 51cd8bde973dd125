"""bsqcodec as one of the video codecs measured, with frames of 4:2:0 like the others."""

import hashlib
import io
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.anchors.base import Options
from benchmarks.colour import Frame, frame_to_rgb, matrix_of, rgb_to_frame
from benchmarks.datasets.clips import Clip
from benchmarks.datasets.generated import generated_picture
from benchmarks.environment import versions
from benchmarks.measures import FIXED, INTRA, OURS, SEARCHING, SHOWN
from bsqcodec.media.video.video_files import VideoColour, VideoFormat, VideoFrame, VideoReader
from bsqcodec.targets import DEFAULT_QUALITY

if TYPE_CHECKING:
    from bsqcodec.options import Look
    from bsqcodec.video.codec import VideoCodec

QUALITIES = (0.0, 7.0, 14.0, 20.0, 26.0, 32.0, 39.0)
INTRA_QUALITIES = (0.0, 6.0, 13.0, 20.0, 27.0)
SEARCHING_QUALITIES = (13.0, 22.0, 31.0)  # fewer, since each takes far longer


class _Frames(VideoReader):
    """Frames from memory, as the codec's reader."""

    def __init__(self, width: int, height: int, rate: Fraction, frames: Iterable[Frame]) -> None:
        self.format = VideoFormat(
            width, height, 1 / rate, rate, VideoColour(matrix_of(height), primaries=2, transfer=2)
        )
        self.notes, self.problems = [], []
        self._frames = frames

    def frames(self) -> Generator[VideoFrame, None, None]:
        for pts, frame in enumerate(self._frames):
            yield VideoFrame(frame_to_rgb(frame, self.format.colour.matrix), pts)

    def close(self) -> None:
        pass


class BsqVideo:
    """Satisfies `VideoCodec`; holds a loaded codec, so that coding times leave out loading.

    intra: every frame a group of its own, which is the codec without its temporal context.
    searching: with the slow search of effort 2. look: the decoder that shows frames, None for the
    weights' own.
    """

    suffix = ".bsq"
    setting_name = "quality"

    def __init__(
        self,
        codec: "VideoCodec",
        intra: bool = False,
        searching: bool = False,
        look: "Look | None" = None,
    ) -> None:
        self._codec, self._look = codec, look
        self._gop = 1 if intra else None
        self._effort = 2 if searching else 1
        self.name, self.label = OURS, "bsqcodec"
        self.settings: tuple[float, ...] = QUALITIES
        if intra:
            self.name, self.label = INTRA, "bsqcodec, every frame alone"
            self.settings = INTRA_QUALITIES
        elif searching:
            self.name, self.label = SEARCHING, "bsqcodec, --effort 2"
            self.settings = SEARCHING_QUALITIES
        elif look is not None:
            self.name, self.label = f"{OURS}-{look}", f"bsqcodec, --look {look}"

    def options(self) -> Options:
        more: Options = {"effort": self._effort} if self._effort > 1 else {}
        if self._look is not None:
            more = {"look": self._look}
        return {"gop": self._gop or "default", **more, "fingerprint": self._fingerprint()}

    def _fingerprint(self) -> str:
        """Hash of the file and the decoded frames of a generated clip, see `BsqStill`."""
        picture = generated_picture(192, 160, 7)
        frames = []
        for shift in range(3):
            moved = picture.crop((shift, shift, 160 + shift, 128 + shift))
            frames.append(rgb_to_frame(np.asarray(moved), matrix_of(128)))
        data = self._encoded(160, 128, Fraction(25), frames, 30.0)
        digest = hashlib.sha256(data)
        for frame in self._decoded(data):
            digest.update(frame.tobytes())
        return digest.hexdigest()[:16]

    def versions(self) -> dict[str, str]:
        names = ("bsqcodec", "torch", "constriction")
        found = versions(extra=names)
        return {name: found[name] for name in names}

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        target.write_bytes(self._encoded(clip.width, clip.height, clip.rate, frames, setting))

    def decode(self, path: Path) -> Iterator[Frame]:
        return self._decoded(path.read_bytes())

    def _encoded(
        self, width: int, height: int, rate: Fraction, frames: Iterable[Frame], quality: float
    ) -> bytes:
        from bsqcodec.targets import Quality

        sink = io.BytesIO()
        reader = _Frames(width, height, rate, frames)
        self._codec.encode(reader, sink, Quality(quality), gop=self._gop, effort=self._effort)
        return sink.getvalue()

    def _decoded(self, data: bytes) -> Iterator[Frame]:
        decoded = self._codec.decode(io.BytesIO(data), look=self._look)
        for frame in decoded.frames():
            yield rgb_to_frame(frame.pixels, matrix_of(decoded.format.height))


class FixedVideo(BsqVideo):
    """With weights of the family bsq, whose only setting are the bits of a token.

    name: one of `FIXED`. Raises WeightsError for weights of another family or depth.
    """

    setting_name = "bits"

    def __init__(self, name: str, codec: "VideoCodec") -> None:
        from bsqcodec.encoder.target_search import quality_among
        from bsqcodec.errors import WeightsError
        from bsqcodec.video.video_model import BsqVideoModel

        super().__init__(codec)
        bits = FIXED[name]
        if not isinstance(codec.model, BsqVideoModel) or bits not in codec.model.model.depths:
            raise WeightsError(f"the weights {codec.model.id.hex()} have no tokens of {bits} bits")
        model = codec.model.model
        quality = quality_among(model.steps, model.step_of(bits))
        self._quality = DEFAULT_QUALITY if quality is None else quality
        given = "" if bits == model.default_depth else f" -q {quality:g}"
        self.name, self.label = name, f"bsqcodec, --model bsq{given}"
        self.settings = (float(bits),)

    def _encoded(
        self, width: int, height: int, rate: Fraction, frames: Iterable[Frame], quality: float
    ) -> bytes:
        return super()._encoded(width, height, rate, frames, self._quality)


NAMES = (OURS, INTRA, SEARCHING, *SHOWN, *FIXED)


def open_video(
    name: str,
    weights: str | None = None,
    threads: int | None = None,
    qualities: tuple[float, ...] | None = None,
) -> BsqVideo:
    """One of NAMES, on the CPU. qualities: to measure, None for its own; FIXED have but one."""
    from bsqcodec.video.codec import VideoCodec

    if name in FIXED:
        return FixedVideo(name, VideoCodec(weights, device="cpu", threads=threads, model="bsq"))
    codec = VideoCodec(weights, device="cpu", threads=threads)
    look = SHOWN.get(name)
    video = BsqVideo(codec, intra=name == INTRA, searching=name == SEARCHING, look=look)
    video.settings = qualities or video.settings
    return video
