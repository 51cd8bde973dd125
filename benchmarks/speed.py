"""Seconds, memory, and coded size against the ideal code length, of bsqcodec on this machine."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from PIL import Image

from benchmarks import environment, memory_probe, ours, results
from benchmarks.datasets import DatasetError, generated_picture, mosaic, open_kodak
from benchmarks.memory_probe import MIB
from benchmarks.run import data_option

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec

FILE = "speed.json"
SIZES = ((768, 512), (2448, 1632), (6000, 4000))  # 0.4, 4 and 24 megapixels
IDEAL_QUALITIES = (10.0, 50.0, 90.0)
LIMITS = {
    "help_seconds": 0.3,
    "info_seconds": 0.3,
    "import_and_load_seconds": 3.0,
    "encode_seconds": 1.5,
    "decode_seconds": 1.5,
    "peak_rss_mib": 3 * 1024.0,
    "time_growth": 1.25,
    "memory_growth": 1.25,
    "size_excess_over_allowance": 1.0,
}
STARTUP = """
import sys, time
started = time.perf_counter()
from bsqcodec.image.codec import Codec
imported = time.perf_counter()
Codec(sys.argv[1] or None, device="cpu", threads=int(sys.argv[2]) or None)
print(imported - started, time.perf_counter() - imported)
"""


def timed(action: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Wall seconds of `repeats` calls: their median and each of them."""
    runs = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        runs.append(round(time.perf_counter() - started, 4))
    return {"median_seconds": round(statistics.median(runs), 4), "runs": runs}


def process(command: Sequence[str]) -> str:
    """Standard output of a command. Raises click.ClickException with its last words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise click.ClickException(f"{' '.join(command[1:4])}: exit {done.returncode}: {words}")
    return done.stdout


def startup(weights: str | None, threads: int | None, repeats: int) -> dict[str, Any]:
    """Seconds until a fresh process has imported the codec and loaded its weights."""
    command = [sys.executable, "-c", STARTUP, weights or "", str(threads or 0)]
    runs = [[float(part) for part in process(command).split()] for _ in range(repeats)]
    imports, loads = zip(*runs, strict=True)
    return {
        "import_seconds": round(statistics.median(imports), 4),
        "load_seconds": round(statistics.median(loads), 4),
        "import_and_load_seconds": round(statistics.median(map(sum, runs)), 4),
    }


def scaling(
    pictures: Sequence[Image.Image],
    sizes: Sequence[tuple[int, int]],
    folder: Path,
    options: Sequence[str],
) -> list[dict[str, Any]]:
    """Time and peak memory of encode and decode at each size, each in a process of its own.

    Leaves `WIDTHxHEIGHT.bsq` files in `folder`.
    """
    rows = []
    for width, height in sizes:
        source, coded = folder / f"{width}x{height}.ppm", folder / f"{width}x{height}.bsq"
        mosaic(pictures, width, height).save(source)
        for direction, paths in (
            ("encode", (source, coded)),
            ("decode", (coded, folder / "decoded.ppm")),
        ):
            report = memory_probe.probe("bsqcodec", direction, *paths, options)
            megapixels = width * height / 1e6
            rows.append(
                {
                    "direction": direction,
                    "width": width,
                    "height": height,
                    "megapixels": round(megapixels, 4),
                    "bytes": coded.stat().st_size,
                    "seconds": round(report["seconds"], 3),
                    "seconds_per_megapixel": round(report["seconds"] / megapixels, 4),
                    "loaded_rss_mib": round(report["loaded_rss_bytes"] / MIB, 1),
                    "peak_rss_mib": round(report["peak_rss_bytes"] / MIB, 1),
                }
            )
            click.echo(json.dumps(rows[-1]))
        source.unlink()
    return rows


def ideal_length(
    codec: "Codec", pictures: Sequence[tuple[str, Image.Image]], qualities: Sequence[float]
) -> list[dict[str, Any]]:
    """Bytes of whole files beside the code length that the prior's probabilities promise.

    The allowance is 0.5 % of the ideal length plus 64 bytes for header, checks and lengths.
    """
    from bsqcodec.targets import Quality

    rows = []
    for name, image in pictures:
        for quality in qualities:
            encoded = codec.encode(image, Quality(quality))
            ideal = encoded.ideal_bits / 8
            excess = len(encoded.data) - ideal
            rows.append(
                {
                    "picture": name,
                    "quality": quality,
                    "bytes": len(encoded.data),
                    "ideal_bytes": round(ideal, 1),
                    "excess_bytes": round(excess, 1),
                    "excess_over_allowance": round(excess / (0.005 * ideal + 64), 3),
                }
            )
    return rows


def growth(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How far time and memory are from growing linearly, worst direction, 1 being linear.

    Time per megapixel, and memory per megapixel beyond that of the loaded codec, at the largest
    size over those at the second largest: at small sizes fixed costs hide the growth.
    """
    worst = {"time_growth": 0.0, "memory_growth": 0.0}
    for direction in ("encode", "decode"):
        chosen = sorted(
            (row for row in rows if row["direction"] == direction), key=lambda r: r["megapixels"]
        )
        if len(chosen) < 2:
            continue
        small, large = chosen[-2:]
        time_growth = large["seconds_per_megapixel"] / small["seconds_per_megapixel"]
        extra = [
            max(row["peak_rss_mib"] - row["loaded_rss_mib"], 0.1) / row["megapixels"]
            for row in (small, large)
        ]
        worst["time_growth"] = round(max(worst["time_growth"], time_growth), 3)
        worst["memory_growth"] = round(max(worst["memory_growth"], extra[1] / extra[0]), 3)
    return worst


def checks(values: dict[str, float]) -> list[dict[str, Any]]:
    """Each measured value beside its limit."""
    return [
        {"what": name, "value": values[name], "limit": limit, "met": values[name] <= limit}
        for name, limit in LIMITS.items()
    ]


def load_pictures(data: Path | None) -> list[tuple[str, Image.Image]]:
    """The Kodak pictures, or generated ones of the same size where no folder is given."""
    if data is None:
        return [(f"generated{i}", generated_picture(768, 512, seed=i)) for i in range(4)]
    return [(picture.name, picture.load()) for picture in open_kodak(data).items]


def parse_sizes(text: str) -> list[tuple[int, int]]:
    sizes = []
    for part in text.split(","):
        width, _, height = part.strip().partition("x")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise click.UsageError(f"--sizes takes WIDTHxHEIGHT with commas, not {part.strip()!r}")
        sizes.append((int(width), int(height)))
    return sizes


@click.command("speed")
@data_option
@click.option("--quality", default=50.0, show_default=True, help="Quality coded at.")
@click.option("--repeats", default=5, show_default=True, help="Runs that a median is taken of.")
@click.option(
    "--sizes",
    default=",".join(f"{width}x{height}" for width, height in SIZES),
    show_default=True,
    help="Sizes for time and memory.",
)
@click.option("--weights", help="Weights instead of the shipped ones.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads for the codec.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=results.RESULTS / FILE,
    help=f"The result file  [default: benchmarks/results/{FILE}]",
)
def main(
    data: Path | None,
    quality: float,
    repeats: int,
    sizes: str,
    weights: str | None,
    threads: int | None,
    out: Path,
) -> None:
    """Measure bsqcodec's start-up, times, memory and coded size, and write the result file.

    Without --data the pictures are generated.
    """
    wanted = parse_sizes(sizes)
    try:
        pictures = load_pictures(data)
    except DatasetError as error:
        raise click.ClickException(str(error)) from error
    options = ["--setting", str(quality)]
    options += ["--weights", weights] if weights else []
    options += ["--threads", str(threads)] if threads else []
    # Everything that runs in processes of its own comes before this one loads the codec.
    with tempfile.TemporaryDirectory(prefix="bsqcodec-speed-") as temporary:
        folder = Path(temporary)
        rows = scaling([image for _, image in pictures], wanted, folder, options)
        cli = [sys.executable, "-m", "bsqcodec"]
        coded = str(folder / f"{wanted[0][0]}x{wanted[0][1]}.bsq")
        processes = {
            name: timed(partial(process, [*cli, *arguments]), repeats)
            for name, arguments in (
                ("help", ["--help"]),
                ("version", ["--version"]),
                ("info", ["info", coded]),
            )
        }
    start = startup(weights, threads, min(repeats, 3))
    codec = ours.open_codec(weights, threads)
    still = ours.BsqStill(codec)
    name, image = pictures[0]
    data_bytes = still.encode(image, quality)
    still.decode(data_bytes)
    picture: dict[str, Any] = {
        "name": name,
        "width": image.width,
        "height": image.height,
        "encode": timed(lambda: still.encode(image, quality), repeats),
        "decode": timed(lambda: still.decode(data_bytes), repeats),
    }
    ideal = ideal_length(codec, pictures, IDEAL_QUALITIES)
    verdict = checks(
        {
            "help_seconds": processes["help"]["median_seconds"],
            "info_seconds": processes["info"]["median_seconds"],
            "import_and_load_seconds": start["import_and_load_seconds"],
            "encode_seconds": picture["encode"]["median_seconds"],
            "decode_seconds": picture["decode"]["median_seconds"],
            "peak_rss_mib": max(row["peak_rss_mib"] for row in rows),
            **growth(rows),
            "size_excess_over_allowance": max(row["excess_over_allowance"] for row in ideal),
        }
    )
    document = {
        "command": environment.portable_command("benchmarks", sys.argv[1:]),
        "date": environment.today(),
        "versions": environment.versions(extra=("bsqcodec", "constriction")),
        "machine": environment.machine(),
        "options": {**still.options(), "quality": quality, "threads": threads},
        "checks": verdict,
        "processes": processes,
        "startup": start,
        "picture": picture,
        "scaling": rows,
        "ideal": ideal,
    }
    results.write_json(out, document)
    for check in verdict:
        sign = "ok  " if check["met"] else "OVER"
        click.echo(f"{sign} {check['what']}: {check['value']:g} (limit {check['limit']:g})")
