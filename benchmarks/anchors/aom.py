"""AV1 as libaom writes it, through imageio-ffmpeg's program, by constant rate factor."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, read_video


@dataclass(frozen=True)
class Aom:
    """speed: libaom's --cpu-used, 0 to 8, a larger one faster. Its own hierarchical GOP."""

    speed: int = 4
    settings: tuple[float, ...] = (62, 54, 46, 38, 30)
    suffix = ".obu"
    setting_name = "crf"
    name = "libaom"

    @property
    def label(self) -> str:
        return f"AV1, libaom cpu-used {self.speed}"

    def options(self) -> base.Options:
        return {"encoder": "libaom-av1", **self._options()}

    def _options(self) -> dict[str, str]:
        return {"cpu-used": str(self.speed), "threads": "1", "row-mt": "0"}

    def versions(self) -> dict[str, str]:
        return ffmpeg.program_versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        given = [word for key, value in self._options().items() for word in (f"-{key}", value)]
        arguments = ffmpeg.raw_input(clip.width, clip.height, clip.rate, "yuv420p")
        arguments += ["-c:v", "libaom-av1", *given, "-crf", f"{setting:g}", "-f", "obu"]
        ffmpeg.run([*arguments, str(target)], (frame.tobytes() for frame in frames))

    def decode(self, path: Path) -> Iterator[Frame]:
        return read_video(path, "obu")
