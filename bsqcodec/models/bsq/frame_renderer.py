"""The pictures of a group's frames, in their order, each given those before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.machine.team import team_of
from bsqcodec.models.bsq.alignment import aligned
from bsqcodec.models.bsq.coding import Signs, picture_of_signs
from bsqcodec.models.bsq.earlier_frames import CELL, EarlierFrames
from bsqcodec.models.bsq.network import BsqTokenizer
from bsqcodec.models.pieces import in_pieces
from bsqcodec.models.transform.compensation import TOKEN

STRIP_PIXELS = 2**17
"""About how many pixels pass the network at once."""

Pixels = npt.NDArray[np.uint8]


class FrameRenderer:
    """Renders one group; where the weights have nothing for earlier frames, each frame alone.

    It keeps the pictures of as many frames as a frame is given, by their own codes alone. So what
    is shown of a frame follows from these frames' codes, not from all of the group.
    """

    def __init__(self, tokenizer: BsqTokenizer) -> None:
        self._tokenizer = tokenizer
        self._earlier: deque[Pixels] = deque(maxlen=tokenizer.config.earlier_frames)

    def render(self, signs: Signs, height: int, width: int) -> Pixels:
        """The next frame [height, width, 3], of signs [h, w, L].

        A frame that repeats the one before is not rendered again, so it is none of those before.
        """
        own = picture_of_signs(self._tokenizer, signs, height, width)
        network = self._tokenizer.earlier
        if network is None:
            return own
        shown = given_earlier(network, own, self._earlier) if self._earlier else own
        self._earlier.appendleft(own)
        return shown


@torch.inference_mode()
def given_earlier(network: EarlierFrames, own: Pixels, earlier: Sequence[Pixels]) -> Pixels:
    """The picture [H, W, 3] of a frame, given those before it, the latest first."""
    device = network.embed.weight.device
    height, width = own.shape[:2]
    with torch.autocast(device.type, enabled=False), team_of(device):
        frame = _whole_blocks(own, device)
        pictures = [_whole_blocks(picture, device) for picture in earlier]
        known = [picture[None] for picture in in_pieces(lambda e: aligned(frame, e), pictures)]

        def strip(rows: tuple[int, int]) -> Tensor:
            top, bottom = rows
            margin = CELL * network.margin
            first, last = max(0, top - margin), bottom + margin
            part = network(
                frame[None, :, first:last], [picture[:, :, first:last] for picture in known]
            )
            part = part[0, :, top - first : bottom - first, :width]
            return part.clamp(0, 255).round().to(torch.uint8)

        rows = max(CELL, STRIP_PIXELS // frame.shape[2] // CELL * CELL)
        strips = [(top, min(top + rows, height)) for top in range(0, height, rows)]
        made = torch.cat(in_pieces(strip, strips), 1)
        return made.permute(1, 2, 0).contiguous().cpu().numpy()


def _whole_blocks(picture: Pixels, device: torch.device) -> Tensor:
    """A picture as float [3, H, W], continued by its edge to whole blocks of the alignment."""
    lack = [(0, -size % TOKEN) for size in picture.shape[:2]]
    x = torch.from_numpy(np.pad(picture, (*lack, (0, 0)), mode="edge")).to(device)
    return x.permute(2, 0, 1).float().contiguous()
