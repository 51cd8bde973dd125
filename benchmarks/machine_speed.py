"""Seconds for a picture and frames a second of a video on this machine,
as a row of docs/MACHINES.md."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bsqcodec.machine.processor import clamp_threads, prepare_process

PICTURE_QUALITY, VIDEO_QUALITY = 20.0, 50.0


def kind_of_processor() -> str:
    """The precision of networks, the instructions that torch uses,
    and oneDNN's cap if there is one."""
    import torch

    from bsqcodec.machine.precision import network_dtype

    dtype = str(network_dtype(torch.device("cpu"))).removeprefix("torch.")
    cap = os.environ.get("ONEDNN_MAX_CPU_ISA", "no cap")
    return f"{torch.backends.cpu.get_cpu_capability()}, {cap}, {dtype}"


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """The median wall time of an action that was done once before."""
    action()
    runs = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        runs.append(time.perf_counter() - started)
    return statistics.median(runs)


def measured(picture: Path, video: Path, frames: int, threads: int, repeats: int) -> dict[str, Any]:
    """Seconds of a picture, and frames a second of the first frames of a video, each way."""
    from PIL import Image

    from benchmarks import environment, ours, ours_video
    from benchmarks.datasets.clips import open_video_file

    still = ours.BsqStill(ours.open_codec(None, threads))
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    data = still.encode(image, PICTURE_QUALITY)
    found: dict[str, Any] = {
        "versions": environment.versions(extra=("bsqcodec", "constriction")),
        "machine": environment.machine(),
        "kind": kind_of_processor(),
        "threads": threads,
        "picture_encode_seconds": median_seconds(
            lambda: still.encode(image, PICTURE_QUALITY), repeats
        ),
        "picture_decode_seconds": median_seconds(lambda: still.decode(data), repeats),
    }
    clip = open_video_file(video).first(frames)
    shown = list(clip.read())
    codec = ours_video.open_video(ours_video.OURS, None, threads)
    with tempfile.TemporaryDirectory(prefix="bsqcodec-speed-") as folder:
        coded = Path(folder) / "coded.bsq"
        encoding = median_seconds(lambda: codec.encode(clip, shown, VIDEO_QUALITY, coded), repeats)
        decoding = median_seconds(lambda: list(codec.decode(coded)), repeats)
    found |= {
        "video": f"{clip.width}x{clip.height}, {len(shown)} frames",
        "video_encode_frames_a_second": len(shown) / encoding,
        "video_decode_frames_a_second": len(shown) / decoding,
    }
    return found


@click.command("machine")
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--frames", default=10, show_default=True, help="Only the first N of the video.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
def main(picture: Path, video: Path, frames: int, threads: int, repeats: int) -> None:
    """Measure bsqcodec's speed on this machine with a PICTURE (-q 20) and a VIDEO (-q 50).

    Codecs are loaded and warm, and videos short, so that no second process is started for them.
    """
    prepare_process()
    found = measured(picture, video, frames, clamp_threads(threads)[0], repeats)
    click.echo(json.dumps(found, indent=1))
    figures = (
        f"{found['picture_encode_seconds']:.2f} s",
        f"{found['picture_decode_seconds']:.2f} s",
        f"{found['video_encode_frames_a_second']:.1f}",
        f"{found['video_decode_frames_a_second']:.1f}",
    )
    click.echo(f"| {found['kind']} | {' | '.join(figures)} |")
