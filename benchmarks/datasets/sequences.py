"""Sets of clips: UVG and MCL-JCV by their published names, or any folder of videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from fractions import Fraction
from functools import partial
from pathlib import Path

from benchmarks.datasets.base import Dataset, DatasetError, existing_folder, missing_files
from benchmarks.datasets.clips import Clip, open_video_file, raw_frames, read_raw, scaled
from benchmarks.datasets.generated import generated_clip

UVG_SOURCE = "https://ultravideo.fi/"
MCL_JCV_SOURCE = "https://mcl.usc.edu/mcl-jcv-dataset/"
VIDEO_SUFFIXES = frozenset({".mkv", ".mp4", ".mov", ".webm", ".avi", ".y4m"})


@dataclass(frozen=True)
class Sequence1080:
    """One published sequence: headerless 8-bit 4:2:0 at 1920x1080."""

    name: str
    file: str
    frames: int
    rate: int  # frames a second
    width: int = 1920
    height: int = 1080


def _uvg(name: str, frames: int = 600) -> Sequence1080:
    return Sequence1080(name, f"{name}_1920x1080_120fps_420_8bit_YUV.yuv", frames, 120)


def _mcl_jcv(number: int, rate: int) -> Sequence1080:
    """All of five seconds."""
    name = f"videoSRC{number:02d}"
    return Sequence1080(name, f"{name}_1920x1080_{rate}.yuv", 5 * rate, rate)


UVG = (
    _uvg("Beauty"),
    _uvg("Bosphorus"),
    _uvg("HoneyBee"),
    _uvg("Jockey"),
    _uvg("ReadySteadyGo"),
    _uvg("ShakeNDry", 300),
    _uvg("YachtRide"),
)
MCL_JCV_RATES = {
    24: (17, 21, 22, 23, 24, 25, 29),
    25: (5, 6, 7, 8, 9, 18, 20),
}
MCL_JCV = tuple(
    _mcl_jcv(number, next((r for r, group in MCL_JCV_RATES.items() if number in group), 30))
    for number in range(1, 31)
)


def open_sequences(
    name: str,
    sequences: Sequence[Sequence1080],
    folder: Path | None,
    source: str,
    allow_short: bool = False,
    only: str = "*",
) -> Dataset[Clip]:
    """Published sequences, from anywhere below `folder`.

    allow_short: take files with another number of frames as well, as a set of another name.
    only: a shell pattern; sequences with other names are left out and need not be there.
    Raises DatasetError naming what is missing, or the frames expected and found.
    """
    folder = existing_folder(folder, name, source)
    sequences = [sequence for sequence in sequences if fnmatch(sequence.name, only)]
    if not sequences:
        raise DatasetError(f"{name} has nothing that matches {only}")
    found = {path.name: path for path in sorted(folder.rglob("*.yuv"))}
    missing = [sequence.file for sequence in sequences if sequence.file not in found]
    if missing:
        raise DatasetError(missing_files(folder, name, missing, len(sequences), source))
    clips, short = [], False
    for sequence in sequences:
        path, size = found[sequence.file], (sequence.width, sequence.height)
        frames = raw_frames(path, *size)
        if frames != sequence.frames:
            short = True
            if not allow_short:
                raise DatasetError(
                    f"{sequence.file}: {sequence.frames} frames expected, {frames} found"
                )
        open_file = partial(read_raw, path, *size)
        clips.append(Clip(sequence.name, *size, frames, Fraction(sequence.rate), open_file))
    return Dataset(f"{name}-short" if short else name, tuple(clips))


def open_uvg(folder: Path | None, allow_short: bool = False, only: str = "*") -> Dataset[Clip]:
    """The seven UVG sequences at 1080p, 8 bits, 120 frames a second. Raises DatasetError.

    Mercat, Viitanen, Vanne, "UVG dataset: 50/120fps 4K sequences for video codec analysis and
    development", MMSys 2020.
    """
    return open_sequences("uvg", UVG, folder, UVG_SOURCE, allow_short, only)


def open_mcl_jcv(folder: Path | None, allow_short: bool = False, only: str = "*") -> Dataset[Clip]:
    """The thirty MCL-JCV sequences at 1080p. Raises DatasetError.

    Wang et al., "MCL-JCV: a JND-based H.264/AVC video quality assessment dataset", ICIP 2016.
    """
    return open_sequences("mcl-jcv", MCL_JCV, folder, MCL_JCV_SOURCE, allow_short, only)


def open_mcl_jcv_360p(
    folder: Path | None, allow_short: bool = False, only: str = "*"
) -> Dataset[Clip]:
    """MCL-JCV scaled down to 640x360, the size at which BSQ-ViT was measured."""
    return _at_360p(open_mcl_jcv(folder, allow_short, only), "mcl-jcv")


def open_uvg_360p(folder: Path | None, allow_short: bool = False, only: str = "*") -> Dataset[Clip]:
    """UVG scaled down to 640x360. Raises DatasetError."""
    return _at_360p(open_uvg(folder, allow_short, only), "uvg")


def _at_360p(large: Dataset[Clip], name: str) -> Dataset[Clip]:
    clips = tuple(scaled(clip, 640, 360) for clip in large.items)
    preparation = "scaled from 1920x1080 to 640x360 by swscale, bicubic"
    return Dataset(large.name.replace(name, f"{name}-360p"), clips, preparation)


def write_stand_in(sequence: Sequence1080, folder: Path, frames: int | None = None) -> Path:
    """Write a file that stands in for a published sequence, and return its path.

    It has the published name, geometry and length, or so many frames, and shows a generated
    picture that moves.
    """
    clip = generated_clip(sequence.width, sequence.height, frames or sequence.frames)
    path = folder / sequence.file
    with open(path, "wb") as file:
        file.writelines(frame.tobytes() for frame in clip.read())
    return path


def open_videos(folder: Path | None) -> Dataset[Clip]:
    """Every video directly inside `folder`, by name. Raises DatasetError when there is none."""
    folder = existing_folder(folder, "the videos")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise DatasetError(f"{folder}: no videos in this folder")
    return Dataset(folder.resolve().name, tuple(open_video_file(path) for path in paths))
