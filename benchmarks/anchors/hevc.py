"""HEVC as x265 writes it, by constant rate factor, as a bare elementary stream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, read_video, write_frames

# One thread and no wavefronts, which cost bits; no message that names the settings.
ONE_THREAD = "log-level=none:info=0:pools=none:frame-threads=1"


@dataclass(frozen=True)
class Hevc:
    """preset: of x265. zero_latency: no B-frames, no look-ahead; else x265's own GOP."""

    preset: str = "medium"
    zero_latency: bool = False
    settings: tuple[float, ...] = (38, 34, 30, 26, 22)
    suffix = ".hevc"
    setting_name = "crf"

    @property
    def name(self) -> str:
        return f"x265-{self.preset}" + ("-zerolatency" if self.zero_latency else "")

    @property
    def label(self) -> str:
        return f"HEVC {self.preset}" + (", zero latency" if self.zero_latency else "")

    def options(self) -> base.Options:
        return {"encoder": "libx265", **self._options()}

    def _options(self) -> dict[str, str]:
        if self.zero_latency:
            parameters = f"{ONE_THREAD}:bframes=0"
            return {"preset": self.preset, "tune": "zerolatency", "x265-params": parameters}
        return {"preset": self.preset, "x265-params": ONE_THREAD}

    def versions(self) -> dict[str, str]:
        return ffmpeg.versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        options = {**self._options(), "crf": f"{setting:g}"}
        write_frames(clip, frames, target, "libx265", "hevc", options)

    def decode(self, path: Path) -> Iterator[Frame]:
        return read_video(path, "hevc")
