"""Processes beside this one that code and decode groups of frames.

Groups need nothing of each other, so each process takes a group of its own and works on one thread.
Where there are fewer groups than processes, a process that has none takes over the entropy coding
and the integer-pel search of a group that this process codes: threads of one process share the
interpreter, and these take thousands of small operations for each frame. A process takes seconds to
start; until it is ready, and if it never is, the work is done here, and the results are the same.

Worker and parent exchange pickled tuples over a pair of pipes: a request (name, arguments, coders
that are not needed any more) and an answer (whether the work succeeded, result or exception). No
file that a user hands in is read that way.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from bsqcodec.errors import BsqError, LimitError
from bsqcodec.format.video_gop import Gop
from bsqcodec.machine.memory import is_out_of_memory
from bsqcodec.machine.team import work_alone
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.options import EncodeOptions
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.frame_symbols import GopState, Packed, SymbolCoder
from bsqcodec.video.video_model import TransformVideoModel, VideoModel, load_video_model

if TYPE_CHECKING:
    from bsqcodec.encoder.motion_estimation import IntegerPelMotion
    from bsqcodec.encoder.rate_control import CodedGroup

_START = """
import sys
sys.path[:] = sys.argv[3:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from bsqcodec.errors import LimitError
from bsqcodec.machine.first_import import import_torch
try:
    import_torch()
    from bsqcodec.video.worker_process import serve
except (ImportError, LimitError, MemoryError, OSError, SystemError):
    sys.exit(1)
serve()
"""
"""What the worker runs: its parent's modules, whatever folder it is in. It ignores Ctrl-C; the
parent ends.

If memory does not suffice to load the modules, the worker ends without a message, and the parent
does the work.
"""

_READY = "ready"

_BROKEN = (OSError, EOFError, ValueError, pickle.UnpicklingError)
"""What reading and writing of a pipe raises if its other end is gone."""


class WorkerError(BsqError):
    """The worker process has ended before its work was done."""


class WorkerProcess:
    """The parent's end of a worker process.

    weights: a file of video weights. int8: see `IntegerPrior`. The worker answers requests one
    after the other, in the order in which they come; a second thread that asks waits. The worker
    ends with its parent, however that ends, or when nothing refers to this object. Raises OSError
    if no process can be started.
    """

    def __init__(self, weights: Path, int8: bool | None = None) -> None:
        arguments = [sys.executable, "-c", _START, str(weights), repr(int8)]
        self._process = subprocess.Popen(
            [*arguments, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._numbers = count()
        self._forgotten: list[int] = []
        self._end = weakref.finalize(self, _end, self._process)
        wait = threading.Thread(target=_wait, args=(self._answers, self._ready), daemon=True)
        wait.start()

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes work."""
        return self.was_ready and self.is_alive

    @property
    def was_ready(self) -> bool:
        """Whether the worker has been ready once, alive or not."""
        return self._ready.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, ready or not."""
        return self._end.alive and self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the worker to be ready; return whether it is."""
        return self._ready.wait(seconds) and self.is_alive

    def close(self) -> None:
        """End the process."""
        self._end()

    def call(self, name: str, *arguments: Any) -> Any:
        """Have the worker call a method of `_Server`. Raises WorkerError, and what the method
        raises."""
        with self._lock:
            forgotten = [self._forgotten.pop() for _ in range(len(self._forgotten))]
            try:
                request = name, arguments, forgotten
                pickle.dump(request, self._requests, pickle.HIGHEST_PROTOCOL)
                self._requests.flush()
                succeeded, result = pickle.load(self._answers)
            except _BROKEN as error:
                self.close()
                raise WorkerError(
                    "a worker process has ended (was it killed? is there too little memory?)"
                ) from error
            except BaseException:  # Ctrl-C: the next request would take this one's answer
                self.close()
                raise
        if succeeded:
            return result
        raise result

    def search_integer_pel(
        self,
        grid: TokenGrid,
        before: Pixels,
        pixels: Pixels,
        rate_weight: float,
        motion_before: IntegerPelMotion | None,
    ) -> IntegerPelMotion:
        """See `bsqcodec.encoder.motion_estimation.search_frame_integer_pel`."""
        from bsqcodec.encoder.motion_estimation import IntegerPelMotion  # no decoder needs it

        fields = self.call(
            "search_integer_pel", grid, before, pixels, rate_weight, _fields(motion_before)
        )
        return IntegerPelMotion(*map(torch.from_numpy, fields))

    def number_for(self, user: object) -> int:
        """The number of a new coder in the worker, which forgets it when its user is gone."""
        number = next(self._numbers)
        weakref.finalize(user, self._forgotten.append, number).atexit = False
        return number


def _wait(answers: IO[bytes], ready: threading.Event) -> None:
    """Set `ready` once the worker has said that it is; never, if it ends before."""
    with suppress(*_BROKEN):
        if pickle.load(answers) == _READY:
            ready.set()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker process."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what is still in the buffer need not be sent
                pipe.close()


def _fields(motion: IntegerPelMotion | None) -> tuple[Any, ...] | None:
    """The fields of an integer-pel motion as arrays."""
    if motion is None:
        return None
    return tuple(x.numpy() for x in (motion.tokens, motion.quarters, motion.split_candidates))


class RemoteGroupCoder:
    """A group that a worker process codes; see `bsqcodec.video.family_encoders.GroupCoder`.

    weights: their file. dry: see `GroupEncoder`. Its methods raise WorkerError, too.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        weights: Path,
        size: tuple[int, int],
        options: EncodeOptions,
        dry: bool,
    ) -> None:
        self._worker, self._number = worker, worker.number_for(self)
        worker.call("begin_encoding", self._number, weights, size, options, dry)

    def add(
        self,
        pixels: Pixels,
        step: int,
        detect_scene_change: bool = True,
        following: Pixels | None = None,
    ) -> bool:
        added: bool = self._worker.call("add", self._number, pixels, step, detect_scene_change)
        return added

    def finish(self) -> CodedGroup:
        coded: CodedGroup = self._worker.call("finish", self._number)
        return coded


class RemoteGroupDecoder:
    """A group that a worker process decodes; a `FrameSource`. weights: their file."""

    def __init__(
        self, worker: WorkerProcess, weights: Path, size: tuple[int, int], gop: Gop
    ) -> None:
        self._worker, self._number, self._count = worker, worker.number_for(self), len(gop.frames)
        worker.call("begin_decoding", self._number, weights, size, gop)

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3]. Raises WorkerError, FormatError and its children."""
        while (pixels := self._worker.call("next_frame", self._number)) is not None:
            yield pixels


class _Server:
    """The worker's end: the requests that it answers, by the names of its methods."""

    def __init__(self, int8: bool | None) -> None:
        self._int8 = int8
        self._device = torch.device("cpu")
        self._models: dict[Path, VideoModel] = {}
        self._threads = CodingThreads.none()
        self._coders: dict[int, Any] = {}

    def load(self, weights: Path) -> VideoModel:
        """The model of a file of weights, which stays loaded."""
        if weights not in self._models:
            self._models[weights] = load_video_model(weights, self._device, self._int8)
        return self._models[weights]

    def begin_encoding(
        self, number: int, weights: Path, size: tuple[int, int], options: EncodeOptions, dry: bool
    ) -> None:
        """Begin to code a group of frames of this height and width."""
        from bsqcodec.video.family_encoders import group_encoders_of  # no decoder needs it

        model = self.load(weights)
        encoders = group_encoders_of(model, *size, options, self._device)
        self._coders[number] = encoders.start(self._threads, dry=dry)

    def add(self, number: int, pixels: Pixels, step: int, detect_scene_change: bool) -> bool:
        """Code the next frame; see `GroupCoder.add`."""
        added: bool = self._coders[number].add(pixels, step, detect_scene_change)
        return added

    def finish(self, number: int) -> CodedGroup:
        """The whole group."""
        coded: CodedGroup = self._coders.pop(number).finish()
        return coded

    def begin_decoding(self, number: int, weights: Path, size: tuple[int, int], gop: Gop) -> None:
        """Begin to decode a group of frames of this height and width."""
        decoder = self.load(weights).decoder(*size, gop, self._threads)
        self._coders[number] = decoder.frames()

    def next_frame(self, number: int) -> Pixels | None:
        """The next frame of a group, None after its last."""
        return next(self._coders[number], None)

    def adopt(self, number: int, weights: Path, grid: TokenGrid, state: GopState) -> None:
        """Go on with the entropy coding of a group from its state."""
        model = self.load(weights)
        assert isinstance(model, TransformVideoModel)
        self._coders[number] = SymbolCoder(model.weights.priors, grid, state)

    def release(self, number: int) -> GopState:
        """Give the entropy coding of a group back, in its present state."""
        state: GopState = self._coders.pop(number).state
        return state

    def forget(self, numbers: list[int]) -> None:
        """Drop the coders of groups that are done."""
        for number in numbers:
            self._coders.pop(number, None)

    def numbers(self) -> list[int]:
        """The numbers of the coders that are at work."""
        return list(self._coders)

    def encode(self, number: int, packed: Packed) -> tuple[bytes, int]:
        coder = self._coders[number]
        return coder.encode(packed.symbols()), coder.crc

    def decode(self, number: int, payload: bytes, intra: bool) -> tuple[Packed, int]:
        coder = self._coders[number]
        return coder.decode(payload, intra).packed(), coder.crc

    def search_integer_pel(
        self,
        grid: TokenGrid,
        before: Pixels,
        pixels: Pixels,
        rate_weight: float,
        motion_before: tuple[Any, ...] | None,
    ) -> tuple[Any, ...] | None:
        from bsqcodec.encoder.motion_estimation import IntegerPelMotion, search_frame_integer_pel

        known = None
        if motion_before is not None:
            known = IntegerPelMotion(*map(torch.from_numpy, motion_before))
        return _fields(
            search_frame_integer_pel(grid, self._device, before, pixels, rate_weight, known)
        )


def serve() -> None:
    """Run a worker: answer requests until the parent closes the pipe or is gone."""
    weights = Path(sys.argv[1])
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a message of a library must not get between the answers
    work_alone()
    server = _Server({"None": None, "True": True, "False": False}[sys.argv[2]])
    with suppress(EOFError, OSError, BsqError):
        server.load(weights)
        _answer(answers, _READY)
        while True:
            name, arguments, forgotten = pickle.load(requests)
            server.forget(forgotten)
            work: Callable[..., Any] = getattr(server, name)
            try:
                result = True, work(*arguments)
            except BsqError as error:
                result = False, error
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                result = False, LimitError("there is not enough memory for this video")
            _answer(answers, result)


def _answer(answers: IO[bytes], result: Any) -> None:
    pickle.dump(result, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()
