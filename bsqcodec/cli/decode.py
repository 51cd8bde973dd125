"""`bsqcodec decode`: .bsq files in, picture and video files out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console
from bsqcodec.cli.decode_picture import decode_one_picture
from bsqcodec.cli.decode_video import (
    DecodingSettings,
    decode_one_video,
    output_options,
    suffix_of_video,
)
from bsqcodec.cli.jobs import (
    Job,
    check_standard_input,
    new_folder,
    plan,
    run,
    with_named_output,
)
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.values import Whole, parse_crop
from bsqcodec.cli.video_options import refuse, video_decoding_options
from bsqcodec.errors import (
    BsqError,
    ChecksumError,
    MediaError,
    MemoryLimitError,
    OutputError,
    TruncatedError,
)
from bsqcodec.format.byte_source import SupportsRead, as_stream
from bsqcodec.media.files import (
    check_output,
    first_bytes,
    is_standard_stream,
    open_input,
)
from bsqcodec.media.formats import (
    DEFAULT_PICTURE_FORMAT,
    PICTURE_FORMAT_NAMES,
    PICTURE_FORMATS_TEXT,
    VIDEO_CONTAINER_NAMES,
    OutputFormat,
    agreed_format,
    container_of_suffix,
    format_of_suffix,
)
from bsqcodec.options import LOOKS, DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.media.video.video_files import OutputOptions

FORMAT_NAMES: Final = tuple(dict.fromkeys((*PICTURE_FORMAT_NAMES, *VIDEO_CONTAINER_NAMES)))
"""Names for --format."""


@click.command(cls=GroupedCommand)
@command_options.inputs_argument
@command_options.output_option
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
@click.option(
    "--look",
    type=click.Choice(LOOKS),
    help="Show pictures and frames with this decoder. The bits are the same; natural is for"
    " looking at.  [default: the one that a picture's file names, else balanced]",
)
@click.option(
    "--crop",
    metavar="X,Y,WxH",
    callback=parse_crop,
    help="Only WxH pixels whose upper left one is X,Y. Of a picture nothing else is rendered, so"
    " that rendering takes time for the crop alone; frames of videos are decoded whole.",
)
@video_decoding_options
@command_options.decoding_options
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.max_memory_option
@command_options.json_option
@command_options.verbosity_options
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
    machine: command_options.MachineOptions,
    as_json: bool,
) -> None:
    """Decode .bsq files to pictures and videos.

    INPUT is a .bsq file, a file of tokens (see bsqcodec tokens), or - for standard input.
    photo.bsq becomes photo.png, and the video clip.bsq clip.mkv, unless -o, --format or a last
    argument like big.jpg says otherwise. For numbered pictures of a video -o is a folder, or a
    pattern such as out%05d.png.
    """
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
    jobs = _plan(inputs, output, found, format_name)
    _refuse_what_means_nothing(found.values(), settings)
    work = _Work(
        console=console,
        codecs=machine.codecs(console),
        settings=settings,
        found=found,
        formats=_formats([job for job in jobs if found[job.source].is_picture], format_name),
        stored_as={
            job: output_options(job, settings) for job in jobs if found[job.source].is_video
        },
    )
    run(console, jobs, work.decode, check=work.check, folder=new_folder(output))


def _plan(
    inputs: tuple[str, ...], output: str | None, found: Mapping[str, _Look], format_name: str | None
) -> list[Job]:
    """The jobs of the inputs. Raises click.UsageError where outputs clash or are missing."""

    def suffix(source: str) -> str:
        if found[source].is_video:
            return suffix_of_video(format_name)
        return f".{format_name or DEFAULT_PICTURE_FORMAT}"

    has_videos = any(look.is_video for look in found.values())
    if has_videos and format_name == "png" and len(inputs) == 1 and output is not None:
        return [Job(inputs[0], output)]  # the folder itself, there or not
    return plan(inputs, output, suffix)


def _refuse_what_means_nothing(looks: Collection[_Look], settings: DecodingSettings) -> None:
    """Raise click.UsageError for options that mean nothing for one of the inputs."""
    decoding = settings.decoding
    if any(look.is_video for look in looks):
        only_pictures = {
            "--levels": decoding.levels,
            "--no-fill": not decoding.fill,
        }
        refuse(only_pictures, "videos")
    if any(look.is_picture for look in looks):
        only_videos = {
            "--start": decoding.start,
            "--duration": decoding.duration,
            "--codec": settings.encoder,
            "--crf": settings.crf,
            "--lossless": settings.lossless,
        }
        refuse(only_videos, "pictures")
    if any(look.is_tokens for look in looks):
        of_files = {
            "--levels": decoding.levels,
            "--partial": decoding.partial,
            "--no-fill": not decoding.fill,
            "--crop": decoding.crop,
            "--look": decoding.look,
        }
        refuse(of_files, "files of tokens")


def _formats(pictures: list[Job], format_name: str | None) -> dict[Job, OutputFormat]:
    """The format of each picture's output. Raises click.UsageError for names that say another."""
    try:
        return {
            job: agreed_format(None if job.to_stdout else job.target, format_name)
            for job in pictures
        }
    except (MediaError, OutputError) as error:
        raise click.UsageError(str(error)) from error


@dataclass(frozen=True)
class _Work:
    """All jobs of a run: what their inputs are, and how their outputs are stored."""

    console: Console
    codecs: Codecs
    settings: DecodingSettings
    found: Mapping[str, _Look]
    formats: Mapping[Job, OutputFormat]
    stored_as: Mapping[Job, OutputOptions]

    def check(self, job: Job) -> None:
        """Raise what is wrong with the output of a job."""
        force = self.settings.force
        if job in self.stored_as:
            from bsqcodec.media.video.video_files import check_video_output

            target = None if job.to_stdout else job.target
            check_video_output(target, self.stored_as[job], force=force)
        elif not job.to_stdout:
            check_output(job.target, force=force)

    def decode(self, job: Job) -> None:
        """Decode the input of a job; errors name the option that would help."""
        try:
            self._decode(job)
        except (ChecksumError, TruncatedError) as error:
            if self.settings.decoding.partial:
                raise
            raise type(error)(f"{error}; --partial decodes what is sound") from error
        except MemoryLimitError as error:
            raise MemoryLimitError(f"{error}; --max-memory allows more") from error

    def _decode(self, job: Job) -> None:
        look = self.found[job.source]
        if look.error is not None:
            raise look.error
        with look.open(job.source) as source:
            if look.is_video:
                decode_one_video(
                    self.console, job, source, self.codecs, self.stored_as[job], self.settings
                )
            else:
                decode_one_picture(
                    self.console,
                    job,
                    source,
                    self.codecs,
                    self.formats[job],
                    self.settings,
                    is_tokens=look.is_tokens,
                )


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
