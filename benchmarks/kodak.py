"""Rate and distortion of bsqcodec and the anchors on Kodak, from files written and read back."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks import metrics, ours, results
from benchmarks.anchors import ANCHORS, StillCodec
from benchmarks.datasets import DATASETS, Dataset, DatasetError
from benchmarks.results import RdResult, Row, rounded


def measure(codec: StillCodec, name: str, image: Image.Image, setting: float, folder: Path) -> Row:
    """Code one RGB picture into a file in `folder`, decode that file, compare."""
    started = time.perf_counter()
    data = codec.encode(image, setting)
    encoded = time.perf_counter()
    path = folder / f"{name}{codec.suffix}"
    path.write_bytes(data)
    size = path.stat().st_size
    read = path.read_bytes()
    decoding = time.perf_counter()
    decoded = codec.decode(read)
    finished = time.perf_counter()
    reference = np.asarray(image)
    return Row(
        picture=name,
        setting=setting,
        width=image.width,
        height=image.height,
        bytes=size,
        bpp=rounded(metrics.bpp(size, image.width, image.height)),
        psnr=rounded(metrics.psnr(reference, decoded)),
        ms_ssim=rounded(metrics.ms_ssim(reference, decoded)),
        encode_seconds=rounded(encoded - started),
        decode_seconds=rounded(finished - decoding),
    )


def run(
    codec: StillCodec,
    dataset: Dataset,
    target: Path,
    *,
    command: str,
    fresh: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> RdResult:
    """Measure `codec` at all its settings on all pictures and keep `target` up to date.

    Rows that `target` already holds for the same codec, options, versions and pictures are kept;
    so a stopped run goes on where it stopped, and a finished one costs nothing. `fresh` measures
    all of them again. `note` gets one line where an earlier file cannot be used.
    """
    result = RdResult(
        codec=codec.name,
        label=codec.label,
        setting_name=codec.setting_name,
        options=codec.options(),
        codec_versions=codec.versions(),
        dataset={
            "name": dataset.name,
            "pictures": len(dataset.pictures),
            "sha256": dataset.sha256(),
        },
        command=command,
        date=results.today(),
        versions=results.versions(),
        machine=results.machine(),
    )
    wanted = [(p.name, setting) for p in dataset.pictures for setting in codec.settings]
    known: dict[tuple[str, float], Row] = {}
    if target.is_file() and not fresh:
        earlier = RdResult.load(target)
        if result.same_measurement(earlier):
            known = {(row.picture, row.setting): row for row in earlier.rows}
            if set(known) == set(wanted):
                return earlier
        else:
            note(f"{target.name}: of another version, options or pictures; measuring again")
    result.rows = [known[key] for key in wanted if key in known]
    with tempfile.TemporaryDirectory(prefix="bsqcodec-bench-") as folder:
        for picture in tqdm(dataset.pictures, desc=codec.name, unit="picture", disable=None):
            missing = [s for s in codec.settings if (picture.name, s) not in known]
            if not missing:
                continue
            image = picture.load()
            for setting in missing:
                row = measure(codec, picture.name, image, setting, Path(folder))
                result.rows.append(row)
            result.save(target)
    order = {key: index for index, key in enumerate(wanted)}
    result.rows.sort(key=lambda row: order[row.picture, row.setting])
    result.save(target)
    return result


def summary(result: RdResult) -> str:
    """One line per setting, for a terminal."""
    lines = [f"{result.label}: {result.setting_name}, bpp, PSNR dB, MS-SSIM"]
    for mean in result.means():
        lines.append(f"  {mean.setting:8g} {mean.bpp:8.4f} {mean.psnr:8.3f} {mean.ms_ssim:8.4f}")
    return "\n".join(lines)


def parse_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="BSQCODEC_DATA",
    help="Folder of the pictures, or of a folder kodak/ (or BSQCODEC_DATA).",
)
@click.option(
    "--dataset",
    "dataset_name",
    type=click.Choice(sorted(DATASETS)),
    default="kodak",
    show_default=True,
    help="'folder' takes every picture inside --data.",
)
@click.option(
    "--codecs",
    default=",".join([*ANCHORS, "bsqcodec"]),
    show_default=True,
    help="Which to measure, with commas.",
)
@click.option("--qualities", help="Qualities for bsqcodec, 0 to 100, with commas.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only the first N pictures; goes into files of its own.",
)
@click.option("--weights", help="Weights for bsqcodec instead of the shipped ones.")
@click.option("--effort", default=1, show_default=True, help="Encoder effort of bsqcodec.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads for bsqcodec.")
@click.option("--fresh", is_flag=True, help="Measure again what the files already hold.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=results.RESULTS,
    help="Folder of the result files  [default: benchmarks/results]",
)
def main(
    data: Path | None,
    dataset_name: str,
    codecs: str,
    qualities: str | None,
    limit: int | None,
    weights: str | None,
    effort: int,
    threads: int | None,
    fresh: bool,
    out: Path,
) -> None:
    """Code and decode pictures with every codec and write OUT/DATASET_CODEC.json."""
    names = parse_list(codecs)
    unknown = [name for name in names if name not in (*ANCHORS, "bsqcodec")]
    if unknown:
        raise click.UsageError(f"no codec {unknown[0]}; there are {', '.join(ANCHORS)}, bsqcodec")
    try:
        grid = tuple(float(q) for q in parse_list(qualities or "")) or ours.DEFAULT_QUALITIES
    except ValueError as error:
        raise click.UsageError("--qualities takes numbers with commas") from error
    try:
        dataset = DATASETS[dataset_name](data)
        if limit:
            dataset = dataset.first(limit)
        for picture in dataset.pictures:
            if min(picture.size()) < metrics.MS_SSIM_MIN_SIDE:
                raise DatasetError(
                    f"{picture.name}: MS-SSIM needs {metrics.MS_SSIM_MIN_SIDE} pixels a side"
                )
    except DatasetError as error:
        raise click.ClickException(str(error)) from error
    command = results.portable_command("benchmarks.kodak", sys.argv[1:])
    for name in names:
        codec: StillCodec
        if name == "bsqcodec":
            loaded = ours.open_codec(weights, threads)
            codec = ours.BsqStill(loaded, effort=effort, qualities=grid)
        else:
            codec = ANCHORS[name]()
        result = run(
            codec,
            dataset,
            out / f"{dataset.name}_{name}.json",
            command=command,
            fresh=fresh,
            note=lambda text: click.echo(text, err=True),
        )
        click.echo(summary(result))


if __name__ == "__main__":
    main()
