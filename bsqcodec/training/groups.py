"""Groups of pictures as integers: what the inter prior is trained on, made by the closed loop.

A cache folder has the integers of all frames one after the other (`integers.npy`, int8), their
vectors (`vectors.npy`), and of each group its step and size (`groups.json`).
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bsqcodec.encoder.frame_types import intra_step
from bsqcodec.encoder.motion_estimation import motion_rate_weight
from bsqcodec.format.json_text import parse_json
from bsqcodec.models.prior.order import planes_needed
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.transform.temporal_context import TemporalContext, context_of
from bsqcodec.training.clips import Clips
from bsqcodec.training.tokenizer import draw_steps
from bsqcodec.video.encoding_loop import EncodingLoop

log = logging.getLogger(__name__)

MAX_INTEGER = 127.0
"""Integers are kept in a byte; larger ones, which intra frames may have, are clipped to this."""


class Groups:
    """Integers and vectors of groups, memory-mapped."""

    def __init__(self, cache: Path) -> None:
        self.groups: list[list[int]] = parse_json((cache / "groups.json").read_text())
        self.integers = np.load(cache / "integers.npy", mmap_mode="r")
        self.vectors = np.load(cache / "vectors.npy", mmap_mode="r")
        tokens = np.array([math.prod(g[1:]) for g in self.groups])
        self.starts = np.concatenate([[0], np.cumsum(tokens)])
        self.channels = len(self.integers) // int(self.starts[-1])

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        """(step, integers [T, h, w, C], vectors [T, 2 h, 2 w, 2]) of a group."""
        step, count, h, w = self.groups[index]
        first, last = (int(s) for s in self.starts[index : index + 2])
        n = self.integers[first * self.channels : last * self.channels]
        v = self.vectors[8 * first : 8 * last]
        return (
            step,
            torch.from_numpy(n.copy()).view(count, h, w, self.channels).float(),
            torch.from_numpy(v.copy()).view(count, 2 * h, 2 * w, 2).long(),
        )

    @classmethod
    def load(cls, model: InterNetwork, clips: Clips, cache: Path, rounds: int, seed: int) -> Groups:
        """Groups of all clips at `rounds` random steps each, made once into the cache folder."""
        if not (cache / "groups.json").exists():
            cache.mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng(seed)
            groups, integers, vectors = [], [], []
            for index in np.tile(generator.permutation(len(clips)), rounds):
                step = round(float(draw_steps(1, generator)[0]))
                n, v = _code(model, clips, int(index), step)
                groups.append([step, *n.shape[:3]])
                integers.append(n.ravel())
                vectors.append(v.ravel())
                if len(groups) % 100 == 0:
                    log.info("%d groups", len(groups))
            np.save(cache / "integers.npy", np.concatenate(integers))
            np.save(cache / "vectors.npy", np.concatenate(vectors))
            (cache / "groups.json").write_text(json.dumps(groups))
        return cls(cache)

    def draw(self, tokens: int, generator: np.random.Generator) -> tuple[int, int, Tensor, Tensor]:
        """(step, planes, integers [tokens, tokens, C], context [tokens, tokens, K]) of a frame.

        A random square of the grid of an inter frame, which is padded by zeros if it is smaller;
        the whole frame needs so many planes, at least one.
        """
        most = 0
        while most == 0:
            step, n, vectors = self[int(generator.integers(len(self)))]
            frame = 1 + int((len(n) - 1) * generator.random())
            most = planes_needed(int(n[frame].abs().max()))
        temporal = TemporalContext.of_intra(n[0])
        for t in range(1, frame):
            temporal = temporal.moved(vectors[t]).after(n[t])
        context = context_of(vectors[frame], temporal.moved(vectors[frame]))
        both = torch.cat([n[frame], context], dim=-1)
        lack = [max(0, tokens - size) for size in both.shape[:2]]
        both = torch.nn.functional.pad(both, (0, 0, 0, lack[1], 0, lack[0]))
        top, left = (int(generator.integers(0, size - tokens + 1)) for size in both.shape[:2])
        both = both[top : top + tokens, left : left + tokens]
        return step, most, both[..., : self.channels], both[..., self.channels :]


@torch.inference_mode()
def _code(
    model: InterNetwork, clips: Clips, index: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Integers int8 [T, h, w, C] and vectors int16 [T, 2 h, 2 w, 2] of a clip, whole windows."""
    frames, _ = clips[index]
    count = min(len(frames), 10)
    h, w = (n // 128 * 128 for n in frames.shape[1:3])
    frames = frames[:count, :h, :w].copy()
    device = model.basis.device
    loop = EncodingLoop(model.tokenizer[0], model, TokenGrid(h, w), device)
    limit = torch.full((model.basis.shape[0],), MAX_INTEGER, device=device)
    rate_weight = motion_rate_weight(step)
    integers = []
    vectors = [np.zeros((h // 8, w // 8, 2), np.int16)]
    motion = None
    for t, pixels in enumerate(frames):
        frame = loop.load(pixels)
        if t == 0:
            finer = intra_step(step)
            n = loop.intra_integers(frame, finer, limit)
            loop.intra_frame(n, finer)
        else:
            motion = loop.search_integer_pel(frames[t - 1], pixels, rate_weight, motion)
            field = loop.refine_subpel(frame, rate_weight, motion)
            vectors.append(field.to(torch.int16).cpu().numpy())
            prediction = loop.predict(field)
            n = loop.inter_integers(frame, prediction, step, limit)
            loop.inter_frame(prediction, n, step)
        integers.append(n.to(torch.int8).cpu().numpy())
    return np.stack(integers), np.stack(vectors)
