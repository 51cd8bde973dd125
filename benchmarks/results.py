"""Result files: what was measured, on what, by which command, with which versions."""

import datetime
import json
import math
import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from benchmarks.anchors.base import Options
from benchmarks.metrics import ms_ssim_db

RESULTS = Path(__file__).parent / "results"
METRICS = {
    "bpp": "8 * bytes of the whole file / (width * height)",
    "psnr": "dB, 8-bit RGB, all samples of a picture, then the mean over pictures",
    "ms_ssim": "pytorch-msssim, 8-bit RGB, data_range 255, 5 scales, the mean over pictures",
    "ms_ssim_db": "-10 log10(1 - ms_ssim), of the mean",
    "seconds": "wall time of one encode and one decode, on a machine that may have been busy",
}
LIBRARIES = ("pillow", "numpy", "torch", "pytorch-msssim")


@dataclass(frozen=True)
class Row:
    """One picture at one setting."""

    picture: str
    setting: float
    width: int  # pixels
    height: int
    bytes: int  # of the whole file
    bpp: float
    psnr: float  # dB
    ms_ssim: float
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Mean:
    """One setting, averaged over all pictures."""

    setting: float
    bpp: float
    psnr: float
    ms_ssim: float
    ms_ssim_db: float
    encode_seconds: float
    decode_seconds: float


@dataclass
class RdResult:
    """Rate and distortion of one codec on one data set: the content of one result file."""

    codec: str
    label: str
    setting_name: str
    options: Options
    codec_versions: dict[str, str]
    dataset: dict[str, Any]  # name, pictures, sha256
    command: str
    date: str
    versions: dict[str, str]
    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    def same_measurement(self, other: "RdResult") -> bool:
        """Whether rows of `other` would come out the same here, times apart."""
        names = ("codec", "options", "codec_versions", "dataset")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def complete(self) -> bool:
        settings = {row.setting for row in self.rows}
        return bool(settings) and len(self.means()) == len(settings)

    def means(self) -> list[Mean]:
        """One mean per setting for which every picture was measured, by rising rate."""
        by_setting: dict[float, list[Row]] = {}
        for row in self.rows:
            by_setting.setdefault(row.setting, []).append(row)
        whole = [rows for rows in by_setting.values() if len(rows) == self.dataset["pictures"]]
        return sorted((_mean(rows) for rows in whole), key=lambda mean: mean.bpp)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all, one line per picture and setting."""
        document = asdict(self)
        document["metrics"] = METRICS
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
            raise ValueError(f"{path.name}: not a result file of benchmarks.kodak") from error
        return cls(**known)


def load_results(folder: Path, dataset: str) -> list[RdResult]:
    """All finished results for a data set, in the order of their file names."""
    results = [RdResult.load(path) for path in sorted(folder.glob(f"{dataset}_*.json"))]
    return [result for result in results if result.complete()]


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


def versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python and of the libraries that measure, and of the `extra` distributions."""
    found = {"python": platform.python_version()}
    for name in (*LIBRARIES, *extra):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """The processor and the number of its cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    return {"cpu": cpu_model(), "cores": cores, "system": platform.system()}


def cpu_model() -> str:
    """The processor's name with its family and model numbers, as names alone may say little."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    if "model name" not in found:
        return platform.processor() or platform.machine()
    numbers = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
    return f"{found['model name']} ({numbers})"


def today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


def portable_command(module: str, arguments: Sequence[str]) -> str:
    """The command line, with absolute paths cut down to their last part."""
    shown = []
    for argument in arguments:
        option, equals, value = argument.rpartition("=")
        if PurePath(value).is_absolute():
            value = PurePath(value).name
        shown.append(option + equals + value)
    return shlex.join(["python", "-m", module, *shown])


def rounded(value: float) -> float:
    """Six decimals: more than is significant, few enough to read."""
    return round(value, 6)


def _mean(rows: Sequence[Row]) -> Mean:
    def average(name: str) -> float:
        return rounded(math.fsum(getattr(row, name) for row in rows) / len(rows))

    similarity = average("ms_ssim")
    return Mean(
        setting=rows[0].setting,
        bpp=average("bpp"),
        psnr=average("psnr"),
        ms_ssim=similarity,
        ms_ssim_db=rounded(ms_ssim_db(similarity)),
        encode_seconds=average("encode_seconds"),
        decode_seconds=average("decode_seconds"),
    )
