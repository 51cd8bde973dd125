"""Coding of a group of pictures: an intra frame, and inter frames predicted from the one before.

`EncodingLoop` turns frames into integers and motion vectors. `GroupEncoder` runs it frame by frame
and hands its symbols to the entropy coder. The entropy coder sees integers only, so its part of the
work and the pixels' part run side by side, a frame apart. The integer-pel search compares frames of
the source, so it runs a frame ahead. See `bsqcodec.video.group_decoder` for what a group holds.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.frame_types import INTER_DEAD_ZONE_OFFSET, intra_step, is_scene_change
from bsqcodec.encoder.inter_rdo import INTER_SCHEDULE, InterTask
from bsqcodec.encoder.motion_estimation import (
    IntegerPelMotion,
    motion_rate_weight,
)
from bsqcodec.encoder.rate_control import CodedGroup
from bsqcodec.encoder.rdo import PICTURE_SCHEDULE, PictureTask, RdoSchedule, Task, optimise
from bsqcodec.encoder.tune import is_masked, ms_ssim_weight
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.options import Tune
from bsqcodec.video.coding_threads import AHEAD, CodingThreads
from bsqcodec.video.decoding_loop import Pixels
from bsqcodec.video.encoding_loop import EncodingLoop
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder
from bsqcodec.video.group_decoder import GROUP_CRC


@dataclass(frozen=True)
class _SearchAhead:
    """An integer-pel search that is under way, for a frame and a rate weight."""

    pixels: Pixels
    rate_weight: float
    result: Future[IntegerPelMotion]


class GroupEncoder:
    """Codes one group, frame by frame, parts of the work in threads of their own.

    dry: leave the entropy coding out where nothing needs it;
    then there are errors, but no payloads.
    optimised: choose the integers by rate-distortion optimisation, slowly, which needs the entropy
    coding. tune: the measure by which integers are chosen.
    """

    def __init__(
        self,
        loop: EncodingLoop,
        priors: VideoPriors,
        threads: CodingThreads,
        dry: bool = False,
        optimised: bool = False,
        tune: Tune | None = None,
    ) -> None:
        self._loop = loop
        self._coder = threads.coder(priors, loop.grid)
        self._priors = priors
        self._threads = threads
        self._dry, self._optimised, self._tune = dry, optimised, tune
        self._latest: Pixels | None = None
        self._motion: IntegerPelMotion | None = None
        self._ahead: _SearchAhead | None = None
        self._pending: list[Future[bytes]] = []
        self._errors: list[float] = []

    def __len__(self) -> int:
        return len(self._errors)

    def add(
        self,
        pixels: Pixels,
        step: int,
        detect_scene_change: bool = True,
        following: Pixels | None = None,
    ) -> bool:
        """Code the next frame [H, W, 3]; return False, and do nothing, if it begins a new scene.

        The first frame of a group never does; nor does any without `detect_scene_change`.
        following: the frame after it, if it is known, for work ahead, which changes no result.
        """
        rate_weight = motion_rate_weight(step)
        loop = self._loop
        frame = loop.load(pixels)
        rows, columns = loop.grid.shape
        if self._latest is None:
            step = intra_step(step)
            self._search_ahead(pixels, following, rate_weight, None)
            n = self._intra_integers(pixels, frame, step)
            decoded = loop.intra_frame(n, step)
            vectors = None
        elif np.array_equal(pixels, self._latest):
            n = torch.zeros(
                *loop.grid.padded_shape, len(self._priors.inter.planes[0]), dtype=torch.float32
            )
            decoded = loop.repeat()
            vectors = np.zeros((2 * rows, 2 * columns, 2), np.int64)
            self._search_ahead(pixels, following, rate_weight, self._motion)
        else:
            motion = self._integer_pel(pixels, rate_weight)
            self._search_ahead(pixels, following, rate_weight, motion)
            field = loop.refine_subpel(frame, rate_weight, motion)
            prediction = loop.predict(field)
            if detect_scene_change and is_scene_change(frame, prediction):
                return False
            n = self._inter_integers(pixels, frame, prediction, step, field)
            still = not bool(field.any()) and not bool(n.any())
            decoded = loop.repeat() if still else loop.inter_frame(prediction, n, step)
            self._motion = motion
            vectors = field.cpu().numpy()
        self._latest = pixels
        if not self._dry or self._optimised:  # the optimisation needs the coder's state
            symbols = FrameSymbols(step, n.to(torch.int32).cpu().numpy(), vectors)
            if len(self._pending) > AHEAD:
                self._pending[-AHEAD].result()
            self._pending.append(self._threads.entropy.submit(self._coder.encode, symbols))
        difference = decoded.astype(np.float32) - pixels
        self._errors.append(float(np.mean(difference**2)))
        return True

    def finish(self) -> CodedGroup:
        """The whole group."""
        payloads = [future.result() for future in self._pending]
        if payloads:
            payloads[0] = GROUP_CRC.pack(self._coder.crc) + payloads[0]
        return CodedGroup(tuple(payloads), tuple(self._errors))

    def _integer_pel(self, pixels: Pixels, rate_weight: float) -> IntegerPelMotion:
        """The integer-pel motion of the next frame: the search ahead if it fits,
        else one made now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.pixels is pixels and ahead.rate_weight == rate_weight:
            return ahead.result.result()
        assert self._latest is not None
        return self._search(self._latest, pixels, rate_weight, self._motion)

    def _search_ahead(
        self,
        pixels: Pixels,
        following: Pixels | None,
        rate_weight: float,
        motion: IntegerPelMotion | None,
    ) -> None:
        """Start the integer-pel search for the frame after the next, if that is known."""
        if following is not None:
            submit = self._threads.ahead.submit
            result = submit(self._search, pixels, following, rate_weight, motion)
            self._ahead = _SearchAhead(following, rate_weight, result)

    def _search(
        self,
        before: Pixels,
        pixels: Pixels,
        rate_weight: float,
        motion_before: IntegerPelMotion | None,
    ) -> IntegerPelMotion:
        """Search in the worker process if there is one, else here."""
        process, loop = self._threads.process(), self._loop
        if process is not None:
            return process.search_integer_pel(loop.grid, before, pixels, rate_weight, motion_before)
        return loop.search_integer_pel(before, pixels, rate_weight, motion_before)

    def _limit(self, prior: IntegerPrior, step: int) -> Tensor:
        return torch.from_numpy(limits(prior.planes, step)).float().to(self._loop.device)

    def _intra_integers(self, pixels: Pixels, frame: Tensor, step: int) -> Tensor:
        """Integers [h, w, C] of the intra frame."""
        loop, prior = self._loop, self._priors.intra
        z = loop.intra_latents(frame, step)
        n = loop.integers(z, frame, self._limit(prior, step), masked=is_masked(self._tune))
        if not self._optimised:
            return n
        inside = loop.grid.inside
        task = PictureTask(loop.tokenizer, prior, pixels, step, inside)
        return self._optimise(task, z, n, PICTURE_SCHEDULE)

    def _inter_integers(
        self, pixels: Pixels, frame: Tensor, prediction: Tensor, step: int, field: Tensor
    ) -> Tensor:
        """Integers [h, w, C] of an inter frame."""
        loop, prior = self._loop, self._priors.inter
        z = loop.inter_latents(frame, prediction, step)
        n = loop.integers(
            z,
            frame,
            self._limit(prior, step),
            INTER_DEAD_ZONE_OFFSET,
            masked=is_masked(self._tune),
        )
        if not self._optimised or not n.any():
            return n
        self._pending[-1].result()
        assert isinstance(self._coder, SymbolCoder)  # the optimisation uses no worker process
        context = self._coder.context(field.cpu().numpy())
        task = InterTask(
            loop.inter_network,
            prior,
            pixels,
            step,
            loop.grid.inside,
            loop.windows(prediction),
            context,
        )
        return self._optimise(task, z, n, INTER_SCHEDULE)

    def _optimise(self, task: Task, z: Tensor, n: Tensor, schedule: RdoSchedule) -> Tensor:
        """Better integers than n [h, w, C] for z [h, w, C]."""
        start = task.code(n.cpu().numpy())
        weight = ms_ssim_weight(self._tune, is_reference=True)
        found = optimise(task, z.cpu().numpy(), start, schedule, weight)
        return torch.from_numpy(found).float().to(n.device)
