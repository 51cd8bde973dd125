"""The video codec: frames stream in and a .bsq video comes out, and back, in bounded memory.

The module imports the decoder alone; the first call of `VideoCodec.encode` imports the encoder.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bsqcodec.errors import WeightsError
from bsqcodec.format.byte_source import ByteSource, SupportsWrite
from bsqcodec.format.image_container import DEFAULT_MAX_PIXELS
from bsqcodec.format.memory_limit import memory_limit
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_header import VideoHeader
from bsqcodec.image.codec import set_up_machine
from bsqcodec.machine.scope import coding
from bsqcodec.machine.threads import thread_count
from bsqcodec.media.crop import Crop
from bsqcodec.models import video_weight_files as video_weights
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.options import DecodeOptions, EncodeOptions, VideoKeywords
from bsqcodec.video.bit_accounting import LevelMeter
from bsqcodec.video.coding_threads import CodingThreads
from bsqcodec.video.decode_frames import DecodedVideo
from bsqcodec.video.verify import verify_video
from bsqcodec.video.worker_pool import WorkerPool

if TYPE_CHECKING:
    from bsqcodec.encoder.rate_control import RateControl
    from bsqcodec.media.video.video_files import VideoReader
    from bsqcodec.targets import Target
    from bsqcodec.video.encode_frames import EncodedVideo, Progress


class VideoCodec:
    """Codes and decodes videos; loads the weights once and keeps them.

    weights: a file of video weights, or None for the default ones. device: "auto", "cpu" or
    "cuda". threads: of the CPU, as for `Codec`. worker_process: with two or more threads on a CPU,
    code the tokens of longer videos in a second process (`bsqcodec.video.worker_pool`), which ends
    with the codec. Raises WeightsError.

    The attribute `weights` holds those that videos are coded with; `notes`, sentences that every coded
    video gets.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        int8: bool | None = None,
        worker_process: bool = True,
    ) -> None:
        self.device, self.notes = set_up_machine(device, threads)
        self._int8 = int8
        path = video_weights.find_default() if weights is None else Path(weights)
        self._pool: WorkerPool | None = None
        if worker_process and self.device.type == "cpu":
            self._pool = WorkerPool(thread_count(), path.absolute(), int8)
        self.weights = video_weights.load(path, self.device, int8)
        self._loaded = {self.weights.id: self.weights}

    def coding_threads(
        self, weights: VideoWeights, frames: int | None, side_by_side: bool = True
    ) -> AbstractContextManager[CodingThreads]:
        """Threads that work beside the one that computes the pixels, while the context lasts.

        frames: about how many there are, None if that is not known. side_by_side: see
        `CodingThreads.started`.
        """
        pool = None
        if self._pool is not None and side_by_side:
            self._pool.expect(frames)
            pool = self._pool, weights.path.absolute()
        return CodingThreads.started(side_by_side, pool)

    def _weights(self, model_id: bytes, image_id: bytes) -> VideoWeights:
        if model_id not in self._loaded:
            path = video_weights.find(model_id)
            self._loaded[model_id] = video_weights.load(path, self.device, self._int8)
        weights = self._loaded[model_id]
        if weights.image.id != image_id:
            raise WeightsError(
                f"the file goes with the weights {image_id.hex()} of pictures, but those of video,"
                f" {model_id.hex()}, go with {weights.image.id.hex()}"
            )
        return weights

    def encode(
        self,
        reader: VideoReader,
        sink: SupportsWrite,
        target: Target | None = None,
        *,
        rate_control: RateControl | None = None,
        progress: Progress | None = None,
        **options: Unpack[VideoKeywords],
    ) -> EncodedVideo:
        """Code all frames of a reader into a sink, which need not seek.

        target: quality 50 by default; rate_control: chooses the steps in its place. options: gop, the
        frames of a group at most, by default about a second of them; effort: 2 optimises (slowly)
        the integers for rate and distortion, 0 and 1 do not; tune: the measure of that distortion.
        Raises ValueError for an impossible gop, another effort or tune, or a size as target (see
        `encode_video_file`), TargetError, LimitError, and what reader and sink raise.
        """
        from bsqcodec.video.encode_frames import encode_reader

        chosen = EncodeOptions.for_video(target, **options)
        return encode_reader(
            self, reader, sink, chosen, rate_control=rate_control, progress=progress
        )

    def verify(self, source: ByteSource, frames: int) -> None:
        """Decode all integers of a .bsq video, which must have so many frames, and compare them.

        Raises VerifyError.
        """
        with coding(self.device, "this video"):
            file = VideoFileReader(source, max_pixels=2**62)
            weights = self._weights(file.header.video_model_id, file.header.image_model_id)
            verify_video(file, weights.priors, frames)

    def level_meter(self, header: VideoHeader) -> LevelMeter:
        """What finds how many bytes each level of a video takes. Raises WeightsError."""
        weights = self._weights(header.video_model_id, header.image_model_id)
        return LevelMeter(weights.priors, TokenGrid(header.height, header.width))

    def decode(
        self,
        source: ByteSource,
        *,
        start: float | None = None,
        duration: float | None = None,
        crop: Crop | None = None,
        partial: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_memory: int | None = None,
    ) -> DecodedVideo:
        """Open a .bsq video; its frames are decoded as they are asked for.

        start, duration: seconds from the first frame's time on, None for all; where the source can
        seek, only groups that hold wanted frames are decoded. crop: return these pixels of each
        frame alone. partial: pass over damaged groups.
        max_memory: bytes that decoding may take, by default 10 GB or what this process can have, if
        that is less.
        Raises FormatError and its children, LimitError, WeightsError, CropError, ValueError for
        times below 0.
        """
        options = DecodeOptions(
            partial=partial,
            start=start,
            duration=duration,
            crop=crop,
            max_pixels=max_pixels,
            max_memory=max_memory,
        )
        return self.decode_with(source, options)

    def decode_with(self, source: ByteSource, options: DecodeOptions) -> DecodedVideo:
        """Open a .bsq video, with all options in one object; see `decode`."""
        file = VideoFileReader(
            source,
            allow_partial=options.partial,
            max_pixels=options.max_pixels,
            max_memory=memory_limit(options.max_memory),
        )
        weights = self._weights(file.header.video_model_id, file.header.image_model_id)
        return DecodedVideo(self.device, self.coding_threads, file, weights, options)
