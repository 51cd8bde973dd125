"""A group that a worker decodes ahead of whoever takes its frames, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

from bsqcodec.format.video_gop import Gop
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.group_workers import GroupWorkers
from bsqcodec.video.video_model import FrameSource, VideoModel
from bsqcodec.video.worker_process import RemoteGroupDecoder, WorkerProcess

MAX_BYTES_WAITING = 2**27
"""Bytes of decoded frames of a group that may wait, or LEAST_WAITING frames, if they have more."""

LEAST_WAITING = 4

_LOOK_SECONDS = 1.0


class DecodedGroup:
    """The frames of a group of frames of this height and width, which workers begin to decode at
    once."""

    def __init__(
        self, workers: GroupWorkers, model: VideoModel, size: tuple[int, int], gop: Gop
    ) -> None:
        self._workers, self._model, self._size, self._gop = workers, model, size, gop
        self._most = max(MAX_BYTES_WAITING // (3 * size[0] * size[1]), LEAST_WAITING)
        self._waiting: deque[Pixels] = deque()
        self._decoded = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._future = workers.submit(self._decode)
        self._future.add_done_callback(self._notify)

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3] in order. Raises FormatError and its children, LimitError."""
        while True:
            with self._changed:
                while not self._waiting and not self._future.done():
                    self._changed.wait()
                pixels = self._waiting.popleft() if self._waiting else None
                self._changed.notify_all()
            if pixels is None:
                break
            yield pixels
            del pixels
        self._future.result()

    def close(self) -> None:
        """Give the rest of the frames up."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._future.cancel()

    @property
    def _is_given_up(self) -> bool:
        return self._is_closed or self._workers.is_closed

    def _notify(self, done: Future[None]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _decode(self, process: WorkerProcess | None, threads: CodingThreads) -> None:
        """Decode the frames that are not decoded yet: all, unless a process was lost at it."""
        source: FrameSource
        if process is None:
            source = self._model.decoder(*self._size, self._gop, threads)
        else:
            source = RemoteGroupDecoder(process, self._model.path, self._size, self._gop)
        for number, pixels in enumerate(source.frames()):
            if number == self._decoded:
                self._workers.count_frame()
                self._put(pixels)
                self._decoded += 1
            del pixels

    def _put(self, pixels: Pixels) -> None:
        """Have a frame wait for whoever takes it. Raises CancelledError."""
        with self._changed:
            while len(self._waiting) >= self._most and not self._is_given_up:
                self._changed.wait(_LOOK_SECONDS)
            if self._is_given_up:
                raise CancelledError
            self._waiting.append(pixels)
            self._changed.notify_all()
