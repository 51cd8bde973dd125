"""The video codec: frames stream in and a .bsq video comes out, and back, in bounded memory.

The module imports the decoder alone; the first call of `VideoCodec.encode` imports the encoder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bsqcodec.errors import WeightsError
from bsqcodec.format.byte_source import ByteSource, SupportsWrite
from bsqcodec.format.memory_limit import memory_limit, video_memory
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_header import VideoHeader
from bsqcodec.image.codec import set_up_machine
from bsqcodec.machine.scope import coding
from bsqcodec.machine.threads import thread_count
from bsqcodec.models.families import DEFAULT_FAMILY
from bsqcodec.models.video_weight_files import VideoWeights
from bsqcodec.options import (
    OWN_LOOK,
    DecodeOptions,
    EncodeOptions,
    VideoDecodeKeywords,
    VideoKeywords,
)
from bsqcodec.video.decode_frames import DecodedVideo
from bsqcodec.video.group_workers import GroupWorkers, WorkerProcesses
from bsqcodec.video.verify import verify_video
from bsqcodec.video.video_model import (
    Meter,
    TransformVideoModel,
    VideoModel,
    default_video_weights,
    find_video_model,
    load_video_model,
)

if TYPE_CHECKING:
    from bsqcodec.encoder.rate_control import RateControl
    from bsqcodec.media.video.video_files import VideoReader
    from bsqcodec.targets import Target
    from bsqcodec.video.encode_frames import EncodedVideo, Progress


class VideoCodec:
    """Codes and decodes videos; loads the weights once and keeps them.

    weights: a file of video weights, or None for the default ones of the family `model`,
    "transform" or "bsq". device: "auto", "cpu" or "cuda". threads: of the CPU, as for `Codec`.
    worker_processes: with two or more threads on a CPU, code the groups of longer videos in
    processes too (`bsqcodec.video.group_workers`), one for each thread but the first; they end with
    the codec. scheduler: the address of a dask.distributed scheduler, whose workers code the groups
    of videos in place of this machine (`bsqcodec.video.cluster_coders`); `threads` are those of a
    worker then, too, by default as many as it was started with. Raises WeightsError.

    The attribute `model` holds the weights that videos are coded with; `notes`,
    sentences that every coded video gets.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        int8: bool | None = None,
        worker_processes: bool = True,
        model: str = DEFAULT_FAMILY,
        scheduler: str | None = None,
    ) -> None:
        self.device, self.notes = set_up_machine(device, threads if scheduler is None else None)
        self.int8, self.threads, self.scheduler = int8, threads, scheduler
        path = default_video_weights(model) if weights is None else Path(weights)
        self.model = load_video_model(path, self.device, int8)
        self._processes: WorkerProcesses | None = None
        if worker_processes and self.device.type == "cpu" and thread_count() > 1:
            self._processes = WorkerProcesses(thread_count(), self.model.path, int8)
        self._loaded = {self.model.id: self.model}
        self._looks: dict[tuple[bytes, str], VideoModel] = {}

    @property
    def weights(self) -> VideoWeights:
        """The weights that videos are coded with. Raises WeightsError if they are of `bsq`."""
        if not isinstance(self.model, TransformVideoModel):
            raise WeightsError("weights of the family bsq have no part of their own for videos")
        return self.model.weights

    def workers(
        self,
        model: VideoModel,
        size: tuple[int, int],
        frames: int | None,
        side_by_side: bool = True,
        max_memory: int | None = None,
    ) -> GroupWorkers:
        """Those who code the groups of a video with a model; a context, at whose end they stop.

        size: width and height of the frames. frames: about how many there are, None if that is not
        known. side_by_side: see `CodingThreads.started`. max_memory: see `memory_limit`.
        """
        if self._processes is not None:
            self._processes.expect(frames)
        helped = model.path if model.can_be_helped else None
        most = memory_limit(max_memory) // video_memory(*size)
        return GroupWorkers(self._processes, helped, side_by_side, most)

    def model_of(self, model_id: bytes, image_id: bytes) -> VideoModel:
        """The model whose weights a file names; it is found, loaded and kept.

        Raises WeightsError.
        """
        if model_id not in self._loaded:
            self._loaded[model_id] = find_video_model(model_id, image_id, self.device, self.int8)
        model = self._loaded[model_id]
        if model.image_id != image_id:
            raise WeightsError(
                f"the file goes with the weights {image_id.hex()} of pictures, but those of video,"
                f" {model_id.hex()}, go with {model.image_id.hex()}"
            )
        return model

    def _seen_in(self, model: VideoModel, look: str) -> VideoModel:
        """The model with another look, which is loaded and kept. Raises WeightsError."""
        if not isinstance(model, TransformVideoModel):
            raise WeightsError("weights of the family bsq have one look only")
        key = model.id, look
        if key not in self._looks:
            self._looks[key] = model.with_look(look)
        return self._looks[key]

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

        target: quality 50 by default; rate_control: chooses the steps in its place. options: gop,
        the frames of a group at most, by default about a second of them; effort: 2 optimises
        (slowly) the integers for rate and distortion, 0 and 1 do not; tune: the measure of that
        distortion.
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
            model = self.model_of(file.header.video_model_id, file.header.image_model_id)
            verify_video(file, model, frames)

    def level_meter(self, header: VideoHeader) -> Meter:
        """What finds how many bytes each level of a video takes. Raises WeightsError."""
        model = self.model_of(header.video_model_id, header.image_model_id)
        return model.meter(header.height, header.width)

    def decode(self, source: ByteSource, **options: Unpack[VideoDecodeKeywords]) -> DecodedVideo:
        """Open a .bsq video; its frames are decoded as they are asked for.

        options: start, duration: seconds from the first frame's time on, None for all; where the
        source can seek, only groups that hold wanted frames are decoded. crop: return these pixels
        of each frame alone. partial: pass over damaged groups. look: the decoder that shows frames,
        "balanced" by default; others are predicted from the same ones whatever it is.
        max_memory: bytes that decoding may take, by default 10 GB or what this process can have, if
        that is less.
        Raises FormatError and its children, LimitError, WeightsError, CropError, ValueError for
        times below 0.
        """
        return self.decode_with(source, DecodeOptions.for_video(**options))

    def decode_with(self, source: ByteSource, options: DecodeOptions) -> DecodedVideo:
        """Open a .bsq video, with all options in one object; see `decode`."""
        file = VideoFileReader(
            source,
            allow_partial=options.partial,
            max_pixels=options.max_pixels,
            max_memory=memory_limit(options.max_memory),
        )
        model = self.model_of(file.header.video_model_id, file.header.image_model_id)
        if options.look not in (None, OWN_LOOK):
            model = self._seen_in(model, options.look)
        workers = partial(self.workers, max_memory=options.max_memory)
        return DecodedVideo(self.device, workers, file, model, options)
