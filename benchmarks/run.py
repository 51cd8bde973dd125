"""The command that measures: `python -m benchmarks run`."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks import lpips, memory_probe, ours, ours_video, results
from benchmarks.anchors import ANCHORS, VIDEO_ANCHORS, missing
from benchmarks.datasets import CLIP_SETS, PICTURE_SETS, Clip, Dataset, DatasetError, PictureFile
from benchmarks.environment import portable_command
from benchmarks.judge import Judge
from benchmarks.lpips import Lpips
from benchmarks.measures import FIXED, SEARCHES, SHOWN
from benchmarks.results import RdResult
from benchmarks.runner import measure_clip, measure_picture
from benchmarks.runner import run as run_codec
from bsqcodec.errors import WeightsError

STILLS = (*ANCHORS, ours.BsqStill.name, *SEARCHES, *SHOWN, *FIXED)
VIDEOS = (*VIDEO_ANCHORS, *ours_video.NAMES)


def data_option(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --data."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        envvar="BSQCODEC_DATA",
        help="Folder of the pictures or clips, or the one above (or BSQCODEC_DATA).",
    )(command)


def results_option(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --results, as `folder`."""
    return click.option(
        "--results",
        "folder",
        type=click.Path(path_type=Path),
        default=results.RESULTS,
        help="Folder of the result files  [default: benchmarks/results]",
    )(command)


def open_judge(data: Path | None, perceptual: bool = True) -> Judge:
    """With LPIPS where its weights are found. Raises click.ClickException if they are broken.

    perceptual: with SSIMULACRA2 and VMAF, where their packages are.
    """
    path = lpips.find(data)
    try:
        return Judge(None if path is None else Lpips.load(path), perceptual)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def parse_numbers(text: str | None, option: str) -> tuple[float, ...]:
    """Numbers with commas. Raises click.UsageError."""
    try:
        return tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError as error:
        raise click.UsageError(f"{option} takes numbers with commas") from error


def summary(result: RdResult) -> str:
    """One line per setting, and one for the memory where it was measured, for a terminal."""
    columns = "bpp, PSNR dB, MS-SSIM, LPIPS, seconds a megapixel in and out"
    lines = [f"{result.label}: {result.setting_name}, {columns}"]
    for mean in result.means():
        rest = [
            f"{value:8.4f}" if value is not None else "       -"
            for value in (mean.ms_ssim, mean.lpips)
        ]
        rest += [f"{value:8.3f}" for value in (mean.encode_seconds, mean.decode_seconds)]
        lines.append(f"  {mean.setting:8g} {mean.bpp:8.4f} {mean.psnr:8.3f} " + " ".join(rest))
    if (memory := result.peak_memory) is not None:
        lines.append(
            f"  memory for {memory['item']} at {memory['setting']:g}, MiB: in"
            f" {memory['encode_mib']:.0f}, out {memory['decode_mib']:.0f},"
            f" before it {memory['idle_mib']:.0f}"
        )
    return "\n".join(lines)


def open_pictures(
    name: str, data: Path | None, only: str | None, as_name: str | None, limit: int | None
) -> Dataset[PictureFile]:
    """A set of pictures, or part of one. Raises DatasetError."""
    return _part(PICTURE_SETS[name](data), only, as_name, limit)


def open_clips(
    name: str,
    data: Path | None,
    only: str | None,
    as_name: str | None,
    limit: int | None,
    frames: int | None,
    allow_short: bool,
) -> Dataset[Clip]:
    """A set of clips, or part of one, or of the first frames of each. Raises DatasetError."""
    open_set: Any = CLIP_SETS[name]
    chosen = () if name == "videos" else (allow_short, only or "*")
    found: Dataset[Clip] = open_set(data, *chosen)
    found = _part(found, only, as_name, limit)
    if frames is None:
        return found
    clips = tuple(clip.first(frames) for clip in found.items)
    return Dataset(f"{found.name}-frames{frames}", clips, found.preparation)


def _part(dataset: Any, only: str | None, as_name: str | None, limit: int | None) -> Any:
    if only is not None and as_name is not None:
        dataset = dataset.only(only, as_name)
    return dataset.first(limit) if limit else dataset


@click.command("run")
@data_option
@click.option(
    "--dataset",
    "dataset_name",
    type=click.Choice([*PICTURE_SETS, *CLIP_SETS]),
    default="kodak",
    show_default=True,
    help="'pictures' and 'videos' take every file of that kind in --data.",
)
@click.option(
    "--codecs",
    help=f"With commas, of {', '.join([*STILLS, *VIDEOS])}  [default: all "
    "that have the weights they need]",
)
@click.option("--only", metavar="PATTERN", help="Only items with such names, as in 'davis*'.")
@click.option("--name", "as_name", help="What to call the part that --only takes.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N items.")
@click.option("--frames", type=click.IntRange(min=1), help="Only the first N frames of clips.")
@click.option("--allow-short", is_flag=True, help="Take sequences with too few frames as well.")
@click.option("--qualities", help="Qualities for bsqcodec, 0 to 100, with commas.")
@click.option("--weights", help="Weights for bsqcodec instead of the shipped ones.")
@click.option("--effort", default=1, show_default=True, help="Encoder effort of bsqcodec.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads for bsqcodec.")
@click.option("--memory/--no-memory", default=True, help="Measure peak memory once a codec.")
@click.option(
    "--perceptual/--no-perceptual",
    default=True,
    help="Measure SSIMULACRA2 of pictures and VMAF of clips, where their packages are.",
)
@click.option("--fresh", is_flag=True, help="Measure again what the files already hold.")
@results_option
def main(
    data: Path | None,
    dataset_name: str,
    codecs: str | None,
    only: str | None,
    as_name: str | None,
    limit: int | None,
    frames: int | None,
    allow_short: bool,
    qualities: str | None,
    weights: str | None,
    effort: int,
    threads: int | None,
    memory: bool,
    perceptual: bool,
    fresh: bool,
    folder: Path,
) -> None:
    """Code and decode a data set with every codec and write RESULTS/DATASET_CODEC.json.

    Parts of a set (--limit, --frames, --only) go into files of their own.
    """
    stills = dataset_name in PICTURE_SETS
    possible = STILLS if stills else VIDEOS
    names = [part.strip() for part in codecs.split(",")] if codecs else list(possible)
    for name in names:
        if name not in possible:
            raise click.UsageError(f"no codec {name} for this; there are {', '.join(possible)}")
    if (only is None) != (as_name is None):
        raise click.UsageError("--only and --name go together: a part must not pass for the whole")
    grid = parse_numbers(qualities, "--qualities") or None
    judge = open_judge(data, perceptual)
    common: dict[str, Any] = {
        "command": portable_command("benchmarks", sys.argv[1:]),
        "measures": judge.picture_measures if stills else judge.clip_measures,
        "fresh": fresh,
        "note": partial(click.echo, err=True),
    }
    try:
        if stills:
            pictures = open_pictures(dataset_name, data, only, as_name, limit)
            common["hashes"] = pictures.hashes()
        else:
            clips = open_clips(dataset_name, data, only, as_name, limit, frames, allow_short)
            common["hashes"] = clips.hashes()
        for name in names:
            if reason := missing(name):
                if codecs:
                    raise click.ClickException(reason)
                click.echo(f"left out: {reason}", err=True)
                continue
            if memory:
                given = ["--weights", weights] if weights else []
                common["peak_memory"] = partial(memory_probe.of_item, name, options=given)
            if stills:
                try:
                    still = ours.make_still(
                        name, weights, threads, effort, grid or ours.DEFAULT_QUALITIES
                    )
                except WeightsError as error:
                    if codecs:
                        raise click.ClickException(f"{name}: {error}") from error
                    click.echo(f"left out: {name}: {error}", err=True)
                    continue
                target = folder / f"{pictures.name}_{name}.json"
                look = partial(measure_picture, still, judge)
                result = run_codec(still, pictures, target, look, kind="pictures", **common)
            else:
                video = ours.make_video(name, weights, threads, grid)
                target = folder / f"{clips.name}_{name}.json"
                watch = partial(measure_clip, video, judge)
                result = run_codec(video, clips, target, watch, kind="clips", **common)
            click.echo(summary(result))
    except DatasetError as error:
        raise click.ClickException(str(error)) from error
