"""What a .bsq video's header says of its frames,
from and to the format of a video as media have it."""

from __future__ import annotations

from bsqcodec.errors import FormatError
from bsqcodec.format.video_file_reader import VideoFileReader
from bsqcodec.format.video_header import ColourCodes, VideoHeader
from bsqcodec.media.video.video_files import VideoColour, VideoFormat

_MATRICES = {"bt709": 1, "bt601": 6, "bt2020nc": 9}
_MATRIX_NAMES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}


def header_for(form: VideoFormat, model_id: bytes, image_id: bytes) -> VideoHeader:
    """The header of a .bsq video that is coded from a format with the weights that are named."""
    colour = form.colour
    return VideoHeader(
        image_model_id=image_id,
        video_model_id=model_id,
        width=form.width,
        height=form.height,
        time_base=form.time_base,
        frame_rate=form.frame_rate,
        sample_aspect_ratio=form.sample_aspect_ratio,
        colour=ColourCodes(
            _MATRICES[colour.matrix], colour.full_range, colour.primaries, colour.transfer
        ),
    )


def format_of(file: VideoFileReader) -> VideoFormat:
    """The format that a .bsq video was coded from.

    Raises FormatError for an unknown colour matrix.
    """
    header = file.header
    codes = header.colour
    if codes.matrix not in _MATRIX_NAMES:
        raise FormatError(f"the colour matrix {codes.matrix} is unknown here")
    return VideoFormat(
        width=header.width,
        height=header.height,
        time_base=header.time_base,
        frame_rate=header.frame_rate,
        colour=VideoColour(
            _MATRIX_NAMES[codes.matrix], codes.full_range, codes.primaries, codes.transfer
        ),
        sample_aspect_ratio=header.sample_aspect_ratio,
        metadata=file.metadata,
    )
