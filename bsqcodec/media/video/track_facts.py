"""What a container says about its picture track besides the picture: crop, language, HDR ..."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from threading import Lock
from typing import Any, Final

import av
import av.logging
from av.sidedata.sidedata import Type

PICTURE_TAG: Final = "picture."
"""Keys of a video's metadata that begin like this are of its picture track: language, title."""

TIME_CODE: Final = "timecode"
"""Key of a video's metadata for the time code of its first frame, such as 01:00:00:00."""

_CONTAINER_TEXTS: Final = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
)
"""Metadata that tells about the container itself, not about the video."""

_UNDEFINED: Final = "und"
_CROPPING: Final = "frame cropping"
_OF_STREAM: Final = {
    "mastering display metadata": "mastering display metadata",
    "content light level metadata": "content light level metadata",
    "stereo3d": "stereo 3D layout",
    "spherical": "spherical projection",
    "dovi configuration record": "Dolby Vision metadata",
    "icc profile": "a colour profile",
    "ambient viewing environment": "ambient viewing environment",
}
"""FFmpeg's names of side data of a stream, in lower case, and what notes call it."""

_OF_FRAME: Final = {
    Type.MASTERING_DISPLAY_METADATA: "mastering display metadata",
    Type.CONTENT_LIGHT_LEVEL: "content light level metadata",
    Type.STEREO3D: "stereo 3D layout",
    Type.SPHERICAL: "spherical projection",
    Type.DOVI_METADATA: "Dolby Vision metadata",
    Type.DOVI_RPU_BUFFER: "Dolby Vision metadata",
    Type.DYNAMIC_HDR_PLUS: "HDR10+ metadata",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid metadata",
    Type.AMBIENT_VIEWING_ENVIRONMENT: "ambient viewing environment",
    Type.ICC_PROFILE: "a colour profile",
    Type.A53_CC: "closed captions in the pictures",
    Type.S12M_TIMECODE: "time codes in the pictures",
}

_TIME_CODE: Final = re.compile(r"\d\d:[0-5]\d:[0-5]\d([:;.])(\d\d)")
_STREAM_LINE: Final = re.compile(r"  Stream #0:(\d+)")
_SIDE_LINE: Final = re.compile(r"      (\S[^:,]*?)\s*(?:[:,]\s*(.*))?")
_logging: Final = Lock()


@dataclass(frozen=True)
class ContainerCrop:
    """How many columns and rows a container wants to be left out at each side of the picture."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of what is left of a picture; both may be below 1."""
        return width - self.left - self.right, height - self.top - self.bottom


@dataclass
class TrackFacts:
    """What FFmpeg found in the container about a stream. crop: None for none. unkept: names of
    what a .bsq file does not hold."""

    crop: ContainerCrop | None = None
    unkept: list[str] = field(default_factory=list)


def read_facts(container: av.container.InputContainer, stream: av.VideoStream) -> TrackFacts:
    """Return what the container says about a stream.

    PyAV gives side data of streams nowhere but in FFmpeg's description of the container, for which
    logging must be on.
    """
    facts = TrackFacts()
    for name, value in _side_lines(_description(container), stream.index):
        if name.lower() == _CROPPING:
            facts.crop = _crop(value)
        unkept = _OF_STREAM.get(name.lower())
        if unkept is not None:
            facts.unkept.append(unkept)
    return facts


def metadata_of(
    container: av.container.InputContainer, stream: av.VideoStream | None
) -> dict[str, str]:
    """Return the video's own texts: the container's, and language, title, time code of a track.

    stream: the picture's track, None where its texts are FFmpeg's own.
    """
    metadata = {
        key: text for key, text in container.metadata.items() if key.lower() not in _CONTAINER_TEXTS
    }
    if stream is None:
        return metadata
    for key in ("language", "title"):
        text = stream.metadata.get(key)
        if text and (key, text.lower()) != ("language", _UNDEFINED):
            metadata[PICTURE_TAG + key] = text
    time_codes = [
        track.metadata[TIME_CODE]
        for track in (stream, *container.streams.data)
        if TIME_CODE in track.metadata
    ]
    if time_codes and not any(key.lower() == TIME_CODE for key in metadata):
        metadata[TIME_CODE] = time_codes[0]
    return metadata


def split_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of a container and those of its picture track, from `metadata_of`'s."""
    of_track = {
        key.removeprefix(PICTURE_TAG): text
        for key, text in metadata.items()
        if key.startswith(PICTURE_TAG)
    }
    return {
        key: text for key, text in metadata.items() if not key.startswith(PICTURE_TAG)
    }, of_track


def drop_unusable_time_code(texts: dict[str, str], rate: Fraction, notes: list[str]) -> None:
    """Take a time code that MP4 cannot hold at this frame rate out of a container's texts.

    FFmpeg would refuse to write the file: hours, minutes, seconds and frames are counted, with a
    semicolon or a point before the frames where some numbers are left out.
    """
    for key, text in list(texts.items()):
        if key.lower() != TIME_CODE:
            continue
        match = _TIME_CODE.fullmatch(text)
        counts = match is not None and int(match[2]) < round(rate)
        skips = match is not None and match[1] != ":"
        if not counts or (skips and round(rate) % 30):
            del texts[key]
            notes.append(f"the time code {text} does not go with the frame rate and was dropped")


class SideDataNotes:
    """Collects what frames, and their container, carry besides pixels.

    unkept: what is known of the container.
    """

    def __init__(self, unkept: Iterable[str]) -> None:
        self._names = dict.fromkeys(unkept)
        self._told: set[str] = set()

    def look(self, frame: av.VideoFrame) -> None:
        """Take in the side data of a frame."""
        for side in side_data_of(frame):
            name = _OF_FRAME.get(side.type)
            if name is not None:
                self._names[name] = None

    def notes(self) -> list[str]:
        """Return a sentence that names what is not kept and was not named before,
        if there is any."""
        names = [name for name in self._names if name not in self._told]
        self._told.update(names)
        return [f"not kept: {', '.join(names)}"] if names else []


def side_data_of(frame: av.VideoFrame) -> list[Any]:
    """Return the side data of a frame; none where PyAV stumbles over a kind that it does not know.

    PyAV 18.1 raises ValueError for all side data of a frame then, such as of JPEG frames with EXIF.
    """
    try:
        return list(frame.side_data)
    except ValueError:
        return []


def _description(container: Any) -> str:
    """FFmpeg's description of a container."""
    with _logging:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            return str(container.dumps_format())
        except UnicodeDecodeError:
            return ""
        finally:
            av.logging.set_level(level)


def _side_lines(description: str, index: int) -> Iterable[tuple[str, str]]:
    """Names and values of the side data of a stream."""
    current, in_side_data = None, False
    for line in description.splitlines():
        stream = _STREAM_LINE.match(line)
        if stream is not None:
            current, in_side_data = int(stream[1]), False
        elif not line.startswith("      "):
            in_side_data = line.strip() == "Side data:"
        elif in_side_data and current == index:
            side = _SIDE_LINE.fullmatch(line)
            if side is not None:
                yield side[1], side[2] or ""


def _crop(text: str) -> ContainerCrop | None:
    """The crop that FFmpeg writes as left/right/top/bottom."""
    try:
        left, right, top, bottom = (int(part) for part in text.split("/"))
    except ValueError:
        return None
    return ContainerCrop(left, right, top, bottom) if left or right or top or bottom else None
