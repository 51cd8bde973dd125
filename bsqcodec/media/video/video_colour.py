"""Between the Y'CbCr (or whatever else) of FFmpeg's frames and 8-bit RGB, by matrix and range."""

from __future__ import annotations

from typing import Any, Final

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from bsqcodec.errors import MediaError
from bsqcodec.media.image.orientation import oriented
from bsqcodec.media.image.picture import Samples
from bsqcodec.media.remarks import MATRIX_ASSUMED, TURNED
from bsqcodec.media.video.track_facts import ContainerCrop, side_data_of
from bsqcodec.media.video.video_types import VideoColour

SCALING: Final = int(
    Interpolation.LANCZOS
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
"""swscale's slow and exact way. On a clip of 416x240 in 4:2:0, Y'CbCr -> RGB -> Y'CbCr gave back Y'
with 73.9 dB and CbCr with 56.6 dB (bicubic: 53.1; without these flags 46.6 and 52.8)."""

CHROMA_SITING: Final = "chroma_sample_location"
"""FFmpeg's option of encoders and decoders for where samples of subsampled chroma lie."""

DEFAULT_SITING: Final = "left"
"""In line with every other column, as in MPEG-2 and all later codecs that do not say otherwise."""

HD_HEIGHT: Final = 720
"""From this height on a video that names no matrix is taken as BT.709, below it as BT.601."""

_CODE_OF_MATRIX: Final = {"bt709": 1, "bt601": 6, "bt2020nc": 9}
_SCALE_MATRIX: Final = {
    "bt709": Colorspace.ITU709,
    "bt601": Colorspace.ITU601,
    "bt2020nc": Colorspace.BT2020,
}
_WEIGHTS: Final = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}
"""What red and blue add to Y', by ITU-T H.273."""
_MATRIX_OF_CODE: Final = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}
_NEAREST: Final = {
    4: ("FCC", "bt601", Colorspace.FCC),
    7: ("SMPTE 240M", "bt709", Colorspace.SMPTE240M),
    10: ("BT.2020 with constant luminance", "bt2020nc", Colorspace.BT2020),
}
"""H.273 code: the matrix's name, the one to carry, the one by which swscale converts."""
_RGB_CODE: Final = 0
_UNNAMED_CODES: Final = (2, 3)
_BT470BG: Final = 5
_HDR_TRANSFERS: Final = {16: "PQ", 18: "HLG"}

_ORIENTATION: Final = {
    (False, False, False): 1,
    (False, False, True): 2,
    (False, True, True): 3,
    (False, True, False): 4,
    (True, False, False): 5,
    (True, False, True): 6,
    (True, True, True): 7,
    (True, True, False): 8,
}
"""EXIF orientation of (sides swapped, then upside down, then left to right)."""

_MATRIX_OF_ROTATION: Final = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
"""Signs of a display matrix by the degrees, against the clock, by which it turns a picture."""


def guessed_matrix(height: int) -> str:
    """Return the matrix that a video of so many rows usually has where it names none."""
    return "bt709" if height >= HD_HEIGHT else "bt601"


def describe_colour(
    frame: av.VideoFrame, given: VideoColour | None, notes: list[str]
) -> VideoColour:
    """Return how the frame stores colour; notes say what is assumed, converted or lost.

    given: what is known from elsewhere and counts more than the frame's own tags.
    Raises MediaError for a matrix that cannot be converted, such as YCgCo.
    """
    _note_samples(frame, notes)
    transfer = int(frame.color_trc)
    if transfer in _HDR_TRANSFERS:
        notes.append(f"HDR ({_HDR_TRANSFERS[transfer]}) is kept at 8 bits, which may show bands")
    if given is not None:
        return given
    guess = guessed_matrix(frame.height)
    if is_rgb(frame):
        return VideoColour(guess, False, int(frame.color_primaries), transfer)
    code = int(frame.colorspace)
    if code in _MATRIX_OF_CODE:
        matrix = _MATRIX_OF_CODE[code]
    elif code in _NEAREST:
        name, matrix, _ = _NEAREST[code]
        notes.append(f"the colour matrix {name} is carried on as {matrix}")
    elif code in (_RGB_CODE, *_UNNAMED_CODES):
        matrix = guess
        notes.append(f"{MATRIX_ASSUMED}: {matrix} is assumed")
    else:
        raise MediaError(f"its colour matrix (code {code} of ITU-T H.273) is not supported")
    return VideoColour(matrix, _full_range(frame), int(frame.color_primaries), transfer)


def is_rgb(frame: av.VideoFrame) -> bool:
    """Return whether the frame's samples are R'G'B' or a palette of it."""
    return bool(frame.format.is_rgb or frame.format.has_palette)


def orientation_of(frame: av.VideoFrame, notes: list[str]) -> int:
    """Return the EXIF orientation 1..8 by which the frame's display matrix wants it shown."""
    sides = side_data_of(frame)
    data = next((side for side in sides if side.type == SideDataType.DISPLAYMATRIX), None)
    if data is not None:
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    elif frame.rotation:  # known where PyAV cannot list the side data
        a, b, c, d = _MATRIX_OF_ROTATION.get(frame.rotation % 360, (1, 1, 1, 1))
    else:
        return 1
    if a and d and not b and not c:
        orientation = _ORIENTATION[False, d < 0, a < 0]
    elif b and c and not a and not d:
        orientation = _ORIENTATION[True, b < 0, c < 0]
    else:
        notes.append("the file asks for a rotation that is no multiple of 90 degrees: not applied")
        return 1
    if orientation != 1:
        notes.append(TURNED)
    return orientation


class ToRgb:
    """Turns FFmpeg's frames into upright RGB arrays.

    given: matrix and range where they are known better than by the frames' tags.
    orientation: EXIF orientation 1..8 of the frames. crop: what is left out before they are turned.
    """

    def __init__(
        self,
        colour: VideoColour,
        given: VideoColour | None,
        orientation: int,
        crop: ContainerCrop | None = None,
    ) -> None:
        self._fallback = colour
        self._given = given
        self._orientation = orientation
        self._crop = crop or ContainerCrop()
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Samples:
        """Return uint8 [H, W, 3]."""
        if is_rgb(frame):
            converted = self._reformatter.reformat(
                frame, format="rgb24", interpolation=SCALING, threads=1
            )
        else:
            converted = self._reformatter.reformat(
                frame,
                format="rgb24",
                src_colorspace=self._matrix(frame),
                src_color_range=_range_code(
                    self._given.full_range if self._given else _full_range(frame)
                ),
                interpolation=SCALING,
                threads=1,
            )
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        width, height = self._crop.size(frame.width, frame.height)
        top, left = self._crop.top, self._crop.left
        return oriented(pixels[top : top + height, left : left + width], self._orientation)

    def _matrix(self, frame: av.VideoFrame) -> Colorspace:
        code = int(frame.colorspace)
        if self._given is not None:
            return _SCALE_MATRIX[self._given.matrix]
        if code in _NEAREST:
            return _NEAREST[code][2]
        return _SCALE_MATRIX[_MATRIX_OF_CODE.get(code, self._fallback.matrix)]


class FromRgb:
    """Turns RGB arrays into frames of FFmpeg's `pix_fmt` by a matrix and range, and tags them.

    siting: where samples of subsampled chroma lie, a value of CHROMA_SITING.
    """

    def __init__(
        self, pix_fmt: str, colour: VideoColour, size: tuple[int, int], siting: str = DEFAULT_SITING
    ) -> None:
        self._pix_fmt = pix_fmt
        self._colour = colour
        self._reformatter = VideoReformatter()
        self._to_rgb = bool(av.VideoFormat(pix_fmt).is_rgb)
        # swscale rounds chroma of the full range down: by .5 on average, a greenish tint
        self._by_hand = colour.full_range and not self._to_rgb
        # A frame made from an array cannot say where its chroma shall lie; one of a decoder can.
        self._framer: Any = av.CodecContext.create("rawvideo", "r")
        self._framer.width, self._framer.height = size
        self._framer.pix_fmt = "yuv444p" if self._by_hand else "rgb24"
        self._framer.options = {CHROMA_SITING: siting}

    def __call__(self, pixels: Samples) -> av.VideoFrame:
        """Return the frame of uint8 [H, W, 3]."""
        samples = full_range(pixels, self._colour.matrix) if self._by_hand else pixels
        (frame,) = self._framer.decode(av.Packet(np.ascontiguousarray(samples).tobytes()))
        frame.pict_type = PictureType.NONE  # else each frame would have to be a key frame
        if self._to_rgb:
            return self._reformatter.reformat(
                frame, format=self._pix_fmt, interpolation=SCALING, threads=1
            )
        matrix, limits = _SCALE_MATRIX[self._colour.matrix], _range_code(self._colour.full_range)
        return self._reformatter.reformat(
            frame,
            format=self._pix_fmt,
            src_colorspace=matrix if self._by_hand else None,
            src_color_range=limits if self._by_hand else None,
            dst_colorspace=matrix,
            dst_color_range=limits,
            interpolation=SCALING,
            threads=1,
        )


def full_range(pixels: Samples, matrix: str) -> Samples:
    """Return Y'CbCr of the full range, uint8 [3, H, W], of R'G'B', uint8 [H, W, 3]."""
    red, blue = _WEIGHTS[matrix]
    rgb = pixels.astype(np.float32)
    luma = rgb @ np.array([red, 1 - red - blue, blue], np.float32)
    chroma_blue = (rgb[..., 2] - luma) * np.float32(0.5 / (1 - blue)) + 128
    chroma_red = (rgb[..., 0] - luma) * np.float32(0.5 / (1 - red)) + 128
    planes = np.empty((3, *luma.shape), np.uint8)
    for plane, values in zip(planes, (luma, chroma_blue, chroma_red), strict=True):
        plane[:] = np.clip(np.rint(values), 0, 255)
    return planes


def tag_stream(context: av.VideoCodecContext, pix_fmt: str, colour: VideoColour) -> None:
    """Write the colour's code points into an encoder that has not been opened."""
    if av.VideoFormat(pix_fmt).is_rgb:
        context.colorspace = _RGB_CODE
        context.color_range = _range_code(True)
    else:
        is_625_lines = colour.matrix == "bt601" and colour.primaries == _BT470BG
        context.colorspace = _BT470BG if is_625_lines else _CODE_OF_MATRIX[colour.matrix]
        context.color_range = _range_code(colour.full_range)
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer


def _range_code(full_range: bool) -> int:
    return int(ColorRange.JPEG if full_range else ColorRange.MPEG)


def _full_range(frame: av.VideoFrame) -> bool:
    """Whether the samples reach from 0 to 255; untagged ones do so in grey and "yuvj" alone."""
    named = int(frame.color_range)
    if named in (ColorRange.MPEG, ColorRange.JPEG):
        return named == ColorRange.JPEG
    return frame.format.name.startswith(("gray", "ya", "yuvj"))


def _note_samples(frame: av.VideoFrame, notes: list[str]) -> None:
    """Say what 8-bit RGB does not keep of the frame's samples."""
    layout = frame.format
    bits = max(component.bits for component in layout.components)
    if bits > 8 and not layout.has_palette:
        notes.append(f"{bits}-bit samples were reduced to 8 bits")
    if not is_rgb(frame) and len(layout.components) >= 3:
        width, height = layout.chroma_width(4), layout.chroma_height(4)
        ratio = {(4, 4): "4:4:4", (2, 4): "4:2:2", (1, 4): "4:1:1", (4, 2): "4:4:0"}
        if (width, height) in ratio:
            notes.append(f"{ratio[width, height]} chroma was converted to RGB")
