"""Crops at equal bpp: what is coded to which size, what is kept, and what is refused."""

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import crops, metrics, ours
from benchmarks.anchors import Jpeg2000, WebP
from benchmarks.anchors.base import StillCodec, bpp_of
from benchmarks.crops import Crop, Crops
from benchmarks.datasets import PictureFile, generated_picture, open_folder

from .fakes import FakeCodec


@pytest.fixture
def picture(folder_of_two: Path) -> PictureFile:
    return open_folder(folder_of_two).items[0]


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
        assert tuple(np.asarray(cut)[0, 0, :2]) == corner


def test_crops_are_kept_without_loss() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (33, 17, 3), np.uint8)
    for image in (generated_picture(64, 64), Image.fromarray(noise)):
        assert crops.unpacked(crops.packed(image)).tobytes() == image.tobytes()


def test_cells_are_of_the_file_that_they_name(picture: PictureFile) -> None:
    codec, image = WebP(), picture.load()
    (cell,) = crops.measure([codec], picture, 0.5, Crop(64))
    decoded = codec.decode(crops.code(codec, image, 0.5))
    assert crops.unpacked(cell.pixels).tobytes() == Crop(64).cut(Image.fromarray(decoded)).tobytes()
    assert 0.4 < cell.bpp <= cell.wanted_bpp == 0.5
    assert cell.psnr == pytest.approx(metrics.psnr(np.asarray(image), decoded), abs=1e-6)
    assert cell.ms_ssim == pytest.approx(metrics.ms_ssim(np.asarray(image), decoded), abs=1e-6)
    assert (cell.picture, cell.codec) == ("a.png", "webp")


def test_others_get_as_many_bits_as_ours_took(fake_codec: FakeCodec, picture: PictureFile) -> None:
    mine = ours.BsqStill(fake_codec)  # type: ignore[arg-type]
    taken = bpp_of(mine.encode(picture.load(), 3), picture.load())
    # The fake takes the rate for WebP's quality, so its file has another size than it was told.
    orders: list[list[StillCodec]] = [[mine, Jpeg2000()], [Jpeg2000(), mine]]
    for columns in orders:
        cells = crops.measure(columns, picture, 3, Crop(32))
        assert [cell.codec for cell in cells] == [codec.name for codec in columns]
        found = {cell.codec: cell.bpp for cell in cells}
        assert found["bsqcodec"] == pytest.approx(taken, abs=1e-6)
        assert found["jpeg2000"] == pytest.approx(taken, rel=0.05)
    (alone,) = crops.measure([Jpeg2000()], picture, 3, Crop(32))
    assert 2 * taken < alone.bpp <= 3


def test_picture_arguments() -> None:
    assert crops.parse_picture("kodim05") == ("kodim05", None, None)
    assert crops.parse_picture("kodim05:10:20") == ("kodim05", 10, 20)
    for text in ("a:1", "a:1:b", "a:1:2:3"):
        with pytest.raises(click.UsageError):
            crops.parse_picture(text)


def test_command_line(folder_of_two: Path, tmp_path: Path) -> None:
    common = ["--dataset", "pictures", "--data", str(folder_of_two), "--results", str(tmp_path)]
    arguments = ["a.png:10:10", *common, "--codecs", "webp,jpeg2000", "--bpp", "0.6,1"]
    done = CliRunner().invoke(crops.main, [*arguments, "--side", "64"])
    assert done.exit_code == 0, done.output
    path = tmp_path / "crops_pair.json"
    found = Crops.load(path)
    assert (found.dataset, found.rates, list(found.codecs)) == (
        "pair",
        [0.6, 1],
        ["webp", "jpeg2000"],
    )
    assert found.codecs["webp"]["options"] == WebP().options()
    assert [(cell.codec, cell.wanted_bpp) for cell in found.cells] == [
        ("webp", 0.6),
        ("jpeg2000", 0.6),
        ("webp", 1),
        ("jpeg2000", 1),
    ]
    (shown,) = found.pictures
    item = open_folder(folder_of_two).items[0]
    assert shown.sha256 == item.sha256()
    assert crops.unpacked(shown.original).tobytes() == Crop(64, 10, 10).cut(item.load()).tobytes()
    assert str(tmp_path) not in path.read_text()
    found.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["c.png"], "no picture c.png in pair"),
        (["a.png", "--codecs", "gif"], "no codec gif"),
        (["a.png", "--bpp", "low"], "--bpp takes numbers"),
        ([], "name the pictures"),
    ],
)
def test_what_is_refused(
    arguments: list[str], message: str, folder_of_two: Path, tmp_path: Path
) -> None:
    common = ["--dataset", "pictures", "--data", str(folder_of_two), "--results", str(tmp_path)]
    done = CliRunner().invoke(crops.main, ["--codecs", "webp", *arguments, *common])
    assert done.exit_code == 2
    assert message in done.output


def test_other_files_are_no_crops(tmp_path: Path) -> None:
    path = tmp_path / "crops_x.json"
    path.write_text('{"dataset": "x"}')
    with pytest.raises(ValueError, match=r"crops_x\.json: not a file of benchmarks crops"):
        Crops.load(path)
