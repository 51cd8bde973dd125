"""What a dask worker does for one video: it loads the weights, and codes a group at a time.

What it keeps between two groups, a `WorkerVideo`, is a result that dask keeps for the client. So
dask drops it with the client, however that ends, and the weights and the file with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from bsqcodec.encoder.effort import is_optimised
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.errors import BsqError, ClusterError, WeightsError
from bsqcodec.image.codec import choose_device
from bsqcodec.machine.precision import ENVIRONMENT, network_dtype
from bsqcodec.machine.processor import clamp_threads
from bsqcodec.machine.scope import coding
from bsqcodec.machine.team import working_alone
from bsqcodec.machine.threads import set_own_count
from bsqcodec.media.video.video_files import VideoFrame
from bsqcodec.options import EncodeOptions
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.family_encoders import GroupEncoders, group_encoders_of
from bsqcodec.video.group_coding import GroupCoding, GroupFrame, code_frames
from bsqcodec.video.shared_file import FileFrames, FrameSum, SharedFile, UnreadableError
from bsqcodec.video.video_model import VideoModel, find_video_model, load_video_model

if TYPE_CHECKING:
    from distributed import Worker

FrameInput: TypeAlias = "FrameSum | Pixels"
"""A frame for a worker: to be read from the file, or its pixels."""

_one_at_a_time = threading.Lock()
"""Held while this process codes a group with all threads of the worker."""


@dataclass(frozen=True)
class Session:
    """What the groups of one video have in common.

    weights: the file on the client's machine; model_id, image_id: see `VideoModel`. precision: of
    the networks on the client's machine. size: height and width of the frames. threads: of the CPU,
    None for those of the dask worker. file: from which frames may be read.
    """

    weights: Path
    model_id: bytes
    image_id: bytes
    int8: bool | None
    device: str
    precision: str
    size: tuple[int, int]
    options: EncodeOptions
    threads: int | None
    file: SharedFile | None


@dataclass(frozen=True)
class GroupRequest:
    """A coding; see `GroupCoding`. first: number of the first frame."""

    first: int
    step: int
    dry: bool
    detect_scene_change: bool


@dataclass(frozen=True)
class Failure:
    """Why something could not be done."""

    error: BsqError | OSError


class WorkerVideo:
    """What a worker keeps of a video between two groups; all is loaded when it is needed.

    A copy of it, such as dask makes for another worker, is one that has loaded nothing yet.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._encoders: GroupEncoders | None = None
        self._frames = None if session.file is None else FileFrames(session.file)

    def __reduce__(self) -> tuple[type[WorkerVideo], tuple[Session]]:
        return WorkerVideo, (self.session,)

    def sees_file(self) -> bool:
        """Whether the frames can be read from the file here."""
        return self.session.file is not None and self.session.file.is_same_here()

    def encoders(self) -> GroupEncoders:
        """The encoders of its groups.

        Raises WeightsError where the weights are not here, MachineError for a device that is not
        here, ClusterError where networks run in another precision.
        """
        if self._encoders is None:
            session, device = self.session, choose_device(self.session.device)
            precision = precision_of(device)
            if precision != session.precision:
                raise ClusterError(
                    f"its networks run in {precision}, not in {session.precision}, and would code"
                    f" other bytes; set {ENVIRONMENT} to the same on all machines"
                )
            height, width = session.size
            self._encoders = group_encoders_of(
                _load_model(session, device), height, width, session.options, device
            )
        return self._encoders

    def pixels(self, wanted: FrameInput) -> Pixels:
        """The pixels of a frame, which can be written to. Raises UnreadableError."""
        if not isinstance(wanted, FrameSum):
            return np.require(wanted, requirements=["W"])
        if self._frames is None:
            raise UnreadableError("there is no file")
        return self._frames.get(wanted)

    def forget(self, until: int) -> None:
        """Drop the frames in front of this number."""
        if self._frames is not None:
            self._frames.forget(until)


def precision_of(device: torch.device) -> str:
    """The name of the precision in which networks run on a device."""
    return str(network_dtype(device)).removeprefix("torch.")


def prepare(video: WorkerVideo) -> bool | Failure:
    """Load the weights; return whether frames can be read from the file here."""
    try:
        with _one_at_a_time, coding(choose_device(video.session.device), "this video"):
            video.encoders()
        return video.sees_file()
    except Exception as error:  # noqa: BLE001 - who prepares the worker raises it
        return _failure(error)


def code_group(
    video: WorkerVideo, request: GroupRequest, inputs: Sequence[FrameInput]
) -> CodedGroup | Failure | None:
    """Code a group; return None as soon as nobody wants it any more.

    inputs: the frames that may belong to it. The error is an UnreadableError where the pixels
    themselves are needed. No exception gets out, since its traceback would keep the weights.
    """
    from distributed import get_worker

    worker = get_worker()
    session = video.session
    threads = session.threads or worker.state.nthreads
    side_by_side = not is_optimised(session.options.effort, session.size[0] * session.size[1])
    device = choose_device(session.device)
    try:
        with (
            _one_at_a_time,
            coding(device, "this video"),
            _coding_threads(threads, side_by_side) as lanes,
        ):
            video.forget(request.first)
            coder = video.encoders().start(lanes, dry=request.dry)
            frames = _frames(video, request.first, inputs, _is_wanted(worker))
            asked = GroupCoding(
                frames,
                request.step,
                request.dry,
                request.detect_scene_change,
                tell=lambda done: None,
                is_cancelled=lambda: False,
            )
            return code_frames(coder, asked)
    except CancelledError:
        return None
    except Exception as error:  # noqa: BLE001 - who waits for the group raises it
        return _failure(error)


def _failure(error: Exception) -> Failure:
    """An error as it can be sent: one of the program's own, or what another one says."""
    if isinstance(error, (BsqError, OSError)):
        error.__context__ = error.__cause__ = None
        return Failure(error.with_traceback(None))
    return Failure(ClusterError(f"unexpected {type(error).__name__}: {error}"))


def _frames(
    video: WorkerVideo, first: int, inputs: Sequence[FrameInput], is_wanted: Callable[[], bool]
) -> Iterator[GroupFrame]:
    """The frames of a group, each with the one after it."""
    following: Pixels | None = video.pixels(inputs[0])
    for number in range(len(inputs)):
        if not is_wanted():
            raise CancelledError
        pixels = following
        assert pixels is not None
        following = video.pixels(inputs[number + 1]) if number + 1 < len(inputs) else None
        yield GroupFrame(first + number, VideoFrame(pixels, number), following)


def _is_wanted(worker: Worker) -> Callable[[], bool]:
    """Whether the result of the present task of a worker is still wanted."""
    key = worker.get_current_task()

    def ask() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state not in ("cancelled", "resumed")

    return ask


@contextmanager
def _coding_threads(count: int, side_by_side: bool) -> Iterator[CodingThreads]:
    """So many threads for a group; torch's number of threads is what it was afterwards."""
    count, _ = clamp_threads(count)
    if count == 1:
        with working_alone():
            yield CodingThreads.none()
        return
    before = torch.get_num_threads()
    set_own_count(count)
    try:
        with CodingThreads.started(side_by_side) as threads:
            yield threads
    finally:
        set_own_count(before)


def _load_model(session: Session, device: torch.device) -> VideoModel:
    """The model of the client: from a file of the same path, or from where weights are installed.

    Raises WeightsError.
    """
    with suppress(WeightsError):
        if session.weights.is_file():
            model = load_video_model(session.weights, device, session.int8)
            if (model.id, model.image_id) == (session.model_id, session.image_id):
                return model
    return find_video_model(session.model_id, session.image_id, device, session.int8)
