"""AV1 as SVT-AV1 writes it at preset 4, by constant rate factor, as a bare stream of OBUs."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, read_video, write_frames

PRESET = "4"


@dataclass(frozen=True)
class Av1:
    """low_delay: prediction from earlier frames only; else SVT-AV1's own hierarchical GOP."""

    low_delay: bool = False
    settings: tuple[float, ...] = (54, 46, 38, 30, 22)
    suffix = ".obu"
    setting_name = "crf"

    @property
    def name(self) -> str:
        return "svtav1-lowdelay" if self.low_delay else "svtav1"

    @property
    def label(self) -> str:
        return "AV1" + (", low delay" if self.low_delay else "")

    def options(self) -> base.Options:
        return {"encoder": "libsvtav1", **self._options()}

    def _options(self) -> dict[str, str]:
        parameters = "lp=1:pred-struct=1" if self.low_delay else "lp=1"  # lp: one thread
        return {"preset": PRESET, "svtav1-params": parameters}

    def versions(self) -> dict[str, str]:
        return ffmpeg.versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 knows no other way
        options = {**self._options(), "crf": f"{setting:g}"}
        write_frames(clip, frames, target, "libsvtav1", "obu", options)

    def decode(self, path: Path) -> Iterator[Frame]:
        return read_video(path, "obu")
