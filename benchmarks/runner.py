"""Measures codecs on data sets from files written and read back; keeps what was measured."""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from benchmarks import environment, metrics
from benchmarks.anchors.base import Options, StillCodec, VideoCodec
from benchmarks.colour import Frame
from benchmarks.datasets import Clip, Dataset, PictureFile
from benchmarks.datasets.base import T, digest_of
from benchmarks.judge import Judge, Quality
from benchmarks.results import RdResult, Row, rounded, rounded_or_none
from bsqcodec.compare import ssimulacra2_score
from bsqcodec.encoder import lpips

Key = tuple[str, float]
"""The item and the setting of a row."""


PROVENANCE = ("command", "commit", "date", "versions", "machine")
"""The fields of a result that tell when, how and where its rows were measured."""


class Codec(Protocol):
    """What a still and a video codec have in common."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def setting_name(self) -> str: ...
    @property
    def settings(self) -> tuple[float, ...]: ...
    def options(self) -> Options: ...
    def versions(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Clocks:
    """Readings of two clocks, or what passed between them, in seconds."""

    wall: float = 0.0
    processor: float = 0.0  # of all threads of this process and of its ended child processes

    @classmethod
    def now(cls) -> "Clocks":
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = children.ru_utime + children.ru_stime
        return cls(time.perf_counter(), time.process_time() + ended)

    def __add__(self, other: "Clocks") -> "Clocks":
        return Clocks(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: "Clocks") -> "Clocks":
        return Clocks(self.wall - other.wall, self.processor - other.processor)

    def seconds(self) -> float:
        """The smaller: threads side by side count once, and waiting for a busy machine does not."""
        return min(self.wall, self.processor)


class Timed:
    """Passes frames on and counts the time spent in getting them."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.spent = Clocks()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        started = Clocks.now()
        try:
            return next(self._frames)
        finally:
            self.spent += Clocks.now() - started


def measure_picture(
    codec: StillCodec, judge: Judge, picture: PictureFile, setting: float, folder: Path
) -> Row:
    """Code one RGB picture into a file in `folder`, decode that file, compare."""
    image = picture.load()
    started = Clocks.now()
    data = codec.encode(image, setting)
    encoding = Clocks.now() - started
    path = folder / f"picture{codec.suffix}"
    path.write_bytes(data)
    read = path.read_bytes()
    started = Clocks.now()
    decoded = codec.decode(read)
    spent = encoding, Clocks.now() - started
    quality = judge.picture(image, decoded)
    return _row(picture.name, setting, (image.width, image.height, 1), path, quality, spent)


def measure_clip(codec: VideoCodec, judge: Judge, clip: Clip, setting: float, folder: Path) -> Row:
    """Code one clip into a file in `folder`, decode that file, compare frame by frame."""
    path = folder / f"clip{codec.suffix}"
    source = Timed(clip.read())
    started = Clocks.now()
    codec.encode(clip, source, setting, path)
    encoding = Clocks.now() - started - source.spent
    decoded = Timed(codec.decode(path))
    quality = judge.clip(clip.read(), decoded)
    spent = encoding, decoded.spent
    return _row(clip.name, setting, (clip.width, clip.height, clip.frames), path, quality, spent)


def _row(
    name: str,
    setting: float,
    size: tuple[int, int, int],
    path: Path,
    quality: Quality,
    spent: tuple[Clocks, Clocks],
) -> Row:
    width, height, frames = size
    length = path.stat().st_size
    return Row(
        item=name,
        setting=setting,
        width=width,
        height=height,
        frames=frames,
        bytes=length,
        bpp=rounded(metrics.bpp(length, width, height, frames)),
        psnr=rounded(quality.psnr),
        psnr_yuv=rounded(quality.psnr_yuv),
        ms_ssim=rounded_or_none(quality.ms_ssim),
        lpips=rounded_or_none(quality.lpips),
        encode_seconds=rounded(spent[0].seconds()),
        decode_seconds=rounded(spent[1].seconds()),
        ssimulacra2=rounded_or_none(quality.ssimulacra2),
        vmaf=rounded_or_none(quality.vmaf),
    )


def run(
    codec: Codec,
    dataset: Dataset[T],
    target: Path,
    measure: Callable[[T, float, Path], Row],
    *,
    kind: str,
    command: str,
    measures: frozenset[str] = frozenset(),
    fresh: bool = False,
    peak_memory: Callable[[T, float], dict[str, Any]] | None = None,
    hashes: dict[str, str] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> RdResult:
    """Measure `codec` at all its settings on all items and keep `target` up to date.

    measure(item, setting, folder) makes a row. Rows that `target` already holds for the same
    codec, options, versions and samples are kept, unless `fresh` is set. Those that lack one of
    `measures`, which can be measured now, are coded again and get what they lack (see
    `completed`). So a stopped run goes on where it stopped, and a finished one costs nothing.
    hashes: of the items, if known. `note` gets one line where a file is of no use.
    """
    hashes = dataset.hashes() if hashes is None else hashes
    result = RdResult(
        codec=codec.name,
        label=codec.label,
        setting_name=codec.setting_name,
        options=codec.options(),
        codec_versions=codec.versions(),
        dataset={
            "name": dataset.name,
            "kind": kind,
            "items": len(dataset.items),
            "preparation": dataset.preparation,
            "sha256": digest_of(hashes),
        },
        hashes=hashes,
        command=command,
        commit=environment.commit(),
        date=environment.today(),
        versions=environment.versions(),
        machine=environment.machine(),
    )
    wanted = [(item.name, setting) for item in dataset.items for setting in codec.settings]
    earlier = None if fresh else _comparable(result, target, note)
    rows = {} if earlier is None else reusable(earlier, hashes, wanted)
    missing = [key for key in wanted if key not in rows or _lacks(rows[key], measures)]
    if earlier is not None:
        if not missing and len(earlier.rows) == len(wanted) and earlier.hashes == hashes:
            return earlier
        result.peak_memory = earlier.peak_memory
    now = result
    if earlier is not None and len(rows) == len(wanted):
        result = replace(now, **{name: getattr(earlier, name) for name in PROVENANCE})
    items = {item.name: item for item in dataset.items}
    with tempfile.TemporaryDirectory(prefix="bsqcodec-bench-") as folder:
        for key in tqdm(missing, desc=codec.name, unit="row", disable=None):
            row = measure(items[key[0]], key[1], Path(folder))
            rows[key] = completed(rows[key], row) if key in rows else row
            if rows[key] is row:
                result = now
            result.rows = [rows[key] for key in wanted if key in rows]
            result.save(target)
    result.rows = [rows[key] for key in wanted]
    if peak_memory is not None and result.peak_memory is None:
        middle = codec.settings[len(codec.settings) // 2]
        result.peak_memory = peak_memory(dataset.items[0], middle)
    result.save(target)
    return result


def _comparable(result: RdResult, target: Path, note: Callable[[str], None]) -> RdResult | None:
    """What `target` holds, if it was measured as `result` will be."""
    if not target.is_file():
        return None
    earlier = RdResult.load(target)
    if result.same_measurement(earlier):
        return earlier
    note(f"{target.name}: of another version or other options; measuring again")
    return None


def reusable(earlier: RdResult, hashes: dict[str, str], wanted: Sequence[Key]) -> dict[Key, Row]:
    """The wanted rows whose item still has the same samples."""
    rows = {(row.item, row.setting): row for row in earlier.rows}
    return {
        key: rows[key]
        for key in wanted
        if key in rows and earlier.hashes.get(key[0]) == hashes[key[0]]
    }


def completed(earlier: Row, again: Row) -> Row:
    """The earlier row with what it lacks from `again`, or `again` if the file has another size.

    So times stay those of the first measurement, as do measures that cannot be taken here; a
    result of such rows alone keeps its PROVENANCE.
    """
    if earlier.bytes != again.bytes:
        return again
    lacking = [entry.name for entry in fields(Row) if getattr(earlier, entry.name) is None]
    return replace(earlier, **{name: getattr(again, name) for name in lacking})


def _lacks(row: Row, measures: frozenset[str]) -> bool:
    """Whether one of the measures is defined for the row's item but was not taken."""
    return any(getattr(row, name) is None for name in measures if _is_defined(name, row))


def _is_defined(measure: str, row: Row) -> bool:
    """Whether a measure is defined for pictures or frames of this size."""
    smallest = {"lpips": lpips.MIN_SIDE, "ssimulacra2": ssimulacra2_score.MIN_SIDE}
    return min(row.width, row.height) >= smallest.get(measure, 1)
