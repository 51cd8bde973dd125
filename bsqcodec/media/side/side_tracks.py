"""What a side stream holds: its tracks of sound and subtitles, and its attachments."""

from __future__ import annotations

from typing import Any, BinaryIO

import av

from bsqcodec.errors import FormatError
from bsqcodec.media.ffmpeg_io import BUFFER_BYTES, GuardedSource, ffmpeg_guard
from bsqcodec.media.side.side_stream import PLACEHOLDER_TAG

_NAME = "the side stream"


def list_tracks(file: BinaryIO) -> list[dict[str, Any]]:
    """Return a dict for each track: kind ("audio", "subtitle", "attachment" or "cover"), codec
    (FFmpeg's name), language (or None), packets and bytes; of audio sample_rate (Hz), channels.

    file: all bytes of a side stream. Raises FormatError where they are damaged.
    """
    source = GuardedSource(file, _NAME)
    with (
        ffmpeg_guard(_NAME, "damaged", FormatError, source),
        av.open(
            source, "r", format="matroska", buffer_size=BUFFER_BYTES, metadata_errors="replace"
        ) as container,
    ):
        tracks = {stream.index: _describe(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size and packet.stream_index in tracks:
                tracks[packet.stream_index]["packets"] += 1
                tracks[packet.stream_index]["bytes"] += packet.size
        hidden = [s.index for s in container.streams if PLACEHOLDER_TAG in s.metadata]
    source.check()
    return [track for index, track in tracks.items() if index not in hidden]


def side_damage(file: BinaryIO) -> str | None:
    """Return what is wrong with a side stream that begins where `file` stands; None for nothing.

    The file stands there again afterwards.
    """
    place = file.tell()
    try:
        list_tracks(file)
    except FormatError as error:
        return str(error)
    finally:
        file.seek(place)
    return None


def _describe(stream: Any) -> dict[str, Any]:
    """The facts about a track, before its packets are counted."""
    context = stream.codec_context
    facts = {
        "kind": "cover" if stream.type == "video" else stream.type,
        "codec": context.name if context is not None else None,
        "language": stream.metadata.get("language"),
        "packets": 0,
        "bytes": 0,
    }
    if stream.type == "attachment":
        facts |= {"codec": stream.mimetype, "bytes": len(stream.data)}
    if stream.type == "audio" and context is not None:
        facts |= {"sample_rate": context.sample_rate, "channels": context.layout.nb_channels}
    return facts
