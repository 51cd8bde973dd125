"""`bsqcodec view`: shows a .bsq file with a program of this machine,
or writes a thumbnail of it."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console
from bsqcodec.cli.jobs import display_target
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.sources import Source, find_source
from bsqcodec.cli.values import Whole
from bsqcodec.cli.viewers import Viewer, check_ended, find_viewer, show_file
from bsqcodec.errors import FormatError, SeekError
from bsqcodec.format.byte_source import SupportsRead
from bsqcodec.media.files import check_output, is_standard_stream, open_output
from bsqcodec.media.formats import agreed_format
from bsqcodec.options import REDUCTIONS, DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.media.image.picture import Picture, Samples


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="FILE.bsq", type=click.Path())
@click.option(
    "--thumbnail",
    type=Whole(1, 65535),
    metavar="N",
    help="Show nothing: write a picture of at most N pixels a side, decoded from the first levels"
    " alone; of a video its first frame.",
)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="File of the thumbnail, - for standard output.  [default: beside the input]",
)
@click.option(
    "--with",
    "viewer",
    metavar="PROGRAM",
    help="Program to show it with.  [default: xdg-open, eog, feh ... for pictures; ffplay, mpv,"
    " vlc, xdg-open for videos, the first that is here]",
)
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.verbosity_options
@click.pass_obj
def view(
    console: Console,
    source: str,
    thumbnail: int | None,
    output: str | None,
    viewer: str | None,
    force: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
) -> None:
    """Show a picture or play a video, or write a thumbnail of it.

    A video plays as it is decoded. photo.bsq with --thumbnail 256 becomes photo-256.png, unless -o
    says otherwise.
    """
    if thumbnail is None and output is not None:
        raise click.UsageError(
            "-o is where --thumbnail is written; bsqcodec decode writes all of it"
        )
    found = find_source(source)
    if not found.is_coded:
        raise FormatError(f"{source} is not a .bsq file")
    decoding = DecodeOptions(max_pixels=max_pixels)
    if thumbnail is not None:
        target = output or str(Path(source).with_name(f"{Path(source).stem}-{thumbnail}.png"))
        _check_target(target, force)
        codecs = machine.codecs(console)
        _write_thumbnail(found, thumbnail, target, codecs, decoding, force)
        console.summary(f"{source} -> {display_target(target)}")
        return
    program = find_viewer(viewer, is_video=found.is_video)
    codecs = machine.codecs(console)
    if found.is_video and program.reads_pipe:
        _play(found, program, codecs, decoding)
    else:
        _show(found, program, codecs, decoding)


def _check_target(target: str, force: bool) -> None:
    """Raise what is wrong with the output, and OutputError for a format that is not written."""
    if not is_standard_stream(target):
        agreed_format(target, None)
        check_output(target, force=force)


def _write_thumbnail(
    source: Source, side: int, target: str, codecs: Codecs, decoding: DecodeOptions, force: bool
) -> None:
    """Write a small picture. Raises BsqError and OSError."""
    import numpy as np
    from PIL import Image

    from bsqcodec.media.image.image_writer import write_picture
    from bsqcodec.media.image.picture import Picture

    if source.is_video:
        picture = _first_frame(source, codecs, decoding)
    else:
        picture = _reduced(source, side, codecs, decoding)
    scale = min(1.0, side / max(picture.width, picture.height))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))

    def resized(samples: Samples) -> Samples:
        return np.asarray(Image.fromarray(samples).resize(size, Image.Resampling.LANCZOS))

    small = Picture(
        resized(picture.pixels),
        None if picture.alpha is None else resized(picture.alpha),
        icc=picture.icc,
    )
    format = agreed_format(None if is_standard_stream(target) else target, None)
    with open_output(target, force=force) as file:
        write_picture(small, file, format=format.name)


def _reduced(source: Source, side: int, codecs: Codecs, decoding: DecodeOptions) -> Picture:
    """A picture of at least `side` pixels a side, where it has so many, but not many times more."""
    from bsqcodec.format.image_container import unpack_header

    with open(source.path, "rb") as file:
        header = unpack_header(file, max_pixels=decoding.max_pixels)
        longest = max(header.width, header.height)
        reduction = max(n for n in REDUCTIONS if n == 1 or longest >= n * side)
        file.seek(0)
        options = DecodeOptions(reduction=reduction, max_pixels=decoding.max_pixels)
        return codecs.picture.decode_with(file, options).picture


def _first_frame(source: Source, codecs: Codecs, decoding: DecodeOptions) -> Picture:
    """The first frame of a video, which no other has to be decoded for."""
    from bsqcodec.media.image.picture import Picture

    with open(source.path, "rb") as file:
        decoded = codecs.video.decode_with(file, decoding)
        with closing(decoded.frames()) as frames:
            frame = next(frames, None)
    if frame is None:
        raise SeekError("the video has no frames")
    return Picture(frame.pixels)


def _play(source: Source, program: Viewer, codecs: Codecs, decoding: DecodeOptions) -> None:
    """Play a video through a pipe as it is decoded, until it ends or the program is closed."""
    from bsqcodec.media.video.video_files import OutputOptions
    from bsqcodec.video.decode_file import decode_video_file

    codec = codecs.video
    with open(source.path, "rb") as file:
        process = subprocess.Popen(program.command("-"), stdin=subprocess.PIPE)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError), process.stdin as pipe:
                output = OutputOptions("mkv", codec_options={"preset": "ultrafast"})
                decode_video_file(codec, file, cast(BinaryIO, pipe), output, decoding)
        except BaseException:
            process.terminate()
            raise
        finally:
            status = process.wait()
    check_ended(program, status)


def _show(source: Source, program: Viewer, codecs: Codecs, decoding: DecodeOptions) -> None:
    """Decode to a file that is removed afterwards, unless another program still needs it."""
    if program.returns:
        from platformdirs import user_cache_path

        folder = user_cache_path("bsqcodec", ensure_exists=True)
        show_file(program, _decoded(source, folder, codecs, decoding))
        return
    with tempfile.TemporaryDirectory(prefix="bsqcodec-") as name:
        show_file(program, _decoded(source, Path(name), codecs, decoding))


def _decoded(source: Source, folder: Path, codecs: Codecs, decoding: DecodeOptions) -> Path:
    """A file in the folder, which replaces what was shown before."""
    with open(source.path, "rb") as file:
        if source.is_video:
            return _decoded_video(file, folder / "view.mkv", codecs, decoding)
        from bsqcodec.media.image.image_writer import write_picture

        path = folder / "view.png"
        picture = codecs.picture.decode_with(file, decoding).picture
    with open_output(str(path), force=True) as target:
        write_picture(picture, target, format="png")
    return path


def _decoded_video(file: SupportsRead, path: Path, codecs: Codecs, decoding: DecodeOptions) -> Path:
    from bsqcodec.media.video.video_files import OutputOptions
    from bsqcodec.video.decode_file import decode_video_file

    decode_video_file(codecs.video, file, path, OutputOptions(overwrite=True), decoding)
    return path
