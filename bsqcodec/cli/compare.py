"""`bsqcodec compare`: how far one picture or video is from another, as figures and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsqcodec.cli import command_options
from bsqcodec.cli.codecs import Codecs
from bsqcodec.cli.console import Console, format_bytes
from bsqcodec.cli.option_groups import GroupedCommand
from bsqcodec.cli.sources import Source, find_source, read_frames, read_pixels
from bsqcodec.errors import MediaError
from bsqcodec.media.files import check_output, is_standard_stream, open_output
from bsqcodec.options import DecodeOptions

if TYPE_CHECKING:
    from bsqcodec.compare.measures import Measured, Measures
    from bsqcodec.compare.page import Page
    from bsqcodec.compare.videos import KeptFrames, Second
    from bsqcodec.media.image.picture import Samples

lpips_option = click.option(
    "--lpips",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of LPIPS (SqueezeNet, safetensors).  [default: what BSQCODEC_LPIPS names, or"
    " lpips_squeeze_v0.1.safetensors among the weights]",
)
html_option = click.option(
    "--html",
    "page",
    metavar="PAGE",
    help="Write a page that shows both: a border to move, zoom, the error, frames of videos.",
)


@click.command(cls=GroupedCommand)
@click.argument("reference", metavar="A", type=click.Path())
@click.argument("coded", metavar="B", type=click.Path())
@html_option
@lpips_option
@command_options.force_option
@command_options.machine_options
@command_options.max_pixels_option
@command_options.json_option
@command_options.verbosity_options
@click.pass_obj
def compare(
    console: Console,
    reference: str,
    coded: str,
    page: str | None,
    lpips: Path | None,
    force: bool,
    machine: command_options.MachineOptions,
    max_pixels: int,
    as_json: bool,
) -> None:
    """Measure how far B is from A, two pictures or two videos of one size.

    A is the original, B what was coded: a .bsq file, or any picture or video. Reported are bytes,
    bits per pixel, PSNR of RGB and of YUV (6:1:1), MS-SSIM, LPIPS where its weights are there, and
    SSIMULACRA2 where its package is installed; of a video also for every second.
    """
    if page is not None and not is_standard_stream(page):
        check_output(page, force=force)
    sources = find_source(reference), find_source(coded)
    if sources[0].is_video != sources[1].is_video:
        raise MediaError("one of the two is a picture and the other a video")
    from bsqcodec.compare.measures import Measures

    codecs = machine.codecs(console)
    comparison = _Comparison(
        console, codecs, DecodeOptions(max_pixels=max_pixels), Measures(lpips), *sources
    )
    with_page = page is not None
    result = comparison.of_videos(with_page) if sources[0].is_video else comparison.of_pictures()
    for note in result.notes:
        console.note(note)
    if page is not None:
        with open_output(page, force=force) as file:
            file.write(result.page().html().encode())
    if as_json:
        console.record(result.facts(), data_on_stdout=page is not None and is_standard_stream(page))
    else:
        for line in result.lines():
            console.answer(line)


@dataclass(frozen=True)
class _Comparison:
    """Two sources, and what compares them."""

    console: Console
    codecs: Codecs
    decoding: DecodeOptions
    measures: Measures
    reference: Source
    coded: Source

    def of_pictures(self) -> _Result:
        """Compare two pictures. Raises BsqError and OSError."""
        from bsqcodec.compare.page import picture_url

        pairs = [
            read_pixels(source, self.codecs, self.decoding)
            for source in (self.reference, self.coded)
        ]
        pixels = pairs[0][0], pairs[1][0]
        measured = self.measures.of(*pixels)
        return _Result(
            self.reference,
            self.coded,
            pixels[0].shape[:2],
            measured,
            notes=[*(note for _, note in pairs if note), *self.measures.notes],
            pictures=lambda: [(0.0, picture_url(pixels[0]), picture_url(pixels[1]))],
        )

    def of_videos(self, with_page: bool) -> _Result:
        """Compare two videos frame by frame; with_page: keep frames to look at."""
        from bsqcodec.compare.page import FRAME_QUALITY, picture_url
        from bsqcodec.compare.videos import KeptFrames, measure_frames

        def pack(first: Samples, second: Samples) -> tuple[str, str]:
            return picture_url(first, FRAME_QUALITY), picture_url(second, FRAME_QUALITY)

        keep: KeptFrames | None = KeptFrames(pack) if with_page else None
        notes = list(self.measures.notes)
        size: list[tuple[int, int]] = []
        with self.console.frames(f"{self.reference.path}, {self.coded.path}") as progress:
            pairs = self._pairs(notes, size)
            measured, seconds = measure_frames(self.measures, pairs, keep, progress)
        return _Result(
            self.reference,
            self.coded,
            size[0],
            measured,
            notes,
            pictures=(lambda: keep.kept) if keep is not None else list,
            seconds=seconds,
        )

    def _pairs(
        self, notes: list[str], size: list[tuple[int, int]]
    ) -> Iterator[tuple[float, Samples, Samples]]:
        """Times and both frames, as long as there are both; the size is put into `size`."""
        count = 0
        both = (read_frames(s, self.codecs, self.decoding) for s in (self.reference, self.coded))
        for first, second in zip_longest(*both):
            if first is None or second is None:
                longer = self.reference if second is None else self.coded
                notes.append(f"{longer.path} has more frames; the first {count} are compared")
                break
            if not count:
                size.append(first[1].shape[:2])
            yield first[0], first[1], second[1]
            count += 1
        if not count:
            raise MediaError("there is no frame to compare")


@dataclass(frozen=True)
class _Result:
    """What came of a comparison. shape: height and width. pictures: gives frames for a page."""

    reference: Source
    coded: Source
    shape: tuple[int, int]
    measured: Measured
    notes: list[str]
    pictures: Callable[[], list[tuple[float, str, str]]]
    seconds: list[Second] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames that were compared."""
        return sum(second.frames for second in self.seconds) or 1

    def _bpp(self, source: Source) -> float | None:
        pixels = self.shape[0] * self.shape[1] * self.frames
        return None if source.bytes is None else 8 * source.bytes / pixels

    def facts(self) -> dict[str, Any]:
        """What --json reports."""
        facts: dict[str, Any] = {
            "input": self.reference.path,
            "output": self.coded.path,
            "width": self.shape[1],
            "height": self.shape[0],
            "input_bytes": self.reference.bytes,
            "output_bytes": self.coded.bytes,
            "input_bpp": self._bpp(self.reference),
            "bpp": self._bpp(self.coded),
            **self.measured.facts(),
            "notes": self.notes,
        }
        if self.seconds:
            facts["frames"] = self.frames
            facts["by_second"] = [second.facts() for second in self.seconds]
        return facts

    def lines(self) -> Iterator[str]:
        """What is reported to people."""
        count = f", {self.frames} frames" if self.seconds else ""
        for source in (self.reference, self.coded):
            size = "" if source.bytes is None else f", {format_bytes(source.bytes)}"
            bpp = self._bpp(source)
            bits = "" if bpp is None else f", {bpp:.3f} bpp"
            yield f"{source.path}: {self.shape[1]}x{self.shape[0]}{count}{size}{bits}"
        yield ", ".join(figures(self.measured))
        for second in self.seconds:
            yield f"second {second.time_s}: {', '.join(figures(second.measured))}"

    def page(self) -> Page:
        """The page of both."""
        from bsqcodec.compare.page import Page, Plot, Series, Side

        kept = self.pictures()
        sides = []
        for number, source in enumerate((self.reference, self.coded)):
            bpp = self._bpp(source)
            sides.append(
                Side(
                    source.path,
                    [
                        "" if source.bytes is None else format_bytes(source.bytes),
                        "" if bpp is None else f"{bpp:.3f}",
                        *(cells(self.measured) if number else [""] * len(COLUMNS)),
                    ],
                    [(frame[1], frame[2])[number] for frame in kept],
                )
            )
        plots = []
        for title, name in (("PSNR", "psnr_db"), ("MS-SSIM", "ms_ssim")):
            facts = [second.facts() for second in self.seconds]
            points = [(one["time_s"], one[name]) for one in facts if one[name] is not None]
            if points:
                y = "dB, each second" if name == "psnr_db" else "each second"
                plots.append(Plot(title, "seconds", y, [Series(title, points)]))
        return Page(
            title=f"{Path(self.reference.path).name} and {Path(self.coded.path).name}",
            width=self.shape[1],
            height=self.shape[0],
            columns=["bytes", "bpp", *COLUMNS],
            sides=sides,
            plots=plots,
            notes=self.notes,
            times=[frame[0] for frame in kept] if self.seconds else None,
        )


COLUMNS = ("PSNR (dB)", "PSNR YUV (dB)", "MS-SSIM", "LPIPS", "SSIMULACRA2")
"""Headers over `cells`."""

_FORMS = ("{:.2f}", "{:.2f}", "{:.4f}", "{:.4f}", "{:.1f}")


def cells(measured: Measured) -> list[str]:
    """The measures as a row of a table, in the order of COLUMNS; "" for what is not measured."""
    values = (
        measured.psnr_db,
        measured.psnr_yuv_db,
        measured.ms_ssim,
        measured.lpips,
        measured.ssimulacra2,
    )
    return ["" if v is None else form.format(v) for form, v in zip(_FORMS, values, strict=True)]


def figures(measured: Measured) -> list[str]:
    """The measures as people read them: names, figures and units."""
    texts = [(name.removesuffix(" (dB)"), name) for name in COLUMNS]
    return [
        f"{short} {text}{' dB' if name != short else ''}"
        for (short, name), text in zip(texts, cells(measured), strict=True)
        if text
    ]
