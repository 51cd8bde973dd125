"""Check of a .bsq video by its own checksums: all integers decoded, no pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bsqcodec.entropy.motion_vectors import SlotProbabilities
from bsqcodec.errors import BsqError, FormatError, VerifyError
from bsqcodec.format.byte_source import CRC
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_gop import Gop
from bsqcodec.models.token_grid import TokenGrid
from bsqcodec.models.video_priors import VideoPriors
from bsqcodec.video.frame_symbols import FrameSymbolReader, SymbolCoder


class GroupChecker(Protocol):
    """A family of weights that can tell whether a group decodes."""

    def check(self, height: int, width: int, gop: Gop) -> None:
        """Raise FormatError if a group does not decode to what was coded."""


def verify_video(file: VideoFileReader, model: GroupChecker, frames: int) -> None:
    """Decode the integers and vectors of every group, and compare them with the group's CRC-32.

    frames: how many there must be. Raises VerifyError, OSError.
    """
    height, width = file.header.height, file.header.width
    count = 0
    try:
        for part in file.chunks():
            if isinstance(part, Gop):
                model.check(height, width, part)
                count += len(part.frames)
    except BsqError as error:
        raise VerifyError(
            f"the coded file does not decode ({error}); nothing was written"
        ) from error
    if count != frames:
        raise VerifyError(f"the coded file has {count} frames of {frames}; nothing was written")


def check_group(
    priors: VideoPriors,
    grid: TokenGrid,
    gop: Gop,
    reader: Callable[[bytes, SlotProbabilities], FrameSymbolReader] = FrameSymbolReader,
) -> None:
    """Raise FormatError if a group does not decode to what was coded.

    reader: makes the decoder of each frame.
    """
    first = gop.frames[0]
    if len(first) < CRC.size:
        raise FormatError("a group of pictures has no intra frame")
    (expected,) = CRC.unpack(first[: CRC.size])
    coder = SymbolCoder(priors, grid)
    for index, payload in enumerate((first[CRC.size :], *gop.frames[1:])):
        coder.decode(payload, index == 0, reader)
    if coder.crc != expected:
        raise FormatError("the decoded bits do not match the file's checksum of them")
