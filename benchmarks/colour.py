"""Planes and colours: frames of 8-bit YUV 4:2:0, their RGB, and the YCbCr of RGB pictures."""

from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Pixels: TypeAlias = npt.NDArray[np.uint8]  # [H, W, 3], RGB
Frame: TypeAlias = npt.NDArray[np.uint8]  # [3 H / 2, W], I420: the rows of Y, then U, then V
DeepFrame: TypeAlias = npt.NDArray[np.uint16]  # the same of 10 bits, 0 to 1023
Samples = TypeVar("Samples", bound=np.generic)

BT709_FROM = 720  # rows from which untagged video is taken for BT.709, below for BT.601
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def frame_size(width: int, height: int) -> int:
    """Bytes of a frame. Raises ValueError for odd sides, which 4:2:0 does not have."""
    if width < 2 or height < 2 or width % 2 or height % 2:
        raise ValueError(f"4:2:0 needs even sides, not {width}x{height}")
    return width * height * 3 // 2


def planes(
    frame: npt.NDArray[Samples],
) -> tuple[npt.NDArray[Samples], npt.NDArray[Samples], npt.NDArray[Samples]]:
    """Y [H, W], U and V [H / 2, W / 2] of a frame, as views."""
    rows, width = frame.shape
    height = rows * 2 // 3
    flat = frame.reshape(-1)
    luma, chroma = width * height, width * height // 4
    shape = (height // 2, width // 2)
    return (
        frame[:height],
        flat[luma : luma + chroma].reshape(shape),
        flat[luma + chroma :].reshape(shape),
    )


def matrix_of(height: int) -> str:
    """The matrix by which RGB is made of untagged video with so many rows."""
    return "bt709" if height >= BT709_FROM else "bt601"


def frame_to_rgb(frame: npt.NDArray[np.uint8 | np.uint16], matrix: str) -> Pixels:
    """8-bit RGB [H, W, 3] of a frame of limited range, of 8 or 10 bits.

    Chroma is interpolated linearly, samples taken as centred on their 2x2 pixels, in float32.
    matrix: a key of KR_KB. ITU-R BT.601 and BT.709.
    """
    scale = 4 if frame.dtype == np.uint16 else 1
    y, u, v = (torch.from_numpy(plane.astype(np.float32) / scale) for plane in planes(frame))
    chroma = F.interpolate(torch.stack([u, v])[None], scale_factor=2, mode="bilinear")[0]
    luma = (y - 16) * (255 / 219)
    blue, red = (chroma - 128) * (255 / 112)
    kr, kb = KR_KB[matrix]
    kg = 1 - kr - kb
    r = luma + (1 - kr) * red
    g = luma - (kb * (1 - kb) * blue + kr * (1 - kr) * red) / kg
    b = luma + (1 - kb) * blue
    rgb = torch.stack([r, g, b], dim=-1)
    result: Pixels = rgb.round().clamp(0, 255).to(torch.uint8).numpy()
    return result


def rgb_to_ycbcr(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Y, Cb, Cr [H, W, 3] of RGB at full resolution: BT.601, full range (JFIF), not rounded."""
    rgb = pixels.astype(np.float64)
    kr, kb = KR_KB["bt601"]
    luma = rgb @ np.array([kr, 1 - kr - kb, kb])
    blue = (rgb[..., 2] - luma) / (2 * (1 - kb)) + 128
    red = (rgb[..., 0] - luma) / (2 * (1 - kr)) + 128
    return np.stack([luma, blue, red], axis=-1)


def rgb_to_frame(pixels: Pixels, matrix: str) -> Frame:
    """The frame of limited range of 8-bit RGB [H, W, 3] with even sides; undoes `frame_to_rgb`.

    A chroma sample is the mean of its 2x2 pixels. matrix: a key of KR_KB.
    """
    return _frame_of(pixels, matrix).round().clamp(0, 255).to(torch.uint8).numpy()


def rgb_to_deep_frame(pixels: Pixels, matrix: str) -> DeepFrame:
    """The same of 10 bits. Raises ValueError for odd sides."""
    frame_size(pixels.shape[1], pixels.shape[0])
    deep = (4 * _frame_of(pixels, matrix)).round().clamp(0, 1023)
    return deep.numpy().astype(np.uint16)


def _frame_of(pixels: Pixels, matrix: str) -> Tensor:
    """A frame [3 H / 2, W] on the scale of 8 bits, not rounded."""
    rgb = torch.from_numpy(pixels.copy()).float()
    kr, kb = KR_KB[matrix]
    luma = rgb @ torch.tensor([kr, 1 - kr - kb, kb])
    blue = (rgb[..., 2] - luma) / (1 - kb)
    red = (rgb[..., 0] - luma) / (1 - kr)
    chroma = F.avg_pool2d(torch.stack([blue, red])[None], 2)[0] * (112 / 255) + 128
    height, width = pixels.shape[:2]
    flat = torch.cat([(luma * (219 / 255) + 16).reshape(-1), chroma.reshape(-1)])
    return flat.reshape(height * 3 // 2, width)
