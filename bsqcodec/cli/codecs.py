"""The codecs of a run: each is loaded once, and not before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bsqcodec.machine.first_import import import_torch

if TYPE_CHECKING:
    from bsqcodec.image.codec import Codec
    from bsqcodec.video.codec import VideoCodec


@dataclass
class Codecs:
    """What --weights, --device, --threads, --model and --scheduler say, and the codecs of it.

    Loading raises WeightsError, LimitError for lack of memory.
    """

    weights: str | None
    device: str
    threads: int | None
    model: str = "transform"
    scheduler: str | None = None

    @cached_property
    def picture(self) -> Codec:
        """The codec of pictures."""
        import_torch()
        from bsqcodec.image.codec import Codec

        return Codec(self.weights, device=self.device, threads=self.threads, model=self.model)

    @cached_property
    def video(self) -> VideoCodec:
        """The codec of videos."""
        import_torch()
        from bsqcodec.video.codec import VideoCodec

        return VideoCodec(
            self.weights,
            device=self.device,
            threads=self.threads,
            model=self.model,
            scheduler=self.scheduler,
        )
