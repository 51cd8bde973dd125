"""AV1 as SVT-AV1 writes it, by constant rate factor, as a bare stream of OBUs."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, read_video, write_frames

DEFAULT_PRESET = 4


@dataclass(frozen=True)
class Av1:
    """low_delay: prediction from earlier frames only; else SVT-AV1's own hierarchical GOP.

    preset: of SVT-AV1, a smaller one slower.
    """

    low_delay: bool = False
    preset: int = DEFAULT_PRESET
    settings: tuple[float, ...] = (54, 46, 38, 30, 22)
    suffix = ".obu"
    setting_name = "crf"

    @property
    def name(self) -> str:
        preset = "" if self.preset == DEFAULT_PRESET else f"-preset{self.preset}"
        return f"svtav1{preset}" + ("-lowdelay" if self.low_delay else "")

    @property
    def label(self) -> str:
        return f"AV1, SVT-AV1 preset {self.preset}" + (", low delay" if self.low_delay else "")

    def options(self) -> base.Options:
        return {"encoder": "libsvtav1", **self._options()}

    def _options(self) -> dict[str, str]:
        parameters = "lp=1:pred-struct=1" if self.low_delay else "lp=1"  # lp: one thread
        return {"preset": str(self.preset), "svtav1-params": parameters}

    def versions(self) -> dict[str, str]:
        return ffmpeg.versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 knows no other way
        options = {**self._options(), "crf": f"{setting:g}"}
        write_frames(clip, frames, target, "libsvtav1", "obu", options)

    def decode(self, path: Path) -> Iterator[Frame]:
        return read_video(path, "obu")
