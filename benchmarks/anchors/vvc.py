"""VVC as VVenC writes it, through imageio-ffmpeg's program: 10 bits, 4:2:0, by quantizer."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from PIL import Image

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import DeepFrame, Frame, Pixels, frame_to_rgb, rgb_to_deep_frame
from benchmarks.datasets.clips import Clip

MATRIX = "bt601"
FINEST = 63  # the largest quantizer is the coarsest


def encoder_options(preset: str) -> dict[str, str]:
    """Of FFmpeg: without perceptual adaptation (qpa), as VTM is; an intra frame in ten seconds."""
    return {"preset": preset, "qpa": "0", "period": "10", "threads": "1"}


def encode(
    size: tuple[int, int],
    rate: Fraction,
    frames: Iterable[DeepFrame],
    preset: str,
    qp: float,
    target: Path,
) -> None:
    """Write 10-bit frames of (width, height) as a bare stream. Raises RuntimeError."""
    given = [word for key, value in encoder_options(preset).items() for word in (f"-{key}", value)]
    arguments = ffmpeg.raw_input(*size, rate, "yuv420p10le")
    arguments += ["-c:v", "libvvenc", *given, "-qp", f"{qp:g}", "-f", "vvc", str(target)]
    ffmpeg.run(arguments, (frame.astype("<u2").tobytes() for frame in frames))


def decode(file: Path | IO[bytes]) -> Iterator[DeepFrame]:
    """The 10-bit frames [3 H / 2, W] of a bare stream, decoded by FFmpeg in one thread."""
    with av.open(file, mode="r", format="vvc") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for picture in container.decode(stream):
            yield picture.to_ndarray(format="yuv420p10le").astype(np.uint16, copy=False)


class VvcStill:
    """A picture as one frame: BT.601, limited range, each chroma sample the mean of four pixels.

    Raises ValueError for odd sides, which 4:2:0 does not have.
    """

    name = "vvc"
    preset = "fast"
    label = f"VVC, VVenC {preset}"
    suffix = ".266"
    setting_name = f"{FINEST} \N{MINUS SIGN} QP"
    settings: tuple[float, ...] = (21, 26, 31, 36, 41)
    setting_range = (0.0, 63.0)
    whole_settings = True

    def options(self) -> base.Options:
        return {"encoder": "libvvenc", **encoder_options(self.preset), "pixels": "yuv420p10le"}

    def versions(self) -> dict[str, str]:
        return ffmpeg.program_versions()

    def encode(self, image: Image.Image, setting: float) -> bytes:
        frame = rgb_to_deep_frame(np.asarray(image), MATRIX)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / f"picture{self.suffix}"
            encode(image.size, Fraction(25), [frame], self.preset, FINEST - setting, target)
            return target.read_bytes()

    def decode(self, data: bytes) -> Pixels:
        (frame,) = decode(io.BytesIO(data))
        return frame_to_rgb(frame, MATRIX)


@dataclass(frozen=True)
class Vvc:
    """Clips of 8 bits, coded with 10 and rounded to 8 again; VVenC's own hierarchical GOP."""

    preset: str = "fast"
    settings: tuple[float, ...] = (42, 37, 32, 27, 22)
    suffix = ".266"
    setting_name = "QP"
    name = "vvc"

    @property
    def label(self) -> str:
        return f"VVC, VVenC {self.preset}"

    def options(self) -> base.Options:
        return {"encoder": "libvvenc", **encoder_options(self.preset), "pixels": "yuv420p10le"}

    def versions(self) -> dict[str, str]:
        return ffmpeg.program_versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        deep = (frame.astype(np.uint16) * np.uint16(4) for frame in frames)
        encode((clip.width, clip.height), clip.rate, deep, self.preset, setting, target)

    def decode(self, path: Path) -> Iterator[Frame]:
        for frame in decode(path):
            yield np.minimum((frame + 2) >> 2, 255).astype(np.uint8)
