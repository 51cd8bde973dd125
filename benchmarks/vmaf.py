"""VMAF of clips by libvmaf, through imageio-ffmpeg's program, where that is installed.

Li et al., "Toward a practical perceptual video quality metric", Netflix, 2016; model vmaf_v0.6.1.
"""

import json
import tempfile
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

from benchmarks.anchors import ffmpeg
from benchmarks.colour import Frame

MODEL = "vmaf_v0.6.1"


def is_installed() -> bool:
    """Whether there is a program with libvmaf."""
    return find_spec("imageio_ffmpeg") is not None


class Vmaf:
    """Collects pairs of frames on the disk; `score` is the mean over them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bsqcodec-vmaf-")
        folder = Path(self._folder.name)
        self._paths = folder / "reference.yuv", folder / "decoded.yuv"
        self._log = folder / "vmaf.json"
        self._size = (0, 0)

    def add(self, reference: Frame, decoded: Frame) -> None:
        """One pair of frames [3 H / 2, W]."""
        rows, width = reference.shape
        self._size = width, rows * 2 // 3
        for path, frame in zip(self._paths, (reference, decoded), strict=True):
            with path.open("ab") as file:
                file.write(frame.tobytes())

    def score(self) -> float:
        """0 to 100, the mean over frames, whose files are removed.

        Raises RuntimeError if the program fails.
        """
        reference, decoded = self._paths
        arguments = []
        for path in (decoded, reference):  # libvmaf takes the original second
            arguments += ffmpeg.raw_input(*self._size, Fraction(25), "yuv420p", path.as_posix())
        options = f"model=version={MODEL}:n_threads=1:log_fmt=json:log_path={self._log.as_posix()}"
        with self._folder:
            ffmpeg.run([*arguments, "-lavfi", f"libvmaf={options}", "-f", "null", "-"], ())
            pooled = json.loads(self._log.read_text(encoding="utf-8"))["pooled_metrics"]
        return float(pooled["vmaf"]["mean"])
