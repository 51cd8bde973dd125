"""A process beside this one that takes over the entropy coding and the rough search for motion.

Threads of one process share the interpreter, which entropy coding, thousands of small operations a
frame, needs all the time: side by side with the pixels' work each slows the other down by a third.
In a process of its own it does not. A helper takes seconds to start; until it is ready, and if it
never is, the work stays here, and the results are the same.

Helper and parent speak by pickled tuples over a pair of pipes: a request (name, arguments, coders that
are not needed any more), and an answer (whether it went well, result or exception). No file that
anyone hands us is read that way.
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
from bsqcodec.models.video_weight_files import load
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.frame_symbols import Memory, Packed, Priors, SymbolCoder, Symbols

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
"""What the helper runs: its parent's modules, whatever folder it is in. Ctrl-C is for the parent.

Where memory does not suffice to load it, it ends quietly, and the parent does the work.
"""

_READY = "ready"

_BROKEN = (OSError, EOFError, ValueError, pickle.UnpicklingError)
"""What reading and writing of a pipe raises whose other end is gone."""


class HelperError(BsqError):
    """The helper process has ended before its work was done."""


class Helper:
    """The parent's end. threads: of the helper; weights: a file of video weights; int8: see there.

    Requests are answered one after the other, in the order in which they come; a second thread that
    asks waits. The helper ends with its parent, however that ends, or when nobody refers to it.
    Raises OSError where no process can be started.
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
        """Whether it takes work."""
        return self.was_ready and self.is_alive

    @property
    def was_ready(self) -> bool:
        """Whether it has taken work, be it alive or not."""
        return self._ready.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether it is there, ready or not."""
        return self._end.alive and self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait until it is ready; whether it is."""
        return self._ready.wait(seconds) and self.is_alive

    def close(self) -> None:
        """End it."""
        self._end()

    def call(self, name: str, *arguments: Any) -> Any:
        """Have it do something. Raises HelperError, and what the work itself raises."""
        with self._lock:
            forgotten = [self._forgotten.pop() for _ in range(len(self._forgotten))]
            try:
                request = name, arguments, forgotten
                pickle.dump(request, self._requests, pickle.HIGHEST_PROTOCOL)
                self._requests.flush()
                went_well, result = pickle.load(self._answers)
            except _BROKEN as error:
                self.close()
                raise HelperError(
                    "the helper process that codes tokens has ended (was it killed?)"
                ) from error
            except BaseException:  # Ctrl-C: the answer would be taken for that of another request
                self.close()
                raise
        if went_well:
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
        """The number of a new coder there, which is forgotten when its user is gone."""
        number = next(self._numbers)
        weakref.finalize(user, self._forgotten.append, number).atexit = False
        return number


def _wait(answers: IO[bytes], ready: threading.Event) -> None:
    """Tell when the helper has said that it is ready; never, if it ends before."""
    with suppress(*_BROKEN):
        if pickle.load(answers) == _READY:
            ready.set()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a helper."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent yet need not be
                pipe.close()


def _fields(motion: IntegerPelMotion | None) -> tuple[Any, ...] | None:
    """The fields of an integer-pel motion as arrays."""
    if motion is None:
        return None
    return tuple(x.numpy() for x in (motion.tokens, motion.quarters, motion.split_candidates))


PAYS_FROM = 48
"""Frames for which a helper pays: it is started where more are to come, or so many have been. With
640x360 on two cores it takes three seconds to start, and then saves .05 to .1 on each frame."""


class Help:
    """A helper that is started when it is known to pay, and started anew where one was killed.

    threads: of the CPU, half of which are the helper's; with only one there is none. weights, int8:
    see `Helper`.
    """

    def __init__(self, threads: int, weights: Path, int8: bool | None = None) -> None:
        self._arguments = max(1, threads // 2), weights, int8
        self._process_id = os.getpid()
        frozen = getattr(sys, "frozen", False)  # then the executable is no interpreter
        self._possible = threads > 1 and bool(sys.executable) and not frozen
        self._frames = 0
        self._helper: Helper | None = None
        self._lock = threading.Lock()

    def _leave_to_parent(self) -> None:
        """In a forked process: go without the helper, whose pipes are the parent's."""
        if self._process_id != os.getpid():
            self._process_id, self._helper, self._lock = os.getpid(), None, threading.Lock()

    def ready(self) -> Helper | None:
        """The helper, if it takes work."""
        self._leave_to_parent()
        helper = self._helper
        return helper if helper is not None and helper.is_ready else None

    def expect(self, frames: int | None) -> None:
        """Take note that about so many frames are to be coded, None if that is not known."""
        self._leave_to_parent()
        with self._lock:
            self._consider(self._frames + (frames or 0))

    def count_frame(self) -> None:
        """Take note that one more frame is being coded."""
        with self._lock:
            self._frames += 1
            self._consider(self._frames)

    def _consider(self, frames: int) -> None:
        """Start a helper if there is none and it pays; one that died before it was ready has had it."""
        helper = self._helper
        if helper is None or not helper.is_alive:
            self._possible &= helper is None or helper.was_ready
            if self._possible and frames >= PAYS_FROM:
                self.start()

    def start(self) -> Helper | None:
        """Start a helper now; None where that cannot be done."""
        try:
            self._helper = Helper(*self._arguments)
        except OSError:
            self._possible, self._helper = False, None
        return self._helper

    def close(self) -> None:
        """End the helper, if there is one."""
        if self._helper is not None:
            self._helper.close()


class HelpedCoder:
    """A `SymbolCoder` that moves to the helper as soon as that is ready, between two frames.

    weights: the file of the priors.
    """

    def __init__(self, help: Help, weights: Path, priors: Priors, grid: TokenGrid) -> None:
        self._help, self._weights, self._grid = help, weights, grid
        self._here = SymbolCoder(priors, grid)
        self._there: tuple[Helper, int] | None = None
        self.crc = 0

    def _ask(self, name: str, *arguments: Any) -> Any:
        """What the helper answers, with the CRC so far; None if the frame is to be coded here."""
        self._help.count_frame()
        if self._there is None:
            helper = self._help.ready()
            if helper is None:
                return None
            number = helper.number_for(self)
            helper.call("adopt", number, self._weights, self._grid, self._here.memory)
            self._there = helper, number
        helper, number = self._there
        result, self.crc = helper.call(name, number, *arguments)
        return result

    def encode(self, symbols: Symbols) -> bytes:
        """See `SymbolCoder.encode`. Raises HelperError."""
        payload: bytes | None = self._ask("encode", symbols.packed())
        if payload is None:
            payload = self._here.encode(symbols)
            self.crc = self._here.crc
        return payload

    def decode(self, payload: bytes, first: bool) -> Symbols:
        """See `SymbolCoder.decode`. Raises HelperError, FormatError."""
        packed: Packed | None = self._ask("decode", payload, first)
        if packed is not None:
            return packed.symbols()
        symbols = self._here.decode(payload, first)
        self.crc = self._here.crc
        return symbols


class _Server:
    """The helper's end: what it can be asked to do, by the names of its methods."""

    def __init__(self, int8: bool | None) -> None:
        self._int8 = int8
        self._priors: dict[Path, Priors] = {}
        self._coders: dict[int, SymbolCoder] = {}

    def load(self, weights: Path) -> Priors:
        """The priors of a file of weights, which stay loaded."""
        if weights not in self._priors:
            self._priors[weights] = load(weights, torch.device("cpu"), self._int8).priors
        return self._priors[weights]

    def adopt(self, number: int, weights: Path, grid: TokenGrid, memory: Memory) -> None:
        """Go on with a group."""
        self._coders[number] = SymbolCoder(self.load(weights), grid, memory)

    def forget(self, numbers: list[int]) -> None:
        """Drop the coders of groups that are done with."""
        for number in numbers:
            self._coders.pop(number, None)

    def numbers(self) -> list[int]:
        """Of the coders that are at work."""
        return list(self._coders)

    def encode(self, number: int, packed: Packed) -> tuple[bytes, int]:
        coder = self._coders[number]
        return coder.encode(packed.symbols()), coder.crc

    def decode(self, number: int, payload: bytes, first: bool) -> tuple[Packed, int]:
        coder = self._coders[number]
        return coder.decode(payload, first).packed(), coder.crc

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
    """What a helper does: answer requests until its parent closes the pipe or is gone."""
    threads, weights = int(sys.argv[1]), Path(sys.argv[2])
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that no library's message gets between the answers
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
