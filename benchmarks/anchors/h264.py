"""H.264 as x264 writes it, by constant rate factor, as a bare elementary stream."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.anchors import base, ffmpeg
from benchmarks.colour import Frame
from benchmarks.datasets.clips import Clip, read_video, write_frames


@dataclass(frozen=True)
class H264:
    """preset: of x264. zero_latency: no B-frames, no look-ahead; else x264's own GOP."""

    preset: str = "medium"
    zero_latency: bool = False
    settings: tuple[float, ...] = (37, 33, 29, 25, 21)
    suffix = ".h264"
    setting_name = "crf"

    @property
    def name(self) -> str:
        return f"x264-{self.preset}" + ("-zerolatency" if self.zero_latency else "")

    @property
    def label(self) -> str:
        return f"H.264 {self.preset}" + (", zero latency" if self.zero_latency else "")

    def options(self) -> base.Options:
        tune: base.Options = {"tune": "zerolatency", "bf": "0"} if self.zero_latency else {}
        # The message that names the encoder's settings is left out of the stream: 680 bytes.
        return {"encoder": "libx264", "preset": self.preset, **tune, "threads": 1, "sei": False}

    def versions(self) -> dict[str, str]:
        return ffmpeg.versions()

    def encode(self, clip: Clip, frames: Iterable[Frame], setting: float, target: Path) -> None:
        options = {"preset": self.preset, "crf": f"{setting:g}"}
        if self.zero_latency:
            options |= {"tune": "zerolatency", "bf": "0"}
        drop = "filter_units=remove_types=6"
        write_frames(clip, frames, target, "libx264", "h264", options, drop)

    def decode(self, path: Path) -> Iterator[Frame]:
        return read_video(path, "h264")
