"""Contact sheets from files of crops: every pixel and every number in its place."""

import base64
import dataclasses
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from benchmarks import contact_sheet, crops
from benchmarks.anchors import ANCHORS
from benchmarks.contact_sheet import FONT_SIZE, LABEL_HEIGHT, MARGIN, Sheet
from benchmarks.measures import OURS

from .synthetic import SIDE, synthetic_crops

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    (only,) = contact_sheet.sheets([synthetic_crops()])
    return only


def test_one_row_a_rate_one_column_a_codec(sheet: Sheet) -> None:
    step_x, step_y = SIDE + MARGIN, SIDE + LABEL_HEIGHT + MARGIN
    assert (sheet.width, sheet.height) == (3 * step_x + MARGIN, 2 * step_y + MARGIN)
    places = [(tile.left, tile.top) for tile in sheet.tiles]
    assert places == [
        (MARGIN + x * step_x, MARGIN + y * step_y) for y in range(2) for x in range(3)
    ]
    titles = [tile.lines[0] for tile in sheet.tiles]
    assert titles[:3] == ["Original", "bsqcodec, 0.200 bpp", "WebP, 0.200 bpp"]
    assert titles[3:] == ["Original", "bsqcodec, 0.100 bpp", "WebP, 0.150 bpp (least)"]
    assert sheet.tiles[0].lines[1] == "p.png"
    assert sheet.tiles[1].lines[1] == "31.25 dB, MS-SSIM 0.950"
    assert sheet.tiles[2].lines[1] == "31.25 dB"


def test_the_png_holds_every_crop_as_it_is(sheet: Sheet) -> None:
    image = Image.open(io.BytesIO(sheet.png()))
    assert image.size == (sheet.width, sheet.height)
    assert len({tile.pixels for tile in sheet.tiles}) == 5
    for tile in sheet.tiles:
        box = (tile.left, tile.top, tile.left + SIDE, tile.top + SIDE)
        assert image.crop(box).tobytes() == crops.unpacked(tile.pixels).tobytes()


def test_labels_are_written_below_their_crops_and_fit(sheet: Sheet) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(sheet.png())).convert("L"))
    for tile in sheet.tiles:
        top = tile.top + SIDE
        below = pixels[top : top + LABEL_HEIGHT, tile.left : tile.left + SIDE]
        assert (below < 128).any()
        assert (pixels[top + LABEL_HEIGHT : top + LABEL_HEIGHT + MARGIN] == 255).all()


def test_no_label_is_wider_than_its_crop() -> None:
    font = ImageFont.load_default(size=FONT_SIZE)
    large = dataclasses.replace(synthetic_crops().cells[0], bpp=0.888)
    for name in crops.CODECS:
        lines = contact_sheet.labels(large, ANCHORS[name]().label if name in ANCHORS else OURS)
        assert lines[0].endswith("0.888 bpp (least)")
        assert all(font.getlength(line) <= crops.SIDE for line in lines)


def test_the_svg_holds_the_same(sheet: Sheet) -> None:
    root = ET.fromstring(sheet.svg())
    assert (root.get("width"), root.get("height")) == (str(sheet.width), str(sheet.height))
    images = root.findall(f"{SVG}image")
    assert len(images) == len(sheet.tiles)
    for image, tile in zip(images, sheet.tiles, strict=True):
        place = {name: int(image.get(name, "")) for name in ("x", "y", "width", "height")}
        assert place == {"x": tile.left, "y": tile.top, "width": SIDE, "height": SIDE}
        source = image.get("href", "")
        assert source.startswith("data:image/webp;base64,")
        data = base64.b64decode(source.partition(",")[2])
        shown = Image.open(io.BytesIO(data)).convert("RGB")
        assert shown.tobytes() == crops.unpacked(tile.pixels).tobytes()
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert texts == [line for tile in sheet.tiles for line in tile.lines]


def test_names_of_the_files(sheet: Sheet, tmp_path: Path) -> None:
    written = list(sheet.save(tmp_path / "figures"))
    assert [path.name for path in written] == ["contact_p.png", "contact_p.svg"]
    assert written[0].read_bytes() == sheet.png()
    assert written[1].read_bytes() == sheet.svg()
