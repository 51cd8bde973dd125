"""Code or decode one item in a process of its own and print its time and peak memory as JSON.

Memory is only ever a process's, so this is started once for each codec, item and direction. Of an
encoder that is a program of its own, the larger of both processes counts.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from benchmarks.anchors import StillCodec, VideoCodec
from benchmarks.datasets import Clip, PictureFile, write_y4m
from benchmarks.datasets.clips import open_video_file
from benchmarks.ours import make_still, make_video

MIB = 1024 * 1024


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far.

    Linux's VmHWM where there is one: ru_maxrss starts from the size of the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return 1024 * int(fields["VmHWM"].split()[0])


def children_peak_rss_bytes() -> int:
    """Largest resident memory of an ended child process, at least about that of this process.

    A child starts with the size of its parent (see `peak_rss_bytes`).
    """
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def of_item(
    codec: str, item: PictureFile | Clip, setting: float, options: Sequence[str] = ()
) -> dict[str, Any]:
    """Peak memory in MiB of processes that encode and decode one item, and of an idle one."""
    with tempfile.TemporaryDirectory(prefix="bsqcodec-memory-") as folder:
        source, coded, decoded = (Path(folder) / name for name in ("source", "coded", "decoded"))
        if isinstance(item, Clip):
            source, options = source.with_suffix(".y4m"), ["--video", *options]
            write_y4m(item, source)
        else:
            source = source.with_suffix(".ppm")
            item.load().save(source)
        given = ["--setting", str(setting), *options]
        encoding = probe(codec, "encode", source, coded, given)
        decoding = probe(codec, "decode", coded, decoded, given)
    # The two processes load the same, but not to the page: the smaller bounds both from below.
    idle = min(encoding["loaded_rss_bytes"], decoding["loaded_rss_bytes"])
    return {
        "item": item.name,
        "setting": setting,
        "idle_mib": round(idle / MIB, 1),
        "encode_mib": round(encoding["peak_rss_bytes"] / MIB, 1),
        "decode_mib": round(decoding["peak_rss_bytes"] / MIB, 1),
    }


def probe(
    codec: str, direction: str, source: Path, target: Path, options: Sequence[str] = ()
) -> dict[str, float]:
    """Run this module once. Raises click.ClickException with its last words if it fails."""
    command = [sys.executable, "-m", "benchmarks.memory_probe", codec, direction]
    command += [str(source), str(target), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise click.ClickException(f"memory of {codec}: exit {done.returncode}: {words}")
    report: dict[str, float] = json.loads(done.stdout)
    return report


def code_picture(
    codec: StillCodec, direction: str, source: Path, target: Path, setting: float
) -> tuple[int, float]:
    """Idle memory in bytes, and seconds, of one way between a picture and a coded file."""
    # The first use of a fresh process pays for what the libraries set up lazily.
    codec.decode(codec.encode(Image.fromarray(np.full((64, 64, 3), 128, np.uint8)), setting))
    loaded = peak_rss_bytes()
    if direction == "encode":
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        started = time.perf_counter()
        target.write_bytes(codec.encode(image, setting))
        return loaded, time.perf_counter() - started
    started = time.perf_counter()
    pixels = codec.decode(source.read_bytes())
    seconds = time.perf_counter() - started
    Image.fromarray(pixels).save(target, format="PPM")
    return loaded, seconds


def code_clip(
    codec: VideoCodec, direction: str, source: Path, target: Path, setting: float
) -> tuple[int, float]:
    """The same between a clip and a coded file; decoded frames are dropped."""
    loaded = peak_rss_bytes()
    started = time.perf_counter()
    if direction == "encode":
        clip = open_video_file(source)
        codec.encode(clip, clip.read(), setting, target)
    else:
        for _ in codec.decode(source):
            pass
    return loaded, time.perf_counter() - started


@click.command()
@click.argument("codec_name", metavar="CODEC")
@click.argument("direction", type=click.Choice(["encode", "decode"]))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--video", "video_codec", is_flag=True, help="SOURCE or what it holds is a clip.")
@click.option("--setting", default=50.0, show_default=True)
@click.option("--weights")
@click.option("--threads", type=int)
def main(
    codec_name: str,
    direction: str,
    source: Path,
    target: Path,
    video_codec: bool,
    setting: float,
    weights: str | None,
    threads: int | None,
) -> None:
    """Read SOURCE (a picture or clip, or a coded file), write TARGET (a coded file, or a PPM)."""
    if video_codec:
        video = make_video(codec_name, weights, threads)
        loaded, seconds = code_clip(video, direction, source, target, setting)
    else:
        still = make_still(codec_name, weights, threads)
        loaded, seconds = code_picture(still, direction, source, target, setting)
    report = {
        "seconds": seconds,
        "loaded_rss_bytes": loaded,
        # The kernel's counters are exact to some pages only: a later reading can be the smaller.
        "peak_rss_bytes": max(loaded, peak_rss_bytes(), children_peak_rss_bytes()),
    }
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
