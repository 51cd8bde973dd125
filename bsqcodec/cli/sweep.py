"""`bsqcodec sweep`: rate and distortion of one's own files over qualities, beside other codecs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.compare import html_option, lpips_option
from bsqcodec.cli.console import Console
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.sources import Source, find_source, read_pixels
from bsqcodec.cli.sweep_report import OURS, Point, Result
from bsqcodec.cli.values import Whole, parse_qualities
from bsqcodec.cli.video_options import part_options
from bsqcodec.errors import MediaError
from bsqcodec.media.files import check_output, is_standard_stream, open_output
from bsqcodec.media.suffixes import PICTURE_SUFFIXES
from bsqcodec.options import OWN_LOOK, DecodeOptions, EncodeOptions
from bsqcodec.targets import Quality

if TYPE_CHECKING:
    from bsqcodec.compare.measures import Measures
    from bsqcodec.compare.rivals import CodedClip, Fitting, StillRival, VideoRival
    from bsqcodec.media.image.picture import Samples
    from bsqcodec.media.video.video_files import VideoFormat, VideoFrame

PICTURE_NAMES: Final = ("jpeg", "webp", "avif", "jxl")
VIDEO_NAMES: Final = ("x264", "x265", "svtav1")
_PAGE_FRAMES: Final = 12
"""Frames of a video in a page, at most, for each of the codecs and qualities."""


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="INPUT", type=click.Path())
@click.option(
    "-q",
    "--qualities",
    metavar="Q,Q,...",
    default="10,30,50,70,90",
    show_default=True,
    callback=parse_qualities,
    help="Qualities of bsqcodec, each from 0 to 100.",
)
@click.option(
    "--codecs",
    "rivals",
    metavar="NAME,...",
    help=f"Codecs to code with beside it: {', '.join(PICTURE_NAMES)} for pictures,"
    f" {', '.join(VIDEO_NAMES)} for videos; none for none.  [default: all that are installed]",
)
@click.option(
    "--effort", type=Whole(0, 2), metavar="0..2", default=1, show_default=True, help="Of bsqcodec."
)
@part_options
@html_option
@lpips_option
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def sweep(
    console: Console,
    source: str,
    qualities: tuple[float, ...],
    rivals: str | None,
    effort: int,
    start: float | None,
    duration: float | None,
    page: str | None,
    lpips: Path | None,
    force: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Show what each quality costs and how good it looks, beside other codecs at equal size.

    INPUT is a picture, a folder of pictures, or a video. At each quality, JPEG, WebP, AVIF and JPEG
    XL (of videos x264, x265 and SVT-AV1) get the finest setting whose file is no larger than
    bsqcodec's. Of pictures the same file is also shown with the other looks (see bsqcodec decode
    --look). The page of --html shows them all next to the original.
    """
    if page is not None and not is_standard_stream(page):
        check_output(page, force=force)
    sources = _sources(source)
    is_video = sources[0].is_video
    if not is_video and (start is not None or duration is not None):
        raise click.UsageError("--start and --duration are not for pictures")
    names = _names(rivals, VIDEO_NAMES if is_video else PICTURE_NAMES)
    from bsqcodec.compare.measures import Measures

    measures = Measures(lpips)
    codecs = machine.codecs(console)
    work = _Sweep(
        console,
        codecs,
        measures,
        [EncodeOptions(Quality(q), effort=effort, max_pixels=max_pixels) for q in qualities],
        names,
        page is not None,
    )
    result = work.of_video(sources[0], start, duration) if is_video else work.of_pictures(sources)
    for note in result.notes:
        console.note(note)
    if page is not None:
        with open_output(page, force=force) as file:
            file.write(result.page(source).html().encode())
    if as_json:
        console.record(
            {"input": source, **result.facts()},
            data_on_stdout=page is not None and is_standard_stream(page),
        )
    else:
        console.answer("\n".join(result.table()))


def _sources(name: str) -> list[Source]:
    """The picture or video, or the pictures of a folder, by name. Raises BsqError and OSError."""
    if not Path(name).is_dir():
        return [find_source(name)]
    paths = sorted(p for p in Path(name).iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise MediaError(f"there is no picture in the folder {name}")
    return [replace(find_source(str(path)), is_video=False) for path in paths]


def _names(given: str | None, known: Sequence[str]) -> Sequence[str] | None:
    """The names in --codecs, None for all. Raises click.UsageError for a wrong one."""
    if given is None:
        return None
    names = [name for name in given.lower().split(",") if name and name != "none"]
    for name in names:
        if name not in known:
            raise click.UsageError(f"--codecs: {name!r} is not one of {', '.join(known)}, none")
    return names


@dataclass(frozen=True)
class _Sweep:
    """What codes and measures. names: of the other codecs, None for all that are here."""

    console: Console
    codecs: Codecs
    measures: Measures
    options: list[EncodeOptions]
    names: Sequence[str] | None
    with_page: bool

    @property
    def notes(self) -> list[str]:
        """Which codecs are missing here."""
        from bsqcodec.compare.rivals import STILL_RIVALS, VIDEO_RIVALS

        return [
            f"{rival.label} is not installed here, and left out"
            for rival in (*STILL_RIVALS, *VIDEO_RIVALS)
            if self.names is not None and rival.name in self.names and not rival.is_here
        ]

    def of_pictures(self, sources: list[Source]) -> Result:
        """Sweep over pictures, and take means. Raises BsqError and OSError."""
        from bsqcodec.compare.measures import mean_of
        from bsqcodec.compare.page import picture_url

        by_place: list[list[Point]] = []
        shape, original = (0, 0), ""
        decoding = DecodeOptions(max_pixels=self.options[0].max_pixels)
        with self.console.progress("sweep") as progress:
            for number, source in enumerate(sources):
                pixels, note = read_pixels(source, self.codecs, decoding)
                if note:
                    self.console.note(note)
                if not number:
                    shape = pixels.shape[0], pixels.shape[1]
                    original = picture_url(pixels) if self.with_page else ""
                for place, point in enumerate(self._points_of_picture(pixels, not number)):
                    if not number:
                        by_place.append([])
                    by_place[place].append(point)
                if progress is not None:
                    progress((number + 1) / len(sources))
        points = [
            replace(
                some[0],
                bytes=sum(point.bytes for point in some),
                bpp=sum(point.bpp for point in some) / len(some),
                measured=mean_of([point.measured for point in some]),
                setting=some[0].setting if len(some) == 1 or some[0].codec.startswith(OURS) else "",
            )
            for some in by_place
        ]
        notes = [*self.notes, *self.measures.notes]
        return Result(points, shape, [original], None, len(sources), notes)

    def _points_of_picture(self, pixels: Samples, with_pictures: bool) -> Iterator[Point]:
        from bsqcodec.compare.page import picture_url
        from bsqcodec.compare.rivals import STILL_RIVALS
        from bsqcodec.image.samples import to_rgb

        def point(codec: str, quality: float, setting: str, size: int, coded: Samples) -> Point:
            keep = self.with_page and with_pictures
            return Point(
                codec,
                quality,
                setting,
                size,
                8 * size / (pixels.shape[0] * pixels.shape[1]),
                self.measures.of(pixels, coded),
                [picture_url(coded)] if keep else [],
            )

        rivals = [rival for rival in STILL_RIVALS if self._takes(rival)]
        fits = {rival.name: _still_fitting(rival, pixels) for rival in rivals}
        codec = self.codecs.picture
        for options in self.options:
            quality = _quality(options)
            data = codec.encode_with(pixels, options).data
            for look in codec.looks:
                decoded = to_rgb(codec.decode_with(data, DecodeOptions(look=look)).picture.pixels)
                name = OURS if look == OWN_LOOK else f"{OURS} {look}"
                yield point(name, quality, f"q {quality:g}", len(data), decoded)
            for rival in rivals:
                setting, made = fits[rival.name].below(len(data))
                text = f"{rival.setting} {setting}"
                yield point(rival.label, quality, text, len(made), rival.decode(made))

    def of_video(self, source: Source, start: float | None, duration: float | None) -> Result:
        """Sweep over a part of a video. Raises BsqError and OSError."""
        from bsqcodec.compare.rivals import VIDEO_RIVALS
        from bsqcodec.media.video.part import Part
        from bsqcodec.media.video.video_files import open_video
        from bsqcodec.video.encode_frames import encode_reader

        if source.is_coded:
            raise MediaError(f"{source.path} is a coded file; sweep takes an original")
        path, part = Path(source.path), Part.of(start, duration)
        limit = self.options[0].max_pixels

        def frames() -> Iterator[VideoFrame]:
            with open_video(path, max_pixels=limit, part=part) as reader:
                yield from reader.frames()

        with open_video(path, max_pixels=limit, part=part) as reader:
            form = reader.format
            count = sum(1 for _ in reader.frames())
        if not count:
            raise MediaError("there is no frame to code")
        clip = _Clip(form, frames, count)
        points: list[Point] = []
        rivals = [rival for rival in VIDEO_RIVALS if self._takes(rival)]
        fits = {rival.name: _video_fitting(rival, clip) for rival in rivals}
        original: list[str] = []
        times: list[float] = []
        for options in self.options:
            quality = _quality(options)
            file = io.BytesIO()
            with open_video(path, max_pixels=limit, part=part) as reader:
                encoded = encode_reader(self.codecs.video, reader, file, options)
            decoded = self.codecs.video.decode_with(file.getvalue(), DecodeOptions())
            with closing(decoded.frames()) as coded:
                pixels = (frame.pixels for frame in coded)
                size = encoded.picture_bytes
                ours = (OURS, quality, f"q {quality:g}")
                points.append(self._of_clip(clip, *ours, size, pixels, original, times))
            for rival in rivals:
                setting, made = fits[rival.name].below(size)
                theirs = (rival.label, quality, f"{rival.setting} {setting}")
                points.append(self._of_clip(clip, *theirs, made.bytes, rival.decode(made)))
        notes = [*self.notes, *self.measures.notes]
        shape = form.height, form.width
        return Result(points, shape, original, times, 1, notes)

    def _of_clip(
        self,
        clip: _Clip,
        codec: str,
        quality: float,
        setting: str,
        size: int,
        coded: Iterator[Samples],
        original: list[str] | None = None,
        times: list[float] | None = None,
    ) -> Point:
        """The point of one coded clip; the page's frames of the original are put into
        `original`."""
        from bsqcodec.compare.page import FRAME_QUALITY, picture_url
        from bsqcodec.compare.videos import KeptFrames, measure_frames

        def pack(first: Samples, second: Samples) -> tuple[str, str]:
            first_url = "" if original is None else picture_url(first, FRAME_QUALITY)
            return first_url, picture_url(second, FRAME_QUALITY)

        keep = KeptFrames(pack, _PAGE_FRAMES) if self.with_page else None
        with self.console.frames(f"{codec}, {setting}", clip.count) as progress:
            measured, _ = measure_frames(self.measures, clip.beside(coded), keep, progress)
        kept = [] if keep is None else keep.kept
        if original is not None and times is not None:
            original[:] = [frame[1] for frame in kept]
            times[:] = [frame[0] for frame in kept]
        bpp = 8 * size / (clip.form.width * clip.form.height * clip.count)
        return Point(codec, quality, setting, size, bpp, measured, [frame[2] for frame in kept])

    def _takes(self, rival: StillRival | VideoRival) -> bool:
        return rival.is_here and (self.names is None or rival.name in self.names)


@dataclass(frozen=True)
class _Clip:
    """The frames that are coded. frames: gives them anew with each call."""

    form: VideoFormat
    frames: Callable[[], Iterator[VideoFrame]]
    count: int

    def beside(self, coded: Iterator[Samples]) -> Iterator[tuple[float, Samples, Samples]]:
        """Times in seconds, frames, and what they were coded to."""
        base, first = self.form.time_base, None
        for frame, other in zip(self.frames(), coded, strict=True):
            first = frame.pts if first is None else first
            yield float((frame.pts - first) * base), frame.pixels, other


def _still_fitting(rival: StillRival, pixels: Samples) -> Fitting[bytes]:
    from bsqcodec.compare.rivals import Fitting

    return Fitting(lambda quality: rival.encode(pixels, quality), len, rival.range)


def _video_fitting(rival: VideoRival, clip: _Clip) -> Fitting[CodedClip]:
    from bsqcodec.compare.rivals import Fitting

    return Fitting(
        lambda crf: rival.encode(clip.form, clip.frames(), crf),
        lambda made: made.bytes,
        rival.range,
    )


def _quality(options: EncodeOptions) -> float:
    """The quality that options ask for."""
    assert isinstance(options.target, Quality)
    return options.target.value
