"""Colour that files name without an ICC profile is kept by one, or dropped with a note."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from bsqcodec.errors import BsqError
from bsqcodec.media.image.icc import (
    PQ,
    SRGB_CURVE,
    SRGB_PRIMARIES,
    Gamma,
    NamedColour,
    Primaries,
    build_profile,
    code_points_of,
    colour_of_code_points,
)
from bsqcodec.media.image.image_reader import picture_from, read_picture
from bsqcodec.media.image.image_writer import write_picture
from bsqcodec.media.image.metadata import icc_colour_space

CASES = Path(__file__).parents[2] / "cases"
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SAMPLES = np.random.default_rng(8).integers(0, 256, (6, 9, 3), np.uint8)
HDR_NOTE = "HDR (PQ) is kept at 8 bits, which may show bands"


def png(*chunks: tuple[bytes, bytes], grey: bool = False, icc: bytes | None = None) -> bytes:
    """A PNG with these chunks before its data."""
    info = PngImagePlugin.PngInfo()
    for name, data in chunks:
        info.add(name, data)
    file = io.BytesIO()
    samples = SAMPLES[:, :, 0] if grey else SAMPLES
    Image.fromarray(np.ascontiguousarray(samples)).save(file, "PNG", pnginfo=info, icc_profile=icc)
    return file.getvalue()


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 1e5))


def chrm(values: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in values))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, matrix, full])


def to_srgb(icc: bytes, colour: tuple[int, ...], mode: str = "RGB") -> tuple[int, ...]:
    """What LittleCMS makes of a colour with this profile."""
    image = Image.new(mode, (1, 1), colour if mode == "RGB" else colour[0])
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert converted is not None
    return tuple(int(value) for value in np.asarray(converted)[0, 0])


def test_our_profile_of_srgb_is_srgb() -> None:
    icc = build_profile(NamedColour(SRGB_PRIMARIES, SRGB_CURVE, "sRGB"), grey=False)
    assert icc_colour_space(icc) == "RGB"
    for colour in [(255, 255, 255), (200, 30, 40), (10, 128, 250), (0, 0, 0), (77, 77, 77)]:
        np.testing.assert_allclose(to_srgb(icc, colour), colour, atol=1)


def test_linear_gama() -> None:
    picture = read_picture(CASES / "linear_gama.png")
    assert picture.icc is not None and picture.notes == []
    np.testing.assert_allclose(to_srgb(picture.icc, (55, 55, 55)), [128] * 3, atol=2)
    np.testing.assert_allclose(to_srgb(picture.icc, (255, 255, 255)), [255] * 3, atol=1)


def test_p3_chrm() -> None:
    picture = read_picture(CASES / "p3_chrm.png")
    assert picture.icc is not None and picture.notes == []
    red = to_srgb(picture.icc, (200, 100, 100))
    assert red[0] > 208 and red[1] < 97  # a purer red than the same numbers of sRGB
    np.testing.assert_allclose(to_srgb(picture.icc, (128, 128, 128)), [128] * 3, atol=2)


@pytest.mark.parametrize("name", ["pq_cicp.png", "pq.avif"])
def test_pq(name: str) -> None:
    picture = read_picture(CASES / name)
    assert picture.icc is not None and code_points_of(picture.icc) == (9, PQ)
    assert picture.notes == [HDR_NOTE]
    white = to_srgb(picture.icc, (148, 148, 148))  # 203 cd/m2
    np.testing.assert_allclose(white, [255] * 3, atol=4)
    grey = to_srgb(picture.icc, (100, 100, 100))
    assert 100 < grey[0] < 200


def test_cicp_comes_out_of_png_as_it_went_in(tmp_path: Path) -> None:
    picture = read_picture(CASES / "pq_cicp.png")
    write_picture(picture, tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert b"cICP\x09\x10\x00\x01" in data
    assert data.index(b"cICP") < data.index(b"IDAT")
    assert read_picture(tmp_path / "a.png").icc == picture.icc


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        ((b"sRGB", b"\0"),),
        ((b"sRGB", b"\0"), gama(0.45455), chrm((0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06))),
        (gama(0.45455),),
        (gama(0.45455), chrm((0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06))),
        (cicp(1, 13),),
        (cicp(2, 2), gama(0.45455)),
    ],
)
def test_srgb_needs_no_profile(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    picture = read_picture(png(*chunks))
    assert (picture.icc, picture.notes) == (None, [])


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("gamma", [1.0, 0.55556, 0.3])
def test_gamma_alone(gamma: float, grey: bool) -> None:
    picture = read_picture(png(gama(gamma), grey=grey))
    assert picture.icc is not None
    assert icc_colour_space(picture.icc) == ("GRAY" if grey else "RGB")
    light = (100 / 255) ** (1 / gamma)
    srgb = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    found = to_srgb(picture.icc, (100, 100, 100), "L" if grey else "RGB")
    np.testing.assert_allclose(found, [255 * srgb] * 3, atol=2)


def test_chunks_of_an_open_pillow_image() -> None:
    for chunks in ((gama(1.0),), (chrm(P3), gama(0.45455)), (cicp(12, 13),)):
        data = png(*chunks)
        assert picture_from(Image.open(io.BytesIO(data))).icc == read_picture(data).icc != None


def test_an_icc_profile_counts_more_than_gama_and_less_than_cicp() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_picture(png(gama(1.0), chrm(P3), icc=icc)).icc == icc
    picture = read_picture(png(cicp(12, 13), icc=icc))
    assert picture.icc is not None and code_points_of(picture.icc) == (12, 13)


@pytest.mark.parametrize("primaries", [1, 4, 5, 6, 7, 8, 9, 11, 12, 22])
@pytest.mark.parametrize("transfer", [1, 4, 5, 7, 8, 13, 14, 16, 18])
def test_code_points_make_profiles_that_littlecms_takes(primaries: int, transfer: int) -> None:
    colour = colour_of_code_points(primaries, transfer)
    assert colour is not None
    for grey in (True, False):
        icc = build_profile(colour, grey=grey)
        mode = "L" if grey else "RGB"
        np.testing.assert_allclose(to_srgb(icc, (0, 0, 0), mode), 0, atol=1)
        np.testing.assert_allclose(to_srgb(icc, (255, 255, 255), mode), 255, atol=2)
        assert len(icc) < 1100
    assert code_points_of(build_profile(colour, grey=False)) == (primaries, transfer)


@pytest.mark.parametrize(
    ("chunk", "note"),
    [
        (cicp(77, 13), "primaries 77, transfer 13"),
        (cicp(1, 10), "primaries 1, transfer 10"),
        (gama(0.0), "the gamma that the file names makes no sense"),
        (chrm((0.3127, 0.329, 0.6, 0.3, 0.6, 0.3, 0.6, 0.3)), "chromaticities that the file names"),
        (chrm((0.0, 0.0, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)), "chromaticities that the file names"),
        (chrm((9.0, 9.0, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)), "chromaticities that the file names"),
        (cicp(9, 13, full=0), "narrow range"),
    ],
)
def test_names_without_a_meaning_are_noted(chunk: tuple[bytes, bytes], note: str) -> None:
    picture = read_picture(png(chunk))
    assert len(picture.notes) == 1 and note in picture.notes[0]


def exif_with(space: int | None, index: str | None, **tags: object) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    for name, value in tags.items():
        exif[getattr(ExifTags.Base, name)] = value
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    if space is not None:
        inner[ExifTags.Base.ColorSpace] = space
    if index is not None:
        inner[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: index}
    return exif.tobytes()


def with_exif(format: str, exif: bytes, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, format, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("space", "index", "is_adobe"),
    [(1, "R98", False), (1, "R03", False), (65535, "R03", True), (2, None, True),
     (None, "R03", True), (65535, None, False), (None, None, False)],
)  # fmt: skip
def test_adobe_rgb_by_exif(
    format: str, space: int | None, index: str | None, is_adobe: bool
) -> None:
    if format == "TIFF" and index == "R03":  # Pillow's TIFF writer leaves the index out
        index, space = None, 2 if is_adobe else 1
    picture = read_picture(with_exif(format, exif_with(space, index)))
    if not is_adobe:
        assert picture.icc is None
        return
    assert picture.icc is not None and "Adobe RGB (1998)".encode("utf-16-be") in picture.icc
    green = to_srgb(picture.icc, (100, 200, 100))
    assert green[0] < 60 and abs(green[1] - 200) < 6


def test_exif_does_not_replace_a_profile() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = with_exif("JPEG", exif_with(65535, "R03"), icc_profile=icc)
    assert read_picture(data).icc == icc


def test_chromaticities_of_exif_and_tiff() -> None:
    white, colours = P3[:2], P3[2:]
    exif = exif_with(65535, None, WhitePoint=white, PrimaryChromaticities=colours)
    jpeg = read_picture(with_exif("JPEG", exif)).icc
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "TIFF", tiffinfo={318: white, 319: colours})
    tiff = read_picture(file.getvalue()).icc
    expected = build_profile(
        NamedColour(
            Primaries(white, colours[:2], colours[2:4], colours[4:6]),
            Gamma(2.2),
            "chromaticities of the file",
        ),
        grey=False,
    )
    for icc in (jpeg, tiff):
        assert icc is not None
        np.testing.assert_allclose(
            to_srgb(icc, (200, 100, 100)), to_srgb(expected, (200, 100, 100)), atol=1
        )


def test_grey_png_of_a_known_gamma_has_a_grey_profile_when_written(tmp_path: Path) -> None:
    picture = read_picture(png(gama(1.0), grey=True))
    assert write_picture(picture, tmp_path / "a.png") == []
    assert read_picture(tmp_path / "a.png").icc == picture.icc


def test_damaged_chunks() -> None:
    data = png(gama(1.0), chrm(P3))
    read = 0
    for at in range(8, 120):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        try:
            read_picture(bytes(damaged))
            read += 1
        except BsqError as error:
            assert "\n" not in str(error)
    assert read < 112


def jpeg2000(colr: bytes) -> bytes:
    """A JPEG 2000 file whose colr box is replaced."""
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "JPEG2000")
    data = file.getvalue()
    at = data.index(b"colr") - 4
    old = int.from_bytes(data[at : at + 4], "big")
    header = data.index(b"jp2h") - 4
    size = int.from_bytes(data[header : header + 4], "big") + 8 + len(colr) - old
    box = struct.pack(">I", 8 + len(colr)) + b"colr" + colr
    return data[:header] + struct.pack(">I", size) + data[header + 4 : at] + box + data[at + old :]


def test_a_profile_in_jpeg_2000() -> None:
    colour = colour_of_code_points(12, 13)
    assert colour is not None
    icc = build_profile(colour, grey=False)
    picture = read_picture(jpeg2000(b"\2\0\0" + icc))
    assert (picture.icc, picture.notes) == (icc, [])
    image = Image.open(io.BytesIO(jpeg2000(b"\2\0\0" + icc)))
    assert picture_from(image).icc == icc
    assert "icc_profile" not in image.info, "the caller's image stays as it is"
    assert read_picture(jpeg2000(b"\1\0\0" + struct.pack(">I", 16))).icc is None
    assert read_picture(jpeg2000(b"\2\0\0short")).notes == [
        "the colour profile is damaged and was dropped"
    ]


def bmp(space: bytes, ends: tuple[float, ...] = (), gamma: float = 0, icc: bytes = b"") -> bytes:
    """A BMP of version 5 with a colour space."""
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "BMP")
    plain = file.getvalue()
    samples = plain[54:]
    header = struct.pack("<I", 124) + plain[18:54] + bytes(16) + space
    header += b"".join(struct.pack("<I", round(value * 2**30)) for value in ends).ljust(36, b"\0")
    header += struct.pack("<3I", *[round(gamma * 2**16)] * 3)
    header += struct.pack("<4I", 4, 124 + len(samples), len(icc), 0)
    assert len(header) == 124
    start = 14 + len(header)
    total = start + len(samples) + len(icc)
    return b"BM" + struct.pack("<IHHI", total, 0, 0, start) + header + samples + icc


def test_colour_of_bmp() -> None:
    colour = colour_of_code_points(12, 13)
    assert colour is not None
    icc = build_profile(colour, grey=False)
    assert read_picture(bmp(b"DEBM", icc=icc)).icc == icc
    assert read_picture(bmp(b"BGRs")).icc is None
    assert read_picture(bmp(bytes(4))).icc is None
    p3 = (0.4866, 0.2290, 0.0, 0.2657, 0.6917, 0.0451, 0.1982, 0.0793, 1.0439)
    made = read_picture(bmp(bytes(4), p3, 2.2)).icc
    assert made is not None
    red = to_srgb(made, (200, 100, 100))
    assert red[0] > 208 and red[1] < 97


def avif(primaries: int, transfer: int, matrix: int = 6, full: int = 1) -> bytes:
    """An AVIF whose colr box names these code points."""
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "AVIF", quality=100, subsampling="4:4:4")
    data = bytearray(file.getvalue())
    at = data.index(b"nclx") + 4
    data[at : at + 7] = struct.pack(">3HB", primaries, transfer, matrix, full << 7)
    return bytes(data)


@pytest.mark.parametrize(
    ("primaries", "transfer", "note"),
    [
        (1, 13, None),
        (2, 2, None),
        (2, 13, None),
        (1, 2, None),
        (12, 13, ""),
        (9, 1, ""),
        (1, 8, ""),
        (9, 18, "HDR (HLG)"),
        (1, 16, "HDR (PQ)"),
        (99, 13, "primaries 99"),
    ],
)
def test_code_points_of_avif(primaries: int, transfer: int, note: str | None) -> None:
    picture = read_picture(avif(primaries, transfer))
    if note is None or note.startswith("primaries"):
        assert picture.icc is None
        assert len(picture.notes) == (note is not None)
        return
    assert picture.icc is not None
    assert code_points_of(picture.icc) == (primaries, transfer)
    assert picture.notes == [] if not note else picture.notes[0].startswith(note)


def test_a_profile_of_avif_counts_more_than_code_points() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = io.BytesIO()
    Image.fromarray(SAMPLES).save(file, "AVIF", icc_profile=icc)
    assert read_picture(file.getvalue()).icc == icc
