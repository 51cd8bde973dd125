"""Tracks of sound and subtitles copied from one container of FFmpeg's into another."""

from __future__ import annotations

import io
from typing import Any, Final

import av

from bsqcodec.media.ffmpeg_io import GuardedSink

_DEFAULT_LAYOUTS: Final = {"1 channels": "mono", "2 channels": "stereo"}
"""By FFmpeg's name of a layout of speakers without a name of its own;
MP4 wants one named for PCM."""


def copy_track(
    output: av.container.OutputContainer, stream: Any, extradata: bytes | None = None
) -> Any:
    """Return a new track of `output` like `stream`; `extradata` replaces what the decoder needs.

    Raises ValueError or FFmpegError where the format does not know the codec.
    """
    track = output.add_stream_from_template(stream)
    if extradata is not None:
        track.codec_context.extradata = extradata
    if stream.type == "audio" and stream.layout.name in _DEFAULT_LAYOUTS:
        track.codec_context.layout = _DEFAULT_LAYOUTS[stream.layout.name]
    return track


def can_hold(container: str, stream: Any, extradata: bytes | None = None) -> bool:
    """Return whether FFmpeg's format `container` takes such a track: a header is tried out."""
    sink = GuardedSink(io.BytesIO(), "a trial")
    try:
        with av.open(sink, "w", format=container) as trial:
            copy_track(trial, stream, extradata)
            trial.start_encoding()
            sink.closed = True  # a trailer without packets may fail
    except (ValueError, av.error.FFmpegError):
        return False
    return True
