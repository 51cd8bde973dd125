"""Groups of a video that is encoded, coded by the workers of a dask.distributed scheduler.

Each worker codes a group at a time, the one that waits longest. A group whose worker is lost goes
to another. Workers may join and leave at any time. `bsqcodec.video.cluster_tasks` has their part.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.errors import BsqError, ClusterError
from bsqcodec.format.memory_limit import available
from bsqcodec.machine.dask_scheduler import (
    CONNECT_SECONDS,
    WORKER_SECONDS,
    check_versions,
    connect,
)
from bsqcodec.options import EncodeOptions
from bsqcodec.video.cluster_tasks import (
    Failure,
    FrameInput,
    GroupRequest,
    Session,
    WorkerVideo,
    code_group,
    precision_of,
    prepare,
)
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.group_coding import CodeGroup, GroupCoding, GroupFrame
from bsqcodec.video.local_coders import MAX_BYTES_AHEAD
from bsqcodec.video.shared_file import FrameSum, SharedFile, UnreadableError
from bsqcodec.video.worker_process import WorkerError

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

    from bsqcodec.video.codec import VideoCodec
    from bsqcodec.video.encode_file import VideoInput

MAX_LOSSES: Final = 3
"""How often a group whose worker is lost is given to another."""

_LOOK_SECONDS: Final = 0.5

_LOST = (Exception, asyncio.CancelledError)
"""What dask raises for lost workers and schedulers has many types."""

Result = TypeVar("Result")


@dataclass(eq=False)
class _Task(Generic[Result]):
    """Work that waits. losses: how many workers were lost with it."""

    work: Callable[[CodeGroup], Result]
    future: Future[Result]
    losses: int = 0

    def begin(self) -> bool:
        """Whether the work is wanted; from then on it cannot be cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()


class _Place:
    """A worker, as a coder of groups.

    is_first: whether it was there from the start. check: raises what ends the work of this place.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        session: Session,
        is_first: bool,
        check: Callable[[_Place], None],
    ) -> None:
        self.address, self.is_first = address, is_first
        self.is_lost = False
        self._client, self._session = client, session
        self._check: Callable[[], None] = lambda: check(self)
        self._video: DaskFuture[WorkerVideo] | None = None
        self._reads_file = False
        self._inputs: dict[int, FrameInput | DaskFuture[Any]] = {}

    def prepare(self) -> None:
        """Have the worker load the weights. Raises ClusterError if it cannot, WorkerError."""
        self._video = self._submit(WorkerVideo, self._session)
        answer = self._result(self._submit(prepare, self._video), lambda: False)
        if isinstance(answer, Failure):
            raise ClusterError(f"the worker {self.address}: {answer.error}")
        self._reads_file = answer

    def code(self, coding: GroupCoding) -> CodedGroup:
        """Do a coding. Raises WorkerError where the worker is lost, and what coding raises."""
        if coding.detect_scene_change:
            self._inputs.clear()  # of the group before
        frames: list[GroupFrame] = []
        inputs = []
        for each in coding.frames:
            frames.append(each)
            inputs.append(self._input(each))
        first = frames[0].number
        request = GroupRequest(first, coding.step, coding.dry, coding.detect_scene_change)
        answer = self._ask(request, inputs, coding)
        if isinstance(answer, Failure) and isinstance(answer.error, UnreadableError):
            self._reads_file = False
            self._inputs.clear()
            answer = self._ask(request, list(map(self._input, frames)), coding)
        if isinstance(answer, Failure):
            raise answer.error
        if answer is None:
            raise WorkerError(f"the worker {self.address} was asked to stop")
        coding.tell(len(answer.errors))
        return answer

    def _ask(
        self, request: GroupRequest, inputs: list[Any], coding: GroupCoding
    ) -> CodedGroup | Failure | None:
        future = self._submit(code_group, self._video, request, inputs)
        answer: CodedGroup | Failure | None = self._result(future, coding.is_cancelled)
        return answer

    def _input(self, each: GroupFrame) -> FrameInput | DaskFuture[Any]:
        """What the worker takes for a frame; pixels are sent to it, once for a group."""
        self._check()
        if each.number not in self._inputs:
            if self._reads_file:
                self._inputs[each.number] = FrameSum.of(each.number, each.frame)
            else:
                self._inputs[each.number] = self._send(each.frame.pixels)
        return self._inputs[each.number]

    def _send(self, pixels: Pixels) -> DaskFuture[Any]:
        try:
            return self._client.scatter(pixels, workers=[self.address], hash=False)
        except _LOST as error:
            raise self._lost(error) from error

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> DaskFuture[Any]:
        try:
            return self._client.submit(
                function,
                *arguments,
                workers=[self.address],
                allow_other_workers=False,
                pure=False,
            )
        except _LOST as error:
            raise self._lost(error) from error

    def _result(self, future: DaskFuture[Any], is_cancelled: Callable[[], bool]) -> Any:
        """The result of a task, which is cancelled if it is not waited for to the end."""
        try:
            while True:
                try:
                    return future.result(timeout=_LOOK_SECONDS)
                except TimeoutError:
                    self._check()
                except _LOST as error:
                    raise self._lost(error) from error
                if is_cancelled():
                    raise CancelledError
        finally:
            if not future.done():
                with suppress(*_LOST):
                    future.cancel()

    def _lost(self, error: BaseException) -> WorkerError:
        """What to raise for an error of dask's."""
        self._check()
        reason = f"{type(error).__name__}: {error}"
        return WorkerError(f"the worker {self.address} was lost ({reason})")


def session_of(
    codec: VideoCodec, size: tuple[int, int], options: EncodeOptions, source: VideoInput | None
) -> Session:
    """What the groups of a video have in common that a codec codes.

    size: height and width of the frames. source: see `encode_reader`. Raises MediaError, OSError.
    """
    return Session(
        weights=codec.model.path,
        model_id=codec.model.id,
        image_id=codec.model.image_id,
        int8=codec.int8,
        device=codec.device.type,
        precision=precision_of(codec.device),
        size=size,
        options=options,
        threads=codec.threads,
        file=None if source is None else SharedFile.of(source),
    )


class ClusterCoders:
    """The workers of a scheduler, as those who code the groups of one video; `GroupCoders`.

    They are connected to when the context is entered, which raises ClusterError where there is no
    scheduler or no worker, or where a worker has another bsqcodec or none. A worker that lacks
    something else, such as the weights, ends the coding with a ClusterError, unless it joined
    later: then it is left out, and a note says so. A video is given up when all workers have been
    gone for a while, or the scheduler is.
    """

    def __init__(self, address: str, session: Session) -> None:
        self._address, self._session = address, session
        self._tasks: deque[_Task[Any]] = deque()
        self._changed = threading.Condition()
        self._places: dict[str, _Place] = {}
        self._refused: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._error: ClusterError | None = None
        self._is_closed = threading.Event()
        self.notes: list[str] = []
        self.max_bytes_ahead = max(MAX_BYTES_AHEAD, available() // 4)

    @property
    def most(self) -> int:
        """One group for each worker, and two for a single one, so that it need not wait."""
        return max(2, len(self._places))

    def expect_at_least(self, frames: int) -> None:
        """The workers are there, however many frames come."""

    def submit(self, work: Callable[[CodeGroup], Result]) -> Future[Result]:
        task = _Task(work, Future[Result]())
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()
        if self._error is not None:
            self._fail(self._error)
        return task.future

    def __enter__(self) -> Self:
        self._client = connect(self._address)
        try:
            check_versions(self._client)
            present = self._present()
        except BaseException as error:
            self._close_client()
            if isinstance(error, BsqError) or not isinstance(error, Exception):
                raise
            raise self._gone() from error
        for address in present:
            self._add(address, is_first=True)
        self._start(self._watch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closed.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for task in self._tasks:
            task.future.cancel()
        self._close_client()

    def _close_client(self) -> None:
        """Leave the scheduler, which then has the workers drop all that they keep for this."""
        with suppress(*_LOST):  # whatever a lost scheduler makes of it
            self._client.close(timeout=CONNECT_SECONDS)

    # Workers come and go --------------------------------------------------------------------------

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="bsqcodec cluster", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _present(self) -> set[str]:
        """Addresses of the workers that the scheduler has. Raises what dask does."""
        if self._client.status != "running":
            raise self._gone()
        return set(self._client.nthreads())

    def _gone(self) -> ClusterError:
        return ClusterError(f"the scheduler at {self._address} is gone")

    def _add(self, address: str, *, is_first: bool) -> None:
        place = _Place(self._client, address, self._session, is_first, self._check)
        self._places[address] = place
        self._start(lambda: self._serve(place))

    def _watch(self) -> None:
        """Take note of workers that join and leave, until the end."""
        last_seen = time.monotonic()
        while not self._is_closed.wait(_LOOK_SECONDS):
            try:
                present = self._present()
                self._welcome(present)
            except _LOST:
                self._fail(self._gone())
                return
            for address, place in list(self._places.items()):
                if address not in present:
                    self._drop(place)
            if self._places:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > WORKER_SECONDS:
                self._fail(
                    ClusterError(
                        f"the scheduler at {self._address} has had no workers for"
                        f" {WORKER_SECONDS} seconds"
                    )
                )
                return

    def _welcome(self, present: set[str]) -> None:
        """Have workers that joined take part, unless they cannot."""
        for address in present - set(self._places) - self._refused:
            try:
                check_versions(self._client, [address])
            except ClusterError as error:
                self._refuse(address, error)
            else:
                self._add(address, is_first=False)

    def _refuse(self, address: str, error: BsqError) -> None:
        """Leave a worker out that joined later."""
        self._refused.add(address)
        self.notes.append(f"a worker that joined was left out: {error}")

    def _drop(self, place: _Place) -> None:
        """Let go of a worker that is lost; if it is still there, it is asked again."""
        with self._changed:
            place.is_lost = True
            if self._places.get(place.address) is place:
                del self._places[place.address]
            self._changed.notify_all()

    def _fail(self, error: ClusterError) -> None:
        """End all work with an error."""
        with self._changed:
            self._error = error
            waiting = list(self._tasks)
            self._tasks.clear()
            self._changed.notify_all()
        for task in waiting:
            if task.begin():
                task.future.set_exception(error)

    def _check(self, place: _Place) -> None:
        """Raise what ends the work of a place."""
        if self._is_closed.is_set():
            raise CancelledError
        if self._error is not None:
            raise self._error
        if place.is_lost:
            raise WorkerError(f"the worker {place.address} was lost")

    # In the thread of a worker --------------------------------------------------------------------

    def _serve(self, place: _Place) -> None:
        """Have a worker code groups until it is lost, or nothing more comes."""
        try:
            place.prepare()
        except ClusterError as error:
            if place.is_first:
                self._fail(error)
            elif error is not self._error:
                self._refuse(place.address, error)
            self._drop(place)
            return
        except (WorkerError, CancelledError):
            self._drop(place)
            return
        while (task := self._next(place)) is not None:
            self._do(task, place)
            del task

    def _next(self, place: _Place) -> _Task[Any] | None:
        """Wait for a task; None when there will be no more for this worker."""
        with self._changed:
            while not (self._is_closed.is_set() or self._error is not None or place.is_lost):
                if self._tasks:
                    return self._tasks.popleft()
                self._changed.wait()
            return None

    def _do(self, task: _Task[Any], place: _Place) -> None:
        """Do a task, or give it back if the worker is lost."""
        if not task.begin():
            return
        try:
            result = task.work(place.code)
        except WorkerError as error:
            self._drop(place)
            self._give_back(task, error)
        except BaseException as error:  # noqa: BLE001 - who waits for the future raises it
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    def _give_back(self, task: _Task[Any], error: WorkerError) -> None:
        """Have the next worker that is free do a task; not for ever."""
        task.losses += 1
        if task.losses > MAX_LOSSES:
            message = (
                f"a group of frames was lost with {task.losses} workers, one after the other (is"
                f" there too little memory?); of the last: {error}"
            )
            task.future.set_exception(ClusterError(message))
            return
        with self._changed:
            self._tasks.appendleft(task)
            self._changed.notify_all()
        if self._error is not None:
            self._fail(self._error)
