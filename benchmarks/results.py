"""Result files: rate, distortion and time of one codec on one data set, as JSON."""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks import lpips
from benchmarks.anchors.base import Options
from benchmarks.metrics import ms_ssim_db

RESULTS = Path(__file__).parent / "results"
METRICS_VERSION = 1  # to be raised when a metric gives other numbers: no older row is kept then
# Frames of a clip. No power of two: pyramids of B-frames have their best frames at those.
LPIPS_EVERY = 7
DEFINITIONS = {
    "bpp": "8 * bytes of the whole file / (width * height * frames)",
    "psnr": "dB, 8-bit RGB, all samples of a picture or frame, then means over frames and items",
    "psnr_yuv": "dB, (6 Y + Cb + Cr) / 8; pictures: BT.601 at full resolution; clips: 4:2:0 planes",
    "ms_ssim": "pytorch-msssim, 8-bit RGB, data_range 255, 5 scales, means over frames and items; "
    "null below 161 pixels a side",
    "ms_ssim_db": "-10 log10(1 - ms_ssim), of the mean",
    "lpips": f"{lpips.LABEL}; of clips every {LPIPS_EVERY}th frame; null where not measured",
    "ssimulacra2": "package ssimulacra2, of pictures; null where not measured",
    "vmaf": "libvmaf, vmaf_v0.6.1, of clips, frames not scaled, means; null where not measured",
    "rgb_of_clips": "BT.601 below 720 rows, else BT.709; limited range, chroma linear",
    "seconds": "of coding all frames: wall time, or processor time of all threads where that is "
    "less, so that waiting on a busy machine does not count; one thread for the anchors",
    "peak_memory": "of a process that codes one item; idle: with all libraries loaded",
}


@dataclass(frozen=True)
class Row:
    """One picture or clip at one setting. What is None was not measured or is not defined."""

    item: str
    setting: float
    width: int  # pixels
    height: int
    frames: int  # 1 for a picture
    bytes: int  # of the whole file
    bpp: float
    psnr: float  # dB
    psnr_yuv: float | None  # dB
    ms_ssim: float | None
    lpips: float | None
    encode_seconds: float
    decode_seconds: float
    ssimulacra2: float | None = None  # of pictures, 100 for equal ones
    vmaf: float | None = None  # of clips, 0 to 100

    @property
    def megapixels(self) -> float:
        return self.width * self.height * self.frames / 1e6


@dataclass(frozen=True)
class Mean:
    """One setting, averaged over all items; None for what some item lacks."""

    setting: float
    bpp: float
    psnr: float
    psnr_yuv: float | None
    ms_ssim: float | None
    ms_ssim_db: float | None
    lpips: float | None
    encode_seconds: float  # a megapixel
    decode_seconds: float
    ssimulacra2: float | None = None
    vmaf: float | None = None


@dataclass
class RdResult:
    """Rate and distortion of one codec on one data set: the content of one result file."""

    codec: str
    label: str
    setting_name: str
    options: Options
    codec_versions: dict[str, str]
    dataset: dict[str, Any]  # name, kind, items, preparation, sha256
    hashes: dict[str, str]  # SHA-256 of the samples of each item
    command: str
    commit: str
    date: str
    versions: dict[str, str]
    machine: dict[str, Any]
    metrics_version: int = METRICS_VERSION
    peak_memory: dict[str, Any] | None = None
    rows: list[Row] = field(default_factory=list)

    def same_measurement(self, other: "RdResult") -> bool:
        """Whether rows of `other` about the same item would come out the same, times apart."""
        names = ("codec", "options", "codec_versions", "metrics_version")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def complete(self) -> bool:
        settings = {row.setting for row in self.rows}
        return bool(settings) and len(self.means()) == len(settings)

    def means(self) -> list[Mean]:
        """One mean per setting for which every item was measured, by rising rate."""
        by_setting: dict[float, list[Row]] = {}
        for row in self.rows:
            by_setting.setdefault(row.setting, []).append(row)
        whole = [rows for rows in by_setting.values() if len(rows) == self.dataset["items"]]
        return sorted((_mean(rows) for rows in whole), key=lambda mean: mean.bpp)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all, one line per item and setting."""
        document = asdict(self)
        document["definitions"] = DEFINITIONS
        document["means"] = [asdict(mean) for mean in self.means()]
        document["rows"] = document.pop("rows")  # last, as they are many
        write_json(path, document)

    @classmethod
    def load(cls, path: Path) -> "RdResult":
        """Read a file that `save` wrote. Raises ValueError when it is something else."""
        document = json.loads(path.read_text(encoding="utf-8"))
        try:
            known = {entry.name: document[entry.name] for entry in fields(cls)}
            known["rows"] = [Row(**row) for row in document["rows"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path.name}: not a result file of benchmarks run") from error
        return cls(**known)


def load_results(folder: Path, dataset: str) -> list[RdResult]:
    """All finished results for a data set, in the order of their file names.

    Raises ValueError for other JSON of such a name, and for results about different items.
    """
    found = [RdResult.load(path) for path in sorted(folder.glob(f"{dataset}_*.json"))]
    found = [result for result in found if result.dataset["name"] == dataset and result.complete()]
    if len({result.dataset["sha256"] for result in found}) > 1:
        raise ValueError(f"the result files of {dataset} are about different items; measure again")
    return found


def dataset_names(folder: Path) -> list[str]:
    """The data sets that a folder holds results of; files without rows are something else."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*_*.json")]
    return sorted({document["dataset"]["name"] for document in documents if "hashes" in document})


def items_text(dataset: dict[str, Any]) -> str:
    """How many pictures or clips a set has: "24 pictures", "1 clip"."""
    count, kind = dataset["items"], dataset["kind"]
    return f"{count} {kind.removesuffix('s') if count == 1 else kind}"


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object so that a diff shows it well: an inner list's entries a line each."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            entries = ",\n".join("  " + json.dumps(entry, allow_nan=False) for entry in value)
            text = f"[\n{entries}\n ]"
        else:
            text = json.dumps(value, allow_nan=False)
        lines.append(f" {json.dumps(key)}: {text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(partial, path)


def rounded(value: float) -> float:
    """Six decimals: more than is significant, few enough to read."""
    return round(value, 6)


def rounded_or_none(value: float | None) -> float | None:
    return None if value is None else rounded(value)


def _mean(rows: Sequence[Row]) -> Mean:
    def average(value: Callable[[Row], float | None]) -> float | None:
        values = [value(row) for row in rows]
        present = [v for v in values if v is not None]
        return rounded(math.fsum(present) / len(rows)) if len(present) == len(rows) else None

    def certain(value: Callable[[Row], float]) -> float:
        return rounded(math.fsum(value(row) for row in rows) / len(rows))

    similarity = average(lambda row: row.ms_ssim)
    megapixels = math.fsum(row.megapixels for row in rows)
    return Mean(
        setting=rows[0].setting,
        bpp=certain(lambda row: row.bpp),
        psnr=certain(lambda row: row.psnr),
        psnr_yuv=average(lambda row: row.psnr_yuv),
        ms_ssim=similarity,
        ms_ssim_db=None if similarity is None else rounded(ms_ssim_db(similarity)),
        lpips=average(lambda row: row.lpips),
        encode_seconds=rounded(math.fsum(row.encode_seconds for row in rows) / megapixels),
        decode_seconds=rounded(math.fsum(row.decode_seconds for row in rows) / megapixels),
        ssimulacra2=average(lambda row: row.ssimulacra2),
        vmaf=average(lambda row: row.vmaf),
    )
