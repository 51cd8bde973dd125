"""`bsqcodec decode`: .bsq files in, picture and video files out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bsqcodec.cli import options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.decode_video import (
    DecodingSettings,
    decode_one_video,
    output_options,
    suffix_of_video,
)
from bsqcodec.cli.jobs import (
    Job,
    check_standard_input,
    display_name,
    display_target,
    new_folder,
    plan,
    run,
    with_named_output,
)
from bsqcodec.cli.values import Whole
from bsqcodec.cli.video_options import refuse, video_decoding_options
from bsqcodec.errors import BsqError, ChecksumError, MemoryLimitError, TruncatedError
from bsqcodec.format.byte_source import SupportsRead, as_stream
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.rewind import is_seekable, seekable
from bsqcodec.media.files import (
    check_output,
    first_bytes,
    is_standard_stream,
    open_input,
    open_output,
)
from bsqcodec.media.formats import (
    PICTURE_FORMAT_NAMES,
    PICTURE_FORMATS_TEXT,
    USUAL_PICTURE_FORMAT,
    VIDEO_CONTAINER_NAMES,
    agreed_format,
    container_of_suffix,
    format_of_suffix,
)
from bsqcodec.options import DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.image.codec import Decoded

FORMAT_NAMES: Final = tuple(dict.fromkeys((*PICTURE_FORMAT_NAMES, *VIDEO_CONTAINER_NAMES)))
"""Names for --format."""

_LOST_ALPHA: Final = "; transparency, if there was any, may be missing"
"""Alpha is the last chunk before the end, so a cut file does not tell whether it had one."""


@click.command()
@options.inputs_argument
@options.output_option
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMAT_NAMES, case_sensitive=False),
    metavar="FORMAT",
    help=f"Format to write: {PICTURE_FORMATS_TEXT} of pictures;"
    f" {', '.join(VIDEO_CONTAINER_NAMES)} of videos (gif and webp: animations; png: numbered"
    " pictures).  [default: by the suffix of OUT, else png, and mkv of videos]",
)
@click.option(
    "--levels",
    type=Whole(1, 255),
    metavar="N",
    help="Pictures: decode only the first N levels, for a coarser one.",
)
@click.option("--partial", is_flag=True, help="Decode a cut or damaged file as far as it goes.")
@click.option(
    "--no-fill",
    is_flag=True,
    help="Pictures of --model bsq: leave what is missing grey, not filled in by the model.",
)
@video_decoding_options
@options.decoding_options
@options.force_option
@options.machine_options
@options.max_pixels_option
@options.max_memory_option
@options.json_option
@options.verbosity_options
@click.pass_obj
def decode(
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    decoding: DecodeOptions,
    encoder: str | None,
    crf: int | None,
    lossless: bool,
    force: bool,
    device: str,
    threads: int | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Decode .bsq files to pictures and videos.

    INPUT is a .bsq file, a file of tokens (see bsqcodec tokens), or - for standard input. photo.bsq becomes photo.png, and the video
    clip.bsq clip.mkv, unless -o, --format or a last argument like big.jpg says otherwise. For
    numbered pictures of a video -o is a folder, or a pattern such as out%05d.png.
    """
    from bsqcodec.errors import MediaError, OutputError
    from bsqcodec.media.image.image_writer import write_picture

    if lossless and crf is not None:
        raise click.UsageError("--crf and --lossless exclude each other")
    settings = DecodingSettings(
        format_name=format_name,
        encoder=encoder,
        crf=crf,
        lossless=lossless,
        decoding=decoding,
        force=force,
        as_json=as_json,
    )
    inputs, output = with_named_output(inputs, output, _is_decoded)
    check_standard_input(inputs)
    found = {source: _look(source) for source in inputs}
    videos = {source for source, look in found.items() if look.is_video}

    def suffix(source: str) -> str:
        is_video = source in videos
        return (
            suffix_of_video(format_name) if is_video else f".{format_name or USUAL_PICTURE_FORMAT}"
        )

    if videos and format_name == "png" and len(inputs) == 1 and output is not None:
        jobs = [Job(inputs[0], output)]  # the folder itself, there or not
    else:
        jobs = plan(inputs, output, suffix)
    pictures = [job for job in jobs if found[job.source].is_picture]
    if videos:
        refuse({"--levels": decoding.levels, "--no-fill": not decoding.fill}, "videos")
    if pictures:
        only_videos = {
            "--start": decoding.start,
            "--duration": decoding.duration,
            "--codec": encoder,
            "--crf": crf,
        }
        refuse(only_videos | {"--lossless": lossless}, "pictures")
    if any(look.is_tokens for look in found.values()):
        of_files = {
            "--levels": decoding.levels,
            "--partial": decoding.partial,
            "--no-fill": not decoding.fill,
        }
        refuse(of_files, "files of tokens")
    try:
        formats = {
            job: agreed_format(None if job.to_stdout else job.target, format_name)
            for job in pictures
        }
    except (MediaError, OutputError) as error:
        raise click.UsageError(str(error)) from error
    stored_as = {job: output_options(job, settings) for job in jobs if job.source in videos}

    codecs = Codecs(weights, device, options.limit_threads(console, threads))

    def decode_one(job: Job) -> None:
        try:
            decode_it(job)
        except (ChecksumError, TruncatedError) as error:
            if decoding.partial:
                raise
            raise type(error)(f"{error}; --partial decodes what is sound") from error
        except MemoryLimitError as error:
            raise MemoryLimitError(f"{error}; --max-memory allows more") from error

    def decode_it(job: Job) -> None:
        name = display_name(job.source)
        look = found[job.source]
        if look.error is not None:
            raise look.error
        if look.is_video:
            with look.open(job.source) as source:
                decode_one_video(console, job, source, codecs, stored_as[job], settings)
            return
        input_bytes: int | None
        if look.is_tokens:
            decoded, input_bytes = _decode_tokens(job.source, codecs, decoding.max_pixels)
        else:
            with look.open(job.source) as stream, console.progress(name) as progress:
                input_bytes = _check_header(job.source, stream, decoding)
                decoded = codecs.picture.decode_with(stream, decoding, progress=progress)
        if decoded.truncated:
            lost = "" if decoded.picture.alpha is not None else _LOST_ALPHA
            console.warning(
                f"{name}: the file is incomplete;"
                f" {decoded.levels_decoded} of {decoded.header.levels} levels were decoded{lost}"
            )
        for rows in decoded.filled_rows:
            console.warning(
                f"{name}: rows {rows.start} to {rows.stop - 1} are damaged; what is missing of them"
                " was filled in by the model and may not be as it was"
            )
        with open_output(job.target, force=force) as file:
            notes = write_picture(decoded.picture, file, format=formats[job].name)
        for note in notes:
            console.warning(f"{display_target(job.target)}: {note}")
        if as_json:
            facts = _facts(job, decoded, formats[job].name, input_bytes, notes)
            console.record(facts, data_on_stdout=job.to_stdout)
        else:
            _sum_up(console, job, decoded, input_bytes)

    def check(job: Job) -> None:
        if job in stored_as:
            from bsqcodec.media.video.video_files import check_video_output

            target = None if job.to_stdout else job.target
            check_video_output(target, stored_as[job], force=force)
        elif not job.to_stdout:
            check_output(job.target, force=force)

    run(console, jobs, decode_one, check=check, folder=new_folder(output))


def _is_decoded(name: str) -> bool:
    """Whether a name is that of a picture or a video, which is never decoded."""
    path = Path(name)
    return container_of_suffix(path) is not None or format_of_suffix(path.suffix) is not None


@dataclass(frozen=True)
class _Look:
    """What the first bytes of an input tell. stream: standard input, all of it yet to be read."""

    is_video: bool = False
    is_tokens: bool = False
    stream: SupportsRead | None = None
    error: BsqError | OSError | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is one as far as can be seen."""
        return self.error is None and not self.is_video

    @contextmanager
    def open(self, source: str) -> Iterator[SupportsRead]:
        """The input, to be read from its start."""
        if self.stream is not None:
            yield self.stream
            return
        with open_input(source) as file:
            yield file


def _look(source: str) -> _Look:
    """Look at an input; what is wrong with it is found out in its turn."""
    from bsqcodec.format.magic import FileKind, read_kind
    from bsqcodec.format.token_file import token_format

    try:
        if token_format(first_bytes(source)) is not None:
            return _Look(is_tokens=True)
        with open_input(source) as file:
            kind, stream = read_kind(file)
    except (BsqError, OSError) as error:
        return _Look(error=error)
    kept = as_stream(stream) if is_standard_stream(source) else None
    return _Look(kind is FileKind.VIDEO, stream=kept)


def _decode_tokens(source: str, codecs: Codecs, max_pixels: int) -> tuple[Decoded, int]:
    """The picture of a file of tokens, and the file's size in bytes."""
    from bsqcodec.format.token_file import unpack_tokens

    with open_input(source) as file:
        data = file.read()
    tokens = unpack_tokens(data, max_pixels=max_pixels)
    return codecs.picture.decode_tokens(tokens), len(data)


def _check_header(source: str, stream: SupportsRead, decoding: DecodeOptions) -> int | None:
    """Refuse what is no .bsq file before the weights are loaded; return the size of a file."""
    from bsqcodec.format.image_container import unpack_header

    if is_standard_stream(source) or not is_seekable(stream):
        return None
    unpack_header(
        stream,
        max_pixels=decoding.max_pixels,
        max_memory=memory_limit(decoding.max_memory),
    )
    seekable(stream).seek(0)
    return Path(source).stat().st_size


def _facts(
    job: Job, decoded: Decoded, format_name: str, input_bytes: int | None, notes: list[str]
) -> dict[str, Any]:
    """What --json reports of one picture."""
    picture = decoded.picture
    return {
        "input": job.source,
        "output": job.target,
        "width": picture.width,
        "height": picture.height,
        "colour": "gray" if picture.is_grey else "rgb",
        "alpha": picture.alpha is not None,
        "format": format_name,
        "input_bytes": input_bytes,
        "levels": decoded.header.levels,
        "levels_decoded": decoded.levels_decoded,
        "truncated": decoded.truncated,
        "filled_rows": [[rows.start, rows.stop - 1] for rows in decoded.filled_rows],
        "seconds": decoded.seconds,
        "notes": notes,
    }


def _sum_up(console: Console, job: Job, decoded: Decoded, input_bytes: int | None) -> None:
    """The line a picture."""
    picture = decoded.picture
    colour = ("grey" if picture.is_grey else "RGB") + ("" if picture.alpha is None else " + alpha")
    size = f"{format_bytes(input_bytes)}, " if input_bytes is not None else ""
    console.summary(
        f"{display_name(job.source)} -> {display_target(job.target)}:"
        f" {picture.width}x{picture.height} {colour}, {size}"
        f"{decoded.levels_decoded} of {decoded.header.levels} levels, {decoded.seconds:.2f} s"
    )
