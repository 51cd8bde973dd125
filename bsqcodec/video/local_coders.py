"""Groups of a video that is encoded, coded by this process and the worker processes beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.options import EncodeOptions
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.family_encoders import GroupCoder, GroupEncoders
from bsqcodec.video.group_coding import CodeGroup, GroupCoding, code_frames
from bsqcodec.video.group_workers import GroupWorkers
from bsqcodec.video.video_model import VideoModel
from bsqcodec.video.worker_process import RemoteGroupCoder, WorkerProcess

MAX_BYTES_AHEAD: Final = 2**29
"""Bytes of frames up to which frames are read that the group in front does not need."""

Result = TypeVar("Result")


class LocalCoders:
    """Those on this machine who code the groups of one video; `GroupCoders`.

    encoders: of the groups that this process codes. size: height and width of the frames.
    """

    max_bytes_ahead = MAX_BYTES_AHEAD
    notes: Sequence[str] = ()

    def __init__(
        self,
        workers: GroupWorkers,
        model: VideoModel,
        encoders: GroupEncoders,
        size: tuple[int, int],
        options: EncodeOptions,
    ) -> None:
        self._workers, self._model, self._encoders = workers, model, encoders
        self._size, self._options = size, options

    @property
    def most(self) -> int:
        return self._workers.most

    def expect_at_least(self, frames: int) -> None:
        self._workers.expect_at_least(frames)

    def submit(self, work: Callable[[CodeGroup], Result]) -> Future[Result]:
        return self._workers.submit(
            lambda process, threads: work(partial(self._code, process, threads))
        )

    def _code(
        self, process: WorkerProcess | None, threads: CodingThreads, coding: GroupCoding
    ) -> CodedGroup:
        """Do a coding in a process or, for None, here."""

        def tell(done: int) -> None:
            self._workers.count_frame()
            coding.tell(done)

        coder = self._start(process, threads, coding.dry)
        return code_frames(coder, replace(coding, tell=tell))

    def _start(
        self, process: WorkerProcess | None, threads: CodingThreads, dry: bool
    ) -> GroupCoder:
        if process is None:
            return self._encoders.start(threads, dry=dry)
        return RemoteGroupCoder(process, self._model.path, self._size, self._options, dry)

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workers.__exit__(kind, error, trace)
