"""Numbered pictures as a video: read in the order of their numbers, written one file a frame."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from bsqcodec.errors import MediaError, OutputError
from bsqcodec.format.video_times import DEFAULT_FRAME_RATE
from bsqcodec.media.files import atomic_output, check_output
from bsqcodec.media.image.icc import code_points_of
from bsqcodec.media.image.image_reader import read_picture, write_picture
from bsqcodec.media.image.picture import Picture
from bsqcodec.media.suffixes import CODED_SUFFIX, PICTURE_SUFFIXES, VIDEO_SUFFIXES
from bsqcodec.media.video.video_colour import guessed_matrix
from bsqcodec.media.video.video_types import (
    VideoColour,
    VideoFormat,
    VideoFrame,
    VideoReader,
    VideoWriter,
)

DEFAULT_NAME: Final = "frame%06d.png"
_NUMBER: Final = re.compile(r"%(0?)(\d*)d")
_SRGB: Final = (1, 13)
"""The code points of sRGB's primaries and transfer characteristic in ITU-T H.273."""


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts names by the numbers in them: frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], path.name


def find_pictures(source: Path) -> list[Path]:
    """Return the pictures that a name pattern, a glob or a folder stands for, in order.

    A pattern such as frame%05d.png counts on from its lowest number until one is missing.
    Raises MediaError where there are none.
    """
    if source.is_dir():
        found = [
            path
            for path in source.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        ]
        pictures = sorted(found, key=natural_key)
    elif _NUMBER.search(source.name):
        pictures = _numbered(source)
    else:
        names = glob.glob(source.name, root_dir=source.parent)
        pictures = sorted((source.parent / name for name in names), key=natural_key)
    if not pictures:
        raise MediaError(
            f"{source}: no pictures found; names such as frame00001.png fit frame%05d.png, and"
            ' those of a "frame*.png" in quotes need no numbers'
        )
    return pictures


class PicturesReader(VideoReader):
    """Pictures of one size, with their names in messages, each taken when its turn comes.

    frame_rate: frames a second; timestamps count frames in a time base of 1 / frame_rate.
    count: how many there probably are, None if that is not known.
    Raises MediaError where there are none, and what taking the first raises.
    """

    def __init__(
        self,
        pictures: Iterator[tuple[str, Picture]],
        frame_rate: Fraction | None = None,
        count: int | None = None,
    ) -> None:
        rate = frame_rate or DEFAULT_FRAME_RATE
        self.notes = []
        self.problems = []
        self.expected_frames = count
        first = next(pictures, None)
        if first is None:
            raise MediaError("a video has at least one frame, and there is none")
        self._pictures = chain((first,), pictures)
        picture = first[1]
        size = picture.width, picture.height
        self._code_points = _code_points(picture) or _SRGB
        self._note(picture)
        self.format = VideoFormat(
            *size, 1 / rate, rate, VideoColour(guessed_matrix(size[1]), False, *self._code_points),
            notes=tuple(self.notes),
        )  # fmt: skip

    def frames(self) -> Iterator[VideoFrame]:
        for index, (name, picture) in enumerate(self._pictures):
            if (picture.width, picture.height) != (self.format.width, self.format.height):
                raise MediaError(
                    f"{name}: the picture size changes from {self.format.width} x"
                    f" {self.format.height} to {picture.width} x {picture.height}"
                    f" after {index} frames"
                )
            self._note(picture)
            pixels = picture.pixels
            if picture.is_grey:
                pixels = np.repeat(pixels[:, :, None], 3, axis=2)
            del picture
            yield VideoFrame(pixels, index)

    def close(self) -> None:
        """Nothing is left open between pictures."""

    def _note(self, picture: Picture) -> None:
        """Collect what reading the pictures noted, each sentence once."""
        notes = list(picture.notes)
        if picture.alpha is not None and int(picture.alpha.min()) < 255:
            notes.append("transparency was dropped")
        if (_code_points(picture) or _SRGB) != self._code_points:
            notes.append("the colours of the pictures are not all named alike: the first's count")
        elif picture.icc is not None and _code_points(picture) is None:
            notes.append("colour profiles are not carried: samples are taken as sRGB")
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]


class SequenceReader(PicturesReader):
    """Picture files as a video; see `PicturesReader`."""

    def __init__(self, source: Path, frame_rate: Fraction | None, *, max_pixels: int) -> None:
        paths = find_pictures(source)
        pictures = ((str(path), read_picture(path, max_pixels=max_pixels)) for path in paths)
        super().__init__(pictures, frame_rate, len(paths))


def _code_points(picture: Picture) -> tuple[int, int] | None:
    """Primaries and transfer of ITU-T H.273 that a picture's profile names, if it does."""
    return None if picture.icc is None else code_points_of(picture.icc)


class SequenceWriter(VideoWriter):
    """PNG files of frames, numbered from 1; each appears whole or not at all.

    destination: a name pattern such as out%05d.png, or a folder, which is made where missing.
    Raises OutputExistsError where a file is there and `overwrite` is not set.
    """

    def __init__(self, destination: Path, format: VideoFormat, *, overwrite: bool) -> None:
        self.notes = []
        self._size = (format.height, format.width)
        self._overwrite = overwrite
        self._count = 0
        if not _NUMBER.search(destination.name):
            if destination.suffix:
                raise OutputError(
                    f"{destination}: give a folder, or a pattern such as frame%05d.png"
                )
            destination.mkdir(exist_ok=True)
            destination = destination / DEFAULT_NAME
        if destination.suffix.lower() != ".png":
            raise OutputError(f"{destination}: numbered pictures are written as PNG")
        self._pattern = destination
        check_output(self._path(1), force=overwrite)

    def write(self, frame: VideoFrame) -> None:
        if frame.pixels.shape[:2] != self._size:
            raise ValueError(f"the frame is {frame.pixels.shape[:2]}, the video {self._size}")
        with atomic_output(self._path(self._count + 1), force=self._overwrite) as file:
            write_picture(Picture(frame.pixels), file, format="png")
        self._count += 1

    def close(self) -> None:
        if not self._count:
            raise OutputError(f"{self._pattern}: no frames were written")
        self.notes.append("numbered pictures hold neither timestamps nor sound")

    def abort(self) -> None:
        """Nothing is left open between frames; those that were written stay."""

    def _path(self, number: int) -> Path:
        name = _NUMBER.sub(lambda m: format_number(number, m.groups()), self._pattern.name)
        return self._pattern.with_name(name)


def check_pictures_name(path: Path) -> None:
    """Raise OutputError for what is neither a pattern of PNG files nor the name of a folder."""
    if _NUMBER.search(path.name):
        if path.suffix.lower() != ".png":
            raise OutputError(f"{path}: numbered pictures are written as PNG")
        return
    suffix = path.suffix.lower()
    if path.is_dir() or not (
        suffix in PICTURE_SUFFIXES | VIDEO_SUFFIXES | {CODED_SUFFIX} or set("*?") & set(path.name)
    ):
        return
    raise OutputError(
        f"{path}: a video gives many pictures: give a folder, or a pattern such as"
        f" {path.stem.strip('*?') or 'frame'}%05d.png"
    )


def format_number(number: int, spec: Sequence[str]) -> str:
    """Return the number as printf's %d with a fill ("0" or "") and a width ("" for none)."""
    fill, width = spec
    return str(number).rjust(int(width or 0), fill or " ")


def _numbered(pattern: Path) -> list[Path]:
    """The files of a pattern with a number, from the lowest one on without a gap."""
    before, after = _NUMBER.split(pattern.name, maxsplit=1)[0::3]
    shape = re.compile(re.escape(before) + r" *(\d+)" + re.escape(after))
    spec = _NUMBER.search(pattern.name)
    if spec is None or not pattern.parent.is_dir():
        return []
    numbers = set()
    for name in os.listdir(pattern.parent):
        match = shape.fullmatch(name)
        if match and before + format_number(int(match[1]), spec.groups()) + after == name:
            numbers.add(int(match[1]))
    paths = []
    number = min(numbers, default=0)
    while number in numbers:
        name = before + format_number(number, spec.groups()) + after
        paths.append(pattern.with_name(name))
        number += 1
    return paths
