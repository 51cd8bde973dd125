"""From every mode of Pillow and every sensible array to 8-bit grey or RGB, with alpha aside."""

from __future__ import annotations

import io
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from bsqcodec.errors import MediaError
from bsqcodec.media.image.deep import DeepSamples, is_inverted
from bsqcodec.media.image.metadata import icc_colour_space
from bsqcodec.media.image.picture import Samples

Key: TypeAlias = int | tuple[int, ...]
Converted: TypeAlias = tuple[Samples, Samples | None]
"""Pixels uint8 [H, W] or [H, W, 3], and alpha uint8 [H, W] or None."""

NOTE_16_BIT: Final = "16-bit samples were reduced to 8 bits"
_REDUCED: Final = ((np.arange(2**16, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
"""The nearest of 8 bits to each sample of 16."""
_SCALE_OF_FEW_BITS: Final = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey samples of 2 and 4 bits by, but not PNG's transparent value."""


def raw_modes(image: Image.Image) -> list[str]:
    """Return how the samples lie in the file, as in "RGB;16B". Known only before `load()`."""
    modes: list[str] = []
    for tile in getattr(image, "tile", []):
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        modes += [arg for arg in args if isinstance(arg, str)]
        if tile.codec_name == "ppm" and isinstance(args[-1], int) and args[-1] > 255:
            modes.append(f"{args[0]};16")
    return modes


def convert_image(
    image: Image.Image,
    icc: bytes | None,
    raw: list[str],
    notes: list[str],
    deep_samples: DeepSamples | None = None,
) -> Converted:
    """Return pixels and alpha of a loaded Pillow image of any mode, grey where it is grey.

    icc: the image's colour profile, by which CMYK is converted to sRGB.
    raw: what `raw_modes` returned before the image was loaded.
    notes: gets a sentence for each conversion that loses something.
    deep_samples: all bits of the image, where Pillow has only a part of them.
    Raises MediaError for a mode that has no meaning as a picture.
    """
    mode = image.mode
    if deep_samples is not None:
        return _from_deep(deep_samples, image, icc, notes)
    deep = any(";16" in name and not name.endswith("S") for name in raw)
    if mode in ("I", "F") or mode.startswith("I;16"):
        samples = np.array(image)
        alpha = _key_alpha(samples, image.info, 1)
        if "I;12" in raw:
            samples, deep = _widened(samples), True
        grey = _to_8_bits(samples, deep, notes)
        return (255 - grey if is_inverted(image) else grey), alpha
    if deep:
        notes.append(NOTE_16_BIT)
    if mode in ("1", "L"):
        grey = np.array(image.convert("L"))
        scale = next((_SCALE_OF_FEW_BITS[name] for name in raw if name in _SCALE_OF_FEW_BITS), 1)
        return grey, _key_alpha(grey, image.info, scale)
    if mode == "RGB":
        colours = np.array(image)
        key = image.info.get("transparency")
        is_wide = deep or (isinstance(key, tuple) and max(key, default=0) > 255)
        return colours, _key_alpha(colours, image.info, 1 / 256 if is_wide else 1)
    if mode == "CMYK":
        return np.array(_cmyk_to_rgb(image, icc, notes)), None
    if mode in ("LAB", "HSV", "YCbCr"):
        notes.append(f"converted from {mode} to RGB")
        return np.array(image.convert("RGB")), None
    if mode == "RGBX":
        return np.array(image.convert("RGB")), None
    if mode in ("LA", "La"):
        return _split_alpha(np.array(image.convert("LA")))
    if mode == "P" and not image.has_transparency_data:
        notes.append("converted from a palette to RGB")
        return np.array(image.convert("RGB")), None
    if mode in ("P", "PA"):
        notes.append("converted from a palette to RGB with transparency")
        return _split_alpha(np.array(image.convert("RGBA")))
    if mode in ("RGBA", "RGBa"):
        return _split_alpha(np.array(image.convert("RGBA")))
    raise MediaError(f"pictures of Pillow mode {mode} are not supported")


def convert_array(array: NDArray[Any], notes: list[str]) -> Converted:
    """Return pixels and alpha of an array [H, W] or [H, W, C] with 1 to 4 channels, as in a PNG.

    dtype: uint8; bool; uint16 of 0..65535 or floats of 0..1, both with a note.
    Raises MediaError for any other array.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4) or 0 in array.shape:
        raise MediaError(f"an array of shape {array.shape} is not a picture: [H, W] or [H, W, C]")
    if array.dtype == np.bool_:
        samples = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint8:
        samples = np.array(array)
    elif array.dtype == np.uint16:
        samples = _to_8_bits(array, True, notes)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise MediaError("an array of floats must hold values from 0 to 1")
        notes.append("floating-point samples were rounded to 8 bits")
        samples = np.rint(array * 255).astype(np.uint8)
    else:
        raise MediaError(f"an array of {array.dtype} is not a picture: give uint8")
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        return _split_alpha(samples)
    return np.ascontiguousarray(samples), None


def _from_deep(
    deep: DeepSamples, image: Image.Image, icc: bytes | None, notes: list[str]
) -> Converted:
    """Pixels and alpha of samples of 16 bits; the transparent colour is compared at all of them."""
    reduced = _to_8_bits(deep.values, True, notes)
    if deep.mode == "CMYK":
        inks = Image.frombytes("CMYK", image.size, reduced.tobytes())
        return np.array(_cmyk_to_rgb(inks, icc, notes)), None
    if deep.mode == "RGB":
        return reduced, _key_alpha(deep.values, image.info, 1)
    return _split_alpha(reduced)


def _widened(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples of 12 bits in 16: 4095 becomes 65535."""
    return (samples << 4) | (samples >> 8)


def _split_alpha(samples: Samples) -> Converted:
    """Samples [H, W, 2] or [H, W, 4] as grey or RGB, and alpha."""
    pixels = samples[:, :, 0] if samples.shape[2] == 2 else samples[:, :, :3]
    return np.ascontiguousarray(pixels), np.ascontiguousarray(samples[:, :, -1])


def _key_alpha(samples: NDArray[Any], info: dict[Any, Any], scale: float) -> Samples | None:
    """Alpha that is 0 where [H, W(, 3)] has the value or colour named as transparent, else 255.

    scale: what a sample is multiplied by on its way from the file.
    """
    key = info.get("transparency")
    if isinstance(key, int) and samples.ndim == 2:
        clear = samples == int(key * scale)
    elif isinstance(key, tuple) and samples.ndim == 3 and len(key) == samples.shape[2]:
        clear = (samples == [int(value * scale) for value in key]).all(axis=2)
    else:
        return None
    return np.where(clear, np.uint8(0), np.uint8(255))


def _to_8_bits(samples: NDArray[Any], deep: bool, notes: list[str]) -> Samples:
    """Integer or float samples of any range in 8 bits; black and white stay where they are known.

    deep: the samples are known to have 16 bits.
    """
    if samples.dtype == np.uint16 or deep:
        notes.append(NOTE_16_BIT)
        return _REDUCED[samples.clip(0, 65535)]
    floating = np.issubdtype(samples.dtype, np.floating)
    values = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if floating and 0 <= low and high <= 1:
        notes.append("floating-point samples of 0 to 1 were rounded to 8 bits")
        low, high = 0.0, 1.0
    elif 0 <= low and high <= 255:
        notes.append(f"{'floating-point' if floating else '32-bit'} samples were taken as 8 bits")
        low, high = 0.0, 255.0
    elif 0 <= low and high <= 65535 and not floating:
        notes.append("32-bit samples were taken as 16 bits and reduced to 8 bits")
        low, high = 0.0, 65535.0
    else:
        notes.append(f"samples from {low:g} to {high:g} were stretched to 8 bits")
    return np.rint((values - low) * (255 / (high - low or 1.0))).astype(np.uint8)


def to_srgb(image: Image.Image, icc: bytes, notes: list[str]) -> Image.Image:
    """Return a grey or RGB image, with alpha or without, converted from its profile to sRGB."""
    alpha = image.getchannel("A") if "A" in image.mode else None
    colours = image.convert("RGB" if icc_colour_space(icc) == "RGB" else "L")
    converted = _by_profile(colours, icc)
    if converted is None:
        notes.append("the colour profile cannot be used: it was dropped")
        return image
    notes.append("converted to sRGB by the colour profile, which is not written in this format")
    if image.mode in ("L", "LA"):
        converted = converted.convert("L")
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _by_profile(
    image: Image.Image, icc: bytes, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> Image.Image | None:
    """An image as sRGB by its profile; None where that cannot be used."""
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=flags,
        )
    except (ImageCms.PyCMSError, ImportError, OSError):
        return None


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """CMYK as sRGB: by its colour profile, or else by Pillow's plain formula."""
    if icc is not None and icc_colour_space(icc) == "CMYK":
        converted = _by_profile(image, icc, ImageCms.Flags.BLACKPOINTCOMPENSATION)
        if converted is not None:
            notes.append("converted from CMYK to sRGB by its colour profile")
            return converted
        notes.append("the CMYK colour profile cannot be used")
    notes.append("converted from CMYK to RGB without a colour profile")
    return image.convert("RGB")
