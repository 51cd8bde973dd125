"""The .bsq video file; docs/BITSTREAM_VIDEO.md gives every byte. One import for all its parts."""

from bsqcodec.format.magic import FileKind, read_kind
from bsqcodec.format.video_chunks import MAX_GOP_FRAMES, MAX_PTS
from bsqcodec.format.video_gop import FrameType, Gop
from bsqcodec.format.video_header import ColourCodes, VideoHeader
from bsqcodec.format.video_index import GopEntry, VideoIndex
from bsqcodec.format.video_reader import SideBytes, VideoFileReader, VideoPart
from bsqcodec.format.video_tail import VideoTotals
from bsqcodec.format.video_times import ShownTimes
from bsqcodec.format.video_walk import DamagedGop
from bsqcodec.format.video_writer import VideoFileWriter

__all__ = [
    "MAX_GOP_FRAMES",
    "MAX_PTS",
    "ColourCodes",
    "DamagedGop",
    "FileKind",
    "FrameType",
    "Gop",
    "GopEntry",
    "ShownTimes",
    "SideBytes",
    "VideoFileReader",
    "VideoFileWriter",
    "VideoHeader",
    "VideoIndex",
    "VideoPart",
    "VideoTotals",
    "read_kind",
]
