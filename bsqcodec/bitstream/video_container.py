"""The .bsq video file; docs/BITSTREAM_VIDEO.md gives every byte. One import for all its parts."""

from bsqcodec.bitstream.magic import FileKind, read_kind
from bsqcodec.bitstream.video_chunks import MAX_GOP_FRAMES, MAX_PTS
from bsqcodec.bitstream.video_gop import FrameType, Gop
from bsqcodec.bitstream.video_header import ColourCodes, VideoHeader
from bsqcodec.bitstream.video_index import GopEntry, VideoIndex
from bsqcodec.bitstream.video_reader import SideBytes, VideoFileReader, VideoPart
from bsqcodec.bitstream.video_tail import VideoTotals
from bsqcodec.bitstream.video_walk import DamagedGop
from bsqcodec.bitstream.video_writer import VideoFileWriter

__all__ = [
    "MAX_GOP_FRAMES",
    "MAX_PTS",
    "ColourCodes",
    "DamagedGop",
    "FileKind",
    "FrameType",
    "Gop",
    "GopEntry",
    "SideBytes",
    "VideoFileReader",
    "VideoFileWriter",
    "VideoHeader",
    "VideoIndex",
    "VideoPart",
    "VideoTotals",
    "read_kind",
]
