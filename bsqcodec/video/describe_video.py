"""What a .bsq video says about itself, read without its model unless levels are asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from bsqcodec.errors import FormatError
from bsqcodec.format.byte_source import ByteReader, ByteSource
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.magic import FileKind
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.plain_text import one_line
from bsqcodec.format.video_file_reader import SideBytes, VideoFileReader
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.format.video_header import VideoHeader
from bsqcodec.format.video_times import ShownTimes
from bsqcodec.format.video_walk import DamagedGop
from bsqcodec.image.describe_picture import Counted
from bsqcodec.media.files import temporary_file

if TYPE_CHECKING:
    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.video_model import Meter


def describe_video(
    source: ByteSource,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    codec: VideoCodec | None = None,
) -> dict[str, Any]:
    """Return the facts about a .bsq video, ready for JSON; a stream is read to its end.

    codec: if given, all tokens are decoded, so as to tell what each level takes.

    Keys: format_version; image_model_id, video_model_id (hex); width, height (pixels); time_base,
    frame_rate (None if unknown), sample_aspect_ratio (as text, "1/25"); colour (matrix, primaries,
    transfer: code points of ITU-T H.273; full_range); metadata (texts); frames, gops (those that
    are sound); mean_gop_frames (None without any); moved_timestamps (how many frames are no later
    than the one before them, and are shown later); duration_s (None where the end is missing);
    i_frames, p_frames, i_bytes, p_bytes; levels (None without a codec; else rows of frames, "I" or
    "P", plane, None for motion vectors, and bytes, by the probabilities of the bits, to which the
    frames' heads and a range coder's last word come); side_bytes; tracks (of the side stream, see
    `bsqcodec.media.side.side_tracks.list_tracks`; None where it is damaged); file_bytes;
    overhead_bytes (all that is neither frames nor side stream); bpp (bits of the file for each
    pixel; of a damaged one, of its sound bytes and frames), bitrate_bps (of the file); damage (a
    list of first_frame, frames or None, reason, side_lost); problem (words, or None).

    Raises as `VideoFileReader` for a damaged header, for frames of more than `max_pixels` pixels,
    and for a file that needs a newer bsqcodec; with a codec WeightsError, and FormatError for a
    group that does not decode.
    """
    reader = ByteReader(source)
    file = VideoFileReader(
        Counted(reader),
        max_pixels=max_pixels,
        max_memory=None if codec is None else memory_limit(),
        allow_partial=True,
    )
    header = file.header
    found = _Found(ShownTimes(header), None if codec is None else codec.level_meter(header))
    with temporary_file() as side:
        found.read(file, reader, side)
        side_bytes = side.tell()
        tracks, side_problem = _tracks(side) if side_bytes else ([], None)
    reader.drain()
    duration = None
    if file.totals is not None:
        duration = float(file.totals.duration * header.time_base)
    return {
        **_header_facts(header),
        "metadata": file.metadata,
        "duration_s": duration,
        **found.facts(),
        "side_bytes": side_bytes,
        "tracks": tracks,
        **found.rates(header, side_bytes, reader.consumed, duration),
        "damage": [asdict(lost) for lost in found.damage],
        "problem": found.damage[0].reason if found.damage else side_problem,
    }


@dataclass
class _Found:
    """What the chunks of a video hold: groups, frames of each type, damage.

    frames, sizes: number of frames and bytes of them. lost_bytes:
    bytes of the file that are damaged.
    """

    times: ShownTimes
    meter: Meter | None
    groups: int = 0
    frames: Counter[FrameType] = field(default_factory=Counter)
    sizes: Counter[FrameType] = field(default_factory=Counter)
    damage: list[DamagedGop] = field(default_factory=list)
    lost_bytes: int = 0

    def read(self, file: VideoFileReader, reader: ByteReader, side: IO[bytes]) -> None:
        """Go through all chunks of a file, which `reader` counts;
        write its side stream to `side`."""
        seen = reader.consumed
        for part in file.chunks():
            if isinstance(part, Gop):
                self._add(part)
            elif isinstance(part, SideBytes):
                side.write(part.data)
            elif isinstance(part, DamagedGop):
                self.damage.append(part)
                self.lost_bytes += reader.consumed - seen
            seen = reader.consumed

    def _add(self, gop: Gop) -> None:
        self.groups += 1
        self.times.of(gop.pts)
        for kind, payload in zip(gop.types, gop.frames, strict=True):
            self.frames[kind] += 1
            self.sizes[kind] += len(payload)
        if self.meter is not None:
            self.meter.add(gop)

    def facts(self) -> dict[str, Any]:
        """How many groups and frames there are, and what they take."""
        count = self.frames.total()
        return {
            "frames": count,
            "gops": self.groups,
            "moved_timestamps": self.times.moved,
            "mean_gop_frames": count / self.groups if self.groups else None,
            "i_frames": self.frames[FrameType.I],
            "p_frames": self.frames[FrameType.P],
            "i_bytes": self.sizes[FrameType.I],
            "p_bytes": self.sizes[FrameType.P],
            "levels": None if self.meter is None else self.meter.rows(),
        }

    def rates(
        self, header: VideoHeader, side_bytes: int, file_bytes: int, duration: float | None
    ) -> dict[str, Any]:
        """What the whole file takes, for each pixel and for each second."""
        pixels = self.frames.total() * header.pixels
        return {
            "file_bytes": file_bytes,
            "overhead_bytes": file_bytes - self.sizes.total() - side_bytes,
            "bpp": 8 * (file_bytes - self.lost_bytes) / pixels if pixels else None,
            "bitrate_bps": 8 * file_bytes / duration if duration else None,
        }


def _header_facts(header: VideoHeader) -> dict[str, Any]:
    """What the header says of the video."""
    return {
        "format_version": int(FileKind.VIDEO),
        "image_model_id": header.image_model_id.hex(),
        "video_model_id": header.video_model_id.hex(),
        "width": header.width,
        "height": header.height,
        "time_base": str(header.time_base),
        "frame_rate": None if header.frame_rate is None else str(header.frame_rate),
        "sample_aspect_ratio": str(header.sample_aspect_ratio),
        "colour": {
            "matrix": header.colour.matrix,
            "primaries": header.colour.primaries,
            "transfer": header.colour.transfer,
            "full_range": header.colour.full_range,
        },
    }


def format_video_lines(facts: dict[str, Any]) -> str:
    """Return what `describe_video` found as lines for people, without a newline at the end."""
    size = f"{facts['width']} x {facts['height']} pixels"
    if facts["sample_aspect_ratio"] != "1":
        size += f", each {facts['sample_aspect_ratio']} as wide as high"
    rate = facts["frame_rate"]
    length = count_of(facts["frames"], "frame")
    if facts["duration_s"] is not None:
        length += f", {facts['duration_s']:.3f} s"
    if rate is not None:
        length += f", {float(Fraction(rate)):.6g} fps"
    groups = str(facts["gops"])
    if facts["gops"]:
        groups += f", of {facts['mean_gop_frames']:.1f} frames on average"
    coded = f"{facts['file_bytes']} bytes"
    if facts["bpp"] is not None:
        coded += f", {facts['bpp']:.4f} bpp"
    if facts["bitrate_bps"] is not None:
        coded += f", {facts['bitrate_bps'] / 1000:.1f} kbit/s"
    rows = [
        ("format", f"bsq version {facts['format_version']} (video)"),
        ("models", f"{facts['video_model_id']}, {facts['image_model_id']} of pictures"),
        ("size", size),
        ("length", length),
        ("groups", groups),
        ("file", coded),
        ("  I frames", f"{facts['i_frames']}, {facts['i_bytes']} bytes"),
        *_level_rows(facts, "I"),
        ("  P frames", f"{facts['p_frames']}, {facts['p_bytes']} bytes"),
        *_level_rows(facts, "P"),
        ("  side stream", f"{facts['side_bytes']} bytes"),
        ("  overhead", f"{facts['overhead_bytes']} bytes"),
    ]
    if facts["moved_timestamps"]:
        rows.append(("timestamps", f"{facts['moved_timestamps']} repeated or going back"))
    if facts["tracks"] is None:
        rows.append(("tracks", "damaged"))
    rows += [("track", _track_line(track)) for track in facts["tracks"] or ()]
    rows += [(key.lower(), " ".join(text.split())) for key, text in facts["metadata"].items()]
    rows += [("damage", _damage_line(lost)) for lost in facts["damage"]]
    rows = [(one_line(name), one_line(text)) for name, text in rows]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in rows)


def count_of(count: int, what: str) -> str:
    """Return a number of things in words: 1 frame, 2 frames."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def missing_frames(first_frame: int, frames: int | None) -> str:
    """Return which frames are missing, in words."""
    if frames is None:
        return f"any frames from {first_frame} on"
    if frames == 0:
        return "no frames"
    last = first_frame + frames - 1
    return f"frame {last}" if frames == 1 else f"frames {first_frame} to {last}"


def _level_rows(facts: dict[str, Any], frames: str) -> list[tuple[str, str]]:
    """What the levels of I or P frames take, where that was measured."""
    found = []
    for row in facts["levels"] or ():
        if row["frames"] == frames:
            name = "vectors" if row["plane"] is None else f"plane {row['plane']}"
            found.append((f"    {name}", f"{row['bytes']:.0f} bytes"))
    if found:
        named = sum(row["bytes"] for row in facts["levels"] if row["frames"] == frames)
        found.append(("    rest", f"{facts[f'{frames.lower()}_bytes'] - named:.0f} bytes"))
    return found


def _damage_line(lost: dict[str, Any]) -> str:
    what = missing_frames(lost["first_frame"], lost["frames"])
    side = ", and some of the side stream" if lost["side_lost"] else ""
    return f"{what} missing{side}: {lost['reason']}"


def _track_line(track: dict[str, Any]) -> str:
    text = f"{track['kind']}, {track['codec'] or 'unknown'}"
    if "sample_rate" in track:
        text += f", {track['sample_rate']} Hz, {track['channels']} channels"
    if track["language"]:
        text += f", {track['language']}"
    return f"{text}, {track['bytes']} bytes"


def _tracks(side: IO[bytes]) -> tuple[list[dict[str, Any]] | None, str | None]:
    """The tracks of a side stream, or None and what is wrong with it."""
    from bsqcodec.media.side.side_tracks import list_tracks

    side.seek(0)
    try:
        return list_tracks(cast(BinaryIO, side)), None
    except FormatError as error:
        return None, str(error)
