"""From integers and motion vectors to frames, each inter frame from the frame decoded before it.

The decoder runs this loop, and the encoder runs it too (`bsqcodec.video.encoding_loop`), so that
both have the same reference. Nothing here touches the entropy coder. Where networks run in float32
on a CPU, all is exact arithmetic. In bfloat16 (see `bsqcodec.machine.precision`) and on a GPU two
machines may differ a little in a sample, never in an integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.transform.compensation import compensate
from bsqcodec.models.transform.frame_networks import frame_networks
from bsqcodec.models.transform.inter_network import InterNetwork
from bsqcodec.models.transform.tokenizer import Tokenizer
from bsqcodec.models.windows import continued

if TYPE_CHECKING:
    from bsqcodec.models.video_look_files import VideoLook

Pixels = npt.NDArray[np.uint8]
"""A frame [H, W, 3], R, G, B."""


class DecodingLoop:
    """Reconstructs the frames of a group, in order.

    reference: the last decoded frame, [3, H, W] padded by its edge to whole tokens; None before the
    intra frame. look: networks that show frames; they are predicted from others all the same.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        inter_network: InterNetwork,
        grid: TokenGrid,
        device: torch.device,
        look: VideoLook | None = None,
    ) -> None:
        self._networks = frame_networks(tokenizer, inter_network)
        self._look = None if look is None else frame_networks(look.tokenizer, look.inter_network)
        self.tokenizer, self.inter_network = tokenizer, inter_network
        self.grid, self.device = grid, device
        self.reference: Tensor | None = None
        self._prediction: tuple[Tensor, Tensor] | None = None  # a prediction and its latents
        self._shown: Pixels | None = None

    def windows(self, x: Tensor) -> Tensor:
        """[3, H, W] -> [1, 3, ...] padded by its edge to whole windows."""
        height, width = self.grid.padded_pixels
        return continued(x[None], 0, height - x.shape[1], 0, width - x.shape[2])

    def _keep(self, decoded: Tensor, shown: Tensor | None = None) -> Pixels:
        """Make a decoded frame [1, 3, ...] the reference; return its pixels, or those of `shown`,
        which is the same frame for looking at."""
        height, width = self.grid.height, self.grid.width
        picture = decoded[0, :, :height, :width].clamp(0, 255)
        bottom, right = self.grid.pixels
        padded = continued(picture, 0, bottom - height, 0, right - width)
        self.reference = padded.contiguous()
        if shown is not None:
            picture = shown[0, :, :height, :width].clamp(0, 255)
        self._shown = picture.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return self._shown

    def repeat(self) -> Pixels:
        """The last decoded frame again; the reference stays."""
        assert self._shown is not None
        return self._shown

    @torch.inference_mode()
    def intra_frame(self, n: Tensor, step: int) -> Pixels:
        """Decode an intra frame from integers [h, w, C]; it becomes the reference."""
        rows, columns = self.grid.shape
        h, w = self.grid.padded_shape
        inside = n[:rows, :columns].permute(2, 0, 1)[None].float()
        padded = continued(inside, 0, h - rows, 0, w - columns)
        tokens = padded.permute(0, 2, 3, 1)
        shown = None if self._look is None else self._look.intra(tokens, step)
        return self._keep(self._networks.intra(tokens, step), shown)

    @torch.inference_mode()
    def predict(self, vectors: Tensor) -> Tensor:
        """Prediction [3, H, W] of the next frame by vectors [H / 8, W / 8, 2]."""
        assert self.reference is not None
        return compensate(self.reference, vectors)

    @torch.inference_mode()
    def inter_frame(self, prediction: Tensor, n: Tensor, step: int) -> Pixels:
        """Decode an inter frame from its prediction and integers [h, w, C];
        it becomes the reference."""
        p = self.windows(prediction)
        if self._prediction is None or self._prediction[0] is not prediction:
            self._prediction = prediction, self._networks.latents(p)
        frame = p, self._prediction[1], n[None].float(), step
        shown = None if self._look is None else self._look.inter(*frame)
        return self._keep(self._networks.inter(*frame), shown)
