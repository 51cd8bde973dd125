"""Pictures of the kinds that people have, from file to .bsq file and back, by the command."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from bsqcodec.cli.main import main
from bsqcodec.media.image.exif import orientation_of, resolution
from bsqcodec.media.image.icc import code_points_of
from bsqcodec.media.image.image_reader import read_picture

Output = pytest.CaptureFixture[str]

CASES = Path(__file__).parents[1] / "cases"
DEEP = "16-bit samples were reduced to 8 bits"
GAIN_MAP = "the gain map for HDR screens was dropped; the picture is kept as others show it"
HDR = "HDR (PQ) is kept at 8 bits, which may show bands"

pytestmark = pytest.mark.usefixtures("tiny_weights")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def notes_of(arguments: str, capsys: Output) -> list[str]:
    """What a command notes in its report."""
    assert main([*arguments.split(), "--json", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert all(note in err for note in report["notes"])
    return report["notes"]


@pytest.mark.parametrize(
    ("case", "notes", "mode", "has_icc"),
    [
        ("wiz16.tif", [DEEP], "L", False),
        ("la16.png", [DEEP], "LA", False),
        ("rgb16trns.png", [DEEP], "RGBA", False),
        ("uhdr_mpo.jpg", [GAIN_MAP], "RGB", False),
        ("uhdr_nompf.jpg", [GAIN_MAP], "RGB", False),
        ("linear_gama.png", [], "RGB", True),
        ("p3_chrm.png", [], "RGB", True),
        ("pq_cicp.png", [HDR], "RGB", True),
        ("pq.avif", [HDR], "RGB", True),
    ],
)
def test_there_and_back(
    case: str, notes: list[str], mode: str, has_icc: bool, capsys: Output
) -> None:
    shutil.copy(CASES / case, case)
    found = notes_of(f"encode {case} -o a.bsq -q 95", capsys)
    # a few of these pictures are of one colour, and smaller than any coded file
    assert [note for note in found if not note.startswith("the result is larger")] == notes
    assert notes_of("decode a.bsq -o out.png", capsys) == []
    source = read_picture(case)
    with Image.open("out.png") as image:
        assert image.mode == mode
        assert image.info.get("icc_profile") == source.icc
        assert (source.icc is not None) == has_icc
        assert "xmp" not in image.info
    back = read_picture("out.png")
    if source.alpha is not None:
        np.testing.assert_array_equal(back.alpha, source.alpha)
    assert np.abs(back.pixels.astype(int) - source.pixels).mean() < 40


def test_the_negative_is_none(capsys: Output) -> None:
    shutil.copy(CASES / "wiz16.tif", "a.tif")
    assert main(["encode", "a.tif", "-q", "95", "--quiet"]) == 0
    assert main(["decode", "a.bsq", "--quiet"]) == 0
    samples = np.asarray(Image.open("a.png")).astype(int)
    assert samples[:, :8].mean() + 50 < samples[:, -8:].mean()


def test_hdr_comes_out_as_hdr() -> None:
    shutil.copy(CASES / "pq.avif", "a.avif")
    assert main(["encode", "a.avif", "--quiet"]) == 0
    assert main(["decode", "a.bsq", "--quiet"]) == 0
    assert b"cICP\x09\x10\x00\x01" in Path("a.png").read_bytes()
    icc = read_picture("a.png").icc
    assert icc is not None and code_points_of(icc) == (9, 16)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
@pytest.mark.parametrize("output", ["png", "jpeg", "tiff", "bmp", "webp", "heif", "jxl"])
def test_a_resolution_comes_through(suffix: str, output: str) -> None:
    samples = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    Image.fromarray(samples).save(f"a.{suffix}", dpi=(300, 150))
    assert main(["encode", f"a.{suffix}", "b.bsq", "--quiet"]) == 0
    assert main(["decode", "b.bsq", "--format", output, "--quiet"]) == 0
    found = resolution(read_picture(f"b.{output}").exif)
    assert found is not None
    assert abs(found[0] - 300) < Fraction(1, 50) and abs(found[1] - 150) < Fraction(1, 50)


def test_a_portrait_of_a_phone() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 64
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageHeight] = 32
    samples = np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)
    Image.fromarray(samples).save("a.jpg", exif=exif)
    assert main(["encode", "a.jpg", "--quiet"]) == 0
    assert main(["decode", "a.bsq", "b.jpg", "--quiet"]) == 0
    with Image.open("b.jpg") as image:
        assert image.size == (32, 64)
        found = image.getexif()
        inner = found.get_ifd(ExifTags.IFD.Exif)
        assert found[ExifTags.Base.Orientation] == 1
        assert (
            inner[ExifTags.Base.ExifImageWidth],
            inner[ExifTags.Base.ExifImageHeight],
        ) == (32, 64)
    picture = read_picture("b.jpg")
    assert picture.exif is not None and orientation_of(picture.exif) == 1


@pytest.mark.parametrize(
    ("name", "data", "advice"),
    [
        ("a.pdf", b"%PDF-1.4\n", "a PDF document, not a finished picture: render its pages first"),
        ("a.svg", b"<svg xmlns='x'/>", "an SVG drawing, not a finished picture: render it first"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "the raw data of a camera, not a finished"),
        ("a.nef", b"II*\0\x08\0\0\0\0\0" + bytes(40), "the raw data of a camera, not a finished"),
    ],
)
@pytest.mark.parametrize("as_video", [[], ["--video"]])
def test_what_must_become_a_picture_first(
    name: str, data: bytes, advice: str, as_video: list[str], capsys: Output
) -> None:
    Path(name).write_bytes(data)
    assert main(["encode", name, *as_video]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"bsqcodec: error: {name}: {advice}") and err.count("\n") == 1
    assert not Path("a.bsq").exists()


@pytest.mark.parametrize(("suffix", "extra"), [("heic", "heif"), ("jxl", "jxl")])
def test_a_missing_extra_is_named_both_ways(
    suffix: str, extra: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (32, 32)).save("a.png")
    assert main(["encode", "a.png", "--quiet"]) == 0
    assert main(["decode", "a.bsq", f"b.{suffix}", "--quiet"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["encode", f"b.{suffix}"]) == 1
    assert f"pip install 'bsqcodec[{extra}]'" in capsys.readouterr().err
    assert main(["decode", "a.bsq", f"c.{suffix}"]) == 2
    assert f"pip install 'bsqcodec[{extra}]'" in capsys.readouterr().err


def test_standard_input_of_a_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    from .test_encode_video import give

    Image.new("RGB", (32, 32), (200, 30, 40)).save("a.png")
    assert main(["encode", "a.png", "--quiet"]) == 0
    assert main(["decode", "a.bsq", "b.heic", "--quiet"]) == 0
    give(monkeypatch, Path("b.heic").read_bytes())
    assert main(["encode", "-", "-o", "c.bsq", "--quiet"]) == 0
    assert Path("c.bsq").stat().st_size > 0
