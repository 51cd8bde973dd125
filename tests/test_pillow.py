"""The plug-in for Pillow, by the checks that Pillow makes of its own formats."""

import io
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

import bsqcodec.pillow
from bsqcodec import api

from .golden_files import fake_icc, scene

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


@pytest.fixture(autouse=True)
def tiny_codec(tiny_weights: Path) -> Iterator[None]:
    """Have the tiny model in the place of the shipped weights."""
    api._codec.cache_clear()
    yield
    api._codec.cache_clear()


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(scene(96, 131))


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "BSQ", **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def difference(image: Image.Image, other: Image.Image) -> float:
    """The mean of the absolute differences of all samples."""
    return float(np.abs(np.asarray(image, float) - np.asarray(other, float)).mean())


def test_a_file_comes_back(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "photo.bsq", quality=90)
    with Image.open(tmp_path / "photo.bsq") as image:
        assert isinstance(image, bsqcodec.pillow.BsqImageFile)
        assert (image.format, image.get_format_mimetype()) == ("BSQ", "image/x-bsq")
        assert (image.mode, image.size) == (photo.mode, photo.size)
        assert image.tobytes() == bsqcodec.decode(tmp_path / "photo.bsq").tobytes()
    assert difference(image, photo) < 20
    assert Image.registered_extensions()[".bsq"] == "BSQ"


def test_options_of_saving(photo: Image.Image, tmp_path: Path) -> None:
    assert saved(photo) == saved(photo, quality=50) == bsqcodec.encode(photo)
    assert saved(photo, optimize=True) == saved(photo)  # an option of other formats
    assert len(saved(photo, size=1500)) <= 1500
    assert saved(photo, quality=20, effort=0) == bsqcodec.encode(photo, 20, effort=0)
    cases: list[tuple[dict[str, Any], type[Exception]]]
    cases = [({"quality": 101}, ValueError), ({"size": 1}, OSError)]
    for wrong, error in cases:
        with pytest.raises(error):
            photo.save(tmp_path / "wrong.bsq", **wrong)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("1", "L"),
        ("L", "L"),
        ("LA", "LA"),
        ("P", "RGB"),
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
    ],
)
def test_modes(photo: Image.Image, mode: str, result: str) -> None:
    image = opened(
        saved(photo.convert("RGBA").convert(mode) if "A" in mode else photo.convert(mode))
    )
    assert image.mode == result
    image.load()
    assert image.mode == result


def test_transparency(photo: Image.Image) -> None:
    alpha = Image.linear_gradient("L").resize(photo.size)
    photo.putalpha(alpha)
    assert opened(saved(photo)).getchannel("A").tobytes() == alpha.tobytes()
    palette = photo.convert("RGB").quantize(16)
    palette.info["transparency"] = 3
    clear = np.where(np.asarray(palette) == 3, 0, 255)
    np.testing.assert_array_equal(opened(saved(palette)).getchannel("A"), clear)


def test_samples_of_16_bits_are_rounded_to_8() -> None:
    deep = Image.fromarray(np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16))
    assert deep.mode == "I;16"
    image = opened(saved(deep, quality=90))
    assert image.mode == "L"
    assert abs(np.asarray(image, float) - np.asarray(deep, float) / 257).mean() < 3


def test_metadata(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    image = opened(saved(photo, icc_profile=fake_icc(), exif=exif, xmp=XMP))
    assert image.info == {
        "icc_profile": fake_icc(),
        "exif": b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"),
        "xmp": XMP,
    }
    assert image.getexif()[ExifTags.Base.Artist] == "somebody"
    again = opened(saved(image))  # what a picture has is kept, as by most of Pillow's formats
    assert again.info == image.info
    assert set(opened(saved(image, exif=None)).info) == {"icc_profile", "xmp"}
    assert opened(saved(image, strip=True)).info == {}
    assert image.info == again.info


def test_the_orientation_is_applied(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = opened(saved(photo, exif=exif))
    assert image.size == photo.size[::-1]
    assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1


def test_there_is_one_frame(photo: Image.Image) -> None:
    image = opened(saved(photo))
    assert (image.tell(), image.n_frames, image.is_animated) == (0, 1, False)  # type: ignore[attr-defined]
    image.seek(0)
    with pytest.raises(EOFError):
        image.seek(1)
    image.load()


def test_the_frame_that_an_animation_is_at_is_saved(tmp_path: Path) -> None:
    frames = [Image.new("L", (32, 32), value) for value in (20, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as animation:
        animation.seek(1)
        animation.save(tmp_path / "a.bsq")
    assert difference(Image.open(tmp_path / "a.bsq").convert("L"), frames[1]) < 10


def test_a_draft_is_smaller_and_no_smaller_than_asked_for(photo: Image.Image) -> None:
    data = saved(photo, quality=95)
    image = opened(data)
    assert image.draft(None, (131, 96)) is None
    assert image.draft("L", (30, 23)) == ("RGB", (0, 0, 131 / 4, 96 / 4))
    assert image.draft("L", (2, 2)) is None  # one draft only
    assert image.size == (33, 24)
    assert difference(image, opened(data).reduce(4)) < 4
    assert image.draft(None, (2, 2)) is None  # it is loaded
    assert image.size == (33, 24)


def test_thumbnails_are_those_of_the_whole_picture(photo: Image.Image) -> None:
    large = opened(saved(photo.resize((400, 300)), quality=95))
    whole = large.copy()
    for image in (large := opened(saved(photo.resize((400, 300)), quality=95)), whole):
        image.thumbnail((40, 40))
    assert large.size == whole.size == (40, 30)
    assert difference(large, whole) < 4


def test_truncated_files(photo: Image.Image) -> None:
    data = saved(photo, quality=80)
    image = opened(data[:-40])
    assert image.size == photo.size  # the header is whole
    with pytest.raises(OSError, match="missing|ends"):
        image.load()
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    assert difference(image, photo) < 40
    for length in (9, 20):
        with pytest.raises(UnidentifiedImageError, match="the file ends inside"):
            opened(data[:length])


def test_verify(photo: Image.Image) -> None:
    data = saved(photo)
    opened(data).verify()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    with pytest.raises(OSError, match="broken BSQ file: .*damaged"):
        opened(bytes(damaged)).verify()
    with pytest.raises(OSError, match="more data follows"):
        opened(data + b"more").verify()


def test_files_are_closed(photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.bsq"
    photo.save(path)
    image = Image.open(path)
    file = image.fp
    image.load()
    assert file is not None and file.closed
    with path.open("rb") as stream:
        Image.open(stream).load()
        assert not stream.closed  # whoever opens it closes it
    with Image.open(path) as image:
        image.verify()
    path.unlink()


def test_a_parser_takes_it_in_pieces(photo: Image.Image) -> None:
    data = saved(photo)
    parser = ImageFile.Parser()
    for at in range(0, len(data), 100):
        parser.feed(data[at : at + 100])
    assert parser.close().tobytes() == opened(data).tobytes()


def test_missing_weights_are_an_error_of_the_file(photo: Image.Image, golden: Path) -> None:
    data = saved(photo)
    with pytest.MonkeyPatch.context() as context:
        context.setenv("BSQCODEC_WEIGHTS", str(golden.parent / "nothing"))
        api._codec.cache_clear()
        image = opened(data)
        with pytest.raises(OSError, match="weights"):
            image.load()


def test_a_video_is_no_picture() -> None:
    data = b"\x89BSQ\r\n\x1a\n\x02" + bytes(100)
    with warnings.catch_warnings(record=True) as caught, pytest.raises(UnidentifiedImageError):
        warnings.simplefilter("always")
        opened(data)
    assert "bsqcodec.video_frames" in str(caught[-1].message)


def test_opening_imports_no_torch(golden: Path) -> None:
    program = (
        "import sys, bsqcodec; bsqcodec.register_pillow_opener()\n"
        "from PIL import Image\n"
        f"image = Image.open({str(golden / 'metadata.bsq')!r})\n"
        "print(image.size, image.mode, sorted(image.info), 'torch' in sys.modules)\n"
        "image.load()\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(bsqcodec.__file__).parents[1],
    )
    assert done.stdout.splitlines() == ["(24, 18) RGB ['exif', 'icc_profile', 'xmp'] False", "True"]
