"""Entropy coding of a group that moves to a worker process with nothing else to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.frame_symbols import FrameSymbols, Packed, SymbolCoder

if TYPE_CHECKING:
    from bsqcodec.video.worker_process import WorkerProcess


class MovingSymbolCoder:
    """A `SymbolCoder` that moves to a worker process with nothing else to do, and back.

    It moves between two frames. helper: returns such a process, or None. weights: the file of the
    priors.
    """

    def __init__(
        self,
        helper: Callable[[], WorkerProcess | None],
        weights: Path,
        priors: VideoPriors,
        grid: TokenGrid,
    ) -> None:
        self._helper, self._weights = helper, weights
        self._priors, self._grid = priors, grid
        self._here = SymbolCoder(priors, grid)
        self._there: tuple[WorkerProcess, int] | None = None
        self.crc = 0

    def _ask(self, name: str, *arguments: Any) -> Any:
        """The worker's answer, with the CRC so far; None if the frame is to be coded here."""
        helper = self._helper()
        if self._there is not None and helper is not self._there[0]:
            worker, number = self._there
            self._here = SymbolCoder(self._priors, self._grid, worker.call("release", number))
            self._there = None
        if self._there is None:
            if helper is None:
                return None
            number = helper.number_for(self)
            helper.call("adopt", number, self._weights, self._grid, self._here.state)
            self._there = helper, number
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
