"""Small ICC profiles for colour that a file names in another way: by code points or chromaticities.

Matrix and curve profiles as ICC.1:2022 (version 4.4) has them. Code points are those of ITU-T
H.273, which PNG's cICP chunk, AVIF, HEIF and videos use.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]

UNSPECIFIED: Final = 2
BT709: Final = 1
SRGB_TRANSFER: Final = 13
PQ: Final = 16
HLG: Final = 18
HDR_NAMES: Final = {PQ: "PQ", HLG: "HLG"}

_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)
_E: Final = (1 / 3, 1 / 3)
_DCI: Final = (0.314, 0.351)


@dataclass(frozen=True)
class Primaries:
    """CIE 1931 chromaticities (x, y) of white and of the three colours."""

    white: Point
    red: Point
    green: Point
    blue: Point

    def close_to(self, other: Primaries, tolerance: float = 0.002) -> bool:
        """Whether all eight numbers are the same within the tolerance."""
        mine, others = (
            np.array([each.white, each.red, each.green, each.blue]) for each in (self, other)
        )
        return bool(np.abs(mine - others).max() <= tolerance)


@dataclass(frozen=True)
class Gamma:
    """A curve by which light is the sample (0..1) to this power."""

    exponent: float


@dataclass(frozen=True)
class Parametric:
    """ICC's function type 3: light is (a x + b) ^ g from d on, and c x below it."""

    g: float
    a: float
    b: float
    c: float
    d: float


@dataclass(frozen=True)
class Table:
    """Light for samples that lie evenly from 0 to 1, in 65535ths."""

    values: tuple[int, ...]


Curve: TypeAlias = Gamma | Parametric | Table

SRGB_PRIMARIES: Final = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_CURVE: Final = Parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_RGB_PRIMARIES: Final = Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB_CURVE: Final = Gamma(563 / 256)
_BT709_CURVE: Final = Parametric(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_SMPTE240_CURVE: Final = Parametric(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912)
_BT601: Final = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_PRIMARIES: Final = {
    1: SRGB_PRIMARIES,
    UNSPECIFIED: SRGB_PRIMARIES,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _BT601,
    7: _BT601,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries(_E, (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: Primaries(_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_NAMES: Final = {1: "BT.709", 5: "BT.470BG", 6: "SMPTE 170M", 7: "SMPTE 240M", 9: "BT.2020",
                 11: "DCI-P3", 12: "Display P3"}  # fmt: skip
_CURVES: Final[dict[int, Curve]] = {
    1: _BT709_CURVE,
    UNSPECIFIED: SRGB_CURVE,
    4: Gamma(2.2),
    5: Gamma(2.8),
    6: _BT709_CURVE,
    7: _SMPTE240_CURVE,
    8: Gamma(1.0),
    11: _BT709_CURVE,
    SRGB_TRANSFER: SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
    17: Gamma(2.6),
}

_D50: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_TABLE_ENTRIES: Final = 256
"""One for each sample of 8 bits, so that no sample lies between two."""
_REFERENCE_WHITE: Final = 203.0
"""cd/m2 of white that is not a highlight, by ITU-R BT.2408; brighter light is clipped."""
_PQ_PEAK: Final = 10000.0
_HLG_PEAK: Final = 1000.0
_HLG_SYSTEM_GAMMA: Final = 1.2


@dataclass(frozen=True)
class NamedColour:
    """Colour as a file names it.

    code_points: of H.273 (primaries, transfer) where it uses those.
    """

    primaries: Primaries
    curve: Curve
    name: str
    code_points: tuple[int, int] | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether it is what pictures without a profile are taken for."""
        if not self.primaries.close_to(SRGB_PRIMARIES):
            return False
        near_2_2 = isinstance(self.curve, Gamma) and abs(1 / self.curve.exponent - 0.45455) < 0.0005
        return self.curve == SRGB_CURVE or (near_2_2 and self.code_points is None)


def colour_of_code_points(primaries: int, transfer: int) -> NamedColour | None:
    """Return the colour that code points of ITU-T H.273 name; None for those not known here.

    HDR (PQ, HLG) gets a curve for displays without it: white at 203 cd/m2, brighter light clipped.
    """
    if primaries not in _PRIMARIES:
        return None
    curve = _hdr_curve(transfer) if transfer in HDR_NAMES else _CURVES.get(transfer)
    if curve is None:
        return None
    name = _NAMES.get(primaries, f"primaries {primaries}")
    name = f"{name}, {HDR_NAMES.get(transfer, f'transfer {transfer}')}"
    return NamedColour(_PRIMARIES[primaries], curve, name, (primaries, transfer))


def build_profile(colour: NamedColour, *, grey: bool) -> bytes:
    """Return an ICC profile, of one channel for `grey`, else of RGB.

    Raises ValueError where the primaries lie on a line, or white outside of them.
    """
    adaptation = _adaptation(colour.primaries.white)
    tags: dict[bytes, bytes] = {
        b"desc": _text(colour.name),
        b"cprt": _text("CC0"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(*adaptation.ravel()),
    }
    curve = _curve_tag(colour.curve)
    if grey:
        tags[b"kTRC"] = curve
    else:
        matrix = adaptation @ _rgb_to_xyz(colour.primaries)
        for letter, column in zip("rgb", matrix.T, strict=True):
            tags[f"{letter}XYZ".encode()] = _xyz(column)
            tags[f"{letter}TRC".encode()] = curve
        if colour.code_points is not None:
            tags[b"cicp"] = b"cicp\0\0\0\0" + bytes([*colour.code_points, 0, 1])
    return _assembled(tags, b"GRAY" if grey else b"RGB ")


def code_points_of(icc: bytes) -> tuple[int, int] | None:
    """Return the code points (primaries, transfer) of full-range RGB in a profile's cicp tag."""
    count = int.from_bytes(icc[128:132], "big")
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        if icc[at : at + 4] == b"cicp":
            start = int.from_bytes(icc[at + 4 : at + 8], "big")
            tag = icc[start : start + 12]
            if len(tag) == 12 and tag[10:] == b"\0\1":
                return tag[8], tag[9]
    return None


def _assembled(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """The whole profile; tags of the same content share it."""
    head = bytearray(128)
    head[8:12] = b"\x04\x40\0\0"
    head[12:24] = b"mntr" + space + b"XYZ "
    struct.pack_into(">6H", head, 24, 2026, 1, 1, 0, 0, 0)
    head[36:40] = b"acsp"
    head[68:80] = _fixed(*_D50)
    table, body = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}
    start = len(head) + 4 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    struct.pack_into(">I", head, 0, start + len(body))
    return bytes(head) + table + body


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return (
        b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    )


def _xyz(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _fixed(*values: float) -> bytes:
    """Numbers in ICC's s15Fixed16."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _curve_tag(curve: Curve) -> bytes:
    if isinstance(curve, Gamma):
        return b"para\0\0\0\0\0\0\0\0" + _fixed(curve.exponent)
    if isinstance(curve, Parametric):
        numbers = _fixed(curve.g, curve.a, curve.b, curve.c, curve.d)
        return b"para\0\0\0\0\0\3\0\0" + numbers
    return b"curv\0\0\0\0" + struct.pack(
        f">I{len(curve.values)}H", len(curve.values), *curve.values
    )


def _rgb_to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ with white as it is, Y = 1."""
    points = (primaries.red, primaries.green, primaries.blue)
    columns = np.array([[x, y, 1 - x - y] for x, y in points]).T
    try:
        scale = np.linalg.solve(columns, _white_xyz(primaries.white))
    except np.linalg.LinAlgError as error:
        raise ValueError("the primaries lie on a line") from error
    if not np.isfinite(scale).all() or (scale <= 0).any() or (scale > 1e3).any():
        raise ValueError("the primaries do not surround white")
    matrix: NDArray[np.float64] = columns * scale
    return matrix


def _white_xyz(white: Point) -> NDArray[np.float64]:
    x, y = white
    if not (0 < x < 1 and 0 < y < 1 and x + y < 1):
        raise ValueError("white is no colour")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: Point) -> NDArray[np.float64]:
    """The Bradford matrix from a white point to D50."""
    source, target = _BRADFORD @ _white_xyz(white), _BRADFORD @ np.array(_D50)
    matrix: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD
    return matrix


def _hdr_curve(transfer: int) -> Table:
    """Light of PQ (SMPTE ST 2084) or HLG (ITU-R BT.2100) samples, 1 at the reference white."""
    samples = np.linspace(0, 1, _TABLE_ENTRIES)
    light = _pq_light(samples) if transfer == PQ else _hlg_light(samples)
    values = np.rint(np.clip(light / _REFERENCE_WHITE, 0, 1) * 65535)
    return Table(tuple(int(value) for value in values))


def _pq_light(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m2 of PQ samples 0..1."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = samples ** (1 / m2)
    light: NDArray[np.float64] = np.maximum(power - c1, 0) / (c2 - c3 * power)
    return light ** (1 / m1) * _PQ_PEAK


def _hlg_light(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m2 of HLG samples 0..1 on a display of 1000 cd/m2, the system gamma a channel."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(samples <= 0.5, samples**2 / 3, (np.exp((samples - c) / a) + b) / 12)
    light: NDArray[np.float64] = scene**_HLG_SYSTEM_GAMMA * _HLG_PEAK
    return light
