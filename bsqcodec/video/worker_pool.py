"""A process beside this one that takes over the entropy coding and the integer-pel search.

Threads of one process share the interpreter. Entropy coding takes thousands of small operations for
each frame, so it needs the interpreter all the time: beside the pixels' work each slows the other
down by a third. In a process of its own it does not. A worker process takes seconds to start; until
it is ready, and if it never is, the work is done here, and the results are the same.

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
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from bsqcodec.errors import BsqError, LimitError
from bsqcodec.machine.memory import is_out_of_memory
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.models.video_weight_files import load
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.frame_symbols import FrameSymbols, GopState, Packed, SymbolCoder

if TYPE_CHECKING:
    from bsqcodec.encoder.motion_estimation import IntegerPelMotion

_START = """
import sys
sys.path[:] = sys.argv[4:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from bsqcodec.errors import LimitError
from bsqcodec.machine.memory import check_address_space
try:
    check_address_space()
    from bsqcodec.video.worker_pool import serve
except (ImportError, LimitError, MemoryError, OSError, SystemError):
    sys.exit(1)
serve()
"""
"""What the worker runs: its parent's modules, whatever folder it is in.
It ignores Ctrl-C; the parent ends.

If memory does not suffice to load the modules, the worker ends without a message,
and the parent does the work.
"""

_READY = "ready"

_BROKEN = (OSError, EOFError, ValueError, pickle.UnpicklingError)
"""What reading and writing of a pipe raises if its other end is gone."""


class WorkerError(BsqError):
    """The worker process has ended before its work was done."""


class WorkerProcess:
    """The parent's end of a worker process.

    threads: of the worker. weights: a file of video weights. int8: see `IntegerPrior`. The worker
    answers requests one after the other, in the order in which they come; a second thread that asks
    waits. The worker ends with its parent, however that ends,
    or when nothing refers to this object.
    Raises OSError if no process can be started.
    """

    def __init__(self, threads: int, weights: Path, int8: bool | None = None) -> None:
        arguments = [sys.executable, "-c", _START, str(threads), str(weights), repr(int8)]
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
        """Have the worker call a method of `_Server`.

        Raises WorkerError, and what the method raises.
        """
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
                    "the worker process that codes tokens has ended (was it killed?)"
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


MIN_FRAMES_FOR_PROCESS = 48
"""A worker process is started when so many frames are expected or have been coded. With 640x360 on
two cores it takes three seconds to start, and then saves .05 to .1 seconds on each frame."""


class WorkerPool:
    """At most one worker process, started once it saves time, and started anew if it was killed.

    threads: of the CPU; the worker gets half of them, and with a single one no worker is started.
    weights, int8: see `WorkerProcess`.
    """

    def __init__(self, threads: int, weights: Path, int8: bool | None = None) -> None:
        self._arguments = max(1, threads // 2), weights, int8
        self._process_id = os.getpid()
        frozen = getattr(sys, "frozen", False)  # then the executable is no interpreter
        self._possible = threads > 1 and bool(sys.executable) and not frozen
        self._frames = 0
        self._worker: WorkerProcess | None = None
        self._lock = threading.Lock()

    def _leave_to_parent(self) -> None:
        """In a forked process: go without the worker, whose pipes belong to the parent."""
        if self._process_id != os.getpid():
            self._process_id, self._worker, self._lock = os.getpid(), None, threading.Lock()

    def ready(self) -> WorkerProcess | None:
        """The worker, if it takes work."""
        self._leave_to_parent()
        worker = self._worker
        return worker if worker is not None and worker.is_ready else None

    def expect(self, frames: int | None) -> None:
        """Expect about so many frames to be coded, None if that is not known."""
        self._leave_to_parent()
        with self._lock:
            self._consider(self._frames + (frames or 0))

    def count_frame(self) -> None:
        """Count one more frame that is being coded."""
        with self._lock:
            self._frames += 1
            self._consider(self._frames)

    def _consider(self, frames: int) -> None:
        """Start a worker if there is none and it saves time;
        not again if one died before it was ready."""
        worker = self._worker
        if worker is None or not worker.is_alive:
            self._possible &= worker is None or worker.was_ready
            if self._possible and frames >= MIN_FRAMES_FOR_PROCESS:
                self.start()

    def start(self) -> WorkerProcess | None:
        """Start a worker now; return None if that cannot be done."""
        try:
            self._worker = WorkerProcess(*self._arguments)
        except OSError:
            self._possible, self._worker = False, None
        return self._worker

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()


class PooledSymbolCoder:
    """A `SymbolCoder` that moves to the worker process as soon as that is ready,
    between two frames.

    weights: the file of the priors.
    """

    def __init__(
        self, pool: WorkerPool, weights: Path, priors: VideoPriors, grid: TokenGrid
    ) -> None:
        self._pool, self._weights, self._grid = pool, weights, grid
        self._here = SymbolCoder(priors, grid)
        self._there: tuple[WorkerProcess, int] | None = None
        self.crc = 0

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The worker's answer, with the CRC so far; None if the frame is to be coded here."""
        self._pool.count_frame()
        if self._there is None:
            worker = self._pool.ready()
            if worker is None:
                return None
            number = worker.number_for(self)
            worker.call("adopt", number, self._weights, self._grid, self._here.state)
            self._there = worker, number
        worker, number = self._there
        result, self.crc = worker.call(name, number, *arguments)
        return result

    def encode(self, symbols: FrameSymbols) -> bytes:
        """See `SymbolCoder.encode`. Raises WorkerError."""
        payload: bytes | None = self._ask("encode", symbols.packed())
        if payload is None:
            payload = self._here.encode(symbols)
            self.crc = self._here.crc
        return payload

    def decode(self, payload: bytes, intra: bool) -> FrameSymbols:
        """See `SymbolCoder.decode`. Raises WorkerError, FormatError."""
        packed: Packed | None = self._ask("decode", payload, intra)
        if packed is not None:
            return packed.symbols()
        symbols = self._here.decode(payload, intra)
        self.crc = self._here.crc
        return symbols


class _Server:
    """The worker's end: the requests that it answers, by the names of its methods."""

    def __init__(self, int8: bool | None) -> None:
        self._int8 = int8
        self._priors: dict[Path, VideoPriors] = {}
        self._coders: dict[int, SymbolCoder] = {}

    def load(self, weights: Path) -> VideoPriors:
        """The priors of a file of weights, which stay loaded."""
        if weights not in self._priors:
            self._priors[weights] = load(weights, torch.device("cpu"), self._int8).priors
        return self._priors[weights]

    def adopt(self, number: int, weights: Path, grid: TokenGrid, state: GopState) -> None:
        """Go on with a group from its state."""
        self._coders[number] = SymbolCoder(self.load(weights), grid, state)

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
        device = torch.device("cpu")
        return _fields(search_frame_integer_pel(grid, device, before, pixels, rate_weight, known))


def serve() -> None:
    """Run a worker: answer requests until the parent closes the pipe or is gone."""
    threads, weights = int(sys.argv[1]), Path(sys.argv[2])
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a message of a library must not get between the answers
    torch.set_num_threads(threads)
    server = _Server({"None": None, "True": True, "False": False}[sys.argv[3]])
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
