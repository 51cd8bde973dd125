"""Contact sheets: crops, labels' numbers, and files that stay small."""

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import contact_sheet, ours
from benchmarks.anchors import WebP
from benchmarks.contact_sheet import Crop
from benchmarks.datasets import generated_picture, open_folder

from .fakes import FakeCodec


def test_crops_stay_inside() -> None:
    pixels = np.zeros((50, 80, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(80)[None], np.arange(50)[:, None]
    image = Image.fromarray(pixels)
    for crop, corner in (
        (Crop(20), (30, 15)),
        (Crop(20, 5, 7), (5, 7)),
        (Crop(20, 75, 45), (60, 30)),
        (Crop(500), (15, 0)),
    ):
        cut = crop.cut(image)
        assert cut.width == cut.height == min(crop.side, 50)
        assert cut.getpixel((0, 0))[:2] == corner


def test_cells_say_what_the_file_is() -> None:
    image = generated_picture(256, 192)
    cell = contact_sheet.coded_cell(WebP(), image, 0.5, Crop(64))
    rate = float(cell.numbers.split(" bpp")[0])
    assert 0.4 < rate <= 0.5
    assert cell.title == "WebP"
    assert cell.crop.size == (64, 64)


def test_ours_uses_its_own_rate_control(fake_codec: FakeCodec) -> None:
    image = generated_picture(64, 64)
    codec = ours.BsqStill(fake_codec)  # type: ignore[arg-type]
    assert contact_sheet.code(codec, image, 3) == codec.encode(image, 3)


def test_one_row_a_rate_one_column_a_codec(folder_of_two: Path) -> None:
    picture = open_folder(folder_of_two).items[0]
    sheet = contact_sheet.build(picture, [WebP()], [0.5, 1.0], Crop(80))
    assert sheet.size == (2 * 86 + 6, 2 * (80 + 34 + 6) + 6)
    shown = sheet.crop((6, 6, 86, 86))
    assert shown.tobytes() == Crop(80).cut(picture.load()).tobytes()


def test_large_sheets_become_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    image = Image.fromarray(noise)
    assert contact_sheet.save_small(image, tmp_path / "s").name == "s.png"
    path = contact_sheet.save_small(image, tmp_path / "s", limit=100_000)
    assert path.name == "s.jpg"
    assert path.stat().st_size <= 100_000
    assert [p.name for p in tmp_path.iterdir()] == ["s.jpg"]
    with pytest.raises(ValueError, match="over 100 bytes"):
        contact_sheet.save_small(image, tmp_path / "s", limit=100)


def test_picture_arguments() -> None:
    assert contact_sheet.parse_picture("kodim05") == ("kodim05", None, None)
    assert contact_sheet.parse_picture("kodim05:10:20") == ("kodim05", 10, 20)
    for text in ("a:1", "a:1:b", "a:1:2:3"):
        with pytest.raises(click.UsageError):
            contact_sheet.parse_picture(text)


def test_command_line(folder_of_two: Path, tmp_path: Path) -> None:
    common = ["--dataset", "pictures", "--data", str(folder_of_two), "--figures", str(tmp_path)]
    arguments = ["a.png:10:10", *common, "--codecs", "webp,jpeg2000", "--bpp", "0.6"]
    done = CliRunner().invoke(contact_sheet.main, [*arguments, "--side", "64"])
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "contact_a.png") as image:
        assert image.size == (3 * 70 + 6, 64 + 34 + 6 + 6)
    for wrong, message in (
        (["c.png", *common], "no picture c.png"),
        (["a.png", *common, "--codecs", "gif"], "no codec gif"),
        (["a.png", *common, "--bpp", "low"], "--bpp takes numbers"),
    ):
        done = CliRunner().invoke(contact_sheet.main, wrong)
        assert done.exit_code == 2
        assert message in done.output
