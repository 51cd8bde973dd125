"""The walk over the bits of a picture's codes, one function for encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.entropy.range_coder import BitDecoder, BitEncoder
from bsqcodec.models.bsq.bit_order import Pass, lattice_of, node_of, passes
from bsqcodec.models.bsq.integer_bit_prior import IntegerBitPrior

Bits = npt.NDArray[np.bool_]
Probabilities = npt.NDArray[np.int32]


class SubCoder(Protocol):
    """Supplies the sub-codes of each pass: an encoder writes them, a decoder reads them."""

    def begin(self, sub_code: int) -> bool:
        """Called before each sub-code; False ends the walk (no more data)."""

    def code(self, at: Pass, tokens: npt.NDArray[np.int64], trees: Probabilities) -> Bits:
        """Bits [n, sub_code] of tokens [n], flat indices, given their trees [n, nodes]."""


def walk_bits(
    prior: IntegerBitPrior,
    inside: npt.NDArray[np.bool_],
    coder: SubCoder,
    progress: Callable[[float], None] | None = None,
    earlier: Sequence[npt.NDArray[np.int8]] = (),
) -> npt.NDArray[np.int8]:
    """Code the bits of a grid of tokens; returns their signs int8 [h, w, L], 0 for missing ones.

    inside [h, w]: which tokens are coded, the others are padding to whole windows; h and w are
    multiples of 8. earlier: such signs of the frames before in a video, the latest first, for a
    prior that sees them.
    """
    config = prior.config
    h, w = inside.shape
    device = prior.device
    # a caller's autocast would round the integers
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        signs = torch.zeros(1, h, w, config.bits, device=device, dtype=torch.float32)
        flat = signs.view(h * w, config.bits)
        outside = torch.from_numpy((~inside).astype(np.int64)).to(device)[None]
        context = None
        if earlier and prior.earlier is not None:
            frames = [torch.from_numpy(frame).to(device)[None].float() for frame in earlier]
            context = prior.earlier.stream(frames)
        for at in passes(config):
            if at.lattice == 0 and not coder.begin(at.sub_code):
                break
            mine = inside & (lattice_of(h, w, at.lattices) == at.lattice)
            tokens = np.flatnonzero(mine.ravel())
            if len(tokens):
                wanted = torch.from_numpy(tokens).to(device)
                x = prior.trunk(signs, at.index, outside, wanted, context).view(h * w, -1)
                trees = prior.trees(x[wanted], at.sub_code).cpu().numpy()
                bits = torch.from_numpy(coder.code(at, tokens, trees)).to(device)
                first = at.sub_code * config.sub_code
                flat[wanted, first : first + config.sub_code] = bits.float() * 2 - 1
            if progress is not None:
                progress((at.index + 1) / config.passes)
        return signs[0].to(torch.int8).cpu().numpy()


class SubCodeEncoder:
    """Writes the first sub-codes, of bits [T, n]; one payload for each."""

    def __init__(self, bits: Bits, sub_code: int) -> None:
        self._bits = bits
        self._length = sub_code
        self._encoders: list[BitEncoder] = []

    def payloads(self) -> list[bytes]:
        return [encoder.finish() for encoder in self._encoders]

    @property
    def ideal_bits(self) -> list[float]:
        """Sums of -log2 of the probabilities of what was coded, one for each sub-code."""
        return [encoder.ideal_bits for encoder in self._encoders]

    def begin(self, sub_code: int) -> bool:
        if sub_code * self._length == self._bits.shape[1]:
            return False
        self._encoders.append(BitEncoder())
        return True

    def code(self, at: Pass, tokens: npt.NDArray[np.int64], trees: Probabilities) -> Bits:
        first = at.sub_code * self._length
        bits = self._bits[tokens, first : first + self._length]
        prefix = np.zeros(len(tokens), np.int64)
        rows = np.arange(len(tokens))
        for depth in range(self._length):
            self._encoders[-1].encode(bits[:, depth], trees[rows, node_of(prefix, depth)])
            prefix = 2 * prefix + bits[:, depth]
        return bits


class SubCodeDecoder:
    """Reads the sub-codes back from the payloads of as many sub-codes as there are."""

    def __init__(self, payloads: list[bytes], sub_code: int) -> None:
        self._payloads = payloads
        self._length = sub_code
        self._decoder = BitDecoder(b"")

    def begin(self, sub_code: int) -> bool:
        if sub_code == len(self._payloads):
            return False
        self._decoder = BitDecoder(self._payloads[sub_code])
        return True

    def code(self, at: Pass, tokens: npt.NDArray[np.int64], trees: Probabilities) -> Bits:
        bits = np.zeros((len(tokens), self._length), bool)
        prefix = np.zeros(len(tokens), np.int64)
        rows = np.arange(len(tokens))
        for depth in range(self._length):
            bits[:, depth] = self._decoder.decode(trees[rows, node_of(prefix, depth)])
            prefix = 2 * prefix + bits[:, depth]
        return bits
