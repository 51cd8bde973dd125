"""Groups of pictures: a first frame coded as a picture, and frames predicted from the one before.

Every group decodes without any other. The entropy coder sees integers only, so that its part of the
work and the pixels' part run side by side, a frame apart.

A group is a payload for each frame (see `bsqcodec/video/frame_symbols.py`); the first begins with the
CRC-32 of all integers and vectors of the group. A frame without motion and without change is the one
before it, again.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.inter_rdo import PACE, PredictedTask
from bsqcodec.encoder.rdo import USUAL, Pace, PictureTask, Task, refine
from bsqcodec.encoder.tune import Tune, is_masked, ms_ssim_share
from bsqcodec.errors import FormatError
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.motion import Rough
from bsqcodec.video.frame_loop import (
    FIRST_FINER,
    WIDER,
    FrameLoop,
    Pixels,
    price_of_bit,
)
from bsqcodec.video.frame_symbols import Priors, SymbolCoder, Symbols
from bsqcodec.video.worker_pool import Help, HelpedCoder

_CRC = struct.Struct("<I")

AHEAD = 4
"""Frames by which the faster part of the work may be ahead of the other."""


@dataclass(frozen=True)
class CodedGroup:
    """Payloads of the frames of a group, and the decoded frames' mean squared errors."""

    payloads: tuple[bytes, ...]
    errors: tuple[float, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.payloads))


@dataclass(frozen=True)
class Workers:
    """What works beside the thread that sees to the pixels.

    entropy: the thread that codes tokens; ahead: the one that looks where the next frame comes from,
    when encoding, and decodes the tokens of the next group's first frame, when decoding. help: the
    process that does these threads' work once it is ready, and the file of weights that it uses.
    """

    entropy: ThreadPoolExecutor
    ahead: ThreadPoolExecutor
    help: tuple[Help, Path] | None = None

    @staticmethod
    @contextmanager
    def started(
        side_by_side: bool = True, help: tuple[Help, Path] | None = None
    ) -> Iterator[Workers]:
        """Workers that end with the context; within it each takes half of torch's threads.

        More would wait for each other: two workers are busy at a time, the third now and then. But
        for those who mostly wait for the pixels' side, which then takes all: not `side_by_side`.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2) if side_by_side else threads)
        try:
            with ThreadPoolExecutor(1) as entropy, ThreadPoolExecutor(1) as ahead:
                yield Workers(entropy, ahead, help)
        finally:
            torch.set_num_threads(threads)

    def coder(self, priors: Priors, grid: TokenGrid) -> SymbolCoder | HelpedCoder:
        """What codes a group's tokens."""
        if self.help is None:
            return SymbolCoder(priors, grid)
        return HelpedCoder(*self.help, priors, grid)

    def search_roughly(
        self, loop: FrameLoop, before: Pixels, pixels: Pixels, price: float, known: Rough | None
    ) -> Rough:
        """See `FrameLoop.search_roughly`."""
        helper = None if self.help is None else self.help[0].ready()
        if helper is not None:
            return helper.search_roughly(loop.grid, before, pixels, price, known)
        return loop.search_roughly(before, pixels, price, known)


@dataclass(frozen=True)
class _Sought:
    """A rough search that is under way, for a frame at a price."""

    pixels: Pixels
    price: float
    result: Future[Rough]


class GroupEncoder:
    """Codes one group, frame by frame, parts of the work in threads of their own.

    dry: leave the entropy coding out where nothing needs it; then there are errors, but no payloads.
    searching: search for better integers, slowly, which needs it. tune: what integers are chosen for.
    """

    def __init__(
        self,
        loop: FrameLoop,
        priors: Priors,
        workers: Workers,
        dry: bool = False,
        searching: bool = False,
        tune: Tune | None = None,
    ) -> None:
        self._loop = loop
        self._coder = workers.coder(priors, loop.grid)
        self._priors = priors
        self._workers = workers
        self._dry, self._searching, self._tune = dry, searching, tune
        self._latest: Pixels | None = None
        self._rough: Rough | None = None
        self._sought: _Sought | None = None
        self._pending: list[Future[bytes]] = []
        self._errors: list[float] = []

    def __len__(self) -> int:
        return len(self._errors)

    def _limit(self, prior: IntegerPrior, step: int) -> Tensor:
        return torch.from_numpy(limits(prior.planes, step)).float().to(self._loop.device)

    def _search_roughly(self, pixels: Pixels, price: float) -> Rough:
        """Where a frame comes from, found ahead or now."""
        sought, self._sought = self._sought, None
        if sought is not None and sought.pixels is pixels and sought.price == price:
            return sought.result.result()
        assert self._latest is not None
        return self._workers.search_roughly(self._loop, self._latest, pixels, price, self._rough)

    def _look_ahead(
        self, pixels: Pixels, following: Pixels | None, price: float, rough: Rough | None
    ) -> None:
        """Start the search for the frame after the next."""
        if following is not None:
            search = self._workers.search_roughly
            result = self._workers.ahead.submit(search, self._loop, pixels, following, price, rough)
            self._sought = _Sought(following, price, result)

    def add(
        self, pixels: Pixels, step: int, cut: bool = True, following: Pixels | None = None
    ) -> bool:
        """Code the next frame [H, W, 3]; False, and nothing done, if it is a new scene.

        The first frame of a group is never one; nor is any without `cut`. following: the frame
        after it, if it is known, for work ahead, which changes no result.
        """
        price = price_of_bit(step)
        loop = self._loop
        frame = loop.load(pixels)
        rows, columns = loop.grid.shape
        if self._latest is None:
            step = max(step - FIRST_FINER, 0)
            self._look_ahead(pixels, following, price, None)
            n = self._first_integers(pixels, frame, step)
            decoded = loop.first_frame(n, step)
            vectors = None
        elif np.array_equal(pixels, self._latest):
            n = torch.zeros(
                *loop.grid.padded_shape, len(self._priors.inter.planes[0]), dtype=torch.float32
            )
            decoded = loop.repeat()
            vectors = np.zeros((2 * rows, 2 * columns, 2), np.int64)
            self._look_ahead(pixels, following, price, self._rough)
        else:
            rough = self._search_roughly(pixels, price)
            self._look_ahead(pixels, following, price, rough)
            field = loop.search(frame, price, rough)
            prediction = loop.predict(field)
            if cut and loop.is_cut(frame, prediction):
                return False
            n = self._next_integers(pixels, frame, prediction, step, field)
            still = not bool(field.any()) and not bool(n.any())
            decoded = loop.repeat() if still else loop.next_frame(prediction, n, step)
            self._rough = rough
            vectors = field.cpu().numpy()
        self._latest = pixels
        if not self._dry or self._searching:  # a search needs what the coder remembers
            symbols = Symbols(step, n.to(torch.int32).cpu().numpy(), vectors)
            if len(self._pending) > AHEAD:
                self._pending[-AHEAD].result()
            self._pending.append(self._workers.entropy.submit(self._coder.encode, symbols))
        difference = decoded.astype(np.float32) - pixels
        self._errors.append(float(np.mean(difference**2)))
        return True

    def _first_integers(self, pixels: Pixels, frame: Tensor, step: int) -> Tensor:
        """Integers [h, w, C] of the group's first frame."""
        loop, prior = self._loop, self._priors.first
        z = loop.first_latents(frame, step)
        n = loop.integers(z, frame, self._limit(prior, step), masked=is_masked(self._tune))
        if not self._searching:
            return n
        inside = loop.grid.inside
        task = PictureTask(loop.tokenizer, prior, pixels, step, inside)
        return self._searched(task, z, n, USUAL)

    def _next_integers(
        self, pixels: Pixels, frame: Tensor, prediction: Tensor, step: int, field: Tensor
    ) -> Tensor:
        """Integers [h, w, C] of a predicted frame."""
        loop, prior = self._loop, self._priors.inter
        z = loop.next_latents(frame, prediction, step)
        n = loop.integers(z, frame, self._limit(prior, step), WIDER, masked=is_masked(self._tune))
        if not self._searching or not n.any():
            return n
        self._pending[-1].result()
        assert isinstance(self._coder, SymbolCoder)  # a search has no help
        context = self._coder.context(field.cpu().numpy())
        task = PredictedTask(
            loop.predicted,
            prior,
            pixels,
            step,
            loop.grid.inside,
            loop.windows(prediction),
            context,
        )
        return self._searched(task, z, n, PACE)

    def _searched(self, task: Task, z: Tensor, n: Tensor, pace: Pace) -> Tensor:
        """Better integers than n [h, w, C] for z [h, w, C]."""
        start = task.code(n.cpu().numpy())
        share = ms_ssim_share(self._tune, is_reference=True)
        found = refine(task, z.cpu().numpy(), start, pace, share)
        return torch.from_numpy(found).float().to(n.device)

    def finish(self) -> CodedGroup:
        """The whole group."""
        payloads = [future.result() for future in self._pending]
        if payloads:
            payloads[0] = _CRC.pack(self._coder.crc) + payloads[0]
        return CodedGroup(tuple(payloads), tuple(self._errors))


class GroupDecoder:
    """Decodes one group; its first frame's entropy decoding, which takes longest, begins at once."""

    def __init__(
        self, loop: FrameLoop, priors: Priors, payloads: tuple[bytes, ...], workers: Workers
    ) -> None:
        self._loop, self._workers = loop, workers
        self._coder = workers.coder(priors, loop.grid)
        head = payloads[0] if payloads else b""
        self._crc, first = head[: _CRC.size], head[_CRC.size :]
        self._others = payloads[1:]
        self._first = workers.ahead.submit(self._coder.decode, first, True)

    def _decode(self, index: int) -> Symbols:
        """The symbols of a predicted frame, in order."""
        self._first.result()
        return self._coder.decode(self._others[index], False)

    def frames(self) -> Iterator[Pixels]:
        """The frames [H, W, 3] of the group, one by one. Raises FormatError."""
        if len(self._crc) < _CRC.size:
            raise FormatError("a group of pictures has no first frame")
        loop, count = self._loop, len(self._others)
        submit = self._workers.entropy.submit
        pending = deque(submit(self._decode, index) for index in range(min(AHEAD, count)))
        symbols = self._first.result()
        yield loop.first_frame(torch.from_numpy(symbols.n).to(loop.device), symbols.step)
        for index in range(count):
            if index + AHEAD < count:
                pending.append(submit(self._decode, index + AHEAD))
            symbols = pending.popleft().result()
            if symbols.repeats:
                yield loop.repeat()
                continue
            assert symbols.vectors is not None
            prediction = loop.predict(torch.from_numpy(symbols.vectors).to(loop.device))
            n = torch.from_numpy(symbols.n).to(loop.device)
            yield loop.next_frame(prediction, n, symbols.step)
        if self._coder.crc != _CRC.unpack(self._crc)[0]:
            raise FormatError("the decoded bits do not match the file's checksum of them")
