"""Types of options: what their values mean, and the errors for values that mean nothing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from bsqcodec.media.crop import Crop
from bsqcodec.media.side.audio_choice import AudioChoice

_MAX_FRAME_RATE: Final = 100_000
"""Frames a second at most."""

_MAX_NUMBER_CHARACTERS: Final = 40
"""Characters of a number at most; with more, arithmetic on it would take long."""


class Number(click.FloatRange):
    """A finite number within a range. what: with its article, as in "a number from 0 to 100"."""

    name = "number"

    def __init__(
        self, what: str, min: float, max: float = math.inf, *, min_open: bool = False
    ) -> None:
        super().__init__(min, None if max == math.inf else max, min_open)
        self._what = what

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(super().convert(value, param, ctx))
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value!r} is not {self._what}{_way_out(value, param, ctx)}.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number from `min` to `max`, both included; None for no end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            end = "on" if self.max is None else f"to {self.max}"
            self.fail(f"{value!r} is not a whole number from {self.min} {end}.", param, ctx)


def complete_files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell complete the name of a file or folder; the `shell_complete` of a parameter."""
    return [CompletionItem(incomplete, type="file")]


def parse_byte_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Callback of an option that takes a number of bytes: 20000, 20k or 1.5M."""
    from bsqcodec.targets import parse_size

    if value is None:
        return None
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}{_way_out(value, param, ctx)}.", ctx, param) from error


def parse_bitrate(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Callback of an option that takes bits a second: 500000, 500k or 1.5M."""
    from bsqcodec.targets import Bitrate
    from bsqcodec.targets import parse_bitrate as parse

    if value is None:
        return None
    try:
        return Bitrate(parse(value)).value
    except ValueError as error:
        raise click.BadParameter(f"{error}{_way_out(value, param, ctx)}.", ctx, param) from error


def parse_frame_size(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Callback of an option that takes width and height in pixels, as WxH."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})[xX]([1-9]\d{0,8})", value)
    if match is None:
        message = f"{value!r} is not a size such as 352x288"
        raise click.BadParameter(f"{message}{_way_out(value, param, ctx)}.", ctx, param)
    return int(match[1]), int(match[2])


def parse_crop(ctx: click.Context, param: click.Parameter, value: str | None) -> Crop | None:
    """Callback of an option that takes a rectangle of pixels: X,Y,WxH."""
    if value is None:
        return None
    try:
        return Crop.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from error


def parse_qualities(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """Callback of an option that takes qualities from 0 to 100, as in 10,50,90."""
    number = Number("a quality from 0 to 100", 0, 100)
    return tuple(sorted({number.convert(part, param, ctx) for part in value.split(",")}))


def check_audio(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Callback of an option that says what becomes of sound: copy, opus, opus:64k or none."""
    try:
        AudioChoice.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from error
    return value


def parse_frame_rate(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> Fraction | None:
    """Callback of an option that takes frames a second: 25, 29.97 or 30000/1001."""
    if value is None:
        return None
    rate = Fraction(0)
    if re.fullmatch(r"[\d./]*", value) and len(value) <= _MAX_NUMBER_CHARACTERS:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
    if not 0 < rate <= _MAX_FRAME_RATE or max(rate.numerator, rate.denominator) >= 2**31:
        message = f"{value!r} is not a frame rate such as 25 or 30000/1001."
        raise click.BadParameter(message, ctx, param)
    return rate


def parse_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Callback of an option that takes a time: seconds, or hours,
    minutes and seconds, 1:02:03.5."""
    if value is None:
        return None
    is_time = re.fullmatch(r"(\d+:){0,2}(\d+(\.\d*)?|\.\d+)", value) is not None
    if not is_time or len(value) > _MAX_NUMBER_CHARACTERS:
        message = f"{value!r} is not a time such as 90, 1:30 or 0:01:30.5."
        raise click.BadParameter(message, ctx, param)
    if any(Fraction(part.rstrip(".")) >= 60 for part in value.split(":")[1:]):
        raise click.BadParameter(f"{value!r} has more than 59 minutes or seconds.", ctx, param)
    seconds = Fraction(0)
    for part in value.split(":"):
        seconds = 60 * seconds + Fraction(part.rstrip("."))
    return float(seconds)


def _way_out(value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
    """The option of the same command that takes such a value, as "; --bitrate takes ..."; or ""."""
    own = None if param is None else param.name
    others = {} if ctx is None else {option.name: option for option in ctx.command.params}
    for name, takes in _TAKEN.items():
        if name != own and name in others and takes.form.fullmatch(str(value).strip()):
            return f"; {others[name].opts[0]} takes {takes.what}"
    return ""


@dataclass(frozen=True)
class _Taken:
    """What an option takes, in words, and what only it takes, as other programs write it."""

    what: str
    form: re.Pattern[str]


_TAKEN: Final = {
    "frame_size": _Taken(
        "the width and height of bare samples (.yuv)",
        re.compile(r"[1-9]\d*\s*[xX*:,\u00d7]\s*[1-9]\d*(\D.*)?"),
    ),
    "size": _Taken("bytes of the file", re.compile(r"[\d.]+\s*([kKMG]i?B|B|bytes?)")),
    "bitrate": _Taken(
        "bits a second of a video",
        re.compile(r"[\d.]+\s*([kKM]|[kKM]?(bps|b(it)?s?/s|bits?))"),
    ),
}
