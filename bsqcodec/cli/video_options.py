"""Options of `encode` and `decode` that are for videos, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsqcodec.cli.command_options import as_one_object
from bsqcodec.cli.values import (
    Whole,
    parse_frame_rate,
    parse_frame_size,
    parse_seconds,
)

if TYPE_CHECKING:
    from bsqcodec.media.video.video_files import RawVideo

Command = TypeVar("Command", bound=Callable[..., Any])


def part_options(command: Command) -> Command:
    """Add --start and --duration."""
    for option in reversed(
        (
            click.option(
                "--start",
                callback=parse_seconds,
                metavar="TIME",
                help="Videos: begin here (90, 1:30 or 0:01:30.5).",
            ),
            click.option(
                "--duration", callback=parse_seconds, metavar="TIME", help="Videos: only so much."
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class InputOptions:
    """What inputs are, and which part of a video is coded; the fields are options of `encode`.

    as_video: None for what name and contents tell. start, duration: in seconds.
    """

    as_video: bool | None
    frame_size: tuple[int, int] | None
    fps: Fraction | None
    pix_fmt: str | None
    partial: bool
    start: float | None
    duration: float | None


def video_encoding_options(command: Command) -> Command:
    """Add --video, --partial, a part, and what bare samples do not say.

    The command takes `video`, an InputOptions made of them, in their place.
    """
    command = as_one_object("video", InputOptions)(command)
    for option in reversed(
        (
            click.option(
                "--video/--picture",
                "as_video",
                default=None,
                help="What the inputs are.  [default: by name and contents]",
            ),
            click.option(
                "--frame-size",
                callback=parse_frame_size,
                metavar="WxH",
                help="Videos: INPUT is bare samples (.yuv), of this size (--size is of the file).",
            ),
            click.option(
                "--fps",
                callback=parse_frame_rate,
                metavar="RATE",
                help="Videos: frames a second of bare samples or pictures.  [default: 25]",
            ),
            click.option(
                "--pix-fmt",
                metavar="NAME",
                help="Videos: bare samples' format, by FFmpeg's name.  [default: yuv420p]",
            ),
            click.option("--partial", is_flag=True, help="Videos: pass over damage of the input."),
        )
    ):
        command = option(command)
    return part_options(command)


def video_decoding_options(command: Command) -> Command:
    """Add --start, --duration, --codec, --crf and --lossless."""
    for option in reversed(
        (
            click.option(
                "--codec",
                "encoder",
                metavar="NAME",
                help="Videos: FFmpeg's encoder.  [default: libx264]",
            ),
            click.option(
                "--crf",
                type=Whole(0, 63),
                metavar="N",
                help="Videos: the encoder's quality, smaller is better.  [default: 6]",
            ),
            click.option(
                "--lossless", is_flag=True, help="Videos: keep the decoded frames exactly."
            ),
        )
    ):
        command = option(command)
    return part_options(command)


def raw_video(
    frame_size: tuple[int, int] | None, fps: Fraction | None, pix_fmt: str | None
) -> RawVideo | None:
    """What bare samples do not say; None where they are not meant. Raises click.UsageError."""
    from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
    from bsqcodec.media.video.video_files import RawVideo

    if frame_size is None:
        if pix_fmt is not None:
            raise click.UsageError("--pix-fmt is of bare samples, which need --frame-size too")
        return None
    return RawVideo(*frame_size, fps or DEFAULT_FRAME_RATE, pix_fmt or "yuv420p")


def refuse(given: Mapping[str, Any], what: str) -> None:
    """Raise click.UsageError for an option that was given and means nothing here."""
    for name, value in given.items():
        if value is not None and value is not False:
            raise click.UsageError(f"{name} is not for {what}; leave it out")
