"""What is mutated: small pictures and videos, coded by the tiny models, the same in every run."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bsqcodec.entropy.motion_vectors import LIMIT
from bsqcodec.format.image_container import Chunk, ChunkKind, Container, pack, unpack
from bsqcodec.format.token_file import TokenFormat, pack_tokens
from bsqcodec.format.video_file_writer import VideoFileWriter
from bsqcodec.format.video_gop import Gop
from bsqcodec.format.video_header import VideoHeader
from bsqcodec.image.codec import Codec
from bsqcodec.image.picture_tokens import bsq_model, header_of
from bsqcodec.models import weight_files
from bsqcodec.models.bsq.coding import write_bits
from bsqcodec.models.bsq.level_payload import pack_slices
from bsqcodec.models.prior.integer import IntegerPrior
from bsqcodec.models.prior.order import limits
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.targets import Quality
from bsqcodec.video.codec import VideoCodec
from bsqcodec.video.frame_symbols import FrameSymbols, SymbolCoder

from ..golden_files import FOLDER, model_path, recode
from ..hostile import Parts, parts_of, sealed
from ..media.clips import make_clip
from ..tiny_models import BSQ_PRIOR, save_bsq_weights, save_video_weights
from ..video.scenes import ListReader, clip
from .video_parts import VideoFileParts, sealed_video, video_parts_of

PICTURES = ("alpha-constant", "alpha-mask", "pixel", "metadata", "grey", "wild", "coarsest")
"""Golden files, of one or two windows."""


BSQ_SIZES = ((1, 1), (20, 33), (64, 60), (300, 9), (600, 5), (7, 300))
"""Heights and widths; 256 rows of pixels make a slice."""


def generator(name: str) -> np.random.Generator:
    """Random numbers of a name."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))


@dataclass
class Material:
    """Codecs with the tiny models, and files of them. folder: for weights that are made."""

    folder: Path

    @cached_property
    def codec(self) -> Codec:
        """Of pictures."""
        return Codec(model_path(), device="cpu", threads=1)

    @cached_property
    def video_codec(self) -> VideoCodec:
        """Of videos."""
        return VideoCodec(save_video_weights(self.folder, model_path()), device="cpu", threads=1)

    @cached_property
    def pictures(self) -> list[Parts]:
        """Golden files, and others whose integers are noise of every size that can be spelled."""
        files = [unpack((FOLDER / f"{name}.bsq").read_bytes()) for name in PICTURES]
        weights = weight_files.load(model_path(), torch.device("cpu"))
        for number in range(6):
            rng = generator(f"picture {number}")
            size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)), 3)
            made = self.codec.encode(
                rng.integers(0, 256, size, np.uint8), Quality(float(rng.integers(0, 101)))
            )
            files.append(unpack(self._wild(weights, unpack(made.data), rng)))
        return [parts_of(file) for file in files]

    def warm_up(self) -> None:
        """Make everything, so that no case pays for it."""
        for parts in self.pictures:
            self.codec.decode(sealed(parts))
        for parts in self.bsq_pictures:
            self.bsq_codec.decode(sealed(parts))
        assert self.token_files
        for video in self.bsq_videos:
            for _ in self.bsq_video_codec.decode(sealed_video(video)).frames():
                pass
        for video in self.videos:
            for _ in self.video_codec.decode(sealed_video(video)).frames():
                pass

    @staticmethod
    def _wild(
        weights: weight_files.Weights, container: Container, rng: np.random.Generator
    ) -> bytes:
        """The file with other integers: some at the limits, most of them small."""
        header = container.header
        rows, columns = -(-header.height // 16), -(-header.width // 16)
        shape = (-(-rows // 8) * 8, -(-columns // 8) * 8)
        n = integers(weights.prior, header.step, shape, (rows, columns), rng)
        return recode(weights, n, container)

    @cached_property
    def videos(self) -> list[VideoFileParts]:
        """Videos of three groups, of real frames and of random symbols; some have sound."""
        coded = io.BytesIO()
        reader = ListReader(clip(7), side=[self.sides[0][:300], self.sides[0][300:]])
        self.video_codec.encode(reader, coded, Quality(50), gop=3)
        files = [coded.getvalue()]
        for number in range(6):
            files.append(self._random_video(generator(f"video {number}")))
        return [video_parts_of(file) for file in files]

    def _random_video(self, rng: np.random.Generator) -> bytes:
        """A valid video of random integers and vectors, up to the largest."""
        weights = self.video_codec.weights
        grid = TokenGrid(int(rng.integers(1, 60)), int(rng.integers(1, 60)))
        header = VideoHeader(
            weights.image.id,
            weights.id,
            grid.width,
            grid.height,
            Fraction(1, 25),
            Fraction(25),
        )
        sink = io.BytesIO()
        writer = VideoFileWriter(sink, header, {"title": "Tern", "comment": "\n\u00e4"})
        for _ in range(2):
            count = int(rng.integers(1, 5))
            coder = SymbolCoder(weights.priors, grid)
            payloads = []
            for index in range(count):
                step = int(rng.choice((0, 60, 120, 180, 255)))
                prior = weights.priors.inter if index else weights.priors.intra
                n = integers(prior, step, grid.padded_shape, grid.shape, rng)
                vectors = _vectors(grid, rng) if index else None
                payloads.append(coder.encode(FrameSymbols(step, n * (rng.random() < 0.8), vectors)))
            payloads[0] = struct.pack("<I", coder.crc) + payloads[0]
            first = writer.frames
            writer.gop(Gop(first, tuple(range(first, first + count)), tuple(payloads)))
            writer.side(self.sides[int(rng.integers(len(self.sides)))])
        writer.close()
        return sink.getvalue()

    @cached_property
    def sides(self) -> list[bytes]:
        """Side streams: sound, subtitles, chapters, an attachment, a cover."""
        clips = [
            make_clip("matroska", "libx264", audio="pcm_s16le", sample_rate=44100),
            make_clip("matroska", "libx264", audio="aac", subtitle="subrip"),
            make_clip(
                "matroska", "libx264", subtitle="subrip", attachment=b"font" * 20, cover=True
            ),
        ]
        return [_side_of(data) for data in clips]

    @cached_property
    def bsq_path(self) -> Path:
        """Weights of the family bsq of three depths, whose prior sees earlier frames."""
        config = replace(BSQ_PRIOR, earlier_frames=2, earlier_blocks=1)
        return save_bsq_weights(self.folder / "bsq", (6, 12, 18), config)

    @cached_property
    def bsq_codec(self) -> Codec:
        """Of pictures of the family bsq."""
        return Codec(self.bsq_path, device="cpu", threads=1)

    @cached_property
    def bsq_video_codec(self) -> VideoCodec:
        """Of videos of the family bsq."""
        return VideoCodec(self.bsq_path, device="cpu", threads=1)

    @cached_property
    def bsq_videos(self) -> list[VideoFileParts]:
        """Videos of the family bsq of three groups, of each depth, one with sound."""
        files = []
        for quality in (0, 50, 100):
            coded = io.BytesIO()
            side = [self.sides[0][:300]] if quality else []
            frames = clip(7)
            frames[4] = frames[3]
            reader = ListReader(frames, side=side)
            self.bsq_video_codec.encode(reader, coded, Quality(quality), gop=3)
            files.append(coded.getvalue())
        return [video_parts_of(file) for file in files]

    @cached_property
    def bsq_pictures(self) -> list[Parts]:
        """Pictures of the family bsq, of one slice and of several, coded and of random bits."""
        model = bsq_model(self.bsq_codec.model)
        files = []
        for number, (height, width) in enumerate(BSQ_SIZES):
            rng = generator(f"bsq {number}")
            shape = (height, width, 3) if number % 3 else (height, width)
            coded = self.bsq_codec.encode(rng.integers(0, 256, shape, np.uint8))
            files.append(coded.data)
            grid = model.grid(height, width)
            bits = rng.random((*grid.padded_shape, model.bits)) < rng.random(model.bits)
            written = write_bits(model.weights.prior, bits, grid.inside, None)
            chunks = [Chunk(ChunkKind.LEVEL, pack_slices(parts)) for parts in written.payloads]
            header = header_of(model, width, height, model.bits)
            symbols = model.symbols_of_bits(bits, height, width)
            files.append(pack(header, chunks, model.checksum(symbols, header)))
        return [parts_of(unpack(file)) for file in files]

    @cached_property
    def token_files(self) -> list[bytes]:
        """Tokens of the pictures of the family bsq, in both formats."""
        found = [self.bsq_codec.coded_tokens(sealed(parts)) for parts in self.bsq_pictures]
        return [pack_tokens(tokens, format) for tokens in found for format in TokenFormat]

    @cached_property
    def bsq_weights(self) -> bytes:
        """The file of the tiny model of the family bsq."""
        return self.bsq_path.read_bytes()

    @cached_property
    def weights(self) -> bytes:
        """The file of the tiny model of pictures."""
        return model_path().read_bytes()


def integers(
    prior: IntegerPrior,
    step: int,
    grid: tuple[int, int],
    tokens: tuple[int, int],
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """Integers [h, w, C] of a grid whose first rows and columns are coded:
    noise up to the limits."""
    limit = limits(prior.planes, step)
    shrink = rng.choice((1.0, 0.2, 0.02, 0.0), (*tokens, 1))
    noise = rng.uniform(-1, 1, (*tokens, len(limit))) * limit * shrink
    n = np.zeros((*grid, len(limit)), np.int32)
    n[: tokens[0], : tokens[1]] = np.rint(noise)
    return n


def _vectors(grid: TokenGrid, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Vectors of the quarters of all tokens: none, one for all, or anything up to the largest."""
    rows, columns = grid.shape
    shape = (2 * rows, 2 * columns, 2)
    kind = rng.integers(4)
    if kind == 0:
        return np.zeros(shape, np.int64)
    if kind == 1:
        return np.broadcast_to(rng.integers(-LIMIT, LIMIT + 1, 2), shape).copy()
    most = LIMIT if kind == 2 else 9
    return rng.integers(-most, most + 1, shape)


def _side_of(data: bytes) -> bytes:
    """The side stream that a file's tracks become."""
    from bsqcodec.media.video.video_files import open_video

    with open_video(io.BytesIO(data)) as reader:
        side = b"".join(reader.take_side_bytes() for _ in reader.frames())
        return side + reader.take_side_bytes()
