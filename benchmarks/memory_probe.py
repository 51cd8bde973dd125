"""Code or decode one picture in a process of its own and print its time and peak memory as JSON.

`benchmarks.speed` starts this once per size and direction, as memory is only ever a process's.
"""

import json
import resource
import sys
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks import ours


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


@click.command()
@click.argument("direction", type=click.Choice(["encode", "decode"]))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--quality", default=50.0, show_default=True)
@click.option("--weights")
@click.option("--threads", type=int)
def main(
    direction: str,
    source: Path,
    target: Path,
    quality: float,
    weights: str | None,
    threads: int | None,
) -> None:
    """Read SOURCE (a picture, or a .bsq), write TARGET (a .bsq, or a PPM)."""
    codec = ours.open_codec(weights, threads)
    still = ours.BsqStill(codec)
    # The first use of a fresh process pays for what the libraries set up lazily.
    still.decode(still.encode(Image.fromarray(np.full((64, 64, 3), 128, np.uint8)), quality))
    loaded = peak_rss_bytes()
    started = time.perf_counter()
    if direction == "encode":
        with Image.open(source) as opened:
            image = opened.convert("RGB")
        started = time.perf_counter()
        target.write_bytes(still.encode(image, quality))
        finished = time.perf_counter()
    else:
        pixels = still.decode(source.read_bytes())
        finished = time.perf_counter()
        Image.fromarray(pixels).save(target, format="PPM")
    report = {
        "seconds": finished - started,
        "loaded_rss_bytes": loaded,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
