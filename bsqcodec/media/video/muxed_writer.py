"""What writers of video files share: the file, checks of frames, finishing it and giving it up."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import av

from bsqcodec.errors import OutputError
from bsqcodec.media.ffmpeg_io import GuardedSink, ffmpeg_guard
from bsqcodec.media.video.video_types import VideoFormat, VideoFrame, VideoWriter


class MuxedWriter(VideoWriter):
    """A file, or a stream that stays open, which a muxer of FFmpeg's writes.

    Writers open the container, `_output`, with the first frame.
    """

    def __init__(self, destination: Path | BinaryIO, format: VideoFormat) -> None:
        self._format = format
        self._cleanup = ExitStack()
        self._output: av.container.OutputContainer | None = None
        self._name = "the output"
        self._file = destination if not isinstance(destination, Path) else self._opened(destination)
        self._sink = GuardedSink(self._file, self._name)

    def _opened(self, path: Path) -> BinaryIO:
        self._name = str(path)
        return self._cleanup.enter_context(path.open("wb"))

    def _check_frame(self, frame: VideoFrame, last_pts: int | None) -> None:
        """Raise ValueError for a frame of another size, or one that is not after the last."""
        height, width = frame.pixels.shape[:2]
        if (width, height) != (self._format.width, self._format.height):
            raise ValueError(
                f"the frame is {width} x {height}, the video"
                f" {self._format.width} x {self._format.height}"
            )
        if last_pts is not None and frame.pts <= last_pts:
            raise ValueError(f"the timestamp {frame.pts} is not after {last_pts}")

    @abstractmethod
    def _finish(self) -> None:
        """Write what the encoder and the writer hold."""

    @abstractmethod
    def _note_changes(self) -> None:
        """Add notes on what the output does not keep, once it is finished."""

    def close(self) -> None:
        try:
            if self._output is None:
                raise OutputError(f"{self._name}: no frames were written")
            with ffmpeg_guard(self._name, "cannot be finished", OutputError):
                self._finish()
                self._sink.check()
                self._output.close()
            self._sink.check()
            self._file.flush()
        except BaseException:
            self.abort()
            raise
        self._cleanup.close()
        self._note_changes()

    def abort(self) -> None:
        self._sink.closed = True
        if self._output is not None:
            with suppress(Exception):
                self._output.close()
            self._output = None
        with suppress(OSError):
            self._cleanup.close()
